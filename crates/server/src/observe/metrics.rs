//! The metrics of a server under ZooKeeper's names, for `mntr`, for the AdminServer's `monitor` and
//! for Prometheus.
//!
//! The Prometheus text is written here rather than by a client library: the libraries append
//! `_total` to the names of counters and have no summaries, and existing dashboards depend on
//! ZooKeeper's names.

use std::fmt::Write;

use crate::observe::metrics_member;
pub(crate) use crate::observe::metrics_member::monitored_others;
pub use crate::observe::metrics_process::version;
use crate::observe::metrics_quorum;
pub use crate::observe::metrics_recorder::Recorder;
use crate::observe::stats::Facts;

/// A summary of recorded values; all zero if there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Their number.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// At [`Summary::QUANTILES`].
    pub quantiles: [u64; 4],
}

impl Summary {
    /// The quantiles, which ZooKeeper names p50, p95, p99, p999.
    pub const QUANTILES: [f64; 4] = [0.5, 0.95, 0.99, 0.999];

    /// The average; 0 if there were none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// Joins two summaries. Quantiles cannot be joined; the larger ones are taken.
    pub fn joined(&self, other: &Summary) -> Summary {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { *other } else { *self };
        }
        Summary {
            count: self.count + other.count,
            sum: self.sum.saturating_add(other.sum),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            quantiles: std::array::from_fn(|i| self.quantiles[i].max(other.quantiles[i])),
        }
    }
}

/// One metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// ZooKeeper's name, without the `zk_` of `mntr`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Its value.
    pub value: Value,
}

/// The value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A number that goes up and down.
    Gauge(i64),
    /// A number with a fraction that goes up and down.
    Ratio(f64),
    /// A number that only goes up, except for a reset.
    Counter(u64),
    /// A summary of durations in µs, shown in ms.
    Time(Summary),
    /// A summary of counts.
    Sizes(Summary),
}

const US_PER_MS: u64 = 1_000;

/// Summaries for which ZooKeeper reports percentiles too.
const WITH_PERCENTILES: &[&str] =
    &["readlatency", "updatelatency", "propagation_latency", "quorum_ack_latency"];

/// Every metric, in the order in which `mntr` prints them.
pub fn all(facts: &Facts) -> Vec<Metric> {
    let gauge = |name, value: u64, help| Metric { name, help, value: Value::Gauge(value as i64) };
    let counter = |name, value, help| Metric { name, help, value: Value::Counter(value) };
    let time = |name, value, help| Metric { name, help, value: Value::Time(value) };
    let latency = facts.read_latency.joined(&facts.update_latency);
    let response = |pick: fn(&crate::observe::stats::SizeBytes) -> u64| {
        facts.response_bytes.as_ref().map_or(-1, |r| pick(r) as i64)
    };
    let (open_files, open_files_max) = crate::observe::metrics_process::file_descriptors();
    let mut metrics = vec![
        gauge("ephemerals_count", facts.ephemerals, "ephemeral znodes"),
        gauge("num_alive_connections", facts.connections, "open client connections"),
        Metric {
            name: "avg_latency",
            help: "average latency of requests in ms",
            value: Value::Ratio(four_digits(latency.mean() / US_PER_MS as f64)),
        },
        gauge("outstanding_requests", facts.outstanding_requests, "requests received and not answered"),
        gauge("znode_count", facts.znodes, "znodes"),
        gauge("global_sessions", facts.sessions, "sessions"),
        Metric {
            name: "last_client_response_size",
            help: "bytes of the last reply, -1 for none",
            value: Value::Gauge(response(|r| r.last)),
        },
        gauge("packets_sent", facts.packets_sent, "packets sent"),
        gauge("packets_received", facts.packets_received, "packets received"),
        Metric {
            name: "max_client_response_size",
            help: "bytes of the largest reply, -1 for none",
            value: Value::Gauge(response(|r| r.max)),
        },
        Metric {
            name: "connection_drop_probability",
            help: "probability with which a connection is dropped",
            value: Value::Ratio(0.0),
        },
        gauge("watch_count", facts.watches, "watches"),
        gauge("auth_failed_count", facts.auth_failed, "failed authentications"),
        gauge("min_latency", latency.min / US_PER_MS, "smallest latency of a request in ms"),
        gauge("max_file_descriptor_count", open_files_max, "file descriptors this process may open"),
        gauge("approximate_data_size", facts.data_bytes, "bytes of all paths and data"),
        gauge("open_file_descriptor_count", open_files, "file descriptors this process has open"),
        gauge("local_sessions", 0, "sessions known only to this server"),
        gauge("uptime", facts.uptime_ms, "ms since the start"),
        gauge("max_latency", latency.max / US_PER_MS, "largest latency of a request in ms"),
        Metric {
            name: "min_client_response_size",
            help: "bytes of the smallest reply, -1 for none",
            value: Value::Gauge(response(|r| r.min)),
        },
        counter("bytes_received_count", facts.bytes_received, "bytes received from clients"),
        counter(
            "connection_drop_count",
            facts.connections_dropped,
            "connections closed by the connection throttle",
        ),
        counter(
            "connection_rejected",
            facts.connections_rejected,
            "connections closed at a limit on their number",
        ),
        counter("connection_request_count", facts.connection_requests, "handshakes"),
        counter(
            "fsync_threshold_exceed_count",
            facts.flushes_slow,
            "flushes slower than fsync.warningthresholdms",
        ),
        counter(
            "large_requests_rejected",
            facts.large_requests_rejected,
            "requests refused at largeRequestMaxBytes",
        ),
        counter("ostler_writes_refused", facts.writes_refused, "writes refused because the disk was full"),
        counter(
            "request_throttle_wait_count",
            facts.throttle_waits,
            "times that reading from clients was paused",
        ),
        counter("response_bytes", facts.bytes_sent, "bytes sent to clients"),
        counter(
            "sessionless_connections_expired",
            facts.handshakes_timed_out,
            "connections without a session in time",
        ),
        counter("stale_sessions_expired", facts.sessions_expired, "sessions that expired"),
        counter("throttled_ops", facts.throttled_requests, "requests answered ThrottledOp"),
        time("fsynctime", facts.flush_time, "ms of a flush of the log"),
        time("snapshottime", facts.snapshot_time, "ms of writing a snapshot"),
        time("dbinittime", facts.load_time, "ms of reading snapshot and log at startup"),
        Metric {
            name: "sync_processor_batch_size",
            help: "commands made durable by one flush",
            value: Value::Sizes(facts.batch_size),
        },
        time("readlatency", facts.read_latency, "ms of a read request"),
        time("updatelatency", facts.update_latency, "ms of a write request"),
    ];
    metrics.extend(metrics_quorum::all(&facts.quorum));
    metrics.extend(metrics_member::all(facts));
    metrics
}

impl Metric {
    /// The lines of `mntr` as (key without `zk_`, value): one for a number, five for a summary
    /// (`avg_`, `min_`, `max_`, `cnt_`, `sum_`) and four more for some (`p50_` …).
    pub fn monitored(&self) -> Vec<(String, Number)> {
        let name = self.name;
        let (summary, scale) = match self.value {
            Value::Gauge(value) => return vec![(name.to_owned(), Number::Whole(value))],
            Value::Counter(value) => return vec![(name.to_owned(), Number::Whole(value as i64))],
            Value::Ratio(value) => return vec![(name.to_owned(), Number::Fraction(value))],
            Value::Time(summary) => (summary, US_PER_MS),
            Value::Sizes(summary) => (summary, 1),
        };
        let whole = |value: u64| Number::Whole((value / scale) as i64);
        let [p50, p95, p99, p999] = summary.quantiles;
        [
            ("avg", Number::Fraction(four_digits(summary.mean() / scale as f64))),
            ("min", whole(summary.min)),
            ("max", whole(summary.max)),
            ("cnt", Number::Whole(summary.count as i64)),
            ("sum", whole(summary.sum)),
            ("p50", whole(p50)),
            ("p95", whole(p95)),
            ("p99", whole(p99)),
            ("p999", whole(p999)),
        ]
        .into_iter()
        .filter(|(prefix, _)| !prefix.starts_with('p') || WITH_PERCENTILES.contains(&name))
        .map(|(prefix, number)| (format!("{prefix}_{name}"), number))
        .collect()
    }

    fn write_prometheus(&self, out: &mut String) {
        let (name, help) = (self.name, self.help);
        let kind = match self.value {
            Value::Gauge(_) | Value::Ratio(_) => "gauge",
            Value::Counter(_) => "counter",
            Value::Time(_) | Value::Sizes(_) => "summary",
        };
        let written = match self.value {
            Value::Gauge(value) => {
                writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
            }
            Value::Ratio(value) => {
                writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
            }
            Value::Counter(value) => {
                writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
            }
            Value::Time(summary) => write_summary(out, name, help, &summary, US_PER_MS as f64),
            Value::Sizes(summary) => write_summary(out, name, help, &summary, 1.0),
        };
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
}

fn write_summary(
    out: &mut String,
    name: &str,
    help: &str,
    summary: &Summary,
    scale: f64,
) -> std::fmt::Result {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} summary")?;
    for (quantile, value) in Summary::QUANTILES.iter().zip(summary.quantiles) {
        match summary.count {
            0 => writeln!(out, "{name}{{quantile=\"{quantile}\"}} NaN")?,
            _ => writeln!(out, "{name}{{quantile=\"{quantile}\"}} {}", value as f64 / scale)?,
        }
    }
    writeln!(out, "{name}_count {}\n{name}_sum {}", summary.count, summary.sum as f64 / scale)
}

/// The metrics in Prometheus' text format 0.0.4.
pub fn prometheus(facts: &Facts) -> String {
    let mut out = String::new();
    for metric in all(facts).iter().chain(&crate::observe::metrics_process::all()) {
        metric.write_prometheus(&mut out);
    }
    metrics_member::write_prometheus_others(facts, &mut out);
    out
}

/// Its content type.
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A number as `mntr` prints it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Without a decimal point.
    Whole(i64),
    /// With a decimal point, as Java prints a `double`: `4.0`, `4.9524`.
    Fraction(f64),
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Number::Whole(value) => write!(f, "{value}"),
            Number::Fraction(value) => write!(f, "{value:?}"),
        }
    }
}

/// Rounds to four decimal places, as ZooKeeper does with averages.
pub(crate) fn four_digits(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::stats::fake::Fake;

    fn monitored(name: &str) -> Vec<(String, String)> {
        let metrics = all(&Fake::new().facts);
        let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
        metric.monitored().into_iter().map(|(key, number)| (key, number.to_string())).collect()
    }

    #[test]
    fn times_are_shown_in_ms() {
        let lines = monitored("updatelatency");
        let expected = [
            ("avg_updatelatency", "10.0"),
            ("min_updatelatency", "3"),
            ("max_updatelatency", "61"),
            ("cnt_updatelatency", "9"),
            ("sum_updatelatency", "90"),
            ("p50_updatelatency", "8"),
            ("p95_updatelatency", "20"),
            ("p99_updatelatency", "60"),
            ("p999_updatelatency", "61"),
        ];
        assert_eq!(lines, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn the_latency_is_that_of_reads_and_writes() {
        assert_eq!(monitored("min_latency")[0].1, "0");
        assert_eq!(monitored("max_latency")[0].1, "61");
        assert_eq!(monitored("avg_latency")[0].1, "4.9524");
    }

    #[test]
    fn no_name_occurs_twice() {
        let metrics = all(&Fake::new().facts);
        let mut names: Vec<&str> =
            metrics.iter().chain(&crate::observe::metrics_process::all()).map(|metric| metric.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn prometheus_reads_names_types_and_values() {
        let text = prometheus(&Fake::new().facts);
        for expected in [
            "# TYPE znode_count gauge\nznode_count 12\n",
            "# TYPE connection_request_count counter\nconnection_request_count 4\n",
            "# TYPE fsynctime summary\nfsynctime{quantile=\"0.5\"} 5\n",
            "fsynctime_count 5\nfsynctime_sum 24\n",
            "snapshottime{quantile=\"0.5\"} NaN\n",
            "sync_processor_batch_size{quantile=\"0.999\"} 3\n",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
        assert!(text.lines().all(|line| line.starts_with("# ") || line.split(' ').count() == 2), "{text}");
    }

    /// A dashboard made for ZooKeeper finds each of these metrics there, with the same name and
    /// type.
    #[test]
    fn names_and_types_are_those_of_zookeeper() {
        let recorded = include_str!("../../testdata/zookeeper-3.9.5/metrics.txt");
        let ours_alone = ["fsync_threshold_exceed_count", "ostler_writes_refused"];
        for line in prometheus(&Fake::new().facts).lines().filter(|line| line.starts_with("# TYPE ")) {
            if !ours_alone.iter().any(|name| line.contains(name)) {
                assert!(recorded.lines().any(|theirs| theirs == line), "{line}");
            }
        }
    }
}
