//! A member's disk: flushed data survives a crash, and possibly a prefix of the rest.

use std::collections::VecDeque;

use crate::engine::{Ready, Start};
use crate::entry::{Entry, HardState};
use crate::membership::SnapshotMeta;

/// A snapshot: its metadata, and the full history of the state machine.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) meta: SnapshotMeta,
    pub(super) history: Vec<Entry>,
}

struct Write {
    number: u64,
    install: Option<Snapshot>,
    entries: Vec<Entry>,
    hard_state: Option<HardState>,
}

pub(super) struct Disk {
    hard_state: HardState,
    pub(super) snapshot: Snapshot,
    entries: Vec<Entry>,
    unflushed: VecDeque<Write>,
}

impl Disk {
    pub(super) fn new(start: Start) -> Self {
        let snapshot = Snapshot { meta: start.snapshot, history: Vec::new() };
        Self { hard_state: start.hard_state, snapshot, entries: start.entries, unflushed: VecDeque::new() }
    }

    pub(super) fn start(&self) -> Start {
        let snapshot = self.snapshot.meta.clone();
        Start { hard_state: self.hard_state, snapshot, entries: self.entries.clone() }
    }

    pub(super) fn write(&mut self, ready: &Ready, install: Option<Snapshot>) {
        let Ready { number, entries, hard_state, .. } = ready;
        let has_content = install.is_some() || !entries.is_empty() || hard_state.is_some();
        assert!(
            ready.must_sync || (install.is_none() && entries.is_empty()),
            "entries and snapshots are always flushed"
        );
        if has_content {
            let (number, entries, hard_state) = (*number, entries.clone(), *hard_state);
            self.unflushed.push_back(Write { number, install, entries, hard_state });
        }
    }

    pub(super) fn flush(&mut self, number: u64) {
        while self.unflushed.front().is_some_and(|write| write.number <= number) {
            let write = self.unflushed.pop_front().expect("just seen");
            self.store(write);
        }
    }

    /// Of the unflushed writes, `writes` whole ones survive, and up to `entries` entries of the
    /// next one.
    pub(super) fn crash(&mut self, writes: usize, entries: usize) {
        let mut unflushed = std::mem::take(&mut self.unflushed).into_iter();
        for write in unflushed.by_ref().take(writes) {
            self.store(write);
        }
        if let Some(mut torn) = unflushed.next().filter(|write| write.install.is_none()) {
            torn.entries.truncate(entries);
            torn.hard_state = None;
            self.store(torn);
        }
    }

    pub(super) fn unflushed_count(&self) -> usize {
        self.unflushed.len()
    }

    /// Whether a crash now would keep the entry, in the log or in the snapshot.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        entry.index <= self.snapshot.meta.position.index || self.entries.contains(entry)
    }

    /// A snapshot of the member's own state machine: durable at once, and entries before
    /// `first_index_kept` are no longer needed.
    pub(super) fn compact(&mut self, snapshot: Snapshot, first_index_kept: u64) {
        self.snapshot = snapshot;
        self.entries.retain(|entry| entry.index >= first_index_kept);
    }

    fn store(&mut self, write: Write) {
        if let Some(snapshot) = write.install {
            self.snapshot = snapshot;
            self.entries.clear();
        }
        for entry in write.entries {
            self.entries.retain(|known| known.index < entry.index);
            self.entries.push(entry);
        }
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
    }
}
