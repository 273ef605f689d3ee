//! The host: what there is one of in a process for all consensus groups, namely the log and its
//! flush, the snapshots, the connections to other servers, the threads and the clock. It tells a
//! group what happens by events ([`Event`]) and carries out the group's actions. The
//! group decides and does no I/O.
//!
//! The replication thread runs cycles. One cycle: take all waiting requests, propose them as one
//! entry, flush it, apply it, post the results. What arrives during the flush is the next cycle's
//! entry: group commit without a timer. A group of one flushes on this same thread, because handing
//! the bytes to another thread costs two wake-ups and this one has nothing else to do meanwhile.
//!
//! The thread that holds the lock of the [`ReplicationLoop`] runs the cycle. That is the
//! replication thread, unless a connection thread with a single busy client finds the lock free:
//! handing one command over and its reply back costs two more wake-ups, a third of what such a
//! client waits for besides the disk.

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
use group::group::{GROUP, Group, Now};

/// Room reserved in the log for an engine message besides the entries in it.
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
    /// Holds the locks that keep other server processes off the files.
    data_dir: DataDir,
    snapshots: Snapshots,
    fetching: Option<Fetching>,
    fetched: Option<Fetched>,
    submission: Submission,
    control_requests: Vec<ControlRequest>,
    /// Frames received from other members and not yet handled.
    frames: Vec<(Sender, Bytes)>,
    /// Buffer for the message being passed to the transport.
    frame: Vec<u8>,
    ready: Ready,
    /// Duration of the latest flush.
    flush_took: Duration,
}

/// Why the server cannot go on. The process ends with it; nothing unflushed has been acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The log failed.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// The log refused a record for which it had reserved room, or one that is too long for it.
    #[error("the log does not take an entry")]
    Append(#[from] AppendError),
    /// The group counts on entries that this member's disk has lost.
    #[error(
        "the ensemble counts on entries that were flushed here and are gone: this disk loses data. Stop this server, give it an empty \
         data directory, and let it join anew"
    )]
    LostLog,
    /// This member's identity cannot be written to disk.
    #[error("this server cannot become a member of the ensemble")]
    Identity(#[source] Box<identity::IdentityError>),
    /// A snapshot fetched from another member cannot be installed.
    #[error("the snapshot fetched from another server cannot be loaded")]
    Install(#[source] Box<recovery::RecoveryError>),
    /// The operating system refused to poll the sockets.
    #[error("cannot wait for the other servers: {0}")]
    Poll(#[source] std::io::Error),
    /// The operating system has no random bytes for the secret of a new cluster.
    #[error("the system gives no random bytes")]
    Secret(#[from] getrandom::Error),
}

impl<T: Transport> Host<T> {
    pub(crate) fn new(shared: Arc<Shared>, parts: recovery::RecoveredParts, transport: T) -> Host<T> {
        let snapshots = Snapshots::new(&shared, parts.files, parts.snapshot_dir);
        let now_ms = shared.clock.elapsed_ms();
        for session in shared.machine.read().sessions() {
            shared.sessions.opened(session.id, session.timeout_ms, now_ms);
        }
        let loading = &parts.loading;
        let counts = &shared.counts.quorum;
        counts.snapshot_load_time.record(loading.snapshot_us);
        counts.log_load_time.record(loading.log_us);
        counts.log_loaded.record(loading.entries);
        let settings = settings(&shared);
        let (identity, now) = (parts.identity.of_member(), now(&shared));
        let group = Group::new(shared.of_group(), settings, identity, parts.replica, now);
        Host {
            shared,
            transport,
            group,
            identity: parts.identity,
            log: parts.log,
            log_room: LogRoom::default(),
            data_dir: parts.data_dir,
            snapshots,
            fetching: None,
            fetched: None,
            submission: Submission::default(),
            control_requests: Vec::new(),
            frames: Vec::new(),
            frame: Vec::new(),
            ready: Ready::default(),
            flush_took: Duration::ZERO,
        }
    }

    /// Starts a server that may lead without an election. The only member of a group leads from the
    /// start. A server whose configuration names it alone may have become the only member by an
    /// entry in its log, so it applies the log first.
    pub(crate) fn start(&mut self) -> Result<(), Fatal> {
        self.act()?;
        if self.group.is_single() {
            self.settle()?;
        }
        if self.group.is_single() || self.group.replica.is_alone() { self.lead() } else { Ok(()) }
    }

    /// Makes the only member of a group leader at once, which applies the log after the snapshot.
    /// Until then the machine shows an older state than clients have seen, so they are served only
    /// afterwards.
    fn lead(&mut self) -> Result<(), Fatal> {
        self.group.replica.campaign();
        self.settle()?;
        self.pass_time()
    }

    /// The transport that carries this server's frames.
    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The group, which makes the decisions.
    pub(crate) fn group(&self) -> &Group {
        &self.group
    }

    /// This member's replica of the group.
    pub(crate) fn replica(&self) -> &Replica {
        &self.group.replica
    }

    /// The replica, mutable so that a caller can change what it records.
    pub(crate) fn replica_mut(&mut self) -> &mut Replica {
        &mut self.group.replica
    }

    /// Passes an event to the group at the time of the event before it.
    fn tell_too(&mut self, event: Event<'_>) {
        self.group.handle(self.group.now(), event);
    }

    /// Passes an event to the group at the present time.
    fn tell(&mut self, event: Event<'_>) {
        self.group.handle(now(&self.shared), event);
    }

    /// Milliseconds until [`pass_time`](Self::pass_time) must run again; `None` if nothing is due.
    pub(crate) fn patience_ms(&mut self) -> Option<i64> {
        self.group.patience_ms(now(&self.shared))
    }

    /// Handles a frame from `sender`.
    ///
    /// # Errors
    /// This member has lost entries that others count on, or the disk failed.
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
            // room does not reach it: to the sender the message is lost, and it resends it.
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

    /// The connection to a server has opened, for the first time or again. The next cycle carries
    /// out what the group wants then.
    pub(crate) fn link_up(&mut self, server: ServerId) {
        self.tell(Event::LinkUp(server));
    }

    /// A server has closed its connection.
    pub(crate) fn link_down(&mut self, server: ServerId) {
        self.tell(Event::LinkDown(server));
    }

    /// Makes everything durable and releases the directories.
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

/// The part of the configuration that the group needs.
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
