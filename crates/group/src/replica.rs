//! The state of one member: what waits, what is committed, what is applied. This file takes
//! commands in and gives them their place in the log.

use bytes::Bytes;
use consensus::engine::{Engine, Leadership, Ready};
use consensus::entry::{Entry, MemberId};
use hashbrown::HashMap;
use state::auth::IDENTITIES_BYTES_MAX;
use state::command::{Command, Features, MOVE_SESSION, SessionTerms};
use state::machine::Machine;
use wire::opcode::Opcode;

use crate::admission::Admission;
use crate::committed::Committed;
use crate::forwarding::Forwarding;
use crate::gathered::{BatchedCommand, Gathered};
use crate::in_flight::{LeaderSlot, SessionInFlight, Waiting};
use crate::message::{GroupMessage, RefusedCommand};
use crate::parked::Parked;
use crate::read_barrier::ReadBarriers;
use crate::resubmission::Resubmission;
use crate::session_homes::SessionHomes;
use crate::submission::{Buffer, Encoded, Item, Submission};
use crate::untold::Untold;
use state::members::{ServerId, disk_of_id, first_member_id, next_member_id, server_of_id};

/// What a replica is told about itself at creation.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// This member; sessions of its clients have their home at its server.
    pub member: MemberId,
    /// Counts the starts on this server's disk: MUST rise with each.
    pub boot: u64,
    /// Switches stamped on every batch, so that all members apply it alike whatever their own
    /// configuration.
    pub features: Features,
    /// An entry is closed once it holds this many bytes; a larger command gets an entry of its own.
    pub entry_bytes_max: usize,
    /// Whether every read, and not only `sync`, waits until it is certain to see everything
    /// acknowledged before it arrived.
    pub linearizable_reads: bool,
    /// Whether another member may ever lead: commands are then kept until their outcome is known.
    pub may_lose_lead: bool,
}

impl Settings {
    /// Counts the lives of this server over all its disks; rises with each. A new disk counts its
    /// starts from the beginning, but has a higher member id.
    pub(crate) fn life(&self) -> u64 {
        const BOOT_BITS: u32 = 32;
        assert!(self.boot >> BOOT_BITS == 0, "nobody starts a server {} times", self.boot);
        disk_of_id(self.member.0) << BOOT_BITS | self.boot
    }

    /// First number for session moves in this run of the server: far from those of earlier runs,
    /// whose moves may still be in flight.
    fn first_move(&self) -> i32 {
        (self.life() as i32).wrapping_mul(0x9E37_79B9_u32.cast_signed())
    }
}

/// The server whose client waits for a command, and the command's place among those that the leader
/// took from that server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) server: ServerId,
    pub(crate) place: u64,
}

/// Identifies a command: its session, its cxid and its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) session: i64,
    pub(crate) cxid: i32,
    pub(crate) opcode: i32,
}

impl Name {
    /// Whether it gives a session a home.
    pub(crate) fn gives_home(&self) -> bool {
        self.opcode == MOVE_SESSION || self.opcode == Opcode::CreateSession as i32
    }
}

/// What this member does with commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// There is no leader: hold them.
    Wait,
    /// This member leads. `ready` once the beginning of its leadership, and with it everything
    /// before, is applied.
    Lead { ready: bool },
    /// Forward them to the leader.
    Follow,
}

/// One member of one group.
///
/// A command passes through most of these parts in one call, from its submission to its place in
/// the log and from there to its reply, so they stand side by side here. Parts with rules of their
/// own are types with private fields. Of the rest, `leadership.rs` writes `role`, `duty`, `alone`
/// and `early`, and `parked.rs` writes `parked`. What sessions have in flight is written where a
/// request enters (this file, `resubmission.rs`, `session_owner.rs`) and where it leaves
/// (`apply.rs`).
pub struct Replica {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) settings: Settings,
    pub(crate) role: Leadership,
    pub(crate) duty: Duty,
    /// Whether it is the only member: what it has applied is then everything committed.
    pub(crate) alone: bool,
    /// Commands to be proposed.
    pub(crate) gathered: Gathered,
    pub(crate) resubmission: Resubmission,
    /// Bytes of the commands that all sessions have in flight.
    pub(crate) kept_bytes: usize,
    /// Messages of members that arrived before this leadership was ready for them.
    pub(crate) early: Vec<(ServerId, GroupMessage)>,
    pub(crate) parked: Vec<Parked>,
    pub(crate) forwarding: Forwarding,
    pub(crate) homes: SessionHomes,
    /// What each session has in flight at this server.
    pub(crate) in_flight: HashMap<i64, SessionInFlight>,
    /// Sessions whose oldest request in flight may be answerable.
    pub(crate) answerable: Vec<i64>,
    pub(crate) barriers: ReadBarriers,
    /// Sessions whose oldest request in flight is that of a client that resumes if this leader has
    /// not ended its session after all.
    pub(crate) deferred: Vec<i64>,
    /// Number of the latest move of a session to this server.
    pub(crate) moves: i32,
    pub(crate) untold: Untold,
    pub(crate) committed: Committed,
    /// Buffer for the reply being made.
    pub(crate) reply: Vec<u8>,
}

impl Replica {
    /// A member whose machine has applied everything up to `applied_index`.
    pub fn new(engine: Box<dyn Engine>, settings: Settings, applied_index: u64) -> Replica {
        let mut replica = Replica {
            engine,
            settings,
            role: Leadership::default(),
            duty: Duty::Wait,
            alone: false,
            gathered: Gathered::new(settings.entry_bytes_max, settings.features),
            resubmission: Resubmission::default(),
            kept_bytes: 0,
            early: Vec::new(),
            parked: Vec::new(),
            forwarding: Forwarding::default(),
            homes: SessionHomes::default(),
            in_flight: HashMap::new(),
            answerable: Vec::new(),
            barriers: ReadBarriers::default(),
            deferred: Vec::new(),
            moves: settings.first_move(),
            untold: Untold::default(),
            committed: Committed::new(applied_index),
            reply: Vec::new(),
        };
        replica.read_membership();
        replica
    }

    /// From now on also keeps committed entries for [`take_recorded`](Self::take_recorded).
    pub fn record_committed(&mut self) {
        self.committed.record();
    }

    /// Entries committed since the last call, for a checker of what members take for committed.
    pub fn take_recorded(&mut self) -> Vec<Entry> {
        self.committed.take_recorded()
    }

    /// This member.
    pub fn member(&self) -> MemberId {
        self.settings.member
    }

    /// The server this member runs on.
    pub fn server(&self) -> ServerId {
        server_of(self.settings.member)
    }

    /// Whether nothing is under way: no request, no message that must be resent, no entry to apply.
    pub(crate) fn is_idle(&self) -> bool {
        self.gathered.is_empty()
            && self.resubmission.is_idle()
            && self.early.is_empty()
            && self.parked.is_empty()
            && self.forwarding.is_idle()
            && self.in_flight.values().all(SessionInFlight::is_empty)
            && !self.barriers.is_anybody_waiting()
            && !self.has_work()
    }

    /// Index of the last entry applied in full.
    pub fn applied_index(&self) -> u64 {
        self.committed.applied_index()
    }

    /// Commands applied since this member started.
    pub fn applied_commands(&self) -> u64 {
        self.committed.applied_commands()
    }

    /// Bytes of submitted commands whose outcome is unknown.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Role, leader and term, as of the last [`ready`](Self::ready).
    pub fn role(&self) -> Leadership {
        self.role
    }

    /// Whether it leads and has applied everything committed before.
    pub fn leads(&self) -> bool {
        self.duty == Duty::Lead { ready: true }
    }

    /// Whether it is the only member of its group.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Takes over everything in `submission` and leaves it empty for reuse. `now_ms` becomes the
    /// commands' time.
    pub fn submit(&mut self, now_ms: i64, machine: &Machine, submission: &mut Submission) {
        // Held commands came first.
        self.go_on(now_ms, machine);
        self.answerable.append(&mut self.deferred);
        self.gathered.expect(submission.len_bytes());
        let later = std::mem::take(&mut submission.later);
        self.take_over(now_ms, machine, submission);
        for mut next in later {
            self.take_over(now_ms, machine, &mut next);
            submission.keep_spare(next);
        }
        self.barriers.ask(self.engine.as_mut());
        self.forwarding.send();
    }

    fn take_over(&mut self, now_ms: i64, machine: &Machine, submission: &mut Submission) {
        let bytes = std::mem::take(&mut submission.bytes);
        if self.settings.may_lose_lead {
            // What is kept or forwarded shares the buffer.
            let shared = Bytes::from(bytes);
            self.take_items(now_ms, machine, submission, Buffer::Shared(&shared), shared.len());
        } else {
            self.take_items(now_ms, machine, submission, Buffer::Borrowed(&bytes), bytes.len());
            submission.bytes = bytes;
            submission.bytes.clear();
        }
    }

    fn take_items(
        &mut self,
        now_ms: i64,
        machine: &Machine,
        submission: &mut Submission,
        buffer: Buffer<'_>,
        length: usize,
    ) {
        let mut at = 0;
        for item in submission.items.drain(..) {
            if !self.is_taken(&item) {
                self.untold.abandon(1);
                at += item.len();
                continue;
            }
            match item {
                Item::Resume { id, session, timeout_ms } => {
                    self.resume(now_ms, machine, id, session, timeout_ms);
                }
                Item::Command { id, session, xid, opcode, len } => {
                    let encoded = Encoded { buffer, range: at..at + len };
                    at += len;
                    let name = Name { session, cxid: xid, opcode };
                    self.submit_command(now_ms, machine, id, name, encoded);
                }
                Item::Local { id, session, request } => {
                    let waits = !self.alone
                        && (self.settings.linearizable_reads || request.opcode == Opcode::Sync as i32);
                    let ticket = if waits { self.barriers.now(session) } else { 0 };
                    let in_flight = self.in_flight.entry(session).or_default();
                    if in_flight.is_empty() {
                        self.answerable.push(session);
                    }
                    in_flight.push(Waiting::Local { id, request, ticket });
                }
            }
        }
        assert_eq!(at, length, "every byte handed over belongs to a command");
    }

    /// Whether it arrived on its session's connection, or asks to bring a session to its own.
    fn is_taken(&self, item: &Item) -> bool {
        match item {
            Item::Resume { .. } => true,
            Item::Command { opcode, .. } if *opcode == Opcode::CreateSession as i32 => true,
            Item::Command { id, session, .. } | Item::Local { id, session, .. } => {
                self.is_on(*session, id.token)
            }
        }
    }

    /// Puts commands of another server into the leader's order. Late commands from a server that
    /// the session has left are dropped: the client is gone and knows no outcome.
    pub(crate) fn take_in(&mut self, now_ms: i64, machine: &Machine, server: ServerId, bytes: &[u8]) {
        self.gathered.expect(bytes.len());
        let mut rest = bytes;
        while let Some((command, encoded)) = next_command(&mut rest) {
            let name = Name { session: command.session, cxid: command.cxid, opcode: command.opcode };
            let origin = Origin { server, place: self.forwarding.count_command(server) };
            if may_forward(&command, server)
                && self.admit(machine, origin, &name, encoded) == Admission::Granted
            {
                self.put_in_order(now_ms, origin, name, encoded);
            }
        }
    }

    /// Adds a command of the member itself (session expiry, container removal); no client waits for
    /// it.
    pub fn submit_own(&mut self, now_ms: i64, command: &Command<'_>) {
        let mut bytes = Vec::new();
        command.put(&mut bytes);
        self.gather(now_ms, &bytes, None);
    }

    /// Adds a command to those to be proposed. `waiting` names the client that waits for it.
    pub(crate) fn gather(&mut self, now_ms: i64, command: &[u8], waiting: Option<(Origin, Name)>) {
        let waiting = waiting.map(|(origin, name)| BatchedCommand { origin, name });
        self.gathered.add(now_ms, command, waiting);
    }

    /// Sizes in bytes of the entries that [`propose`](Self::propose) would add to the log, which
    /// must have room for them.
    pub fn gathered_bytes(&self) -> impl Iterator<Item = usize> + '_ {
        self.gathered.entry_bytes()
    }

    /// Number of gathered commands.
    pub fn gathered_commands(&self) -> usize {
        self.gathered.commands()
    }

    /// Proposes everything gathered. What the engine has no room for, or refuses during a
    /// leadership transfer, stays for the next call; nothing overtakes it.
    pub fn propose(&mut self) {
        // Commands taken in one leadership are proposed in it or never: their server passes them on
        // again under the next.
        if self.engine.role().term == self.role.term {
            self.gathered.propose(self.engine.as_mut());
        }
    }

    /// Refuses everything gathered and not proposed: the log has no room.
    pub fn refuse_gathered(&mut self) {
        for BatchedCommand { origin, name } in self.gathered.drain() {
            if name.gives_home() {
                // The session stays, and its client waits for what was left behind.
                for left_behind in self.homes.refused(name.session) {
                    self.refuse(name.session, left_behind);
                }
            }
            self.refuse(name.session, origin);
        }
    }

    /// A command of a client gets no place in the log: its server learns so.
    fn refuse(&mut self, session: i64, Origin { server, place }: Origin) {
        if server == self.server() {
            self.was_refused(session, LeaderSlot { term: self.role.term, place });
        } else {
            self.forwarding.refuse(server, RefusedCommand { session, place });
        }
    }

    /// What the engine wants done next; `false` if nothing. Takes over committed entries; the rest
    /// is the host's to do.
    pub fn ready(&mut self, ready: &mut Ready) -> bool {
        if !self.engine.ready(ready) {
            return false;
        }
        if ready.install_snapshot.is_some() {
            self.committed.drop_entries();
        }
        self.committed.add(ready.committed.drain(..));
        for barrier in ready.barriers.drain(..) {
            self.barriers.confirm(barrier);
            self.release_reached();
        }
        if let Some(role) = ready.role {
            self.change_role(role);
        }
        true
    }

    /// Messages for other members, with their server ids.
    pub fn take_outgoing(&mut self) -> impl Iterator<Item = (ServerId, GroupMessage)> + '_ {
        self.forwarding.take_outgoing(self.role.term)
    }
}

/// The server that a member runs on.
pub fn server_of(member: MemberId) -> ServerId {
    server_of_id(member.0)
}

/// The member that a server is with its first disk.
pub fn first_member_of(server: ServerId) -> MemberId {
    MemberId(first_member_id(server))
}

/// The member that the same server is with its next disk; `None` after the last one.
pub fn next_member_of(member: MemberId) -> Option<MemberId> {
    next_member_id(member.0).map(MemberId)
}

/// Whether a server may forward this for a client: client requests, and the move of a session to
/// this server. The other internal commands are the leader's own.
fn may_forward(command: &Command<'_>, server: ServerId) -> bool {
    if command.identities.len() > IDENTITIES_BYTES_MAX {
        return false;
    }
    match Opcode::from_i32(command.opcode) {
        _ if command.opcode == MOVE_SESSION => brings_home(command, server),
        Some(Opcode::CreateSession) => brings_home(command, server),
        Some(opcode) => opcode.is_write() && opcode != Opcode::DeleteContainer,
        None => false,
    }
}

fn brings_home(command: &Command<'_>, server: ServerId) -> bool {
    SessionTerms::read(command.body).is_ok_and(|terms| terms.home == server)
}

/// Takes the first command off `rest` and returns it with its bytes. Leaves `rest` alone if it does
/// not start with a valid command.
pub(crate) fn next_command<'a>(rest: &mut &'a [u8]) -> Option<(Command<'a>, &'a [u8])> {
    let command = state::command::commands(rest).next()?.ok()?;
    let length = Command::OVERHEAD + command.identities.len() + command.body.len();
    let (encoded, behind) = rest.split_at(length);
    *rest = behind;
    Some((command, encoded))
}

pub(crate) fn read_terms(encoded: &[u8]) -> Option<SessionTerms> {
    let (command, _) = next_command(&mut &*encoded)?;
    SessionTerms::read(command.body).ok()
}
