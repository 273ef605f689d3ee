//! One client's socket and the bytes on their way through it.

use crate::answer::{Canned, Progress};
use mio::net::TcpStream;
use std::io::{self, Read, Write};

/// Bytes read at once. A shorter read means the socket is drained, which spares the read that would only say so.
pub(super) const READ_BYTES: usize = 64 << 10;

/// Whether the connection is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Gone,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    progress: Progress,
    /// The beginning of a frame whose end has not arrived.
    partial: Vec<u8>,
    /// Replies that may leave.
    out: Vec<u8>,
    /// Bytes of `out` that have left.
    sent: usize,
    /// Batches given to the flusher and not yet back. While there are any, later replies queue behind them there.
    flushing: usize,
    /// Close once `out` has left and nothing is being flushed.
    closing: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            progress: Progress::default(),
            partial: Vec::new(),
            out: Vec::new(),
            sent: 0,
            flushing: 0,
            closing: false,
        }
    }

    /// Reads and answers everything there is; the replies wait for [`Self::write`].
    pub(super) fn read(&mut self, canned: &Canned, input: &mut [u8], log: &mut Vec<u8>) -> State {
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
        self.out.clear();
        self.sent = 0;
        State::Gone
    }

    /// Writes what may leave, in one call as long as the socket takes it.
    pub(super) fn write(&mut self) -> State {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Open,
                Err(_) => return State::Gone,
            }
        }
        self.out.clear();
        self.sent = 0;
        if self.closing && self.flushing == 0 { State::Gone } else { State::Open }
    }

    /// Whether replies have to queue behind some that wait for the disk.
    pub(super) fn waits(&self) -> bool {
        self.flushing > 0
    }

    /// Takes the replies made by the last read, to be given back with [`Self::release`] when they may leave.
    pub(super) fn hold(&mut self) -> Vec<u8> {
        self.flushing += 1;
        self.out.split_off(self.sent)
    }

    /// Takes back what [`Self::hold`] gave away.
    pub(super) fn release(&mut self, replies: &[u8]) {
        self.flushing -= 1;
        self.out.extend_from_slice(replies);
    }
}
