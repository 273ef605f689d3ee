//! The membership at each position of the log, whether chosen yet or not.

use std::collections::VecDeque;

use crate::entry::{Entry, EntryKind};
use crate::membership::{Membership, MembershipChange, SnapshotMeta};

/// See the module.
pub(super) struct Members {
    /// From each index on, the membership that holds if the log is chosen up to there; rising.
    /// Invariant: never empty, and the first is at or below the newest snapshot.
    history: VecDeque<(u64, Membership)>,
    /// Changes up to this index are chosen, and that is flushed here: the index of
    /// [`shown`](Self::shown).
    flushed: u64,
    /// Per `Ready` in flight to the disk: its number, and the index up to which it makes changes
    /// durable; rising.
    flushing: VecDeque<(u64, u64)>,
}

impl Members {
    /// As of a snapshot; changes after it up to `flushed` are known to be chosen.
    pub(super) fn new(snapshot: SnapshotMeta, flushed: u64) -> Self {
        let index = snapshot.position.index;
        Self { history: VecDeque::from([(index, snapshot.membership)]), flushed, flushing: VecDeque::new() }
    }

    /// Records an entry at the end of the log. Returns the index of the previous change, which must
    /// be chosen, since this one follows it.
    pub(super) fn append(&mut self, entry: &Entry) -> Option<u64> {
        if entry.kind != EntryKind::Membership {
            return None;
        }
        let change = MembershipChange::from_bytes(&entry.data).expect("checked when proposed or received");
        let (before, last) = self.history.back().expect("the history is never empty");
        let before = *before;
        // A change that would leave no voter changes nothing, on every member alike.
        let next = last.with(change).unwrap_or_else(|| last.clone());
        self.history.push_back((entry.index, next));
        Some(before)
    }

    /// Entries from `index` on are gone. They were not chosen, so the first membership stays.
    pub(super) fn truncate(&mut self, index: u64) {
        while self.history.back().is_some_and(|(from, _)| *from >= index) {
            self.history.pop_back();
        }
        assert!(!self.history.is_empty(), "what a snapshot covers is chosen");
    }

    /// The membership at an index not before the newest snapshot.
    pub(super) fn at(&self, index: u64) -> &Membership {
        let place = self.history.iter().rposition(|(from, _)| *from <= index);
        &self.history[place.expect("the history reaches back to the snapshot")].1
    }

    /// Index of the last change in the log, chosen or not.
    pub(super) fn last_change(&self) -> u64 {
        self.history.back().expect("the history is never empty").0
    }

    /// The membership reported to the host: chosen, and durably known to be.
    pub(super) fn shown(&self) -> &Membership {
        self.at(self.flushed)
    }

    /// Whether the last change in the log is in force.
    pub(super) fn is_settled(&self) -> bool {
        self.last_change() <= self.flushed
    }

    /// Whether a change up to `commit` is chosen, but no flush that records this is done or in
    /// flight.
    pub(super) fn wants_flush(&self, commit: u64) -> bool {
        let known = self.flushing.back().map_or(self.flushed, |(_, index)| *index);
        self.history.iter().any(|(from, _)| *from > known && *from <= commit)
    }

    pub(super) fn flushing(&mut self, number: u64, commit: u64) {
        self.flushing.push_back((number, commit));
    }

    pub(super) fn persisted(&mut self, number: u64) {
        while let Some((_, index)) = self.flushing.pop_front_if(|(due, _)| *due <= number) {
            self.flushed = self.flushed.max(index);
        }
    }

    pub(super) fn forget_before(&mut self, snapshot_index: u64) {
        while self.history.get(1).is_some_and(|(from, _)| *from <= snapshot_index) {
            self.history.pop_front();
        }
        self.flushed = self.flushed.max(snapshot_index);
    }
}
