//! One request of an open session: answered here, or submitted in the session's order.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use group::{RequestId, Token};
use parking_lot::RwLockReadGuard;
use state::command::{Command, Features};
use state::machine::Machine;
use state::watch::WatcherId;
use wire::ErrorCode;
use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::lenient;
use wire::opcode::Opcode;
use wire::record::{Auth, ReplyHeader, Request, RequestHeader};

use super::IoThread;
use super::connection::Phase;
use super::session_queue::{Kind, Unanswered};
use super::waiting_reads;
use crate::client::answer::{self, Asker};
use crate::client::auth::{self, Authenticated};
use crate::connections::Traffic;
use crate::shared::Shared;

/// A connection's id in the watch table.
pub(crate) fn watcher(token: Token) -> WatcherId {
    WatcherId(token.0)
}

/// How a request is served.
enum Way<'b> {
    /// Through the log, with this body.
    Replicated(Cow<'b, [u8]>),
    /// Answered from this server's state, after the session's earlier requests.
    Local,
    /// Answered at once, whatever is in flight, as in ZooKeeper.
    Auth,
    /// The same.
    Sasl,
}

/// The body of a write as it goes through the log; `None` if it cannot be decoded. One exception: a
/// multi that breaks off uses up a zxid for its error in ZooKeeper.
fn logged_body(op: Opcode, body: &[u8]) -> Option<Cow<'_, [u8]>> {
    let has_place = |request: &Request<'_>| match request {
        Request::Multi(parts) => parts.iter().find_map(|part| flaw(&part)) != Some(Flaw::NullAcl),
        _ => true,
    };
    if let Ok(request) = Request::decode(op, body) {
        return has_place(&request).then_some(Cow::Borrowed(body));
    }
    let rewritten = lenient::understood(op, body).map(|understood| understood.body).unwrap_or_default();
    match Request::decode(op, &rewritten) {
        Ok(request) => has_place(&request).then_some(Cow::Owned(rewritten)),
        Err(_) => (op == Opcode::Multi).then_some(Cow::Borrowed(body)),
    }
}

/// Why ZooKeeper cannot read a part of a multi that is well-formed
/// (`MultiOperationRecord.deserialize`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// An unknown create mode, or one that needs a TTL: the error of the multi uses up a zxid.
    Mode,
    /// A null ACL is dereferenced unchecked, which fails before a zxid is assigned.
    NullAcl,
}

fn flaw(part: &Request<'_>) -> Option<Flaw> {
    let Request::Create(create) = part else { return None };
    if create.kind == Opcode::CreateTtl {
        // ZooKeeper checks neither here.
        return None;
    }
    match (matches!(create.flags, 0..=4), create.acl.is_null()) {
        (false, _) => Some(Flaw::Mode),
        (true, true) => Some(Flaw::NullAcl),
        (true, false) => None,
    }
}

impl IoThread {
    /// Serves the frame at the start of `bytes`; returns how many bytes it took, 0 when it is
    /// incomplete or the connection has ended.
    pub(super) fn serve_frame<'s>(
        &mut self,
        slot: usize,
        bytes: &[u8],
        shared: &'s Arc<Shared>,
        held: &mut Option<RwLockReadGuard<'s, Machine>>,
    ) -> usize {
        let (start, end) = match frame::split(bytes, shared.config.connection.request_bytes_max as usize) {
            Split::Incomplete => return 0,
            Split::TooLong(length) => {
                self.break_off(slot, &format!("a frame of {length} bytes"));
                return 0;
            }
            Split::Frame { start, end } => (start, end),
        };
        if self.must_pause(slot) {
            self.pause(slot);
            return 0;
        }
        if self.is_too_large(end - start) {
            self.shared.counts.large_requests_rejected.fetch_add(1, Relaxed);
            self.break_off(slot, "a large request while others fill largeRequestMaxBytes");
            return 0;
        }
        let mut input = Reader::new(&bytes[start..end]);
        let Ok(header) = RequestHeader::decode(&mut input) else {
            self.break_off(slot, "a request without a header");
            return 0;
        };
        let body = input.rest();
        if self.waits_for_idle(slot, &header, body) || self.waits_for_program(slot, &header, body) {
            return 0;
        }
        self.note_request(slot, header.opcode_raw, body);
        let way = self.way(header.opcode_raw, body);
        if !matches!(way, Way::Auth | Way::Sasl) && self.must_authenticate(slot) {
            self.refuse_unauthenticated(slot, &header);
            return end;
        }
        let read_only = self.connections.get(slot).is_some_and(|c| c.read_only);
        if read_only && self.refuse_read_only(slot, &header) {
            return end;
        }
        if self.has_waited_too_long(slot, header.opcode_raw) {
            self.turn_away(slot, &header, shared, held);
            self.caught_up(slot, false);
            return end;
        }
        if self.overtakes(slot, header.opcode_raw) {
            self.answer_ping_ahead(slot, &header);
            return end;
        }
        if !self.ask_program(slot, &header, body) {
            self.serve_by(way, slot, &header, body, shared, held);
        }
        self.caught_up(slot, false);
        end
    }

    /// Serves a request.
    pub(super) fn serve<'s>(
        &mut self,
        slot: usize,
        header: &RequestHeader,
        body: &[u8],
        shared: &'s Arc<Shared>,
        held: &mut Option<RwLockReadGuard<'s, Machine>>,
    ) {
        let way = self.way(header.opcode_raw, body);
        self.serve_by(way, slot, header, body, shared, held);
    }

    fn serve_by<'s>(
        &mut self,
        way: Way<'_>,
        slot: usize,
        header: &RequestHeader,
        body: &[u8],
        shared: &'s Arc<Shared>,
        held: &mut Option<RwLockReadGuard<'s, Machine>>,
    ) {
        match way {
            Way::Replicated(body) => self.replicate(slot, header, &body),
            Way::Local => self.local(slot, header, body, shared, held),
            Way::Auth => self.authenticate(slot, header, body, shared, held),
            Way::Sasl => self.sasl(slot, header, body),
        }
    }

    fn way<'b>(&self, opcode: i32, body: &'b [u8]) -> Way<'b> {
        let Some(op) = Opcode::from_i32(opcode) else { return Way::Local };
        match op {
            Opcode::Auth => Way::Auth,
            Opcode::Sasl => Way::Sasl,
            Opcode::CloseSession => Way::Replicated(Cow::Borrowed(body)),
            // Never from a client: `answer` refuses them.
            Opcode::CreateSession | Opcode::DeleteContainer | Opcode::Check => Way::Local,
            op if op.is_write() && answer::is_offered(op, self.shared.features) => {
                logged_body(op, body).map_or(Way::Local, Way::Replicated)
            }
            _ => Way::Local,
        }
    }

    pub(super) fn note_request(&mut self, slot: usize, opcode: i32, body: &[u8]) {
        Traffic::count(&self.shared.threads[self.number].received, 1);
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if self.shared.features.has(Features::KEEPER_EXTENSIONS) {
            connection.dialect = connection.dialect.after(opcode, body);
        }
        Traffic::count(&connection.traffic.received, 1);
    }

    /// The length of a request if it counts as large, else 0.
    fn large_bytes(&self, bytes: usize) -> u64 {
        let min = self.shared.config.connection.large_request_bytes_min;
        if min.is_some_and(|min| bytes > min as usize) { bytes as u64 } else { 0 }
    }

    /// Whether a large request is refused because others are in flight
    /// (`ZooKeeperServer.checkRequestSizeWhenReceivingMessage`).
    fn is_too_large(&self, bytes: usize) -> bool {
        let large_bytes = self.large_bytes(bytes);
        let in_flight = self.shared.counts.large_request_bytes.load(Relaxed);
        large_bytes > 0 && in_flight + large_bytes > self.shared.config.connection.large_requests_bytes_max
    }

    /// The record of a request that is about to be submitted to the replication thread.
    pub(super) fn begin_request(&self, opcode: i32, body: &[u8]) -> Unanswered {
        let large_bytes = self.large_bytes(RequestHeader::ENCODED_LEN + body.len());
        self.shared.counts.large_request_bytes.fetch_add(large_bytes, Relaxed);
        Unanswered { opcode, kind: Kind::Client, since_us: self.now_us, large_bytes }
    }

    fn replicate(&mut self, slot: usize, header: &RequestHeader, body: &[u8]) {
        let request = self.begin_request(header.opcode_raw, body);
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let id = RequestId { token: connection.token, number: connection.requests.push(request) };
        self.replicate_as(slot, id, header, body);
    }

    /// Submits a command under this number.
    pub(super) fn replicate_as(&mut self, slot: usize, id: RequestId, header: &RequestHeader, body: &[u8]) {
        let Some(connection) = self.connections.get(slot) else { return };
        let group = connection.group;
        let command = Command {
            session: connection.session,
            cxid: header.xid,
            opcode: header.opcode_raw,
            identities: connection.identities.encoded(),
            body,
        };
        self.submissions.of(group).command(id, &command);
        self.submitted += 1;
    }

    fn local<'s>(
        &mut self,
        slot: usize,
        header: &RequestHeader,
        body: &[u8],
        shared: &'s Arc<Shared>,
        held: &mut Option<RwLockReadGuard<'s, Machine>>,
    ) {
        let Some(connection) = self.connections.get(slot) else { return };
        let namespace = shared.namespace(connection.group);
        if held.is_none() {
            *held = Some(namespace.machine.read());
            // Deliveries made before the machine was acquired precede what is read from it now.
            self.collect();
        }
        let machine = held.as_deref().expect("it was just taken");
        if self.has_to_wait(slot, header.opcode_raw) {
            let read = self.begin_request(header.opcode_raw, body);
            let Some(connection) = self.connections.get_mut(slot) else { return };
            let places = waiting_reads::places(header.opcode_raw, body).unwrap_or(waiting_reads::PLACES);
            let number = connection.requests.push_read(read, places);
            let id = RequestId { token: connection.token, number };
            self.submit_local(slot, id, header, body);
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let identities = Arc::clone(&connection.identities);
        let asker = Asker {
            namespace,
            token: connection.token,
            session: connection.session,
            identities: &identities,
            dialect: connection.dialect,
        };
        let out = connection.output();
        let before = out.len();
        let answered = answer::answer(shared, machine, &asker, header.xid, header.opcode_raw, body, out);
        let reply = connection.queue(header.opcode_raw, before, answered.reply_at, answered.pieces);
        if answered.closes {
            connection.phase = Phase::Closing;
        }
        let latency_us = self.shared.clock.elapsed_us().saturating_sub(self.now_us);
        self.shared.threads[self.number].read_latency.record(latency_us);
        self.count_reply(slot, &reply, latency_us);
        self.list(slot);
    }

    /// Adds an identity to the client, or closes the connection.
    fn authenticate<'s>(
        &mut self,
        slot: usize,
        header: &RequestHeader,
        body: &[u8],
        shared: &'s Arc<Shared>,
        held: &mut Option<RwLockReadGuard<'s, Machine>>,
    ) {
        let Ok(packet) = Auth::decode(&mut Reader::new(body)) else {
            return self.break_off(slot, "an auth packet that cannot be read");
        };
        let Some(connection) = self.connections.get(slot) else { return };
        let (namespace, peer) = (shared.namespace(connection.group), connection.traffic.peer);
        let client = auth::Client { before: &connection.identities, address: peer.ip() };
        let key = || {
            let machine = held.get_or_insert_with(|| namespace.machine.read());
            machine.stored_data(auth::KEY_PATH).map(<[u8]>::to_vec)
        };
        let authenticated = match shared.failed_logins.is_over(peer.ip(), self.now_ms) {
            true => Authenticated::Refused,
            false => auth::authenticate(&client, &packet, &shared.config.requests, key),
        };
        let code = match authenticated {
            Authenticated::WrongEnsemble => {
                return self.break_off(slot, "the client expects another ensemble");
            }
            Authenticated::As(identities) => {
                self.set_identities(slot, identities);
                ErrorCode::Ok
            }
            Authenticated::Refused => {
                tracing::warn!(%peer, scheme = packet.scheme, "authentication failed");
                shared.counts.auth_failed.fetch_add(1, Relaxed);
                shared.failed_logins.record(peer.ip(), self.now_ms);
                ErrorCode::AuthFailed
            }
        };
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if code != ErrorCode::Ok {
            connection.phase = Phase::Closing;
        }
        let out = connection.output();
        let mark = frame::begin(out);
        ReplyHeader { xid: header.xid, zxid: 0, err: code as i32 }.encode(out);
        frame::finish(out, mark);
        self.count_sent(slot);
        self.list(slot);
    }
}
