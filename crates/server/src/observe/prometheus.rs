//! The metrics in Prometheus' text format 0.0.4.
//!
//! The text is written here rather than by a client library: the libraries append `_total` to the
//! names of counters and have no summaries, and existing dashboards depend on ZooKeeper's names.

use std::fmt::Write;

use crate::counters::Summary;
use crate::observe::metrics::{self, Metric, Of, US_PER_MS, Value};
use crate::observe::stats::{Facts, GroupFacts};

/// The content type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One value of a metric, with its labels as Prometheus writes them between the braces.
struct Sample {
    labels: String,
    value: Value,
}

/// The text. `others` are the groups beside the root group; if there are any, every group's
/// metrics have the label `group`, and those of the root group too.
pub fn prometheus(facts: &Facts, others: &[GroupFacts]) -> String {
    let mut out = String::new();
    for metric in metrics::all() {
        let samples = samples(metric, facts, others);
        let Some(first) = samples.first() else { continue };
        let name = match metric.of {
            Of::Follower(_) => format!("ostler_member_{}", metric.name),
            _ => metric.name.to_owned(),
        };
        let kind = kind(&first.value);
        out.push_str(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", metric.help));
        for sample in &samples {
            let written = write_sample(&mut out, &name, sample);
            debug_assert!(written.is_ok(), "writing to a string does not fail");
        }
    }
    out
}

fn samples(metric: &Metric, facts: &Facts, others: &[GroupFacts]) -> Vec<Sample> {
    let groups = || std::iter::once(&facts.root).chain(others);
    let label = |group: &GroupFacts| match others {
        [] => String::new(),
        _ => format!("group=\"{}\"", group.group),
    };
    match metric.of {
        Of::Server(value) => {
            value(facts).into_iter().map(|value| Sample { labels: String::new(), value }).collect()
        }
        Of::Process(value) => vec![Sample { labels: String::new(), value: value() }],
        Of::Group(value) => {
            groups().filter_map(|group| Some(Sample { labels: label(group), value: value(group)? })).collect()
        }
        Of::Follower(value) => {
            let followers =
                groups().flat_map(|group| group.followers().map(move |follower| (group, follower)));
            let sample = followers.map(|(group, follower)| Sample {
                labels: joined(&label(group), &format!("server=\"{}\"", follower.server)),
                value: value(follower),
            });
            sample.collect()
        }
    }
}

fn joined(labels: &str, label: &str) -> String {
    if labels.is_empty() { label.to_owned() } else { format!("{labels},{label}") }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Gauge(_) | Value::Ratio(_) => "gauge",
        Value::Counter(_) => "counter",
        Value::Time(_) | Value::Latency(_) | Value::Count(_) => "summary",
    }
}

fn in_braces(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn write_sample(out: &mut String, name: &str, sample: &Sample) -> std::fmt::Result {
    let labels = in_braces(&sample.labels);
    match &sample.value {
        Value::Gauge(value) => writeln!(out, "{name}{labels} {value}"),
        Value::Ratio(value) => writeln!(out, "{name}{labels} {value}"),
        Value::Counter(value) => writeln!(out, "{name}{labels} {value}"),
        Value::Time(summary) | Value::Latency(summary) => {
            write_summary(out, name, &sample.labels, summary, US_PER_MS as f64)
        }
        Value::Count(summary) => write_summary(out, name, &sample.labels, summary, 1.0),
    }
}

fn write_summary(
    out: &mut String,
    name: &str,
    labels: &str,
    summary: &Summary,
    scale: f64,
) -> std::fmt::Result {
    for (quantile, value) in Summary::QUANTILES.iter().zip(summary.quantiles) {
        let quantile = joined(labels, &format!("quantile=\"{quantile}\""));
        match summary.count {
            0 => writeln!(out, "{name}{{{quantile}}} NaN")?,
            _ => writeln!(out, "{name}{{{quantile}}} {}", value as f64 / scale)?,
        }
    }
    let labels = in_braces(labels);
    writeln!(out, "{name}_count{labels} {}\n{name}_sum{labels} {}", summary.count, summary.sum as f64 / scale)
}

#[cfg(test)]
mod tests {
    use group::GroupId;

    use super::*;
    use crate::observe::stats::MemberRole;
    use crate::observe::stats::fake::Fake;
    use crate::observe::stats::member::fake::{leader, other};

    fn text_of(fake: &Fake) -> String {
        prometheus(&fake.facts, &fake.others)
    }

    fn value(text: &str, line: &str) -> Option<i64> {
        text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
    }

    #[test]
    fn prometheus_reads_names_types_and_values() {
        let text = text_of(&Fake::new());
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

    #[test]
    fn a_leader_reports_on_each_member() {
        let text = text_of(&Fake::of_ensemble(leader()));
        for (line, expected) in [
            ("ostler_member_behind_entries{server=\"2\"}", 7_000),
            ("ostler_member_behind_bytes{server=\"2\"}", 700_000),
            ("ostler_member_in_step{server=\"1\"}", 1),
            ("ostler_member_in_step{server=\"2\"}", 0),
            ("quorum_size", 3),
            ("synced_followers", 1),
            ("leader_uptime", 18_118),
            ("min_proposal_size", 32),
        ] {
            assert_eq!(value(&text, line), Some(expected), "{line}");
        }
    }

    #[test]
    fn a_follower_reports_on_itself_only() {
        let text = text_of(&Fake::of_ensemble(other(1, MemberRole::Follower)));
        assert_eq!(value(&text, "ostler_led_by"), Some(3));
        assert_eq!(value(&text, "quorum_size"), Some(3));
        assert_eq!(value(&text, "ostler_joining"), Some(0));
        assert!(!text.contains("synced_followers") && !text.contains("behind_entries"), "{text}");
    }

    #[test]
    fn a_standalone_server_has_no_metrics_of_members() {
        let text = text_of(&Fake::new());
        assert!(!text.contains("ostler_term") && !text.contains("quorum_size"), "{text}");
    }

    /// Group 1, which another server leads, beside a root group that this server leads.
    fn two_groups() -> Fake {
        let mut fake = Fake::of_ensemble(leader());
        let mut other = Fake::of_ensemble(other(3, MemberRole::Follower)).facts.root;
        other.group = GroupId(1);
        (other.znodes, other.counts.sessions_expired) = (40, 5);
        fake.others = vec![other];
        fake
    }

    #[test]
    fn each_group_of_several_has_its_label() {
        let text = text_of(&two_groups());
        for expected in [
            "# TYPE znode_count gauge\nznode_count{group=\"0\"} 12\nznode_count{group=\"1\"} 40\n",
            "stale_sessions_expired{group=\"0\"} 0\nstale_sessions_expired{group=\"1\"} 5\n",
            "election_time{group=\"1\",quantile=\"0.5\"} NaN\n",
            "election_time_count{group=\"1\"} 0\nelection_time_sum{group=\"1\"} 0\n",
            "ostler_term{group=\"0\"} 5\nostler_term{group=\"1\"} 5\n",
            "# TYPE learners gauge\nlearners{group=\"0\"} 3\n# HELP",
            "ostler_member_behind_entries{group=\"0\",server=\"2\"} 7000\n",
            "# TYPE packets_sent gauge\npackets_sent 25\n",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
        assert!(!text.contains("\nznode_count "), "no line is without its group: {text}");
        assert_eq!(text.matches("# TYPE ostler_term ").count(), 1, "one line for the type");
    }
}
