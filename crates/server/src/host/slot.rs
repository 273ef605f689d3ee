//! One consensus group in its host: the group, and what the host keeps for it alone.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use consensus::engine::Ready;
use group::group::Group;
use group::message::GroupMessage;
use group::{GroupId, Replica};

use super::recovery::{Files, Loading};
use super::snapshots::Snapshots;
use super::transfer::{Fetched, Fetching};
use super::{group_settings, now};
use crate::host::identity::Identity;
use crate::host::replies::Replies;
use crate::namespace::Namespace;
use crate::shared::Shared;

/// Most commands applied before waiting readers get the machine.
const APPLY_RUN: usize = 256;

/// With more committed entries than this unapplied, the member is behind because it was kept from
/// receiving them, not because they have just arrived. It catches up in smaller runs and yields the
/// processor between them, to servers on the same machine that are not behind and to their clients.
const BEHIND: usize = 8;

/// Commands in one run of a member that is behind.
const BEHIND_RUN: usize = 64;

/// A group and what the host keeps for it.
pub(super) struct Slot {
    pub(super) shared: Arc<Shared>,
    pub(super) group: Group,
    pub(super) snapshots: Snapshots,
    pub(super) fetching: Option<Fetching>,
    pub(super) fetched: Option<Fetched>,
    /// What the engine wants done in this round of the cycle.
    pub(super) ready: Ready,
    /// The engine wants something done in this round.
    pub(super) is_ready: bool,
    /// Entries were appended that the next flush makes durable.
    pub(super) has_appended: bool,
    /// It takes part in the present cycle.
    pub(super) is_awake: bool,
    /// Requests were passed to it in the present cycle.
    pub(super) has_submitted: bool,
    /// What the replica kept in bytes when its last cycle ended.
    pub(super) kept_bytes: usize,
}

impl Slot {
    /// The group as it was recovered.
    pub(super) fn new(
        shared: &Arc<Shared>,
        id: GroupId,
        identity: &Identity,
        replica: Replica,
        snapshots: Snapshots,
    ) -> Slot {
        let namespace = shared.namespace(id);
        let now_ms = shared.clock.elapsed_ms();
        for session in namespace.machine.read().sessions() {
            namespace.sessions.opened(session.id, session.timeout_ms, now_ms);
        }
        let of_group = namespace.of_group(&shared.read_progress);
        let settings = group_settings(shared, id);
        Slot {
            shared: Arc::clone(shared),
            group: Group::new(of_group, settings, identity.of_member(), replica, now(shared)),
            snapshots,
            fetching: None,
            fetched: None,
            ready: Ready::default(),
            is_ready: false,
            has_appended: false,
            is_awake: true,
            has_submitted: false,
            kept_bytes: 0,
        }
    }

    /// Its snapshots, which are in the directory of all groups' snapshots.
    pub(super) fn snapshots(
        shared: &Arc<Shared>,
        id: GroupId,
        files: &Files,
        dir: &std::path::Path,
    ) -> Snapshots {
        Snapshots::new(shared, id, files.clone(), dir.to_owned())
    }

    /// The group's state as the server's threads see it.
    pub(super) fn namespace(&self) -> &Namespace {
        self.shared.namespace(self.group.id())
    }

    /// Records what loading the files took.
    pub(super) fn record_loading(&self, loading: &Loading) {
        let counts = &self.namespace().counts;
        counts.snapshot_load_time.record(loading.snapshot_us);
        counts.log_load_time.record(loading.log_us);
        counts.log_loaded.record(loading.entries);
    }

    /// Takes over what the engine wants done; `false` if nothing.
    pub(super) fn take_ready(&mut self) -> bool {
        self.is_ready = self.group.replica.ready(&mut self.ready);
        if self.is_ready {
            self.send_engine();
        }
        self.is_ready
    }

    fn send_engine(&mut self) {
        let from = self.group.replica.member();
        for message in self.ready.messages.drain(..) {
            let to = group::server_of(message.to);
            self.group.send_group(to, GroupMessage::Engine { from, bytes: message.bytes });
        }
    }

    /// Turns the group's messages for other members into actions.
    pub(super) fn send_outgoing(&mut self) {
        let messages: Vec<_> = self.group.replica.take_outgoing().collect();
        for (to, message) in messages {
            self.group.send_group(to, message);
        }
    }

    /// Whether committed entries may be applied before this round's flush: they are flushed
    /// already, so the clients waiting for them need not wait for this flush as well. A membership
    /// change is the exception: the engine acts on it only when this flush is done, and applying it
    /// asks the engine for the members.
    pub(super) fn may_apply_early(&self) -> bool {
        self.is_ready
            && self.ready.must_sync
            && self.ready.install_snapshot.is_none()
            && !self.group.replica.is_to_change_members()
    }

    /// Applies every committed entry, in runs short enough for readers in between; returns the
    /// number of commands. The connection threads are not woken for the last run: the host wakes
    /// them when it has applied the entries of all groups.
    pub(super) fn apply(&mut self) -> u64 {
        let shared = Arc::clone(&self.shared);
        let namespace = shared.namespace(self.group.id());
        let mut gathered = Replies::new(&shared, namespace);
        let before = self.group.replica.applied_commands();
        let now_ms = shared.clock.wall_ms();
        let mut is_first = true;
        while self.group.replica.has_work() {
            if !std::mem::take(&mut is_first) {
                gathered.wake();
            }
            let is_behind = self.group.replica.entries_behind() > BEHIND;
            let run = if is_behind { BEHIND_RUN } else { APPLY_RUN };
            let mut machine = namespace.machine.write();
            self.group.replica.apply(now_ms, &mut machine, &mut gathered, run);
            gathered.post();
            drop(machine);
            if is_behind {
                std::thread::yield_now();
            }
        }
        self.group.replica.applied_commands() - before
    }

    /// Counts an entry that was appended to the log.
    pub(super) fn count_appended(&mut self, index: u64, term: u64, bytes: usize) {
        self.has_appended = true;
        self.snapshots.count_bytes(bytes);
        let counts = &self.namespace().counts;
        counts.last_index.store(index, Relaxed);
        counts.last_term.store(term, Relaxed);
    }
}
