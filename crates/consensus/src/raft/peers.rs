//! A leader's view of its followers.

use std::collections::BTreeMap;

use ::raft::{ProgressState, RawNode, SnapshotStatus, StateRole};

use super::store::Store;
use crate::engine::Progress;
use crate::entry::MemberId;

pub(super) fn followers(raw: &RawNode<Store>) -> Vec<Progress> {
    if raw.raft.state != StateRole::Leader {
        return Vec::new();
    }
    let peers = raw.raft.prs().iter().filter(|(id, _)| **id != raw.raft.id);
    let mut followers = peers
        .map(|(id, progress)| Progress {
            member: MemberId(*id),
            match_index: progress.matched,
            awaits_snapshot: progress.state == ProgressState::Snapshot,
        })
        .collect::<Vec<_>>();
    followers.sort_unstable_by_key(|follower| follower.member);
    followers
}

/// How long followers have been fetching a snapshot.
///
/// The crate sends such a follower nothing until it is told how the fetch ended. The offer may have
/// been lost, or the follower may have crashed while fetching; so after a while it is simply
/// offered again, which costs one small message.
pub(super) struct SnapshotWaits {
    ticks: BTreeMap<u64, u32>,
    reoffer_ticks: u32,
}

impl SnapshotWaits {
    pub(super) fn new(reoffer_ticks: u32) -> Self {
        Self { ticks: BTreeMap::new(), reoffer_ticks }
    }

    pub(super) fn tick(&mut self, raw: &mut RawNode<Store>) {
        let progress = raw.raft.prs();
        let waits = |id: u64| progress.get(id).is_some_and(|peer| peer.state == ProgressState::Snapshot);
        let is_leader = raw.raft.state == StateRole::Leader;
        self.ticks.retain(|id, _| is_leader && waits(*id));
        if !is_leader {
            return;
        }
        for (id, peer) in progress.iter() {
            if peer.state == ProgressState::Snapshot {
                *self.ticks.entry(*id).or_insert(0) += 1;
            }
        }
        let reoffer_ticks = self.reoffer_ticks;
        self.ticks.retain(|id, ticks| {
            let is_overdue = *ticks >= reoffer_ticks;
            if is_overdue {
                raw.report_snapshot(*id, SnapshotStatus::Failure);
            }
            !is_overdue
        });
    }
}
