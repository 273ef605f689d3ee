//! Read-only clients of a server that is cut off from its ensemble (`ReadOnlyZooKeeperServer`):
//! they may read the state as of the loss of contact, if they accepted that in the handshake.
//!
//! None of this is replicated: a session opened here is known nowhere else, and one that came from
//! elsewhere is neither kept alive nor closed by what happens here. All connections are closed when
//! there is a leader again.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use wire::ErrorCode;
use wire::frame;
use wire::opcode::Opcode;
use wire::record::{ReplyHeader, RequestHeader};

use super::IoThread;
use super::connection::Phase;

impl IoThread {
    /// Connects a read-only client. One that names a session has to know its password.
    pub(super) fn connect_read_only(&mut self, slot: usize, session: i64, passwd: &[u8]) {
        let known = if session == 0 { Some(true) } else { self.knows(slot, session, passwd) };
        match known {
            Some(true) => {}
            Some(false) => return self.refuse(slot),
            // A server that is cut off cannot tell a session that has ended from one too new to be
            // known here.
            None => return self.break_off(slot, "a session that is not known here"),
        }
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let sessions = &self.shared.namespace(connection.group).sessions;
        let session = if session == 0 { sessions.next_id() } else { session };
        connection.read_only = true;
        connection.seen_ms.store(self.now_ms, Relaxed);
        self.open(slot, session);
    }

    /// Refuses what a read-only server must not do, and closes a session that only this server
    /// knows; `false` if the request is neither.
    pub(super) fn refuse_read_only(&mut self, slot: usize, header: &RequestHeader) -> bool {
        let Some(op) = Opcode::from_i32(header.opcode_raw) else { return false };
        let code = match op {
            Opcode::CloseSession => ErrorCode::Ok,
            Opcode::Sync | Opcode::Check => ErrorCode::NotReadOnly,
            op if op.is_write() => ErrorCode::NotReadOnly,
            _ => return false,
        };
        let shared = Arc::clone(&self.shared);
        let Some(connection) = self.connections.get(slot) else { return true };
        let machine = shared.namespace(connection.group).read_machine();
        // No reply may show a zxid ahead of the events up to it.
        self.collect();
        let zxid = machine.last_zxid();
        let Some(connection) = self.connections.get_mut(slot) else { return true };
        if op == Opcode::CloseSession {
            connection.phase = Phase::Closing;
        }
        let out = connection.output();
        let mark = frame::begin(out);
        ReplyHeader { xid: header.xid, zxid, err: code as i32 }.encode(out);
        frame::finish(out, mark);
        self.count_sent(slot);
        self.list(slot);
        true
    }
}
