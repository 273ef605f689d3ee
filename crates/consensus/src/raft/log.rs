//! The log in memory, as the `raft` crate reads it.
//!
//! It holds what was given out to persist, flushed or not, since some position the host no longer needs to keep. The disk
//! is written by the host and read only at its next start.

use std::cell::Cell;
use std::collections::VecDeque;

use ::raft::eraftpb::{Entry as RaftEntry, Snapshot};
use ::raft::{GetEntriesContext, RaftState, Result, Storage, StorageError};

use super::convert;
use crate::engine::Start;
use crate::entry::{Entry, HardState, MemberId, Position};
use crate::membership::SnapshotMeta;

/// Entries since `before`, and the newest snapshot.
pub(super) struct Log {
    /// Where the first entry is attached. Invariant: `before.index <= snapshot.position.index`, so that a member that
    /// loaded the snapshot can go on from the entries.
    before: Position,
    /// Contiguous from `before.index + 1`.
    entries: VecDeque<Entry>,
    /// Sum of the data lengths of `entries`.
    bytes: u64,
    snapshot: SnapshotMeta,
    /// As at the start; the crate reads it once.
    hard_state: HardState,
    /// A follower needed a snapshot and there was none. A cell, since the crate asks through a shared reference.
    pub(super) snapshot_wanted: Cell<bool>,
}

impl Log {
    /// Puts together what a member remembers, see [`Start`].
    pub(super) fn new(start: Start) -> Self {
        let Start { mut hard_state, snapshot, entries } = start;
        let base = snapshot.position;
        let mut log = Self {
            before: base,
            entries: entries.into(),
            bytes: 0,
            snapshot,
            hard_state,
            snapshot_wanted: Cell::new(false),
        };
        log.attach(base);
        log.bytes = log.entries.iter().map(|entry| entry.data.len() as u64).sum();
        hard_state.commit = hard_state.commit.clamp(base.index, log.last_position().index);
        if hard_state.term < log.last_position().term {
            // Entries are written before the hard state; the vote belongs to the term it was cast in.
            hard_state = HardState { term: log.last_position().term, vote: None, ..hard_state };
        }
        log.hard_state = hard_state;
        log
    }

    /// Drops all entries unless they continue the snapshot that ends at `base`.
    ///
    /// A crash between installing a snapshot and emptying the old log leaves entries that end before it or that lost
    /// against those in it; they must not be taken for what follows.
    fn attach(&mut self, base: Position) {
        let Some(first) = self.entries.front().map(Entry::position) else { return };
        for pair in self.entries.iter().zip(self.entries.iter().skip(1)) {
            assert!(pair.0.index + 1 == pair.1.index && pair.0.term <= pair.1.term, "a log without gaps");
        }
        if first.index == base.index + 1 {
            assert!(first.term >= base.term, "the entry after a snapshot is not from an earlier term");
            return;
        }
        let agrees = first.index <= base.index
            && self.entries.get((base.index - first.index) as usize).map(Entry::position) == Some(base);
        if agrees {
            // The term before the first entry is not known, so it takes that part itself.
            self.before = first;
            self.entries.pop_front();
        } else {
            self.entries.clear();
        }
    }

    pub(super) fn first_index(&self) -> u64 {
        self.before.index + 1
    }

    pub(super) fn last_position(&self) -> Position {
        self.entries.back().map_or(self.before, Entry::position)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn snapshot_meta(&self) -> &SnapshotMeta {
        &self.snapshot
    }

    pub(super) fn position(&self, index: u64) -> Option<Position> {
        if index == self.before.index {
            return Some(self.before);
        }
        let offset = index.checked_sub(self.first_index())?;
        self.entries.get(usize::try_from(offset).ok()?).map(Entry::position)
    }

    /// Appends; an index already there replaces everything from it on.
    pub(super) fn append(&mut self, entry: Entry) {
        assert!(entry.index > self.before.index, "what is dropped was committed and cannot be replaced");
        while self.last_position().index >= entry.index {
            let replaced = self.entries.pop_back().expect("positions after `before` have entries");
            self.bytes -= replaced.data.len() as u64;
        }
        assert_eq!(self.last_position().index + 1, entry.index, "entries are contiguous");
        self.bytes += entry.data.len() as u64;
        self.entries.push_back(entry);
    }

    /// Starts over after a snapshot of another member.
    pub(super) fn install(&mut self, snapshot: SnapshotMeta) {
        assert!(snapshot.position.index > self.snapshot.position.index, "snapshots only go forward");
        self.before = snapshot.position;
        self.entries.clear();
        self.bytes = 0;
        self.snapshot = snapshot;
    }

    /// Takes note of a snapshot and drops entries below `first_index_kept`.
    pub(super) fn compact(&mut self, snapshot: &SnapshotMeta, first_index_kept: u64) {
        let index = snapshot.position.index;
        if index > self.snapshot.position.index {
            assert_eq!(self.position(index), Some(snapshot.position), "a snapshot of this log");
            self.snapshot = snapshot.clone();
        }
        let kept = first_index_kept.min(self.snapshot.position.index + 1);
        while self.first_index() < kept {
            let Some(dropped) = self.entries.pop_front() else { break };
            self.bytes -= dropped.data.len() as u64;
            self.before = dropped.position();
        }
        // A burst must not keep its room for ever.
        if self.entries.capacity() > 1024 && self.entries.capacity() / 4 > self.entries.len() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Whether the snapshot can be offered to `member`. The bootstrap has no bytes anywhere, and a snapshot from before a
    /// member was added would tell it that it does not belong.
    fn has_snapshot_for(&self, member: MemberId) -> bool {
        let is_stored = self.snapshot.position.index > SnapshotMeta::BOOTSTRAP.index;
        is_stored && self.snapshot.membership.contains(member)
    }
}

impl Storage for Log {
    fn initial_state(&self) -> Result<RaftState> {
        let conf_state = convert::conf_state(&self.snapshot.membership);
        Ok(RaftState::new(convert::raft_hard_state(self.hard_state), conf_state))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<RaftEntry>> {
        if low < self.first_index() {
            return Err(StorageError::Compacted.into());
        }
        let from = (low - self.first_index()) as usize;
        let to = (high - self.first_index()) as usize;
        assert!(to <= self.entries.len(), "the crate asks for entries beyond the log");
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        let mut bytes = 0;
        let mut found = Vec::with_capacity((to - from).min(1024));
        for entry in self.entries.range(from..to) {
            bytes += entry.data.len() as u64;
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(convert::raft_entry(entry));
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> Result<u64> {
        match self.position(index) {
            Some(position) => Ok(position.term),
            // A snapshot given by the host may end inside the entries, never before them.
            None if index < self.before.index => Err(StorageError::Compacted.into()),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(Self::first_index(self))
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last_position().index)
    }

    fn snapshot(&self, _request_index: u64, to: u64) -> Result<Snapshot> {
        if !self.has_snapshot_for(MemberId(to)) {
            self.snapshot_wanted.set(true);
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(convert::snapshot(&self.snapshot))
    }
}
