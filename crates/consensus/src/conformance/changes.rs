//! Cases where members fall behind, are added or removed, or transfer leadership.

use super::Make;
use super::calm::commit;
use super::network::Network;
use crate::engine::{ChangeError, Start};
use crate::entry::MemberId;
use crate::membership::MembershipChange;

fn others(network: &Network<'_>, member: MemberId) -> Vec<MemberId> {
    network.peers.keys().copied().filter(|other| *other != member).collect()
}

/// A follower misses 100 entries while all others compact; returns how many snapshots it then
/// needed.
fn fall_behind(make: &Make<'_>, size: u64, retained: u64) -> u32 {
    let mut network = Network::new(make, size, 60 + size);
    network.snapshot_every = 10;
    network.retained = retained;
    let members = network.up();
    commit(&mut network, 15, &members);
    let leader = network.leader().expect("a leader");
    let behind = others(&network, leader)[0];
    network.crash(behind);
    let rest = others(&network, behind);
    commit(&mut network, 100, &rest);
    let status = network.peer(leader).engine().status();
    assert!(
        status.first_index + retained + 20 > status.last_index,
        "the others compact although one is down"
    );
    network.restart(behind);
    commit(&mut network, 10, &members);
    network.check_equal(&members);
    network.peer(behind).installed_count
}

pub(super) fn snapshot_catches_up(make: &Make<'_>) {
    for size in [3, 5] {
        assert!(fall_behind(make, size, 5) > 0, "compacted entries arrive as a snapshot");
    }
}

pub(super) fn retained_entries_spare_the_snapshot(make: &Make<'_>) {
    for size in [3, 5] {
        assert_eq!(fall_behind(make, size, 1000), 0, "retained entries arrive as entries");
    }
}

pub(super) fn transfer_leadership(make: &Make<'_>) {
    for size in [3, 5] {
        let mut network = Network::new(make, size, 70 + size);
        let members = network.up();
        for _ in 0..5 {
            commit(&mut network, 5, &members);
            let old = network.leader().expect("a leader");
            let new = others(&network, old)[network.random(size - 1) as usize];
            let refused = network.peer(new).engine().transfer_leadership(old);
            assert!(matches!(refused, Err(ChangeError::Propose(_))), "only the leader transfers leadership");
            network.peer(old).engine().transfer_leadership(new).expect("it leads");
            let before = network.now;
            network.until("the chosen member leads", |network| network.leader() == Some(new));
            assert!(network.now - before < 10, "no member waits for an election timeout");
        }
        let leader = network.leader().expect("it leads");
        let stranger = network.peer(leader).engine().transfer_leadership(MemberId(99));
        assert_eq!(stranger, Err(ChangeError::Impossible));
        let away = others(&network, leader)[0];
        network.crash(away);
        network.peer(leader).engine().transfer_leadership(away).expect("it leads");
        let rest = others(&network, away);
        commit(&mut network, 5, &rest);
    }
}

/// Proposes the change on the current leader until it is in force there.
pub(super) fn change(network: &mut Network<'_>, change: MembershipChange) {
    network.until("a possible membership change takes effect", |network| {
        let Some(leader) = network.leader() else { return false };
        let engine = network.peer(leader).engine();
        let membership = engine.status().membership;
        if membership.with(change).as_ref() == Some(&membership) {
            return true;
        }
        // Refused while another change is pending, or leadership moves: retried at the next step.
        let _ = engine.propose_membership(change);
        false
    });
}

pub(super) fn grow_and_shrink(make: &Make<'_>) {
    let mut network = Network::new(make, 1, 80);
    commit(&mut network, 20, &[MemberId(1)]);
    for (new, as_learner) in [(2, true), (3, false)] {
        let new = MemberId(new);
        network.add(new, Start::joining());
        network.run(50);
        assert_eq!(network.peer(new).applied, 0, "no member joins before it is added");
        if as_learner {
            change(&mut network, MembershipChange::AddLearner(new));
            let members = network.up();
            commit(&mut network, 5, &members);
        }
        change(&mut network, MembershipChange::AddVoter(new));
        let members = network.up();
        commit(&mut network, 20, &members);
        assert!(network.peer(new).installed_count > 0, "a new member begins with a snapshot");
    }
    let members = network.up();
    members.iter().for_each(|member| network.crash(*member));
    members.iter().for_each(|member| network.restart(*member));
    commit(&mut network, 5, &members);
    let leader = network.leader().expect("a leader");
    let leave = network.peer(leader).engine().propose_membership(MembershipChange::Remove(leader));
    assert!(matches!(leave, Err(ChangeError::Leader | ChangeError::Pending)));
    let gone = others(&network, leader);
    for member in &gone {
        change(&mut network, MembershipChange::Remove(*member));
        network.run(20);
    }
    assert_eq!(network.leader(), Some(leader), "removed members do not disrupt the leader");
    gone.iter().for_each(|member| network.crash(*member));
    commit(&mut network, 5, &[leader]);
    let last = network.peer(leader).engine().propose_membership(MembershipChange::Remove(leader));
    assert!(last.is_err(), "the last member cannot leave");
    network.crash(leader);
    network.restart(leader);
    commit(&mut network, 5, &[leader]);
}

/// A group of one grows; its first member crashes at every possible moment of that and restarts
/// while the others are isolated from it. It must not commit alone once the others can.
pub(super) fn grown_group_does_not_split(make: &Make<'_>) {
    for moment in 0..40_u64 {
        let mut network = Network::new(make, 1, 90);
        network.faults.flush_delay_max = 3;
        let (first, second, third) = (MemberId(1), MemberId(2), MemberId(3));
        commit(&mut network, 5, &[first]);
        for new in [second, third] {
            network.add(new, Start::joining());
        }
        change(&mut network, MembershipChange::AddVoter(second));
        commit(&mut network, 1, &[first, second]);
        let mut units = moment;
        network.until("the third member joins", |network| {
            if let Some(leader) = network.leader() {
                let _ = network.peer(leader).engine().propose_membership(MembershipChange::AddVoter(third));
            }
            units = units.saturating_sub(1);
            units == 0
        });
        network.crash(first);
        network.isolate(first, false);
        network.restart(first);
        for _ in 0..60 {
            // On every member that believes it leads: whatever they commit must not differ.
            network.up().into_iter().for_each(|member| _ = network.propose_on(member));
            network.step();
        }
        network.heal();
        change(&mut network, MembershipChange::AddVoter(third));
        commit(&mut network, 5, &[first, second, third]);
        network.check_equal(&[first, second, third]);
    }
}

pub(super) fn grow_to_five(make: &Make<'_>) {
    let mut network = Network::new(make, 1, 81);
    network.snapshot_every = 20;
    network.retained = 5;
    for new in (2..=5).map(MemberId) {
        network.add(new, Start::joining());
        change(&mut network, MembershipChange::AddLearner(new));
        change(&mut network, MembershipChange::AddVoter(new));
        let members = network.up();
        commit(&mut network, 20, &members);
    }
    for away in [1, 2].map(MemberId) {
        network.crash(away);
    }
    commit(&mut network, 20, &[MemberId(3), MemberId(4), MemberId(5)]);
    network.restart(MemberId(1));
    network.restart(MemberId(2));
    while network.peers.len() > 1 {
        let leader = network.leader().expect("a leader");
        let gone = others(&network, leader)[0];
        change(&mut network, MembershipChange::Remove(gone));
        network.crash(gone);
        network.peers.remove(&gone);
        let members = network.up();
        commit(&mut network, 5, &members);
        network.check_equal(&members);
    }
}

pub(super) fn learners_never_lead(make: &Make<'_>) {
    let mut network = Network::new(make, 1, 82);
    let (voter, learners) = (MemberId(1), [MemberId(2), MemberId(3)]);
    for learner in learners {
        network.add(learner, Start::joining());
        change(&mut network, MembershipChange::AddLearner(learner));
    }
    let members = network.up();
    commit(&mut network, 10, &members);
    // The voter does not wait for learners…
    learners.iter().for_each(|learner| network.crash(*learner));
    commit(&mut network, 10, &[voter]);
    // …and learners cannot commit without the voter.
    learners.iter().for_each(|learner| network.restart(*learner));
    commit(&mut network, 10, &members);
    network.crash(voter);
    for _ in 0..100 {
        learners.iter().for_each(|learner| network.peer(*learner).engine().campaign());
        network.step();
        assert_eq!(network.leader(), None, "a learner does not lead");
    }
    network.restart(voter);
    commit(&mut network, 10, &members);
    network.check_equal(&members);
}

/// A member misses two changes, so that a majority of the membership it knows may have no member in
/// common with a majority of the current one.
pub(super) fn old_membership_decides_nothing(make: &Make<'_>) {
    for seed in 0..10 {
        let mut network = Network::new(make, 3, 8300 + seed);
        let members = (1..=5).map(MemberId).collect::<Vec<_>>();
        commit(&mut network, 5, &members[..3]);
        let old = others(&network, network.leader().expect("a leader"))[0];
        network.isolate(old, false);
        for new in &members[3..] {
            network.add(*new, Start::joining());
            network.cut_link(old, *new);
            change(&mut network, MembershipChange::AddVoter(*new));
        }
        let rest = others(&network, old);
        commit(&mut network, 5, &rest);
        let leader = network.leader().expect("a leader");
        let partner = rest.iter().copied().find(|member| *member != leader && member.0 <= 3);
        network.heal();
        let minority = [old, partner.expect("three founded it")];
        network.split(&minority);
        for _ in 0..100 {
            network.peer(old).engine().campaign();
            network.up().into_iter().for_each(|member| _ = network.propose_on(member));
            network.step();
        }
        network.heal();
        commit(&mut network, 5, &members);
        network.check_equal(&members);
    }
}

pub(super) fn catch_up_under_load(make: &Make<'_>) {
    for size in [3, 5] {
        let mut network = Network::new(make, size, 84 + size);
        network.snapshot_every = 20;
        network.retained = 10;
        network.faults.delay_max = 2;
        let members = network.up();
        commit(&mut network, 5, &members);
        let behind = others(&network, network.leader().expect("a leader"))[0];
        network.crash(behind);
        let rest = others(&network, behind);
        commit(&mut network, 100, &rest);
        network.restart(behind);
        network.until("it catches up although the others keep committing", |network| {
            network.propose();
            network.propose();
            network.peers[&behind].applied + 20 > network.record.highest()
        });
        assert!(network.peer(behind).installed_count > 0, "compacted entries arrive as a snapshot");
        commit(&mut network, 5, &members);
        network.check_equal(&members);
    }
}

pub(super) fn down_for_ever(make: &Make<'_>) {
    let mut network = Network::new(make, 3, 88);
    network.snapshot_every = 20;
    network.retained = 10;
    let members = network.up();
    commit(&mut network, 5, &members);
    let away = others(&network, network.leader().expect("a leader"))[0];
    network.crash(away);
    let rest = others(&network, away);
    for _ in 0..10 {
        commit(&mut network, 50, &rest);
        for member in &rest {
            let status = network.peer(*member).engine().status();
            assert!(status.last_index - status.first_index < 100, "no more entries are kept than asked for");
        }
    }
}

/// A learner that was removed while isolated believes in its leader for ever. It once took the
/// answers to its reads as a sign that it still belonged to the group, and never asked to join
/// again.
pub(super) fn removed_learner_gets_no_answer(make: &Make<'_>) {
    let mut network = Network::new(make, 3, 89);
    let learner = MemberId(4);
    network.add(learner, Start::joining());
    change(&mut network, MembershipChange::AddLearner(learner));
    let members = network.up();
    commit(&mut network, 5, &members);
    network.ask_read(learner);
    network.run(50);
    network.isolate(learner, false);
    change(&mut network, MembershipChange::Remove(learner));
    let rest = others(&network, learner);
    commit(&mut network, 5, &rest);
    network.run(50);
    network.heal();
    let before = network.sent_bytes[&learner];
    network.ask_read(learner);
    network.run(200);
    assert_eq!(network.sent_bytes[&learner], before, "no member sends it anything");
}
