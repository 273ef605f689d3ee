//! The log in memory, and how a member reconstructs it at start.
//!
//! It holds everything given out to persist, flushed or not, since a position below which the host
//! needs nothing. The host writes the disk, and reads it only at its next start.

use std::collections::VecDeque;

use crate::engine::Start;
use crate::entry::{Entry, EntryKind, HardState, MemberId, Position};
use crate::membership::SnapshotMeta;

/// Entries after `before`, and the newest snapshot.
pub(crate) struct Log {
    /// The position before the first entry. Invariant: `before.index <= snapshot.position.index`,
    /// so that a member that loaded the snapshot can continue from the entries.
    before: Position,
    /// Contiguous from `before.index + 1`.
    entries: VecDeque<Entry>,
    /// Sum of the data lengths of `entries`.
    bytes: u64,
    snapshot: SnapshotMeta,
}

impl Log {
    /// Reconstructs the log from the persisted state, see [`Start`]; also returns the hard state,
    /// made consistent with it.
    pub(crate) fn new(start: Start) -> (Self, HardState) {
        let Start { mut hard_state, snapshot, entries } = start;
        let base = snapshot.position;
        let mut log = Self { before: base, entries: entries.into(), bytes: 0, snapshot };
        log.attach(base);
        log.bytes = log.entries.iter().map(|entry| entry.data.len() as u64).sum();
        let commit = hard_state.commit.clamp(base.index, log.last_position().index);
        hard_state.commit = commit.max(log.committed_change());
        if hard_state.term < log.last_position().term {
            // Entries are written before the hard state; the vote belongs to the term it was cast
            // in.
            hard_state = HardState { term: log.last_position().term, vote: None, ..hard_state };
        }
        (log, hard_state)
    }

    /// Index of the last membership change that is followed by another one; 0 before the second
    /// change.
    ///
    /// A leader proposes a change only once the one before is committed. So a log that holds both
    /// proves the first committed, even if the crash came between writing the entries and the
    /// commit given out with them. A member that holds the second change must count votes by the
    /// first.
    fn committed_change(&self) -> u64 {
        let mut changes = self.entries.iter().rev().filter(|entry| entry.kind == EntryKind::Membership);
        changes.nth(1).map_or(0, |entry| entry.index)
    }

    /// Drops all entries unless they continue the snapshot that ends at `base`.
    ///
    /// A crash between installing a snapshot and emptying the old log leaves entries that end
    /// before the snapshot, or conflict with entries it covers; they must not be taken for its
    /// continuation.
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
            // The term of the entry before `first` is not known, so `first` itself becomes
            // `before`.
            self.before = first;
            self.entries.pop_front();
        } else {
            self.entries.clear();
        }
    }

    pub(crate) fn first_index(&self) -> u64 {
        self.before.index + 1
    }

    /// The position before the first entry.
    pub(crate) fn before(&self) -> Position {
        self.before
    }

    /// The last position that is at or before `hint` in both index and term: where another log that
    /// holds `hint` may match. Not before the first entry.
    pub(crate) fn last_at_or_before(&self, hint: Position) -> Position {
        let count =
            self.entries.partition_point(|entry| entry.index <= hint.index && entry.term <= hint.term);
        count.checked_sub(1).map_or(self.before, |place| self.entries[place].position())
    }

    pub(crate) fn last_position(&self) -> Position {
        self.entries.back().map_or(self.before, Entry::position)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn snapshot_meta(&self) -> &SnapshotMeta {
        &self.snapshot
    }

    pub(crate) fn position(&self, index: u64) -> Option<Position> {
        if index == self.before.index {
            return Some(self.before);
        }
        let offset = index.checked_sub(self.first_index())?;
        self.entries.get(usize::try_from(offset).ok()?).map(Entry::position)
    }

    /// Appends; an entry at an index already there replaces everything from it on.
    pub(crate) fn append(&mut self, entry: Entry) {
        assert!(entry.index > self.before.index, "what is dropped was committed and cannot be replaced");
        while self.last_position().index >= entry.index {
            let replaced = self.entries.pop_back().expect("positions after `before` have entries");
            self.bytes -= replaced.data.len() as u64;
        }
        assert_eq!(self.last_position().index + 1, entry.index, "entries are contiguous");
        self.bytes += entry.data.len() as u64;
        self.entries.push_back(entry);
    }

    /// Entries from `low` to before `high`, but at most `bytes_max` of data unless the first one is
    /// longer.
    pub(crate) fn range(&self, low: u64, high: u64, bytes_max: u64) -> impl Iterator<Item = &Entry> {
        let first = self.first_index();
        let mut bytes = 0;
        let found = self.entries.range((low - first) as usize..(high - first) as usize);
        found.take_while(move |entry| {
            bytes += entry.data.len() as u64;
            bytes <= bytes_max || entry.index == low
        })
    }

    /// Starts over from a snapshot of another member.
    pub(crate) fn install(&mut self, snapshot: SnapshotMeta) {
        assert!(snapshot.position.index > self.snapshot.position.index, "snapshots only go forward");
        self.before = snapshot.position;
        self.entries.clear();
        self.bytes = 0;
        self.snapshot = snapshot;
    }

    /// Records a snapshot and drops entries below `first_index_kept`.
    pub(crate) fn compact(&mut self, snapshot: &SnapshotMeta, first_index_kept: u64) {
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
        // Free the memory that a burst of entries took.
        if self.entries.capacity() > 1024 && self.entries.capacity() / 4 > self.entries.len() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    /// Whether the snapshot can be offered to `member`. The bootstrap snapshot has no bytes to
    /// fetch, and one from before the member was added would exclude it.
    pub(crate) fn has_snapshot_for(&self, member: MemberId) -> bool {
        let is_stored = self.snapshot.position.index > SnapshotMeta::BOOTSTRAP.index;
        is_stored && self.snapshot.membership.contains(member)
    }
}
