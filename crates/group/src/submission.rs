//! What one wake-up of a connection thread hands to the replica, in order: commands already in the
//! log's encoding, local requests that must wait behind them, and clients that resume their
//! sessions.

use std::ops::Range;

use bytes::Bytes;
use state::command::Command;

use crate::reply_sink::{LocalRequest, RequestId};

/// The cxid of commands for which no client waits. Clients count from 0 or 1.
pub(crate) const OWN_CXID: i32 = i32::MIN;

/// One of the requests handed over together.
#[derive(Debug)]
pub(crate) enum Item {
    /// A command: the next `len` bytes of the submission.
    Command { id: RequestId, session: i64, xid: i32, opcode: i32, len: usize },
    /// A request to be answered here, in the session's order.
    Local { id: RequestId, session: i64, request: LocalRequest },
    /// A client resumes its session on this connection.
    Resume { id: RequestId, session: i64, timeout_ms: i32 },
}

impl Item {
    /// The number of the submission's bytes that belong to it.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Command { len, .. } => *len,
            Self::Local { .. } | Self::Resume { .. } => 0,
        }
    }
}

/// A command in the log's encoding: a part of a buffer that it shares with others.
pub(crate) struct Encoded<'b> {
    pub(crate) buffer: Buffer<'b>,
    pub(crate) range: Range<usize>,
}

/// Encoded commands, one after the other.
#[derive(Clone, Copy)]
pub(crate) enum Buffer<'b> {
    /// They can be kept without copying them.
    Shared(&'b Bytes),
    /// They are read only.
    Borrowed(&'b [u8]),
}

impl<'b> Encoded<'b> {
    /// A command that has a buffer of its own.
    pub(crate) fn whole(buffer: &'b Bytes) -> Encoded<'b> {
        Encoded { buffer: Buffer::Shared(buffer), range: 0..buffer.len() }
    }

    /// The command.
    pub(crate) fn bytes(&self) -> &'b [u8] {
        match self.buffer {
            Buffer::Shared(buffer) => &buffer[self.range.clone()],
            Buffer::Borrowed(buffer) => &buffer[self.range.clone()],
        }
    }

    /// The command, to be kept.
    pub(crate) fn share(&self) -> Bytes {
        let (buffer, range) = self.parts();
        buffer.slice(range)
    }

    /// A buffer to be kept, and where in it the command is.
    pub(crate) fn parts(&self) -> (Bytes, Range<usize>) {
        match self.buffer {
            Buffer::Shared(buffer) => (buffer.clone(), self.range.clone()),
            Buffer::Borrowed(_) => (Bytes::copy_from_slice(self.bytes()), 0..self.range.len()),
        }
    }
}

/// A bundle of requests; reused, so that steady traffic allocates nothing for it.
#[derive(Debug, Default)]
pub struct Submission {
    pub(crate) bytes: Vec<u8>,
    pub(crate) items: Vec<Item>,
    /// Submissions appended to this one, in order.
    pub(crate) later: Vec<Submission>,
    /// Empty ones whose memory is used again.
    spare: Vec<Submission>,
}

/// Most empty submissions kept for their memory, and most bytes of each.
const SPARE_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 1 << 20;

impl Submission {
    /// Adds a command to be replicated; its result is the answer to `id`.
    pub fn command(&mut self, id: RequestId, command: &Command<'_>) {
        let start = self.bytes.len();
        command.put(&mut self.bytes);
        self.items.push(Item::Command {
            id,
            session: command.session,
            xid: command.cxid,
            opcode: command.opcode,
            len: self.bytes.len() - start,
        });
    }

    /// Adds a request to be answered here, after the session's commands added before it.
    pub fn local(&mut self, id: RequestId, session: i64, request: LocalRequest) {
        self.items.push(Item::Local { id, session, request });
    }

    /// Adds the request to resume a session on this connection. What other connections of the
    /// session hand over later is dropped, and this one is told when everything that they handed
    /// over earlier is done, or can never be done any more.
    pub fn resume(&mut self, id: RequestId, session: i64, timeout_ms: i32) {
        self.items.push(Item::Resume { id, session, timeout_ms });
    }

    /// Appends everything in `other` without copying its commands.
    pub fn append(&mut self, other: &mut Submission) {
        if self.is_empty() {
            std::mem::swap(&mut self.bytes, &mut other.bytes);
            std::mem::swap(&mut self.items, &mut other.items);
            self.later.append(&mut other.later);
        } else {
            let empty = self.spare.pop().unwrap_or_default();
            self.later.push(std::mem::replace(other, empty));
        }
    }

    /// Keeps an empty submission for its memory.
    pub(crate) fn keep_spare(&mut self, empty: Submission) {
        if self.spare.len() < SPARE_MAX && empty.bytes.capacity() <= SPARE_BYTES_MAX {
            self.spare.push(empty);
        }
    }

    /// Whether there is nothing to hand over.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of the commands in it.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len() + self.later.iter().map(Submission::len_bytes).sum::<usize>()
    }
}
