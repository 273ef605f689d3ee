//! Cases where one thing goes wrong, in every way it can.

use super::Make;
use super::calm::commit;
use super::network::{Faults, Network};
use crate::engine::{Role, Start};

pub(super) fn any_lost_message(make: &Make<'_>) {
    for lost in 1..150 {
        let mut network = Network::new(make, 3, 200);
        network.lost = Some(lost);
        let members = network.up();
        commit(&mut network, 1, &members);
        for _ in 0..20 {
            network.propose();
            network.step();
        }
        commit(&mut network, 1, &members);
        network.check_equal(&members);
    }
}

pub(super) fn crash_at_any_flush(make: &Make<'_>) {
    for (size, moment) in [1, 3].into_iter().flat_map(|size| (0..80).map(move |moment| (size, moment))) {
        let mut network = Network::new(make, size, 300 + moment);
        network.faults.flush_delay_max = 3;
        network.snapshot_every = 15;
        let members = network.up();
        for _ in 0..moment {
            network.propose();
            network.propose();
            network.step();
        }
        members.iter().for_each(|member| network.crash(*member));
        members.iter().for_each(|member| network.restart(*member));
        commit(&mut network, 3, &members);
        network.check_equal(&members);
    }
}

/// It stood for election in vain all the time. When it comes back, or while only it hears nothing, the leader goes on.
pub(super) fn return_disturbs_nobody(make: &Make<'_>) {
    for (size, is_heard) in [(3, false), (5, false), (3, true), (5, true)] {
        let mut network = Network::new(make, size, 400 + size);
        let members = network.up();
        commit(&mut network, 5, &members);
        let leader = network.leader().expect("it commits");
        let role = network.peer(leader).engine().role();
        let away = members.iter().copied().find(|member| *member != leader).expect("there are others");
        if is_heard {
            network.deafen(away);
        } else {
            network.isolate(away, false);
        }
        let rest = members.iter().copied().filter(|member| *member != away).collect::<Vec<_>>();
        commit(&mut network, 5, &rest);
        network.run(100);
        network.heal();
        network.run(50);
        commit(&mut network, 5, &members);
        assert_eq!(network.peer(leader).engine().role(), role, "the leader leads on, in its term");
    }
}

/// Its disk keeps a member from everything else, which it can only tell by other means. As long as it does, it is borne.
pub(super) fn who_stands_still_is_borne(make: &Make<'_>) {
    for (size, leader_stands_still) in [(3, true), (5, true), (3, false), (5, false)] {
        let mut network = Network::new(make, size, 450 + size);
        let members = network.up();
        commit(&mut network, 5, &members);
        let leader = network.leader().expect("it commits");
        let role = network.peer(leader).engine().role();
        let (still, rest): (Vec<_>, Vec<_>) =
            members.iter().partition(|member| (**member == leader) == leader_stands_still);
        network.still.extend(&still);
        for _ in 0..100 {
            for member in &rest {
                still.iter().for_each(|from| network.peer(*member).engine().heard_of(*from));
            }
            network.step();
        }
        network.still.clear();
        commit(&mut network, 5, &members);
        assert_eq!(network.peer(leader).engine().role(), role, "the leader leads on, in its term");
        network.check_equal(&members);
        network.still.extend(&still);
        network.until("who says nothing is not borne", |network| {
            rest.iter().all(|member| network.peer(*member).engine().role().leader != Some(leader))
        });
    }
}

pub(super) fn rivals_come_to_an_end(make: &Make<'_>) {
    for seed in 500..520 {
        let mut network = Network::new(make, 5, seed);
        network.faults = Faults { loss_percent: 0, ..Faults::ROUGH };
        let members = network.up();
        for _ in 0..40 {
            members.iter().for_each(|member| network.peer(*member).engine().campaign());
            network.run(1);
        }
        let before = network.now;
        commit(&mut network, 1, &members);
        assert!(network.now - before < 200, "rivals agree soon");
    }
}

/// An election timeout is 10 to 20 units of time here, and the earliest of several members acts; then come three rounds of messages.
pub(super) fn dead_leader_is_replaced_soon(make: &Make<'_>) {
    for size in [3, 5] {
        let mut times = (1000..1040).map(|seed| time_without_leader(make, size, seed)).collect::<Vec<_>>();
        times.sort_unstable();
        assert!(times[times.len() / 2] <= 24, "mostly the first attempt succeeds: {times:?}");
        assert!(times[times.len() - 1] <= 50, "and soon the second: {times:?}");
    }
}

fn time_without_leader(make: &Make<'_>, size: u64, seed: u64) -> u64 {
    let mut network = Network::new(make, size, seed);
    let members = network.up();
    commit(&mut network, 5, &members);
    let units = network.random(20);
    network.run(units);
    let leader = network.leader().expect("it commits");
    let rest = members.into_iter().filter(|member| *member != leader).collect::<Vec<_>>();
    network.crash(leader);
    let before = network.now;
    commit(&mut network, 1, &rest);
    network.now - before
}

/// A leader reaches one follower and dies. What that one has accepted may be taken over or not, but by all alike; and it
/// does not come back once something else was agreed in its place.
pub(super) fn partly_accepted_is_settled(make: &Make<'_>) {
    for (seed, witness_is_there) in (600..620).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut network = Network::new(make, 5, seed);
        let members = network.up();
        commit(&mut network, 5, &members);
        let leader = network.leader().expect("it commits");
        let witness = members.iter().copied().find(|member| *member != leader).expect("there are others");
        network.split(&[leader, witness]);
        (0..5).for_each(|_| _ = network.propose_on(leader));
        network.run(4);
        network.crash(leader);
        network.heal();
        if !witness_is_there {
            network.isolate(witness, false);
        }
        let rest = members.iter().copied().filter(|member| *member != leader);
        let rest = rest.filter(|member| witness_is_there || *member != witness).collect::<Vec<_>>();
        network.until("the others go on", |network| {
            let newest = network.leader();
            newest.is_some_and(|newest| newest != witness || witness_is_there)
        });
        commit(&mut network, 5, &rest);
        network.heal();
        network.restart(leader);
        commit(&mut network, 5, &members);
        network.check_equal(&members);
    }
}

/// A leader that was cut off has a long log that nobody agreed to; the others have agreed to a short one. Then only one of those
/// is left, among more of the former.
pub(super) fn newest_log_counts(make: &Make<'_>) {
    for seed in 900..930 {
        let mut network = Network::new(make, 5, seed);
        network.faults.delay_max = 3;
        let members = network.up();
        commit(&mut network, 5, &members);
        let old = network.leader().expect("it commits");
        let rest = members.iter().copied().filter(|member| *member != old).collect::<Vec<_>>();
        network.split(&[old, rest[0]]);
        (0..20).for_each(|_| _ = network.propose_on(old));
        network.until("the others go on", |network| network.leader().is_some_and(|leader| leader != old));
        commit(&mut network, 3, &rest[1..]);
        rest[2..].iter().for_each(|member| network.crash(*member));
        network.run(30);
        network.heal();
        network.peer([old, rest[0]][seed as usize % 2]).engine().campaign();
        commit(&mut network, 3, &[old, rest[0], rest[1]]);
        rest[2..].iter().for_each(|member| network.restart(*member));
        commit(&mut network, 3, &members);
        network.check_equal(&members);
    }
}

pub(super) fn messages_are_bounded(make: &Make<'_>) {
    const BYTES_MAX: u64 = 160;
    const IN_FLIGHT_MAX: usize = 4;
    const OVERHEAD: u64 = 400;
    let mut network = Network::empty(make, 700);
    network.settings.message_bytes_max = BYTES_MAX;
    network.settings.messages_in_flight_max = IN_FLIGHT_MAX;
    network.found(3);
    let members = network.up();
    commit(&mut network, 5, &members);
    let leader = network.leader().expect("it commits");
    let behind = members.iter().copied().find(|member| *member != leader).expect("there are others");
    // It hears and cannot answer, so the leader must stop before long.
    network.isolate(behind, true);
    network.sent_bytes.clear();
    let rest = members.iter().copied().filter(|member| *member != behind).collect::<Vec<_>>();
    commit(&mut network, 300, &rest);
    let commits_told = network.now * OVERHEAD / 4;
    let limit = (BYTES_MAX + OVERHEAD) * IN_FLIGHT_MAX as u64 + commits_told;
    assert!(network.sent_bytes[&behind] < limit, "a follower that does not answer is not flooded");
    network.heal();
    commit(&mut network, 5, &members);
    network.check_equal(&members);
    assert!(network.longest_message < BYTES_MAX + OVERHEAD, "a message is as long as allowed");
}

pub(super) fn lost_log_is_found(make: &Make<'_>) {
    for size in [3, 5] {
        let mut network = Network::new(make, size, 800 + size);
        let members = network.up();
        commit(&mut network, 20, &members);
        let leader = network.leader().expect("it commits");
        let wiped = members.iter().copied().find(|member| *member != leader).expect("there are others");
        network.crash(wiped);
        network.peers.remove(&wiped);
        network.add(wiped, Start::bootstrap(&members));
        network.wiped = Some(wiped);
        network.until("the loss is found", |network| network.is_loss_found);
        assert_ne!(network.peer(wiped).engine().role().role, Role::Leader, "it must be stopped");
    }
}
