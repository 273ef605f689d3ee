//! When sessions expire, in ticks.
//!
//! As in ZooKeeper's `ExpiryQueue`, time is divided into ticks, and a session expires at the end of
//! the tick of its deadline: never early and at most one tick late, and a whole bucket of sessions
//! is checked at once.
//!
//! Unlike ZooKeeper's queue it is not updated for every packet. Only when a bucket is due, it asks
//! when each of its sessions was last heard from, and moves the active ones to a later bucket. So a
//! request costs the queue nothing, and a live session costs one check per timeout.
//!
//! A session's silence counts only up to the time until which its server has read its clients'
//! packets. A session whose deadline is later stays in its bucket, undecided, until its server has
//! caught up.

use std::collections::{BTreeMap, BTreeSet};

/// The sessions that one leader monitors. Each leader creates its own, so all timeouts restart with
/// it.
#[derive(Debug)]
pub struct ExpiryQueue {
    /// Width of a bucket, milliseconds. Invariant: at least 1.
    tick_ms: i64,
    /// The end of the tick in which a session is checked next, and the session. The sessions of one
    /// tick are its bucket. A flat set, since thousands of sessions may share a bucket and any of
    /// them may be removed.
    buckets: BTreeSet<(i64, i64)>,
    /// Timeout and bucket of each session. Invariant: the pairs of `buckets`, reversed.
    sessions: BTreeMap<i64, Watched>,
}

/// What is known of a session when its bucket is due.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// When it was last heard from, in milliseconds.
    pub seen_ms: i64,
    /// The time, on the same clock, up to which its server has read its clients' packets.
    pub until_ms: i64,
}

/// The result of checking the due buckets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Sessions that have expired, in the order of their buckets. They are no longer monitored.
    pub expired: Vec<i64>,
    /// Number of sessions past their deadline at servers that have not read that far yet.
    pub undecided: usize,
}

#[derive(Clone, Copy, Debug)]
struct Watched {
    timeout_ms: i64,
    bucket: i64,
}

impl ExpiryQueue {
    /// An empty queue with buckets of `tick_ms` milliseconds (ZooKeeper's `tickTime`; below 1
    /// counts as 1).
    pub fn new(tick_ms: i64) -> Self {
        Self { tick_ms: tick_ms.max(1), buckets: BTreeSet::new(), sessions: BTreeMap::new() }
    }

    /// Starts to monitor a session last heard from at `now_ms`, or restarts its timeout.
    pub fn add(&mut self, session: i64, timeout_ms: i32, now_ms: i64) {
        self.remove(session);
        self.place(session, i64::from(timeout_ms.max(0)), now_ms);
    }

    /// Stops monitoring a session.
    pub fn remove(&mut self, session: i64) {
        if let Some(Watched { bucket, .. }) = self.sessions.remove(&session) {
            self.buckets.remove(&(bucket, session));
        }
    }

    /// Whether the session is monitored.
    pub fn contains(&self, session: i64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Number of sessions monitored.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether no sessions are monitored.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// When to call [`due`](Self::due) next, on the same clock; `None` without sessions.
    pub fn next_due_ms(&self) -> Option<i64> {
        self.buckets.first().map(|&(bucket, _)| bucket)
    }

    /// The sessions that have expired by `now_ms`. `heard` returns what is known of a session, on
    /// the same clock.
    pub fn due(&mut self, now_ms: i64, heard: &mut dyn FnMut(i64) -> Heard) -> Due {
        let mut expired = Vec::new();
        let mut undecided = Vec::new();
        while let Some(&(bucket, session)) = self.buckets.first()
            && bucket <= now_ms
        {
            self.buckets.pop_first();
            let watched = self.sessions.remove(&session).expect("a session in a bucket is monitored");
            let Heard { seen_ms, until_ms } = heard(session);
            let deadline_ms = self.bucket(seen_ms, watched.timeout_ms);
            if deadline_ms > now_ms {
                self.place(session, watched.timeout_ms, seen_ms);
            } else if deadline_ms <= until_ms {
                expired.push(session);
            } else {
                undecided.push((session, watched.timeout_ms, seen_ms));
            }
        }
        for (session, timeout_ms, seen_ms) in &undecided {
            self.place(*session, *timeout_ms, *seen_ms);
        }
        Due { expired, undecided: undecided.len() }
    }

    /// The time of the next check and the session, sorted by time, for the `dump` command.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, i64)> {
        self.buckets.iter().copied()
    }

    fn place(&mut self, session: i64, timeout_ms: i64, seen_ms: i64) {
        let bucket = self.bucket(seen_ms, timeout_ms);
        self.buckets.insert((bucket, session));
        self.sessions.insert(session, Watched { timeout_ms, bucket });
    }

    /// The end of the tick of the deadline; a deadline on a boundary gets the next tick, as in
    /// ZooKeeper's `roundToNextInterval`.
    fn bucket(&self, seen_ms: i64, timeout_ms: i64) -> i64 {
        let deadline = seen_ms.saturating_add(timeout_ms);
        (deadline.div_euclid(self.tick_ms)).saturating_add(1).saturating_mul(self.tick_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sessions that expire at servers that have read everything.
    fn expired(queue: &mut ExpiryQueue, now_ms: i64, seen_ms: impl Fn(i64) -> i64) -> Vec<i64> {
        let due = queue.due(now_ms, &mut |session| Heard { seen_ms: seen_ms(session), until_ms: now_ms });
        assert_eq!(due.undecided, 0);
        due.expired
    }

    /// A server that has not read its clients' packets cannot tell which of them are silent. Once
    /// it has, no tick is lost: the sessions that stayed silent expire at once.
    #[test]
    fn no_session_expires_before_its_server_has_read_its_packets() {
        let mut queue = ExpiryQueue::new(1000);
        queue.add(1, 3000, 0);
        queue.add(2, 3000, 0);
        let due = queue.due(5000, &mut |_| Heard { seen_ms: 0, until_ms: 3999 });
        assert_eq!(due, Due { expired: vec![], undecided: 2 });
        let mut heard = |session| Heard { seen_ms: if session == 1 { 4500 } else { 0 }, until_ms: 5000 };
        assert_eq!(queue.due(5001, &mut heard), Due { expired: vec![2], undecided: 0 });
        assert_eq!(queue.buckets().collect::<Vec<_>>(), [(8000, 1)]);
    }

    #[test]
    fn rule_31_expiry_is_rounded_up_to_the_end_of_a_tick() {
        let mut queue = ExpiryQueue::new(2000);
        queue.add(1, 4000, 100);
        assert_eq!(queue.next_due_ms(), Some(6000));
        assert_eq!(expired(&mut queue, 5999, |_| 100), []);
        assert_eq!(expired(&mut queue, 6000, |_| 100), [1]);
        assert!(queue.is_empty());
        queue.add(2, 2000, 2000);
        assert_eq!(queue.next_due_ms(), Some(6000), "a deadline on a boundary belongs to the next tick");
    }

    #[test]
    fn rule_31_any_packet_refreshes_the_session() {
        let mut queue = ExpiryQueue::new(1000);
        queue.add(1, 3000, 0);
        queue.add(2, 3000, 0);
        let seen = |session| if session == 1 { 2500 } else { 0 };
        assert_eq!(expired(&mut queue, 4000, seen), [2]);
        assert_eq!(queue.buckets().collect::<Vec<_>>(), [(6000, 1)]);
        assert_eq!(expired(&mut queue, 6000, seen), [1]);
    }

    #[test]
    fn a_removed_session_never_expires() {
        let mut queue = ExpiryQueue::new(1000);
        queue.add(1, 3000, 0);
        queue.add(2, 3000, 0);
        queue.remove(1);
        queue.remove(7);
        assert!(!queue.contains(1) && queue.contains(2));
        assert_eq!(expired(&mut queue, i64::MAX, |_| 0), [2]);
        assert_eq!(queue.buckets().count(), 0);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut queue = ExpiryQueue::new(0);
        queue.add(1, i32::MAX, i64::MAX);
        queue.add(2, -5, i64::MIN);
        assert_eq!(expired(&mut queue, 0, |_| i64::MIN), [2]);
        assert_eq!(queue.len(), 1);
    }
}
