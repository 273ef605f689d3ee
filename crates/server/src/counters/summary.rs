//! Summaries of recorded values.

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
