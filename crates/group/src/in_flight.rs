//! What one session has in flight at this server, as far as its group must know it: the commands in
//! the order in which they were submitted, and the reads among them.
//!
//! The log names a command by session, cxid and opcode. The order pairs that with the request that
//! waits for it, although clients may use an xid twice; it is the order of resubmission under a
//! later leader; and a read behind a command is executed right after that command, so that it sees
//! the session's earlier writes and none of the later ones. The order of replies is not decided
//! here: each answer carries its [`RequestId`], and the connection puts answers in order.

use std::collections::VecDeque;

use bytes::Bytes;
use state::command::MOVE_SESSION;

use crate::read_barrier::ReadTicket;
use crate::reply_sink::{LocalRequest, RequestId, Token};

/// Identifies a command among those that one server has passed on in one leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaderSlot {
    /// The leadership's term.
    pub(crate) term: u64,
    /// At a follower the command's place in the stream to the leader, at the leader its number.
    pub(crate) place: u64,
}

/// One request in flight.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A command that goes through the log.
    Command(WaitingCommand),
    /// A request executed here, once nothing is in flight before it.
    Local {
        /// Whose answer it is.
        id: RequestId,
        /// The request.
        request: LocalRequest,
        /// The read ticket that must be reached before the answer.
        ticket: ReadTicket,
    },
    /// A client that resumes a session of which nothing is in flight.
    Resume {
        /// Its new connection.
        token: Token,
    },
}

/// A command whose outcome is unknown.
#[derive(Debug)]
pub(crate) struct WaitingCommand {
    /// Whose answer its result is.
    pub(crate) id: RequestId,
    /// The client's xid (or the server's own number for session commands); the log carries it as
    /// cxid.
    pub(crate) xid: i32,
    /// Raw opcode.
    pub(crate) opcode: i32,
    /// Its number among the commands that this server has taken.
    pub(crate) number: u64,
    /// The encoded command, to be passed on again under another leader.
    pub(crate) bytes: Bytes,
    /// How it was passed on. `None`: only this server knows of it.
    pub(crate) passed: Option<LeaderSlot>,
}

/// What is in flight no longer and gets no answer.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// The connections of the requests, without consecutive duplicates.
    pub(crate) tokens: Vec<Token>,
    /// Number of requests.
    pub(crate) requests: usize,
    /// Bytes of the commands among them.
    pub(crate) bytes: usize,
}

impl FromIterator<Waiting> for Gone {
    fn from_iter<I: IntoIterator<Item = Waiting>>(requests: I) -> Gone {
        let mut gone = Gone::default();
        for waiting in requests {
            gone.tokens.push(waiting.token());
            gone.requests += 1;
            gone.bytes += waiting.bytes();
        }
        gone.tokens.dedup();
        gone
    }
}

impl Waiting {
    fn token(&self) -> Token {
        match self {
            Self::Command(WaitingCommand { id, .. }) | Self::Local { id, .. } => id.token,
            Self::Resume { token } => *token,
        }
    }

    /// Whether a client waits for it in order to resume the session.
    fn is_resume(&self) -> bool {
        matches!(self, Self::Resume { .. }) || self.is_move()
    }

    fn is_move(&self) -> bool {
        self.command().is_some_and(|command| command.opcode == MOVE_SESSION)
    }

    fn bytes(&self) -> usize {
        self.command().map_or(0, |command| command.bytes.len())
    }

    fn command(&self) -> Option<&WaitingCommand> {
        match self {
            Self::Command(command) => Some(command),
            _ => None,
        }
    }
}

/// Everything that one session has in flight through this server, oldest first, and the connection
/// that the session is on.
///
/// A session that moved to another connection keeps its old entries: they are still in the log in
/// this order, and skipping them would pair later commands with the wrong requests. Their answers
/// go to a token that no connection has.
///
/// Commands are passed on in this order, so those passed on precede those that are not, and the log
/// has them in this order. A command that is passed on and gets no place in the log leaves before a
/// later one of its session comes out of the log: either its leader reports the refusal, or the
/// session's move that made the leader drop it removes it.
#[derive(Debug, Default)]
pub(crate) struct SessionInFlight {
    queue: VecDeque<Waiting>,
    /// The session's connection. Requests of any other are not taken.
    owner: Option<Token>,
}

impl SessionInFlight {
    /// The connection whose requests are taken.
    pub(crate) fn owner(&self) -> Option<Token> {
        self.owner
    }

    /// From now on the session is on this connection, or on none; returns the previous one.
    pub(crate) fn set_owner(&mut self, owner: Option<Token>) -> Option<Token> {
        std::mem::replace(&mut self.owner, owner).filter(|previous| Some(*previous) != owner)
    }

    /// Frees memory if nothing waits.
    pub(crate) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// Adds a request behind all others.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.queue.push_back(waiting);
    }

    fn commands(&mut self) -> impl Iterator<Item = &mut WaitingCommand> + '_ {
        self.queue.iter_mut().filter_map(|waiting| match waiting {
            Waiting::Command(command) => Some(command),
            _ => None,
        })
    }

    /// Takes the command at the head if it is the one that was applied; a command that came through
    /// another server does not match.
    pub(crate) fn take_command(&mut self, cxid: i32, applied: i32) -> Option<WaitingCommand> {
        let is_it = |head: &mut Waiting| {
            head.command().is_some_and(|command| (command.xid, command.opcode) == (cxid, applied))
        };
        match self.queue.pop_front_if(is_it)? {
            Waiting::Command(command) => Some(command),
            _ => None,
        }
    }

    /// Takes the head if it no longer waits for anything, given the read tickets up to `reached`.
    pub(crate) fn take_ready(&mut self, reached: ReadTicket) -> Option<Waiting> {
        self.queue.pop_front_if(|head| match head {
            Waiting::Local { ticket, .. } => *ticket <= reached,
            Waiting::Resume { .. } => true,
            Waiting::Command(_) => false,
        })
    }

    /// Takes the head if everything before this command of the session, which is about to be
    /// applied, waits for a read ticket. The command got its place after the ticket was issued, so
    /// the ticket is reached.
    pub(crate) fn take_before(&mut self, cxid: i32, applied: i32) -> Option<Waiting> {
        let first = self.queue.iter().find_map(Waiting::command);
        let is_next = first.is_some_and(|command| (command.xid, command.opcode) == (cxid, applied));
        self.queue.pop_front_if(|head| is_next && head.command().is_none())
    }

    /// Whether any command was passed on and its outcome is unknown.
    pub(crate) fn has_passed(&self) -> bool {
        self.queue.iter().filter_map(Waiting::command).any(|command| command.passed.is_some())
    }

    /// Takes back the commands passed on to leaderships before `term`. Returns their numbers.
    pub(crate) fn take_back(&mut self, term: u64) -> impl Iterator<Item = u64> + '_ {
        self.commands().filter_map(move |command| {
            command.passed.take_if(|passed| passed.term < term)?;
            Some(command.number)
        })
    }

    /// The command with that number, if it was not passed on.
    pub(crate) fn unpassed(&mut self, number: u64) -> Option<&mut WaitingCommand> {
        self.commands().find(|command| command.number == number && command.passed.is_none())
    }

    /// Drops the command with that number.
    pub(crate) fn remove(&mut self, number: u64) -> Gone {
        let is_it = |waiting: &Waiting| waiting.command().is_some_and(|command| command.number == number);
        let at = self.queue.iter().position(is_it);
        at.and_then(|at| self.queue.remove(at)).into_iter().collect()
    }

    /// Drops everything, though some of it may still be done; returns the waiting connections and
    /// the owner.
    pub(crate) fn give_up(&mut self) -> Gone {
        let mut gone: Gone = self.queue.drain(..).collect();
        gone.tokens.extend(self.owner.take());
        gone.tokens.dedup();
        gone
    }

    /// Whether a client waits to resume the session here.
    pub(crate) fn is_resuming(&self) -> bool {
        self.queue.iter().any(Waiting::is_resume)
    }

    /// The move of this number to this server is done, and with it everything sent before it:
    /// returns the connection that asked for the move, and what is dropped. `None` if no connection
    /// waits for it.
    pub(crate) fn take_move(&mut self, cxid: i32) -> Option<(Token, Gone)> {
        let is_it = |waiting: &Waiting| {
            waiting.command().is_some_and(|command| (command.xid, command.opcode) == (cxid, MOVE_SESSION))
        };
        let at = self.queue.iter().position(is_it)?;
        let token = self.queue[at].token();
        let mut gone: Gone = self.queue.drain(..=at).collect();
        // The move itself has its result.
        gone.requests -= 1;
        Some((token, gone))
    }

    /// Drops everything before the session's first move to this server, or everything if there is
    /// none.
    pub(crate) fn cut_before_move(&mut self) -> Gone {
        let end = self.queue.iter().position(Waiting::is_move).unwrap_or(self.queue.len());
        self.queue.drain(..end).collect()
    }

    /// Drops everything; returns the connections that wait to resume, whose requests do not count
    /// as dropped.
    pub(crate) fn end(mut self) -> (Vec<Token>, Gone) {
        let resumes: Vec<Token> =
            self.queue.iter().filter(|waiting| waiting.is_resume()).map(Waiting::token).collect();
        let mut gone: Gone = self.queue.drain(..).collect();
        gone.requests -= resumes.len();
        (resumes, gone)
    }

    /// Takes the command that was passed on in this way: it gets no place in the log. What is
    /// behind it no longer waits for it.
    pub(crate) fn take_refused(&mut self, passage: LeaderSlot) -> Option<WaitingCommand> {
        let is_it =
            |waiting: &Waiting| waiting.command().is_some_and(|command| command.passed == Some(passage));
        let at = self.queue.iter().position(is_it)?;
        match self.queue.remove(at)? {
            Waiting::Command(command) => Some(command),
            _ => None,
        }
    }

    /// Number of waiting requests.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use state::auth::Identities;
    use state::read::Dialect;

    use super::*;

    const TERM: u64 = 3;

    /// A command of connection 1 that was passed on, with its xid as its place.
    fn command(xid: i32, opcode: i32) -> Waiting {
        let place = xid.unsigned_abs().into();
        let passed = Some(LeaderSlot { term: TERM, place });
        let bytes = Bytes::from_static(b"command");
        Waiting::Command(WaitingCommand { id: id(place), xid, opcode, number: place, bytes, passed })
    }

    fn id(number: u64) -> RequestId {
        RequestId { token: Token(1), number }
    }

    fn local(number: u64, ticket: ReadTicket) -> Waiting {
        let request = LocalRequest {
            xid: 1,
            opcode: 9,
            body: Box::default(),
            identities: Identities::from_ip("::1").into(),
            dialect: Dialect::ZooKeeper,
        };
        Waiting::Local { id: id(number), request, ticket }
    }

    fn taken(in_flight: &mut SessionInFlight, cxid: i32, opcode: i32) -> Option<RequestId> {
        in_flight.take_command(cxid, opcode).map(|command| command.id)
    }

    #[test]
    fn a_read_behind_a_refused_command_waits_for_the_command_before_it() {
        let mut in_flight = SessionInFlight::default();
        in_flight.push(command(1, 5));
        in_flight.push(command(2, 5));
        in_flight.push(local(3, 0));
        in_flight.push(command(4, 5));
        let passage = |place| LeaderSlot { term: TERM, place };
        assert_eq!(in_flight.take_refused(passage(2)).map(|command| command.id), Some(id(2)));
        assert!(in_flight.take_refused(passage(2)).is_none(), "it is refused once");
        assert!(in_flight.take_ready(0).is_none());
        assert_eq!(taken(&mut in_flight, 1, 5), Some(id(1)));
        assert!(matches!(in_flight.take_ready(0), Some(Waiting::Local { .. })));
        assert!(in_flight.take_ready(0).is_none());
        assert_eq!(taken(&mut in_flight, 4, 5), Some(id(4)));
        assert!(in_flight.is_empty());
    }

    #[test]
    fn what_waits_for_a_ticket_is_answered_before_the_next_command() {
        let mut in_flight = SessionInFlight::default();
        in_flight.push(local(1, 5));
        in_flight.push(command(2, 5));
        assert!(in_flight.take_before(3, 5).is_none(), "another server's command says nothing");
        assert!(matches!(in_flight.take_before(2, 5), Some(Waiting::Local { .. })));
        assert!(in_flight.take_before(2, 5).is_none(), "the command stays");
        assert_eq!(taken(&mut in_flight, 2, 5), Some(id(2)));
    }

    #[test]
    fn a_command_of_another_server_takes_nobody_elses_place() {
        let mut in_flight = SessionInFlight::default();
        in_flight.push(command(5, 1));
        assert_eq!(taken(&mut in_flight, 4, 1), None);
        assert_eq!(taken(&mut in_flight, 5, -11), None, "the server's own close of the session");
        assert_eq!(taken(&mut in_flight, 5, 1), Some(id(5)));
    }

    #[test]
    fn a_session_that_goes_leaves_only_its_way_back() {
        let mut in_flight = SessionInFlight::default();
        in_flight.push(command(1, 5));
        in_flight.push(command(0, MOVE_SESSION));
        in_flight.push(command(2, 5));
        assert_eq!(in_flight.cut_before_move().requests, 1);
        assert_eq!((in_flight.cut_before_move().requests, in_flight.len()), (0, 2));
        assert!(in_flight.is_resuming());
        let (resumes, gone) = in_flight.end();
        assert_eq!((resumes, gone.requests, gone.bytes), (vec![Token(1)], 1, 14));
    }

    #[test]
    fn a_move_that_is_done_ends_what_was_sent_before_it() {
        let mut in_flight = SessionInFlight::default();
        in_flight.push(command(1, 5));
        in_flight.push(command(7, MOVE_SESSION));
        in_flight.push(command(2, 5));
        assert!(in_flight.take_move(8).is_none(), "that of another connection");
        let (token, gone) = in_flight.take_move(7).expect("it waits");
        assert_eq!((token, gone.requests, gone.bytes), (Token(1), 1, 14));
        assert_eq!(in_flight.len(), 1);
    }

    #[test]
    fn a_later_leadership_takes_back_what_an_earlier_one_was_given_and_nothing_else() {
        let mut in_flight = SessionInFlight::default();
        in_flight.push(command(1, 5));
        in_flight.push(command(2, 5));
        assert_eq!(in_flight.take_back(TERM).count(), 0, "the leadership itself may still do it");
        assert_eq!(in_flight.take_back(TERM + 1).collect::<Vec<_>>(), [1, 2]);
        assert!(!in_flight.has_passed());
        assert!(in_flight.unpassed(2).is_some_and(|command| command.xid == 2));
        assert_eq!(in_flight.take_back(TERM + 1).count(), 0);
    }

    #[test]
    fn what_is_given_up_leaves_the_session_without_a_connection() {
        let mut in_flight = SessionInFlight::default();
        in_flight.push(command(1, 5));
        in_flight.push(command(2, 5));
        in_flight.set_owner(Some(Token(3)));
        let gone = in_flight.give_up();
        assert_eq!((gone.tokens, gone.requests), (vec![Token(1), Token(3)], 2));
        assert!(in_flight.is_empty() && in_flight.owner().is_none());
    }
}
