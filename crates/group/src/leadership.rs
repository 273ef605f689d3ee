//! Changes of leadership: what becomes of commands in flight, and what members tell each other
//! about them.

use bytes::Bytes;
use consensus::engine::{Leadership, StepError};
use consensus::entry::MemberId;
use state::machine::Machine;

use crate::forwarding::bytes_of;
use crate::in_flight::LeaderSlot;
use crate::message::{GroupMessage, RefusedCommand};
use crate::replica::{Duty, Replica};
use state::members::ServerId;

/// Forwarded messages kept until a leadership is ready for them. The rest is resent by its senders.
const EARLY_MAX: usize = 1024;

/// Bytes of commands in those messages.
const EARLY_BYTES_MAX: usize = 256 << 20;

impl Replica {
    /// The engine reports a new role, leader or term.
    ///
    /// What was passed to an earlier leadership may or may not be committed:
    /// [`leadership_began`](Self::leadership_began) finds out, and passes on again what was not.
    /// Later commands wait until then.
    pub(crate) fn change_role(&mut self, role: Leadership) {
        self.role = role;
        self.read_membership();
        let Some(leader) = role.leader else {
            self.duty = Duty::Wait;
            return;
        };
        let leads = role.role == consensus::engine::Role::Leader;
        if self.forwarding.is_to(leader, role.term) {
            self.duty = if leads { self.duty } else { Duty::Follow };
            return;
        }
        // What this member took as leader and did not propose is kept and passed on again by its
        // server, which may be this one.
        self.gathered.clear();
        self.parked.clear();
        self.homes.clear();
        self.early.clear();
        self.duty = if leads { Duty::Lead { ready: false } } else { Duty::Follow };
        self.forwarding.begin(leader, role.term, (!leads).then(|| self.settings.life()));
        self.resubmission.leadership_changed();
        self.take_back_undone();
    }

    /// This leadership has begun: takes the members' commands, this server's first.
    pub fn begin_leading(&mut self, now_ms: i64, machine: &Machine) {
        self.duty = Duty::Lead { ready: true };
        self.go_on(now_ms, machine);
        for (from, message) in std::mem::take(&mut self.early) {
            self.receive(now_ms, machine, from, message);
        }
    }

    /// Handles a message of another member's engine.
    ///
    /// # Errors
    ///
    /// Those of the engine.
    pub fn step(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError> {
        self.engine.step(from, bytes)
    }

    /// Handles what another replica says about forwarded commands; the rest is for the host.
    pub fn receive(&mut self, now_ms: i64, machine: &Machine, from: ServerId, message: GroupMessage) {
        match message {
            GroupMessage::Forward { term, life, number, commands } => {
                if term != self.role.term {
                    return;
                }
                match self.duty {
                    Duty::Lead { ready: true } if self.forwarding.takes(from, life, number) => {
                        commands.iter().for_each(|part| self.take_in(now_ms, machine, from, part));
                    }
                    Duty::Lead { ready: false } if self.has_room_for_early(bytes_of(&commands)) => {
                        self.early.push((from, GroupMessage::Forward { term, life, number, commands }));
                    }
                    _ => {}
                }
            }
            GroupMessage::Taken { term, life, next } => {
                self.forwarding.taken(term, life, next);
            }
            GroupMessage::NotTaken { term, life, first, refused } => {
                let refused = self.forwarding.refused(from, (term, life), first, refused);
                for RefusedCommand { session, place } in refused {
                    self.was_refused(session, LeaderSlot { term, place });
                }
            }
            GroupMessage::RefusalsKnown { term, life, next } if term == self.role.term => {
                self.forwarding.refusals_known(from, life, next);
            }
            _ => {}
        }
    }

    fn has_room_for_early(&self, bytes: usize) -> bool {
        let bytes_in = |message: &GroupMessage| match message {
            GroupMessage::Forward { commands, .. } => bytes_of(commands),
            _ => 0,
        };
        let kept: usize = self.early.iter().map(|(_, message)| bytes_in(message)).sum();
        self.early.len() < EARLY_MAX && kept + bytes <= EARLY_BYTES_MAX
    }

    /// One tick has passed.
    pub fn tick(&mut self) {
        self.engine.tick();
        self.barriers.ask(self.engine.as_mut());
        self.forwarding.tick();
    }

    /// The connection to that server is open again; what was sent before may be lost.
    pub fn reconnected(&mut self, server: ServerId) {
        self.forwarding.reconnected(server);
    }

    /// The machine was replaced by a snapshot that ends at `index`. The snapshot does not tell
    /// which commands in flight it contains.
    pub fn installed(&mut self, index: u64) {
        self.committed.installed(index);
        self.resubmission.began(self.engine.status().snapshot.term);
        self.drop_overtaken();
        // A session may have moved away and back meanwhile, or have ended.
        self.in_flight.retain(|_, in_flight| !in_flight.is_empty());
        self.read_membership();
        self.release_reached();
    }

    /// Issues a read ticket for this member itself: [`has_reached`](Self::has_reached) tells when
    /// everything committed by now is applied.
    pub fn issue_ticket(&mut self) -> u64 {
        let ticket = self.barriers.now(0);
        self.barriers.ask(self.engine.as_mut());
        ticket
    }

    /// Whether that read ticket is reached.
    pub fn has_reached(&self, ticket: u64) -> bool {
        self.barriers.reached() >= ticket
    }

    pub(crate) fn release_reached(&mut self) {
        self.barriers.applied(self.committed.applied_index(), &mut self.answerable);
    }

    pub(crate) fn read_membership(&mut self) {
        let membership = self.engine.status().membership;
        self.alone = membership.voters.len() == 1
            && membership.learners.is_empty()
            && membership.voters[0] == self.settings.member;
    }
}
