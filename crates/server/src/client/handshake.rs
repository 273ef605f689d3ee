//! From the first bytes of a connection to its session.

use std::sync::atomic::Ordering::Relaxed;

use group::RequestId;
use state::command::{Command, MOVE_SESSION, SessionTerms};
use state::machine::Machine;
use state::session::{PASSWORD_BYTES, PasswordDerivation};
use wire::ErrorCode;
use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::opcode::Opcode;
use wire::record::{ConnectRequest, ConnectResponse, ReplyHeader};

use super::IoThread;
use super::connection::{Connection, Phase};
use super::session_queue::{Kind, Unanswered};
use super::watcher;
use crate::config::SessionPasswords;
use crate::connections::Traffic;
use crate::handler::Task;
use crate::observe::four_letter::Word;
use crate::shared::Shared;

/// Protocol versions by which ClickHouse's clients ask for compression, 64-bit xids and tracing.
/// The rest of the stream could not be decoded, so they are refused at once. ZooKeeper ignores the
/// version, and so is any other accepted.
const COMPRESSED_OR_WIDE: std::ops::RangeInclusive<i32> = 10..=12;

/// Ids tried for a new session before the connection is closed. Another server, or an earlier run
/// of this one, may have begun to count at the same millisecond.
const IDS_TRIED_MAX: u32 = 8;

/// Why a connection does not get the session that it asked to resume.
const GONE: &str = "its client has closed the connection";

impl IoThread {
    /// Decodes the first bytes of a connection. Returns how many it took; 0 if more must come
    /// first.
    pub(super) fn greet(&mut self, slot: usize, bytes: &[u8]) -> usize {
        let Some(first) = bytes.first_chunk::<4>() else { return 0 };
        if let Some(word) = Word::recognise(*first) {
            return self.answer_word(slot, bytes, word);
        }
        match frame::split(bytes, self.shared.config.connection.request_bytes_max as usize) {
            Split::Incomplete => 0,
            Split::TooLong(length) => {
                self.break_off(slot, &format!("a first frame of {length} bytes"));
                0
            }
            Split::Frame { start, end } => {
                self.adopt_transport_identity(slot);
                self.connect(slot, &bytes[start..end]);
                end
            }
        }
    }

    /// The client broke the protocol, or must try another server: closes the connection without a
    /// reply, as ZooKeeper does.
    pub(super) fn break_off(&mut self, slot: usize, why: &str) {
        if let Some(connection) = self.connections.get_mut(slot) {
            tracing::info!(peer = %connection.traffic.peer, session = format_args!("{:#x}", connection.session), "closing a connection: {why}");
            connection.phase = Phase::Closed;
            self.list(slot);
        }
    }

    fn connect(&mut self, slot: usize, frame: &[u8]) {
        let Ok(request) = ConnectRequest::decode(&mut Reader::new(frame)) else {
            return self.break_off(slot, "the handshake cannot be read");
        };
        Traffic::count(&self.shared.threads[self.number].received, 1);
        self.shared.counts.connection_requests.fetch_add(1, Relaxed);
        if self.shared.handshakes.as_ref().is_some_and(|bucket| !bucket.take(self.now_ms)) {
            self.shared.counts.connections_dropped.fetch_add(1, Relaxed);
            return self.break_off(slot, "handshakes come faster than connection_throttle_tokens allows");
        }
        if COMPRESSED_OR_WIDE.contains(&request.protocol_version) {
            let why =
                format!("ClickHouse's variant {} of the protocol is not supported", request.protocol_version);
            return self.break_off(slot, &why);
        }
        let Some(connection) = self.connections.get(slot) else { return };
        let group = connection.group;
        let read_only = !self.shared.is_serving(group);
        if read_only && !(self.shared.is_read_only(group) && request.read_only == Some(true)) {
            return self.break_off(slot, "this server has no leader");
        }
        let last_zxid = self.shared.namespace(group).read_machine().last_zxid();
        if request.last_zxid_seen > last_zxid {
            let why =
                format!("the client has seen zxid {:#x}, this server {last_zxid:#x}", request.last_zxid_seen);
            return self.break_off(slot, &why);
        }
        let limits = &self.shared.config.session;
        let (min, max) = (limits.timeout_ms_min as i32, limits.timeout_ms_max as i32);
        let count_max = limits.count_max;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        Traffic::count(&connection.traffic.received, 1);
        connection.timeout_ms = request.timeout_ms.clamp(min, max);
        connection.traffic.timeout_ms.store(connection.timeout_ms, Relaxed);
        connection.read_only_known = request.read_only.is_some();
        if read_only {
            self.connect_read_only(slot, request.session_id, request.passwd);
        } else if request.session_id != 0 {
            self.shared.namespace(group).counts.resumed_here.fetch_add(1, Relaxed);
            self.resume_session(slot, request.session_id, request.passwd);
        } else if self.shared.namespace(group).sessions.len() as u64 >= count_max {
            self.shared.counts.connections_rejected.fetch_add(1, Relaxed);
            self.break_off(slot, "there are already ostler.sessionsMax sessions");
        } else {
            self.ask_for_session(slot);
        }
    }

    /// A new session goes through the log, so that it survives a crash.
    fn ask_for_session(&mut self, slot: usize) {
        let opcode = Opcode::CreateSession as i32;
        let Some((connection, id)) = self.await_session(slot, opcode) else { return };
        let group = connection.group;
        connection.ids_tried += 1;
        let timeout_ms = connection.timeout_ms;
        let mut body = Vec::with_capacity(8);
        SessionTerms { timeout_ms, home: self.shared.me }.put(&mut body);
        let session = self.shared.namespace(group).sessions.next_id();
        let command = Command { session, cxid: 0, opcode, identities: &[], body: &body };
        self.submissions.of(group).command(id, &command);
    }

    /// A client resumes its session. One that has hung up may have resumed it elsewhere meanwhile:
    /// the session stays where it is.
    fn resume_session(&mut self, slot: usize, session: i64, passwd: &[u8]) {
        if self.connections.get(slot).is_some_and(|connection| connection.hung_up) {
            return self.break_off(slot, GONE);
        }
        match self.is_authentic(slot, session, passwd) {
            Some(true) => {}
            Some(false) => return self.refuse(slot),
            // Serving began before anything was committed, and the session is newer than everything
            // that has arrived here since.
            None => return self.break_off(slot, "the secret of the cluster is not yet known here"),
        }
        let Some((connection, id)) = self.await_session(slot, MOVE_SESSION) else { return };
        let (group, timeout_ms) = (connection.group, connection.timeout_ms);
        self.shared.namespace(group).sessions.touch(session, self.now_ms);
        self.submissions.of(group).resume(id, session, timeout_ms);
    }

    /// Prepares a request to the replication thread for a session.
    fn await_session(&mut self, slot: usize, opcode: i32) -> Option<(&mut Connection, RequestId)> {
        let connection = self.connections.get_mut(slot)?;
        connection.phase = Phase::Opening;
        let request = Unanswered { opcode, kind: Kind::Client, since_us: self.now_us, large_bytes: 0 };
        let id = RequestId { token: connection.token, number: connection.requests.push(request) };
        self.submitted += 1;
        Some((connection, id))
    }

    /// The replication thread has attached the session to this connection.
    pub(super) fn opened(&mut self, slot: usize, session: i64) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let (group, token) = (connection.group, connection.token);
        if connection.phase != Phase::Opening {
            // It was told to close before it got the session.
            return self.leave(group, session, token);
        }
        let opcode = connection.requests.oldest().map_or(0, |asked| asked.opcode);
        connection.requests.clear();
        if opcode == MOVE_SESSION && connection.hung_up {
            // The client may have moved to another connection meanwhile: the requests it sent here
            // are dropped.
            self.leave(group, session, token);
            return self.break_off(slot, GONE);
        }
        let namespace = self.shared.namespace(group);
        let answer = ReplyHeader { xid: 0, zxid: namespace.read_machine().last_zxid(), err: 0 };
        connection.traffic.answered(opcode, &answer, self.now_ms);
        match namespace.sessions.seen_by(session, connection.token) {
            Some(seen_ms) => {
                seen_ms.store(self.now_ms, Relaxed);
                connection.seen_ms = seen_ms;
                if let Some(handler) = self.shared.handler.as_ref().filter(|_| opcode != MOVE_SESSION) {
                    handler.tell(Task::SessionOpened { session, peer: connection.traffic.peer });
                }
                self.open(slot, session);
            }
            // It ended or moved to another connection between commit and delivery. A client that
            // asked for a new session never had it.
            None if opcode == MOVE_SESSION && namespace.read_machine().session(session).is_none() => {
                self.refuse(slot);
            }
            None => self.break_off(slot, "its session has ended, or has moved to another connection"),
        }
    }

    /// This connection does not get the session it asked for.
    pub(super) fn turned_down(&mut self, slot: usize, code: ErrorCode) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.phase != Phase::Opening {
            return;
        }
        let is_new = connection.requests.oldest().is_none_or(|asked| asked.opcode != MOVE_SESSION);
        connection.requests.clear();
        match code {
            ErrorCode::SessionExpired if !is_new => self.refuse(slot),
            ErrorCode::NodeExists if is_new && connection.ids_tried < IDS_TRIED_MAX => {
                self.ask_for_session(slot);
            }
            code => self.break_off(slot, &format!("it gets no session: {code}")),
        }
    }

    /// Whether the password is right; `None` while that cannot be known.
    fn is_authentic(&self, slot: usize, session: i64, passwd: &[u8]) -> Option<bool> {
        let namespace = self.shared.namespace(self.connections.get(slot)?.group);
        let expected = password(&self.shared, &namespace.read_machine(), session);
        expected.map(|expected| same(passwd, &expected))
    }

    /// Whether this is the password of that session; `None` if no such session is known.
    pub(super) fn knows(&self, slot: usize, session: i64, passwd: &[u8]) -> Option<bool> {
        let namespace = self.shared.namespace(self.connections.get(slot)?.group);
        namespace.read_machine().session(session)?;
        self.is_authentic(slot, session, passwd)
    }

    /// Begins to serve the session on this connection, and sends the handshake's reply.
    pub(super) fn open(&mut self, slot: usize, session: i64) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let (token, timeout_ms) = (connection.token, connection.timeout_ms);
        let namespace = self.shared.namespace(connection.group);
        namespace.watches.lock().register(watcher(token), &connection.identities);
        connection.session = session;
        connection.traffic.session.store(session, Relaxed);
        self.shared.connections.settled(token);
        let passwd = password(&self.shared, &namespace.read_machine(), session).unwrap_or_default();
        self.respond(slot, |read_only| ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: session,
            passwd: &passwd,
            read_only,
        });
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.phase = Phase::Open;
            // Clients send requests without waiting for the reply: those are served next.
            connection.paused = true;
            self.resumed.push(slot);
        }
    }

    /// There is no such session (any more), or the password is wrong: ZooKeeper's reply is a
    /// session with timeout 0.
    pub(super) fn refuse(&mut self, slot: usize) {
        self.respond(slot, ConnectResponse::expired);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.phase = Phase::Closing;
        }
    }

    pub(super) fn respond<'p>(
        &mut self,
        slot: usize,
        response: impl FnOnce(Option<bool>) -> ConnectResponse<'p>,
    ) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let response = response(connection.read_only_known.then_some(connection.read_only));
        let out = connection.output();
        let mark = frame::begin(out);
        response.encode(out);
        frame::finish(out, mark);
        self.count_sent(slot);
        self.list(slot);
    }
}

/// The password of a session, by the configured derivation; `None` while this server knows neither
/// the cluster's secret nor the session.
fn password(shared: &Shared, machine: &Machine, session: i64) -> Option<[u8; PASSWORD_BYTES]> {
    let derivation = match shared.config.session.passwords {
        SessionPasswords::Secret => PasswordDerivation::Keyed,
        SessionPasswords::ZooKeeper => PasswordDerivation::ZooKeeper,
    };
    machine.session_password(session, derivation)
}

/// Compares secrets in a time independent of where they differ.
fn same(given: &[u8], expected: &[u8; 16]) -> bool {
    given.len() == expected.len() && given.iter().zip(expected).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn a_password_must_match_whole() {
        assert!(same(&[7; 16], &[7; 16]));
        assert!(!same(&[7; 15], &[7; 16]));
        let mut other = [7; 16];
        other[15] = 8;
        assert!(!same(&other, &[7; 16]));
        assert!(!same(&[], &[0; 16]));
    }
}
