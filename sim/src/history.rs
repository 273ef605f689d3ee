//! The clients' requests and replies: the evidence that the checkers judge after a run.

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
    /// Time of receipt, in µs of the run.
    pub at_us: u64,
    /// From its header.
    pub zxid: i64,
    /// From its header.
    pub err: i32,
    /// Bytes after the header.
    pub body: Vec<u8>,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// The client.
    pub client: usize,
    /// Its connection.
    pub connection: usize,
    /// Its session.
    pub session: i64,
    /// The client's xid; unique in a session, except for the reserved ones.
    pub xid: i32,
    /// The operation.
    pub opcode: i32,
    /// The encoded record.
    pub body: Vec<u8>,
    /// The identities authenticated on the connection at that moment.
    pub identities: Arc<Identities>,
    /// The protocol dialect in force on the connection at that moment.
    pub dialect: Dialect,
    /// When it was sent, in µs of the run.
    pub at_us: u64,
    /// The highest zxid of a write acknowledged to any client at that moment.
    pub acknowledged: i64,
    /// Whether the server is in read-only mode.
    pub read_only: bool,
    /// The reply, if one came.
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

/// An event a client observed on one connection.
#[derive(Clone, Debug)]
pub enum Received {
    /// The connection has this session.
    Opened {
        /// The session.
        session: i64,
    },
    /// The server reported that the session has ended.
    Refused {
        /// The requested session.
        session: i64,
        /// When, in µs of the run.
        at_us: u64,
        /// The member that refused.
        member: ServerId,
    },
    /// The client drops a session that only one server knew.
    Forgotten,
    /// The reply to that call came.
    Reply {
        /// Index in [`History::calls`].
        call: usize,
    },
    /// A watch fired.
    Event {
        /// From its header; -1 if the client missed the change and got the event after a reconnect.
        zxid: i64,
        /// The event type.
        kind: i32,
        /// The znode.
        path: String,
    },
    /// The connection ended.
    Closed,
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// All evidence of a run.
#[derive(Debug, Default)]
pub struct History {
    /// Requests, in the order they were made.
    pub calls: Vec<Call>,
    /// Observed events, in order: client, connection, event.
    pub received: Vec<(usize, usize, Received)>,
    /// The highest zxid of a write acknowledged to any client.
    pub acknowledged: i64,
    /// Number of connections made so far.
    pub connections: usize,
    /// When bytes of a session's client arrived at a server.
    pub arrivals: BTreeMap<i64, Vec<Arrival>>,
    /// When a leader decided to end which session, in µs of the run; not all of these decisions are
    /// committed.
    pub decided: Vec<(i64, u64)>,
    /// When the run ended.
    pub ended_us: u64,
}

/// Bytes of a session's client arrived at a server.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When, in µs of the run.
    pub at_us: u64,
    /// At which member.
    pub member: ServerId,
    /// Whether the connection has the session already. If not, it requests the session and may be
    /// refused.
    pub open: bool,
}
