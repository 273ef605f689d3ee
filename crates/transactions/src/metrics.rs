//! What is counted and measured.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the classes of a latency, in ms.
const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 30_000];

/// Counts since the start of a process, and what its recovery sees now.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) committed: AtomicU64,
    pub(crate) aborted: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) heuristic: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) recovered: AtomicU64,
    pub(crate) in_doubt: AtomicU64,
    pub(crate) oldest_ms: AtomicU64,
    pub(crate) away: AtomicU64,
    pub(crate) prepare: Latency,
    pub(crate) decide: Latency,
}

/// How long something takes.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    classes: [AtomicU64; BOUNDS_MS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        for (bound_ms, class) in BOUNDS_MS.iter().zip(&self.classes) {
            if took <= Duration::from_millis(*bound_ms) {
                class.fetch_add(1, Relaxed);
            }
        }
        self.sum_us.fetch_add(took.as_micros().try_into().unwrap_or(u64::MAX), Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, help: &str) {
        let count = self.count.load(Relaxed);
        *text += &format!("# HELP {name} {help}\n# TYPE {name} histogram\n");
        for (bound_ms, class) in BOUNDS_MS.iter().zip(&self.classes) {
            let bound = *bound_ms as f64 / 1_000.0;
            let _infallible = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {}", class.load(Relaxed));
        }
        let sum = self.sum_us.load(Relaxed) as f64 / 1e6;
        *text += &format!("{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n");
    }
}

impl Metrics {
    /// Transactions that this process has committed.
    pub fn committed(&self) -> u64 {
        self.committed.load(Relaxed)
    }

    /// Transactions that this process has begun and that were aborted.
    pub fn aborted(&self) -> u64 {
        self.aborted.load(Relaxed)
    }

    /// Transactions that are prepared somewhere or decided and not finished, as the recovery of
    /// this process has last seen it; 0 where another process is the active recovery.
    pub fn in_doubt(&self) -> u64 {
        self.in_doubt.load(Relaxed)
    }

    /// How long the oldest of [`Self::in_doubt`] has been known to the recovery.
    pub fn oldest_in_doubt(&self) -> Duration {
        Duration::from_millis(self.oldest_ms.load(Relaxed))
    }

    /// Requests to participants that were repeated.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Transactions that the recovery of this process has finished.
    pub fn recovered(&self) -> u64 {
        self.recovered.load(Relaxed)
    }

    /// All of it in the text format of Prometheus.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        let single = [
            ("committed_total", "counter", "Transactions committed.", &self.committed),
            ("aborted_total", "counter", "Transactions aborted.", &self.aborted),
            (
                "unknown_total",
                "counter",
                "Transactions whose outcome the caller was not told.",
                &self.unknown,
            ),
            ("heuristic_total", "counter", "Branches that ended against the decision.", &self.heuristic),
            ("retries_total", "counter", "Repeated requests to participants.", &self.retries),
            ("recovered_total", "counter", "Transactions finished by this recovery.", &self.recovered),
            (
                "in_doubt",
                "gauge",
                "Transactions that are prepared or decided and not finished.",
                &self.in_doubt,
            ),
            ("resources_away", "gauge", "Resources that the recovery cannot list.", &self.away),
        ];
        for (name, kind, help, value) in single {
            let name = format!("ostler_transactions_{name}");
            let value = value.load(Relaxed);
            text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
        let oldest = self.oldest_in_doubt().as_secs_f64();
        let name = "ostler_transactions_oldest_in_doubt_seconds";
        text +=
            &format!("# HELP {name} Age of the oldest one in doubt.\n# TYPE {name} gauge\n{name} {oldest}\n");
        self.prepare.write(&mut text, "ostler_transactions_prepare_seconds", "Time to a vote.");
        self.decide.write(&mut text, "ostler_transactions_decide_seconds", "Time to write a decision.");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_all_classes_that_are_as_long() {
        let metrics = Metrics::default();
        metrics.prepare.record(Duration::from_millis(3));
        metrics.prepare.record(Duration::from_secs(60));
        let text = metrics.prometheus();
        let line = |bound: &str| format!("ostler_transactions_prepare_seconds_bucket{{le=\"{bound}\"}}");
        assert!(text.contains(&format!("{} 0\n", line("0.002"))), "{text}");
        assert!(text.contains(&format!("{} 1\n", line("0.005"))), "{text}");
        assert!(text.contains(&format!("{} 1\n", line("30"))), "{text}");
        assert!(text.contains(&format!("{} 2\n", line("+Inf"))), "{text}");
        assert!(text.contains("ostler_transactions_prepare_seconds_sum 60.003\n"), "{text}");
    }
}
