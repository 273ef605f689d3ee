//! What can be counted or measured.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::{Recorder, SizeBytes, Sizes, Summary};

/// A number, or several, that threads update while others read.
pub trait Measure {
    /// Its value at one point in time.
    type Total;

    /// The value of several parts together, such as those of all connection threads.
    fn total<'a>(parts: impl Iterator<Item = &'a Self>) -> Self::Total
    where
        Self: 'a;

    /// Sets it to its first value.
    fn clear(&self);
}

impl Measure for AtomicU64 {
    type Total = u64;

    fn total<'a>(parts: impl Iterator<Item = &'a AtomicU64>) -> u64 {
        parts.map(|part| part.load(Relaxed)).sum()
    }

    fn clear(&self) {
        self.store(0, Relaxed);
    }
}

impl Measure for AtomicI64 {
    type Total = i64;

    fn total<'a>(parts: impl Iterator<Item = &'a AtomicI64>) -> i64 {
        parts.map(|part| part.load(Relaxed)).sum()
    }

    fn clear(&self) {
        self.store(0, Relaxed);
    }
}

impl Measure for Recorder {
    type Total = Summary;

    fn total<'a>(parts: impl Iterator<Item = &'a Recorder>) -> Summary {
        Recorder::summary_of(parts)
    }

    fn clear(&self) {
        self.reset();
    }
}

impl Measure for Sizes {
    type Total = Option<SizeBytes>;

    fn total<'a>(parts: impl Iterator<Item = &'a Sizes>) -> Option<SizeBytes> {
        parts.filter_map(Sizes::bytes).reduce(SizeBytes::joined)
    }

    fn clear(&self) {
        self.reset();
    }
}
