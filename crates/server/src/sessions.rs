//! Which connection a session is on, when it was last heard of, and ids for new ones.
//!
//! That a session exists, with its timeout and ephemerals, is replicated state and belongs to the machine. Here is only what this
//! server knows of its own clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::config::ServerId;
use hashbrown::HashMap;
use parking_lot::Mutex;
use replica::Token;
use state::expiry::ExpiryQueue;

/// One living session as this server sees it.
#[derive(Debug)]
struct Entry {
    /// When a packet of the session was last read, in ms of the server's clock. The connection's thread writes it without a lock;
    /// the expiry queue looks only when the session's bucket is due.
    seen_ms: Arc<AtomicI64>,
    /// The connection it is on, if any.
    owner: Option<Token>,
    /// Its end is on the way through the log: nobody may take it up again.
    closing: bool,
}

/// All living sessions.
pub struct SessionTable {
    inner: Mutex<Inner>,
    next_id: AtomicI64,
}

struct Inner {
    entries: HashMap<i64, Entry>,
    expiry: ExpiryQueue,
    /// When the leader was last told who was heard of.
    told_ms: i64,
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
                told_ms: 0,
            }),
            next_id: AtomicI64::new(first_id(server_id, now_ms)),
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
        let entry = Entry { seen_ms: Arc::new(AtomicI64::new(now_ms)), owner: None, closing: false };
        inner.entries.insert(session, entry);
        inner.expiry.add(session, timeout_ms, now_ms);
    }

    /// A connection takes the session up; `None` if it is gone or going.
    pub fn take_up(&self, session: i64, token: Token, timeout_ms: i32, now_ms: i64) -> Option<TakenUp> {
        let mut inner = self.inner.lock();
        let entry = inner.entries.get_mut(&session).filter(|e| !e.closing)?;
        let previous = entry.owner.replace(token).filter(|previous| *previous != token);
        entry.seen_ms.store(now_ms, Ordering::Relaxed);
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

    /// Another server has heard of the session.
    pub fn touch(&self, session: i64, now_ms: i64) {
        if let Some(entry) = self.inner.lock().entries.get(&session) {
            entry.seen_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// Sessions with a connection here that were heard of since this was last asked.
    pub fn touched(&self, now_ms: i64) -> Vec<i64> {
        let mut inner = self.inner.lock();
        let since_ms = std::mem::replace(&mut inner.told_ms, now_ms);
        let touched = inner
            .entries
            .iter()
            .filter(|(_, entry)| entry.owner.is_some() && entry.seen_ms.load(Ordering::Relaxed) >= since_ms);
        let mut touched: Vec<i64> = touched.map(|(session, _)| *session).collect();
        touched.sort_unstable();
        touched
    }

    /// The session has its whole timeout again, and is not about to end.
    pub fn renew(&self, session: i64, timeout_ms: i32, now_ms: i64) {
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.entries.get_mut(&session) {
            entry.closing = false;
            entry.seen_ms.store(now_ms, Ordering::Relaxed);
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
    pub fn expired(&self, now_ms: i64) -> Vec<i64> {
        let mut guard = self.inner.lock();
        let Inner { entries, expiry, .. } = &mut *guard;
        let due = expiry.due(now_ms, &mut |session| {
            entries.get(&session).map_or(i64::MIN, |e| e.seen_ms.load(Ordering::Relaxed))
        });
        for session in &due {
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
        assert_eq!(table.expired(6000), Vec::<i64>::new(), "it was heard of at 3000");
        assert_eq!(table.expired(60_000), vec![1]);
        assert!(table.take_up(1, Token(8), 4000, 60_000).is_none());
        table.spare();
        assert!(table.take_up(1, Token(7), 4000, 60_000).is_some(), "its end was never agreed");
        assert_eq!(table.closed(1), Some(Token(7)));
    }
}
