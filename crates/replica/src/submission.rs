//! What one wake-up of a connection thread hands to the replica, in order: commands already in the log's encoding, and local requests
//! that must wait behind them.

use state::command::Command;

use crate::outlet::{LocalRequest, Token};

/// One request among those handed over together.
#[derive(Debug)]
pub(crate) enum Item {
    /// The next `len` bytes of the submission are this command.
    Command { token: Token, session: i64, xid: i32, opcode: i32, len: usize },
    /// To be answered here in the session's order.
    Local { token: Token, session: i64, request: LocalRequest },
}

impl Item {
    /// The connection it came on.
    pub(crate) fn token(&self) -> Token {
        match self {
            Self::Command { token, .. } | Self::Local { token, .. } => *token,
        }
    }

    /// How many bytes of the submission are its.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Command { len, .. } => *len,
            Self::Local { .. } => 0,
        }
    }
}

/// A bundle of requests; reused, so that steady traffic allocates nothing for it.
#[derive(Debug, Default)]
pub struct Submission {
    pub(crate) bytes: Vec<u8>,
    pub(crate) items: Vec<Item>,
}

impl Submission {
    /// Adds a command to be replicated. `token` is told the result.
    pub fn command(&mut self, token: Token, command: &Command<'_>) {
        let start = self.bytes.len();
        command.put(&mut self.bytes);
        self.items.push(Item::Command {
            token,
            session: command.session,
            xid: command.cxid,
            opcode: command.opcode,
            len: self.bytes.len() - start,
        });
    }

    /// Adds a request to be answered here, after the session's commands added before it.
    pub fn local(&mut self, token: Token, session: i64, request: LocalRequest) {
        self.items.push(Item::Local { token, session, request });
    }

    /// Moves everything of `other` behind what is here, keeping `other`'s memory for its next use.
    pub fn append(&mut self, other: &mut Submission) {
        self.bytes.extend_from_slice(&other.bytes);
        self.items.append(&mut other.items);
        other.bytes.clear();
    }

    /// Whether there is nothing to hand over.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of the commands within.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }
}
