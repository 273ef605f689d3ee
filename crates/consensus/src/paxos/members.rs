//! The membership at each position of the log, agreed or not.

use std::collections::VecDeque;

use crate::entry::{Entry, EntryKind};
use crate::membership::{Membership, MembershipChange, SnapshotMeta};

/// See the module.
pub(super) struct Members {
    /// From which index which membership holds, if the log is agreed up to there; rising. Invariant: never empty, and the
    /// first is at or below the newest snapshot.
    history: VecDeque<(u64, Membership)>,
    /// Changes up to this index are agreed, and that is flushed here: what [`shown`](Self::shown) stands for.
    flushed: u64,
    /// Numbers of `Ready`s on their way to the disk, and up to where they make changes known there; rising.
    flushing: VecDeque<(u64, u64)>,
}

impl Members {
    /// As of a snapshot; changes after it up to `flushed` are known to be agreed.
    pub(super) fn new(snapshot: SnapshotMeta, flushed: u64) -> Self {
        let index = snapshot.position.index;
        Self { history: VecDeque::from([(index, snapshot.membership)]), flushed, flushing: VecDeque::new() }
    }

    /// Takes note of an entry at the end of the log. Says which earlier change must be agreed, since this one follows it.
    pub(super) fn append(&mut self, entry: &Entry) -> Option<u64> {
        if entry.kind != EntryKind::Membership {
            return None;
        }
        let change = MembershipChange::from_bytes(&entry.data).expect("checked where it was made or came in");
        let (before, last) = self.history.back().expect("the history is never empty");
        let before = *before;
        // A change that would leave no voter changes nothing, on every member alike.
        let next = last.with(change).unwrap_or_else(|| last.clone());
        self.history.push_back((entry.index, next));
        Some(before)
    }

    /// Entries from `index` on are gone. They were not agreed, so the first membership stays.
    pub(super) fn truncate(&mut self, index: u64) {
        while self.history.back().is_some_and(|(from, _)| *from >= index) {
            self.history.pop_back();
        }
        assert!(!self.history.is_empty(), "what a snapshot stands for is agreed");
    }

    /// The membership at an index not before the newest snapshot.
    pub(super) fn at(&self, index: u64) -> &Membership {
        let place = self.history.iter().rposition(|(from, _)| *from <= index);
        &self.history[place.expect("the history reaches back to the snapshot")].1
    }

    /// Index of the last change in the log, agreed or not.
    pub(super) fn last_change(&self) -> u64 {
        self.history.back().expect("the history is never empty").0
    }

    /// The membership as told to the host: agreed, and a restart cannot forget that.
    pub(super) fn shown(&self) -> &Membership {
        self.at(self.flushed)
    }

    /// Whether the last change in the log is in force.
    pub(super) fn is_settled(&self) -> bool {
        self.last_change() <= self.flushed
    }

    /// Whether a change up to `commit` is agreed that the disk does not know to be, and is not about to.
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
