//! The membership at each position, and changes that are committed but not in force yet.

use std::collections::VecDeque;

use ::raft::{RawNode, StateRole};

use super::convert;
use super::store::Store;
use crate::membership::{Membership, MembershipChange, SnapshotMeta};

struct Pending {
    ready_number: u64,
    index: u64,
    change: MembershipChange,
}

/// See the module.
pub(super) struct Members {
    /// From each index on, the membership that holds; rising. Invariant: never empty, and the first
    /// is at or below the newest snapshot.
    history: VecDeque<(u64, Membership)>,
    pending: VecDeque<Pending>,
}

impl Members {
    pub(super) fn new(snapshot: SnapshotMeta) -> Self {
        let first = (snapshot.position.index, snapshot.membership);
        Self { history: VecDeque::from([first]), pending: VecDeque::new() }
    }

    pub(super) fn latest(&self) -> &Membership {
        &self.history.back().expect("the history is never empty").1
    }

    /// The membership at an index not before the newest snapshot.
    pub(super) fn at(&self, index: u64) -> &Membership {
        let place = self.history.iter().rposition(|(from, _)| *from <= index);
        &self.history[place.expect("the history reaches back to the snapshot")].1
    }

    pub(super) fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Index of the first change that is committed and not in force.
    pub(super) fn first_pending(&self) -> Option<u64> {
        self.pending.front().map(|pending| pending.index)
    }

    pub(super) fn committed(&mut self, ready_number: u64, index: u64, change: MembershipChange) {
        self.pending.push_back(Pending { ready_number, index, change });
    }

    /// Puts in force the changes that are flushed up to `Ready` `number`.
    pub(super) fn persisted(&mut self, number: u64, raw: &mut RawNode<Store>) {
        let due = self.pending.partition_point(|pending| pending.ready_number <= number);
        for pending in self.pending.drain(..due) {
            let latest = &self.history.back().expect("the history is never empty").1;
            // It would leave no voter, or too many members. All members refuse it alike.
            if latest.with(pending.change).is_none() {
                continue;
            }
            let Ok(state) = raw.apply_conf_change(&convert::conf_change(pending.change)) else { continue };
            self.history.push_back((pending.index, convert::membership(&state)));
            let raft = &mut raw.raft;
            if raft.state == StateRole::Leader && !raft.promotable() {
                // It inherited its own removal from an earlier leader. The crate would continue to
                // lead, and fail to find itself among the members at the next commit.
                let term = raft.term;
                raft.become_follower(term, 0);
            }
        }
    }

    pub(super) fn forget_before(&mut self, snapshot_index: u64) {
        while self.history.get(1).is_some_and(|(from, _)| *from <= snapshot_index) {
            self.history.pop_front();
        }
    }
}
