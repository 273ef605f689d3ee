//! The threads that own the client connections.
//!
//! Each thread has a poll, its connections and a mailbox. One wake-up is: take what the replication thread delivered, read each
//! socket that has something, serve the frames, hand all commands over in one bundle, and write each socket at most once.
//!
//! A thread never waits for another client, and not for the disk either unless all it has is one
//! busy client that waits for it too (see [`SoleClient`]); another thread goes on with its connections
//! then if the disk takes long (see [`Relay`]). It holds the machine for reading only while it
//! serves the frames of one read, and takes its deliveries after it got hold of it: whatever change
//! it can then see, the events for it are already queued.

mod accept;
mod alone;
pub mod answer;
pub mod auth;
mod connection;
pub mod connections;
mod count;
mod handshake;
mod housekeeping;
mod liveness;
mod memory;
mod output;
mod poll_round;
pub mod progress;
mod read_only;
mod relay;
mod request;
mod socket;
mod sole_client;
#[cfg(test)]
mod tests;
pub mod throttle;
mod throttled;
mod word;

pub(crate) use self::relay::Relay;
pub(crate) use self::request::watcher;
pub use self::socket::{Readiness, Socket};

use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use group::{Submission, Token};
use mio::Poll;
use mio::event::Event;
use mio::net::TcpListener;
use slab::Slab;
use state::read::Piece;

use self::connection::{Connection, Phase};
use self::output::Flushed;
use self::poll_round::Round;
use self::sole_client::SoleClient;
use crate::client::connections::Traffic;
use crate::host::ReplicationLoop;
use crate::inbox::ControlRequest;
use crate::mailbox::{Delivery, Note};
use crate::shared::{Shared, slot_of};
use crate::stall_detector::Pulse;

/// Poll token of the mailbox's waker.
pub(crate) const WAKER: mio::Token = mio::Token(usize::MAX);
/// Poll token of the listening socket.
const LISTENER: mio::Token = mio::Token(usize::MAX - 1);
/// Bytes read from a socket at a time. Also bounds how long the machine is held for one connection.
const READ_BYTES: usize = 64 << 10;
/// Sockets that one poll names at most.
const EVENTS_MAX: usize = 1024;
/// Full reads of one connection in a row before others have their turn.
const READS_MAX: usize = 4;
/// How often connections without a session are looked through, the pulse of the replication thread, and the flag to stop.
const HOUSEKEEPING: Duration = Duration::from_millis(500);

/// One connection thread.
pub(crate) struct IoThread {
    number: usize,
    shared: Arc<Shared>,
    /// Who runs the cycle; nobody this thread could take over from in a simulation.
    wheel: Option<Arc<ReplicationLoop>>,
    poll: Poll,
    /// Thread 0 listens and deals the connections out.
    listener: Option<TcpListener>,
    dealt: usize,
    /// The system refused to accept a connection; tried again after a pause.
    accepts_later: bool,
    connections: Slab<Connection>,
    generation: u32,
    submission: Submission,
    submitted: usize,
    lone: SoleClient,
    /// Slots of connections with something to write.
    listed: Vec<usize>,
    /// Slots of connections whose pause may have ended.
    resumed: Vec<usize>,
    /// Slots of connections from which nothing more is read for now.
    deaf: Vec<usize>,
    round: Round,
    /// The latest time until which this thread has said that it has read.
    said_ms: i64,
    delivery: Delivery,
    accepted: Vec<StdStream>,
    buffer: Vec<u8>,
    /// The server's clock at this wake-up, in ms.
    now_ms: i64,
    /// The same in microseconds.
    now_us: u64,
    housekept_ms: i64,
    pulse: Pulse,
}

impl IoThread {
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        wheel: Option<Arc<ReplicationLoop>>,
        poll: Poll,
        mut listener: Option<TcpListener>,
    ) -> std::io::Result<IoThread> {
        if let Some(listener) = &mut listener {
            poll.registry().register(listener, LISTENER, mio::Interest::READABLE)?;
        }
        Ok(IoThread {
            number,
            shared,
            wheel,
            poll,
            listener,
            dealt: 0,
            accepts_later: false,
            connections: Slab::new(),
            generation: 0,
            submission: Submission::default(),
            submitted: 0,
            lone: SoleClient::default(),
            listed: Vec::new(),
            resumed: Vec::new(),
            deaf: Vec::new(),
            round: Round::default(),
            said_ms: 0,
            delivery: Delivery::default(),
            accepted: Vec::new(),
            buffer: vec![0; READ_BYTES],
            now_ms: 0,
            now_us: 0,
            housekept_ms: 0,
            pulse: Pulse::default(),
        })
    }

    /// One turn as a simulation drives it: these connections have something to tell.
    pub(crate) fn turn(&mut self, ready: &[(usize, Readiness)]) {
        let (asked, polled_ms) = self.begin_to_look();
        self.look_at_the_clock();
        self.collect();
        for (slot, readiness) in ready {
            self.look_at(*slot, *readiness);
        }
        self.resume();
        self.hand_over();
        self.finish_turn();
        self.has_read(polled_ms, ready.len(), usize::MAX, asked);
    }

    /// Whether a turn would do something though nothing is new.
    pub(crate) fn is_busy(&self) -> bool {
        let mailbox = &self.shared.mailboxes[self.number];
        let has_work = !self.resumed.is_empty() || !self.listed.is_empty();
        has_work || mailbox.is_full() || mailbox.is_asked_to_look()
    }

    fn finish_turn(&mut self) {
        self.write();
        self.keep_house();
    }

    fn look_at_the_clock(&mut self) {
        self.now_us = self.shared.clock.elapsed_us();
        self.now_ms = (self.now_us / 1000) as i64;
    }

    fn serve(&mut self, event: &Event) {
        match event.token() {
            WAKER => {}
            LISTENER => self.accept(),
            mio::Token(slot) => {
                let read_closed = event.is_read_closed();
                let readable = event.is_readable() || read_closed || event.is_error();
                self.look_at(slot, Readiness { readable, writable: event.is_writable(), read_closed });
            }
        }
    }

    fn look_at(&mut self, slot: usize, ready: Readiness) {
        self.lone.active(slot, self.now_ms);
        if ready.writable && self.connections.get(slot).is_some_and(|c| c.blocked) {
            self.list(slot);
        }
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.hung_up |= ready.read_closed;
        }
        if ready.readable {
            self.readable(slot);
        }
    }

    /// Reads what the socket has and serves it.
    fn readable(&mut self, slot: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut reads = 0;
        while let Some(connection) = self.connections.get_mut(slot) {
            let room = connection.room().min(buffer.len());
            if room == 0 {
                // An event says that more has arrived, or that the client has taken more.
                self.heard(slot);
                self.stop_reading(slot);
                break;
            }
            connection.unread = false;
            match connection.read(&mut buffer[..room]) {
                Ok(None) => break,
                Ok(Some(0)) | Err(_) if connection.paused => {
                    // The end has its turn behind the requests that wait.
                    connection.unread = true;
                    break;
                }
                Ok(Some(0)) | Err(_) => {
                    self.close(slot);
                    break;
                }
                Ok(Some(n)) => {
                    self.heard(slot);
                    Traffic::count(&self.shared.threads[self.number].bytes_received, n as u64);
                    self.take_bytes(slot, &buffer[..n]);
                    // A short read emptied the socket, unless the end of the stream is still to come.
                    let hung_up = self.connections.get(slot).is_some_and(|c| c.hung_up);
                    if n < room && !hung_up {
                        break;
                    }
                    reads += 1;
                    if reads == READS_MAX {
                        self.yield_turn(slot);
                        break;
                    }
                }
            }
        }
        self.buffer = buffer;
    }

    /// Lets the others go first; the socket holds more.
    fn yield_turn(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.unread = true;
            connection.paused = true;
            self.resumed.push(slot);
        }
    }

    /// Serves whole frames straight from the thread's buffer; only the start of an unfinished one is copied.
    fn take_bytes(&mut self, slot: usize, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.input.is_empty() {
            let consumed = self.serve_frames(slot, bytes);
            if let Some(connection) = self.connections.get_mut(slot) {
                connection.input.extend_from_slice(&bytes[consumed..]);
            }
        } else {
            connection.input.extend_from_slice(bytes);
            self.serve_input(slot);
        }
        self.answer_waiting_pings(slot);
    }

    fn serve_input(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let input = std::mem::take(&mut connection.input);
        let consumed = self.serve_frames(slot, &input);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.keep_rest(input, consumed);
            if !connection.paused {
                connection.held_since_us = None;
            }
        }
    }

    /// Serves the frames at the start of `bytes` and says how many bytes they took.
    fn serve_frames(&mut self, slot: usize, bytes: &[u8]) -> usize {
        let shared = Arc::clone(&self.shared);
        let mut held = None;
        let mut at = 0;
        while let Some(connection) = self.connections.get(slot) {
            if !connection.accepts_input() {
                break;
            }
            let rest = &bytes[at..];
            let taken = if connection.phase == Phase::Greeting {
                self.greet(slot, rest)
            } else {
                self.serve_frame(slot, rest, &shared, &mut held)
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        at
    }

    /// Takes what was delivered and puts it on the connections.
    fn collect(&mut self) {
        if !self.shared.mailboxes[self.number].is_full() {
            return;
        }
        let mut delivery = std::mem::take(&mut self.delivery);
        let mut accepted = std::mem::take(&mut self.accepted);
        self.shared.mailboxes[self.number].collect(&mut delivery, &mut accepted);
        for stream in accepted.drain(..) {
            self.admit(stream);
        }
        let mut at = 0;
        let mut pieces = delivery.pieces.drain(..).peekable();
        for (token, note) in delivery.notes.drain(..) {
            let len = match note {
                Note::Reply { len, .. } | Note::Event { len } => len,
                _ => 0,
            };
            let frame = &delivery.bytes[at..at + len];
            // They belong into the frame or behind it, and never before its length.
            let own = std::iter::from_fn(|| pieces.next_if(|(position, _)| *position <= at + len));
            let own = own.map(|(position, piece)| (position - at, piece)).collect();
            at += len;
            self.deliver(token, note, frame, own);
        }
        drop(pieces);
        delivery.bytes.clear();
        delivery.bytes.shrink_to(4 * READ_BYTES);
        self.delivery = delivery;
        self.accepted = accepted;
    }

    fn deliver(&mut self, token: Token, note: Note, frame: &[u8], pieces: Vec<(usize, Piece)>) {
        if let Note::Reply { .. } | Note::SessionOpened { .. } | Note::SessionRefused { .. } = note {
            self.shared.inbox.answered(1);
        }
        let slot = slot_of(token);
        let Some(connection) = self.connections.get_mut(slot).filter(|c| c.token == token) else {
            if let Note::SessionOpened { session } = note {
                self.leave(session, token);
            }
            return;
        };
        match note {
            Note::Reply { events, .. } => {
                let answered = connection.in_flight.pop_front();
                let (opcode, since_us) =
                    answered.map_or((0, self.now_us), |request| (request.opcode, request.since_us));
                if let Some(large_bytes) =
                    answered.map(|request| request.large_bytes).filter(|bytes| *bytes > 0)
                {
                    self.shared.counts.large_request_bytes.fetch_sub(large_bytes, Relaxed);
                }
                if connection.in_flight.is_empty() {
                    connection.reads_waiting = 0;
                }
                if answered.is_some_and(|request| request.is_own) {
                    connection.is_caught_up = true;
                    return self.may_resume(slot);
                }
                let start = connection.output().len();
                connection.output().extend_from_slice(frame);
                let pieces = pieces.into_iter().map(|(at, piece)| (start + at, piece)).collect();
                let reply = connection.queue(opcode, start, start + events, pieces);
                let latency_us = self.now_us.saturating_sub(since_us);
                self.shared.threads[self.number].update_latency.record(latency_us);
                self.count_reply(slot, &reply, latency_us);
                self.tell_turned_away(slot, reply.zxid());
                self.may_resume(slot);
            }
            // Its session has ended, and the client was told so.
            Note::Event { .. } if connection.session == 0 => {}
            Note::Event { .. } if connection.read_only && connection.phase == Phase::Closing => {}
            Note::Event { .. } => {
                connection.output().extend_from_slice(frame);
                self.shared.counts.quorum.watch_bytes.fetch_add(frame.len() as u64, Relaxed);
                self.count_sent(slot);
            }
            Note::SessionOpened { session } => self.opened(slot, session),
            Note::SessionRefused { code } => self.turned_down(slot, code),
            Note::SessionClosed => {
                connection.phase = Phase::Closing;
                connection.session = 0;
                // What was sent behind the end of the session is not answered, so the connection must not wait for that.
                let unanswered = connection.in_flight.drain(..).map(|request| request.large_bytes).sum();
                self.shared.counts.large_request_bytes.fetch_sub(unanswered, Relaxed);
            }
            Note::Finish => connection.phase = Phase::Closing,
            Note::Drop => connection.phase = Phase::Closed,
        }
        self.list(slot);
    }

    /// Remembers that the connection has something to write, or is to be closed.
    fn list(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot)
            && !connection.listed
        {
            connection.listed = true;
            self.listed.push(slot);
        }
    }

    fn may_resume(&mut self, slot: usize) {
        if self.connections.get(slot).is_some_and(|c| c.paused) {
            self.resumed.push(slot);
        }
    }

    /// Goes on with connections that had to pause and can go on now.
    fn resume(&mut self) {
        let mut resumed = std::mem::take(&mut self.resumed);
        for slot in resumed.drain(..) {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            if !connection.paused || self.must_pause(slot) {
                continue;
            }
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            connection.paused = false;
            self.go_on(slot);
        }
        if self.resumed.is_empty() {
            self.resumed = resumed;
        }
    }

    /// Serves what was read before and then what the socket holds.
    fn go_on(&mut self, slot: usize) {
        self.serve_input(slot);
        if self.connections.get(slot).is_some_and(|c| c.unread && c.accepts_input()) {
            self.readable(slot);
        }
    }

    /// Whether this connection's next request has to wait: for the client to read, or for earlier requests to be answered. The server's
    /// throttle only stops connections that have something in flight, for only those are sure to be looked at again.
    fn must_pause(&self, slot: usize) -> bool {
        let Some(connection) = self.connections.get(slot) else { return false };
        connection.is_behind()
            || self.has_to_read_first(connection.backlog())
            || (connection.waits_alone && !connection.in_flight.is_empty())
            || (!connection.in_flight.is_empty() && self.shared.is_throttled())
    }

    /// Hands all commands of this wake-up to the replication thread.
    fn hand_over(&mut self) {
        if !self.submission.is_empty() {
            let submitted = std::mem::take(&mut self.submitted);
            self.shared.inbox.submit(&mut self.submission, submitted);
        }
    }

    /// Writes each connection that has something, once; closes those that are done.
    fn write(&mut self) {
        let mut unfinished = Vec::new();
        while let Some(slot) = self.listed.pop() {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            connection.listed = false;
            let backlog = connection.backlog();
            let flushed =
                if connection.phase == Phase::Closed { Ok(Flushed::All) } else { connection.flush() };
            let taken = backlog - connection.backlog();
            if let Some(leaving) = &mut connection.leaving {
                leaving.add(taken as u64);
            }
            Traffic::count(&self.shared.threads[self.number].bytes_sent, taken as u64);
            let drained = connection.backlog() == 0;
            let done = connection.phase == Phase::Closing && drained && connection.in_flight.is_empty();
            let slow = connection.is_over(self.shared.config.connection.output_bytes_max);
            let failed = flushed.is_err();
            if failed || done || slow || connection.phase == Phase::Closed {
                if slow {
                    tracing::warn!(
                        peer = %connection.traffic.peer,
                        bytes = connection.backlog(),
                        "closing a connection that does not read its replies"
                    );
                }
                self.close(slot);
                continue;
            }
            if drained && connection.paused {
                // Served at the next wake-up, behind everybody else.
                self.resumed.push(slot);
            }
            let held_bytes = connection.output.held_bytes();
            self.count_output(slot, held_bytes);
            if let Ok(Flushed::More) = flushed {
                unfinished.push(slot);
            }
        }
        unfinished.into_iter().for_each(|slot| self.list(slot));
        self.free_output();
    }

    /// Ends a connection. Its session lives on, unless it was closed.
    fn close(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.try_remove(slot) else { return };
        connection.stream.close(self.poll.registry());
        let large_bytes = connection.in_flight.iter().map(|request| request.large_bytes).sum();
        self.shared.counts.large_request_bytes.fetch_sub(large_bytes, Relaxed);
        memory::recount(&self.shared, connection.counted_output_bytes, 0);
        self.shared.watches.lock().drop_watcher(request::watcher(connection.token));
        self.shared.connections.left(connection.token);
        if connection.session != 0 {
            self.leave(connection.session, connection.token);
        }
    }

    /// The connection is gone, or about to go, and its session with it if it is still on it.
    fn leave(&self, session: i64, token: Token) {
        if self.shared.sessions.left(session, token) {
            self.shared.inbox.ask(ControlRequest::Disconnected(session));
        }
    }

    /// The server stops: what is queued goes out as far as the sockets take it.
    fn part(&mut self) {
        self.look_at_the_clock();
        self.collect();
        for (_, connection) in &mut self.connections {
            while let Ok(Flushed::More) = connection.flush() {}
            connection.stream.close(self.poll.registry());
        }
    }
}
