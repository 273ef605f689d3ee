//! Transfer of snapshots from one member to another. The receiver requests each chunk, so it sets
//! the pace.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use consensus::engine::SnapshotOffer;
use consensus::entry::Position;
use consensus::membership::SnapshotMeta;
use group::message::{GroupMessage, SnapshotId};
use state::machine::Machine;
use storage::snapshot::{self, Incoming, IncomingError, SnapshotError, SnapshotFile, SnapshotName};

use super::slot::Slot;
use super::{Fatal, Host, recovery};
use crate::config::ServerId;
use crate::transport::Transport;

/// A snapshot whose index is this much higher than the one offered is rejected.
const ENTRIES_AHEAD_MAX: u64 = 1 << 40;

/// A snapshot being fetched.
pub(super) struct Fetching {
    from: ServerId,
    /// The least index worth fetching.
    index_min: u64,
    /// The part received, once there is one.
    incoming: Option<(SnapshotId, Incoming)>,
    /// Whether a chunk arrived since the last check.
    moved: bool,
}

impl Fetching {
    /// Bytes received.
    pub(super) fn fetched_bytes(&self) -> u64 {
        self.incoming.as_ref().map_or(0, |(_, incoming)| incoming.written())
    }
}

/// A snapshot of another member that is loaded, and that the engine has not installed yet.
pub(super) struct Fetched {
    position: Position,
    machine: Machine,
}

impl Slot {
    /// The leader no longer has the entries that this member lacks: starts to fetch its snapshot
    /// instead.
    pub(super) fn consider_offer(&mut self, offer: &SnapshotOffer) {
        let (from, index_min) = (group::server_of(offer.from), offer.meta.position.index);
        let is_news = self.fetching.as_ref().is_none_or(|f| f.from != from || f.index_min < index_min);
        if !is_news {
            return;
        }
        if self.fetching.is_none() {
            tracing::info!(
                "server.{from} has dropped the entries that are missing here: fetching its snapshot"
            );
        }
        match &mut self.fetching {
            // The snapshot being fetched may turn out to be new enough.
            Some(fetching) if fetching.from == from && fetching.incoming.is_some() => {
                fetching.index_min = index_min;
            }
            _ => {
                self.fetching = Some(Fetching { from, index_min, incoming: None, moved: false });
                self.ask_chunk();
            }
        }
    }

    fn ask_chunk(&mut self) {
        let Some(fetching) = &self.fetching else { return };
        let (snapshot, offset) = match &fetching.incoming {
            Some((id, incoming)) => (*id, incoming.written()),
            None => (SnapshotId { index: fetching.index_min, ..SnapshotId::default() }, 0),
        };
        let from = fetching.from;
        self.group.send_group(from, GroupMessage::Fetch { snapshot, offset });
    }

    /// Repeats the request if no chunk has arrived since the last call.
    pub(super) fn fetch_on(&mut self) {
        let Some(fetching) = &mut self.fetching else { return };
        if !std::mem::take(&mut fetching.moved) {
            self.ask_chunk();
        }
    }

    /// Another member requests a chunk of a snapshot. It gets one of the snapshot it names if that
    /// still exists, else of the newest, if that is new enough.
    pub(super) fn on_fetch(&mut self, to: ServerId, wanted: SnapshotId, offset: u64) {
        let chunk = self.read_chunk(to, wanted, offset).unwrap_or_else(|e| {
            tracing::warn!("a snapshot for server.{to}: {e}");
            None
        });
        match chunk {
            Some(chunk) => self.group.send_group(to, chunk),
            // The next snapshot will be new enough, and the member will repeat its request.
            None if wanted.index <= self.group.replica.applied_index() => self.snapshots.ask(),
            None => {}
        }
    }

    fn read_chunk(
        &mut self,
        to: ServerId,
        wanted: SnapshotId,
        offset: u64,
    ) -> Result<Option<GroupMessage>, SnapshotError> {
        let (disk, dir) = (self.snapshots.disk(), self.snapshots.dir());
        let names = snapshot::list(disk.as_ref(), dir, self.group.id().0)?;
        let named = names.iter().find(|name| id(name) == wanted);
        let newest = names.first().filter(|name| name.index >= wanted.index);
        let (name, offset) = match (named, newest) {
            (Some(name), _) => (*name, offset),
            (None, Some(name)) => (*name, 0),
            (None, None) => return Ok(None),
        };
        let file = SnapshotFile::open(disk.as_ref(), dir, name)?;
        let mut bytes = vec![0; self.shared.config.storage.snapshot_piece_bytes];
        let read = file.read_chunk(offset, &mut bytes)?;
        bytes.truncate(read);
        let bytes = Bytes::from(bytes);
        if offset == 0 {
            self.namespace().counts.snapshots_given.fetch_add(1, Relaxed);
        }
        self.snapshots.extend_lease(to, name, self.shared.clock.elapsed_ms());
        Ok(Some(GroupMessage::Chunk { snapshot: id(&name), length: file.len(), offset, bytes }))
    }

    /// Handles a chunk from another member.
    pub(super) fn on_chunk(
        &mut self,
        from: ServerId,
        snapshot: SnapshotId,
        length: u64,
        offset: u64,
        bytes: &[u8],
    ) {
        let Some(fetching) = self.fetching.as_mut().filter(|fetching| fetching.from == from) else { return };
        match self.snapshots.write_chunk(fetching, snapshot, length, offset, bytes) {
            Ok(false) => {}
            Ok(true) => return self.finish_fetch(),
            Err(e) => {
                tracing::warn!("the snapshot of server.{from} cannot be taken: {e}");
                fetching.incoming = None;
                return;
            }
        }
        self.ask_chunk();
    }

    fn finish_fetch(&mut self) {
        let Some(Fetching { from, incoming: Some((id, incoming)), .. }) = self.fetching.take() else {
            return;
        };
        if let Err(e) = incoming.finish() {
            tracing::warn!("the snapshot of server.{from} is of no use: {e}");
            if matches!(e, IncomingError::Damaged { .. }) {
                self.group.send_group(from, GroupMessage::Damaged(id));
            }
            return;
        }
        let name = SnapshotName { group: self.group.id().0, index: id.index, term: id.term, zxid: id.zxid };
        if let Err(why) = self.take_fetched(name) {
            tracing::warn!("the snapshot of server.{from} is of no use: {why}");
            self.snapshots.discard(&name);
        }
    }

    /// Loads a snapshot that has arrived, before the engine gives up its own state for it: a
    /// snapshot that cannot be loaded then costs nothing.
    fn take_fetched(&mut self, name: SnapshotName) -> Result<(), String> {
        let position = Position { term: name.term, index: name.index };
        // A snapshot holds only committed entries, so its leader's term is known here.
        if position.term > self.group.replica.role().term {
            return Err(format!("it is of term {}, which nobody has led in", position.term));
        }
        let (disk, dir) = (self.snapshots.disk(), self.snapshots.dir());
        let (meta, machine) = recovery::load(disk.as_ref(), dir, name).map_err(|e| e.to_string())?;
        if meta.position != position {
            return Err("it is not what its name says".to_owned());
        }
        tracing::info!("the snapshot at entry {} is here", position.index);
        self.fetched = Some(Fetched { position, machine });
        self.group.replica.snapshot_fetched(meta);
        Ok(())
    }

    /// Another member received a damaged snapshot from here. If it is the newest snapshot, that
    /// member would fetch it again and again.
    pub(super) fn on_damaged(&mut self, from: ServerId, damaged: SnapshotId) {
        let newest = snapshot::list(self.snapshots.disk().as_ref(), self.snapshots.dir(), self.group.id().0)
            .ok()
            .and_then(|names| names.first().map(id));
        if newest == Some(damaged) {
            tracing::warn!(
                "server.{from} says that the snapshot at entry {} of this disk is damaged: a new one is written",
                damaged.index
            );
            self.snapshots.replace();
        }
    }
}

impl<T: Transport> Host<T> {
    /// Makes the fetched snapshot the base of this member's log and state. Clients here have
    /// watches on znodes that may have changed unseen, so their connections are closed before any
    /// client can read the new state: on reconnecting they tell the last zxid they saw, and one
    /// later than a change whose event they did not get would make them miss it for good.
    pub(super) fn install(&mut self, at: usize, meta: &SnapshotMeta) -> Result<(), Fatal> {
        let position = meta.position;
        let slot = &mut self.slots[at];
        let group = slot.group.id();
        slot.snapshots.give_up();
        let machine = match slot.fetched.take().filter(|fetched| fetched.position == position) {
            Some(fetched) => fetched.machine,
            None => {
                let (disk, dir) = (slot.snapshots.disk(), slot.snapshots.dir());
                recovery::load_snapshot_at(disk.as_ref(), dir, group, position)
                    .map_err(|e| Fatal::Install(Box::new(e)))?
            }
        };
        self.log.reserve(std::iter::once(0))?;
        self.log.reset(group.0, position.index, position.term)?;
        self.flush()?;
        let shared = Arc::clone(&self.shared);
        let namespace = shared.namespace(group);
        let now_ms = shared.clock.elapsed_ms();
        let mut held = namespace.machine.write();
        let old = std::mem::replace(&mut *held, machine);
        namespace.sessions.replace(held.sessions().map(|s| (s.id, s.timeout_ms)), now_ms);
        namespace.counts.snapshot_index.store(position.index, Relaxed);
        namespace.counts.last_index.store(position.index, Relaxed);
        let slot = &mut self.slots[at];
        slot.group.replica.installed(position.index);
        slot.post_closing();
        drop(held);
        self.wake_connection_threads();
        drop(old);
        tracing::info!("this member goes on from the snapshot at entry {}", position.index);
        Ok(())
    }
}

impl super::snapshots::Snapshots {
    /// Writes the chunk if it is the next one, starting over if it belongs to another snapshot;
    /// `true` if it was the last.
    fn write_chunk(
        &self,
        fetching: &mut Fetching,
        snapshot: SnapshotId,
        length: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<bool, IncomingError> {
        if fetching.incoming.as_ref().is_none_or(|(id, _)| *id != snapshot) {
            let expected = fetching.index_min..=fetching.index_min.saturating_add(ENTRIES_AHEAD_MAX);
            if offset != 0 || !expected.contains(&snapshot.index) {
                return Ok(false);
            }
            let SnapshotId { index, term, zxid } = snapshot;
            let name = SnapshotName { group: self.group().0, index, term, zxid };
            fetching.incoming = None;
            let incoming = Incoming::create(Arc::clone(self.disk()), self.dir(), name, length)?;
            fetching.incoming = Some((snapshot, incoming));
        }
        let Some((_, incoming)) = &mut fetching.incoming else { return Ok(false) };
        if offset == incoming.written() {
            fetching.moved = true;
            incoming.write_chunk(offset, bytes)?;
        }
        Ok(incoming.written() == length)
    }
}

fn id(name: &SnapshotName) -> SnapshotId {
    SnapshotId { index: name.index, term: name.term, zxid: name.zxid }
}
