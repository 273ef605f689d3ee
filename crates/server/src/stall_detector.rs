//! Detects from another thread that the replication thread has stalled.

/// Counts checks at which the replication thread had made no progress. Only another thread can
/// notice that, for example when the disk stalls.
#[derive(Debug, Default)]
pub(crate) struct StallDetector {
    cycles: u64,
    /// Count checks, not time: while the process is suspended, the checking thread is too.
    missed_checks: u32,
}

impl StallDetector {
    /// Given the number of cycles so far, returns at how many checks in a row, this one included,
    /// it had not grown. The first of them may come right after the last cycle.
    pub(crate) fn missed(&mut self, cycles: u64) -> u32 {
        self.missed_checks = if cycles == self.cycles { self.missed_checks.saturating_add(1) } else { 0 };
        self.cycles = cycles;
        self.missed_checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted_until_a_cycle_ends() {
        let mut detector = StallDetector::default();
        let seen = [5, 5, 5, 6, 6, 7, 7, 7].map(|cycles| detector.missed(cycles));
        assert_eq!(seen, [0, 1, 2, 0, 1, 0, 1, 2]);
    }
}
