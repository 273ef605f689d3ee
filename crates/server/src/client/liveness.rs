//! Recognises living clients even while their requests have to wait.
//!
//! A connection may have to pause: its client has to read first, or earlier requests have to be
//! answered. Its bytes are still read ahead a little, since every packet shows that the client
//! lives. Once that is full, the socket's own buffer takes the rest, and each event shows that more
//! has arrived or that the client has taken more. When the client can send nothing more either, its
//! silence does not count against it, unless all it had to do was to read.

use std::sync::atomic::Ordering::Relaxed;

use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::opcode::Opcode;
use wire::record::{ReplyHeader, RequestHeader};

use super::IoThread;
use super::connection::Phase;

/// How often the thread reports up to which time it has read, unless asked.
const REPORT_MS: i64 = 50;

/// A ping overtakes requests that have waited for this time, or for this fraction of the timeout if
/// that is less.
const OVERTAKEN_MS: i64 = 250;
const OVERTAKEN_PART: i64 = 4;

impl IoThread {
    /// Something has arrived from the client, or it has taken something.
    pub(super) fn heard(&mut self, slot: usize) {
        self.read_clock();
        if let Some(connection) = self.connections.get(slot) {
            connection.seen_ms.store(self.now_ms, Relaxed);
        }
    }

    /// The connection has no room for more bytes.
    pub(super) fn stop_reading(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.unread = true;
        if connection.phase == Phase::Open && !std::mem::replace(&mut connection.reading_stopped, true) {
            self.reading_stopped.push(slot);
        }
    }

    /// Whether this thread has been asked to poll its sockets, and the time: what has arrived by
    /// now is read next.
    pub(super) fn begin_poll(&self) -> (bool, i64) {
        let mailbox = &self.shared.mailboxes[self.number];
        let asked = mailbox.is_asked_to_look();
        if asked {
            mailbox.looks();
        }
        (asked, self.shared.clock.elapsed_ms())
    }

    /// Everything has been read that had arrived when the poll at `polled_ms` returned `events`
    /// sockets.
    pub(super) fn has_read(&mut self, polled_ms: i64, events: usize, events_max: usize, asked: bool) {
        let round = self.round.polled(polled_ms, events, events_max, self.connections.len());
        if let Some(until_ms) = round
            && (asked || until_ms - self.reported_ms >= REPORT_MS)
        {
            self.reported_ms = until_ms;
            self.excuse_unread_clients();
            self.shared.read_progress.has_read(self.number, until_ms);
        }
    }

    /// Clients that are not read for reasons of the server do not count as silent. A client that
    /// has to read first shows by reading that it lives.
    fn excuse_unread_clients(&mut self) {
        let now_ms = self.now_ms;
        let connections = &mut self.connections;
        self.reading_stopped.retain(|slot| {
            let Some(connection) = connections.get_mut(*slot) else { return false };
            connection.reading_stopped &= connection.paused && connection.unread;
            if connection.reading_stopped && !connection.is_behind() {
                connection.seen_ms.store(now_ms, Relaxed);
            }
            connection.reading_stopped
        });
    }

    /// Whether a read waits for what is unanswered, or for this server to catch up with the leader.
    pub(super) fn has_to_wait(&self, slot: usize, opcode: i32) -> bool {
        let Some(connection) = self.connections.get(slot) else { return false };
        // A read-only client accepts old data. Any other client keeps its guarantee on a server
        // that has just lost its leader. A ping has no data that could be old.
        let is_exempt = connection.read_only || connection.is_caught_up || opcode == Opcode::Ping as i32;
        let catch_up = !is_exempt && self.shared.has_to_catch_up(opcode);
        catch_up || !connection.requests.is_empty()
    }

    /// Whether a ping is answered before earlier requests of its session: its client has waited for
    /// so long that it may conclude that the server is dead.
    pub(super) fn overtakes(&self, slot: usize, opcode: i32) -> bool {
        let Some(connection) = self.connections.get(slot) else { return false };
        let Some(oldest) = connection.requests.oldest() else { return false };
        let waited_ms = (self.now_us.saturating_sub(oldest.since_us) / 1000).cast_signed();
        // The program may take any time to answer.
        let asks_program = connection.questions.as_deref().is_some_and(|questions| !questions.is_empty());
        opcode == Opcode::Ping as i32
            && (asks_program
                || waited_ms >= OVERTAKEN_MS.min(i64::from(connection.timeout_ms) / OVERTAKEN_PART))
    }

    /// Answers a ping out of turn. The reply has no zxid: the client may not have set its watches
    /// again yet, and must not conclude that it has seen the changes they would report.
    pub(super) fn answer_ping_ahead(&mut self, slot: usize, header: &RequestHeader) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let out = connection.output();
        let mark = frame::begin(out);
        ReplyHeader { xid: header.xid, zxid: 0, err: 0 }.encode(out);
        frame::finish(out, mark);
        self.count_sent(slot);
        self.list(slot);
    }

    /// Answers the pings among the bytes of a connection that has to wait for the server.
    pub(super) fn answer_waiting_pings(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let is_held = connection.paused && connection.phase == Phase::Open && !connection.is_behind();
        if !is_held || !self.overtakes(slot, Opcode::Ping as i32) {
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let input = std::mem::take(&mut connection.input);
        let frame_max = self.shared.config.connection.request_bytes_max as usize;
        let mut kept = Vec::with_capacity(input.len());
        let mut rest = &input[..];
        while let Split::Frame { start, end } = frame::split(rest, frame_max) {
            match RequestHeader::decode(&mut Reader::new(&rest[start..end])) {
                Ok(header) if header.opcode_raw == Opcode::Ping as i32 => {
                    self.note_request(slot, header.opcode_raw, &[]);
                    self.answer_ping_ahead(slot, &header);
                }
                _ => kept.extend_from_slice(&rest[..end]),
            }
            rest = &rest[end..];
        }
        kept.extend_from_slice(rest);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.input = kept;
        }
    }
}
