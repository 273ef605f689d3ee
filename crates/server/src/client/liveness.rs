//! That clients are heard, whatever keeps their requests waiting.
//!
//! A connection may have to pause: its client has to read first, or earlier requests have to be
//! answered. Its bytes are read a little further all the same, since every packet shows that the
//! client lives. Once that little is full the socket's own buffer takes the rest, and each event
//! tells that more has arrived or that the client has taken more. When the client can send nothing
//! more either, it is not to blame for its silence unless all it had to do was to read.

use std::sync::atomic::Ordering::Relaxed;

use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::opcode::Opcode;
use wire::record::{ReplyHeader, RequestHeader};

use super::IoThread;
use super::connection::Phase;

/// How often the thread says until when it has read, if nobody asks.
const SAY_MS: i64 = 50;

/// A ping overtakes requests that have waited for so long, or for this part of the timeout if that
/// is less.
const OVERTAKEN_MS: i64 = 250;
const OVERTAKEN_PART: i64 = 4;

impl IoThread {
    /// Something has arrived from the client, or it has taken something.
    pub(super) fn heard(&mut self, slot: usize) {
        self.look_at_the_clock();
        if let Some(connection) = self.connections.get(slot) {
            connection.seen_ms.store(self.now_ms, Relaxed);
        }
    }

    /// The connection has no room for more bytes.
    pub(super) fn stop_reading(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.unread = true;
        if connection.phase == Phase::Open && !std::mem::replace(&mut connection.deaf, true) {
            self.deaf.push(slot);
        }
    }

    /// Whether somebody wants to know that the sockets were looked at, and the time: what has
    /// arrived by now is read next.
    pub(super) fn begin_to_look(&self) -> (bool, i64) {
        let mailbox = &self.shared.mailboxes[self.number];
        let asked = mailbox.is_asked_to_look();
        if asked {
            mailbox.looks();
        }
        (asked, self.shared.clock.elapsed_ms())
    }

    /// Everything was read that had arrived when the poll at `polled_ms` named so many sockets.
    pub(super) fn has_read(&mut self, polled_ms: i64, events: usize, events_max: usize, asked: bool) {
        let round = self.round.polled(polled_ms, events, events_max, self.connections.len());
        if let Some(until_ms) = round
            && (asked || until_ms - self.said_ms >= SAY_MS)
        {
            self.said_ms = until_ms;
            self.excuse_unread();
            self.shared.hearing.has_read(self.number, until_ms);
        }
    }

    /// Clients that are not read for reasons of the server are not silent. One that has to read
    /// first shows by reading that it lives.
    fn excuse_unread(&mut self) {
        let now_ms = self.now_ms;
        let connections = &mut self.connections;
        self.deaf.retain(|slot| {
            let Some(connection) = connections.get_mut(*slot) else { return false };
            connection.deaf &= connection.paused && connection.unread;
            if connection.deaf && !connection.is_behind() {
                connection.seen_ms.store(now_ms, Relaxed);
            }
            connection.deaf
        });
    }

    /// Whether a read waits for its turn behind what is in flight, or for this server to catch up
    /// with others.
    pub(super) fn has_to_wait(&self, slot: usize, opcode: i32) -> bool {
        let Some(connection) = self.connections.get(slot) else { return false };
        // Who is content with reading asks for no more. Whoever was promised more keeps it on a
        // server that has just lost its leader. A ping asks for nothing that could be old.
        let is_exempt = connection.read_only || connection.is_caught_up || opcode == Opcode::Ping as i32;
        let catch_up = !is_exempt && self.shared.has_to_catch_up(opcode);
        catch_up || !connection.in_flight.is_empty()
    }

    /// Whether a ping is answered though earlier requests of its session are not: its client has
    /// waited for so long that it begins to doubt whether the server lives.
    pub(super) fn overtakes(&self, slot: usize, opcode: i32) -> bool {
        let Some(connection) = self.connections.get(slot) else { return false };
        let Some(oldest) = connection.in_flight.front() else { return false };
        let waited_ms = (self.now_us.saturating_sub(oldest.since_us) / 1000).cast_signed();
        opcode == Opcode::Ping as i32
            && waited_ms >= OVERTAKEN_MS.min(i64::from(connection.timeout_ms) / OVERTAKEN_PART)
    }

    /// Answers a ping before its turn. The reply names no zxid: the client may not have set its
    /// watches again yet, and must not take what they would tell of for seen.
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
