//! The order in which one session's requests are answered.

use std::collections::VecDeque;

use crate::outlet::{LocalRequest, Token};

/// One unanswered request.
#[derive(Debug)]
pub enum Waiting {
    /// A command on its way through the log.
    Command {
        /// The connection that sent it.
        token: Token,
        /// The client's xid (or the server's own number for session commands); the log carries it as cxid.
        xid: i32,
    },
    /// A request answered here, once everything before it was.
    Local {
        /// The connection that sent it.
        token: Token,
        /// What it asks.
        request: LocalRequest,
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

/// All unanswered requests of one session that came through this server, oldest first.
///
/// A session that moved to another connection keeps its old entries: they are still in the log in this order, and skipping them would
/// pair later commands with the wrong requests. Their replies go to a token nobody listens to.
#[derive(Debug, Default)]
pub struct Line {
    queue: VecDeque<Waiting>,
}

impl Line {
    /// Adds a request behind all others.
    pub fn push(&mut self, waiting: Waiting) {
        self.queue.push_back(waiting);
    }

    /// Takes the command at the head if it is the one that was applied; a command that came through another server is not.
    pub fn take_command(&mut self, cxid: i32) -> Option<Token> {
        match self.queue.front() {
            Some(Waiting::Command { token, xid }) if *xid == cxid => {
                let token = *token;
                self.queue.pop_front();
                Some(token)
            }
            _ => None,
        }
    }

    /// Takes the head if it waits for nothing any more.
    pub fn take_ready(&mut self) -> Option<Waiting> {
        match self.queue.front() {
            Some(Waiting::Local { .. } | Waiting::Refused { .. }) => self.queue.pop_front(),
            _ => None,
        }
    }

    /// Turns the newest command of that xid into a refusal, in its place.
    pub fn refuse(&mut self, token: Token, xid: i32, opcode: i32) {
        let slot = self
            .queue
            .iter_mut()
            .rev()
            .find(|w| matches!(w, Waiting::Command { token: t, xid: x } if *t == token && *x == xid));
        let slot = slot.expect("a refused command stands in its session's line");
        *slot = Waiting::Refused { token, xid, opcode };
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_place_behind_a_command_in_flight() {
        let mut line = Line::default();
        let token = Token(7);
        line.push(Waiting::Command { token, xid: 1 });
        line.push(Waiting::Command { token, xid: 2 });
        line.refuse(token, 2, 5);
        assert!(line.take_ready().is_none());
        assert_eq!(line.take_command(1), Some(token));
        assert!(matches!(line.take_ready(), Some(Waiting::Refused { xid: 2, .. })));
        assert!(line.is_empty());
    }

    #[test]
    fn a_command_of_another_server_takes_nobody_elses_place() {
        let mut line = Line::default();
        line.push(Waiting::Command { token: Token(1), xid: 5 });
        assert_eq!(line.take_command(4), None);
        assert_eq!(line.take_command(5), Some(Token(1)));
    }
}
