//! Which connection each session is on, when each was last heard from, and ids for new sessions.
//!
//! That a session exists, its timeout and its ephemerals are replicated state and belong to the
//! machine. This module holds only what this server knows of its own clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use crate::Token;
use hashbrown::HashMap;
use parking_lot::Mutex;
use state::expiry::{Due, ExpiryQueue, Heard};
use state::members::ServerId;
use state::session::Session;

/// One living session as this server sees it.
#[derive(Debug)]
struct Entry {
    /// When a packet of the session was last read, in ms of the server's clock. The connection's
    /// thread writes it without a lock; the expiry queue reads it only when the session's bucket is
    /// due.
    seen_ms: Arc<AtomicI64>,
    timeout_ms: i32,
    /// The connection it is on, if any.
    owner: Option<Token>,
    /// Its connection here has ended, and the leader may still judge it by this server's reports.
    has_left: bool,
    /// Its end is on its way through the log: no client may resume it.
    closing: bool,
}

/// All living sessions.
pub struct SessionTable {
    inner: Mutex<Inner>,
    /// The top byte of new ids, shifted into place.
    top: i64,
    /// The rest of the next id. Only its low 56 bits count.
    next_id: AtomicI64,
    /// A lower bound of the timeouts of the sessions that this server reports on; rises only when
    /// all of them are checked.
    shortest_timeout_ms: AtomicI32,
}

const TOP_BYTE_SHIFT: u32 = 56;
const LOW_BITS: i64 = (1 << TOP_BYTE_SHIFT) - 1;
/// Greatest top byte of a session's id.
const TOP_BYTE_MAX: ServerId = 0xFE;

/// Number of timeouts after which the leader has certainly judged a silent session, provided it was
/// told in time up to when the session was silent.
const JUDGED_TIMEOUTS: i64 = 2;

struct Inner {
    entries: HashMap<i64, Entry>,
    expiry: ExpiryQueue,
    /// Sessions heard from before this time have been reported to the leader.
    told_until_ms: i64,
}

/// A session that was heard from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The session's id.
    pub session: i64,
    /// How long ago, in ms.
    pub age_ms: u32,
}

impl SessionTable {
    /// An empty table. The lowest byte of `server_id` is the top byte of new ids, `now_ms` (wall
    /// clock) the rest, as in `SessionTrackerImpl.initializeNextSessionId`, so that ids of two runs
    /// and of two servers differ. `tick_ms` is the width of the expiry buckets.
    ///
    /// An id that begins with 0xff would make its session's ephemerals look like TTL nodes, so a
    /// server whose id ends in 0xff uses 0xfe, as its neighbour does. Should both give out the same
    /// id, the log accepts only one of them.
    pub fn new(server_id: ServerId, now_ms: i64, tick_ms: i64) -> SessionTable {
        SessionTable {
            inner: Mutex::new(Inner {
                entries: HashMap::new(),
                expiry: ExpiryQueue::new(tick_ms),
                told_until_ms: 0,
            }),
            top: i64::from((server_id & 0xFF).min(TOP_BYTE_MAX)) << TOP_BYTE_SHIFT,
            next_id: AtomicI64::new(((now_ms << 24).cast_unsigned() >> 8).cast_signed()),
            shortest_timeout_ms: AtomicI32::new(i32::MAX),
        }
    }

    /// An id that no session of this server has had since it started and that no known living
    /// session has.
    pub fn next_id(&self) -> i64 {
        let inner = self.inner.lock();
        loop {
            let id = self.top | (self.next_id.fetch_add(1, Ordering::Relaxed) & LOW_BITS);
            if Session::may_have(id) && !inner.entries.contains_key(&id) {
                return id;
            }
        }
    }

    /// Living sessions.
    pub fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A session exists from now on, without a connection here so far.
    pub fn opened(&self, session: i64, timeout_ms: i32, now_ms: i64) {
        let mut inner = self.inner.lock();
        let seen_ms = Arc::new(AtomicI64::new(now_ms));
        let entry = Entry { seen_ms, timeout_ms, owner: None, has_left: false, closing: false };
        inner.entries.insert(session, entry);
        inner.expiry.add(session, timeout_ms, now_ms);
    }

    /// The session is on this connection from now on, or on none of this server.
    pub fn set_owner(&self, session: i64, owner: Option<Token>) {
        if let Some(entry) = self.inner.lock().entries.get_mut(&session) {
            entry.owner = owner;
            if owner.is_some() {
                self.shortest_timeout_ms.fetch_min(entry.timeout_ms, Ordering::Relaxed);
            }
        }
    }

    /// Where a connection records when it heard from its session; `None` if the session has ended
    /// or has left this connection.
    pub fn seen_by(&self, session: i64, token: Token) -> Option<Arc<AtomicI64>> {
        let inner = self.inner.lock();
        let entry = inner.entries.get(&session).filter(|entry| entry.owner == Some(token))?;
        Some(Arc::clone(&entry.seen_ms))
    }

    /// Whether the session's end is on its way through the log.
    pub fn is_ending(&self, session: i64) -> bool {
        self.inner.lock().entries.get(&session).is_some_and(|entry| entry.closing)
    }

    /// The connection has ended; the session lives on until it is resumed or expires.
    pub fn left(&self, session: i64, token: Token) -> bool {
        let mut inner = self.inner.lock();
        match inner.entries.get_mut(&session) {
            Some(entry) if entry.owner == Some(token) => {
                entry.owner = None;
                entry.has_left = true;
                true
            }
            _ => false,
        }
    }

    /// Removes a session that has ended. Returns its connection, if it is on this server.
    pub fn closed(&self, session: i64) -> Option<Token> {
        let mut inner = self.inner.lock();
        inner.expiry.remove(session);
        inner.entries.remove(&session)?.owner
    }

    /// The session was heard from at that time, here or by another server.
    pub fn touch(&self, session: i64, seen_ms: i64) {
        if let Some(entry) = self.inner.lock().entries.get(&session) {
            entry.seen_ms.fetch_max(seen_ms, Ordering::Relaxed);
        }
    }

    /// Sessions heard from here since the last report to the leader, over a connection that is open
    /// or has ended since.
    pub fn touched(&self, now_ms: i64) -> Vec<Touch> {
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        let mut shortest_ms = i32::MAX;
        let mut touched = Vec::new();
        let is_here = |entry: &Entry| entry.owner.is_some() || entry.has_left;
        for (session, entry) in inner.entries.iter_mut().filter(|(_, entry)| is_here(entry)) {
            let seen_ms = entry.seen_ms.load(Ordering::Relaxed);
            let judged_by_ms = seen_ms + JUDGED_TIMEOUTS * i64::from(entry.timeout_ms);
            entry.has_left &= inner.told_until_ms <= judged_by_ms;
            if is_here(entry) {
                shortest_ms = shortest_ms.min(entry.timeout_ms);
            }
            if seen_ms >= inner.told_until_ms {
                let age_ms = u32::try_from((now_ms - seen_ms).max(0)).unwrap_or(u32::MAX);
                touched.push(Touch { session: *session, age_ms });
            }
        }
        // Under the lock, so that the shorter timeout of a session that a connection resumes now is
        // not lost.
        self.shortest_timeout_ms.store(shortest_ms, Ordering::Relaxed);
        drop(guard);
        touched.sort_unstable_by_key(|touch| touch.session);
        touched
    }

    /// Sessions heard from before this time have been reported to the leader. Connection threads
    /// must have recorded everything that came earlier: what they record later with an earlier time
    /// is never reported.
    pub fn told(&self, until_ms: i64) {
        self.inner.lock().told_until_ms = until_ms;
    }

    /// The shortest timeout of the sessions whose connection is here or has just ended here;
    /// `i32::MAX` if there are none.
    pub fn shortest_timeout_ms(&self) -> i32 {
        self.shortest_timeout_ms.load(Ordering::Relaxed)
    }

    /// Discounts a pause in which this server could not read its sockets: every session keeps the
    /// part of its timeout that was left before the pause.
    pub fn forgive(&self, pause_ms: i64, now_ms: i64) {
        for entry in self.inner.lock().entries.values() {
            let seen_ms = entry.seen_ms.load(Ordering::Relaxed);
            entry.seen_ms.fetch_max((seen_ms + pause_ms).min(now_ms), Ordering::Relaxed);
        }
    }

    /// Restarts the session's timeout; the session is no longer about to end.
    pub fn renew(&self, session: i64, timeout_ms: i32, now_ms: i64) {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.entries.get_mut(&session) {
            entry.closing = false;
            entry.timeout_ms = timeout_ms;
            entry.seen_ms.fetch_max(now_ms, Ordering::Relaxed);
            inner.expiry.add(session, timeout_ms, now_ms);
        }
    }

    /// Replaces all sessions by these, with their timeouts in ms; none of them has a connection
    /// here.
    pub fn replace(&self, sessions: impl Iterator<Item = (i64, i32)>, now_ms: i64) {
        let known: Vec<i64> = self.inner.lock().entries.keys().copied().collect();
        for session in known {
            self.closed(session);
        }
        sessions.for_each(|(session, timeout_ms)| self.opened(session, timeout_ms, now_ms));
    }

    /// Sessions not heard from for their timeout. Each is returned once and cannot be resumed any
    /// more. `read_until` tells up to which time the server with the session's connection has read
    /// its sockets.
    pub fn expired(&self, now_ms: i64, read_until: impl Fn(i64) -> i64) -> Due {
        let mut guard = self.inner.lock();
        let Inner { entries, expiry, .. } = &mut *guard;
        let due = expiry.due(now_ms, &mut |session| Heard {
            seen_ms: entries.get(&session).map_or(i64::MIN, |e| e.seen_ms.load(Ordering::Relaxed)),
            until_ms: read_until(session),
        });
        for session in &due.expired {
            if let Some(entry) = entries.get_mut(session) {
                entry.closing = true;
            }
        }
        due
    }

    /// No session is about to end any more: the leader that decided so no longer leads.
    pub fn spare(&self) {
        self.inner.lock().entries.values_mut().for_each(|entry| entry.closing = false);
    }

    /// The end of these sessions could not be replicated because the disk is full: they live on,
    /// and expire again one tick later.
    pub fn reprieve(&self, sessions: &[(i64, i32)], now_ms: i64) {
        let mut inner = self.inner.lock();
        for &(session, timeout_ms) in sessions {
            if let Some(entry) = inner.entries.get_mut(&session) {
                entry.closing = false;
                let overdue_ms = now_ms - i64::from(timeout_ms);
                inner.expiry.add(session, timeout_ms, overdue_ms);
            }
        }
    }

    /// When each session expires unless it is heard from before, in ms of the server's clock.
    pub fn expiries(&self) -> Vec<(i64, i64)> {
        self.inner.lock().expiry.buckets().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_server_in_their_top_byte() {
        let first = |server, now_ms| SessionTable::new(server, now_ms, 2000).next_id();
        let a = first(3, 1_700_000_000_123);
        assert_eq!((a as u64) >> 56, 3);
        assert_ne!(a, first(3, 1_700_000_000_124));
    }

    /// A server with id 255 gave out ids that cannot own an ephemeral, and its clients believed
    /// that they had a session.
    #[test]
    fn every_server_gives_out_ids_that_a_session_may_have() {
        for server in 0..=300 {
            for now_ms in [0, 1, -1, (1 << 40) - 1, 1_700_000_000_123, i64::MAX, i64::MIN] {
                let table = SessionTable::new(server, now_ms, 2000);
                let ids: Vec<i64> = (0..3).map(|_| table.next_id()).collect();
                assert!(ids.iter().all(|id| Session::may_have(*id)), "server {server} at {now_ms}: {ids:x?}");
                assert!(
                    ids.iter().all(|id| (id >> 56) as u8 == (server as u8).min(0xFE)),
                    "{server}: {ids:x?}"
                );
            }
        }
    }

    /// When the wall clock showed the same time at two starts, the first id given out was that of a
    /// session still alive.
    #[test]
    fn an_id_of_a_living_session_is_not_given_out_again() {
        let earlier = SessionTable::new(1, 1_000_000_000_000, 2000);
        let table = SessionTable::new(1, 1_000_000_000_000, 2000);
        let living: Vec<i64> = (0..3).map(|_| earlier.next_id()).collect();
        living.iter().for_each(|session| table.opened(*session, 6000, 0));
        assert!(!living.contains(&table.next_id()));
    }

    #[test]
    fn a_connection_that_lost_its_session_cannot_end_it() {
        let table = SessionTable::new(0, 0, 2000);
        table.opened(1, 6000, 0);
        table.set_owner(1, Some(Token(7)));
        assert!(table.seen_by(1, Token(7)).is_some());
        table.set_owner(1, Some(Token(8)));
        assert!(table.seen_by(1, Token(7)).is_none());
        assert!(!table.left(1, Token(7)));
        assert!(table.left(1, Token(8)));
    }

    #[test]
    fn an_expired_session_is_ending_until_it_is_spared() {
        let table = SessionTable::new(0, 0, 2000);
        table.opened(1, 4000, 0);
        table.set_owner(1, Some(Token(7)));
        table.seen_by(1, Token(7)).expect("it lives").store(3000, Ordering::Relaxed);
        assert_eq!(table.expired(6000, |_| 6000).expired, [0; 0], "it was heard from at 3000");
        assert_eq!(table.expired(60_000, |_| 60_000).expired, [1]);
        assert!(table.is_ending(1));
        table.spare();
        assert!(!table.is_ending(1), "its end was never committed");
        assert_eq!(table.closed(1), Some(Token(7)));
    }
    /// A suspended server hears from no client. Afterwards every session has as much of its timeout
    /// left as before, and at most its whole timeout.
    #[test]
    fn a_pause_of_the_server_does_not_count_as_silence_of_its_clients() {
        let table = SessionTable::new(0, 0, 1000);
        table.opened(1, 4000, 1000);
        table.opened(2, 4000, 60_900);
        table.forgive(60_000, 61_000);
        assert_eq!(table.expired(65_999, |_| 65_999).expired, [0; 0], "session 1 has the 4 s that were left");
        assert_eq!(table.expired(66_000, |_| 66_000).expired, [1, 2]);
    }

    /// What a connection thread records with a time up to which not everything has been read must
    /// be in the next report, however late it is recorded.
    #[test]
    fn every_session_heard_from_is_reported_with_its_age() {
        let table = SessionTable::new(0, 0, 1000);
        table.opened(1, 4000, 0);
        table.opened(2, 200, 0);
        assert_eq!(table.touched(0), [], "no session has a connection");
        for (session, heard_ms) in [(1, 10), (2, 20)] {
            table.set_owner(session, Some(Token(session as u64)));
            table.touch(session, heard_ms);
        }
        let seen = table.seen_by(1, Token(1)).expect("it lives");
        assert_eq!(table.shortest_timeout_ms(), 200);
        let touch = |session, age_ms| Touch { session, age_ms };
        assert_eq!(table.touched(50), [touch(1, 40), touch(2, 30)]);
        table.told(30);
        seen.store(35, Ordering::Relaxed);
        assert_eq!(table.touched(60), [touch(1, 25)]);
        assert!(table.left(2, Token(2)));
        table.touched(60);
        assert_eq!(table.shortest_timeout_ms(), 200, "the leader waits for reports to end it");
        table.told(421);
        table.touched(430);
        assert_eq!(table.shortest_timeout_ms(), 4000);
    }

    /// What a connection had read shortly before it ended was never reported to the leader, which
    /// ended the session by the last report before.
    #[test]
    fn what_a_connection_read_before_it_ended_is_reported_too() {
        let table = SessionTable::new(0, 0, 1000);
        table.opened(1, 500, 0);
        table.set_owner(1, Some(Token(1)));
        table.touch(1, 20);
        table.told(10);
        assert!(table.left(1, Token(1)));
        assert_eq!(table.touched(50), [Touch { session: 1, age_ms: 30 }]);
        table.told(i64::MIN);
        assert_eq!(table.touched(60), [Touch { session: 1, age_ms: 40 }], "the first report was lost");
        table.told(55);
        assert_eq!(table.touched(70), [], "it was reported");
    }
}
