//! Leaders come and go: what becomes of commands on their way, and what members tell each other.

use bytes::Bytes;
use consensus::engine::{RoleChange, StepError};
use consensus::entry::MemberId;
use state::machine::Machine;

use crate::forward::{Inlets, Stream};
use crate::peer::PeerMessage;
use crate::replica::{Duty, Origin, Replica};
use state::members::ServerId;

/// Forwarded messages kept until a leadership is ready for them. What is beyond is sent again by itself.
const EARLY_MAX: usize = 1024;

/// Bytes of commands in them.
const EARLY_BYTES_MAX: usize = 256 << 20;

impl Replica {
    /// The engine's news of role, leader and term.
    ///
    /// Whatever is on its way to an earlier leader may have been agreed or not, and nobody here will know in time: whoever waits for
    /// it is disconnected, never told something wrong. What was not given to anybody yet goes to the new leader.
    pub(crate) fn change_role(&mut self, role: RoleChange) {
        self.role = role;
        self.look_who_is_there();
        let Some(leader) = role.leader else {
            self.duty = Duty::Wait;
            return;
        };
        let leads = role.role == consensus::engine::Role::Leader;
        if self.given_to == (Some(leader), role.term) {
            self.duty = if leads { self.duty } else { Duty::Follow };
            return;
        }
        self.given_to = (Some(leader), role.term);
        self.abandon_sent();
        self.homes.clear();
        self.inlets = Inlets::default();
        self.early.clear();
        self.duty = if leads { Duty::Lead { ready: false } } else { Duty::Follow };
        self.stream = (!leads).then(|| Stream::new(role.term, self.settings.life()));
    }

    /// Gives up everything whose outcome depends on an earlier leader.
    pub(crate) fn abandon_sent(&mut self) {
        self.gathered.clear();
        self.parked.clear();
        let mut sessions: Vec<i64> =
            self.lines.iter().filter(|(_, line)| line.has_sent()).map(|(session, _)| *session).collect();
        sessions.sort_unstable();
        for session in sessions {
            let line = self.lines.get_mut(&session).expect("it was just there");
            let (tokens, requests) = line.give_up();
            self.lost_requests += requests;
            self.lost.extend(tokens);
            self.held.retain(|held| held.session != session);
        }
    }

    /// This leadership has begun: the members' commands are taken, this server's first.
    pub(crate) fn begin_leading(&mut self, now_ms: i64, machine: &Machine) {
        self.duty = Duty::Lead { ready: true };
        self.release(now_ms, machine);
        for (from, message) in std::mem::take(&mut self.early) {
            self.receive(now_ms, machine, from, message);
        }
    }

    /// Whether commands are held that somebody can be given now.
    pub(crate) fn can_release(&self) -> bool {
        !self.held.is_empty() && matches!(self.duty, Duty::Follow | Duty::Lead { ready: true })
    }

    /// Gives commands that were held to whoever leads now. The host calls it once per cycle.
    pub fn go_on(&mut self, now_ms: i64, machine: &Machine) {
        if self.can_release() {
            self.release(now_ms, machine);
        }
    }

    /// Takes in what the engine of another member sent.
    ///
    /// # Errors
    /// As the engine says.
    pub fn step(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError> {
        self.engine.step(from, bytes)
    }

    /// Takes in what another replica said about forwarded commands; the rest is for the host.
    pub fn receive(&mut self, now_ms: i64, machine: &Machine, from: ServerId, message: PeerMessage) {
        match message {
            PeerMessage::Forward { term, life, number, commands } => {
                if term != self.role.term {
                    return;
                }
                match self.duty {
                    Duty::Lead { ready: true } if self.inlets.take(from, life, number) => {
                        self.take_in(now_ms, machine, Origin::Member(from), &commands);
                    }
                    Duty::Lead { ready: false } if self.has_room_for_early(commands.len()) => {
                        self.early.push((from, PeerMessage::Forward { term, life, number, commands }));
                    }
                    _ => {}
                }
            }
            PeerMessage::Taken { term, life, next } => {
                if let Some(stream) = &mut self.stream {
                    stream.taken(term, life, next);
                }
            }
            PeerMessage::NotTaken { term, refused } => {
                if self.stream.as_ref().is_none_or(|stream| stream.term() != term) {
                    return;
                }
                for command in refused {
                    let line = self.lines.get_mut(&command.session);
                    if line.is_some_and(|line| line.refuse(command.cxid, command.opcode)) {
                        self.answerable.push(command.session);
                    }
                }
            }
            _ => {}
        }
    }

    fn has_room_for_early(&self, bytes: usize) -> bool {
        let bytes_of = |message: &PeerMessage| match message {
            PeerMessage::Forward { commands, .. } => commands.len(),
            _ => 0,
        };
        let kept: usize = self.early.iter().map(|(_, message)| bytes_of(message)).sum();
        self.early.len() < EARLY_MAX && kept + bytes <= EARLY_BYTES_MAX
    }

    /// A tick went by.
    pub fn tick(&mut self) {
        self.engine.tick();
        self.barriers.ask(self.engine.as_mut());
        self.repeat_forwarded(true);
    }

    /// The way to that server is open again; what was sent before may be lost.
    pub fn reconnected(&mut self, server: ServerId) {
        if self.given_to.0.is_some_and(|leader| crate::replica::server_of(leader) == server) {
            self.repeat_forwarded(false);
        }
    }

    /// The machine was replaced by a snapshot that ends at `index`.
    pub fn installed(&mut self, index: u64) {
        self.applied_index = index;
        self.applied_bytes = 0;
        // What was on its way may be in the snapshot.
        self.abandon_sent();
        // A session may have been elsewhere meanwhile, or have ended.
        self.lines.retain(|_, line| !line.is_empty());
        self.look_who_is_there();
        self.reach_moments();
    }

    /// Asks for a moment of this member's own: [`has_reached`](Self::has_reached) says when everything agreed by now is applied.
    pub fn ask_moment(&mut self) -> u64 {
        let moment = self.barriers.now(0);
        self.barriers.ask(self.engine.as_mut());
        moment
    }

    /// Whether that moment is past.
    pub fn has_reached(&self, moment: u64) -> bool {
        self.barriers.reached() >= moment
    }

    pub(crate) fn reach_moments(&mut self) {
        self.barriers.applied(self.applied_index, &mut self.answerable);
    }

    pub(crate) fn look_who_is_there(&mut self) {
        let membership = self.engine.status().membership;
        self.alone = membership.voters.len() == 1
            && membership.learners.is_empty()
            && membership.voters[0] == self.settings.member;
    }
}
