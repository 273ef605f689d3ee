//! The metrics of a server under ZooKeeper's names, for `mntr`, for the AdminServer's `monitor` and
//! for Prometheus: the table of `counters`, with how the value of each row is found.

use crate::config::EngineKind;
use crate::counters::{Summary, metrics_table};
use crate::observe::four_letter::member::is_joining;
use crate::observe::metrics_process;
use crate::observe::stats::{Facts, FollowerFacts, FollowerState, GroupFacts, ServerState};

/// One row of the table that is shown.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Its name, without `zk_`; for another member without `ostler_member_`.
    pub(crate) name: &'static str,
    /// What it counts.
    pub(crate) help: &'static str,
    /// How its value is found.
    pub(crate) of: Of,
}

/// Whose number it is; `None` where it is not shown.
#[derive(Debug)]
pub(crate) enum Of {
    /// The server's.
    Server(fn(&Facts) -> Option<Value>),
    /// A group's.
    Group(fn(&GroupFacts) -> Option<Value>),
    /// Another member's of a group that this server leads.
    Follower(fn(&FollowerFacts) -> Value),
    /// The process'; for Prometheus only.
    Process(fn() -> Value),
}

/// The value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// A number that goes up and down.
    Gauge(i64),
    /// A number with a fraction that goes up and down.
    Ratio(f64),
    /// A number that only goes up, except for a reset.
    Counter(u64),
    /// A summary of durations in µs, shown in ms.
    Time(Summary),
    /// The same, with quantiles in `mntr`.
    Latency(Summary),
    /// A summary of counts.
    Count(Summary),
}

pub(crate) const US_PER_MS: u64 = 1_000;

/// The value of that kind. Gauges may be of any number's type.
macro_rules! value {
    (gauge $value:expr) => {
        Value::Gauge($value as i64)
    };
    (ratio $value:expr) => {
        Value::Ratio($value)
    };
    (counter $value:expr) => {
        Value::Counter($value)
    };
    (time $value:expr) => {
        Value::Time($value)
    };
    (latency $value:expr) => {
        Value::Latency($value)
    };
    (count $value:expr) => {
        Value::Count($value)
    };
}

/// The metric of a row; `None` for a hidden one.
macro_rules! metric {
    ($scope:ident $field:ident: $type:ty, hidden, $($row:tt)*) => {
        None
    };
    (thread $field:ident: $type:ty, $kind:ident $name:literal, $on_srst:ident, $help:literal) => {
        metric! { server |f| f.threads.$field, $kind $name, $help }
    };
    (server $field:ident: $type:ty, $kind:ident $name:literal, $on_srst:ident, $help:literal) => {
        metric! { server |f| f.counts.$field, $kind $name, $help }
    };
    (group $field:ident: $type:ty, $kind:ident $name:literal, $on_srst:ident, $help:literal) => {
        metric! { group |g| g.counts.$field, $kind $name, $help }
    };
    (server $field:ident: $type:ty, in_ensemble $kind:ident $name:literal, $on_srst:ident, $help:literal) => {
        metric! { @Server $name $help
        |facts: &Facts| facts.root.member.as_ref().map(|_| value!($kind facts.counts.$field)) }
    };
    (group $field:ident: $type:ty, in_ensemble $kind:ident $name:literal, $on_srst:ident, $help:literal) => {
        metric! { @Group $name $help
        |group: &GroupFacts| group.member.as_ref().map(|_| value!($kind group.counts.$field)) }
    };
    (server |$f:ident| $value:expr, $kind:ident $name:literal, $help:literal) => {
        metric! { @Server $name $help |$f: &Facts| Some(value!($kind $value)) }
    };
    (group |$g:ident| $value:expr, $kind:ident $name:literal, $help:literal) => {
        metric! { @Group $name $help |$g: &GroupFacts| Some(value!($kind $value)) }
    };
    (member |$m:ident| $value:expr, $kind:ident $name:literal, $help:literal) => {
        metric! { @Group $name $help
        |group: &GroupFacts| group.member.as_ref().map(|$m| value!($kind $value)) }
    };
    (leader |$g:ident, $m:ident| $value:expr, $kind:ident $name:literal, $help:literal) => {
        metric! { @Group $name $help |$g: &GroupFacts| {
            let $m = $g.member.as_ref().filter(|_| $g.state == ServerState::Leader)?;
            Some(value!($kind $value))
        } }
    };
    (follower |$f:ident| $value:expr, $kind:ident $name:literal, $help:literal) => {
        metric! { @Follower $name $help |$f: &FollowerFacts| value!($kind $value) }
    };
    (process $value:expr, $kind:ident $name:literal, $help:literal) => {
        metric! { @Process $name $help || value!($kind $value) }
    };
    (@$of:ident $name:literal $help:literal $value:expr) => {
        Some(Metric { name: $name, help: $help, of: Of::$of($value) })
    };
}

macro_rules! metrics {
    ($(($($row:tt)*))*) => {
        const METRICS: &[Option<Metric>] = &[$(metric! { $($row)* }),*];
    };
}

metrics_table! { metrics }

/// Every metric, in the order in which it is shown.
pub(crate) fn all() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().flatten()
}

/// The lines of `mntr` as (key without `zk_`, value). With several groups, those of the root group.
pub(crate) fn monitored(facts: &Facts) -> Vec<(String, Number)> {
    let of_server = all().filter_map(|metric| {
        let value = match metric.of {
            Of::Server(value) => value(facts),
            Of::Group(value) => value(&facts.root),
            Of::Follower(_) | Of::Process(_) => None,
        };
        Some((metric, value?))
    });
    let mut lines: Vec<_> = of_server.flat_map(|(metric, value)| lines_of(metric.name, &value)).collect();
    for follower in facts.root.followers() {
        for metric in all() {
            if let Of::Follower(value) = metric.of {
                let name = format!("ostler_member_{}_{}", follower.server, metric.name);
                lines.extend(lines_of(&name, &value(follower)));
            }
        }
    }
    lines
}

/// One line for a number, five for a summary (`avg_`, `min_`, `max_`, `cnt_`, `sum_`) and four more
/// for some (`p50_` …).
fn lines_of(name: &str, value: &Value) -> Vec<(String, Number)> {
    let (summary, scale) = match value {
        Value::Gauge(value) => return vec![(name.to_owned(), Number::Whole(*value))],
        Value::Counter(value) => return vec![(name.to_owned(), Number::Whole(*value as i64))],
        Value::Ratio(value) => return vec![(name.to_owned(), Number::Fraction(*value))],
        Value::Time(summary) | Value::Latency(summary) => (summary, US_PER_MS),
        Value::Count(summary) => (summary, 1),
    };
    let whole = |value: u64| Number::Whole((value / scale) as i64);
    let [p50, p95, p99, p999] = summary.quantiles;
    let mut lines = vec![
        ("avg", Number::Fraction(four_digits(summary.mean() / scale as f64))),
        ("min", whole(summary.min)),
        ("max", whole(summary.max)),
        ("cnt", Number::Whole(summary.count as i64)),
        ("sum", whole(summary.sum)),
    ];
    if let Value::Latency(_) = value {
        lines.extend([("p50", whole(p50)), ("p95", whole(p95)), ("p99", whole(p99)), ("p999", whole(p999))]);
    }
    lines.into_iter().map(|(prefix, number)| (format!("{prefix}_{name}"), number)).collect()
}

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
    use std::collections::BTreeSet;

    use super::*;
    use crate::observe::prometheus::prometheus;
    use crate::observe::stats::fake::Fake;
    use crate::observe::stats::member::fake::leader;

    fn monitored_of(name: &str) -> Vec<(String, String)> {
        let lines = monitored(&Fake::new().facts).into_iter();
        let is_of = |key: &str| key == name || key.strip_suffix(name).is_some_and(|rest| rest.ends_with('_'));
        lines.filter(|(key, _)| is_of(key)).map(|(key, number)| (key, number.to_string())).collect()
    }

    #[test]
    fn times_are_shown_in_ms() {
        let lines = monitored_of("updatelatency");
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
        assert_eq!(monitored_of("min_latency")[0].1, "0");
        assert_eq!(monitored_of("max_latency")[0].1, "61");
        assert_eq!(monitored_of("avg_latency")[0].1, "4.9524");
    }

    #[test]
    fn no_name_occurs_twice() {
        let mut names = BTreeSet::new();
        assert!(all().all(|metric| names.insert(metric.name)));
        let mut keys = BTreeSet::new();
        assert!(monitored(&Fake::of_ensemble(leader()).facts).into_iter().all(|(key, _)| keys.insert(key)));
    }

    /// A dashboard made for ZooKeeper finds each of these metrics there, with the same name and
    /// type.
    #[test]
    fn names_and_types_are_those_of_zookeeper() {
        let recorded = include_str!("../../testdata/zookeeper-3.9.5/metrics.txt");
        let ours_alone = ["fsync_threshold_exceed_count", "ostler_audit_lines_lost", "ostler_writes_refused"];
        for line in prometheus(&Fake::new().facts, &[]).lines().filter(|line| line.starts_with("# TYPE ")) {
            if !ours_alone.iter().any(|name| line.contains(name)) {
                assert!(recorded.lines().any(|theirs| theirs == line), "{line}");
            }
        }
    }
}
