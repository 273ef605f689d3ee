//! A client that moves from member to member with its session, and does not know the outcome of
//! what it asked when a connection broke.
//!
//! What every client may count on is checked on every reply: it answers the oldest request, its
//! zxid is not below any earlier one's, and that of a write is above. Across members too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::connection::{Connection, Identity, Received, handshake, session_of};
use crate::jute::Reader;
use crate::request::{Place, Request, op};
use crate::session::Reply;

/// How long a reply may take before the client tries another member, unless it has more patience.
const REPLY_PATIENCE: Duration = Duration::from_secs(2);

/// The xid of events.
const EVENT: i32 = -1;

/// A session that moves.
#[derive(Debug)]
pub struct RoamingClient {
    addresses: Vec<SocketAddr>,
    at: usize,
    connection: Option<Connection>,
    identity: Identity,
    timeout_ms: i32,
    xid: i32,
    last_zxid: i64,
    /// When the session was last answered.
    heard: Instant,
    /// How long a reply may take before it tries another member.
    pub patience: Duration,
    /// The zxids of all its writes, over all its sessions.
    pub written: Vec<i64>,
    /// Events in the order in which they came, type and path; the caller takes them out.
    pub events: Vec<(i32, String)>,
}

/// The outcome of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connected {
    /// The session continues.
    Same,
    /// There was none, or the earlier one is gone with all it had.
    New,
    /// No member takes the client now.
    Nowhere,
}

impl RoamingClient {
    /// A client without a session, which tries the member at this place of the list first.
    pub fn new(addresses: Vec<SocketAddr>, at: usize, timeout_ms: i32) -> RoamingClient {
        RoamingClient {
            addresses,
            at,
            connection: None,
            identity: Identity::new_session(),
            timeout_ms,
            xid: 0,
            last_zxid: 0,
            heard: Instant::now(),
            patience: REPLY_PATIENCE,
            written: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Whether there is a connection; it may be broken unnoticed.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// The id of its session; 0 if there is none.
    pub fn session(&self) -> i64 {
        self.identity.id
    }

    /// The highest zxid it has seen.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Breaks the connection and turns to another member.
    pub fn leave(&mut self) {
        self.connection = None;
        self.at += 1;
    }

    /// Forgets the session without closing it.
    pub fn forget(&mut self) {
        self.leave();
        self.identity = Identity::new_session();
    }

    /// Tries every member once, with the session it has.
    ///
    /// Panics if the session has expired although it was heard of in the last half of its timeout.
    pub fn connect(&mut self) -> Connected {
        for _ in 0..self.addresses.len() {
            let address = self.addresses[self.at % self.addresses.len()];
            if let Some(connected) = self.connect_to(address) {
                return connected;
            }
            self.at += 1;
        }
        Connected::Nowhere
    }

    fn connect_to(&mut self, address: SocketAddr) -> Option<Connected> {
        loop {
            let mut connection = Connection::try_open(address).ok()?;
            connection.send(&handshake(&self.identity, self.last_zxid, self.timeout_ms));
            let Received::Frame(reply) = connection.receive_within(self.patience) else { return None };
            let (identity, _) = session_of(&reply).expect("a handshake reply");
            if identity.id == 0 {
                self.judge_expiry();
                self.identity = Identity::new_session();
                continue;
            }
            let same = identity.id == self.identity.id;
            self.identity = identity;
            self.connection = Some(connection);
            self.heard = Instant::now();
            return Some(if same { Connected::Same } else { Connected::New });
        }
    }

    fn judge_expiry(&self) {
        let (silent, timeout) = (self.heard.elapsed(), Duration::from_millis(self.timeout_ms as u64));
        assert!(
            silent >= timeout / 2,
            "session {:#x} of {timeout:?} expired {silent:?} after it was last answered",
            self.identity.id
        );
    }

    /// Sends requests together and waits for the replies. Where the connection breaks, the rest has
    /// no reply: it may have been done.
    pub fn ask(&mut self, requests: &[Request]) -> Vec<Option<Reply>> {
        let mut replies = vec![None; requests.len()];
        let Some(connection) = &mut self.connection else { return replies };
        let first = self.xid + 1;
        let mut bytes = Vec::new();
        for request in requests {
            self.xid += 1;
            bytes.extend(request.frame(self.xid, &Place::default()));
        }
        connection.send(&bytes);
        for (number, request) in requests.iter().enumerate() {
            let Some(reply) = self.reply(first + number as i32, request) else {
                self.leave();
                break;
            };
            replies[number] = Some(reply);
        }
        replies
    }

    /// One request.
    pub fn ask_one(&mut self, request: &Request) -> Option<Reply> {
        self.ask(std::slice::from_ref(request)).remove(0)
    }

    fn reply(&mut self, xid: i32, request: &Request) -> Option<Reply> {
        let reply = loop {
            let Received::Frame(frame) = self.connection.as_mut()?.receive_within(self.patience) else {
                return None;
            };
            let reply = Reply::of(&frame);
            match reply.xid {
                EVENT => self.events.push(event_in(&reply.body)),
                _ => break reply,
            }
        };
        let xid = match request.op() {
            op::SET_WATCHES => -8,
            op::AUTH => -4,
            _ => xid,
        };
        assert_eq!(reply.xid, xid, "the reply to {request:?} comes out of order: {reply:?}");
        self.heard = Instant::now();
        if request.op() == op::AUTH {
            // It has no place among the others: its zxid is 0.
            return Some(reply);
        }
        let (before, now) = (self.last_zxid, reply.zxid);
        assert!(now >= before, "session {:#x} went back from {before:#x} to {now:#x}", self.session());
        if reply.err == 0 && is_write(request) {
            assert!(now > before, "{request:?} has zxid {now:#x}, and something before it {before:#x}");
            self.written.push(now);
        }
        self.last_zxid = now;
        Some(reply)
    }
}

fn is_write(request: &Request) -> bool {
    let reads = [op::GET_DATA, op::EXISTS, op::GET_CHILDREN2, op::SYNC, op::PING, op::SET_WATCHES];
    !reads.contains(&request.op())
}

/// Type and path of an event.
fn event_in(body: &[u8]) -> (i32, String) {
    let mut reader = Reader::new(body);
    let (kind, _state) = (reader.int().expect("a type"), reader.int().expect("a state"));
    let path = reader.buffer().flatten().expect("a path").to_vec();
    (kind, String::from_utf8(path).expect("a path"))
}
