//! Which connection a session is on, and what must be over before it resumes on a new one.
//!
//! A client whose connection breaks comes back at once, often to the same server, while what it
//! sent before is still in flight. Everything that a session sent on any connection is done, or can
//! never be done any more, before the client is told that it resumes on a new one:
//!
//! 1. When a resume is taken, the session is on the new connection. The earlier connection's thread
//!    may still read and hand over what its client sent; from now on that is dropped, and so is
//!    everything that a connection sends behind something lost.
//! 2. A leader without other members knows everything. If nothing of the session is in flight
//!    there, the client resumes at once.
//! 3. Otherwise the session moves to this server through the log, though it may be at home here
//!    already. The move gets its place behind everything passed on before, and nothing given to an
//!    earlier leader can be committed behind an entry of the present one. Nor does a server know
//!    without the log that the session has not been elsewhere meanwhile.

use state::command::{Command, MOVE_SESSION, SessionTerms};
use state::machine::Machine;

use crate::in_flight::{SessionInFlight, Waiting};
use crate::replica::{Name, Replica};
use crate::reply_sink::{ReplySink, RequestId, Token};
use crate::submission::Encoded;

impl Replica {
    /// Whether requests of this connection are taken for the session.
    pub(crate) fn is_on(&self, session: i64, token: Token) -> bool {
        self.in_flight.get(&session).is_some_and(|in_flight| in_flight.owner() == Some(token))
    }

    /// A client resumes its session on this connection.
    pub(crate) fn resume(
        &mut self,
        now_ms: i64,
        machine: &Machine,
        id: RequestId,
        session: i64,
        timeout_ms: i32,
    ) {
        let leads_alone = self.alone && self.leads();
        let terms = SessionTerms { timeout_ms, home: self.server() };
        let stays = machine.session(session).is_none_or(|known| known.terms() == terms);
        let in_flight = self.in_flight.entry(session).or_default();
        self.untold.lose(in_flight.set_owner(Some(id.token)));
        if leads_alone && stays && in_flight.is_empty() {
            in_flight.push(Waiting::Resume { token: id.token });
            self.answerable.push(session);
        } else {
            self.move_here(now_ms, machine, id, session, terms);
        }
    }

    fn move_here(
        &mut self,
        now_ms: i64,
        machine: &Machine,
        id: RequestId,
        session: i64,
        terms: SessionTerms,
    ) {
        // Each move has its own number: several moves of one session to this server may be in
        // flight.
        self.moves = self.moves.wrapping_add(1);
        let (mut body, mut bytes) = (Vec::new(), Vec::new());
        terms.put(&mut body);
        let command =
            Command { session, cxid: self.moves, opcode: MOVE_SESSION, identities: &[], body: &body };
        command.put(&mut bytes);
        let name = Name { session, cxid: self.moves, opcode: MOVE_SESSION };
        self.submit_command(now_ms, machine, id, name, Encoded::whole(&bytes.into()));
    }

    /// Tells a client that nothing of its session is in flight, so that it resumes.
    pub(crate) fn go_on_with(
        &mut self,
        machine: &Machine,
        session: i64,
        token: Token,
        outlet: &mut impl ReplySink,
    ) {
        if !self.is_on(session, token) {
            // Another connection has taken its place.
            self.untold.abandon(1);
        } else if machine.session(session).is_none() {
            self.forget_ended(session, machine);
            outlet.session_refused(token, wire::ErrorCode::SessionExpired);
        } else if !outlet.session_resumed(machine, session, token) {
            // This leader is about to end the session. The log will show whether it does.
            self.in_flight.entry(session).or_default().push(Waiting::Resume { token });
            self.deferred.push(session);
        }
    }

    /// Whether the session is about to resume here or elsewhere.
    pub fn is_moving(&self, session: i64) -> bool {
        self.homes.of(session).is_some()
            || self.in_flight.get(&session).is_some_and(SessionInFlight::is_resuming)
    }

    /// Takes nothing more from the connection of this session, which must close: the outcome of
    /// something it waits for is unknowable.
    pub(crate) fn lose(&mut self, session: i64) {
        let in_flight = self.in_flight.get_mut(&session);
        self.untold.lose(in_flight.and_then(|in_flight| in_flight.set_owner(None)));
    }

    /// Takes nothing more from any existing connection: the host is about to close them all.
    pub fn lose_all(&mut self) {
        self.in_flight.values_mut().for_each(|in_flight| _ = in_flight.set_owner(None));
    }

    /// The session has no connection here any more.
    pub fn disconnected(&mut self, session: i64) {
        if let Some(in_flight) = self.in_flight.get_mut(&session) {
            in_flight.shrink();
        }
    }

    /// Number of requests taken and neither answered nor given up.
    pub fn unanswered(&self) -> usize {
        self.untold.requests() + self.in_flight.values().map(SessionInFlight::len).sum::<usize>()
    }
}
