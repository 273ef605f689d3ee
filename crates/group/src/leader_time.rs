//! What the leader's clock showed when it was last heard of.
//!
//! A server tells the leader until when it has read what its clients sent. How long a report is on
//! its way nobody knows, and a leader that took it for a report of just now would judge clients
//! whose packets the server had not read by then. So the moment is told by the leader's own clock:
//! the time that the leader named, and what has passed here since that arrived. It was on its way
//! as well, so the moment told is never later than the true one.

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderTime {
    /// The leadership.
    pub term: u64,
    /// What its clock showed, in ms.
    pub leader_ms: i64,
    /// What this server's clock showed when it heard of that, in ms.
    pub heard_ms: i64,
}

impl LeaderTime {
    /// A moment of this server's clock, by the leader's clock, or earlier.
    pub fn by_leader(&self, ms: i64) -> i64 {
        self.leader_ms.saturating_add(ms - self.heard_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_by_the_leaders_clock_is_never_later_than_it_was() {
        // The leader's clock is 1000 ms ahead, and what it said was 30 ms on its way.
        let time = LeaderTime { term: 1, leader_ms: 6_000, heard_ms: 5_030 };
        assert_eq!(time.by_leader(5_100), 6_070);
        assert_eq!(time.by_leader(4_000), 4_970, "also before that");
    }
}
