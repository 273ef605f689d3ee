//! Requests that the program which embeds the server is asked about first (see [`Handler`]).
//!
//! A client gets its replies in the order of its requests, and each request sees what those before
//! it did. So reads may wait for the program together; a write, a read that sets a watch, and a
//! request that does not concern the program wait until everything before them is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;

use group::RequestId;
use state::auth::Identities;
use state::read::Piece;
use state::watch::WatchMode;
use wire::event::{EventType, KeeperState, WatcherEvent};
use wire::frame;
use wire::lenient;
use wire::opcode::Opcode;
use wire::record::{ReplyHeader, Request, RequestHeader};
use wire::{ErrorCode, xid};

use super::IoThread;
use super::request::watcher;
use crate::client::answer::{self, Asker};
use crate::handler::{Answer, Asked, Executed, Question};
use crate::token::slot_of;

/// Reads of one connection that may wait for the program at the same time.
const TOGETHER_MAX: usize = 1024;

/// The requests of a connection that the program is asked about, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<u64, Pending>);

#[derive(Debug)]
struct Pending {
    header: RequestHeader,
    /// The body as the client sent it.
    body: Arc<[u8]>,
    /// When it was asked, in ms of the server's clock.
    since_ms: i64,
    /// Number of changes outside the tree when it was asked.
    stamp: u64,
    /// May wait together with others like it.
    is_plain_read: bool,
    /// Who gets the result of the request that the server executes for the program.
    executing: Option<SyncSender<Executed>>,
}

impl Questions {
    fn is_all_plain_reads(&self) -> bool {
        self.0.values().all(|pending| pending.is_plain_read)
    }

    /// Whether no request waits for the program.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The request as the program sees it; `None` if it cannot be decoded: the server refuses it.
fn decoded(op: Opcode, body: &[u8]) -> Option<Arc<[u8]>> {
    match Request::decode(op, body) {
        Ok(_) => Some(body.into()),
        Err(_) => lenient::understood(op, body).map(|understood| understood.body.into()),
    }
}

/// Whether a request reads without setting a watch.
fn is_plain_read(op: Opcode, body: &[u8]) -> bool {
    match Request::decode(op, body) {
        Ok(Request::GetAcl(_) | Request::MultiRead(_)) => true,
        Ok(request) => watched(&request).is_some_and(|(_, _, watches)| !watches),
        Err(_) => false,
    }
}

/// The path of a read, what its watch would cover, and whether it sets that watch.
fn watched<'a>(request: &Request<'a>) -> Option<(&'a str, WatchMode, bool)> {
    Some(match request {
        Request::GetData(get) => (get.path, WatchMode::Data, get.watch),
        Request::Exists(exists) => (exists.path, WatchMode::Data, exists.watch),
        Request::GetChildren(list) => (list.path, WatchMode::Children, list.watch),
        Request::GetChildren2(list) => (list.path, WatchMode::Children, list.watch),
        _ => return None,
    })
}

impl IoThread {
    /// Whether the next request of a connection has to wait for answers of the program, or is one
    /// that the program can be asked about only when everything before it is answered.
    pub(super) fn waits_for_program(&mut self, slot: usize, header: &RequestHeader, body: &[u8]) -> bool {
        let Some(handler) = &self.shared.handler else { return false };
        let opcode = header.opcode_raw;
        let Some(connection) = self.connections.get_mut(slot) else { return false };
        if connection.requests.is_empty() || opcode == Opcode::Ping as i32 {
            return false;
        }
        let questions = connection.questions.as_deref();
        let may_pass = match (handler.concerns(opcode), questions.filter(|all| !all.is_empty())) {
            (false, None) => true,
            (false, Some(_)) | (true, None) => false,
            (true, Some(questions)) => {
                let is_plain = Opcode::from_i32(opcode).is_some_and(|op| is_plain_read(op, body));
                is_plain && questions.is_all_plain_reads() && questions.0.len() < TOGETHER_MAX
            }
        };
        if !may_pass {
            connection.waits_for_idle = true;
            self.pause(slot);
        }
        !may_pass
    }

    /// Asks the program about a request; `false` if it is not asked about such requests.
    pub(super) fn ask_program(&mut self, slot: usize, header: &RequestHeader, body: &[u8]) -> bool {
        let shared = Arc::clone(&self.shared);
        let Some(handler) = shared.handler.as_ref().filter(|handler| handler.concerns(header.opcode_raw))
        else {
            return false;
        };
        let Some(operation) = Opcode::from_i32(header.opcode_raw) else { return false };
        let Some(seen) = decoded(operation, body) else { return false };
        let unanswered = self.begin_request(header.opcode_raw, body);
        let Some(connection) = self.connections.get_mut(slot) else { return true };
        let number = connection.requests.push(unanswered);
        let pending = Pending {
            header: *header,
            body: if *seen == *body { Arc::clone(&seen) } else { body.into() },
            since_ms: self.now_ms,
            stamp: handler.outside_changes.lock().count(),
            is_plain_read: is_plain_read(operation, &seen),
            executing: None,
        };
        connection.questions.get_or_insert_default().0.insert(number, pending);
        let id = RequestId { token: connection.token, number };
        let asked = Asked {
            session: connection.session,
            peer: connection.traffic.peer,
            identities: Arc::clone(&connection.identities),
            operation,
            body: seen,
        };
        if !handler.ask(Question { id, asked }) {
            self.fail_question(slot, number, "too many requests wait for the program");
        }
        true
    }

    /// Takes the program's answers to the requests of this thread's connections.
    pub(super) fn take_answers(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(handler) = &shared.handler else { return };
        for (RequestId { token, number }, answer) in handler.take_answers(self.number) {
            let slot = slot_of(token);
            let Some(connection) = self.connections.get_mut(slot).filter(|c| c.token == token) else {
                continue;
            };
            let questions = connection.questions.as_deref_mut();
            if questions.is_none_or(|questions| !questions.0.contains_key(&number)) {
                // Its deadline has passed.
                continue;
            }
            self.take_answer(slot, number, answer);
        }
    }

    fn take_answer(&mut self, slot: usize, number: u64, answer: Answer) {
        match answer {
            Answer::Execute { operation, body, result } => {
                if let Some(pending) = self.pending(slot, number) {
                    pending.executing = Some(result);
                    let header = RequestHeader { xid: pending.header.xid, opcode_raw: operation as i32 };
                    self.execute(slot, number, header, &body);
                }
            }
            Answer::Reply { code, body } => self.reply_of_program(slot, number, code, &body),
            Answer::BuiltIn => self.serve_built_in(slot, number),
            Answer::Proven { scheme, id } => {
                let Some(connection) = self.connections.get_mut(slot) else { return };
                let mut identities = Identities::clone(&connection.identities);
                let code = match identities.try_add(&scheme, &id) {
                    true => ErrorCode::Ok,
                    false => ErrorCode::AuthFailed,
                };
                self.set_identities(slot, identities);
                self.reply_of_program(slot, number, code, &[]);
            }
        }
    }

    fn pending(&mut self, slot: usize, number: u64) -> Option<&mut Pending> {
        self.connections.get_mut(slot)?.questions.as_deref_mut()?.0.get_mut(&number)
    }

    fn take_pending(&mut self, slot: usize, number: u64) -> Option<Pending> {
        self.connections.get_mut(slot)?.questions.as_deref_mut()?.0.remove(&number)
    }

    /// The client gets the program's reply. A watch that the request asked for is added, or fires
    /// at once if its data have changed since the program was asked.
    fn reply_of_program(&mut self, slot: usize, number: u64, code: ErrorCode, body: &[u8]) {
        let Some(zxid) = self.shown_zxid(slot) else { return };
        let Some(pending) = self.take_pending(slot, number) else { return };
        let mut reply = Vec::with_capacity(frame::LENGTH_BYTES + ReplyHeader::ENCODED_LEN + body.len());
        let mark = frame::begin(&mut reply);
        ReplyHeader { xid: pending.header.xid, zxid, err: code as i32 }.encode(&mut reply);
        reply.extend_from_slice(body);
        frame::finish(&mut reply, mark);
        let event = self.watch_for_program(slot, &pending, code);
        self.answered(slot, number, &reply, 0, Vec::new());
        if let Some(event) = event
            && let Some(connection) = self.connections.get_mut(slot)
        {
            connection.output().extend_from_slice(&event);
            self.count_sent(slot);
            self.list(slot);
        }
    }

    /// Adds the watch of a request that the program has answered; the frame of its event instead if
    /// it would have fired already.
    fn watch_for_program(&mut self, slot: usize, pending: &Pending, code: ErrorCode) -> Option<Vec<u8>> {
        let op = Opcode::from_i32(pending.header.opcode_raw)?;
        let request = Request::decode(op, &pending.body).ok()?;
        let (path, mode, true) = watched(&request)? else { return None };
        let is_set = match code {
            ErrorCode::Ok => true,
            ErrorCode::NoNode => op == Opcode::Exists,
            _ => false,
        };
        let connection = self.connections.get(slot).filter(|_| is_set)?;
        let namespace = self.shared.namespace(connection.group);
        let mut watches = namespace.watches.lock();
        let handler = self.shared.handler.as_ref()?;
        if let Some(event_type) = handler.outside_changes.lock().missed(pending.stamp, path, mode) {
            return Some(event_frame(event_type, path));
        }
        let watcher = watcher(connection.token);
        if watches.is_registered(watcher)
            && let Err(limit) = watches.add(path, mode, watcher)
        {
            tracing::warn!(
                session = format_args!("{:#x}", connection.session),
                "a watch was refused: {limit}"
            );
            // The client would wait in vain; it reads again instead.
            return Some(event_frame(EventType::NodeDataChanged, path));
        }
        None
    }

    /// The zxid of a reply that this thread makes now. The events up to it are in the output.
    fn shown_zxid(&mut self, slot: usize) -> Option<i64> {
        let shared = Arc::clone(&self.shared);
        let machine = shared.namespace(self.connections.get(slot)?.group).read_machine();
        self.collect();
        Some(machine.last_zxid())
    }

    /// Serves a request as if there were no program.
    fn serve_built_in(&mut self, slot: usize, number: u64) {
        let Some(Pending { header, body, .. }) = self.take_pending(slot, number) else { return };
        let is_local = !Opcode::from_i32(header.opcode_raw).is_some_and(Opcode::is_write)
            && header.opcode_raw != Opcode::Auth as i32;
        if is_local {
            return self.execute(slot, number, header, &body);
        }
        // Nothing else of the connection is unanswered: it gets a new number.
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if let Some(unanswered) = connection.requests.pop(number) {
            self.shared.counts.large_request_bytes.fetch_sub(unanswered.large_bytes, Relaxed);
        }
        let shared = Arc::clone(&self.shared);
        self.serve(slot, &header, &body, &shared, &mut None);
        self.may_resume(slot);
    }

    /// Executes a request under the number of the one that the program is asked about.
    fn execute(&mut self, slot: usize, number: u64, header: RequestHeader, body: &[u8]) {
        let shared = Arc::clone(&self.shared);
        let Some(connection) = self.connections.get(slot) else { return };
        let id = RequestId { token: connection.token, number };
        let opcode = header.opcode_raw;
        if Opcode::from_i32(opcode).is_some_and(Opcode::is_write) {
            self.replicate_as(slot, id, &header, body);
        } else if self.shared.has_to_catch_up(opcode) {
            self.submit_local(slot, id, &header, body);
        } else {
            let namespace = shared.namespace(connection.group);
            let machine = namespace.read_machine();
            self.collect();
            let Some(connection) = self.connections.get(slot) else { return };
            let identities = Arc::clone(&connection.identities);
            let asker = Asker {
                namespace,
                token: connection.token,
                session: connection.session,
                identities: &identities,
                dialect: connection.dialect,
            };
            let mut out = Vec::new();
            let answered = answer::answer(&shared, &machine, &asker, header.xid, opcode, body, &mut out);
            self.answered(slot, number, &out, answered.reply_at, answered.pieces);
        }
    }

    /// Gives the program the result of a request that was executed for it; `false` if the reply is
    /// the client's.
    pub(super) fn is_for_program(
        &mut self,
        slot: usize,
        number: u64,
        reply: &[u8],
        pieces: &[(usize, Piece)],
    ) -> bool {
        let Some(result) = self.pending(slot, number).and_then(|pending| pending.executing.take()) else {
            return false;
        };
        const HEAD: usize = frame::LENGTH_BYTES + ReplyHeader::ENCODED_LEN;
        let code = reply.get(HEAD - size_of::<i32>()..).and_then(|rest| rest.first_chunk::<4>());
        let code = code.map_or(ErrorCode::SystemError as i32, |code| i32::from_be_bytes(*code));
        let mut body = Vec::new();
        let mut copied = HEAD.min(reply.len());
        for (at, piece) in pieces {
            body.extend_from_slice(&reply[copied..*at]);
            (0..).map_while(|number| piece.part(number)).for_each(|part| body.extend_from_slice(part));
            copied = *at;
        }
        body.extend_from_slice(&reply[copied..]);
        // The program does not wait any more if its thread has ended.
        let _gone = result.try_send(Executed { code, body });
        true
    }

    /// Answers the requests that the program has not answered in time.
    pub(super) fn expire_questions(&mut self) {
        let Some(handler) = &self.shared.handler else { return };
        let deadline_ms = handler.deadline().as_millis() as i64;
        let mut late = Vec::new();
        for (slot, connection) in &self.connections {
            let Some(questions) = connection.questions.as_deref() else { continue };
            let is_late = |pending: &Pending| self.now_ms - pending.since_ms > deadline_ms;
            late.extend(questions.0.iter().filter(|(_, q)| is_late(q)).map(|(number, _)| (slot, *number)));
        }
        for (slot, number) in late {
            self.fail_question(slot, number, "the program has not answered before its deadline");
        }
    }

    fn fail_question(&mut self, slot: usize, number: u64, why: &str) {
        if self.shared.handler.as_ref().is_some_and(|handler| handler.may_warn(self.now_ms))
            && let Some(connection) = self.connections.get(slot)
        {
            let session = connection.session;
            tracing::warn!(
                session = format_args!("{session:#x}"),
                "a request fails, and perhaps others: {why}"
            );
        }
        self.reply_of_program(slot, number, ErrorCode::OperationTimeout, &[]);
    }
}

fn event_frame(event_type: EventType, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mark = frame::begin(&mut out);
    ReplyHeader { xid: xid::NOTIFICATION, zxid: -1, err: 0 }.encode(&mut out);
    WatcherEvent { event_type, state: KeeperState::SyncConnected, path }.encode(&mut out);
    frame::finish(&mut out, mark);
    out
}
