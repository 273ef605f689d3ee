//! A server's role in its ensemble, in ZooKeeper's words.

pub use group::member_status::{
    FileDifference, FollowerFacts, FollowerState, LeadingFacts, MemberChange, MemberLog, MemberRole,
    MemberStatus,
};

use super::ServerState;

impl From<&MemberStatus> for ServerState {
    /// ZooKeeper has no word for a server that is about to become a voter or was removed;
    /// those count as followers.
    fn from(member: &MemberStatus) -> ServerState {
        match member.role {
            MemberRole::Leader => ServerState::Leader,
            MemberRole::Learner { observer: true } => ServerState::Observer,
            _ => ServerState::Follower,
        }
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! Members for tests.

    use super::*;
    use crate::config::{EngineKind, ServerId};

    /// Server 3, the leader of three voters and an observer, as in the answers recorded in
    /// `testdata/`.
    pub(crate) fn leader() -> MemberStatus {
        let follower = |server, votes, state, behind_entries| FollowerFacts {
            server,
            votes,
            state,
            behind_entries,
            behind_bytes: behind_entries * 100,
        };
        let followers = vec![
            follower(1, true, FollowerState::InStep, 0),
            follower(2, true, FollowerState::NeedsSnapshot, 7_000),
            follower(4, false, FollowerState::InStep, 2),
        ];
        MemberStatus {
            server: 3,
            member: Some(3),
            engine: EngineKind::Raft,
            role: MemberRole::Leader,
            term: 5,
            leader: Some(3),
            starts: 2,
            log: MemberLog { applied: 9_000, committed: 9_001, last: 9_002 },
            voters: vec![1, 2, 3],
            learners: vec![4],
            fetched_bytes: None,
            leading: Some(LeadingFacts {
                uptime_ms: 18_118,
                followers,
                changes: vec![(4, MemberChange::CatchesUp)],
            }),
            file_differences: Vec::new(),
        }
    }

    /// A server of that ensemble with another role.
    pub(crate) fn other(server: ServerId, role: MemberRole) -> MemberStatus {
        MemberStatus { server, member: Some(u64::from(server)), role, leading: None, ..leader() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_member_of_an_ensemble_is_its_leader() {
        let alone = MemberStatus { voters: vec![3], learners: Vec::new(), ..fake::leader() };
        assert_eq!(ServerState::from(&alone), ServerState::Leader);
    }

    #[test]
    fn a_learner_that_is_to_vote_counts_as_a_follower() {
        let state = |observer| ServerState::from(&fake::other(4, MemberRole::Learner { observer }));
        assert_eq!((state(true), state(false)), (ServerState::Observer, ServerState::Follower));
    }

    #[test]
    fn only_members_that_keep_up_are_synced() {
        let leader = fake::leader();
        assert_eq!((leader.synced(true), leader.synced(false), leader.connected()), (1, 1, 3));
    }
}
