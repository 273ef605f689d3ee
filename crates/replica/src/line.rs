//! The order in which one session's requests are answered.

use std::collections::{BTreeSet, VecDeque};

use state::command::MOVE_SESSION;

use crate::barrier::Moment;
use crate::outlet::{LocalRequest, Token};

/// One unanswered request.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A command on its way through the log.
    Command {
        /// The connection that sent it.
        token: Token,
        /// The client's xid (or the server's own number for session commands); the log carries it as cxid.
        xid: i32,
        /// Raw opcode.
        opcode: i32,
        /// Whether it is on its way. If not, nobody but this server knows of it.
        sent: bool,
    },
    /// A request answered here, once everything before it was.
    Local {
        /// The connection that sent it.
        token: Token,
        /// What it asks.
        request: LocalRequest,
        /// It must not be answered before this moment is past.
        moment: Moment,
    },
    /// A client that comes back to a session of which nothing is on its way.
    Resume {
        /// Its new connection.
        token: Token,
    },
    /// A command that never reached the log, waiting only for its turn to be told so.
    Refused {
        /// The connection that sent it.
        token: Token,
        /// The client's xid.
        xid: i32,
        /// Raw opcode as received.
        opcode: i32,
    },
}

impl Waiting {
    /// The connection it came on.
    fn token(&self) -> Token {
        match self {
            Self::Command { token, .. }
            | Self::Local { token, .. }
            | Self::Resume { token }
            | Self::Refused { token, .. } => *token,
        }
    }

    /// Whether a client waits for it to go on with the session.
    fn is_resume(&self) -> bool {
        matches!(self, Self::Resume { .. } | Self::Command { opcode: MOVE_SESSION, .. })
    }
}

/// All unanswered requests of one session that came through this server, oldest first.
///
/// A session that moved to another connection keeps its old entries: they are still in the log in this order, and skipping them would
/// pair later commands with the wrong requests. Their replies go to a token nobody listens to.
#[derive(Debug, Default)]
pub(crate) struct Line {
    queue: VecDeque<Waiting>,
    /// The connection the session is on. Requests of any other are not taken.
    owner: Option<Token>,
    /// Whether everything that the session ever sent to this server is in `queue`, done, or impossible by now. It begins as `false`:
    /// an earlier run of this server may have passed something on.
    settled: bool,
}

impl Line {
    /// The connection whose requests are taken.
    pub(crate) fn owner(&self) -> Option<Token> {
        self.owner
    }

    /// From now on the session is on this connection, or on none; returns the one it was on before.
    pub(crate) fn set_owner(&mut self, owner: Option<Token>) -> Option<Token> {
        std::mem::replace(&mut self.owner, owner).filter(|previous| Some(*previous) != owner)
    }

    /// Whether nothing that the session sent to this server can still be done, but for what is in the queue.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Nothing is on its way but what is in the queue.
    pub(crate) fn settle(&mut self) {
        self.settled = true;
    }

    /// Lets go of everything, though some of it may still be done; returns the connections concerned and the number of requests.
    pub(crate) fn give_up(&mut self) -> (BTreeSet<Token>, usize) {
        self.settled = false;
        let tokens = self.queue.iter().map(Waiting::token).chain(self.owner.take()).collect();
        (tokens, self.queue.drain(..).count())
    }

    /// Gives back memory while nothing waits.
    pub(crate) fn shrink(&mut self) {
        self.queue.shrink_to_fit();
    }

    /// Adds a request behind all others.
    pub(crate) fn push(&mut self, waiting: Waiting) {
        self.queue.push_back(waiting);
    }

    /// Takes the command at the head if it is the one that was applied; a command that came through another server is not.
    pub(crate) fn take_command(&mut self, cxid: i32, applied: i32) -> Option<Token> {
        match self.queue.front() {
            Some(Waiting::Command { token, xid, opcode, .. }) if (*xid, *opcode) == (cxid, applied) => {
                let token = *token;
                self.queue.pop_front();
                Some(token)
            }
            _ => None,
        }
    }

    /// Takes the head if it waits for nothing any more, at a time when `reached` is past.
    pub(crate) fn take_ready(&mut self, reached: Moment) -> Option<Waiting> {
        self.queue.pop_front_if(|head| match head {
            Waiting::Local { moment, .. } => *moment <= reached,
            Waiting::Refused { .. } | Waiting::Resume { .. } => true,
            Waiting::Command { .. } => false,
        })
    }

    /// Takes the head if all that is before this command of the session, which is about to be applied, is waiting for a moment. The command
    /// got its place after the moment, so the moment is past.
    pub(crate) fn take_before(&mut self, cxid: i32, applied: i32) -> Option<Waiting> {
        let is_command = |waiting: &&Waiting| matches!(waiting, Waiting::Command { .. });
        let is_next = match self.queue.iter().find(is_command) {
            Some(Waiting::Command { xid, opcode, .. }) => (*xid, *opcode) == (cxid, applied),
            _ => false,
        };
        self.queue.pop_front_if(|head| is_next && !is_command(&&*head))
    }

    /// Notes that the oldest command that was not on its way is now.
    pub(crate) fn sent(&mut self) {
        for waiting in &mut self.queue {
            if let Waiting::Command { sent: sent @ false, .. } = waiting {
                *sent = true;
                return;
            }
        }
    }

    /// Whether any command is on its way.
    pub(crate) fn has_sent(&self) -> bool {
        self.queue.iter().any(|waiting| matches!(waiting, Waiting::Command { sent: true, .. }))
    }

    /// Whether a client waits to go on with the session here.
    pub(crate) fn is_resuming(&self) -> bool {
        self.queue.iter().any(Waiting::is_resume)
    }

    /// The move of this number to this server is done, and with it all that was sent before it: returns the connection that asked for
    /// the move, and how many requests were dropped. `None` if nobody waits for it.
    pub(crate) fn take_move(&mut self, cxid: i32) -> Option<(Token, usize)> {
        let is_it = |waiting: &Waiting| matches!(waiting, Waiting::Command { xid, opcode: MOVE_SESSION, .. } if *xid == cxid);
        let dropped = self.queue.iter().position(is_it)?;
        let token = self.queue[dropped].token();
        self.queue.drain(..=dropped);
        self.settled = true;
        Some((token, dropped))
    }

    /// Drops everything before the first move of the session to this server, or everything; says how much that was.
    pub(crate) fn cut_before_move(&mut self) -> usize {
        let is_move = |waiting: &Waiting| matches!(waiting, Waiting::Command { opcode: MOVE_SESSION, .. });
        let dropped = self.queue.iter().position(is_move).unwrap_or(self.queue.len());
        self.queue.drain(..dropped);
        dropped
    }

    /// Takes out the connections that wait to go on with the session.
    pub(crate) fn take_resumes(&mut self) -> Vec<Token> {
        let resumes = self.queue.iter().filter(|waiting| waiting.is_resume()).map(Waiting::token).collect();
        self.queue.retain(|waiting| !waiting.is_resume());
        resumes
    }

    /// Turns the newest such command into a refusal, in its place; `false` if there is none.
    pub(crate) fn refuse(&mut self, cxid: i32, refused: i32) -> bool {
        for waiting in self.queue.iter_mut().rev() {
            if let Waiting::Command { token, xid, opcode, .. } = *waiting
                && (xid, opcode) == (cxid, refused)
            {
                *waiting = Waiting::Refused { token, xid, opcode };
                return true;
            }
        }
        false
    }

    /// How many wait.
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

    #[test]
    fn a_refusal_keeps_its_place_behind_a_command_in_flight() {
        let mut line = Line::default();
        let token = Token(7);
        line.push(Waiting::Command { token, xid: 1, opcode: 5, sent: true });
        line.push(Waiting::Command { token, xid: 2, opcode: 5, sent: true });
        assert!(line.refuse(2, 5) && !line.refuse(3, 5));
        assert!(line.take_ready(0).is_none());
        assert_eq!(line.take_command(1, 5), Some(token));
        assert!(matches!(line.take_ready(0), Some(Waiting::Refused { xid: 2, .. })));
        assert!(line.is_empty());
    }

    #[test]
    fn what_waits_for_a_moment_is_answered_before_the_next_command() {
        let mut line = Line::default();
        let token = Token(1);
        let request = LocalRequest {
            xid: 1,
            opcode: 9,
            body: Box::default(),
            identities: Identities::from_ip("::1").into(),
            dialect: Dialect::ZooKeeper,
        };
        line.push(Waiting::Local { token, request, moment: 5 });
        line.push(Waiting::Command { token, xid: 2, opcode: 5, sent: true });
        assert!(line.take_before(3, 5).is_none(), "another server's command says nothing");
        assert!(matches!(line.take_before(2, 5), Some(Waiting::Local { .. })));
        assert!(line.take_before(2, 5).is_none(), "the command stays");
        assert_eq!(line.take_command(2, 5), Some(token));
    }

    #[test]
    fn a_command_of_another_server_takes_nobody_elses_place() {
        let mut line = Line::default();
        line.push(Waiting::Command { token: Token(1), xid: 5, opcode: 1, sent: true });
        assert_eq!(line.take_command(4, 1), None);
        assert_eq!(line.take_command(5, -11), None, "the server's own close of the session");
        assert_eq!(line.take_command(5, 1), Some(Token(1)));
    }

    #[test]
    fn a_session_that_goes_leaves_only_its_way_back() {
        let mut line = Line::default();
        let command = |xid, opcode| Waiting::Command { token: Token(1), xid, opcode, sent: true };
        line.push(command(1, 5));
        line.push(command(0, MOVE_SESSION));
        line.push(command(2, 5));
        assert_eq!(line.cut_before_move(), 1);
        assert_eq!(line.len(), 2);
        assert_eq!(line.take_resumes(), [Token(1)]);
        assert_eq!((line.cut_before_move(), line.len()), (1, 0));
    }
}
