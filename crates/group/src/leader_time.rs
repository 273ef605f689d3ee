//! The leader's clock as of its last message.
//!
//! A server reports to the leader up to which time it has read what its clients sent. The delay of
//! a report is unknown, and a leader that dated a report by its arrival would judge clients whose
//! packets the server had not read by then. So the report is dated by the leader's own clock: the
//! time that the leader sent, plus the time since that arrived. That message was delayed as well,
//! so the date is never later than the true one.

/// See the module documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderTime {
    /// The leader's term.
    pub term: u64,
    /// The leader's clock in its message, in ms.
    pub leader_ms: i64,
    /// This server's clock when that message arrived, in ms.
    pub heard_ms: i64,
}

impl LeaderTime {
    /// Converts a time of this server's clock to the leader's clock; the result may be too early,
    /// never too late.
    pub fn by_leader(&self, ms: i64) -> i64 {
        self.leader_ms.saturating_add(ms - self.heard_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_on_the_leaders_clock_is_never_too_late() {
        // The leader's clock is 1000 ms ahead, and its message took 30 ms.
        let time = LeaderTime { term: 1, leader_ms: 6_000, heard_ms: 5_030 };
        assert_eq!(time.by_leader(5_100), 6_070);
        assert_eq!(time.by_leader(4_000), 4_970, "also before that");
    }
}
