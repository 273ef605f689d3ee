//! What a leader knows of its followers.

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

/// How long followers have been away to fetch a snapshot.
///
/// The crate sends such a follower nothing until it hears how that ended. The offer may have got lost, or the follower
/// crashed while it fetched; so after a while it is simply offered again, which costs one small message.
pub(super) struct SnapshotWaits {
    ticks: BTreeMap<u64, u32>,
    patience_ticks: u32,
}

impl SnapshotWaits {
    pub(super) fn new(patience_ticks: u32) -> Self {
        Self { ticks: BTreeMap::new(), patience_ticks }
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
        let patience_ticks = self.patience_ticks;
        self.ticks.retain(|id, ticks| {
            let is_overdue = *ticks >= patience_ticks;
            if is_overdue {
                raw.report_snapshot(*id, SnapshotStatus::Failure);
            }
            !is_overdue
        });
    }
}
