//! Which connection a session is on, when it was last heard of, and ids for new ones.
//!
//! That a session exists, with its timeout and ephemerals, is replicated state and belongs to the machine. Here is only what this
//! server knows of its own clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use crate::config::ServerId;
use hashbrown::HashMap;
use parking_lot::Mutex;
use replica::Token;
use state::expiry::{Due, ExpiryQueue, Heard};

/// One living session as this server sees it.
#[derive(Debug)]
struct Entry {
    /// When a packet of the session was last read, in ms of the server's clock. The connection's thread writes it without a lock;
    /// the expiry queue looks only when the session's bucket is due.
    seen_ms: Arc<AtomicI64>,
    timeout_ms: i32,
    /// The connection it is on, if any.
    owner: Option<Token>,
    /// Its end is on the way through the log: nobody may take it up again.
    closing: bool,
}

/// All living sessions.
pub struct SessionTable {
    inner: Mutex<Inner>,
    next_id: AtomicI64,
    /// The shortest timeout of a session with a connection here, or shorter: rises only when all are
    /// looked at.
    shortest_timeout_ms: AtomicI32,
}

struct Inner {
    entries: HashMap<i64, Entry>,
    expiry: ExpiryQueue,
    /// The leader has been told of everybody who was heard of before this.
    told_until_ms: i64,
}

/// A session that was heard of here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Which.
    pub session: i64,
    /// How long ago, in ms.
    pub age_ms: u32,
}

/// A session was taken up by a connection.
#[derive(Debug)]
pub struct TakenUp {
    /// Where its connection notes when it last heard of it.
    pub seen_ms: Arc<AtomicI64>,
    /// The connection it was on before, which must close.
    pub previous: Option<Token>,
}

impl SessionTable {
    /// No sessions. `server_id` is the top byte of new ids, `now_ms` (wall clock) the rest, as `SessionTrackerImpl.initializeNextSessionId`
    /// does, so that ids of two runs and two servers do not meet. `tick_ms` is the width of the expiry buckets.
    pub fn new(server_id: ServerId, now_ms: i64, tick_ms: i64) -> SessionTable {
        SessionTable {
            inner: Mutex::new(Inner {
                entries: HashMap::new(),
                expiry: ExpiryQueue::new(tick_ms),
                told_until_ms: 0,
            }),
            next_id: AtomicI64::new(first_id(server_id, now_ms)),
            shortest_timeout_ms: AtomicI32::new(i32::MAX),
        }
    }

    /// An id no session of this server had.
    pub fn next_id(&self) -> i64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Living sessions.
    pub fn len(&self) -> usize {
        self.inner.lock().entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A session exists from now on, with nobody on it yet.
    pub fn opened(&self, session: i64, timeout_ms: i32, now_ms: i64) {
        let mut inner = self.inner.lock();
        let seen_ms = Arc::new(AtomicI64::new(now_ms));
        let entry = Entry { seen_ms, timeout_ms, owner: None, closing: false };
        inner.entries.insert(session, entry);
        inner.expiry.add(session, timeout_ms, now_ms);
    }

    /// A connection takes the session up; `None` if it is gone or going.
    pub fn take_up(&self, session: i64, token: Token, timeout_ms: i32, now_ms: i64) -> Option<TakenUp> {
        let mut inner = self.inner.lock();
        let entry = inner.entries.get_mut(&session).filter(|e| !e.closing)?;
        let previous = entry.owner.replace(token).filter(|previous| *previous != token);
        entry.timeout_ms = timeout_ms;
        entry.seen_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.shortest_timeout_ms.fetch_min(timeout_ms, Ordering::Relaxed);
        let taken = TakenUp { seen_ms: Arc::clone(&entry.seen_ms), previous };
        inner.expiry.add(session, timeout_ms, now_ms);
        Some(taken)
    }

    /// The connection is gone; the session lives on until it is taken up again or expires.
    pub fn left(&self, session: i64, token: Token) -> bool {
        let mut inner = self.inner.lock();
        match inner.entries.get_mut(&session) {
            Some(entry) if entry.owner == Some(token) => {
                entry.owner = None;
                true
            }
            _ => false,
        }
    }

    /// The session has ended; its connection, if it is here.
    pub fn closed(&self, session: i64) -> Option<Token> {
        let mut inner = self.inner.lock();
        inner.expiry.remove(session);
        inner.entries.remove(&session)?.owner
    }

    /// The session is a client of another server from now on; the connection it had here.
    pub fn moved_away(&self, session: i64) -> Option<Token> {
        self.inner.lock().entries.get_mut(&session)?.owner.take()
    }

    /// Another server has heard of the session at that time.
    pub fn touch(&self, session: i64, seen_ms: i64) {
        if let Some(entry) = self.inner.lock().entries.get(&session) {
            entry.seen_ms.fetch_max(seen_ms, Ordering::Relaxed);
        }
    }

    /// Sessions with a connection here that were heard of since the leader was last told.
    pub fn touched(&self, now_ms: i64) -> Vec<Touch> {
        let inner = self.inner.lock();
        let mut shortest_ms = i32::MAX;
        let mut touched = Vec::new();
        for (session, entry) in inner.entries.iter().filter(|(_, entry)| entry.owner.is_some()) {
            shortest_ms = shortest_ms.min(entry.timeout_ms);
            let seen_ms = entry.seen_ms.load(Ordering::Relaxed);
            if seen_ms >= inner.told_until_ms {
                let age_ms = u32::try_from((now_ms - seen_ms).max(0)).unwrap_or(u32::MAX);
                touched.push(Touch { session: *session, age_ms });
            }
        }
        // Under the lock, so that no shorter one is missed that a connection takes up now.
        self.shortest_timeout_ms.store(shortest_ms, Ordering::Relaxed);
        drop(inner);
        touched.sort_unstable_by_key(|touch| touch.session);
        touched
    }

    /// The leader has been told of everybody who was heard of before that. Whoever reads clients' packets
    /// must be done with all that came earlier, for what it notes later with an earlier time is never told.
    pub fn told(&self, until_ms: i64) {
        self.inner.lock().told_until_ms = until_ms;
    }

    /// The shortest timeout of the sessions with a connection here; `i32::MAX` without any. It may be the
    /// timeout of a session that has just gone.
    pub fn shortest_timeout_ms(&self) -> i32 {
        self.shortest_timeout_ms.load(Ordering::Relaxed)
    }

    /// Time in which this server could not listen does not count: every session keeps what it had left of
    /// its timeout before that.
    pub fn forgive(&self, pause_ms: i64, now_ms: i64) {
        for entry in self.inner.lock().entries.values() {
            let seen_ms = entry.seen_ms.load(Ordering::Relaxed);
            entry.seen_ms.fetch_max((seen_ms + pause_ms).min(now_ms), Ordering::Relaxed);
        }
    }

    /// The session has its whole timeout again, and is not about to end.
    pub fn renew(&self, session: i64, timeout_ms: i32, now_ms: i64) {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.entries.get_mut(&session) {
            entry.closing = false;
            entry.timeout_ms = timeout_ms;
            entry.seen_ms.fetch_max(now_ms, Ordering::Relaxed);
            inner.expiry.add(session, timeout_ms, now_ms);
        }
    }

    /// These are all the sessions there are, with their timeouts in ms; none of them has a connection here.
    pub fn replace(&self, sessions: impl Iterator<Item = (i64, i32)>, now_ms: i64) {
        let known: Vec<i64> = self.inner.lock().entries.keys().copied().collect();
        for session in known {
            self.closed(session);
        }
        sessions.for_each(|(session, timeout_ms)| self.opened(session, timeout_ms, now_ms));
    }

    /// Sessions not heard of for their timeout. Each is named once and cannot be taken up any more.
    /// `read_until` tells until when the server that has a session's connection has read what came.
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

    /// No session is about to end any more: whoever wanted that has nothing to say now.
    pub fn spare(&self) {
        self.inner.lock().entries.values_mut().for_each(|entry| entry.closing = false);
    }

    /// The end of these sessions could not be replicated (disk full): they are as before, to be tried again after one more tick.
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

    /// When each session would expire, in ms of the server's clock, if it is not heard of before.
    pub fn expiries(&self) -> Vec<(i64, i64)> {
        self.inner.lock().expiry.buckets().collect()
    }
}

/// `SessionTrackerImpl.initializeNextSessionId`: of a server's number the lowest byte.
fn first_id(server_id: ServerId, now_ms: i64) -> i64 {
    let low = ((now_ms << 24) as u64 >> 8) as i64;
    low | (i64::from(server_id) << 56)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_the_server_in_their_top_byte() {
        let a = first_id(3, 1_700_000_000_123);
        assert_eq!((a as u64) >> 56, 3);
        assert_ne!(a, first_id(3, 1_700_000_000_124));
    }

    #[test]
    fn a_session_taken_up_twice_names_the_connection_that_must_go() {
        let table = SessionTable::new(0, 0, 2000);
        table.opened(1, 6000, 0);
        assert_eq!(table.take_up(1, Token(7), 6000, 0).map(|t| t.previous), Some(None));
        assert_eq!(table.take_up(1, Token(8), 6000, 0).map(|t| t.previous), Some(Some(Token(7))));
        assert!(!table.left(1, Token(7)), "the connection it moved from has no say any more");
        assert!(table.left(1, Token(8)));
    }

    #[test]
    fn an_expired_session_cannot_be_taken_up() {
        let table = SessionTable::new(0, 0, 2000);
        table.opened(1, 4000, 0);
        let seen = table.take_up(1, Token(7), 4000, 0).expect("it lives").seen_ms;
        seen.store(3000, Ordering::Relaxed);
        assert_eq!(table.expired(6000, |_| 6000).expired, [0; 0], "it was heard of at 3000");
        assert_eq!(table.expired(60_000, |_| 60_000).expired, [1]);
        assert!(table.take_up(1, Token(8), 4000, 60_000).is_none());
        table.spare();
        assert!(table.take_up(1, Token(7), 4000, 60_000).is_some(), "its end was never agreed");
        assert_eq!(table.closed(1), Some(Token(7)));
    }
    /// A server that was stopped heard nobody meanwhile. Every session has as much of its timeout left
    /// afterwards as before, and no more than if it had been heard of just now.
    #[test]
    fn a_pause_of_the_server_is_no_silence_of_its_clients() {
        let table = SessionTable::new(0, 0, 1000);
        table.opened(1, 4000, 1000);
        table.opened(2, 4000, 60_900);
        table.forgive(60_000, 61_000);
        assert_eq!(table.expired(65_999, |_| 65_999).expired, [0; 0], "1 has the 4 s that it had left");
        assert_eq!(table.expired(66_000, |_| 66_000).expired, [1, 2]);
    }

    /// What a connection thread notes with a time at which it has not read everything yet must be told with
    /// the next report, however late the note is.
    #[test]
    fn everybody_heard_of_is_told_with_the_time_since_then() {
        let table = SessionTable::new(0, 0, 1000);
        table.opened(1, 4000, 0);
        table.opened(2, 200, 0);
        assert_eq!(table.touched(0), [], "nobody is connected");
        let seen = table.take_up(1, Token(1), 4000, 10).expect("it lives").seen_ms;
        table.take_up(2, Token(2), 200, 20).expect("it lives");
        assert_eq!(table.shortest_timeout_ms(), 200);
        let touch = |session, age_ms| Touch { session, age_ms };
        assert_eq!(table.touched(50), [touch(1, 40), touch(2, 30)]);
        table.told(30);
        seen.store(35, Ordering::Relaxed);
        assert_eq!(table.touched(60), [touch(1, 25)]);
        assert!(table.left(2, Token(2)));
        table.touched(60);
        assert_eq!(table.shortest_timeout_ms(), 4000);
    }
}
