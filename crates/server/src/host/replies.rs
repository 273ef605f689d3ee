//! From applying to the connections: replies, events and session news, sorted by connection thread.

use std::sync::atomic::Ordering::Relaxed;

use group::{LocalRequest, ReplySink, RequestId, Token};
use state::change::{Change, ChangeKind, ChangeSink};
use state::command::{Command, MOVE_SESSION};
use state::machine::{Applied, Machine};
use state::watch::WatcherId;
use wire::ErrorCode;
use wire::frame;
use wire::opcode::Opcode;
use wire::record::ReplyHeader;

use super::event_bytes::{EventBytes, Told};
use crate::audit::{Event, Outcome, requests};
use crate::client::answer::{self, Asker};
use crate::handler::Task;
use crate::mailbox::{Delivery, Note};
use crate::namespace::Namespace;
use crate::shared::Shared;
use crate::token::thread_of;

/// Gathers the notes of one run of applying. They are posted before the machine is released, so
/// that no client reads a change ahead of its events.
pub(super) struct Replies<'s> {
    shared: &'s Shared,
    namespace: &'s Namespace,
    deliveries: Vec<Delivery>,
    event_bytes: EventBytes,
    /// The session that the command being applied ends.
    ending: Option<i64>,
}

impl<'s> Replies<'s> {
    pub(super) fn new(shared: &'s Shared, namespace: &'s Namespace) -> Replies<'s> {
        let deliveries = shared.mailboxes.iter().map(|_| Delivery::default()).collect();
        let limits = &shared.config.connection;
        let event_bytes = EventBytes::new(limits.output_bytes_max, limits.total_output_bytes_max / 4);
        Replies { shared, namespace, deliveries, event_bytes, ending: None }
    }

    /// Puts all notes into the mailboxes. The machine is still held.
    pub(super) fn post(&mut self) {
        self.event_bytes.clear();
        for (delivery, mailbox) in self.deliveries.iter_mut().zip(&self.shared.mailboxes) {
            if !delivery.is_empty() {
                mailbox.post(delivery);
            }
        }
    }

    /// Wakes the threads whose mailboxes have notes. The machine is released.
    pub(super) fn wake(&self) {
        for mailbox in &self.shared.mailboxes {
            if mailbox.is_full() {
                mailbox.wake();
            }
        }
    }

    fn delivery(&mut self, token: Token) -> &mut Delivery {
        &mut self.deliveries[thread_of(token)]
    }

    /// Assigns the session to this connection, or to none, before any later news of the session can
    /// arrive.
    fn give_session(&mut self, session: i64, owner: Option<Token>) {
        self.namespace.sessions.set_owner(session, owner);
        let group = self.namespace.group;
        if let Some(token) = owner {
            self.delivery(token).note(token, Note::SessionOpened { group, session });
        }
    }

    /// As in ZooKeeper, every server audits the ephemeral znodes that a session leaves, whosever
    /// client it was.
    fn audit_ephemeral(&self, session: i64, change: &Change<'_>) {
        if let Some(audit) = self.shared.audit.as_ref().filter(|_| change.kind == ChangeKind::Deleted) {
            let event = Event {
                session: Some(session),
                user: Some(audit.server_user()),
                znode: Some(change.path),
                ..Event::new("ephemeralZNodeDeletionOnSessionCloseOrExpire", Outcome::Success)
            };
            self.shared.record(audit, &event);
        }
    }

    fn answer(&mut self, id: RequestId, xid: i32, zxid: i64, code: ErrorCode, body: &[u8]) {
        let RequestId { token, number } = id;
        self.delivery(token).frame(
            token,
            |len| Note::Reply { number, len, events: 0 },
            |out| {
                let mark = frame::begin(out);
                ReplyHeader { xid, zxid, err: code as i32 }.encode(out);
                out.extend_from_slice(body);
                frame::finish(out, mark);
            },
        );
    }
}

impl ChangeSink for Replies<'_> {
    fn is_interested(&self) -> bool {
        self.ending.is_some() || !self.namespace.watches.lock().is_empty()
    }

    fn change(&mut self, change: &Change<'_>) {
        if let Some(session) = self.ending {
            self.audit_ephemeral(session, change);
        }
        let Replies { namespace, deliveries, event_bytes, .. } = self;
        namespace.watches.lock().change(change, &mut |watcher: WatcherId, event| {
            let token = Token(watcher.0);
            let delivery = &mut deliveries[thread_of(token)];
            match event_bytes.add(token, event.frame.len()) {
                Told::Yes => delivery.frame(
                    token,
                    |len| Note::Event { len },
                    |out| out.extend_from_slice(&event.frame),
                ),
                Told::Close => delivery.note(token, Note::Drop),
                Told::No => {}
            }
        });
    }
}

impl ReplySink for Replies<'_> {
    fn begins(&mut self, command: &Command<'_>) {
        let ends = self.shared.audit.is_some() && command.opcode == Opcode::CloseSession as i32;
        self.ending = ends.then_some(command.session);
    }

    fn reply(&mut self, id: RequestId, command: &Command<'_>, applied: &Applied, body: &[u8]) {
        if let Some(audit) = &self.shared.audit {
            let record = &mut |event: &Event<'_>| self.shared.record(audit, event);
            requests::events(command, applied, body, record);
        }
        self.answer(id, command.cxid, applied.zxid, applied.code, body);
    }

    fn local(&mut self, machine: &Machine, id: RequestId, session: i64, request: &LocalRequest) {
        let LocalRequest { identities, dialect, .. } = request;
        let asker =
            Asker { namespace: self.namespace, token: id.token, session, identities, dialect: *dialect };
        let shared = self.shared;
        self.delivery(id.token).reply(id, |out| {
            answer::answer(shared, machine, &asker, request.xid, request.opcode, &request.body, out)
        });
    }

    fn refused(&mut self, machine: &Machine, id: RequestId, xid: i32, opcode: i32) {
        if opcode == Opcode::CreateSession as i32 || opcode == MOVE_SESSION {
            // The client is still in the handshake, where it could not understand a reply. Close
            // its connection: it tries again, here or on another server.
            self.shared.inbox.answered(1);
            self.delivery(id.token).note(id.token, Note::Drop);
        } else {
            self.answer(id, xid, machine.last_zxid(), ErrorCode::SystemError, &[]);
        }
    }

    fn session_opened(&mut self, machine: &Machine, session: i64, token: Option<Token>) {
        let timeout_ms = machine.session(session).map_or(0, |s| s.timeout_ms);
        self.namespace.sessions.opened(session, timeout_ms, self.shared.clock.elapsed_ms());
        self.give_session(session, token);
    }

    fn session_moved(&mut self, machine: &Machine, session: i64, owner: Option<Token>) {
        self.namespace.counts.moved.fetch_add(1, Relaxed);
        // Wherever the session goes on, its client was heard from just now, and the leader must
        // know before the other server reports it.
        if let Some(known) = machine.session(session) {
            self.namespace.sessions.renew(session, known.timeout_ms, self.shared.clock.elapsed_ms());
        }
        self.give_session(session, owner);
    }

    fn session_resumed(&mut self, machine: &Machine, session: i64, owner: Token) -> bool {
        if self.namespace.sessions.is_ending(session) {
            return false;
        }
        self.session_moved(machine, session, Some(owner));
        true
    }

    fn session_refused(&mut self, token: Token, code: ErrorCode) {
        self.delivery(token).note(token, Note::SessionRefused { code });
    }

    fn lost(&mut self, token: Token) {
        self.delivery(token).note(token, Note::Drop);
    }

    fn session_closed(&mut self, session: i64, closing: Option<(RequestId, i32)>, applied: &Applied) {
        if let Some(handler) = &self.shared.handler {
            handler.tell(Task::SessionClosed { session });
        }
        let owner = self.namespace.sessions.closed(session);
        if let Some((id, xid)) = closing {
            self.answer(id, xid, applied.zxid, applied.code, &[]);
            self.delivery(id.token).note(id.token, Note::SessionClosed);
        }
        if let Some(owner) = owner.filter(|owner| closing.is_none_or(|(id, _)| id.token != *owner)) {
            self.delivery(owner).note(owner, Note::SessionClosed);
        }
    }

    fn abandoned(&mut self, requests: usize) {
        self.shared.inbox.answered(requests);
    }
}
