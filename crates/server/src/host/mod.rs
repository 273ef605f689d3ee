//! The thread that orders, makes durable and applies.
//!
//! One cycle: take everything that waits, propose it as one entry, flush it, apply it, post the results. What arrives during the flush
//! is the next cycle's entry: group commit without a timer. A group of one flushes on this same thread, because handing the bytes to
//! another one costs two wake-ups and there is nothing else to do meanwhile.
//!
//! Whoever holds the [`ReplicationLoop`] may run a cycle. That is this thread, unless a connection thread with a single busy client finds nobody
//! at it: handing one command over and its reply back costs two more wake-ups, a third of what such a client waits for besides the disk.

mod actions;
mod connections;
mod cycle;
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
use std::time::Duration;

use bytes::Bytes;
use consensus::engine::Ready;
use group::message::{GroupMessage, PeerMessage, ServerMessage};
use group::settings::{ContainerSettings, EnsembleSettings, GroupSettings};
use group::{Replica, Submission};
use storage::data_dir::DataDir;
use storage::log::{AppendError, FlushError, Log};

use self::identity::Identity;
use self::log_room::LogRoom;
pub(crate) use self::replication_loop::ReplicationLoop;
use self::snapshots::Snapshots;
use self::transfer::{Fetched, Fetching};
use crate::config::ServerId;
use crate::inbox::ControlRequest;
use crate::peers::{Sender, Transport};
use crate::shared::Shared;
use group::event::Event;
use group::group::{Action, GROUP, Group, Now};

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
    /// Actions that may fail, and were asked for where nothing may.
    put_off: Vec<Action>,
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
            put_off: Vec::new(),
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

    /// Leaves everything durable and the directories free.
    pub(crate) fn end(mut self) -> Result<(), Fatal> {
        self.snapshots.give_up();
        self.log.close()?;
        drop(self.data_dir);
        Ok(())
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
