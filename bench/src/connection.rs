//! One client's socket and its buffers.

use crate::answer::{Canned, Progress};
use mio::net::TcpStream;
use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Bytes read at once. A shorter read means that the socket is drained, which saves the read that
/// would return `WouldBlock`.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// Once this many bytes at the front of the buffer are sent, they are removed. Otherwise a
/// connection that always has held replies would never free its sent ones.
const LEFT_BYTES_MAX: usize = 64 << 10;

/// Whether the connection is still usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Gone,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    progress: Progress,
    /// The beginning of an incomplete frame.
    partial: Vec<u8>,
    /// Replies not yet sent, preceded by some already sent.
    out: Vec<u8>,
    /// Sent bytes at the start of `out`.
    sent: usize,
    /// Bytes removed from the front of `out` so far.
    removed: u64,
    /// Start positions of held replies, counted from the first byte of the connection. Only bytes
    /// before the oldest may be sent, so that later replies queue behind it.
    held: VecDeque<u64>,
    /// Close once all replies are sent.
    closing: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            progress: Progress::default(),
            partial: Vec::new(),
            out: Vec::new(),
            sent: 0,
            removed: 0,
            held: VecDeque::new(),
            closing: false,
        }
    }

    /// Reads and answers everything available; [`Self::write`] sends the replies.
    pub(crate) fn read(&mut self, canned: &Canned, input: &mut [u8], log: &mut Vec<u8>) -> State {
        while !self.closing {
            let kept = self.partial.len();
            let length = match self.stream.read(input) {
                Ok(0) => return self.end(),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return self.end(),
            };
            let answered = if kept == 0 {
                self.progress.answer(canned, &input[..length], &mut self.out, log)
            } else {
                self.partial.extend_from_slice(&input[..length]);
                self.progress.answer(canned, &self.partial, &mut self.out, log)
            };
            if kept == 0 {
                self.partial.extend_from_slice(&input[answered.consumed..length]);
            } else {
                self.partial.drain(..answered.consumed);
            }
            self.closing = answered.close;
            if length < input.len() {
                break;
            }
        }
        State::Open
    }

    fn end(&mut self) -> State {
        self.closing = true;
        State::Gone
    }

    /// Bytes of replies produced so far, which is where the next reply begins.
    pub(crate) fn made(&self) -> u64 {
        self.removed + self.out.len() as u64
    }

    /// Holds the replies from the one that begins at `start`, until [`Self::release`] has been
    /// called once for it and for each earlier hold.
    pub(crate) fn hold(&mut self, start: u64) {
        self.held.push_back(start);
    }

    /// Ends the oldest hold; [`Self::write`] then sends the released replies.
    pub(crate) fn release(&mut self) {
        self.held.pop_front();
    }

    /// Writes everything that may be sent, in one call as long as the socket accepts it.
    pub(crate) fn write(&mut self) -> State {
        let end = self.held.front().map_or(self.out.len(), |start| (start - self.removed) as usize);
        while self.sent < end {
            match self.stream.write(&self.out[self.sent..end]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Open,
                Err(_) => return State::Gone,
            }
        }
        let all = self.sent == self.out.len();
        if all || self.sent >= LEFT_BYTES_MAX {
            self.out.drain(..self.sent);
            self.removed += self.sent as u64;
            self.sent = 0;
        }
        if self.closing && all { State::Gone } else { State::Open }
    }
}
