//! Requests that the server's throttle held back for too long (`throttled_op_wait_time`).
//!
//! The throttle stops reading from connections while too much is outstanding
//! (`Shared::is_throttled`). Requests already read wait in the connection's input. If one's turn
//! comes too late, the client has probably given up, and gets an error instead of being served: the
//! same one, at the same place in the order, as from ZooKeeper's `RequestThrottler`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::RwLockReadGuard;
use state::machine::Machine;
use wire::ErrorCode;
use wire::frame;
use wire::opcode::Opcode;
use wire::record::{ReplyHeader, RequestHeader};

use super::IoThread;
use super::session_queue::{Kind, Unanswered};
use crate::client::answer;
use crate::shared::Shared;

impl IoThread {
    /// Stops serving requests of a connection for now.
    pub(super) fn pause(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.paused = true;
        // Time in which the client itself has to read first does not count as throttling.
        let is_held = !connection.is_behind() && !connection.waits_for_idle;
        connection.held_since_us = is_held.then(|| connection.held_since_us.unwrap_or(self.now_us));
        self.shared.counts.throttle_waits.fetch_add(1, Relaxed);
    }

    /// Whether the next request of a connection is answered ThrottledOp.
    pub(super) fn has_waited_too_long(&self, slot: usize, opcode: i32) -> bool {
        let Some(wait_ms_max) = self.shared.config.connection.throttled_wait_ms_max else { return false };
        let held_since_us = self.connections.get(slot).and_then(|connection| connection.held_since_us);
        let is_late = |since_us: u64| self.now_us.saturating_sub(since_us) > u64::from(wait_ms_max) * 1000;
        held_since_us.is_some_and(is_late) && self.may_be_turned_away(opcode)
    }

    /// Requests that keep or end the session, or are not served in order at all, are always served;
    /// unknown opcodes get their own error.
    fn may_be_turned_away(&self, opcode: i32) -> bool {
        match Opcode::from_i32(opcode) {
            None | Some(Opcode::Ping | Opcode::CloseSession | Opcode::Auth | Opcode::Sasl) => false,
            Some(op) => answer::is_offered(op, self.shared.features),
        }
    }

    /// Answers ThrottledOp, after the connection's earlier requests.
    pub(super) fn turn_away<'s>(
        &mut self,
        slot: usize,
        header: &RequestHeader,
        shared: &'s Arc<Shared>,
        held: &mut Option<RwLockReadGuard<'s, Machine>>,
    ) {
        self.shared.counts.throttled_requests.fetch_add(1, Relaxed);
        if held.is_none() {
            let Some(connection) = self.connections.get(slot) else { return };
            *held = Some(shared.namespace(connection.group).machine.read());
            // As in `local`: no reply may show a zxid ahead of the events up to it.
            self.collect();
        }
        let zxid = held.as_deref().expect("it was just taken").last_zxid();
        let Some(connection) = self.connections.get_mut(slot) else { return };
        // Not processed, so `cons` shows no operation, as in ZooKeeper.
        let request = Unanswered { opcode: 0, kind: Kind::TurnedAway, since_us: self.now_us, large_bytes: 0 };
        let number = connection.requests.push(request);
        let mut reply = Vec::with_capacity(frame::LENGTH_BYTES + ReplyHeader::ENCODED_LEN);
        let mark = frame::begin(&mut reply);
        ReplyHeader { xid: header.xid, zxid, err: ErrorCode::ThrottledOp as i32 }.encode(&mut reply);
        frame::finish(&mut reply, mark);
        self.answered(slot, number, &reply, 0, Vec::new());
    }
}
