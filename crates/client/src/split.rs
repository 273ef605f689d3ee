//! The two halves of a connection, for sending and receiving on different threads.

use crate::connection::encode;
use crate::error::RequestError;
use crate::frames::Frames;
use crate::stream::Stream;
use std::io::Write;
use wire::jute::Reader;
use wire::record::{ReplyHeader, Request};

/// Sends requests. The caller chooses their numbers, or uses [`Self::next_xid`].
#[derive(Debug)]
pub struct Sender {
    stream: Stream,
    last_xid: i32,
    out: Vec<u8>,
}

impl Sender {
    pub(crate) fn new(stream: Stream, last_xid: i32) -> Self {
        Self { stream, last_xid, out: Vec::new() }
    }

    /// The number for the next ordinary request.
    pub fn next_xid(&mut self) -> i32 {
        self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
        self.last_xid
    }

    /// Queues a request until [`Self::flush`].
    pub fn send(&mut self, xid: i32, request: &Request<'_>) {
        encode(request, xid, &mut self.out);
    }

    /// Writes all queued requests.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn flush(&mut self) -> Result<(), RequestError> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Ends the connection, which the receiving half notices.
    pub fn shut_down(&self) {
        self.stream.shut_down();
    }
}

/// A received frame: a reply, an event or the answer to a ping, distinguished by the header's xid.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The header.
    pub header: ReplyHeader,
    /// The body, to be decoded as the reply to the request with that number.
    pub body: &'a [u8],
}

/// Receives replies and events.
#[derive(Debug)]
pub struct Receiver {
    stream: Stream,
    frames: Frames,
}

impl Receiver {
    pub(crate) fn new(stream: Stream, frames: Frames) -> Self {
        Self { stream, frames }
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// An error that makes the connection unusable, except [`RequestError::Timeout`], after which
    /// the call can be repeated.
    pub fn receive(&mut self) -> Result<Incoming<'_>, RequestError> {
        let range = self.frames.next(&mut self.stream)?;
        let mut input = Reader::new(self.frames.get(range));
        let header = ReplyHeader::decode(&mut input)?;
        Ok(Incoming { header, body: input.rest() })
    }
}
