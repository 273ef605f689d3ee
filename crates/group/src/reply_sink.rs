//! What leaves the replica: replies, watch events and session news.

use std::sync::Arc;

use state::auth::Identities;
use state::change::ChangeSink;
use state::command::Command;
use state::machine::{Applied, Machine};
use state::read::Dialect;
use wire::ErrorCode;

/// One connection of this server, as the host numbers them. The replica only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// One request of one connection. A group answers the requests of a connection in any order; the
/// connection releases the replies in the order of its requests.
///
/// A request that may set a watch, which only a [`LocalRequest`] does, is never answered ahead of
/// an earlier one: an event goes to its client at once, and the client must have the reply that
/// confirms the watch by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// The connection.
    pub token: Token,
    /// The request's number, counted by the connection.
    pub number: u64,
}

/// A request that is answered here, but only after earlier writes of its own session: ZooKeeper
/// answers a session's requests in order.
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// Transaction id the client gave the request; echoed in the reply.
    pub xid: i32,
    /// Raw opcode as received.
    pub opcode: i32,
    /// The frame's bytes behind the request header.
    pub body: Box<[u8]>,
    /// The client's identities at the time the request arrived.
    pub identities: Arc<Identities>,
    /// The protocol dialect of the client.
    pub dialect: Dialect,
}

/// Receives the results of applying. The host implements it; every call happens while the machine
/// is locked for writing, so that no thread can read a change before the calls for it were made: a
/// client must see a watch event before the change it announces.
pub trait ReplySink: ChangeSink {
    /// This command is applied next: its changes follow, then its result.
    fn begins(&mut self, _command: &Command<'_>) {}

    /// A replicated command of a local connection was applied. `body` is the reply's body, empty
    /// unless `applied.code` is `Ok`.
    fn reply(&mut self, id: RequestId, command: &Command<'_>, applied: &Applied, body: &[u8]);

    /// A request that waited for its session's writes can be answered now.
    fn local(&mut self, machine: &Machine, id: RequestId, session: i64, request: &LocalRequest);

    /// A write was refused before it reached the log (disk full): nothing was replicated. Earlier
    /// requests of its session may still be in flight.
    fn refused(&mut self, machine: &Machine, id: RequestId, xid: i32, opcode: i32);

    /// A session exists from now on. `token` is the local connection that asked for it, if one of
    /// this server's did.
    fn session_opened(&mut self, machine: &Machine, session: i64, token: Option<Token>);

    /// A session continues at another server, or with another timeout. `owner` is its local
    /// connection from now on, if any.
    fn session_moved(&mut self, machine: &Machine, session: i64, owner: Option<Token>);

    /// A session that is at home here resumes on this connection. `false`: its end is in flight, so
    /// it does not.
    fn session_resumed(&mut self, machine: &Machine, session: i64, owner: Token) -> bool;

    /// This connection gets neither a new session nor the one it asked for; `code` tells why.
    fn session_refused(&mut self, token: Token, code: ErrorCode);

    /// This connection must close: the outcome of its requests is unknowable, or its session is on
    /// another one.
    fn lost(&mut self, token: Token);

    /// A session is gone, and its connection must close. `closing` is the request and xid that
    /// closed it, if one of this server's did.
    fn session_closed(&mut self, session: i64, closing: Option<(RequestId, i32)>, applied: &Applied);

    /// This many requests of a session that ended will never be answered.
    fn abandoned(&mut self, requests: usize);
}
