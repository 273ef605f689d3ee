//! Members that a `reconfig` removes, and those that replace them.

use group::GroupId;
use wire::opcode::Opcode;

use super::ensemble::{ENGINES, Trio, create, facts};
use super::reconfig::changeable;
use crate::config::ServerId;
use crate::observe::stats::{MemberRole, ServerState};

/// A past bug: a client requested a change that removes the member it was connected to. The member
/// no longer received what is committed, the client's own command included: no answer came, and the
/// others closed their connections to the member.
#[test]
fn a_client_that_removes_its_own_member_is_answered_and_served() {
    for engine in ENGINES {
        let mut ensemble = Trio::of((1..=3).map(|server| changeable(server, engine, &[1, 2, 3])));
        ensemble.until("all serve", Trio::all_serve);
        let leader = ensemble.leader().expect("somebody leads");
        let removed = leader % 3 + 1;
        let (wire, ..) = ensemble.connect(removed, None);
        let text = ensemble.reconfig(&wire, 1, &[], &removed.to_string()).expect("it is answered");
        assert!(!text.contains(&format!("server.{removed}=")), "{engine}: {text}");
        assert!(!ensemble.voters(leader).contains(&removed), "{engine}: what was answered is in force");
        for xid in 2..100 {
            (0..20).for_each(|_| ensemble.step());
            let create = create(&format!("/after-{xid}"), 0);
            assert_eq!(ensemble.call(&wire, xid, Opcode::Create, &create).0.err, 0, "{engine}");
        }
        let facts = facts(&ensemble, removed);
        assert_eq!(
            (facts.role, ServerState::from(&facts)),
            (MemberRole::Removed, ServerState::Follower),
            "{engine}"
        );
        // Commits do not wait for it. Once it has been stopped for 10 s it is no member any more.
        ensemble.crash(removed);
        (0..6_000).for_each(|_| ensemble.step());
        let status = ensemble.members.get_mut(&leader).unwrap().status(GroupId::ROOT);
        assert_eq!(status.membership.learners, [], "{engine}");
        ensemble.start(removed);
        (0..2_000).for_each(|_| ensemble.step());
        assert!(!ensemble.members[&removed].is_serving(GroupId::ROOT), "{engine}: it has no place any more");
        let (wire, ..) = ensemble.connect(leader, None);
        assert!(ensemble.reconfig(&wire, 1, &[removed], "").is_ok(), "{engine}: it can come back");
        ensemble.until_voters(leader, &[1, 2, 3]);
    }
}

/// A past bug: a change that removes one of three members and adds one that is not running was
/// refused until the new one ran. Two of the new three are up.
#[test]
fn a_server_is_replaced_by_one_that_comes_later() {
    for engine in ENGINES {
        let mut ensemble = Trio::of((1..=3).map(|server| changeable(server, engine, &[1, 2, 3])));
        ensemble.until("all serve", Trio::all_serve);
        let leader = ensemble.leader().expect("somebody leads");
        for (replaced, at) in [(leader % 3 + 1, leader), (leader, leader % 3 + 1)] {
            let mut ensemble = Trio::of((1..=3).map(|server| changeable(server, engine, &[1, 2, 3])));
            ensemble.until("all serve", Trio::all_serve);
            assert_eq!(ensemble.leader(), Some(leader), "the same numbers are drawn again");
            let (wire, ..) = ensemble.connect(at, None);
            assert!(ensemble.reconfig(&wire, 1, &[8], &replaced.to_string()).is_ok(), "{engine}");
            ensemble.until("somebody of the new ones leads", |e| e.leader().is_some_and(|l| l != replaced));
            let leader = ensemble.leader().unwrap();
            let rest: Vec<ServerId> = (1..=3).filter(|server| *server != replaced).collect();
            ensemble.until_voters(leader, &rest);
            ensemble.write_through(rest[0], "/without-the-new-one");
            ensemble.add(changeable(8, engine, &[rest[0], rest[1], 8]));
            ensemble.until_voters(leader, &[rest[0], rest[1], 8]);
            ensemble.write_through(8, "/of-the-new-one");
        }
    }
}
