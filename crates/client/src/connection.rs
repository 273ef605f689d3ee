//! Requests and replies of a session.

use crate::connect::{Options, SessionIdentity};
use crate::error::RequestError;
use crate::frames::Frames;
use crate::stream::Stream;
use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use tls::rustls::ClientConnection;
use wire::event::{EventType, KeeperState, WatcherEvent};
use wire::jute::Reader;
use wire::record::{Reply, ReplyHeader, Request, RequestHeader};
use wire::{Opcode, frame, xid};

/// A watch event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvent {
    /// The zxid of the change, or -1 if the server does not send it.
    pub zxid: i64,
    /// What happened.
    pub event_type: EventType,
    /// The state of the connection as the server sees it.
    pub state: KeeperState,
    /// Path of the znode.
    pub path: String,
}

impl WatchEvent {
    pub(crate) fn decode(header: ReplyHeader, body: &[u8]) -> Result<Self, wire::Malformed> {
        let event = WatcherEvent::decode(&mut Reader::new(body))?;
        Ok(Self {
            zxid: header.zxid,
            event_type: event.event_type,
            state: event.state,
            path: event.path.to_owned(),
        })
    }
}

/// The answer to one request.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The request's number.
    pub xid: i32,
    /// For a write, its own zxid; for a read or an error, the last one the server had applied.
    pub zxid: i64,
    /// The body, or the server's error.
    pub result: Result<Reply<'a>, RequestError>,
}

/// A TCP connection with a session.
///
/// If a method fails with anything but a refusal, the connection is unusable and must be dropped.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    frames: Frames,
    session: SessionIdentity,
    read_only: bool,
    reply_timeout: Option<Duration>,
    /// Requests not yet written.
    out: Vec<u8>,
    last_xid: i32,
    last_zxid: i64,
    /// Requests without a reply so far, oldest first: the server answers in this order.
    pending: VecDeque<(i32, Opcode)>,
    /// Watch events received while waiting for replies.
    events: VecDeque<WatchEvent>,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        frames: Frames,
        session: SessionIdentity,
        read_only: bool,
        options: &Options,
    ) -> Self {
        Self {
            stream,
            frames,
            session,
            read_only,
            reply_timeout: options.reply_timeout,
            out: Vec::new(),
            last_xid: 0,
            last_zxid: options.last_zxid_seen,
            pending: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The session, which can be resumed later on another connection.
    pub fn session(&self) -> &SessionIdentity {
        &self.session
    }

    /// Whether the server declared itself read-only in the handshake.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The newest zxid seen on this connection.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Queues a request and returns its number. [`Self::flush`] or waiting for an answer sends it.
    /// Answers arrive in the order of the requests.
    pub fn send(&mut self, request: &Request<'_>) -> i32 {
        let opcode = request.opcode();
        let number = match opcode {
            Opcode::Ping => xid::PING,
            Opcode::Auth => xid::AUTH,
            Opcode::SetWatches | Opcode::SetWatches2 => xid::SET_WATCHES,
            _ => {
                self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
                self.last_xid
            }
        };
        encode(request, number, &mut self.out);
        self.pending.push_back((number, opcode));
        number
    }

    /// Writes the queued requests.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn flush(&mut self) -> Result<(), RequestError> {
        self.stream.write_all(&self.out)?;
        self.stream.flush()?;
        self.out.clear();
        Ok(())
    }

    /// Number of unanswered requests.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Waits for the answer to the oldest unanswered request. Watch events that arrive before it
    /// are kept for [`Self::next_event`].
    ///
    /// # Errors
    /// An error that makes the connection unusable. A refusal is in the answer.
    ///
    /// # Panics
    /// If there is no unanswered request: the wait would never end.
    pub fn receive(&mut self) -> Result<Answer<'_>, RequestError> {
        let (expected, opcode) = *self.pending.front().expect("an unanswered request");
        self.flush()?;
        let (header, range) = loop {
            let range = self.frames.next(&mut self.stream)?;
            let mut input = Reader::new(self.frames.get(range.clone()));
            let header = ReplyHeader::decode(&mut input)?;
            self.last_zxid = self.last_zxid.max(header.zxid);
            match header.xid {
                xid::NOTIFICATION => self.events.push_back(WatchEvent::decode(header, input.rest())?),
                actual if actual == expected => break (header, range.end - input.rest().len()..range.end),
                actual => return Err(RequestError::OutOfTurn { expected, actual }),
            }
        };
        self.pending.pop_front();
        let result = match RequestError::refusal(header.err) {
            Some(refusal) => Err(refusal),
            None => Ok(Reply::decode(opcode, self.frames.get(range))?),
        };
        Ok(Answer { xid: header.xid, zxid: header.zxid, result })
    }

    /// Sends a request and waits for its answer. Answers to earlier requests are discarded.
    ///
    /// # Errors
    /// Any [`RequestError`], including a refusal.
    pub fn request(&mut self, request: &Request<'_>) -> Result<Reply<'_>, RequestError> {
        self.send(request);
        while self.pending.len() > 1 {
            self.receive()?;
        }
        self.receive()?.result
    }

    /// The next watch event: one already received, or one that arrives within `timeout`.
    ///
    /// # Errors
    /// An error that makes the connection unusable. If no event arrives, the result is `Ok(None)`.
    ///
    /// # Panics
    /// If there are unanswered requests: a reply could arrive instead.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<WatchEvent>, RequestError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        assert!(self.pending.is_empty(), "all requests are answered before waiting for events");
        // A zero timeout is invalid for a socket.
        self.stream.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        let range = self.frames.next(&mut self.stream);
        self.stream.set_read_timeout(self.reply_timeout)?;
        let range = match range {
            Err(RequestError::Timeout) => return Ok(None),
            range => range?,
        };
        let mut input = Reader::new(self.frames.get(range));
        let header = ReplyHeader::decode(&mut input)?;
        if header.xid != xid::NOTIFICATION {
            return Err(RequestError::OutOfTurn { expected: xid::NOTIFICATION, actual: header.xid });
        }
        self.last_zxid = self.last_zxid.max(header.zxid);
        Ok(Some(WatchEvent::decode(header, input.rest())?))
    }

    /// The raw socket and the state of TLS on it, with the session still open, for callers that
    /// speak the protocol themselves.
    ///
    /// # Panics
    /// If there are unanswered requests.
    pub fn into_stream(self) -> (TcpStream, Option<ClientConnection>) {
        assert!(self.pending.is_empty(), "nothing is pending");
        self.stream.into_parts()
    }

    /// Ends the session and deletes its ephemeral znodes. After just dropping the connection, the
    /// session ends by its timeout.
    ///
    /// # Errors
    /// The server did not confirm the end.
    pub fn close(mut self) -> Result<(), RequestError> {
        self.request(&Request::CloseSession).map(drop)
    }
}

pub(crate) fn encode(request: &Request<'_>, xid: i32, out: &mut Vec<u8>) {
    let mark = frame::begin(out);
    RequestHeader { xid, opcode_raw: request.opcode() as i32 }.encode(out);
    request.encode(out);
    frame::finish(out, mark);
}
