//! One client connection: its input, its output and its state.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use group::{GroupId, Token};
use state::auth::Identities;
use state::read::{Dialect, Piece};

use super::asking::Questions;
use super::count::Queued;
use super::output::{Flushed, Output};
use super::sasl::SaslState;
use super::session_queue::SessionQueue;
use crate::connections::Traffic;
use crate::reader_progress::Progress;
use crate::stream::Stream;

/// Bytes read ahead from a connection whose requests have to wait, to see that its client lives.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// Capacity that an idle connection's buffers may keep.
const IDLE_BUFFER_BYTES: usize = 16 << 10;

/// The phases of a connection, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing decoded yet: the first four bytes decide between a four-letter word and the
    /// handshake.
    Greeting,
    /// The handshake asked for a session; waits until that is committed.
    Opening,
    /// Requests are served.
    Open,
    /// A request has ended it: queued output is still written, nothing more is read.
    Closing,
    /// Done, or closed for misbehaving: its thread closes the socket at once.
    Closed,
}

/// One client.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) token: Token,
    /// The group that its requests go to.
    pub(super) group: GroupId,
    pub(super) phase: Phase,
    pub(super) traffic: Arc<Traffic>,
    /// The session, 0 before there is one.
    pub(super) session: i64,
    /// The negotiated timeout in ms.
    pub(super) timeout_ms: i32,
    /// Whether the handshake had the optional read-only byte, so that the reply has it too.
    pub(super) read_only_known: bool,
    /// The client is served while this server is cut off: it may only read.
    pub(super) read_only: bool,
    /// Ids tried for its new session.
    pub(super) ids_tried: u32,
    /// Where to record when the client was heard from.
    pub(super) seen_ms: Arc<AtomicI64>,
    pub(super) identities: Arc<Identities>,
    /// The client has sent requests of SASL.
    pub(super) sasl: Option<Box<SaslState>>,
    /// Which dialect of the protocol the client speaks, judged by its requests so far.
    pub(super) dialect: Dialect,
    /// The requests not yet answered.
    pub(super) requests: SessionQueue,
    /// Those among them that the program is asked about.
    pub(super) questions: Option<Box<Questions>>,
    /// Its next request waits until nothing is unanswered.
    pub(super) waits_for_idle: bool,
    /// Its next request has its read ticket.
    pub(super) is_caught_up: bool,
    /// Bytes read and not yet decoded. Usually empty: whole frames are served from the thread's own
    /// buffer.
    pub(super) input: Vec<u8>,
    pub(super) output: Output,
    /// Bytes of memory of the output as included in the count of all connections.
    pub(super) counted_output_bytes: usize,
    /// Output above which no more requests are served until the client reads some of it.
    pause_bytes: usize,
    /// Requests are not served for now, though there may be some.
    pub(super) paused: bool,
    /// Since when the server's throttle holds back the requests in `input`, in µs of the server's
    /// clock.
    pub(super) held_since_us: Option<u64>,
    /// The socket may hold bytes that no event will announce again.
    pub(super) unread: bool,
    /// Nothing more is read from it for now, and it is in the thread's list of such connections.
    pub(super) reading_stopped: bool,
    /// The client has closed its side: the end of the stream follows the last bytes, and no event
    /// will announce it again.
    pub(super) hung_up: bool,
    /// In the thread's list of connections with something to write.
    pub(super) listed: bool,
    /// In the thread's queue of handshakes of the transport.
    pub(super) awaits_handshake: bool,
    /// The socket took less than offered; an event will announce that it takes more.
    pub(super) blocked: bool,
    /// When it was accepted, in ms of the server's clock.
    pub(super) since_ms: i64,
    /// What the client has read since the connection only waits for that.
    pub(super) leaving: Option<Progress>,
}

impl Connection {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        token: Token,
        group: GroupId,
        traffic: Arc<Traffic>,
        identities: Identities,
        pause_bytes: usize,
    ) -> Connection {
        Connection {
            stream,
            token,
            group,
            phase: Phase::Greeting,
            traffic,
            session: 0,
            timeout_ms: 0,
            read_only_known: false,
            read_only: false,
            ids_tried: 0,
            seen_ms: Arc::new(AtomicI64::new(0)),
            identities: Arc::new(identities),
            sasl: None,
            dialect: Dialect::default(),
            requests: SessionQueue::default(),
            questions: None,
            waits_for_idle: false,
            is_caught_up: false,
            input: Vec::new(),
            output: Output::default(),
            counted_output_bytes: 0,
            pause_bytes,
            paused: false,
            held_since_us: None,
            unread: false,
            reading_stopped: false,
            hung_up: false,
            listed: false,
            awaits_handshake: false,
            blocked: false,
            since_ms: 0,
            leaving: None,
        }
    }

    /// Where replies and events are appended, in the order the client must see them.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        self.output.end()
    }

    /// Queues what was appended to the output from `start` on: a reply whose frame is at
    /// `reply_at`, with its long parts.
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

    /// Bytes queued and not yet taken by the socket.
    pub(super) fn backlog(&self) -> usize {
        self.output.backlog()
    }

    /// Bytes of memory of all replies that the socket has not taken.
    pub(super) fn held_bytes(&self) -> usize {
        self.output.held_bytes() + self.requests.held_bytes() + self.stream.held_bytes()
    }

    /// Whether the client has left more unread than it may, with the replies that wait for their
    /// turn. One reply does not count, however long: the client asked for that length, and one that
    /// reads as fast as it can must be able to get it.
    pub(super) fn is_over(&self, held_bytes_max: u64) -> bool {
        let queued_bytes = self.requests.held_bytes() + self.stream.held_bytes();
        let held_bytes = self.output.held_bytes_beside_one_reply() + queued_bytes;
        held_bytes as u64 > held_bytes_max
    }

    /// Whether the client has to read before more of its requests are served.
    pub(super) fn is_behind(&self) -> bool {
        self.backlog() > self.pause_bytes
    }

    /// Whether a step of its login is under way on another thread.
    pub(super) fn waits_for_login(&self) -> bool {
        matches!(self.sasl.as_deref(), Some(SaslState::KerberosAway))
    }

    /// Whether more of its bytes may be decoded.
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

    /// Offers what is queued to the socket.
    pub(super) fn flush(&mut self) -> io::Result<Flushed> {
        let flushed = self.output.flush(&mut *self.stream)?;
        self.blocked = flushed == Flushed::Blocked;
        Ok(flushed)
    }

    /// Keeps the bytes from `consumed` on for later; `whole` is `input` and a read together.
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
