//! What this server decides as a member of a consensus group.
//!
//! A [`Group`] is told the time and what has happened, and answers with [`Action`]s. It has no
//! clock, thread, socket or file: the host has those and decides nothing.

use std::fmt::Display;

use crate::id::GroupId;
use crate::message::{Founder, GroupMessage, PeerKey, PeerMessage};
use crate::replica::Replica;
use crate::submission::Submission;
use consensus::engine::Start;
use consensus::entry::MemberId;
use consensus::membership::Membership;

use crate::bootstrap::Newcomer;
use crate::commit_wait::CommitWait;
use crate::configured_members::Files;
use crate::flush_latency::FlushLatency;
use crate::join::JoinRequests;
use crate::leader_tasks::{Here, LeaderTasks};
use crate::loss::Suspicion;
use crate::member_status::MemberStatus;
use crate::milestones::Milestones;
use crate::peers::Peers;
use crate::publishing::StatusPublisher;
use crate::quiet::Quiet;
use crate::reconfig::Reconfig;
use crate::root_members::RootMembers;
use crate::serving::Serving;
use crate::session_reports::ReportedSessions;
use crate::settings::GroupSettings;
use crate::shared::{Counted, GroupShared, Recorded};
use crate::timers::Timers;
use state::members::{ServerId, Servers};

/// The time, as the host tells it to a group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// The server's clock, in µs since its start.
    pub us: u64,
    /// The same clock, in ms.
    pub ms: i64,
    /// The wall clock, in ms since 1970.
    pub wall_ms: i64,
}

/// What the host must do for a group, in the order given.
#[derive(Debug)]
pub enum Action {
    /// Send a message; it may be lost.
    Send(ServerId, PeerMessage),
    /// Close the connection of a member that sends invalid messages.
    HangUp(ServerId),
    /// Keep links to these servers and to no others.
    SetPeers(Servers),
    /// Tell the other groups these members of the root group.
    SetMembers(Box<Membership>),
    /// Close all client connections.
    CloseConnections,
    /// Make the connection threads check their sockets soon.
    AskToLook,
    /// Draw the secret that session passwords are derived from, and return it in
    /// [`Event::Secret`](crate::event::Event::Secret).
    DrawSecret,
    /// Propose the gathered commands now, not in the next cycle.
    Propose,
    /// Ask again for the snapshot being fetched, if no data has arrived.
    FetchOn,
    /// Check whether the log now has room for what was refused.
    LookForRoom,
    /// Show this to the threads that answer operators.
    Publish(Box<MemberStatus>),
    /// Draw a key and found the ensemble with these founders.
    Found(Vec<Founder>),
    /// Persist the identity and make this server that member.
    Begin(Box<Begin>),
    /// The disk has lost entries that the other members count on: end the process.
    EndForLostLog,
}

/// Which member of which cluster a server is, and which disk it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberIdentity {
    /// The server's number (`myid`).
    pub server: ServerId,
    /// Identifies the disk.
    pub nonce: u64,
    /// Counts the starts on this disk and the member ids the server has taken since.
    pub boot: u64,
    /// Identifies the cluster, the same on all its servers; 0 if the server belongs to none.
    pub cluster: u64,
    /// Its member id, if it is a member.
    pub member: Option<MemberId>,
    /// The key by which members prove their membership; present exactly if there is a cluster.
    pub key: Option<PeerKey>,
    /// The voters of a new cluster; empty if the cluster existed before this member.
    pub founders: Vec<Founder>,
}

impl MemberIdentity {
    /// Whether the server was a member, has lost its data and waits to rejoin.
    pub fn awaits_reseed(&self) -> bool {
        self.member.is_none() && self.cluster != 0
    }

    /// The voters that a new cluster starts with.
    pub fn founding_members(&self) -> Vec<MemberId> {
        self.founders.iter().map(|founder| founder.member).collect()
    }
}

/// The identifier of the cluster that these servers founded; 0 for no founders. FNV-1a over their
/// ids and disks: two clusters that share a disk share its history too, and otherwise the nonces
/// differ.
pub fn cluster_of(founders: &[Founder]) -> u64 {
    const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01B3;
    let numbers = founders.iter().flat_map(|founder| [founder.member.0, founder.nonce]);
    let bytes = numbers.flat_map(u64::to_be_bytes);
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    if founders.is_empty() { 0 } else { hash.max(1) }
}

/// What a server needs to begin as another member.
#[derive(Debug)]
pub struct Begin {
    /// The new identity.
    pub identity: MemberIdentity,
    /// The state its engine starts from.
    pub start: Start,
    /// The server was a member before; whatever that member had in progress is over.
    pub rejoins: bool,
}

/// This server's part in one group. Each field is a self-contained component; this type only holds
/// them together.
pub struct Group {
    pub(crate) shared: GroupShared,
    pub(crate) settings: GroupSettings,
    /// This server's id.
    pub(crate) me: ServerId,
    /// The time the host last told.
    pub(crate) now: Now,
    actions: Vec<Action>,
    /// Session queues, command order and the engine.
    pub replica: Replica,
    pub(crate) identity: MemberIdentity,
    pub(crate) timers: Timers,
    pub(crate) serving: Serving,
    pub(crate) reported: ReportedSessions,
    pub(crate) status: StatusPublisher,
    pub(crate) bootstrap: Newcomer,
    pub(crate) join_requests: JoinRequests,
    pub(crate) peers: Peers,
    pub(crate) flush_latency: FlushLatency,
    pub(crate) commit_wait: CommitWait,
    pub(crate) reconfig: Reconfig,
    pub(crate) files: Files,
    /// A leader counts on entries that are not in this log.
    pub(crate) loss: Option<Suspicion>,
    pub(crate) leader_tasks: LeaderTasks,
    pub(crate) milestones: Milestones,
    pub(crate) quiet: Quiet,
    pub(crate) root_members: RootMembers,
    /// The log has no room for what the leader sends.
    pub(crate) log_is_full: bool,
    /// Bytes received of the snapshot being fetched.
    pub(crate) fetched_bytes: Option<u64>,
    pub(crate) stop: bool,
}

impl Group {
    /// The group of a server that has just recovered.
    pub fn new(
        shared: GroupShared,
        settings: GroupSettings,
        identity: MemberIdentity,
        replica: Replica,
        now: Now,
    ) -> Group {
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
            peers: Peers::default(),
            flush_latency: FlushLatency::default(),
            commit_wait: CommitWait::default(),
            reconfig: Reconfig::default(),
            files: Files::default(),
            loss: None,
            leader_tasks: LeaderTasks::new(&settings.containers),
            milestones: Milestones::default(),
            quiet: Quiet::default(),
            root_members: RootMembers::default(),
            log_is_full: false,
            fetched_bytes: None,
            stop: false,
            shared,
            settings,
        };
        group.keep_directory();
        group
    }

    /// The group's number.
    pub fn id(&self) -> GroupId {
        self.settings.id
    }

    /// Whether it is the root group, whose members the other groups follow.
    pub(crate) fn is_root(&self) -> bool {
        self.id() == GroupId::ROOT
    }

    /// The time the host last told.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Whether the host must do something.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The servers that this one connects to.
    pub fn directory(&self) -> &Servers {
        self.reconfig.directory()
    }

    /// Takes what the host must do.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Sends one message of the group; it may be lost.
    pub fn send_group(&mut self, to: ServerId, message: GroupMessage) {
        self.send(to, PeerMessage::Group(self.id(), message));
    }

    /// Sends one message; it may be lost.
    pub(crate) fn send(&mut self, to: ServerId, message: impl Into<PeerMessage>) {
        self.act(Action::Send(to, message.into()));
    }

    pub(crate) fn hang_up(&mut self, server: ServerId) {
        self.act(Action::HangUp(server));
    }

    /// Begins a cycle.
    pub(crate) fn begin_cycle(&mut self) {
        self.tolerate_pause();
        self.leader_tasks.begin();
    }

    /// Takes over what connection threads hand over.
    pub(crate) fn submit(&mut self, submission: &mut Submission) {
        let machine = self.shared.machine.read();
        self.replica.submit(self.now.wall_ms, &machine, submission);
        self.replica.go_on(self.now.wall_ms, &machine);
    }

    /// Runs the tasks a leader starts by itself.
    pub(crate) fn run_leader_tasks(&mut self) {
        let (reported, silence_ms_max) = (&self.reported, self.settings.leaderless_ms_max());
        let read_until = |server| reported.until_ms(server, silence_ms_max);
        let here = Here { server: self.me, is_single: self.is_single() };
        let wants_look = self.leader_tasks.run(self.now, here, &self.shared, &mut self.replica, &read_until);
        if wants_look {
            self.act(Action::AskToLook);
        }
    }

    /// Whether gathered commands wait until the other members have acknowledged the last entry.
    pub fn waits_for_others(&mut self, now: Now) -> bool {
        self.now = now;
        self.commit_wait.waits(self.replica.commit(), self.now.us)
    }

    /// Whether commands wait for something that may come without an event. Only a leader's do: one
    /// that loses leadership while waiting is not asked again.
    pub fn is_holding(&self) -> bool {
        self.replica.leads() && self.commit_wait.is_waiting()
    }

    /// The log has room for the gathered commands.
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

    /// The log has no room for the gathered commands.
    pub(crate) fn log_has_no_room(&mut self, why: &dyn Display) {
        let refused = self.replica.gathered_bytes().count() as u64;
        self.shared.observer.count(Counted::WritesRefused, refused);
        self.leader_tasks.disk_is_full(self.now, &self.shared, why);
        self.replica.refuse_gathered();
        self.transfer_for_log_room();
    }

    /// An entry is written to the log but not flushed.
    pub(crate) fn written(&mut self, index: u64, bytes: usize) {
        self.status.count(index, bytes);
        self.count_written(index);
    }

    /// The group's log up to that index was flushed; the flush took `took_us`.
    pub(crate) fn flushed(&mut self, index: u64, took_us: u64) {
        self.commit_wait.flushed(index, took_us, self.now.us);
    }

    /// The log lacks room for what the leader sends, or has room again.
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

    /// Whether containers are checked so often that the loop must not sleep as usual.
    pub fn looks_often(&self) -> bool {
        self.leader_tasks.looks_often()
    }

    /// Whether it was told to stop and has nothing left to do.
    pub fn may_end(&self) -> bool {
        self.stop
    }
}
