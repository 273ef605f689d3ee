//! The thread that orders, makes durable and applies.
//!
//! One cycle: take everything that waits, propose it as one entry, flush it, apply it, post the results. What arrives during the flush
//! is the next cycle's entry: group commit without a timer. A group of one flushes on this same thread, because handing the bytes to
//! another one costs two wake-ups and there is nothing else to do meanwhile.
//!
//! Whoever holds the [`ReplicationLoop`] may run a cycle. That is this thread, unless a connection thread with a single busy client finds nobody
//! at it: handing one command over and its reply back costs two more wake-ups, a third of what such a client waits for besides the disk.

mod bootstrap;
mod commit_wait;
mod configured_members;
mod event_bytes;
mod flush_latency;
pub(crate) mod force_new_cluster;
pub(crate) mod identity;
mod join;
pub(crate) mod keepalive;
mod leader_tasks;
mod leadership_transfer;
pub(crate) mod log_owner;
mod log_room;
mod loss;
mod members;
mod milestones;
mod plan;
mod reconfig;
pub(crate) mod recovery;
mod recovery_error;
mod replication_loop;
mod replies;
mod reseed;
pub(crate) mod session_reports;
mod snapshot_leases;
mod snapshots;
mod standalone;
mod status;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use consensus::engine::Ready;
use group::GroupId;
use group::message::GroupMessage;
use group::{Replica, Submission};
use state::command::{Command, INITIALIZE};
use storage::data_dir::DataDir;
use storage::log::{AppendError, FlushError, Log, Record};

use self::bootstrap::Newcomer;
use self::commit_wait::CommitWait;
use self::configured_members::Files;
use self::flush_latency::FlushLatency;
use self::identity::Identity;
use self::join::JoinRequests;
use self::leader_tasks::LeaderTasks;
use self::log_room::LogRoom;
use self::loss::Suspicion;
use self::members::Company;
use self::milestones::Milestones;
use self::reconfig::Reconfig;
pub(crate) use self::replication_loop::ReplicationLoop;
use self::replies::Replies;
use self::session_reports::ReportedSessions;
use self::snapshots::Snapshots;
use self::status::StatusPublisher;
use self::transfer::{Fetched, Fetching};
use crate::config::{Ensemble, ServerId};
use crate::inbox::ControlRequest;
use crate::peers::{Sender, Transport};
use crate::shared::Shared;

/// The one group there is so far. Its number is in the log and in peer messages, so that others can come (DESIGN rule 12).
pub(crate) const GROUP: GroupId = GroupId::ROOT;

/// Commands applied before waiting readers get the machine.
const APPLY_RUN: usize = 256;

/// More agreed entries than this wait because the member was kept from taking them, and not because they have just come. It makes up for it
/// in smaller pieces, and lets others have the processor between them: servers on the same machine that are not behind, and their clients.
const BEHIND: usize = 8;

/// Commands in such a piece.
const BEHIND_RUN: usize = 64;

/// Everything ordering, flushing and applying needs.
pub(crate) struct Driver<T: Transport> {
    shared: Arc<Shared>,
    /// This server's id in its group.
    me: ServerId,
    transport: T,
    company: Company,
    reported: ReportedSessions,
    status: StatusPublisher,
    identity: Identity,
    bootstrap: Newcomer,
    join_requests: JoinRequests,
    flush_latency: FlushLatency,
    log_room: LogRoom,
    reconfig: Reconfig,
    files: Files,
    fetching: Option<Fetching>,
    fetched: Option<Fetched>,
    /// A leader counts on entries that are not here.
    loss: Option<Suspicion>,
    /// Ticks of silence after which an election is due.
    election_ticks: u32,
    /// How long clients are served without a leader, in ms.
    leaderless_ms_max: i64,
    replica: Replica,
    log: Log,
    /// Keeps other servers off the files.
    data_dir: DataDir,
    snapshots: Snapshots,
    leader_tasks: LeaderTasks,
    submission: Submission,
    control_requests: Vec<ControlRequest>,
    /// Frames of other members, between reading and looking at them.
    frames: Vec<(Sender, Bytes)>,
    ready: Ready,
    /// How long the latest flush took.
    flush_took: Duration,
    commit_wait: CommitWait,
    milestones: Milestones,
    stop: bool,
}

/// Why the server cannot go on. The process ends with it; nothing that was not flushed has been acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The log failed.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// The log refused a record it had room for, or that is too long for it.
    #[error("the log does not take an entry")]
    Append(#[from] AppendError),
    /// The group counts on entries that this member's disk has lost.
    #[error(
        "the ensemble counts on entries that were flushed here and are gone: this disk loses data. Stop this server, give it an empty \
         data directory, and let it join anew"
    )]
    LostLog,
    /// Who this member is cannot be written down.
    #[error("this server cannot become a member of the ensemble")]
    Identity(#[source] Box<identity::IdentityError>),
    /// A snapshot of another member cannot be taken up.
    #[error("the snapshot fetched from another server cannot be loaded")]
    Install(#[source] Box<recovery::RecoveryError>),
    /// The system does not let the server wait for sockets.
    #[error("cannot wait for the other servers: {0}")]
    Poll(#[source] std::io::Error),
    /// The system has no random bytes for the secret of a new cluster.
    #[error("the system gives no random bytes")]
    Secret(#[from] getrandom::Error),
}

impl<T: Transport> Driver<T> {
    pub(crate) fn new(shared: Arc<Shared>, rest: recovery::Rest, transport: T) -> Driver<T> {
        let snapshots = Snapshots::new(&shared, rest.files, rest.snapshot_dir);
        let election_ticks = recovery::election_ticks(&shared.config);
        let now_ms = shared.clock.elapsed_ms();
        for session in shared.machine.read().sessions() {
            shared.sessions.opened(session.id, session.timeout_ms, now_ms);
        }
        let loading = &rest.loading;
        let counts = &shared.counts.quorum;
        counts.snapshot_load_time.record(loading.snapshot_us);
        counts.log_load_time.record(loading.log_us);
        counts.log_loaded.record(loading.entries);
        let mut driver = Driver {
            leader_tasks: LeaderTasks::new(&shared.config),
            me: rest.identity.server,
            transport,
            company: Company::default(),
            reported: ReportedSessions::default(),
            status: StatusPublisher::default(),
            identity: rest.identity,
            bootstrap: Newcomer::default(),
            join_requests: JoinRequests::default(),
            flush_latency: FlushLatency::default(),
            log_room: LogRoom::default(),
            reconfig: Reconfig::default(),
            files: Files::default(),
            fetching: None,
            fetched: None,
            loss: None,
            election_ticks,
            leaderless_ms_max: shared.config.ensemble.as_ref().map_or(0, Ensemble::leaderless_ms_max),
            shared,
            replica: rest.replica,
            log: rest.log,
            data_dir: rest.data_dir,
            snapshots,
            submission: Submission::default(),
            control_requests: Vec::new(),
            frames: Vec::new(),
            ready: Ready::default(),
            flush_took: Duration::ZERO,
            commit_wait: CommitWait::default(),
            milestones: Milestones::default(),
            stop: false,
        };
        driver.keep_directory();
        driver
    }

    /// The only member of a group leads from the start. A server that is alone by its configuration
    /// may have become that by what its log holds, so it applies that first.
    pub(crate) fn take_up(&mut self) -> Result<(), Fatal> {
        if self.is_single() {
            self.settle()?;
        }
        if self.is_single() || self.replica.is_alone() { self.lead() } else { Ok(()) }
    }

    /// The only member of a group begins to lead at once, which applies the log behind the snapshot. Before that the machine shows a
    /// past that clients have seen changed, so they are served afterwards only.
    fn lead(&mut self) -> Result<(), Fatal> {
        self.replica.campaign();
        self.settle()?;
        self.pass_time()
    }

    /// What carries its frames.
    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Its part in the group.
    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The same, for its engine.
    pub(crate) fn replica_mut(&mut self) -> &mut Replica {
        &mut self.replica
    }

    /// Whether it was asked to stop and has nothing left to do.
    pub(crate) fn may_end(&self) -> bool {
        self.stop
    }

    /// Whether commands wait that no event may come for. Only a leader's do: one that loses the lead while it waits is not asked again.
    pub(crate) fn is_holding(&self) -> bool {
        self.replica.leads() && self.commit_wait.is_waiting()
    }

    /// Sessions whose end was proposed in the latest cycle.
    pub(crate) fn ending(&self) -> impl Iterator<Item = i64> + '_ {
        self.leader_tasks.ending()
    }

    /// Does what there is, and posts the results.
    pub(crate) fn cycle(&mut self) -> Result<(), Fatal> {
        self.beat();
        self.forgive_pause();
        self.leader_tasks.begin();
        if self.is_single() {
            self.begin_hearing(self.shared.clock.elapsed_ms());
        }
        self.shared.inbox.take(&mut self.submission, &mut self.control_requests);
        let bytes = self.submission.len_bytes();
        self.take_in();
        self.run_errands();
        self.pass_time()?;
        if self.replica.leads() && !self.waits_for_others() {
            let silence_ms_max = self.leaderless_ms_max;
            let ears = &self.reported;
            let read_until = |server| ears.until_ms(server, silence_ms_max);
            self.leader_tasks.run(&self.shared, &mut self.replica, &read_until);
            self.propose()?;
        }
        self.settle()?;
        self.shared.inbox.end_cycle(bytes, self.replica.kept_bytes());
        self.snapshots.consider(&self.shared, &mut self.replica);
        self.publish();
        Ok(())
    }

    fn take_in(&mut self) {
        let now_ms = self.shared.clock.wall_ms();
        let machine = self.shared.machine.read();
        self.replica.submit(now_ms, &machine, &mut self.submission);
        self.replica.go_on(now_ms, &machine);
    }

    /// Leaves everything durable and the directories free.
    pub(crate) fn end(mut self) -> Result<(), Fatal> {
        self.snapshots.give_up();
        self.log.close()?;
        drop(self.data_dir);
        Ok(())
    }

    /// A new cluster gets the secret its session passwords are made from.
    fn initialize(&mut self) -> Result<(), Fatal> {
        if self.shared.machine.read().is_initialized() {
            return Ok(());
        }
        let key = self.snapshots.files().secret()?;
        let command = Command { session: 0, cxid: 0, opcode: INITIALIZE, identities: &[], body: &key };
        self.replica.submit_own(self.shared.clock.wall_ms(), &command);
        self.propose()?;
        self.settle()
    }

    /// Whether what is gathered stays so until the others have confirmed the last entry.
    fn waits_for_others(&mut self) -> bool {
        self.commit_wait.waits(self.replica.commit(), self.shared.clock.elapsed_us())
    }

    /// Gives what is gathered to the engine if the log has room for it, and refuses it if the disk is full.
    fn propose(&mut self) -> Result<(), Fatal> {
        match self.log.reserve(self.replica.gathered_bytes()) {
            Ok(()) => {
                if self.replica.gathered_bytes().next().is_some() {
                    self.leader_tasks.disk_has_room();
                }
                for bytes in self.replica.gathered_bytes() {
                    self.shared.counts.proposal_bytes.add(bytes as u64, 1);
                }
                self.count_proposals();
                self.replica.propose();
            }
            Err(AppendError::Failed(e)) => return Err(e.into()),
            Err(why) => {
                let refused = self.replica.gathered_bytes().count() as u64;
                self.shared.counts.writes_refused.fetch_add(refused, Relaxed);
                self.leader_tasks.disk_is_full(&self.shared, &why);
                self.replica.refuse_gathered();
                self.give_way_to_room();
            }
        }
        Ok(())
    }

    /// Does what the engine wants until it wants nothing more and all that is agreed is applied.
    fn settle(&mut self) -> Result<(), Fatal> {
        let mut ready = std::mem::take(&mut self.ready);
        while self.replica.ready(&mut ready) {
            self.send_engine(&mut ready);
            if ready.must_sync || ready.install_snapshot.is_some() {
                // The others flush while this member does, and the leader orders what clients want meanwhile.
                self.send_outgoing();
                self.transport.flush();
            }
            if ready.must_sync && ready.install_snapshot.is_none() && !self.replica.is_to_change_members() {
                // Flushed before, so the clients that wait for it need not wait for this flush as well. But for a change of the members:
                // the engine acts on it only when this flush is done, and who applies it asks the engine who is there.
                self.apply();
            }
            if let Some(meta) = ready.install_snapshot.take() {
                self.install(&meta)?;
            }
            self.persist(&ready)?;
            self.replica.persisted(ready.number);
            if let Some(offer) = ready.snapshot_offer.take() {
                self.consider_offer(&offer);
            }
            if ready.snapshot_wanted {
                self.snapshots.ask();
            }
            self.apply();
            self.begin_leading()?;
        }
        self.apply();
        self.send_outgoing();
        // What waits already makes the next cycle, and that one's messages go out with these: a member that would be woken twice within
        // microseconds is woken once.
        if self.stop || self.shared.inbox.is_empty() {
            self.transport.flush();
        }
        self.ready = ready;
        Ok(())
    }

    fn send_engine(&mut self, ready: &mut Ready) {
        for message in ready.messages.drain(..) {
            let from = self.replica.member();
            self.send_group(
                group::server_of(message.to),
                GroupMessage::Engine { from, bytes: message.bytes },
            );
        }
    }

    fn persist(&mut self, ready: &Ready) -> Result<(), Fatal> {
        for entry in &ready.entries {
            self.log.append(&Record::Entry {
                group: GROUP.0,
                index: entry.index,
                term: entry.term,
                kind: entry.kind as u8,
                data: &entry.data,
            })?;
            self.snapshots.count_bytes(entry.data.len());
            self.status.count(entry.index, entry.data.len());
            self.count_written(entry.index);
            self.shared.counts.last_index.store(entry.index, Relaxed);
            self.shared.counts.last_term.store(entry.term, Relaxed);
        }
        if let Some(state) = ready.hard_state {
            let vote = state.vote.map_or(0, |member| member.0);
            self.log.append(&Record::HardState {
                group: GROUP.0,
                term: state.term,
                vote,
                commit: state.commit,
            })?;
        }
        if ready.must_sync {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fatal> {
        let begun_us = self.shared.clock.elapsed_us();
        self.log.flush()?;
        let now_us = self.shared.clock.elapsed_us();
        let took_us = now_us - begun_us;
        self.commit_wait.flushed(self.shared.counts.last_index.load(Relaxed), took_us, now_us);
        let took = Duration::from_micros(took_us);
        self.flush_took = took;
        self.flush_latency.flushed(took_us);
        let counts = &self.shared.counts;
        counts.flush_time.record(took_us);
        let warning_ms = u128::from(self.shared.config.storage.flush_warning_ms);
        if took.as_millis() > warning_ms {
            counts.flushes_slow.fetch_add(1, Relaxed);
            tracing::warn!(
                "flushing the log took {} ms (fsync.warningthresholdms={warning_ms}): the disk is slow or busy, and every write waits for it",
                took.as_millis()
            );
        }
        Ok(())
    }

    /// Applies all that is agreed, in runs short enough for readers in between.
    fn apply(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut gathered = Replies::new(&shared);
        let before = self.replica.applied_commands();
        let now_ms = shared.clock.wall_ms();
        while self.replica.has_work() {
            let is_behind = self.replica.entries_behind() > BEHIND;
            let run = if is_behind { BEHIND_RUN } else { APPLY_RUN };
            let mut machine = shared.machine.write();
            self.replica.apply(now_ms, &mut machine, &mut gathered, run);
            gathered.post();
            drop(machine);
            gathered.wake();
            if is_behind {
                std::thread::yield_now();
            }
        }
        let applied = self.replica.applied_commands() - before;
        if applied > 0 {
            shared.counts.batch_size.record(applied);
            self.count_applied(applied);
        }
    }

    fn run_errands(&mut self) {
        for errand in std::mem::take(&mut self.control_requests) {
            match errand {
                ControlRequest::SnapshotDone { number, result } => {
                    self.snapshots.done(&self.shared, number, result, &mut self.replica, &mut self.log);
                }
                ControlRequest::TakeSnapshot => self.snapshots.ask(),
                ControlRequest::Disconnected(session) => self.replica.disconnected(session),
                ControlRequest::Lead => self.claim(),
                ControlRequest::StepDown => self.step_down(),
                ControlRequest::Stop => self.begin_stop(),
            }
        }
    }
}
