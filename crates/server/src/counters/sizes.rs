//! Sizes in bytes: the last, the smallest and the largest one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The sizes of replies or of proposals, as ZooKeeper's `BufferStats` keeps them. One thread writes
/// at a time; any thread may read.
#[derive(Debug, Default)]
pub struct Sizes {
    last_bytes: AtomicU64,
    /// The smallest, plus one; 0 if there was none.
    min_plus_one_bytes: AtomicU64,
    max_bytes: AtomicU64,
}

/// What is known of some sizes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeBytes {
    /// Of the last one.
    pub last: u64,
    /// Of the smallest.
    pub min: u64,
    /// Of the largest.
    pub max: u64,
}

impl Sizes {
    /// Records one size.
    pub fn record(&self, bytes: u64) {
        self.last_bytes.store(bytes, Relaxed);
        if bytes > self.max_bytes.load(Relaxed) {
            self.max_bytes.store(bytes, Relaxed);
        }
        let least = self.min_plus_one_bytes.load(Relaxed);
        if least == 0 || bytes + 1 < least {
            self.min_plus_one_bytes.store(bytes + 1, Relaxed);
        }
    }

    /// The sizes so far; `None` if there was none.
    pub fn bytes(&self) -> Option<SizeBytes> {
        let min = self.min_plus_one_bytes.load(Relaxed).checked_sub(1)?;
        Some(SizeBytes { last: self.last_bytes.load(Relaxed), min, max: self.max_bytes.load(Relaxed) })
    }

    /// Resets everything.
    pub fn reset(&self) {
        for bytes in [&self.last_bytes, &self.min_plus_one_bytes, &self.max_bytes] {
            bytes.store(0, Relaxed);
        }
    }
}

impl SizeBytes {
    /// Joins the sizes of several threads. Which of them wrote last is not known; the last size is
    /// the first one's.
    pub fn joined(self, other: SizeBytes) -> SizeBytes {
        SizeBytes { last: self.last, min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_reply_is_a_size_and_none_is_not() {
        let sizes = Sizes::default();
        assert_eq!(sizes.bytes(), None);
        sizes.record(40);
        sizes.record(0);
        sizes.record(7);
        assert_eq!(sizes.bytes(), Some(SizeBytes { last: 7, min: 0, max: 40 }));
        sizes.reset();
        assert_eq!(sizes.bytes(), None);
    }

    #[test]
    fn sizes_of_threads_are_joined() {
        let (one, other) = (SizeBytes { last: 5, min: 2, max: 9 }, SizeBytes { last: 6, min: 1, max: 6 });
        assert_eq!(one.joined(other), SizeBytes { last: 5, min: 1, max: 9 });
    }
}
