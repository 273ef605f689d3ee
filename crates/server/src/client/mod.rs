//! The threads that own the client connections.
//!
//! Each thread has a poll, its connections and a mailbox. At each wake-up it takes what the
//! replication thread delivered, reads each ready socket, serves the frames, submits all commands
//! at once, and writes each socket at most once.
//!
//! A thread never waits for another client, nor for the disk unless its only busy client waits for
//! it too (see [`SoleClient`]); if the disk then takes long, another thread takes over its
//! connections (see [`Relay`]). It holds the machine for reading only while it serves the frames of
//! one read, and takes its deliveries after it has acquired it: the events for every change that it
//! can then see are already queued.

#[cfg(feature = "net")]
mod accept;
mod admission;
pub mod answer;
mod asking;
pub mod auth;
mod connection;
mod count;
mod delivery;
mod handshake;
mod housekeeping;
#[cfg(feature = "net")]
pub(crate) mod listener;
mod liveness;
mod memory;
mod output;
mod poll_round;
#[cfg(feature = "net")]
mod polling;
mod read_only;
#[cfg(feature = "net")]
mod relay;
mod request;
mod sasl;
mod session_queue;
#[cfg(feature = "net")]
mod sole_client;
#[cfg(test)]
mod tests;
mod throttled;
mod transport_handshakes;
mod waiting_reads;
mod word;

#[cfg(feature = "net")]
pub(crate) use self::accept::AcceptQueues;
#[cfg(feature = "net")]
pub(crate) use self::polling::{PollingThread, WAKER};
#[cfg(feature = "net")]
pub(crate) use self::relay::Relay;
pub(crate) use self::request::watcher;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use group::{GroupId, Token};
use slab::Slab;

use self::connection::{Connection, Phase};
use self::output::Flushed;
use self::poll_round::Round;
use crate::connections::Traffic;
use crate::inbox::{ControlRequest, Submissions};
use crate::mailbox::Delivery;
use crate::shared::Shared;
use crate::stall_detector::StallDetector;
use crate::stream::Readiness;

/// Bytes read from a socket at a time. Also bounds how long the machine is held for one connection.
const READ_BYTES: usize = 64 << 10;
/// Full reads of one connection in a row before other connections are served.
const READS_MAX: usize = 4;
/// How often a thread checks connections without a session, the replication thread's progress, and
/// the flag to stop.
const HOUSEKEEPING: Duration = Duration::from_millis(500);

/// One connection thread without its poll, which is a [`PollingThread`]'s or a simulation's.
pub(crate) struct IoThread {
    number: usize,
    shared: Arc<Shared>,
    connections: Slab<Connection>,
    generation: u32,
    submissions: Submissions,
    submitted: usize,
    /// Slots of connections with something to write.
    listed: Vec<usize>,
    /// Slots of connections whose pause may have ended.
    resumed: Vec<usize>,
    /// Slots of connections from which nothing is read for now.
    reading_stopped: Vec<usize>,
    /// Connections whose transports have a step of their handshake to take.
    handshakes: VecDeque<Token>,
    round: Round,
    /// The time up to which this thread last reported to have read.
    reported_ms: i64,
    delivery: Delivery,
    buffer: Vec<u8>,
    /// The server's clock in ms, as of this wake-up.
    now_ms: i64,
    /// The same in µs.
    now_us: u64,
    housekept_ms: i64,
    stall_detector: StallDetector,
}

impl IoThread {
    pub(crate) fn new(number: usize, shared: Arc<Shared>) -> IoThread {
        let submissions = Submissions::new(shared.namespaces.len());
        IoThread {
            number,
            shared,
            connections: Slab::new(),
            generation: 0,
            submissions,
            submitted: 0,
            listed: Vec::new(),
            resumed: Vec::new(),
            reading_stopped: Vec::new(),
            handshakes: VecDeque::new(),
            round: Round::default(),
            reported_ms: 0,
            delivery: Delivery::default(),
            buffer: vec![0; READ_BYTES],
            now_ms: 0,
            now_us: 0,
            housekept_ms: 0,
            stall_detector: StallDetector::default(),
        }
    }

    /// One turn, driven by a simulation: these connections are ready.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn turn(&mut self, ready: &[(usize, Readiness)]) {
        let (asked, polled_ms) = self.begin_poll();
        self.read_clock();
        self.collect();
        for (slot, readiness) in ready {
            self.handle_ready(*slot, *readiness);
        }
        self.shake_hands();
        self.resume();
        self.submit_commands();
        self.finish_turn();
        self.has_read(polled_ms, ready.len(), usize::MAX, asked);
    }

    /// Whether a turn would do something although nothing is new.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_busy(&self) -> bool {
        let mailbox = &self.shared.mailboxes[self.number];
        let has_work = !self.resumed.is_empty() || !self.listed.is_empty() || !self.handshakes.is_empty();
        has_work || mailbox.is_full() || mailbox.is_asked_to_look()
    }

    fn finish_turn(&mut self) {
        self.write();
        self.keep_house();
    }

    fn read_clock(&mut self) {
        self.now_us = self.shared.clock.elapsed_us();
        self.now_ms = (self.now_us / 1000) as i64;
    }

    fn handle_ready(&mut self, slot: usize, ready: Readiness) {
        if ready.writable && self.connections.get(slot).is_some_and(|c| c.blocked || c.stream.wants_write()) {
            self.list(slot);
        }
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.hung_up |= ready.read_closed;
        }
        if ready.readable && !self.queue_handshake(slot) {
            self.readable(slot);
        }
    }

    /// Reads what the socket holds and serves it.
    fn readable(&mut self, slot: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut reads = 0;
        while let Some(connection) = self.connections.get_mut(slot) {
            let room = connection.room().min(buffer.len());
            if room == 0 {
                // The event means that more has arrived, or that the client has taken more.
                self.heard(slot);
                self.stop_reading(slot);
                break;
            }
            connection.unread = false;
            match connection.stream.try_read(&mut buffer[..room]) {
                Ok(None) => break,
                Ok(Some(0)) | Err(_) if connection.paused => {
                    // The end of the stream is handled after the waiting requests.
                    connection.unread = true;
                    break;
                }
                Ok(Some(0)) => {
                    self.close(slot);
                    break;
                }
                Err(e) => {
                    self.count_failed_handshake(slot, &e);
                    self.close(slot);
                    break;
                }
                Ok(Some(n)) => {
                    self.heard(slot);
                    Traffic::count(&self.shared.threads[self.number].bytes_received, n as u64);
                    self.take_bytes(slot, &buffer[..n]);
                    // No event announces the end of the stream again.
                    let reads_on = |c: &Connection| c.hung_up || c.stream.may_hold_more(n, room);
                    if !self.connections.get(slot).is_some_and(reads_on) {
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

    /// Serves the other connections first; the socket holds more.
    fn yield_turn(&mut self, slot: usize) {
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.unread = true;
            connection.paused = true;
            self.resumed.push(slot);
        }
    }

    /// Serves whole frames straight from the thread's buffer; only an unfinished one is copied.
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

    /// Serves the frames at the start of `bytes` and returns their length in bytes.
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

    /// Lists a connection that has something to write or is to be closed.
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

    /// Resumes paused connections that no longer have to wait.
    fn resume(&mut self) {
        self.finish_logins();
        self.take_answers();
        let mut resumed = std::mem::take(&mut self.resumed);
        for slot in resumed.drain(..) {
            let Some(connection) = self.connections.get(slot) else { continue };
            if !connection.paused || self.must_pause(slot) {
                self.read_buffered(slot);
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

    /// Writing has moved bytes from the socket into the stream: they are read as if the poll had
    /// announced them.
    fn read_buffered(&mut self, slot: usize) {
        if self.connections.get(slot).is_some_and(|c| !c.unread && c.stream.has_buffered()) {
            self.readable(slot);
        }
    }

    /// Serves the bytes read before and then what the socket holds.
    fn go_on(&mut self, slot: usize) {
        self.serve_input(slot);
        if self.connections.get(slot).is_some_and(|c| c.unread && c.accepts_input()) {
            self.readable(slot);
        } else {
            self.read_buffered(slot);
        }
    }

    /// Whether this connection's next request has to wait: for the client to read, or for earlier
    /// requests to be answered. The server's throttle pauses only connections that have something
    /// unanswered, for only those are sure to be resumed.
    fn must_pause(&self, slot: usize) -> bool {
        let Some(connection) = self.connections.get(slot) else { return false };
        connection.is_behind()
            || connection.waits_for_login()
            || self.has_to_read_first(connection.backlog())
            || (connection.waits_for_idle && !connection.requests.is_empty())
            || (!connection.requests.is_empty() && self.shared.is_throttled())
    }

    /// Submits all commands of this wake-up to the replication thread.
    fn submit_commands(&mut self) {
        if !self.submissions.is_empty() {
            let submitted = std::mem::take(&mut self.submitted);
            self.shared.inbox.submit(&mut self.submissions, submitted);
        }
    }

    /// Writes each listed connection once; closes those that are done.
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
            let drained = connection.backlog() == 0 && !connection.stream.wants_write();
            let done = connection.phase == Phase::Closing && drained && connection.requests.is_empty();
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
                // Served at the next wake-up, after all others.
                self.resumed.push(slot);
            }
            if connection.stream.has_buffered() && !connection.unread {
                self.resumed.push(slot);
            }
            let held_bytes = connection.held_bytes();
            self.count_output(slot, held_bytes);
            if let Ok(Flushed::More) = flushed {
                unfinished.push(slot);
            }
        }
        unfinished.into_iter().for_each(|slot| self.list(slot));
        self.free_output();
    }

    /// Closes a connection. Its session lives on, unless it was closed.
    fn close(&mut self, slot: usize) {
        let Some(mut connection) = self.connections.try_remove(slot) else { return };
        connection.stream.close();
        self.shared.counts.large_request_bytes.fetch_sub(connection.requests.clear(), Relaxed);
        memory::recount(&self.shared, connection.counted_output_bytes, 0);
        let namespace = self.shared.namespace(connection.group);
        namespace.watches.lock().drop_watcher(request::watcher(connection.token));
        self.shared.connections.left(connection.token);
        if connection.session != 0 {
            self.leave(connection.group, connection.session, connection.token);
        }
    }

    /// The connection has ended or is about to; detaches its session, if that is still on it.
    fn leave(&self, group: GroupId, session: i64, token: Token) {
        if self.shared.namespace(group).sessions.left(session, token) {
            self.shared.inbox.ask(ControlRequest::Disconnected(group, session));
        }
    }
}
