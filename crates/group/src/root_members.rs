//! The members of the groups beside the root group.
//!
//! The root group alone decides who the members are. The leader of each other group makes that
//! group's members the same, one change at a time: first the root's learners and voters join, then
//! members that are no longer the root's lose their votes and leave.

use consensus::engine::Status;
use consensus::entry::MemberId;
use consensus::membership::{Membership, MembershipChange};
use state::members::Servers;

use crate::group::Group;
use crate::plan::BEHIND_MAX;

/// The committed members of the root group, as the host last reported them.
#[derive(Debug, Default)]
pub(crate) struct RootMembers {
    membership: Option<Membership>,
}

/// The next change that makes `status` follow the root group's members; `None` if there is none to
/// make now. `me` leads and goes last.
fn next_change(root: &Membership, status: &Status, me: MemberId) -> Option<MembershipChange> {
    let own = &status.membership;
    let has_caught_up = |member: MemberId| {
        let follower = status.followers.iter().find(|follower| follower.member == member);
        follower.is_some_and(|f| f.match_index > 0 && f.match_index + BEHIND_MAX >= status.commit)
    };
    let joins = root.voters.iter().chain(&root.learners).find(|member| !own.contains(**member));
    if let Some(member) = joins {
        return Some(MembershipChange::AddLearner(*member));
    }
    let promoted = root.voters.iter().find(|m| own.learners.contains(m) && has_caught_up(**m));
    if let Some(member) = promoted {
        return Some(MembershipChange::AddVoter(*member));
    }
    let others = |member: &&MemberId| **member != me;
    let demoted = own.voters.iter().filter(others).find(|member| !root.voters.contains(member));
    if let Some(member) = demoted {
        return Some(MembershipChange::AddLearner(*member));
    }
    let leaves = own.learners.iter().find(|member| !root.contains(**member));
    leaves.map(|member| MembershipChange::Remove(*member))
}

impl Group {
    /// The root group has these members, which run on these servers.
    pub(crate) fn on_root_members(&mut self, servers: &Servers, membership: &Membership) {
        self.reconfig.set_directory(servers);
        self.root_members.membership = Some(membership.clone());
    }

    /// Whether the members are those of the root group, as far as this member knows.
    pub(crate) fn members_follow_root(&self) -> bool {
        let Some(root) = &self.root_members.membership else { return self.is_single() };
        let own = self.replica.status().membership;
        let same = |a: &[MemberId], b: &[MemberId]| a.len() == b.len() && a.iter().all(|m| b.contains(m));
        same(&root.voters, &own.voters) && same(&root.learners, &own.learners)
    }

    /// Takes the next step towards the root group's members.
    pub(crate) fn follow_root(&mut self) {
        let Some(root) = self.root_members.membership.clone() else { return };
        if self.is_root() || !self.replica.leads() {
            return;
        }
        let (status, me) = (self.replica.status(), self.replica.member());
        if let Some(change) = next_change(&root, &status, me) {
            return self.change_members(change);
        }
        if !root.voters.contains(&me) {
            let successors = self.successors().into_iter().filter(|f| root.voters.contains(&f.member));
            if let Some(successor) = successors.max_by_key(|f| (f.match_index, f.member)) {
                // A refusal is temporary: the next check tries again.
                let _ = self.replica.transfer_to(successor.member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::status;

    fn members(voters: &[u64], learners: &[u64]) -> Membership {
        let ids = |ids: &[u64]| ids.iter().map(|id| MemberId(*id)).collect();
        Membership { voters: ids(voters), learners: ids(learners) }
    }

    #[test]
    fn one_change_at_a_time_leads_to_the_roots_members() {
        use MembershipChange::{AddLearner, AddVoter, Remove};
        let id = MemberId;
        for (what, root, own, caught_up, expected) in [
            ("the same", members(&[1, 2, 3], &[4]), members(&[1, 2, 3], &[4]), true, None),
            ("a voter joins", members(&[1, 2, 3], &[]), members(&[1, 2], &[]), true, Some(AddLearner(id(3)))),
            ("catches up", members(&[1, 2, 3], &[]), members(&[1, 2], &[3]), false, None),
            ("and votes", members(&[1, 2, 3], &[]), members(&[1, 2], &[3]), true, Some(AddVoter(id(3)))),
            ("an observer", members(&[1, 2], &[3]), members(&[1, 2], &[]), true, Some(AddLearner(id(3)))),
            ("a vote goes", members(&[1, 2], &[3]), members(&[1, 2, 3], &[]), true, Some(AddLearner(id(3)))),
            ("a member goes", members(&[1, 2], &[]), members(&[1, 2], &[3]), true, Some(Remove(id(3)))),
            ("the leader goes last", members(&[2, 3], &[]), members(&[1, 2, 3], &[]), true, None),
        ] {
            let ids = |members: &[MemberId]| members.iter().map(|member| member.0).collect::<Vec<_>>();
            let match_index = if caught_up { 5_000 } else { 0 };
            let learners: Vec<_> = own.learners.iter().map(|learner| (learner.0, match_index)).collect();
            let status = status(&ids(&own.voters), &learners);
            assert_eq!(next_change(&root, &status, id(1)), expected, "{what}");
        }
    }
}
