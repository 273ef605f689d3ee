//! One client connection: its bytes in, its bytes out, and where it stands.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use group::Token;
use state::auth::Identities;
use state::read::{Dialect, Piece};

use super::count::Queued;
use super::output::{Flushed, Output};
use super::socket::Socket;
use crate::client::connections::Traffic;
use crate::client::progress::Progress;

/// Bytes read ahead from a connection whose requests have to wait, to hear that its client lives.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// Capacity an idle connection's buffers may keep.
const IDLE_BUFFER_BYTES: usize = 16 << 10;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing understood yet: the first four bytes decide between a four-letter word and the handshake,
    Greeting,
    /// which asked for a session and waits until that is agreed;
    Opening,
    /// then requests are served,
    Open,
    /// until one of them ends it: what is queued still goes out, nothing more is read,
    Closing,
    /// and when that is done, or at once if it misbehaved, the socket is closed.
    Closed,
}

/// A request that is not answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) opcode: i32,
    /// When it was read, in µs of the server's clock.
    pub(super) since_us: u64,
    /// Its length if it counts as large (`largeRequestThreshold`), else 0.
    pub(super) large_bytes: u64,
    /// Its xid if it was not handed over but turned away, and is only to be told so in its turn.
    pub(super) turned_away: Option<i32>,
    /// The server's own, whose reply the client is not told.
    pub(super) is_own: bool,
}

/// One client.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Socket>,
    pub(super) token: Token,
    pub(super) phase: Phase,
    pub(super) traffic: Arc<Traffic>,
    /// The session, 0 before there is one.
    pub(super) session: i64,
    /// The negotiated timeout in ms.
    pub(super) timeout_ms: i32,
    /// Whether the handshake had the optional read-only byte, so that the reply has it too.
    pub(super) read_only_known: bool,
    /// The client is served though this server is cut off: it may only read.
    pub(super) read_only: bool,
    /// Ids under which it asked for a new session.
    pub(super) ids_tried: u32,
    /// Where to note that the client lives.
    pub(super) seen_ms: Arc<AtomicI64>,
    pub(super) identities: Arc<Identities>,
    /// Whose form of the protocol the client understands, by what it has asked for so far.
    pub(super) dialect: Dialect,
    /// The requests that are not answered, oldest first. Invariant: the first one was handed over, not turned away.
    pub(super) in_flight: VecDeque<InFlight>,
    /// Places of the reads handed over since the last time nothing was in flight: all of them are
    /// answered at once when the write before them is applied.
    pub(super) reads_waiting: usize,
    /// Its next request waits until nothing is in flight.
    pub(super) waits_alone: bool,
    /// Its next request has waited for the moment at which it may be answered.
    pub(super) is_caught_up: bool,
    /// Bytes read and not yet understood. Empty most of the time: whole frames are served from the thread's own buffer.
    pub(super) input: Vec<u8>,
    pub(super) output: Output,
    /// Bytes of memory of the output as they are counted for all connections.
    pub(super) counted_output_bytes: usize,
    /// Output beyond which no more requests are served until the client takes some of it.
    pause_bytes: usize,
    /// Requests are not read for now, though there may be some.
    pub(super) paused: bool,
    /// Since when the server's throttle holds back what stands in `input`, in µs of the server's clock.
    pub(super) held_since_us: Option<u64>,
    /// The socket may hold bytes that no event will announce again.
    pub(super) unread: bool,
    /// The thread knows that nothing more is read from it for now.
    pub(super) deaf: bool,
    /// The client has closed its side: there is an end to be read behind the last bytes, and no event will say so again.
    pub(super) hung_up: bool,
    /// Stands in the thread's list of connections with something to write.
    pub(super) listed: bool,
    /// The socket took less than offered; an event tells when it takes more.
    pub(super) blocked: bool,
    /// When it was accepted, in ms of the server's clock.
    pub(super) since_ms: i64,
    /// What the client has taken since the connection only waits for that.
    pub(super) leaving: Option<Progress>,
}

impl Connection {
    pub(super) fn new(
        stream: Box<dyn Socket>,
        token: Token,
        traffic: Arc<Traffic>,
        identities: Identities,
        pause_bytes: usize,
    ) -> Connection {
        Connection {
            stream,
            token,
            phase: Phase::Greeting,
            traffic,
            session: 0,
            timeout_ms: 0,
            read_only_known: false,
            read_only: false,
            ids_tried: 0,
            seen_ms: Arc::new(AtomicI64::new(0)),
            identities: Arc::new(identities),
            dialect: Dialect::default(),
            in_flight: VecDeque::new(),
            reads_waiting: 0,
            waits_alone: false,
            is_caught_up: false,
            input: Vec::new(),
            output: Output::default(),
            counted_output_bytes: 0,
            pause_bytes,
            paused: false,
            held_since_us: None,
            unread: false,
            deaf: false,
            hung_up: false,
            listed: false,
            blocked: false,
            since_ms: 0,
            leaving: None,
        }
    }

    /// Where replies and events are appended, in the order the client must see them.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        self.output.end()
    }

    /// Queues what was appended to the output from `start` on, with the frame of a reply at
    /// `reply_at` and the long parts of it.
    pub(super) fn queue(
        &mut self,
        opcode: i32,
        start: usize,
        reply_at: usize,
        pieces: Vec<(usize, Piece)>,
    ) -> Queued {
        let out = self.output.end();
        let short = out.len() - start;
        let long: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
        let held: usize = pieces.iter().map(|(_, piece)| piece.held_bytes()).sum();
        let reply = Queued::new(opcode, &out[reply_at..], short + long);
        self.output.queued_reply(short + held);
        self.output.splice(pieces);
        reply
    }

    /// Bytes queued and not taken by the socket.
    pub(super) fn backlog(&self) -> usize {
        self.output.backlog()
    }

    /// Whether the client left more unread than it may. One reply does not count, however long: its length was asked for, and a client
    /// that reads it as fast as it can must be able to get it.
    pub(super) fn is_over(&self, held_bytes_max: u64) -> bool {
        self.output.held_bytes_beside_one_reply() as u64 > held_bytes_max
    }

    /// Whether the client has to read before more of its requests are served.
    pub(super) fn is_behind(&self) -> bool {
        self.backlog() > self.pause_bytes
    }

    /// Whether more of its bytes may be looked at.
    pub(super) fn accepts_input(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Open) && !self.paused
    }

    /// How many more bytes may be read.
    pub(super) fn room(&self) -> usize {
        match self.phase {
            Phase::Greeting | Phase::Open if !self.paused => usize::MAX,
            Phase::Open => READ_AHEAD_BYTES.saturating_sub(self.input.len()),
            _ => 0,
        }
    }

    /// Reads once. `Ok(None)`: nothing there now. `Ok(Some(0))`: the client closed.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            return match self.stream.read(buffer) {
                Ok(n) => Ok(Some(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
        }
    }

    /// Offers what is queued to the socket.
    pub(super) fn flush(&mut self) -> io::Result<Flushed> {
        let flushed = self.output.flush(&mut *self.stream)?;
        self.blocked = flushed == Flushed::Blocked;
        Ok(flushed)
    }

    /// Keeps the bytes from `consumed` on for later, where `whole` is what `input` and a read gave together.
    pub(super) fn keep_rest(&mut self, mut whole: Vec<u8>, consumed: usize) {
        if consumed == whole.len() {
            whole.clear();
            whole.shrink_to(IDLE_BUFFER_BYTES);
        } else {
            whole.drain(..consumed);
        }
        self.input = whole;
    }
}
