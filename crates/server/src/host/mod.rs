//! The thread that orders, makes durable and applies.
//!
//! One cycle: take everything that waits, propose it as one entry, flush it, apply it, post the results. What arrives during the flush
//! is the next cycle's entry: group commit without a timer. A group of one flushes on this same thread, because handing the bytes to
//! another one costs two wake-ups and there is nothing else to do meanwhile.
//!
//! Whoever holds the [`ReplicationLoop`] may run a cycle. That is this thread, unless a connection thread with a single busy client finds nobody
//! at it: handing one command over and its reply back costs two more wake-ups, a third of what such a client waits for besides the disk.

mod connections;
mod event_bytes;
pub(crate) mod force_new_cluster;
pub(crate) mod identity;
pub(crate) mod keepalive;
pub(crate) mod log_owner;
mod log_room;
pub(crate) mod recovery;
mod recovery_error;
mod replication_loop;
mod replies;
mod reseed;
mod snapshot_leases;
mod snapshots;
mod standalone;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use consensus::engine::Ready;
use group::message::{GroupMessage, PeerMessage, ServerMessage};
use group::settings::{ContainerSettings, EnsembleSettings, GroupSettings};
use group::{Replica, Submission};
use storage::data_dir::DataDir;
use storage::log::{AppendError, FlushError, Log, Record};

use self::identity::Identity;
use self::log_room::LogRoom;
pub(crate) use self::replication_loop::ReplicationLoop;
use self::replies::Replies;
use self::snapshots::Snapshots;
use self::transfer::{Fetched, Fetching};
use crate::config::ServerId;
use crate::inbox::ControlRequest;
use crate::peers::{Sender, Transport};
use crate::shared::Shared;
use group::event::{Asked, Event};
use group::group::{Action, Begin, GROUP, Group, Now};

/// Commands applied before waiting readers get the machine.
const APPLY_RUN: usize = 256;

/// More agreed entries than this wait because the member was kept from taking them, and not because they have just come. It makes up for it
/// in smaller pieces, and lets others have the processor between them: servers on the same machine that are not behind, and their clients.
const BEHIND: usize = 8;

/// Commands in such a piece.
const BEHIND_RUN: usize = 64;

/// Room made in the log for an engine message besides its entries.
const MESSAGE_SLACK_BYTES: usize = 4 << 10;

/// What there is one of in a process for all groups: log, flush, snapshots, and the connections to
/// other servers. It carries out what the group decides.
pub(crate) struct Host<T: Transport> {
    shared: Arc<Shared>,
    transport: T,
    group: Group,
    identity: Identity,
    log: Log,
    log_room: LogRoom,
    /// Keeps other servers off the files.
    data_dir: DataDir,
    snapshots: Snapshots,
    fetching: Option<Fetching>,
    fetched: Option<Fetched>,
    submission: Submission,
    control_requests: Vec<ControlRequest>,
    /// Frames of other members, between reading and looking at them.
    frames: Vec<(Sender, Bytes)>,
    /// A message on its way to the transport.
    frame: Vec<u8>,
    ready: Ready,
    /// How long the latest flush took.
    flush_took: Duration,
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

impl<T: Transport> Host<T> {
    pub(crate) fn new(shared: Arc<Shared>, rest: recovery::Rest, transport: T) -> Host<T> {
        let snapshots = Snapshots::new(&shared, rest.files, rest.snapshot_dir);
        let now_ms = shared.clock.elapsed_ms();
        for session in shared.machine.read().sessions() {
            shared.sessions.opened(session.id, session.timeout_ms, now_ms);
        }
        let loading = &rest.loading;
        let counts = &shared.counts.quorum;
        counts.snapshot_load_time.record(loading.snapshot_us);
        counts.log_load_time.record(loading.log_us);
        counts.log_loaded.record(loading.entries);
        let settings = settings(&shared);
        let (identity, now) = (rest.identity.of_member(), now(&shared));
        let group = Group::new(shared.of_group(), settings, identity, rest.replica, now);
        let mut host = Host {
            shared,
            transport,
            group,
            identity: rest.identity,
            log: rest.log,
            log_room: LogRoom::default(),
            data_dir: rest.data_dir,
            snapshots,
            fetching: None,
            fetched: None,
            submission: Submission::default(),
            control_requests: Vec::new(),
            frames: Vec::new(),
            frame: Vec::new(),
            ready: Ready::default(),
            flush_took: Duration::ZERO,
        };
        host.send_actions();
        host
    }

    /// The only member of a group leads from the start. A server that is alone by its configuration
    /// may have become that by what its log holds, so it applies that first.
    pub(crate) fn take_up(&mut self) -> Result<(), Fatal> {
        if self.group.is_single() {
            self.settle()?;
        }
        if self.group.is_single() || self.group.replica.is_alone() { self.lead() } else { Ok(()) }
    }

    /// The only member of a group begins to lead at once, which applies the log behind the snapshot.
    /// Before that the machine shows a past that clients have seen changed, so they are served
    /// afterwards only.
    fn lead(&mut self) -> Result<(), Fatal> {
        self.group.replica.campaign();
        self.settle()?;
        self.pass_time()
    }

    /// What carries its frames.
    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// What it decides.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// Its part in the group.
    pub(crate) fn replica(&self) -> &Replica {
        &self.group.replica
    }

    /// The same, to change what it records.
    pub(crate) fn replica_mut(&mut self) -> &mut Replica {
        &mut self.group.replica
    }

    /// Tells the group what has happened at the same time as what it was told last.
    fn tell_too(&mut self, event: Event<'_>) {
        self.group.handle(self.group.now(), event);
    }

    /// Tells the group what has happened.
    fn tell(&mut self, event: Event<'_>) {
        self.group.handle(now(&self.shared), event);
    }

    /// Milliseconds until time has to pass again.
    pub(crate) fn patience_ms(&mut self) -> Option<i64> {
        self.group.patience_ms(now(&self.shared))
    }

    /// Takes in a frame of that sender.
    ///
    /// # Errors
    /// If this member has lost what others count on, or the disk failed.
    pub(crate) fn receive(&mut self, sender: Sender, frame: Bytes) -> Result<(), Fatal> {
        let from = sender.server;
        let length = frame.len();
        let message = match PeerMessage::read(frame) {
            Ok(PeerMessage::Group(group, _)) if group != GROUP => {
                tracing::warn!("server.{from}: a message for group {group}, which is not here");
                self.transport.hang_up(sender);
                return Ok(());
            }
            Ok(message) => message,
            Err(e) => {
                tracing::warn!("server.{from}: {e}");
                self.transport.hang_up(sender);
                return Ok(());
            }
        };
        if !self.group.admits(sender.is_proven, &message) {
            if !message.is_of_joining() {
                tracing::warn!("a peer that has not proven to be a member speaks as server.{from}");
                self.transport.hang_up(sender);
            }
            return Ok(());
        }
        match message {
            PeerMessage::Server(message) => {
                let is_vouched_for = match &message {
                    ServerMessage::Newcomer { nonce, .. } => self.transport.vouches(from, *nonce),
                    _ => false,
                };
                self.tell(Event::ServerSaid { from, is_vouched_for, message });
            }
            PeerMessage::Group(..) if !self.group.hears(from) => {}
            PeerMessage::Group(_, message) => self.on_group_message(from, message, length)?,
        }
        self.act()
    }

    fn on_group_message(
        &mut self,
        from: ServerId,
        message: GroupMessage,
        length: usize,
    ) -> Result<(), Fatal> {
        match message {
            // An engine cannot be told to leave entries out, so a message for which the log has no
            // room does not reach it: for the sender it is lost, and it is sent again.
            GroupMessage::Engine { from: member, bytes } => {
                let has_room = self.make_room(length + MESSAGE_SLACK_BYTES)?;
                self.tell(Event::EngineSaid { from, member, bytes, has_room });
            }
            GroupMessage::Fetch { snapshot, offset } => self.on_fetch(from, snapshot, offset),
            GroupMessage::Chunk { snapshot, length, offset, bytes } => {
                self.on_chunk(from, snapshot, length, offset, &bytes);
            }
            GroupMessage::Damaged(snapshot) => self.on_damaged(from, snapshot),
            message => self.tell(Event::MemberSaid { from, message }),
        }
        Ok(())
    }

    /// The connection to a server is open (again).
    pub(crate) fn reached(&mut self, server: ServerId) {
        self.tell(Event::LinkUp(server));
        self.send_actions();
    }

    /// A server has closed its connection.
    pub(crate) fn lost_sight(&mut self, server: ServerId) {
        self.tell(Event::LinkDown(server));
        self.send_actions();
    }

    /// Carries out what the group wants.
    fn act(&mut self) -> Result<(), Fatal> {
        loop {
            let actions = self.group.take_actions();
            if actions.is_empty() {
                return Ok(());
            }
            for action in actions {
                match action {
                    Action::Found(founders) => {
                        let key = identity::new_key(self.snapshots.disk().as_ref());
                        self.tell(Event::Founding(founders, key));
                    }
                    Action::Begin(begin) => self.begin(*begin)?,
                    Action::EndForLostLog => return Err(Fatal::LostLog),
                    Action::DrawSecret => {
                        let secret = self.snapshots.files().secret()?;
                        self.tell(Event::Secret(&secret));
                    }
                    Action::Propose => self.propose()?,
                    Action::LookForRoom => self.look_for_room()?,
                    action => self.send_action(action),
                }
            }
        }
    }

    /// Carries out what the group wants where it can want nothing that may fail.
    fn send_actions(&mut self) {
        for action in self.group.take_actions() {
            self.send_action(action);
        }
    }

    fn send_action(&mut self, action: Action) {
        match action {
            Action::Send(to, message) => {
                self.frame.clear();
                message.put(&mut self.frame);
                if message.is_of_joining() {
                    self.transport.send_unproven(to, &self.frame);
                } else {
                    self.transport.send(to, &self.frame);
                }
            }
            Action::HangUp(server) => self.transport.hang_up(Sender { server, is_proven: true }),
            Action::SetPeers(peers) => self.transport.set_peers(&peers),
            Action::CloseConnections => self.close_connections(),
            Action::AskToLook => self.shared.ask_to_look(),
            Action::FetchOn => self.fetch_on(),
            Action::Publish(status) => *self.shared.member_status.lock() = Some(*status),
            Action::Found(_)
            | Action::Begin(_)
            | Action::EndForLostLog
            | Action::DrawSecret
            | Action::Propose
            | Action::LookForRoom => {
                unreachable!("a link that opens or closes does not lead to {action:?}")
            }
        }
    }

    /// Becomes a member, durably, before it says anything as one.
    fn begin(&mut self, begin: Begin) -> Result<(), Fatal> {
        let Begin { identity: member, start, rejoins } = begin;
        let identity = self.identity.with_member(&member);
        let disk = self.snapshots.disk();
        identity
            .save(disk.as_ref(), &self.shared.config.storage.data_dir)
            .map_err(|e| Fatal::Identity(Box::new(e)))?;
        let seed = disk.entropy();
        if rejoins {
            self.snapshots.begin_anew();
            (self.fetching, self.fetched) = (None, None);
        }
        let new = recovery::replica(&self.shared.config, &identity, self.shared.features, start, seed);
        if let Some(key) = &identity.key {
            self.transport.set_cluster(identity.cluster, key);
        }
        self.identity = identity;
        let old = self.group.begun(member, new);
        self.shared.inbox.answered(old.unanswered());
        Ok(())
    }

    /// Does what there is, and posts the results.
    pub(crate) fn cycle(&mut self) -> Result<(), Fatal> {
        self.tell(Event::CycleBegins);
        if self.group.is_single() {
            self.begin_hearing(self.shared.clock.elapsed_ms());
        }
        self.shared.inbox.take(&mut self.submission, &mut self.control_requests);
        let bytes = self.submission.len_bytes();
        let mut submission = std::mem::take(&mut self.submission);
        self.tell(Event::Submitted(&mut submission));
        self.submission = submission;
        self.run_control_requests();
        self.pass_time()?;
        if self.group.replica.leads() && !self.group.waits_for_others(now(&self.shared)) {
            self.tell_too(Event::LeadersTurn);
            self.propose()?;
        }
        self.settle()?;
        self.shared.inbox.end_cycle(bytes, self.group.replica.kept_bytes());
        self.snapshots.consider(&self.shared, &mut self.group.replica);
        self.tell_too(Event::Fetched(self.fetching.as_ref().map(Fetching::fetched_bytes)));
        self.tell(Event::CycleEnds);
        self.act()
    }

    /// What other members had said at `polled_ms` is about to be taken in.
    pub(crate) fn begin_hearing(&mut self, polled_ms: i64) {
        self.tell(Event::PeersPolled { polled_ms });
    }

    fn pass_time(&mut self) -> Result<(), Fatal> {
        self.tell(Event::TimePassed);
        self.act()
    }

    /// Leaves everything durable and the directories free.
    pub(crate) fn end(mut self) -> Result<(), Fatal> {
        self.snapshots.give_up();
        self.log.close()?;
        drop(self.data_dir);
        Ok(())
    }

    /// Gives what is gathered to the engine if the log has room for it, and refuses it if the disk
    /// is full.
    fn propose(&mut self) -> Result<(), Fatal> {
        match self.log.reserve(self.group.replica.gathered_bytes()) {
            Ok(()) => self.tell_too(Event::LogHasRoom),
            Err(AppendError::Failed(e)) => return Err(e.into()),
            Err(why) => self.tell(Event::LogHasNoRoom(&why)),
        }
        Ok(())
    }

    /// Does what the engine wants until it wants nothing more and all that is agreed is applied.
    fn settle(&mut self) -> Result<(), Fatal> {
        let mut ready = std::mem::take(&mut self.ready);
        while self.group.replica.ready(&mut ready) {
            self.send_engine(&mut ready);
            if ready.must_sync || ready.install_snapshot.is_some() {
                // The others flush while this member does, and the leader orders what clients want meanwhile.
                self.send_outgoing();
                self.transport.flush();
            }
            if ready.must_sync
                && ready.install_snapshot.is_none()
                && !self.group.replica.is_to_change_members()
            {
                // Flushed before, so the clients that wait for it need not wait for this flush as well. But for a change of the members:
                // the engine acts on it only when this flush is done, and who applies it asks the engine who is there.
                self.apply();
            }
            if let Some(meta) = ready.install_snapshot.take() {
                self.install(&meta)?;
            }
            self.persist(&ready)?;
            self.group.replica.persisted(ready.number);
            if let Some(offer) = ready.snapshot_offer.take() {
                self.consider_offer(&offer);
            }
            if ready.snapshot_wanted {
                self.snapshots.ask();
            }
            self.apply();
            self.tell(Event::Settled);
            self.act()?;
        }
        self.apply();
        self.send_outgoing();
        // What waits already makes the next cycle, and that one's messages go out with these: a member that would be woken twice within
        // microseconds is woken once.
        if self.group.may_end() || self.shared.inbox.is_empty() {
            self.transport.flush();
        }
        self.ready = ready;
        Ok(())
    }

    fn send_engine(&mut self, ready: &mut Ready) {
        let from = self.group.replica.member();
        for message in ready.messages.drain(..) {
            let to = group::server_of(message.to);
            self.group.send_group(to, GroupMessage::Engine { from, bytes: message.bytes });
        }
    }

    /// Sends what the group has to say to other servers.
    fn send_outgoing(&mut self) {
        let messages: Vec<_> = self.group.replica.take_outgoing().collect();
        for (to, message) in messages {
            self.group.send_group(to, message);
        }
        self.send_actions();
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
            self.tell_too(Event::Written { index: entry.index, bytes: entry.data.len() });
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
        let index = self.shared.counts.last_index.load(Relaxed);
        self.tell(Event::Flushed { index, took_us });
        let took = Duration::from_micros(took_us);
        self.flush_took = took;
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
        let before = self.group.replica.applied_commands();
        let now_ms = shared.clock.wall_ms();
        while self.group.replica.has_work() {
            let is_behind = self.group.replica.entries_behind() > BEHIND;
            let run = if is_behind { BEHIND_RUN } else { APPLY_RUN };
            let mut machine = shared.machine.write();
            self.group.replica.apply(now_ms, &mut machine, &mut gathered, run);
            gathered.post();
            drop(machine);
            gathered.wake();
            if is_behind {
                std::thread::yield_now();
            }
        }
        let applied = self.group.replica.applied_commands() - before;
        if applied > 0 {
            shared.counts.batch_size.record(applied);
            self.tell_too(Event::Applied { commands: applied });
        }
    }

    fn run_control_requests(&mut self) {
        for request in std::mem::take(&mut self.control_requests) {
            match request {
                ControlRequest::SnapshotDone { number, result } => {
                    let replica = &mut self.group.replica;
                    self.snapshots.done(&self.shared, number, result, replica, &mut self.log);
                }
                ControlRequest::TakeSnapshot => self.snapshots.ask(),
                ControlRequest::Disconnected(session) => self.tell(Event::Disconnected(session)),
                ControlRequest::Lead => self.tell(Event::Asked(Asked::Lead)),
                ControlRequest::StepDown => self.tell(Event::Asked(Asked::StepDown)),
                ControlRequest::Stop => self.tell(Event::Asked(Asked::Stop)),
            }
        }
    }
}

fn now(shared: &Shared) -> Now {
    let us = shared.clock.elapsed_us();
    Now { us, ms: (us / 1_000) as i64, wall_ms: shared.clock.wall_ms() }
}

/// What the group is told of the configuration.
fn settings(shared: &Shared) -> GroupSettings {
    let config = &shared.config;
    let ensemble = config.ensemble.as_ref().map(|ensemble| EnsembleSettings {
        members: ensemble.members.clone(),
        engine: ensemble.engine,
        heartbeat_ms: ensemble.heartbeat_ms,
        leaderless_ms_max: ensemble.leaderless_ms_max(),
    });
    let containers = &config.containers;
    let never_used_ms_max =
        containers.never_used_ms_max.map_or(0, |ms| i64::try_from(ms).unwrap_or(i64::MAX));
    GroupSettings {
        ensemble,
        reconfig: config.requests.reconfig,
        read_only_mode: config.requests.read_only_mode,
        features: shared.features,
        containers: ContainerSettings {
            check_interval_ms: i64::from(containers.check_interval_ms),
            per_minute_max: containers.per_minute_max,
            never_used_ms_max,
        },
        election_ticks: recovery::election_ticks(config),
    }
}
