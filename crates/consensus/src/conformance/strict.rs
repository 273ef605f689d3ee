//! Cases with one kind of fault, in every variant.

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

/// The isolated member keeps trying in vain to be elected. When it comes back, or while it alone
/// receives nothing, the leader goes on.
pub(super) fn return_does_not_disrupt(make: &Make<'_>) {
    for (size, is_heard) in [(3, false), (5, false), (3, true), (5, true)] {
        let mut network = Network::new(make, size, 400 + size);
        let members = network.up();
        commit(&mut network, 5, &members);
        let leader = network.leader().expect("a leader");
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
        assert_eq!(network.peer(leader).engine().role(), role, "the leader keeps leading, in its term");
    }
}

/// A stalled disk keeps a member from everything else; only other means can report that it is
/// alive. As long as they do, no leader changes.
pub(super) fn stalled_members_change_no_leader(make: &Make<'_>) {
    for (size, leader_stalls) in [(3, true), (5, true), (3, false), (5, false)] {
        let mut network = Network::new(make, size, 450 + size);
        let members = network.up();
        commit(&mut network, 5, &members);
        let leader = network.leader().expect("a leader");
        let role = network.peer(leader).engine().role();
        let (stalled, rest): (Vec<_>, Vec<_>) =
            members.iter().partition(|member| (**member == leader) == leader_stalls);
        network.stalled.extend(&stalled);
        for _ in 0..100 {
            for member in &rest {
                stalled.iter().for_each(|from| network.peer(*member).engine().heard_of(*from));
            }
            network.step();
        }
        network.stalled.clear();
        commit(&mut network, 5, &members);
        assert_eq!(network.peer(leader).engine().role(), role, "the leader keeps leading, in its term");
        network.check_equal(&members);
        network.stalled.extend(&stalled);
        network.until("a silent stalled member is replaced or counted out", |network| {
            rest.iter().all(|member| network.peer(*member).engine().role().leader != Some(leader))
        });
    }
}

/// The leader's process crashes and is back before anybody misses it. Its disk stalls so often that
/// the others hear all the time that it is alive, which must not keep them from electing a leader.
pub(super) fn reports_of_life_do_not_replace_a_leader(make: &Make<'_>) {
    for (seed, size, is_behind) in
        (470..490).flat_map(|seed| [(seed, 3, false), (seed, 3, true), (seed, 5, false), (seed, 5, true)])
    {
        let mut network = Network::new(make, size, seed);
        let members = network.up();
        commit(&mut network, 5, &members);
        let leader = network.leader().expect("a leader");
        let rest: Vec<_> = members.iter().copied().filter(|member| *member != leader).collect();
        if is_behind {
            // What it has proposed is on the others' disks and not on its own.
            network.faults.flush_delay_max = 2;
            network.propose();
            network.step();
        }
        network.crash(leader);
        network.restart(leader);
        let deadline = network.now + 200;
        while network.leader().is_none() {
            assert!(network.now < deadline, "the others wait for a leader that does not lead");
            rest.iter().for_each(|member| network.peer(*member).engine().heard_of(leader));
            network.step();
        }
        commit(&mut network, 5, &members);
        network.check_equal(&members);
    }
}

pub(super) fn competing_candidates_elect_a_leader(make: &Make<'_>) {
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
        assert!(network.now - before < 200, "competing candidates elect a leader soon");
    }
}

/// An election timeout is 10 to 20 units of time here, and the earliest of several members acts;
/// then three rounds of messages follow.
pub(super) fn dead_leader_is_replaced_soon(make: &Make<'_>) {
    for size in [3, 5] {
        let mut times = (1000..1040).map(|seed| time_without_leader(make, size, seed)).collect::<Vec<_>>();
        times.sort_unstable();
        assert!(times[times.len() / 2] <= 24, "the first attempt usually succeeds: {times:?}");
        assert!(times[times.len() - 1] <= 50, "and the second soon after: {times:?}");
    }
}

fn time_without_leader(make: &Make<'_>, size: u64, seed: u64) -> u64 {
    let mut network = Network::new(make, size, seed);
    let members = network.up();
    commit(&mut network, 5, &members);
    let units = network.random(20);
    network.run(units);
    let leader = network.leader().expect("a leader");
    let rest = members.into_iter().filter(|member| *member != leader).collect::<Vec<_>>();
    network.crash(leader);
    let before = network.now;
    commit(&mut network, 1, &rest);
    network.now - before
}

/// A leader reaches one follower and crashes. What that follower has accepted may be taken over or
/// not, but alike on all members; and it does not come back once something else was committed in
/// its place.
pub(super) fn entries_on_few_members_are_decided(make: &Make<'_>) {
    for (seed, witness_stays) in (600..620).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut network = Network::new(make, 5, seed);
        let members = network.up();
        commit(&mut network, 5, &members);
        let leader = network.leader().expect("a leader");
        let witness = members.iter().copied().find(|member| *member != leader).expect("there are others");
        network.split(&[leader, witness]);
        (0..5).for_each(|_| _ = network.propose_on(leader));
        network.run(4);
        network.crash(leader);
        network.heal();
        if !witness_stays {
            network.isolate(witness, false);
        }
        let rest = members.iter().copied().filter(|member| *member != leader);
        let rest = rest.filter(|member| witness_stays || *member != witness).collect::<Vec<_>>();
        network.until("the others go on", |network| {
            let newest = network.leader();
            newest.is_some_and(|newest| newest != witness || witness_stays)
        });
        commit(&mut network, 5, &rest);
        network.heal();
        network.restart(leader);
        commit(&mut network, 5, &members);
        network.check_equal(&members);
    }
}

/// An isolated leader has a long log without a majority; the others have committed a short one.
/// Then only one member with the committed log is left, and more members with the long one.
pub(super) fn newest_log_wins(make: &Make<'_>) {
    for seed in 900..930 {
        let mut network = Network::new(make, 5, seed);
        network.faults.delay_max = 3;
        let members = network.up();
        commit(&mut network, 5, &members);
        let old = network.leader().expect("a leader");
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
    let leader = network.leader().expect("a leader");
    let behind = members.iter().copied().find(|member| *member != leader).expect("there are others");
    // It receives and cannot reply, so the leader must soon stop sending.
    network.isolate(behind, true);
    network.sent_bytes.clear();
    let rest = members.iter().copied().filter(|member| *member != behind).collect::<Vec<_>>();
    commit(&mut network, 300, &rest);
    let commit_bytes = network.now * OVERHEAD / 4;
    let limit = (BYTES_MAX + OVERHEAD) * IN_FLIGHT_MAX as u64 + commit_bytes;
    assert!(network.sent_bytes[&behind] < limit, "a follower that does not reply is not flooded");
    network.heal();
    commit(&mut network, 5, &members);
    network.check_equal(&members);
    assert!(network.longest_message < BYTES_MAX + OVERHEAD, "a message is no longer than allowed");
}

pub(super) fn lost_log_is_detected(make: &Make<'_>) {
    for size in [3, 5] {
        let mut network = Network::new(make, size, 800 + size);
        let members = network.up();
        commit(&mut network, 20, &members);
        let leader = network.leader().expect("a leader");
        let wiped = members.iter().copied().find(|member| *member != leader).expect("there are others");
        network.crash(wiped);
        network.peers.remove(&wiped);
        network.add(wiped, Start::bootstrap(&members));
        network.wiped = Some(wiped);
        network.until("the loss is detected", |network| network.is_loss_detected);
        assert_ne!(network.peer(wiped).engine().role().role, Role::Leader, "it must be stopped");
    }
}
