//! What this server decides as a member of a consensus group.
//!
//! A [`Group`] is told the time and what has happened, and answers with [`Action`]s. It has no
//! clock, thread, socket or file: the [`host`](crate::host) has those and decides nothing.

mod bootstrap;
mod commit_wait;
mod configured_members;
mod flush_latency;
mod join;
mod leader_tasks;
mod leadership_transfer;
mod loss;
mod messages;
mod milestones;
mod plan;
mod reconfig;
mod serving;
pub(crate) mod session_reports;
mod status;
pub(crate) mod timers;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use consensus::engine::Start;
use group::message::{Founder, GroupMessage, PeerMessage};
use group::{GroupId, Replica, Submission};

use self::bootstrap::Newcomer;
pub(crate) use self::bootstrap::founding_meta;
use self::commit_wait::CommitWait;
use self::configured_members::Files;
use self::flush_latency::FlushLatency;
use self::join::JoinRequests;
use self::leader_tasks::LeaderTasks;
use self::loss::Suspicion;
use self::milestones::Milestones;
use self::reconfig::Reconfig;
use self::serving::Serving;
use self::session_reports::ReportedSessions;
use self::status::StatusPublisher;
use self::timers::Timers;
use crate::clock::Clock;
use crate::config::{Ensemble, ServerId, Servers};
use crate::host::identity::Identity;
use crate::peers::Sender;
use crate::shared::Shared;

/// The one group there is so far.
pub(crate) const GROUP: GroupId = GroupId::ROOT;

/// The time as a group is told it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    /// The server's clock, in µs since its start.
    pub(crate) us: u64,
    /// The same in ms.
    pub(crate) ms: i64,
    /// The wall clock, in ms since 1970.
    pub(crate) wall_ms: i64,
}

impl Now {
    /// What a clock shows.
    pub(crate) fn of(clock: &Clock) -> Now {
        Now { us: clock.elapsed_us(), ms: clock.elapsed_ms(), wall_ms: clock.wall_ms() }
    }
}

/// What the host is to do for a group, in this order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Send a message, which may be lost.
    Send(ServerId, PeerMessage),
    /// Close the connection of a sender that makes no sense.
    HangUp(Sender),
    /// Keep links to these servers, and to no others.
    SetPeers(Servers),
    /// Close all connections of clients.
    CloseConnections,
    /// Draw a key, and found the ensemble with these founders.
    Found(Vec<Founder>),
    /// Write the identity down, and make this server that member.
    Begin(Box<Begin>),
    /// The disk has lost entries that the others count on: end the process.
    EndForLostLog,
}

/// What a server begins as another member with.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) identity: Identity,
    pub(crate) start: Start,
    /// It was a member before; what was under way as that one is over.
    pub(crate) rejoins: bool,
}

/// This server's part in one group. Each field is a closed part with an owner of its own; this type
/// only holds them together.
pub(crate) struct Group {
    shared: Arc<Shared>,
    /// This server's id.
    me: ServerId,
    /// What the host has told last.
    now: Now,
    actions: Vec<Action>,
    /// Commands, their order and the engine.
    pub(crate) replica: Replica,
    identity: Identity,
    timers: Timers,
    serving: Serving,
    reported: ReportedSessions,
    status: StatusPublisher,
    bootstrap: Newcomer,
    join_requests: JoinRequests,
    flush_latency: FlushLatency,
    commit_wait: CommitWait,
    reconfig: Reconfig,
    files: Files,
    /// A leader counts on entries that are not here.
    loss: Option<Suspicion>,
    leader_tasks: LeaderTasks,
    milestones: Milestones,
    /// Ticks of silence after which an election is due.
    election_ticks: u32,
    /// How long clients are served without a leader, in ms.
    leaderless_ms_max: i64,
    /// The log has no room for what the others commit.
    log_is_full: bool,
    /// Bytes that have come of the snapshot that is being fetched.
    fetched_bytes: Option<u64>,
    stop: bool,
}

impl Group {
    /// The part of a server that has just recovered.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        identity: Identity,
        replica: Replica,
        election_ticks: u32,
    ) -> Group {
        let ensemble = shared.config.ensemble.as_ref();
        let mut group = Group {
            me: identity.server,
            now: Now::of(&shared.clock),
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
            leader_tasks: LeaderTasks::new(&shared.config),
            milestones: Milestones::default(),
            election_ticks,
            leaderless_ms_max: ensemble.map_or(0, Ensemble::leaderless_ms_max),
            log_is_full: false,
            fetched_bytes: None,
            stop: false,
            shared: Arc::clone(shared),
        };
        group.keep_directory();
        group
    }

    /// The time from now on.
    pub(crate) fn tell_time(&mut self, now: Now) {
        self.now = now;
    }

    /// What the host is to do.
    pub(crate) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Sends one message of the group; it may be lost.
    pub(crate) fn send_group(&mut self, to: ServerId, message: GroupMessage) {
        self.send(to, PeerMessage::Group(GROUP, message));
    }

    /// Sends one message; it may be lost.
    fn send(&mut self, to: ServerId, message: impl Into<PeerMessage>) {
        self.act(Action::Send(to, message.into()));
    }

    fn hang_up(&mut self, sender: Sender) {
        self.act(Action::HangUp(sender));
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
        self.leader_tasks.run(self.now, &self.shared, &mut self.replica, &read_until);
    }

    /// Whether what is gathered stays so until the others have confirmed the last entry.
    pub(crate) fn waits_for_others(&mut self) -> bool {
        self.commit_wait.waits(self.replica.commit(), self.now.us)
    }

    /// Whether commands wait that no event may come for. Only a leader's do: one that loses the
    /// lead while it waits is not asked again.
    pub(crate) fn is_holding(&self) -> bool {
        self.replica.leads() && self.commit_wait.is_waiting()
    }

    /// The log has room for what is gathered.
    pub(crate) fn log_has_room(&mut self) {
        if self.replica.gathered_bytes().next().is_some() {
            self.leader_tasks.disk_has_room();
        }
        for bytes in self.replica.gathered_bytes() {
            self.shared.counts.proposal_bytes.add(bytes as u64, 1);
        }
        self.count_proposals();
        self.replica.propose();
    }

    /// The log has no room for what is gathered.
    pub(crate) fn log_has_no_room(&mut self, why: &dyn Display) {
        let refused = self.replica.gathered_bytes().count() as u64;
        self.shared.counts.writes_refused.fetch_add(refused, Relaxed);
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

    /// Whether the log lacks room for what the others commit.
    pub(crate) fn set_log_is_full(&mut self, is_full: bool) {
        self.log_is_full = is_full;
    }

    /// Bytes that have come of the snapshot that is being fetched.
    pub(crate) fn set_fetched_bytes(&mut self, bytes: Option<u64>) {
        self.fetched_bytes = bytes;
    }

    /// Sessions whose end was proposed in the latest cycle.
    pub(crate) fn ending(&self) -> impl Iterator<Item = i64> + '_ {
        self.leader_tasks.ending()
    }

    /// Whether containers are looked at so often that the loop must not sleep as usual.
    pub(crate) fn looks_often(&self) -> bool {
        self.leader_tasks.looks_often()
    }

    /// Whether it was asked to stop and has nothing left to do.
    pub(crate) fn may_end(&self) -> bool {
        self.stop
    }
}
