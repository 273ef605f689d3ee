//! How long each step may take.

/// Limits of time, in ms. Each step has one; none of them decides what is right, only when the next
/// attempt is made, and when a transaction that could still go on is aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A vote that has not come after this time is taken for a refusal.
    pub prepare_timeout_ms: u64,
    /// A write or read of the log that is not answered after this time is tried again.
    pub log_timeout_ms: u64,
    /// A request to a participant, other than prepare, that is not answered after this time is
    /// tried again. A commit without prepare is not: the caller is told that nobody knows.
    pub finish_timeout_ms: u64,
    /// A caller is told after this time that the log does not say what was decided. The coordinator
    /// continues to ask.
    pub decide_patience_ms: u64,
    /// A caller is told of the decision this long after it is known, though branches are not
    /// finished. 0: as soon as it is known.
    pub finish_patience_ms: u64,
    /// The wait before the first repetition of a step that failed; each further wait is twice as
    /// long.
    pub retry_first_ms: u64,
    /// The longest wait between two attempts.
    pub retry_max_ms: u64,
    /// Recovery aborts an undecided transaction of a coordinator that still lives this long after
    /// it has first seen one of its branches. Longer than a transaction takes that is not stuck.
    pub abandon_after_ms: u64,
    /// Recovery rolls back what a dead coordinator left undecided this long after it has first seen
    /// one of its branches.
    pub orphan_grace_ms: u64,
    /// Recovery looks this often whether a coordinator with open transactions still lives.
    pub watch_ms: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            prepare_timeout_ms: 10_000,
            log_timeout_ms: 2_000,
            finish_timeout_ms: 5_000,
            decide_patience_ms: 15_000,
            finish_patience_ms: 5_000,
            retry_first_ms: 50,
            retry_max_ms: 5_000,
            abandon_after_ms: 30_000,
            orphan_grace_ms: 1_000,
            watch_ms: 500,
        }
    }
}

impl Settings {
    /// The wait in ms before attempt `attempt`, where the first repetition is 1.
    pub(crate) fn wait_ms(&self, attempt: u32) -> u64 {
        let doublings = attempt.saturating_sub(1).min(20);
        self.retry_first_ms.saturating_mul(1 << doublings).min(self.retry_max_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_limit() {
        let settings = Settings { retry_first_ms: 50, retry_max_ms: 1_000, ..Settings::default() };
        let waits: Vec<u64> = (1..=7).map(|attempt| settings.wait_ms(attempt)).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(settings.wait_ms(u32::MAX), 1_000);
        let never = Settings { retry_first_ms: u64::MAX, retry_max_ms: u64::MAX, ..settings };
        assert_eq!(never.wait_ms(3), u64::MAX);
    }
}
