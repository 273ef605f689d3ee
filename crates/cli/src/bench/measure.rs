//! What one round measures.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

const LATENCY_NS_MIN: u64 = 64;
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Decimal digits a latency is kept with.
const LATENCY_DIGITS: u8 = 3;

/// Operations counted by one thread, or by all of them together.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// Of operations that succeeded, in nanoseconds.
    latency: Histogram<u64>,
    /// By code. Errors outside the measured window count too: they spoil it as well.
    errors: BTreeMap<i32, u64>,
    /// End of the last operation counted, in nanoseconds from the start of the round.
    pub(super) last_ns: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, LATENCY_DIGITS)
            .expect("the bounds are in order");
        Self { latency, errors: BTreeMap::new(), last_ns: 0 }
    }
}

impl Tally {
    /// Counts an operation that took from `start_ns` to `end_ns`.
    #[inline]
    pub(super) fn record(&mut self, start_ns: u64, end_ns: u64) {
        self.latency.saturating_record(end_ns.saturating_sub(start_ns));
        self.last_ns = end_ns;
    }

    /// Counts errors of one code.
    #[cold]
    pub(super) fn fail(&mut self, code: i32, count: u64) {
        *self.errors.entry(code).or_default() += count;
    }

    /// Operations that succeeded in the window.
    pub(super) fn done(&self) -> u64 {
        self.latency.len()
    }

    /// Errors by code.
    pub(super) fn errors(&self) -> &BTreeMap<i32, u64> {
        &self.errors
    }

    /// The latency that a share `quantile` of the operations did not exceed, in microseconds.
    pub(super) fn latency_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// Adds what another thread counted.
    pub(super) fn merge(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        for (code, count) in &other.errors {
            self.fail(*code, *count);
        }
        self.last_ns = self.last_ns.max(other.last_ns);
    }
}

/// When a round counts. All times are nanoseconds from its start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) origin: Instant,
    /// Before this, operations warm up the server and are not counted.
    pub(super) warm_ns: u64,
    /// From this on nothing new is sent.
    pub(super) end_ns: u64,
}

impl Window {
    /// A round without a warm-up that lasts until the work is done.
    pub(super) fn unbounded() -> Self {
        Self { origin: Instant::now(), warm_ns: 0, end_ns: u64::MAX }
    }

    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    #[inline]
    pub(super) fn contains(&self, time_ns: u64) -> bool {
        (self.warm_ns..self.end_ns).contains(&time_ns)
    }
}

/// State shared by the threads of a round and the one that supervises them.
#[derive(Debug)]
pub(super) struct Control<'a> {
    pub(super) window: Window,
    /// Set from outside to end the round early.
    pub(super) stop: &'a AtomicBool,
    /// Operations so far, warm-up included; for the progress line only.
    pub(super) done: AtomicU64,
    /// Threads that have work left.
    pub(super) busy: AtomicUsize,
}

impl<'a> Control<'a> {
    pub(super) fn new(window: Window, stop: &'a AtomicBool, threads: usize) -> Self {
        Self { window, stop, done: AtomicU64::new(0), busy: AtomicUsize::new(threads) }
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_come_from_all_threads() {
        let (mut tally, mut other) = (Tally::default(), Tally::default());
        for microseconds in 1..=50 {
            tally.record(0, microseconds * 1000);
            other.record(1_000_000, 1_000_000 + (50 + microseconds) * 1000);
        }
        other.fail(-101, 2);
        tally.merge(&other);
        assert_eq!((tally.done(), tally.errors()[&-101], tally.last_ns), (100, 2, 1_100_000));
        for (quantile, expected) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let actual = tally.latency_us(quantile);
            assert!((actual / expected - 1.0).abs() < 0.005, "{quantile}: {actual}");
        }
    }

    #[test]
    fn an_end_before_its_start_is_no_time_and_an_endless_one_the_longest() {
        let mut tally = Tally::default();
        tally.record(5, 4);
        tally.record(0, u64::MAX);
        assert_eq!(tally.latency_us(0.0), 0.0);
        assert!(tally.latency_us(1.0) >= 600e6);
    }

    #[test]
    fn the_window_is_open_at_its_end() {
        let window = Window { origin: Instant::now(), warm_ns: 10, end_ns: 20 };
        assert_eq!([9, 10, 19, 20].map(|time| window.contains(time)), [false, true, true, false]);
    }
}
