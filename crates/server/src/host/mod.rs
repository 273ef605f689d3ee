//! The host: what there is one of in a process for all consensus groups, namely the log and its
//! flush, the snapshots, the connections to other servers, the threads and the clock. It tells a
//! group what happens by events ([`Event`]) and carries out the group's actions. The
//! group decides and does no I/O.
//!
//! The replication thread runs cycles. One cycle: take all waiting requests, propose those of each
//! group as one entry, append the entries of all groups, flush once, apply them, post the results.
//! What arrives during the flush is the next cycle's: group commit without a timer. A server that
//! is alone flushes on this same thread, because handing the bytes to another thread costs two
//! wake-ups and this one has nothing else to do meanwhile.
//!
//! Groups without traffic are quiet ([`Group::is_quiet`]) and take part in no cycle.
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
mod liveness;
pub(crate) mod log_owner;
mod log_room;
mod log_tail;
pub(crate) mod recovery;
mod recovery_error;
#[cfg(feature = "net")]
mod replication_loop;
mod replies;
mod reseed;
mod slot;
mod snapshot_leases;
mod snapshots;
mod standalone;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use group::GroupId;
use group::event::Event;
use group::group::{Group, Now};
use group::message::{GroupMessage, PeerMessage, ServerMessage};
use group::settings::{ContainerSettings, EnsembleSettings, GroupSettings};
use state::command::Features;
use storage::data_dir::DataDir;
use storage::log::{AppendError, FlushError, Log};

use self::identity::Identity;
use self::liveness::Liveness;
use self::log_room::LogRoom;
#[cfg(feature = "net")]
pub(crate) use self::replication_loop::ReplicationLoop;
use self::slot::Slot;
use crate::config::ServerId;
use crate::inbox::{ControlRequest, Submissions};
use crate::shared::Shared;
use crate::transport::{Sender, Transport};

/// Room reserved in the log for an engine message besides the entries in it.
const MESSAGE_SLACK_BYTES: usize = 4 << 10;

/// What there is one of in a process for all groups: log, flush, and the connections to other
/// servers. It carries out what the groups decide.
pub(crate) struct Host<T: Transport> {
    shared: Arc<Shared>,
    transport: T,
    /// The groups, by their number.
    slots: Vec<Slot>,
    /// The places of the groups that take part in the present cycle. The root group's is the first
    /// and stays.
    awake: Vec<usize>,
    identity: Identity,
    log: Log,
    log_room: LogRoom,
    /// Holds the locks that keep other server processes off the files.
    data_dir: DataDir,
    liveness: Liveness,
    submissions: Submissions,
    control_requests: Vec<ControlRequest>,
    /// Buffer for the message being passed to the transport.
    frame: Vec<u8>,
    /// Lengths in bytes of the entries proposed and not yet flushed, for which the log has room.
    proposed: Vec<usize>,
    /// Commands that all groups have applied since the start.
    applied_commands: u64,
    /// Bytes of the entries of all groups appended since the start.
    log_bytes: u64,
    /// The same when quiet groups were last checked for keeping the beginning of the log.
    log_checked_bytes: u64,
    /// Bytes of submitted commands that the groups' replicas keep.
    kept_bytes: usize,
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
        let groups = (0..).map(GroupId).zip(parts.replicas);
        let slots: Vec<Slot> = groups
            .map(|(id, replica)| {
                let snapshots = Slot::snapshots(&shared, id, &parts.files, &parts.snapshot_dir);
                Slot::new(&shared, id, &parts.identity, replica, snapshots)
            })
            .collect();
        slots[0].record_loading(&parts.loading);
        Host {
            submissions: Submissions::new(slots.len()),
            awake: (0..slots.len()).collect(),
            shared,
            transport,
            slots,
            identity: parts.identity,
            log: parts.log,
            log_room: LogRoom::default(),
            data_dir: parts.data_dir,
            liveness: Liveness::default(),
            control_requests: Vec::new(),
            frame: Vec::new(),
            proposed: Vec::new(),
            applied_commands: 0,
            log_bytes: 0,
            log_checked_bytes: 0,
            kept_bytes: 0,
            flush_took: Duration::ZERO,
        }
    }

    /// Starts a server that may lead without an election. The only member of a group leads from the
    /// start. A server whose configuration names it alone may have become the only member by an
    /// entry in its log, so it applies the log first.
    pub(crate) fn start(&mut self) -> Result<(), Fatal> {
        self.act()?;
        if self.root().is_single() {
            self.settle()?;
        }
        if self.root().is_single() || self.root().replica.is_alone() { self.lead() } else { Ok(()) }
    }

    /// Makes the only member of each group leader at once, which applies the log after the
    /// snapshot. Until then the machine shows an older state than clients have seen, so they are
    /// served only afterwards.
    fn lead(&mut self) -> Result<(), Fatal> {
        for slot in &mut self.slots {
            slot.group.replica.campaign();
        }
        self.settle()?;
        self.pass_time()
    }

    fn root(&self) -> &Group {
        &self.slots[0].group
    }

    /// Whether the process may end: every group was told to stop and has nothing left to do.
    pub(crate) fn may_end(&self) -> bool {
        self.slots.iter().all(|slot| slot.group.may_end())
    }

    /// Whether a group waits for something that may come without an event.
    pub(crate) fn is_holding(&self) -> bool {
        self.awake.iter().any(|at| self.slots[*at].group.is_holding())
    }

    /// Makes a group take part in the present cycle.
    fn wake(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if !std::mem::replace(&mut slot.is_awake, true) {
            self.awake.push(at);
            slot.group.handle(now(&self.shared), Event::CycleBegins);
        }
    }

    /// Makes a group that has something to do take part in the present cycle.
    fn wake_if_active(&mut self, at: usize) {
        if !self.slots[at].group.is_quiet() || self.slots[at].group.has_actions() {
            self.wake(at);
        }
    }

    /// Leaves quiet groups out of the next cycle.
    fn let_quiet_rest(&mut self) {
        let slots = &mut self.slots;
        self.awake.retain(|at| {
            let slot = &mut slots[*at];
            slot.is_awake = *at == 0 || !slot.group.is_quiet() || slot.fetching.is_some();
            slot.is_awake
        });
    }

    /// Passes an event to a group at the time of the event before it.
    fn tell_too(&mut self, at: usize, event: Event<'_>) {
        let group = &mut self.slots[at].group;
        group.handle(group.now(), event);
    }

    /// Passes an event to a group at the present time; the group takes part in the present cycle.
    fn tell(&mut self, at: usize, event: Event<'_>) {
        self.wake(at);
        self.slots[at].group.handle(now(&self.shared), event);
    }

    /// Passes an event to all groups that take part in the present cycle.
    fn tell_awake<'e>(&mut self, event: impl Fn() -> Event<'e>) {
        let now = now(&self.shared);
        for at in &self.awake {
            self.slots[*at].group.handle(now, event());
        }
    }

    /// Passes an event to all groups.
    fn tell_all<'e>(&mut self, event: impl Fn() -> Event<'e>) {
        (0..self.slots.len()).for_each(|at| self.tell(at, event()));
    }

    /// Handles a frame from `sender`.
    ///
    /// # Errors
    /// This member has lost entries that others count on, or the disk failed.
    pub(crate) fn receive(&mut self, sender: Sender, frame: Bytes) -> Result<(), Fatal> {
        let from = sender.server;
        let length = frame.len();
        let message = match PeerMessage::read(frame) {
            Ok(PeerMessage::Group(group, _)) if group.0 >= self.slots.len() as u64 => {
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
        if !self.root().admits(sender.is_proven, &message) {
            if !message.is_of_joining() {
                tracing::warn!("a peer that has not proven to be a member speaks as server.{from}");
                self.transport.hang_up(sender);
            }
            return Ok(());
        }
        self.heard_from(from);
        match message {
            PeerMessage::Server(ServerMessage::QuietGroups(groups)) => self.on_quiet_groups(from, &groups),
            PeerMessage::Server(ServerMessage::Alive) => {
                self.tell_awake(|| Event::ServerSaid {
                    from,
                    is_vouched_for: false,
                    message: ServerMessage::Alive,
                });
            }
            PeerMessage::Server(message) => {
                let is_vouched_for = match &message {
                    ServerMessage::Newcomer { nonce, .. } => self.transport.vouches(from, *nonce),
                    _ => false,
                };
                self.tell(0, Event::ServerSaid { from, is_vouched_for, message });
            }
            PeerMessage::Group(..) if !self.root().hears(from) => {}
            PeerMessage::Group(group, message) => {
                self.on_group_message(group.index(), from, message, length)?;
            }
        }
        self.act()
    }

    fn on_group_message(
        &mut self,
        at: usize,
        from: ServerId,
        message: GroupMessage,
        length: usize,
    ) -> Result<(), Fatal> {
        match message {
            // An engine cannot be told to leave entries out, so a message for which the log has no
            // room does not reach it: to the sender the message is lost, and it resends it.
            GroupMessage::Engine { from: member, bytes } => {
                let has_room = self.make_room(length + MESSAGE_SLACK_BYTES)?;
                self.tell(at, Event::EngineSaid { from, member, bytes, has_room });
            }
            GroupMessage::Fetch { snapshot, offset } => {
                self.wake(at);
                self.slots[at].on_fetch(from, snapshot, offset);
            }
            GroupMessage::Chunk { snapshot, length, offset, bytes } => {
                self.wake(at);
                self.slots[at].on_chunk(from, snapshot, length, offset, &bytes);
            }
            GroupMessage::Damaged(snapshot) => {
                self.wake(at);
                self.slots[at].on_damaged(from, snapshot);
            }
            message => self.tell(at, Event::MemberSaid { from, message }),
        }
        Ok(())
    }

    /// The connection to a server has opened, for the first time or again. The next cycle carries
    /// out what the group wants then.
    pub(crate) fn link_up(&mut self, server: ServerId) {
        self.tell_all(|| Event::LinkUp(server));
    }

    /// A server has closed its connection.
    pub(crate) fn link_down(&mut self, server: ServerId) {
        self.tell_all(|| Event::LinkDown(server));
    }

    /// Makes everything durable and releases the directories.
    pub(crate) fn end(mut self) -> Result<(), Fatal> {
        self.slots.iter_mut().for_each(|slot| slot.snapshots.give_up());
        self.log.close()?;
        drop(self.data_dir);
        Ok(())
    }
}

#[cfg(any(test, feature = "testing"))]
impl<T: Transport> Host<T> {
    /// The transport that carries this server's frames.
    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The group of that number.
    pub(crate) fn group(&self, id: GroupId) -> &Group {
        &self.slots[id.index()].group
    }

    /// This member's replica of that group, mutable so that a caller can change what it records.
    pub(crate) fn replica_mut(&mut self, id: GroupId) -> &mut group::Replica {
        &mut self.slots[id.index()].group.replica
    }
}

fn now(shared: &Shared) -> Now {
    let us = shared.clock.elapsed_us();
    Now { us, ms: (us / 1_000) as i64, wall_ms: shared.clock.wall_ms() }
}

/// The part of the configuration that a group needs. Only the root group's members can be changed
/// by requests; the other groups follow it.
fn group_settings(shared: &Shared, id: GroupId) -> GroupSettings {
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
    let is_root = id == GroupId::ROOT;
    GroupSettings {
        id,
        ensemble,
        reconfig: is_root && config.requests.reconfig,
        read_only_mode: config.requests.read_only_mode,
        features: features_of(shared.features, id),
        containers: ContainerSettings {
            check_interval_ms: i64::from(containers.check_interval_ms),
            per_minute_max: containers.per_minute_max,
            never_used_ms_max,
        },
        election_ticks: recovery::election_ticks(config),
    }
}

/// The features of a group: a request to change the members is refused in all but the root group.
fn features_of(features: Features, id: GroupId) -> Features {
    if id == GroupId::ROOT { features } else { features.without(Features::RECONFIG) }
}
