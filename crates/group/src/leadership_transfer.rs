//! A leader whose disk slows the group transfers leadership to another member.

use std::cmp::Reverse;

use crate::message::{GroupMessage, ServerMessage};
use consensus::engine::Progress;
use consensus::entry::MemberId;

use crate::flush_latency::SlowLeader;
use crate::group::Group;
use crate::plan::BEHIND_MAX;
use crate::shared::Counted;
use state::members::ServerId;

impl Group {
    /// Compares this member's disk with the others', or reports its flushes to the leader.
    pub(crate) fn watch_flush_latency(&mut self, now_ms: i64) {
        if !self.flush_latency.is_due(now_ms) {
            return;
        }
        if self.replica.leads() {
            let others: Vec<ServerId> =
                self.successors().iter().map(|follower| crate::server_of(follower.member)).collect();
            if let Some(slow_leader) = self.flush_latency.lead(now_ms, &others) {
                self.transfer_from_slow_leader(&slow_leader, now_ms);
            }
        } else if let Some(leader) =
            self.replica.role().leader.map(crate::server_of).filter(|s| *s != self.me)
            && let Some(mean_us) = self.flush_latency.follow(now_ms)
        {
            self.send(leader, ServerMessage::FlushLatency { mean_us });
        }
    }

    /// The other voters, as the leader sees them.
    pub(crate) fn successors(&mut self) -> Vec<Progress> {
        let me = self.replica.member();
        let status = self.replica.status();
        let voters = status.membership.voters;
        status.followers.into_iter().filter(|f| f.member != me && voters.contains(&f.member)).collect()
    }

    /// Transfers leadership to the fastest of those that keep up.
    fn transfer_from_slow_leader(&mut self, slow_leader: &SlowLeader, now_ms: i64) {
        let commit = self.replica.status().commit;
        let place = |follower: &Progress| {
            slow_leader.quick.iter().position(|server| *server == crate::server_of(follower.member))
        };
        let keeps_up = |follower: &Progress| follower.match_index + BEHIND_MAX >= commit;
        let successors = self.successors();
        let candidates = successors.iter().filter(|follower| keeps_up(follower));
        let best = candidates.filter_map(|follower| Some((Reverse(place(follower)?), follower.member))).max();
        if let Some((_, successor)) = best
            && self.hand_over(successor, now_ms)
        {
            tracing::warn!(
                "flushing the log takes {} ms here and at most {} ms on a majority of the others: this disk delays every write, so server.{} is asked to lead",
                slow_leader.own_us / 1_000,
                slow_leader.others_us.div_ceil(1_000),
                crate::server_of(successor)
            );
        }
    }

    /// The disk has no room for clients' writes; another member's may have. Not repeated at once,
    /// since all may be full.
    pub(crate) fn transfer_for_log_room(&mut self) {
        let now_ms = self.now.ms;
        if self.replica.is_alone() || !self.flush_latency.may_hand_over(now_ms) {
            return;
        }
        let best =
            self.successors().into_iter().max_by_key(|follower| (follower.match_index, follower.member));
        if let Some(successor) = best
            && self.hand_over(successor.member, now_ms)
        {
            tracing::warn!(
                "the disk of the leader is full: server.{} is asked to lead",
                crate::server_of(successor.member)
            );
        }
    }

    /// A client has asked this member to become the leader (`rqld`).
    pub(crate) fn claim(&mut self) {
        let leader = self.replica.role().leader.map(crate::server_of);
        if let Some(leader) = leader.filter(|leader| *leader != self.me) {
            self.send_group(leader, GroupMessage::Claim);
        }
    }

    /// A server asks to become the leader.
    pub(crate) fn on_claim(&mut self, server: ServerId) {
        let mut successors = self.successors().into_iter();
        if let Some(successor) = successors.find(|follower| crate::server_of(follower.member) == server) {
            self.yield_to(successor.member);
        }
    }

    /// A client has asked this member to give up leadership (`ydld`).
    pub(crate) fn step_down(&mut self) {
        let best =
            self.successors().into_iter().max_by_key(|follower| (follower.match_index, follower.member));
        if let Some(successor) = best {
            self.yield_to(successor.member);
        }
    }

    fn yield_to(&mut self, successor: MemberId) {
        let now_ms = self.now.ms;
        if self.replica.leads() && self.hand_over(successor, now_ms) {
            tracing::info!("server.{} is asked to lead, on request", crate::server_of(successor));
        }
    }

    fn hand_over(&mut self, successor: MemberId, now_ms: i64) -> bool {
        self.flush_latency.handed_over(now_ms);
        let asked = self.replica.transfer_to(successor).is_ok();
        if asked {
            self.shared.observer.count(Counted::LeadershipTransfers, 1);
        }
        asked
    }
}
