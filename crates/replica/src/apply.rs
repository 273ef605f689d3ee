//! What is agreed becomes state, replies and news.

use consensus::entry::{Entry, EntryKind};
use consensus::membership::MembershipChange;
use state::command::{BatchHeader, Command, MOVE_SESSION, commands};
use state::machine::{Applied, Machine};
use wire::opcode::Opcode;

use crate::line::Waiting;
use crate::outlet::{Outlet, Token};
use crate::replica::{Duty, Replica};

impl Replica {
    /// Whether [`apply`](Self::apply) has anything to do.
    pub fn has_work(&self) -> bool {
        !self.committed.is_empty()
            || !self.answerable.is_empty()
            || !self.lost.is_empty()
            || self.lost_requests > 0
    }

    /// Entries that are agreed and not applied in full.
    pub fn entries_behind(&self) -> usize {
        self.committed.len()
    }

    /// Whether a change of the members is among them.
    pub fn is_to_change_members(&self) -> bool {
        self.committed.iter().any(|entry| entry.kind == EntryKind::Membership)
    }

    /// Applies at most about `commands_max` agreed commands and answers what waited for them; `true` when all is done. The bound lets
    /// the host release the machine for readers in between. `now_ms` becomes the time of commands that waited for this leadership.
    pub fn apply(
        &mut self,
        now_ms: i64,
        machine: &mut Machine,
        outlet: &mut impl Outlet,
        commands_max: usize,
    ) -> bool {
        self.tell_lost(outlet);
        self.answer_lines(machine, outlet);
        let mut room = commands_max;
        while let Some(entry) = self.committed.pop_front() {
            let done = match entry.kind {
                EntryKind::Leadership => {
                    machine.begin_leadership();
                    true
                }
                EntryKind::Membership => {
                    let change = MembershipChange::from_bytes(&entry.data);
                    let change = change.unwrap_or_else(|e| {
                        panic!("entry {} is agreed and durable but changes no member: {e}", entry.index)
                    });
                    machine.member_changed(change.member().0);
                    true
                }
                EntryKind::Command => self.apply_batch(&entry, machine, outlet, &mut room),
            };
            if !done {
                self.committed.push_front(entry);
                return false;
            }
            self.applied_bytes = 0;
            self.applied_index = entry.index;
            if entry.kind != EntryKind::Command {
                self.engine.applied(entry.index);
                self.look_who_is_there();
            }
            if entry.kind == EntryKind::Leadership
                && self.duty == (Duty::Lead { ready: false })
                && entry.term == self.role.term
            {
                self.begin_leading(now_ms, machine);
            }
        }
        self.engine.applied(self.applied_index);
        self.reach_moments();
        self.answer_lines(machine, outlet);
        true
    }

    fn tell_lost(&mut self, outlet: &mut impl Outlet) {
        for token in self.lost.drain(..) {
            outlet.lost(token);
        }
        if self.lost_requests > 0 {
            outlet.abandoned(std::mem::take(&mut self.lost_requests));
        }
    }

    fn apply_batch(
        &mut self,
        entry: &Entry,
        machine: &mut Machine,
        outlet: &mut impl Outlet,
        room: &mut usize,
    ) -> bool {
        let (header, rest) = BatchHeader::read(&entry.data)
            .unwrap_or_else(|e| panic!("entry {} is agreed and durable but is no batch: {e}", entry.index));
        let at = self.applied_bytes;
        for command in commands(&rest[at..]) {
            let command = command.unwrap_or_else(|e| {
                panic!("entry {} is agreed and durable but holds no command: {e}", entry.index)
            });
            if self.barriers.is_anybody_waiting() {
                self.answer_before(&command, machine, outlet);
            }
            self.reply.clear();
            let applied = machine.apply(&header, &command, &mut self.reply, outlet);
            self.complete(&command, &applied, machine, outlet);
            self.applied_commands += 1;
            self.applied_bytes += Command::OVERHEAD + command.identities.len() + command.body.len();
            *room = room.saturating_sub(1);
            if *room == 0 {
                return self.applied_bytes == rest.len();
            }
        }
        true
    }

    /// Tells whoever waits for this command, then whoever waited behind it.
    fn complete(
        &mut self,
        command: &Command<'_>,
        applied: &Applied,
        machine: &Machine,
        outlet: &mut impl Outlet,
    ) {
        let session = command.session;
        let line = self.lines.get_mut(&session);
        let token = line.and_then(|line| line.take_command(command.cxid, command.opcode));
        match Opcode::from_i32(command.opcode) {
            _ if command.opcode == MOVE_SESSION => self.session_moved(session, token, machine, outlet),
            Some(Opcode::CreateSession) => {
                self.homes.settled(session);
                outlet.session_opened(machine, session, token);
            }
            Some(Opcode::CloseSession) => {
                return self.session_closed(
                    session,
                    token.map(|token| (token, command.cxid)),
                    applied,
                    outlet,
                );
            }
            _ => {
                if let Some(token) = token {
                    outlet.reply(token, command.cxid, applied, &self.reply);
                }
            }
        }
        self.answer_line(session, machine, outlet);
    }

    fn session_moved(
        &mut self,
        session: i64,
        token: Option<Token>,
        machine: &Machine,
        outlet: &mut impl Outlet,
    ) {
        self.homes.settled(session);
        let here = machine.session(session).is_none_or(|known| known.home == self.server());
        if !here && let Some(line) = self.lines.get_mut(&session) {
            // Its client has gone elsewhere, unless it is on its way back already.
            self.lost_requests += line.cut_before_move();
        }
        outlet.session_moved(machine, session, here, token);
    }

    fn session_closed(
        &mut self,
        session: i64,
        closing: Option<(Token, i32)>,
        applied: &Applied,
        outlet: &mut impl Outlet,
    ) {
        outlet.session_closed(session, closing, applied);
        // What still waits was sent behind the close, or by a connection that goes with the session: nobody will hear an answer. Only
        // those who wanted to take it up have to be told.
        if let Some(mut line) = self.lines.remove(&session) {
            for token in line.take_moves() {
                outlet.session_refused(token);
            }
            outlet.abandoned(line.len());
        }
    }

    fn answer_lines(&mut self, machine: &Machine, outlet: &mut impl Outlet) {
        while let Some(session) = self.answerable.pop() {
            self.answer_line(session, machine, outlet);
        }
    }

    fn answer_line(&mut self, session: i64, machine: &Machine, outlet: &mut impl Outlet) {
        let Some(line) = self.lines.get_mut(&session) else { return };
        let reached = self.barriers.reached();
        while let Some(waiting) = line.take_ready(reached) {
            answer(waiting, session, machine, outlet);
        }
    }

    /// Answers what this command's session asked before it. Whoever leads a group alone may have agreed on a command before it has applied
    /// what an earlier read has to wait for.
    fn answer_before(&mut self, command: &Command<'_>, machine: &Machine, outlet: &mut impl Outlet) {
        let Some(line) = self.lines.get_mut(&command.session) else { return };
        while let Some(waiting) = line.take_before(command.cxid, command.opcode) {
            answer(waiting, command.session, machine, outlet);
        }
    }
}

fn answer(waiting: Waiting, session: i64, machine: &Machine, outlet: &mut impl Outlet) {
    match waiting {
        Waiting::Local { token, request, .. } => outlet.local(machine, token, session, &request),
        Waiting::Refused { token, xid, opcode } => outlet.refused(machine, token, xid, opcode),
        Waiting::Command { .. } => unreachable!("a command is never taken without its result"),
    }
}
