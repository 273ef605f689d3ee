//! What leaves the loop: replies, watch events and news of sessions.

use std::sync::Arc;

use state::auth::Identities;
use state::change::ChangeSink;
use state::machine::{Applied, Machine};
use state::read::Dialect;
use wire::ErrorCode;

/// One connection of this server, as the host numbers them. The replica only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// A request that is answered here but had to wait for earlier writes of its own session (reference rule 1).
#[derive(Clone, Debug)]
pub struct LocalRequest {
    /// Transaction id the client gave the request; echoed in the reply.
    pub xid: i32,
    /// Raw opcode as received.
    pub opcode: i32,
    /// The frame's bytes behind the request header.
    pub body: Box<[u8]>,
    /// Who asks, as of the moment the request arrived.
    pub identities: Arc<Identities>,
    /// Whose form of the protocol it understands.
    pub dialect: Dialect,
}

/// Where the results of applying go. The host implements it; every call happens while the machine is held for writing, so that
/// nobody can read a change before the calls for it were made (DESIGN rule 7).
pub trait ReplySink: ChangeSink {
    /// A replicated command of a local connection was applied. `body` is the reply's body, empty unless `applied.code` is `Ok`.
    fn reply(&mut self, token: Token, xid: i32, applied: &Applied, body: &[u8]);

    /// A request that waited for its session's writes can be answered now.
    fn local(&mut self, machine: &Machine, token: Token, session: i64, request: &LocalRequest);

    /// A write was refused before it reached the log (disk full, no leader): nothing was replicated.
    fn refused(&mut self, machine: &Machine, token: Token, xid: i32, opcode: i32);

    /// A session exists from now on. `token` is the local connection that asked for it, if it was one of ours.
    fn session_opened(&mut self, machine: &Machine, session: i64, token: Option<Token>);

    /// A session goes on at another server, or with another timeout. `owner` is the local
    /// connection that it is on from now on, if any.
    fn session_moved(&mut self, machine: &Machine, session: i64, owner: Option<Token>);

    /// A session that is at home here goes on with this connection. `false`: its end is on the way,
    /// so it does not.
    fn session_resumed(&mut self, machine: &Machine, session: i64, owner: Token) -> bool;

    /// This connection gets neither the new session nor the one it asked for, and why.
    fn session_refused(&mut self, token: Token, code: ErrorCode);

    /// This connection has to end: nobody knows what becomes of its requests, or its session is on
    /// another one.
    fn lost(&mut self, token: Token);

    /// A session is gone: its connection has to go too. `closing` is the connection and xid whose own request closed it.
    fn session_closed(&mut self, session: i64, closing: Option<(Token, i32)>, applied: &Applied);

    /// So many requests of a session that ended will never be answered.
    fn abandoned(&mut self, requests: usize);
}
