//! Cases with all faults at once, which then end: no guarantee is broken, and the group recovers.

use super::Make;
use super::calm::commit;
use super::changes::change;
use super::network::{Faults, Network};
use crate::engine::Start;
use crate::entry::MemberId;
use crate::membership::MembershipChange;

const UNITS: u64 = 1500;

/// One unit of time with random faults.
fn inject_faults(network: &mut Network<'_>, down_max: usize) {
    for _ in 0..network.random(4) {
        network.propose();
    }
    let members = network.peers.keys().copied().collect::<Vec<_>>();
    let member = members[network.random(members.len() as u64) as usize];
    let is_up = network.peer(member).engine.is_some();
    let down_count = members.len() - network.up().len();
    match network.random(60) {
        0 if is_up && down_count < down_max => network.crash(member),
        1..=3 if !is_up => network.restart(member),
        4 => {
            let only_outgoing = network.random(2) == 0;
            network.isolate(member, only_outgoing);
        }
        5..=6 => network.heal(),
        7..=20 if is_up => _ = network.ask_read(member),
        21 if is_up => {
            if let Some(leader) = network.leader() {
                let _ = network.peer(leader).engine().transfer_leadership(member);
            }
        }
        22 if is_up => network.peer(member).engine().campaign(),
        23..=26 if is_up => {
            let from = members[network.random(members.len() as u64) as usize];
            network.peer(member).engine().heard_of(from);
        }
        _ => {}
    }
    network.step();
}

/// The faults end; all members come back and have the same log.
fn recover(network: &mut Network<'_>, members: &[MemberId]) {
    network.heal();
    network.faults = Faults::NONE;
    for member in members {
        if network.peer(*member).engine.is_none() {
            network.restart(*member);
        }
    }
    commit(network, 5, members);
    network.check_equal(members);
}

pub(super) fn everything_at_once(make: &Make<'_>) {
    for (size, seed) in
        [1, 3, 5].into_iter().flat_map(|size| (0..30).map(move |seed| (size, 100 * size + seed)))
    {
        let mut network = Network::new(make, size, seed);
        network.faults = Faults::ROUGH;
        network.snapshot_every = 40;
        network.retained = 10 * (seed % 4);
        let members = network.up();
        (0..UNITS).for_each(|_| inject_faults(&mut network, members.len()));
        let committed = network.record.commands().len();
        assert!(committed > 50, "a group makes progress despite the faults, committed {committed}");
        recover(&mut network, &members);
    }
}

pub(super) fn members_come_and_go(make: &Make<'_>) {
    for seed in 1000..1030 {
        let mut network = Network::new(make, 1, seed);
        network.faults = Faults::ROUGH;
        network.snapshot_every = 30;
        network.retained = 10;
        let mut newest = 1;
        for _ in 0..8 {
            let leader = network.leader();
            let voters = network.up();
            if voters.len() < 3 || (voters.len() < 5 && network.random(2) == 0) {
                newest += 1;
                network.add(MemberId(newest), Start::joining());
                change(&mut network, MembershipChange::AddVoter(MemberId(newest)));
            } else if let Some(gone) = voters.into_iter().find(|member| Some(*member) != leader) {
                change_away(&mut network, gone);
            }
            let down_max = (network.peers.len() - 1) / 2;
            (0..150).for_each(|_| inject_faults(&mut network, down_max));
            let members = network.peers.keys().copied().collect::<Vec<_>>();
            recover(&mut network, &members);
            network.faults = Faults::ROUGH;
        }
    }
}

/// Two candidates at once, and a third member that votes, crashes and restarts while both ask. If
/// it forgot its vote, a term could have two leaders.
pub(super) fn votes_survive_crashes(make: &Make<'_>) {
    for seed in 2000..2100 {
        let mut network = Network::new(make, 3, seed);
        network.faults = Faults { loss_percent: 0, flush_delay_max: 0, ..Faults::ROUGH };
        for candidate in [1, 2] {
            network.peer(MemberId(candidate)).engine().campaign();
        }
        // The candidates do not hear each other, so the third member decides.
        network.cut_link(MemberId(1), MemberId(2));
        for _ in 0..25 {
            network.step();
            network.crash(MemberId(3));
            network.restart(MemberId(3));
        }
        network.heal();
        recover(&mut network, &[MemberId(1), MemberId(2), MemberId(3)]);
    }
}

/// Removes a member for good. It may lead at that moment, or become leader while it is being
/// removed.
fn change_away(network: &mut Network<'_>, gone: MemberId) {
    network.until("a member can be removed", |network| {
        let Some(leader) = network.leader() else { return false };
        let engine = network.peer(leader).engine();
        let voters = engine.status().membership.voters;
        if leader == gone {
            let successor = voters.into_iter().find(|member| *member != gone);
            let _ = engine.transfer_leadership(successor.expect("there are others"));
            return false;
        }
        let _ = engine.propose_membership(MembershipChange::Remove(gone));
        !voters.contains(&gone)
    });
    network.crash(gone);
    network.peers.remove(&gone);
}

pub(super) fn same_seed_same_run(make: &Make<'_>) {
    let transcript = || {
        let mut network = Network::new(make, 3, 7);
        network.faults = Faults::ROUGH;
        network.snapshot_every = 40;
        (0..500).for_each(|_| inject_faults(&mut network, 3));
        network.transcript
    };
    assert_eq!(transcript(), transcript(), "an engine is a pure function of its calls");
}
