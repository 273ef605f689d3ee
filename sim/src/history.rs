//! What the clients asked and were told: the evidence that the checkers judge after a run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use server::config::ServerId;
use state::auth::Identities;
use state::read::Dialect;
use wire::opcode::Opcode;
use wire::record::Request;

/// A reply as its client read it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// When, in µs of the run.
    pub at_us: u64,
    /// From its header.
    pub zxid: i64,
    /// From its header.
    pub err: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whose.
    pub client: usize,
    /// On which connection.
    pub connection: usize,
    /// Of which session.
    pub session: i64,
    /// The client's number for it; no session uses one twice, but for the reserved ones.
    pub xid: i32,
    /// What it asks.
    pub opcode: i32,
    /// With which record.
    pub body: Vec<u8>,
    /// Who the connection has proven to be at that moment.
    pub identities: Arc<Identities>,
    /// Whose form of the protocol the connection was known to understand at that moment.
    pub dialect: Dialect,
    /// When, in µs of the run.
    pub at_us: u64,
    /// The highest zxid of a write that any client knew to be done at that moment.
    pub acknowledged: i64,
    /// Whether the server only reads.
    pub read_only: bool,
    /// What came back, if anything did.
    pub reply: Option<Reply>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { session, xid, opcode, .. } = self;
        write!(f, "session {session:#x} xid {xid} ")?;
        match Opcode::from_i32(*opcode) {
            Some(op) => match Request::decode(op, &self.body) {
                Ok(request) => write!(f, "{request:?}")?,
                Err(e) => write!(f, "{op}: {e}")?,
            },
            None => write!(f, "operation {opcode}")?,
        }
        match &self.reply {
            Some(reply) => write!(f, ": {} at {:#x}, {} bytes", reply.err, reply.zxid, reply.body.len()),
            None => f.write_str(": no reply"),
        }
    }
}

/// One thing a client read or learned, in the order of one connection.
#[derive(Clone, Debug)]
pub enum Received {
    /// The connection is on this session.
    Opened {
        /// Which.
        session: i64,
    },
    /// The session is said to have ended.
    Refused {
        /// The one asked for.
        session: i64,
        /// When, in µs of the run.
        at_us: u64,
        /// Which member said so.
        member: ServerId,
    },
    /// The client lets go of a session that only one server knew.
    Forgotten,
    /// The reply to that call came.
    Reply {
        /// Place in [`History::calls`].
        call: usize,
    },
    /// A watch fired.
    Event {
        /// From its header; -1 if the change was missed.
        zxid: i64,
        /// What happened.
        kind: i32,
        /// Where.
        path: String,
    },
    /// The connection ended.
    Closed,
}

/// All of it.
#[derive(Debug, Default)]
pub struct History {
    /// Requests, in the order they were made.
    pub calls: Vec<Call>,
    /// News, in the order they came: client, connection, news.
    pub received: Vec<(usize, usize, Received)>,
    /// The highest zxid of a write that any client knows to be done.
    pub acknowledged: i64,
    /// Connections made so far.
    pub connections: usize,
    /// When something of a session's client arrived at a server.
    pub signs: BTreeMap<i64, Vec<Sign>>,
    /// When a leader began to end which session, in µs of the run; not all of these ends are agreed
    /// on.
    pub decided: Vec<(i64, u64)>,
    /// When the run ended.
    pub ended_us: u64,
}

/// Something of a session's client arrived at a server.
#[derive(Clone, Copy, Debug)]
pub struct Sign {
    /// When, in µs of the run.
    pub at_us: u64,
    /// On a connection that has the session. Else it asks for it, and may be sent away.
    pub open: bool,
}
