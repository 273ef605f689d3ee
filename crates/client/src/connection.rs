//! Requests and replies of one session.

use crate::connect::{Options, Session};
use crate::error::RequestError;
use crate::frames::Frames;
use crate::split::{Receiver, Sender};
use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;
use wire::event::{EventType, KeeperState, WatcherEvent};
use wire::jute::Reader;
use wire::record::{Reply, ReplyHeader, Request, RequestHeader};
use wire::{Opcode, frame, xid};

/// Something that happened to a watched znode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The zxid of the change, or -1 if the server does not say.
    pub zxid: i64,
    /// What happened.
    pub event_type: EventType,
    /// The state of the connection as the server sees it.
    pub state: KeeperState,
    /// Where it happened.
    pub path: String,
}

impl Event {
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

/// The reply to one request.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The number of the request.
    pub xid: i32,
    /// Of a write its own zxid, of a read and of a refusal the last one the server had applied.
    pub zxid: i64,
    /// The body, or the refusal.
    pub result: Result<Reply<'a>, RequestError>,
}

/// One TCP connection with one session on it.
///
/// A method that fails with anything but a refusal leaves the connection useless; drop it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    frames: Frames,
    session: Session,
    read_only: bool,
    reply_timeout: Option<Duration>,
    /// Requests that have not been written yet.
    out: Vec<u8>,
    last_xid: i32,
    last_zxid: i64,
    /// Requests without a reply so far, oldest first: the server answers in this order.
    pending: VecDeque<(i32, Opcode)>,
    /// Watch events that came between replies.
    events: VecDeque<Event>,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        frames: Frames,
        session: Session,
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

    /// The session, to be resumed later on another connection.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the server said at the handshake that it can only read.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The newest zxid seen on this connection.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Queues a request and returns its number. It leaves with [`Self::flush`] or when an answer is waited for. The
    /// answers come in the order of the requests.
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
        self.out.clear();
        Ok(())
    }

    /// Number of requests without an answer.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Waits for the answer to the oldest request without one. Watch events that come before it are kept for
    /// [`Self::next_event`].
    ///
    /// # Errors
    /// What makes the connection useless. A refusal is in the answer.
    ///
    /// # Panics
    /// If there is no such request: the wait would never end.
    pub fn receive(&mut self) -> Result<Answer<'_>, RequestError> {
        let (expected, opcode) = *self.pending.front().expect("a request without an answer");
        self.flush()?;
        let (header, range) = loop {
            let range = self.frames.next(&mut self.stream)?;
            let mut input = Reader::new(self.frames.get(range.clone()));
            let header = ReplyHeader::decode(&mut input)?;
            self.last_zxid = self.last_zxid.max(header.zxid);
            match header.xid {
                xid::NOTIFICATION => self.events.push_back(Event::decode(header, input.rest())?),
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

    /// Sends a request and waits for its answer. Answers to requests sent before it are thrown away.
    ///
    /// # Errors
    /// Any [`RequestError`], a refusal among them.
    pub fn request(&mut self, request: &Request<'_>) -> Result<Reply<'_>, RequestError> {
        self.send(request);
        while self.pending.len() > 1 {
            self.receive()?;
        }
        self.receive()?.result
    }

    /// The next watch event: one that is already here, or else one that comes within `timeout`.
    ///
    /// # Errors
    /// What makes the connection useless. That nothing came is `Ok(None)`.
    ///
    /// # Panics
    /// If there are requests without an answer: it could be that which comes.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<Event>, RequestError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        assert!(self.pending.is_empty(), "answers come before events can be waited for");
        // A timeout of zero would mean none at all.
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
        Ok(Some(Event::decode(header, input.rest())?))
    }

    /// Takes the connection apart into a half that sends and a half that receives, for two threads.
    ///
    /// # Errors
    /// The socket cannot be duplicated.
    ///
    /// # Panics
    /// If there are requests without an answer, or events that were not taken.
    pub fn split(self) -> Result<(Sender, Receiver), RequestError> {
        assert!(self.pending.is_empty() && self.events.is_empty(), "nothing may be under way at a split");
        let sender = Sender::new(self.stream.try_clone()?, self.last_xid);
        Ok((sender, Receiver::new(self.stream, self.frames)))
    }

    /// The bare socket, with the session still open, for those who speak the protocol themselves.
    ///
    /// # Panics
    /// If there are requests without an answer.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.pending.is_empty(), "nothing may be under way");
        self.stream
    }

    /// Ends the session: its ephemeral znodes go. Dropping the connection instead leaves the session to its timeout.
    ///
    /// # Errors
    /// The end was not confirmed.
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
