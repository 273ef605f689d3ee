//! Recording of durations and sizes for every request.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Summary;

/// Buckets per doubling: a quantile is at most 1/16 too large. Below 16 every value has a bucket of
/// its own.
const STEPS: usize = 16;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values from 2^40 (12 days in µs) share the last bucket.
const BITS_MAX: u32 = 40;
const BUCKETS: usize = (BITS_MAX - STEP_BITS + 1) as usize * STEPS;

const _: () = assert!(bucket_of((1 << BITS_MAX) - 1) == BUCKETS - 1, "the last bucket is reached");

/// The statistics of ZooKeeper's `AvgMinMaxPercentileCounter`, without sampling: count, sum,
/// minimum, maximum and a histogram.
///
/// Any thread may record; give each busy thread its own recorder and join them with
/// [`Recorder::summary_of`], since threads that write the same counters slow each other down. A
/// summary read while other threads record may miss values being recorded.
#[derive(Debug)]
pub struct Recorder {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// `u64::MAX` if nothing was recorded.
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Recorder {
    /// Records one value.
    pub fn record(&self, value: u64) {
        self.record_many(value, 1);
    }

    /// Records the same value `count` times: replies of one batch have one latency.
    pub fn record_many(&self, value: u64, count: u64) {
        if count == 0 {
            return;
        }
        self.buckets[bucket_of(value)].fetch_add(count, Relaxed);
        self.sum.fetch_add(value.saturating_mul(count), Relaxed);
        // Nearly always false, and then no shared write happens.
        if value < self.min.load(Relaxed) {
            self.min.fetch_min(value, Relaxed);
        }
        if value > self.max.load(Relaxed) {
            self.max.fetch_max(value, Relaxed);
        }
    }

    /// Resets everything.
    pub fn reset(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Relaxed);
        }
        self.sum.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }

    /// A summary of the values so far.
    pub fn summary(&self) -> Summary {
        Recorder::summary_of([self])
    }

    /// A summary of the values in all recorders together.
    pub fn summary_of<'a>(recorders: impl IntoIterator<Item = &'a Recorder>) -> Summary {
        let mut buckets = [0u64; BUCKETS];
        let (mut sum, mut min, mut max) = (0u64, u64::MAX, 0);
        for recorder in recorders {
            for (total, bucket) in buckets.iter_mut().zip(&recorder.buckets) {
                *total += bucket.load(Relaxed);
            }
            sum = sum.saturating_add(recorder.sum.load(Relaxed));
            min = min.min(recorder.min.load(Relaxed));
            max = max.max(recorder.max.load(Relaxed));
        }
        let count = buckets.iter().sum();
        if count == 0 {
            return Summary::default();
        }
        let min = min.min(max);
        let quantiles =
            Summary::QUANTILES.map(|quantile| quantile_of(&buckets, count, quantile).clamp(min, max));
        Summary { count, sum, min, max, quantiles }
    }
}

/// The upper end of the bucket that contains the value of that rank.
fn quantile_of(buckets: &[u64; BUCKETS], count: u64, quantile: f64) -> u64 {
    let rank = ((count as f64 * quantile).ceil() as u64).clamp(1, count);
    let mut seen = 0;
    for (index, bucket) in buckets.iter().enumerate() {
        seen += bucket;
        if seen >= rank {
            return highest_of(index);
        }
    }
    highest_of(BUCKETS - 1)
}

const fn bucket_of(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let bits = u64::BITS - value.leading_zeros();
    if bits > BITS_MAX {
        return BUCKETS - 1;
    }
    let shift = bits - STEP_BITS - 1;
    (shift as usize + 1) * STEPS + (value >> shift) as usize - STEPS
}

const fn highest_of(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    (((bucket % STEPS + STEPS + 1) as u64) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Recorder::default().summary(), Summary::default());
    }

    #[test]
    fn small_values_are_exact() {
        let recorder = Recorder::default();
        for value in 1..=10 {
            recorder.record(value);
        }
        recorder.record_many(3, 0);
        let summary = recorder.summary();
        assert_eq!((summary.count, summary.sum, summary.min, summary.max), (10, 55, 1, 10));
        assert_eq!(summary.quantiles, [5, 10, 10, 10]);
    }

    #[test]
    fn a_reset_forgets() {
        let recorder = Recorder::default();
        recorder.record(7);
        recorder.reset();
        assert_eq!(recorder.summary(), Summary::default());
        recorder.record(2);
        assert_eq!(recorder.summary().min, 2);
    }

    #[test]
    fn enormous_values_do_not_panic() {
        let recorder = Recorder::default();
        recorder.record_many(u64::MAX, 2);
        assert_eq!(recorder.summary().max, u64::MAX);
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_values(value in 0u64..1 << BITS_MAX) {
            let bucket = bucket_of(value);
            prop_assert!(highest_of(bucket) >= value);
            prop_assert!(highest_of(bucket) - value <= value / STEPS as u64);
            prop_assert!(bucket == 0 || highest_of(bucket - 1) < value);
        }

        #[test]
        fn quantiles_are_close_to_the_sorted_values(mut values in prop::collection::vec(0u64..1_000_000, 1..200), split in 0usize..200) {
            let parts = [Recorder::default(), Recorder::default()];
            for (index, &value) in values.iter().enumerate() {
                parts[usize::from(index < split)].record(value);
            }
            let summary = Recorder::summary_of(&parts);
            values.sort_unstable();
            prop_assert_eq!(summary.sum, values.iter().sum::<u64>());
            prop_assert_eq!((summary.min, summary.max), (values[0], values[values.len() - 1]));
            for (quantile, found) in Summary::QUANTILES.iter().zip(summary.quantiles) {
                let rank = ((values.len() as f64 * quantile).ceil() as usize).max(1) - 1;
                prop_assert!(found >= values[rank] && found - values[rank] <= values[rank] / STEPS as u64);
            }
        }
    }
}
