//! What this server decides as a member of a consensus group.
//!
//! A [`Group`] is told the time and what has happened, and answers with [`Action`]s. It has no
//! clock, thread, socket or file: the [`host`](crate::host) has those and decides nothing.

use std::fmt::Display;

use crate::id::GroupId;
use crate::message::{Founder, GroupMessage, PeerKey, PeerMessage};
use crate::replica::Replica;
use crate::submission::Submission;
use consensus::engine::Start;
use consensus::entry::MemberId;

use crate::bootstrap::Newcomer;
use crate::commit_wait::CommitWait;
use crate::configured_members::Files;
use crate::flush_latency::FlushLatency;
use crate::join::JoinRequests;
use crate::leader_tasks::{Here, LeaderTasks};
use crate::loss::Suspicion;
use crate::member_status::MemberStatus;
use crate::milestones::Milestones;
use crate::publishing::StatusPublisher;
use crate::reconfig::Reconfig;
use crate::serving::Serving;
use crate::session_reports::ReportedSessions;
use crate::settings::{EnsembleSettings, GroupSettings};
use crate::shared::{Counted, GroupShared, Recorded};
use crate::timers::Timers;
use state::members::{ServerId, Servers};

/// The one group there is so far.
pub const GROUP: GroupId = GroupId::ROOT;

/// The time as a group is told it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// The server's clock, in µs since its start.
    pub us: u64,
    /// The same in ms.
    pub ms: i64,
    /// The wall clock, in ms since 1970.
    pub wall_ms: i64,
}

/// What the host is to do for a group, in this order.
#[derive(Debug)]
pub enum Action {
    /// Send a message, which may be lost.
    Send(ServerId, PeerMessage),
    /// Close the connection of a member whose messages make no sense.
    HangUp(ServerId),
    /// Keep links to these servers, and to no others.
    SetPeers(Servers),
    /// Close all connections of clients.
    CloseConnections,
    /// Have the connection threads look at their sockets soon.
    AskToLook,
    /// Draw the secret that session passwords are made from, and tell it by
    /// [`Event::Secret`](crate::event::Event::Secret).
    DrawSecret,
    /// Propose what is gathered now, and not in the next cycle.
    Propose,
    /// Ask again for the snapshot that is being fetched, if nothing has come of it.
    FetchOn,
    /// Look whether the log has room again for what was refused.
    LookForRoom,
    /// Show this to the threads that answer operators.
    Publish(Box<MemberStatus>),
    /// Draw a key, and found the ensemble with these founders.
    Found(Vec<Founder>),
    /// Write the identity down, and make this server that member.
    Begin(Box<Begin>),
    /// The disk has lost entries that the others count on: end the process.
    EndForLostLog,
}

/// Which member of which cluster a server is, and which disk it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberIdentity {
    /// The server's number (`myid`).
    pub server: ServerId,
    /// Names the disk.
    pub nonce: u64,
    /// Counts the starts on this disk, and the members that the server has been since.
    pub boot: u64,
    /// Names the cluster, the same on all its servers; 0 if the server belongs to none.
    pub cluster: u64,
    /// Its id, if it is a member.
    pub member: Option<MemberId>,
    /// The key by which members prove that they are members; there is one exactly if there is a
    /// cluster.
    pub key: Option<PeerKey>,
    /// The voters of a new cluster; none if the cluster existed before this member.
    pub founders: Vec<Founder>,
}

impl MemberIdentity {
    /// Whether the server was a member, has lost what it knew, and waits to be taken in anew.
    pub fn awaits_reseed(&self) -> bool {
        self.member.is_none() && self.cluster != 0
    }

    /// The voters that a new cluster starts with.
    pub fn founding_members(&self) -> Vec<MemberId> {
        self.founders.iter().map(|founder| founder.member).collect()
    }
}

/// The name of the cluster that these founded; 0 for none. FNV-1a over their ids and disks: two
/// clusters that share a disk share its history too, and otherwise the nonces differ.
pub fn cluster_of(founders: &[Founder]) -> u64 {
    const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01B3;
    let numbers = founders.iter().flat_map(|founder| [founder.member.0, founder.nonce]);
    let bytes = numbers.flat_map(u64::to_be_bytes);
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    if founders.is_empty() { 0 } else { hash.max(1) }
}

/// What a server begins as another member with.
#[derive(Debug)]
pub struct Begin {
    /// Which member.
    pub identity: MemberIdentity,
    /// What its engine starts from.
    pub start: Start,
    /// It was a member before; what was under way as that one is over.
    pub rejoins: bool,
}

/// This server's part in one group. Each field is a closed part with an owner of its own; this type
/// only holds them together.
pub struct Group {
    pub(crate) shared: GroupShared,
    pub(crate) settings: GroupSettings,
    /// This server's id.
    pub(crate) me: ServerId,
    /// What the host has told last.
    pub(crate) now: Now,
    actions: Vec<Action>,
    /// Commands, their order and the engine.
    pub replica: Replica,
    pub(crate) identity: MemberIdentity,
    pub(crate) timers: Timers,
    pub(crate) serving: Serving,
    pub(crate) reported: ReportedSessions,
    pub(crate) status: StatusPublisher,
    pub(crate) bootstrap: Newcomer,
    pub(crate) join_requests: JoinRequests,
    pub(crate) flush_latency: FlushLatency,
    pub(crate) commit_wait: CommitWait,
    pub(crate) reconfig: Reconfig,
    pub(crate) files: Files,
    /// A leader counts on entries that are not here.
    pub(crate) loss: Option<Suspicion>,
    pub(crate) leader_tasks: LeaderTasks,
    pub(crate) milestones: Milestones,
    /// Ticks of silence after which an election is due.
    pub(crate) election_ticks: u32,
    /// How long clients are served without a leader, in ms.
    pub(crate) leaderless_ms_max: i64,
    /// The log has no room for what the others commit.
    pub(crate) log_is_full: bool,
    /// Bytes that have come of the snapshot that is being fetched.
    pub(crate) fetched_bytes: Option<u64>,
    pub(crate) stop: bool,
}

impl Group {
    /// The part of a server that has just recovered.
    pub fn new(
        shared: GroupShared,
        settings: GroupSettings,
        identity: MemberIdentity,
        replica: Replica,
        now: Now,
    ) -> Group {
        let ensemble = settings.ensemble.as_ref();
        let leaderless_ms_max = ensemble.map_or(0, |ensemble: &EnsembleSettings| ensemble.leaderless_ms_max);
        let mut group = Group {
            me: identity.server,
            now,
            actions: Vec::new(),
            replica,
            identity,
            timers: Timers::default(),
            serving: Serving::default(),
            reported: ReportedSessions::default(),
            status: StatusPublisher::default(),
            bootstrap: Newcomer::default(),
            join_requests: JoinRequests::default(),
            flush_latency: FlushLatency::default(),
            commit_wait: CommitWait::default(),
            reconfig: Reconfig::default(),
            files: Files::default(),
            loss: None,
            leader_tasks: LeaderTasks::new(&settings.containers),
            milestones: Milestones::default(),
            election_ticks: settings.election_ticks,
            leaderless_ms_max,
            log_is_full: false,
            fetched_bytes: None,
            stop: false,
            shared,
            settings,
        };
        group.keep_directory();
        group
    }

    /// The time as it was told last.
    pub fn now(&self) -> Now {
        self.now
    }

    /// What the host is to do.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Sends one message of the group; it may be lost.
    pub fn send_group(&mut self, to: ServerId, message: GroupMessage) {
        self.send(to, PeerMessage::Group(GROUP, message));
    }

    /// Sends one message; it may be lost.
    pub(crate) fn send(&mut self, to: ServerId, message: impl Into<PeerMessage>) {
        self.act(Action::Send(to, message.into()));
    }

    pub(crate) fn hang_up(&mut self, server: ServerId) {
        self.act(Action::HangUp(server));
    }

    /// A cycle begins.
    pub(crate) fn begin_cycle(&mut self) {
        self.beat();
        self.forgive_pause();
        self.leader_tasks.begin();
    }

    /// Takes over what connection threads hand over.
    pub(crate) fn submit(&mut self, submission: &mut Submission) {
        let machine = self.shared.machine.read();
        self.replica.submit(self.now.wall_ms, &machine, submission);
        self.replica.go_on(self.now.wall_ms, &machine);
    }

    /// Does what a leader does of its own accord.
    pub(crate) fn run_leader_tasks(&mut self) {
        let (reported, silence_ms_max) = (&self.reported, self.leaderless_ms_max);
        let read_until = |server| reported.until_ms(server, silence_ms_max);
        let is_single = self.settings.ensemble.is_none();
        let here = Here { server: self.me, is_single };
        let wants_look = self.leader_tasks.run(self.now, here, &self.shared, &mut self.replica, &read_until);
        if wants_look {
            self.act(Action::AskToLook);
        }
    }

    /// Whether what is gathered stays so until the others have confirmed the last entry.
    pub fn waits_for_others(&mut self, now: Now) -> bool {
        self.now = now;
        self.commit_wait.waits(self.replica.commit(), self.now.us)
    }

    /// Whether commands wait that no event may come for. Only a leader's do: one that loses the
    /// lead while it waits is not asked again.
    pub fn is_holding(&self) -> bool {
        self.replica.leads() && self.commit_wait.is_waiting()
    }

    /// The log has room for what is gathered.
    pub(crate) fn log_has_room(&mut self) {
        if self.replica.gathered_bytes().next().is_some() {
            self.leader_tasks.disk_has_room();
        }
        for bytes in self.replica.gathered_bytes() {
            self.shared.observer.record(Recorded::ProposalBytes, bytes as u64);
        }
        self.count_proposals();
        self.replica.propose();
    }

    /// The log has no room for what is gathered.
    pub(crate) fn log_has_no_room(&mut self, why: &dyn Display) {
        let refused = self.replica.gathered_bytes().count() as u64;
        self.shared.observer.count(Counted::WritesRefused, refused);
        self.leader_tasks.disk_is_full(self.now, &self.shared, why);
        self.replica.refuse_gathered();
        self.give_way_to_room();
    }

    /// An entry is written to the log, and not flushed.
    pub(crate) fn written(&mut self, index: u64, bytes: usize) {
        self.status.count(index, bytes);
        self.count_written(index);
    }

    /// The log up to that index was flushed by a flush that took so long.
    pub(crate) fn flushed(&mut self, index: u64, took_us: u64) {
        self.commit_wait.flushed(index, took_us, self.now.us);
        self.flush_latency.flushed(took_us);
    }

    /// The log lacks room for what the others commit, or has it again.
    pub(crate) fn set_log_is_full(&mut self, is_full: bool) {
        if is_full && !self.log_is_full {
            self.stop_serving("the disk is full");
        }
        self.log_is_full = is_full;
    }

    /// Sessions whose end was proposed in the latest cycle.
    pub fn ending(&self) -> impl Iterator<Item = i64> + '_ {
        self.leader_tasks.ending()
    }

    /// Whether containers are looked at so often that the loop must not sleep as usual.
    pub fn looks_often(&self) -> bool {
        self.leader_tasks.looks_often()
    }

    /// Whether it was asked to stop and has nothing left to do.
    pub fn may_end(&self) -> bool {
        self.stop
    }
}
