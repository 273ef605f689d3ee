//! The list of client connections, for limits, `cons` and `stat`. Its lock is not taken on the path
//! of a request.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering::Relaxed};

use group::{GroupId, Token};
use hashbrown::HashMap;
use parking_lot::Mutex;
use wire::record::ReplyHeader;

/// Counts of one connection. Only its own thread writes, so plain loads and stores suffice.
#[derive(Debug)]
pub struct Traffic {
    /// The client's address.
    pub peer: SocketAddr,
    /// The group that the client uses.
    pub group: GroupId,
    /// Wall clock ms when it was accepted.
    pub established_ms: i64,
    /// Whether it is encrypted, as far as is known: the client's first bytes tell.
    pub is_secure: AtomicBool,
    /// The session on it; 0 before there is one.
    pub session: AtomicI64,
    /// The session's timeout in ms.
    pub timeout_ms: AtomicI32,
    /// Requests read, the handshake included.
    pub received: AtomicU64,
    /// Replies and events queued.
    pub sent: AtomicU64,
    /// Requests read and not answered.
    pub outstanding: AtomicU64,
    /// Opcode of the last request answered.
    pub last_opcode: AtomicI32,
    /// xid of the last one with an xid of its own; negative if there is none.
    pub last_cxid: AtomicI64,
    /// The zxid in the last reply.
    pub last_zxid: AtomicI64,
    /// When it was queued, in ms of the server's clock.
    pub last_response_ms: AtomicI64,
    /// Latencies from reading a request to queueing its reply.
    pub latency: Latency,
}

/// A running summary in ms, as ZooKeeper's `AvgMinMaxCounter` keeps it.
#[derive(Debug, Default)]
pub struct Latency {
    /// The newest value.
    pub last_ms: AtomicU64,
    /// The maximum since the last reset.
    pub max_ms: AtomicU64,
    /// The minimum since the last reset, plus one; 0 if there was none.
    min_plus_one_ms: AtomicU64,
    /// The sum of all values.
    pub total_ms: AtomicU64,
    /// The number of values.
    pub count: AtomicU64,
}

impl Latency {
    /// Adds `count` requests of that latency. Called by one thread only.
    pub fn add(&self, ms: u64, count: u64) {
        self.last_ms.store(ms, Relaxed);
        if ms > self.max_ms.load(Relaxed) {
            self.max_ms.store(ms, Relaxed);
        }
        let least = self.min_plus_one_ms.load(Relaxed);
        if least == 0 || ms + 1 < least {
            self.min_plus_one_ms.store(ms + 1, Relaxed);
        }
        self.total_ms.store(self.total_ms.load(Relaxed) + ms * count, Relaxed);
        self.count.store(self.count.load(Relaxed) + count, Relaxed);
    }

    /// The minimum, 0 if there was none.
    pub fn min_ms(&self) -> u64 {
        self.min_plus_one_ms.load(Relaxed).saturating_sub(1)
    }

    /// The mean, 0 if there was none.
    pub fn mean_ms(&self) -> f64 {
        let count = self.count.load(Relaxed);
        if count == 0 { 0.0 } else { self.total_ms.load(Relaxed) as f64 / count as f64 }
    }

    /// Resets everything.
    pub fn reset(&self) {
        for n in [&self.last_ms, &self.max_ms, &self.min_plus_one_ms, &self.total_ms, &self.count] {
            n.store(0, Relaxed);
        }
    }
}

impl Traffic {
    /// The counts of a connection just accepted.
    pub fn new(peer: SocketAddr, group: GroupId, established_ms: i64) -> Traffic {
        Traffic {
            peer,
            group,
            established_ms,
            is_secure: AtomicBool::new(false),
            session: AtomicI64::new(0),
            timeout_ms: AtomicI32::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            outstanding: AtomicU64::new(0),
            last_opcode: AtomicI32::new(0),
            last_cxid: AtomicI64::new(0),
            last_zxid: AtomicI64::new(0),
            last_response_ms: AtomicI64::new(0),
            latency: Latency::default(),
        }
    }

    /// Adds `by` to `counter`, which has a single writer.
    pub fn count(counter: &AtomicU64, by: u64) {
        counter.store(counter.load(Relaxed) + by, Relaxed);
    }

    /// Records a request that was answered. Called by one thread only.
    pub fn answered(&self, opcode: i32, reply: &ReplyHeader, now_ms: i64) {
        self.last_opcode.store(opcode, Relaxed);
        // Pings and the like have no xid of their own, and `cons` shows the client's last real
        // request.
        if reply.xid >= 0 {
            self.last_cxid.store(i64::from(reply.xid), Relaxed);
        }
        self.last_zxid.store(reply.zxid, Relaxed);
        self.last_response_ms.store(now_ms, Relaxed);
    }

    /// `crst`: resets the counts and the last reply.
    pub fn reset(&self) {
        self.received.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        self.last_opcode.store(0, Relaxed);
        self.last_cxid.store(-1, Relaxed);
        self.last_zxid.store(-1, Relaxed);
        self.last_response_ms.store(0, Relaxed);
        self.latency.reset();
    }
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `maxClientCnxns` from one address.
    TooManyFromAddress,
    /// `maxCnxns` in all.
    TooMany,
}

/// All connections.
#[derive(Debug, Default)]
pub struct ConnectionTable {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    all: HashMap<Token, Arc<Traffic>>,
    by_address: HashMap<IpAddr, usize>,
    /// Those without a session, oldest first: when they were accepted, and their tokens.
    waiting: BTreeSet<(i64, Token)>,
}

/// How long after it was accepted a connection without a session cannot be displaced.
const GRACE_MS: i64 = 1_000;

/// Most connections without a session that are searched for one from a certain address.
const LOOKED_AT_MAX: usize = 1_024;

impl ConnectionTable {
    /// Admits a connection or says why not. A limit of 0 means none. At a limit, the oldest
    /// connection without a session is displaced, one of the same address if it is that address's
    /// limit: it is returned, and must be closed.
    pub fn admit(
        &self,
        token: Token,
        traffic: &Arc<Traffic>,
        per_address_max: usize,
        total_max: usize,
    ) -> Result<Option<Token>, Refusal> {
        let mut inner = self.inner.lock();
        let (address, now_ms) = (traffic.peer.ip(), traffic.established_ms);
        let from_address = inner.by_address.get(&address).copied().unwrap_or(0);
        let displaced = if per_address_max > 0 && from_address >= per_address_max {
            Some(inner.displace(Some(address), now_ms).ok_or(Refusal::TooManyFromAddress)?)
        } else if total_max > 0 && inner.all.len() >= total_max {
            Some(inner.displace(None, now_ms).ok_or(Refusal::TooMany)?)
        } else {
            None
        };
        *inner.by_address.entry(address).or_insert(0) += 1;
        inner.all.insert(token, Arc::clone(traffic));
        inner.waiting.insert((now_ms, token));
        Ok(displaced)
    }

    /// Displaces the oldest connection without a session, if there is one; the caller must close
    /// it.
    pub fn displace(&self, now_ms: i64) -> Option<Token> {
        self.inner.lock().displace(None, now_ms)
    }

    /// The connection has a session now.
    pub fn settled(&self, token: Token) {
        let mut inner = self.inner.lock();
        let Some(since_ms) = inner.all.get(&token).map(|traffic| traffic.established_ms) else { return };
        inner.waiting.remove(&(since_ms, token));
    }

    /// Forgets a connection.
    pub fn left(&self, token: Token) {
        self.inner.lock().forget(token);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.lock().all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counts of one connection.
    pub fn get(&self, token: Token) -> Option<Arc<Traffic>> {
        self.inner.lock().all.get(&token).cloned()
    }

    /// The tokens of a group's clients, in order.
    pub fn tokens_of(&self, group: GroupId) -> Vec<Token> {
        let inner = self.inner.lock();
        let of_group = inner.all.iter().filter(|(_, traffic)| traffic.group == group);
        let mut tokens: Vec<Token> = of_group.map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        tokens
    }

    /// All connections, in the order of their tokens.
    pub fn all(&self) -> Vec<(Token, Arc<Traffic>)> {
        let mut all: Vec<_> = self.inner.lock().all.iter().map(|(t, c)| (*t, Arc::clone(c))).collect();
        all.sort_by_key(|(token, _)| *token);
        all
    }
}

impl Inner {
    fn displace(&mut self, address: Option<IpAddr>, now_ms: i64) -> Option<Token> {
        let is_of = |token: &Token| {
            address
                .is_none_or(|address| self.all.get(token).is_some_and(|traffic| traffic.peer.ip() == address))
        };
        let late = self.waiting.iter().take_while(|(since_ms, _)| now_ms - since_ms >= GRACE_MS);
        let (_, token) = late.take(LOOKED_AT_MAX).find(|(_, token)| is_of(token)).copied()?;
        self.forget(token);
        Some(token)
    }

    fn forget(&mut self, token: Token) {
        let Some(traffic) = self.all.remove(&token) else { return };
        self.waiting.remove(&(traffic.established_ms, token));
        let address = traffic.peer.ip();
        if let Some(n) = self.by_address.get_mut(&address) {
            *n -= 1;
            if *n == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_more_than_its_share() {
        let table = ConnectionTable::default();
        let from =
            |ip: &str| Arc::new(Traffic::new(format!("{ip}:1").parse().expect("address"), GroupId::ROOT, 0));
        assert_eq!(table.admit(Token(1), &from("10.0.0.1"), 1, 2), Ok(None));
        assert_eq!(table.admit(Token(2), &from("10.0.0.1"), 1, 2), Err(Refusal::TooManyFromAddress));
        assert_eq!(table.admit(Token(3), &from("10.0.0.2"), 1, 2), Ok(None));
        assert_eq!(table.admit(Token(4), &from("10.0.0.3"), 1, 2), Err(Refusal::TooMany));
        table.left(Token(1));
        assert_eq!(table.admit(Token(5), &from("10.0.0.1"), 1, 2), Ok(None));
    }

    /// Connections that asked for no session took all places of an address, one after the other,
    /// and kept its clients out.
    #[test]
    fn a_new_connection_displaces_one_without_a_session() {
        let table = ConnectionTable::default();
        let from = |ip: &str, since_ms| {
            Arc::new(Traffic::new(format!("{ip}:1").parse().expect("address"), GroupId::ROOT, since_ms))
        };
        for (number, ip) in ["10.0.0.2", "10.0.0.1", "10.0.0.1"].into_iter().enumerate() {
            let number = number as u64;
            assert_eq!(table.admit(Token(number), &from(ip, number as i64), 2, 3), Ok(None));
        }
        table.settled(Token(1));
        let early = from("10.0.0.1", GRACE_MS);
        assert_eq!(table.admit(Token(3), &early, 2, 3), Err(Refusal::TooManyFromAddress));
        let late = from("10.0.0.1", GRACE_MS + 2);
        assert_eq!(
            table.admit(Token(3), &late, 2, 3),
            Ok(Some(Token(2))),
            "not the oldest of another address"
        );
        table.left(Token(2));
        assert_eq!(table.len(), 3, "it has left already");
        let other = from("10.0.0.3", GRACE_MS + 2);
        assert_eq!(
            table.admit(Token(4), &other, 2, 3),
            Ok(Some(Token(0))),
            "a connection with a session stays"
        );
        assert_eq!(table.displace(GRACE_MS + 2), None, "the remaining ones are new");
    }

    #[test]
    fn latency_tells_a_minimum_of_zero_from_none() {
        let latency = Latency::default();
        assert_eq!(latency.min_ms(), 0);
        latency.add(4, 1);
        assert_eq!(latency.min_ms(), 4);
        latency.add(0, 3);
        assert_eq!((latency.min_ms(), latency.max_ms.load(Relaxed)), (0, 4));
        assert!((latency.mean_ms() - 1.0).abs() < 1e-9);
    }
}
