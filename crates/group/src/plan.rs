//! The next step towards the wanted membership: a pure function of one view of the ensemble.

use std::collections::BTreeSet;

use crate::server_of;
use consensus::engine::{Progress, Status};
use consensus::entry::MemberId;
use consensus::membership::MembershipChange;

use crate::member_status::MemberChange;
use state::members::{ServerId, Servers};

/// Entries that a learner may lag by and still be promoted to voter.
pub(crate) const BEHIND_MAX: u64 = 1_000;

/// A leader's view of the ensemble.
pub(crate) struct Look<'l> {
    /// The leader.
    pub(crate) me: MemberId,
    pub(crate) status: &'l Status,
    /// The wanted servers.
    pub(crate) wanted: &'l Servers,
    /// Members that were heard from recently.
    pub(crate) heard: &'l BTreeSet<MemberId>,
    /// Servers that are not members and have recently sent a join request.
    pub(crate) waiting: &'l BTreeSet<ServerId>,
    /// Servers whose vote must not be taken now, whatever is wanted.
    pub(crate) keeping: &'l BTreeSet<ServerId>,
    /// Servers that run may not have been heard yet: members, or those about to request to join.
    pub(crate) expects_requests: bool,
    /// Members that have been silent for long enough to be taken for stopped.
    pub(crate) stopped: &'l BTreeSet<MemberId>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Change one member.
    Change(MembershipChange),
    /// A server is joining or catching up.
    Wait,
    /// Every member has its wanted role, except those that are down, and perhaps the leader, which
    /// goes last.
    Done,
    /// Too few of the wanted voters are voters now for a majority.
    Short,
    /// The next removal must wait: without that voter too few would be up.
    Blocked,
}

impl Look<'_> {
    fn is_to_vote(&self, server: ServerId) -> bool {
        self.wanted.get(&server).is_some_and(|member| !member.observer)
    }

    fn is_up(&self, member: MemberId) -> bool {
        member == self.me || self.heard.contains(&member)
    }

    fn is_member(&self, member: MemberId, server: ServerId) -> bool {
        server_of(member) == server && self.status.membership.contains(member)
    }

    fn voters(&self) -> &[MemberId] {
        &self.status.membership.voters
    }

    fn learners(&self) -> &[MemberId] {
        &self.status.membership.learners
    }

    fn has_caught_up(&self, learner: MemberId) -> bool {
        let follower = self.status.followers.iter().find(|follower| follower.member == learner);
        follower.is_some_and(|follower: &Progress| {
            // A learner without any entries is not close behind, even if the log is short.
            !follower.awaits_snapshot
                && follower.match_index > 0
                && follower.match_index + BEHIND_MAX >= self.status.commit
        })
    }

    fn wanted_voters(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.wanted.keys().copied().filter(|server| self.is_to_vote(*server))
    }

    /// Whether a majority of the wanted voters is up or has sent a join request (ZooKeeper's
    /// `Leader.isQuorumSynced`).
    pub(crate) fn can_begin(&self) -> bool {
        let members = || self.voters().iter().chain(self.learners()).filter(|member| self.is_up(**member));
        let present: BTreeSet<ServerId> = members().map(|member| server_of(*member)).collect();
        let is_there = |server: &ServerId| present.contains(server) || self.waiting.contains(server);
        is_majority(self.wanted_voters().filter(is_there).count(), self.wanted_voters().count())
    }

    /// The next step. Servers that are not `wanted` leave only if `strict`.
    pub(crate) fn step(&self, strict: bool) -> Step {
        let promoted = self.learners().iter().find(|learner| {
            self.is_to_vote(server_of(**learner)) && self.is_up(**learner) && self.has_caught_up(**learner)
        });
        if let Some(learner) = promoted {
            return Step::Change(MembershipChange::AddVoter(*learner));
        }
        if self.is_anybody_coming() {
            return Step::Wait;
        }
        let voting: BTreeSet<ServerId> = self.voters().iter().map(|member| server_of(*member)).collect();
        let there = self.wanted_voters().filter(|server| voting.contains(server)).count();
        if !is_majority(there, self.wanted_voters().count()) {
            return Step::Short;
        }
        if !strict {
            return Step::Done;
        }
        match self.leaving() {
            Some(Step::Change(change)) if self.is_early(change) => Step::Wait,
            step => step.unwrap_or(Step::Done),
        }
    }

    /// Whether the change takes a vote while a wanted voter that has none yet may run, and this
    /// leader may not have heard from it. Its place would be lost to the ensemble's fault
    /// tolerance: if another voter failed now, the vote that it is to get could not be committed.
    fn is_early(&self, change: MembershipChange) -> bool {
        let has_no_vote = |server: ServerId| !self.voters().iter().any(|voter| server_of(*voter) == server);
        self.expects_requests
            && self.voters().contains(&change.member())
            && self.wanted_voters().any(has_no_vote)
    }

    fn is_anybody_coming(&self) -> bool {
        let learner = self.learners().iter().any(|l| self.is_to_vote(server_of(*l)) && self.is_up(*l));
        let mut waiting = self.waiting.iter().filter(|server| self.wanted.contains_key(server));
        learner || waiting.any(|server| !self.heard.iter().any(|member| self.is_member(*member, *server)))
    }

    /// The next member to go: a silent voter first, then one that is up. Either stays as a learner
    /// and goes on serving its clients, one of which may have requested this, until it is stopped:
    /// a silent server may only be cut off for a moment.
    fn leaving(&self) -> Option<Step> {
        let unwanted = |member: &&MemberId| {
            let server = server_of(**member);
            !self.is_to_vote(server) && **member != self.me && !self.keeping.contains(&server)
        };
        let silent = self.voters().iter().filter(unwanted).find(|member| !self.is_up(**member));
        if let Some(voter) = silent.or_else(|| self.voters().iter().find(unwanted)) {
            let rest: Vec<_> = self.voters().iter().filter(|member| *member != voter).collect();
            let up = rest.iter().filter(|member| self.is_up(***member)).count();
            if !is_majority(up, rest.len()) {
                return Some(Step::Blocked);
            }
            return Some(Step::Change(MembershipChange::AddLearner(*voter)));
        }
        let is_unwanted = |learner: &MemberId| !self.wanted.contains_key(&server_of(*learner));
        let learner = self.learners().iter().find(|l| is_unwanted(l) && self.stopped.contains(l));
        learner.map(|learner| Step::Change(MembershipChange::Remove(*learner)))
    }

    /// Whether the leader itself must go.
    pub(crate) fn is_leader_leaving(&self) -> bool {
        !self.is_to_vote(server_of(self.me))
    }

    /// Whether the others form a majority even while the leader, which must go, still counts.
    pub(crate) fn is_leader_spare(&self) -> bool {
        let others = self.voters().iter().filter(|member| **member != self.me && self.is_up(**member));
        is_majority(others.count(), self.voters().len())
    }

    /// The next leader: of the remaining voters, the one with the longest log.
    pub(crate) fn successor(&self) -> Option<MemberId> {
        let followers = self.status.followers.iter().filter(|follower| {
            let member = follower.member;
            self.voters().contains(&member) && self.is_to_vote(server_of(member)) && self.is_up(member)
        });
        followers
            .max_by_key(|follower| (follower.match_index, follower.member))
            .map(|follower| follower.member)
    }

    /// Servers that do not have their wanted role yet. Unless `strict`, servers that are merely
    /// absent are not reported.
    pub(crate) fn changes(&self, strict: bool) -> Vec<(ServerId, MemberChange)> {
        let mut changes = Vec::new();
        for (server, member) in self.wanted {
            let of_server = |members: &[MemberId]| members.iter().copied().find(|m| server_of(*m) == *server);
            let change = match (of_server(self.voters()), of_server(self.learners())) {
                (None, None) => Some(MemberChange::Joins),
                (None, Some(learner)) if !member.observer && self.has_caught_up(learner) => {
                    Some(MemberChange::Promoted)
                }
                (None, Some(learner)) if !self.has_caught_up(learner) => Some(MemberChange::CatchesUp),
                (Some(_), _) if member.observer && strict => Some(MemberChange::Demoted),
                _ => None,
            };
            changes.extend(change.map(|change| (*server, change)));
        }
        let voters = self.voters().iter().map(|member| server_of(*member));
        let leaving = voters.filter(|server| strict && !self.wanted.contains_key(server));
        changes.extend(leaving.map(|server| (server, MemberChange::Leaves)));
        changes
    }
}

pub(crate) fn is_majority(count: usize, of: usize) -> bool {
    count > of / 2
}

#[cfg(test)]
pub(crate) mod tests {
    use consensus::membership::Membership;

    use super::*;

    /// A status with these voters, and learners as `id:matched`; 5000 entries are committed.
    pub(crate) fn status(voters: &[u64], learners: &[(u64, u64)]) -> Status {
        let member = |id: &u64| MemberId(*id);
        let follower = |(id, match_index): (u64, u64)| Progress {
            member: MemberId(id),
            match_index,
            awaits_snapshot: false,
        };
        let all = voters.iter().map(|id| (*id, 5_000 + id)).chain(learners.iter().copied());
        Status {
            role: Default::default(),
            commit: 5_000,
            persisted: 5_000,
            first_index: 1,
            last_index: 5_000,
            retained_bytes: 0,
            snapshot: Default::default(),
            membership: Membership {
                voters: voters.iter().map(member).collect(),
                learners: learners.iter().map(|(id, _)| MemberId(*id)).collect(),
            },
            followers: all.map(follower).collect(),
        }
    }

    /// Server 1 leads. `wanted` lists voters; a minus before the number marks an observer.
    fn look<R>(
        status: &Status,
        wanted: &[i32],
        heard: &[u64],
        waiting: &[ServerId],
        see: impl FnOnce(&Look<'_>) -> R,
    ) -> R {
        let wanted = wanted.iter().map(|number| {
            let role = if *number < 0 { "observer" } else { "participant" };
            let server = number.unsigned_abs();
            (server, format!("host{server}:1:2:{role}").parse().unwrap())
        });
        see(&Look {
            me: MemberId(1),
            status,
            wanted: &wanted.collect(),
            heard: &heard.iter().map(|id| MemberId(*id)).collect(),
            waiting: &waiting.iter().copied().collect(),
            keeping: &[7].into(),
            expects_requests: false,
            stopped: &[9].map(MemberId).into(),
        })
    }

    #[test]
    fn the_next_step() {
        use MembershipChange::{AddLearner, AddVoter, Remove};
        let (id, change) = (MemberId, Step::Change);
        for (what, voters, learners, wanted, heard, waiting, expected) in [
            ("all is well", &[1, 2, 3][..], &[][..], &[1, 2, 3][..], &[2, 3][..], &[][..], Step::Done),
            ("one that is wanted is down", &[1, 2, 3], &[], &[1, 2, 3, 4], &[2, 3], &[], Step::Done),
            ("one stands at the door", &[1, 2, 3], &[], &[1, 2, 3, 4], &[2, 3], &[4], Step::Wait),
            ("one catches up", &[1, 2, 3], &[(4, 10)], &[1, 2, 3, 4], &[2, 3, 4], &[], Step::Wait),
            ("it is silent", &[1, 2, 3], &[(4, 10)], &[1, 2, 3, 4], &[2, 3], &[], Step::Done),
            ("it has nothing", &[1, 2, 3], &[(4, 0)], &[1, 2, 3, 4], &[2, 3, 4], &[], Step::Wait),
            (
                "it has caught up",
                &[1, 2, 3],
                &[(4, 4_100)],
                &[1, 2, 3, 4],
                &[2, 3, 4],
                &[],
                change(AddVoter(id(4))),
            ),
            ("an observer stays one", &[1, 2, 3], &[(4, 5_000)], &[1, 2, 3, -4], &[2, 3, 4], &[], Step::Done),
            ("nobody leaves before others came", &[1, 2, 3], &[], &[1, 2, 4], &[2, 3], &[4], Step::Wait),
            ("one leaves", &[1, 2, 3, 4], &[], &[1, 2, 4], &[2, 3, 4], &[], change(AddLearner(id(3)))),
            (
                "and serves until it is stopped",
                &[1, 2, 4],
                &[(3, 9)],
                &[1, 2, 4],
                &[2, 3, 4],
                &[],
                Step::Done,
            ),
            ("it is cut off for a moment", &[1, 2, 4], &[(3, 9)], &[1, 2, 4], &[2, 4], &[], Step::Done),
            ("it is stopped", &[1, 2, 4], &[(9, 9)], &[1, 2, 4], &[2, 4], &[], change(Remove(id(9)))),
            ("the silent one first", &[1, 2, 3, 4], &[], &[1, 2], &[2, 3], &[], change(AddLearner(id(4)))),
            ("not when too few are left", &[1, 2, 3], &[], &[1, 2], &[3], &[], Step::Blocked),
            (
                "a disk of another number",
                &[1, 2, 0x10_0003],
                &[],
                &[1, 2],
                &[2],
                &[],
                change(AddLearner(id(0x10_0003))),
            ),
            ("a vote is taken", &[1, 2, 3], &[], &[1, 2, -3], &[2, 3], &[], change(AddLearner(id(3)))),
            ("from a silent one too", &[1, 2, 3], &[], &[1, 2, -3], &[2], &[], change(AddLearner(id(3)))),
            ("an observer serves", &[1, 2, 3], &[(4, 9)], &[1, 2, 3], &[2, 3, 4], &[], Step::Done),
            ("until it is stopped", &[1, 2, 3], &[(9, 9)], &[1, 2, 3], &[2, 3], &[], change(Remove(id(9)))),
            ("the leader goes last", &[1, 2, 3], &[], &[2, 3], &[2, 3], &[], Step::Done),
            ("too few of the new ones are here", &[1, 2], &[], &[1, 5, 6, 7], &[2], &[], Step::Short),
            ("so nobody goes", &[1, 2, 3], &[], &[1, 5], &[2, 3], &[], Step::Short),
            (
                "one that has not come is not waited for",
                &[1, 2, 3],
                &[],
                &[1, 2, 4],
                &[2, 3],
                &[],
                change(AddLearner(id(3))),
            ),
            ("one keeps its vote", &[1, 2, 3, 7], &[], &[1, 2, 3], &[2, 3, 7], &[], Step::Done),
            ("nor by the leader", &[1, 2, 3], &[], &[2, 3, 4], &[2, 3], &[], Step::Done),
        ] {
            let status = status(voters, learners);
            let step = look(&status, wanted, heard, waiting, |look| look.step(true));
            assert_eq!(step, expected, "{what}");
        }
    }

    /// The operator starts server 4 and asks for it in the place of 3 at once, before the leader
    /// has heard of it: two voters would be left.
    #[test]
    fn no_vote_is_taken_before_a_new_server_has_had_time_to_ask() {
        for (what, voters, learners, wanted, expected) in [
            ("4 may be about to ask", &[1, 2, 3][..], &[][..], &[1, 2, 4][..], Step::Wait),
            (
                "4 has joined, and this new leader has not heard it",
                &[1, 2, 3],
                &[(4, 0)],
                &[1, 2, 4],
                Step::Wait,
            ),
            (
                "nobody is absent",
                &[1, 2, 3],
                &[],
                &[1, 2],
                Step::Change(MembershipChange::AddLearner(MemberId(3))),
            ),
            ("nobody has to go", &[1, 2, 3], &[], &[1, 2, 3, 4], Step::Done),
            (
                "observers do not count",
                &[1, 2, 3],
                &[],
                &[1, 2, -4],
                Step::Change(MembershipChange::AddLearner(MemberId(3))),
            ),
        ] {
            let status = status(voters, learners);
            let step = look(&status, wanted, &[2, 3], &[], |look| {
                Look { expects_requests: true, ..*look }.step(true)
            });
            assert_eq!(step, expected, "{what}");
        }
    }

    #[test]
    fn nobody_leaves_for_a_configuration_file() {
        let status = status(&[1, 2, 3], &[(4, 9)]);
        assert_eq!(look(&status, &[1, 2], &[2, 3, 4], &[], |look| look.step(false)), Step::Done);
    }

    #[test]
    fn a_majority_of_the_new_ones_must_be_there_to_begin() {
        for (voters, wanted, heard, waiting, expected) in [
            (&[1][..], &[1, 2, 3][..], &[][..], &[2][..], true),
            (&[1], &[1, 2, 3], &[], &[], false),
            (&[1, 2, 3], &[1, 2, 3, 4, 5], &[2, 3], &[], true),
            (&[1, 2, 3], &[1, 2, 3, 4, 5], &[2], &[4], true),
            (&[1, 2, 3], &[1, 2, 3, 4, 5], &[2], &[], false),
            (&[1, 2, 3], &[2, 3], &[2], &[], false),
            (&[1, 2, 3], &[1, 7, -8], &[2, 3], &[8], false),
        ] {
            let status = status(voters, &[]);
            let can = look(&status, wanted, heard, waiting, |look| look.can_begin());
            assert_eq!(can, expected, "{voters:?} {wanted:?} {heard:?} {waiting:?}");
        }
    }

    #[test]
    fn a_leader_that_goes_knows_its_successor_and_whether_it_is_needed() {
        let three = status(&[1, 2, 3], &[]);
        look(&three, &[2, 3], &[2, 3], &[], |look| {
            assert!(look.is_leader_leaving() && look.is_leader_spare());
            assert_eq!(look.successor(), Some(MemberId(3)), "it has most");
        });
        look(&three, &[2, 4], &[2, 3], &[], |look| assert_eq!(look.successor(), Some(MemberId(2))));
        let two = status(&[1, 2], &[]);
        look(&two, &[2], &[2], &[], |look| assert!(look.is_leader_leaving() && !look.is_leader_spare()));
        look(&two, &[1], &[2], &[], |look| assert!(!look.is_leader_leaving()));
    }

    #[test]
    fn what_is_told_of_it() {
        use MemberChange::{CatchesUp, Demoted, Joins, Leaves, Promoted};
        let status = status(&[1, 2, 3], &[(4, 10), (5, 4_999), (7, 4_999)]);
        let changes =
            |strict| look(&status, &[1, -2, 4, 5, 6, -7], &[2, 3], &[], |look| look.changes(strict));
        assert_eq!(changes(true), [(2, Demoted), (4, CatchesUp), (5, Promoted), (6, Joins), (3, Leaves)]);
        assert_eq!(changes(false), [(4, CatchesUp), (5, Promoted), (6, Joins)]);
    }
}
