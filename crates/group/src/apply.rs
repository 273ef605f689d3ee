//! Applies committed entries: they become state, replies and session news.

use consensus::entry::{Entry, EntryKind};
use consensus::membership::MembershipChange;
use state::command::{BatchHeader, Command, MOVE_SESSION, SessionTerms, commands};
use state::machine::{Applied, Machine};
use wire::ErrorCode;
use wire::opcode::Opcode;

use crate::in_flight::{SessionInFlight, Waiting};
use crate::replica::Replica;
use crate::reply_sink::{ReplySink, RequestId};
use crate::untold::Refused;

impl Replica {
    /// Whether [`apply`](Self::apply) has anything to do.
    pub fn has_work(&self) -> bool {
        !self.committed.is_empty() || !self.answerable.is_empty() || !self.untold.is_empty()
    }

    /// Committed entries that are not applied in full.
    pub fn entries_behind(&self) -> usize {
        self.committed.len()
    }

    /// Whether a membership change is among them.
    pub fn is_to_change_members(&self) -> bool {
        self.committed.has_membership_change()
    }

    /// Applies about `commands_max` committed commands at most and answers the requests that waited
    /// for them; `true` when all are applied. The bound lets the host release the machine for
    /// readers in between. `now_ms` becomes the time of commands that waited for this leadership.
    pub fn apply(
        &mut self,
        now_ms: i64,
        machine: &mut Machine,
        outlet: &mut impl ReplySink,
        commands_max: usize,
    ) -> bool {
        self.tell_lost(outlet);
        self.tell_refused(machine, outlet);
        self.answer_ready(machine, outlet);
        let mut room = commands_max;
        while let Some((entry, applied_bytes)) = self.committed.next() {
            let done = match entry.kind {
                EntryKind::Leadership => {
                    machine.begin_leadership();
                    true
                }
                EntryKind::Membership => {
                    let change = MembershipChange::from_bytes(&entry.data);
                    let change = change.unwrap_or_else(|e| {
                        panic!("entry {} is committed and durable but changes no member: {e}", entry.index)
                    });
                    machine.member_changed(change.member().0);
                    true
                }
                EntryKind::Command => self.apply_batch(&entry, applied_bytes, machine, outlet, &mut room),
            };
            if !done {
                self.committed.put_back(entry);
                return false;
            }
            self.committed.applied_entry(entry.index);
            if entry.kind != EntryKind::Command {
                self.engine.applied(entry.index);
                self.read_membership();
            }
            if entry.kind == EntryKind::Leadership {
                self.leadership_began(now_ms, machine, entry.term);
            }
        }
        self.engine.applied(self.committed.applied_index());
        self.release_reached();
        self.answer_ready(machine, outlet);
        true
    }

    fn tell_lost(&mut self, outlet: &mut impl ReplySink) {
        let (lost, abandoned) = self.untold.take_lost();
        for token in lost {
            outlet.lost(token);
        }
        if abandoned > 0 {
            outlet.abandoned(abandoned);
        }
    }

    fn tell_refused(&mut self, machine: &Machine, outlet: &mut impl ReplySink) {
        for Refused { id, session, xid, opcode } in self.untold.take_refused() {
            outlet.refused(machine, id, xid, opcode);
            // The session itself may be what was refused.
            self.forget_ended(session, machine);
        }
    }

    fn apply_batch(
        &mut self,
        entry: &Entry,
        applied_bytes: usize,
        machine: &mut Machine,
        outlet: &mut impl ReplySink,
        room: &mut usize,
    ) -> bool {
        let (header, rest) = BatchHeader::read(&entry.data).unwrap_or_else(|e| {
            panic!("entry {} is committed and durable but is no batch: {e}", entry.index)
        });
        for command in commands(&rest[applied_bytes..]) {
            let command = command.unwrap_or_else(|e| {
                panic!("entry {} is committed and durable but holds no command: {e}", entry.index)
            });
            if self.barriers.is_anybody_waiting() {
                self.answer_before(&command, machine, outlet);
            }
            self.reply.clear();
            outlet.begins(&command);
            let applied = machine.apply(&header, &command, &mut self.reply, outlet);
            self.complete(&command, &applied, machine, outlet);
            let length = Command::OVERHEAD + command.identities.len() + command.body.len();
            let applied_bytes = self.committed.applied_command(length);
            *room = room.saturating_sub(1);
            if *room == 0 {
                return applied_bytes == rest.len();
            }
        }
        true
    }

    /// Answers the request that waits for this command, then the reads behind it.
    fn complete(
        &mut self,
        command: &Command<'_>,
        applied: &Applied,
        machine: &Machine,
        outlet: &mut impl ReplySink,
    ) {
        let session = command.session;
        match Opcode::from_i32(command.opcode) {
            _ if command.opcode == MOVE_SESSION => self.session_moved(command, applied, machine, outlet),
            Some(Opcode::CreateSession) => self.session_created(command, applied, machine, outlet),
            Some(Opcode::CloseSession) => {
                let closing = self.take_command(command).map(|id| (id, command.cxid));
                return self.session_closed(session, closing, applied, outlet);
            }
            _ => {
                if let Some(id) = self.take_command(command) {
                    outlet.reply(id, command, applied, &self.reply);
                }
            }
        }
        self.answer_session(session, machine, outlet);
    }

    /// The request that waits for this command.
    fn take_command(&mut self, command: &Command<'_>) -> Option<RequestId> {
        let in_flight = self.in_flight.get_mut(&command.session)?;
        let waiting = in_flight.take_command(command.cxid, command.opcode)?;
        self.kept_bytes -= waiting.bytes.len();
        Some(waiting.id)
    }

    /// Whether a command that gives its session a home comes from this server.
    fn is_own(&self, command: &Command<'_>) -> bool {
        SessionTerms::read(command.body).is_ok_and(|terms| terms.home == self.server())
    }

    fn session_created(
        &mut self,
        command: &Command<'_>,
        applied: &Applied,
        machine: &Machine,
        outlet: &mut impl ReplySink,
    ) {
        let session = command.session;
        self.homes.applied(session);
        // Two servers may have issued the same id at the same time.
        let id = if self.is_own(command) { self.take_command(command) } else { None };
        let token = id.map(|id| id.token);
        if applied.code == ErrorCode::Ok {
            if let Some(in_flight) = self.in_flight.get_mut(&session)
                && token.is_some()
            {
                in_flight.set_owner(token);
            }
            outlet.session_opened(machine, session, token);
        } else if let Some(token) = token {
            self.forget_ended(session, machine);
            outlet.session_refused(token, applied.code);
        }
    }

    fn session_moved(
        &mut self,
        command: &Command<'_>,
        applied: &Applied,
        machine: &Machine,
        outlet: &mut impl ReplySink,
    ) {
        let session = command.session;
        self.homes.applied(session);
        let is_own = self.is_own(command);
        let in_flight = self.in_flight.get_mut(&session);
        let moved = in_flight.filter(|_| is_own).and_then(|in_flight| in_flight.take_move(command.cxid));
        let token = moved.map(|(token, gone)| {
            self.drop_requests(&gone);
            token
        });
        if applied.code != ErrorCode::Ok {
            if let Some(token) = token {
                self.forget_ended(session, machine);
                outlet.session_refused(token, applied.code);
            }
            return;
        }
        if !is_own {
            self.leave(session);
        }
        // Another connection may have taken its place since the request.
        let owner = token.filter(|token| self.is_on(session, *token));
        self.untold.abandon(usize::from(token != owner));
        outlet.session_moved(machine, session, owner);
    }

    /// Forgets a session that does not exist, unless it still has something in flight.
    pub(crate) fn forget_ended(&mut self, session: i64, machine: &Machine) {
        if machine.session(session).is_none()
            && self.in_flight.get(&session).is_some_and(SessionInFlight::is_empty)
        {
            self.in_flight.remove(&session);
        }
    }

    /// The client of a session has gone to another server, unless it is already on its way back.
    fn leave(&mut self, session: i64) {
        let Some(in_flight) = self.in_flight.get_mut(&session) else { return };
        let gone = in_flight.cut_before_move();
        if in_flight.is_empty() {
            self.untold.lose(in_flight.set_owner(None));
            self.in_flight.remove(&session);
        }
        self.drop_requests(&gone);
    }

    fn session_closed(
        &mut self,
        session: i64,
        closing: Option<(RequestId, i32)>,
        applied: &Applied,
        outlet: &mut impl ReplySink,
    ) {
        outlet.session_closed(session, closing, applied);
        // What still waits was sent behind the close, or by a connection that goes with the
        // session: no client will hear an answer. Only the connections that wanted to resume it
        // must be told.
        if let Some(in_flight) = self.in_flight.remove(&session) {
            let (resumes, gone) = in_flight.end();
            self.kept_bytes -= gone.bytes;
            for token in resumes {
                outlet.session_refused(token, ErrorCode::SessionExpired);
            }
            outlet.abandoned(gone.requests);
        }
    }

    fn answer_ready(&mut self, machine: &Machine, outlet: &mut impl ReplySink) {
        while let Some(session) = self.answerable.pop() {
            self.answer_session(session, machine, outlet);
        }
    }

    fn answer_session(&mut self, session: i64, machine: &Machine, outlet: &mut impl ReplySink) {
        let reached = self.barriers.reached();
        while let Some(in_flight) = self.in_flight.get_mut(&session)
            && !self.deferred.contains(&session)
            && let Some(waiting) = in_flight.take_ready(reached)
        {
            self.answer(waiting, session, machine, outlet);
        }
    }

    /// Answers what this command's session asked before it. A leader without other members may have
    /// committed a command before it has applied what an earlier read waits for.
    fn answer_before(&mut self, command: &Command<'_>, machine: &Machine, outlet: &mut impl ReplySink) {
        while let Some(in_flight) = self.in_flight.get_mut(&command.session)
            && let Some(waiting) = in_flight.take_before(command.cxid, command.opcode)
        {
            self.answer(waiting, command.session, machine, outlet);
        }
    }

    fn answer(&mut self, waiting: Waiting, session: i64, machine: &Machine, outlet: &mut impl ReplySink) {
        match waiting {
            Waiting::Local { id, request, .. } => outlet.local(machine, id, session, &request),
            Waiting::Resume { token } => self.go_on_with(machine, session, token, outlet),
            Waiting::Command(_) => unreachable!("a command is never taken without its result"),
        }
    }
}
