//! What connections have yet to be told besides the results of applied commands.

use crate::reply_sink::{RequestId, Token};

/// A command that was refused before it entered the log; its client gets an error.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) id: RequestId,
    pub(crate) session: i64,
    pub(crate) xid: i32,
    /// Raw opcode.
    pub(crate) opcode: i32,
}

/// News that the next run of applying delivers.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    /// Connections that must close: they wait for something whose outcome is unknowable, or their
    /// session is on another connection.
    lost: Vec<Token>,
    /// Requests that will never be answered.
    abandoned: usize,
    refused: Vec<Refused>,
}

impl Untold {
    /// These connections must close.
    pub(crate) fn lose(&mut self, tokens: impl IntoIterator<Item = Token>) {
        self.lost.extend(tokens);
    }

    /// These requests will never be answered.
    pub(crate) fn abandon(&mut self, requests: usize) {
        self.abandoned += requests;
    }

    /// A command got no place in the log.
    pub(crate) fn refuse(&mut self, refused: Refused) {
        self.refused.push(refused);
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.abandoned == 0 && self.refused.is_empty()
    }

    /// Requests that are neither answered nor told to be given up.
    pub(crate) fn requests(&self) -> usize {
        self.abandoned + self.refused.len()
    }

    /// Takes the connections that must close, and how many requests are given up.
    pub(crate) fn take_lost(&mut self) -> (Vec<Token>, usize) {
        (std::mem::take(&mut self.lost), std::mem::take(&mut self.abandoned))
    }

    /// Takes the commands to be refused.
    pub(crate) fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }
}
