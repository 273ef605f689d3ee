//! What the replication thread has for the connections: answers, watch events and news of sessions.

use std::sync::atomic::Ordering::Relaxed;

use group::Token;
use state::read::Piece;

use super::connection::Phase;
use super::session_queue::{Held, Kind, Unanswered};
use super::{IoThread, READ_BYTES};
use crate::mailbox::Note;
use crate::token::slot_of;

impl IoThread {
    /// Takes the delivery and distributes it to the connections.
    pub(super) fn collect(&mut self) {
        if !self.shared.mailboxes[self.number].is_full() {
            return;
        }
        let mut delivery = std::mem::take(&mut self.delivery);
        self.shared.mailboxes[self.number].collect(&mut delivery);
        let mut at = 0;
        let mut pieces = delivery.pieces.drain(..).peekable();
        for (token, note) in delivery.notes.drain(..) {
            let len = match note {
                Note::Reply { len, .. } | Note::Event { len } => len,
                _ => 0,
            };
            let frame = &delivery.bytes[at..at + len];
            // A piece belongs inside or right behind its frame, never before the frame's length.
            let own = std::iter::from_fn(|| pieces.next_if(|(position, _)| *position <= at + len));
            let own = own.map(|(position, piece)| (position - at, piece)).collect();
            at += len;
            self.deliver(token, note, frame, own);
        }
        drop(pieces);
        delivery.bytes.clear();
        delivery.bytes.shrink_to(4 * READ_BYTES);
        self.delivery = delivery;
    }

    fn deliver(&mut self, token: Token, note: Note, frame: &[u8], pieces: Vec<(usize, Piece)>) {
        if let Note::Reply { .. } | Note::SessionOpened { .. } | Note::SessionRefused { .. } = note {
            self.shared.inbox.answered(1);
        }
        let slot = slot_of(token);
        let Some(connection) = self.connections.get_mut(slot).filter(|c| c.token == token) else {
            if let Note::SessionOpened { group, session } = note {
                self.leave(group, session, token);
            }
            return;
        };
        match note {
            Note::Reply { number, events, .. } => return self.answered(slot, number, frame, events, pieces),
            // Its session has ended, and the client has been told.
            Note::Event { .. } if connection.session == 0 => {}
            Note::Event { .. } if connection.read_only && connection.phase == Phase::Closing => {}
            Note::Event { .. } => {
                connection.output().extend_from_slice(frame);
                let counts = &self.shared.namespace(connection.group).counts;
                counts.watch_bytes.fetch_add(frame.len() as u64, Relaxed);
                self.count_sent(slot);
            }
            Note::SessionOpened { session, .. } => self.opened(slot, session),
            Note::SessionRefused { code } => self.turned_down(slot, code),
            Note::SessionClosed => {
                connection.phase = Phase::Closing;
                connection.session = 0;
                // Requests behind the end of the session get no reply, so the connection must not
                // wait for one.
                let unanswered = connection.requests.clear();
                connection.questions = None;
                self.shared.counts.large_request_bytes.fetch_sub(unanswered, Relaxed);
            }
            Note::Finish => connection.phase = Phase::Closing,
            Note::Drop => connection.phase = Phase::Closed,
        }
        self.list(slot);
    }

    /// Takes the answer to a request: the reply leaves when those before it have, the events in the
    /// first `events` bytes of `frame` at once.
    pub(super) fn answered(
        &mut self,
        slot: usize,
        number: u64,
        frame: &[u8],
        events: usize,
        pieces: Vec<(usize, Piece)>,
    ) {
        if self.is_for_program(slot, number, &frame[events..], &pieces) {
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else { return };
        match connection.requests.pop(number) {
            Some(request) => self.reply(slot, &request, frame, events, pieces),
            None => {
                let (events, reply) = frame.split_at(events);
                connection.output().extend_from_slice(events);
                let pieces = pieces.into_iter().map(|(at, piece)| (at - events.len(), piece)).collect();
                connection.requests.hold(number, Held { frame: reply.to_vec(), pieces });
                self.list(slot);
            }
        }
        while let Some(connection) = self.connections.get_mut(slot)
            && let Some((request, Held { frame, pieces })) = connection.requests.pop_held()
        {
            self.reply(slot, &request, &frame, 0, pieces);
        }
        self.may_resume(slot);
    }

    /// Queues the reply to a request whose turn has come, with the events before it.
    fn reply(
        &mut self,
        slot: usize,
        request: &Unanswered,
        frame: &[u8],
        events: usize,
        pieces: Vec<(usize, Piece)>,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if request.large_bytes > 0 {
            self.shared.counts.large_request_bytes.fetch_sub(request.large_bytes, Relaxed);
        }
        if request.kind == Kind::Own {
            connection.is_caught_up = true;
            return;
        }
        let start = connection.output().len();
        connection.output().extend_from_slice(frame);
        let pieces = pieces.into_iter().map(|(at, piece)| (start + at, piece)).collect();
        let reply = connection.queue(request.opcode, start, start + events, pieces);
        connection.requests.has_shown(reply.zxid());
        let latency_us = self.now_us.saturating_sub(request.since_us);
        if request.kind == Kind::Client {
            self.shared.threads[self.number].update_latency.record(latency_us);
        }
        self.count_reply(slot, &reply, latency_us);
        self.list(slot);
    }
}
