//! Cases with few faults.

use bytes::Bytes;

use super::Make;
use super::network::{Faults, Network};
use crate::engine::{ProposeError, Role, Settings, Start};
use crate::entry::MemberId;

/// Proposes until `count` more commands are committed and applied on all `members`.
pub(super) fn commit(network: &mut Network<'_>, count: usize, members: &[MemberId]) {
    let wanted = network.record.commands().len() + count;
    network.until("a connected majority commits", |network| {
        let missing = wanted.saturating_sub(network.record.commands().len());
        (missing > 0).then(|| network.propose());
        missing == 0
    });
    network.until("all connected members learn of commits", |network| network.all_applied(members));
}

pub(super) fn commits_in_order(make: &Make<'_>) {
    for size in [1, 3, 5] {
        let mut network = Network::new(make, size, 10 + size);
        let members = network.up();
        if size == 1 {
            assert_eq!(network.leader(), Some(MemberId(1)), "alone, a member leads at once");
        }
        commit(&mut network, 200, &members);
        network.check_equal(&members);
        let leader = network.leader().expect("a leader");
        for follower in members.iter().filter(|member| **member != leader) {
            let refused = network.peer(*follower).engine().propose(Bytes::from_static(b"x"));
            let refused = refused.expect_err("only the leader accepts proposals");
            assert_eq!(refused.reason, ProposeError::NotLeader { leader: Some(leader) });
            assert_eq!(refused.data, "x");
        }
    }
}

pub(super) fn restart_of_all(make: &Make<'_>) {
    for size in [1, 3, 5] {
        let mut network = Network::new(make, size, 20 + size);
        let members = network.up();
        for _ in 0..5 {
            commit(&mut network, 10, &members);
            network.faults.flush_delay_max = 3;
            let before = network.record.commands();
            (0..3).for_each(|_| _ = network.propose());
            members.iter().for_each(|member| network.crash(*member));
            network.run(5);
            members.iter().for_each(|member| network.restart(*member));
            commit(&mut network, 1, &members);
            assert!(network.record.commands().starts_with(&before), "what was committed stays");
            network.check_equal(&members);
        }
    }
}

/// A restarted member knows less than what is committed: it learns the rest from the leader,
/// although nothing is proposed any more.
pub(super) fn restart_in_an_idle_group(make: &Make<'_>) {
    for size in [3, 5] {
        let mut network = Network::new(make, size, 25 + size);
        let members = network.up();
        for round in 0..5 {
            commit(&mut network, 3, &members);
            let leader = network.leader().expect("a leader");
            let followers = members.iter().filter(|member| **member != leader);
            let follower = *followers.cycle().nth(round).expect("there are followers");
            network.crash(follower);
            network.restart(follower);
            network.until("all members learn of commits", |network| network.all_applied(&members));
            network.check_equal(&members);
        }
    }
}

pub(super) fn silent_loss_heals(make: &Make<'_>) {
    for size in [3, 5] {
        let mut network = Network::new(make, size, 30 + size);
        let members = network.up();
        commit(&mut network, 20, &members);
        for _ in 0..5 {
            network.faults.loss_percent = 100;
            (0..5).for_each(|_| _ = network.propose());
            let units = 5 + network.random(60);
            network.run(units);
            network.faults = Faults::NONE;
            commit(&mut network, 5, &members);
        }
        network.check_equal(&members);
    }
}

pub(super) fn reads_are_answered(make: &Make<'_>) {
    for size in [1, 3, 5] {
        let mut network = Network::new(make, size, 40 + size);
        let members = network.up();
        commit(&mut network, 5, &members);
        for faults in [Faults::NONE, Faults::ROUGH] {
            network.faults = faults;
            let mut asked = network.record.answered_reads;
            for _ in 0..40 {
                network.propose();
                members.iter().for_each(|member| _ = network.ask_read(*member));
                asked += members.len() as u64;
                network.step();
            }
            network.until("every read is answered", |network| network.record.answered_reads == asked);
        }
    }
}

pub(super) fn deposed_leader_answers_no_read(make: &Make<'_>) {
    let mut asked_in_time = false;
    for (moment, (size, only_outgoing)) in
        (0..10).flat_map(|moment| [(3, false), (5, false), (3, true)].map(|case| (moment, case)))
    {
        let mut network = Network::new(make, size, 50 + size);
        let members = network.up();
        commit(&mut network, 5, &members);
        // A leader counts its active followers at intervals; try different phases of them.
        network.run(moment);
        let all_the_time = moment % 2 == 0;
        let old = network.leader().expect("a leader");
        network.ask_read(old);
        network.run(3);
        network.isolate(old, only_outgoing);
        let others = members.into_iter().filter(|member| *member != old).collect::<Vec<_>>();
        // Elect as early as possible, so that the old leader does not know yet that it is deposed.
        // Reads are requested from it throughout, or only once there is something it does not know.
        network.until("the majority elects another", |network| {
            if network.now.is_multiple_of(6) {
                network.peer(others[0]).engine().campaign();
            }
            all_the_time.then(|| network.ask_read(old));
            network.leader().is_some_and(|leader| leader != old)
        });
        let before = network.record.commands().len();
        network.until("the majority commits", |network| {
            network.propose();
            all_the_time.then(|| network.ask_read(old));
            network.record.commands().len() > before
        });
        asked_in_time |= network.peer(old).engine().role().role == Role::Leader;
        let context = network.ask_read(old);
        network.run(30);
        assert!(
            !network.record.answered_contexts.contains(&context),
            "an isolated member cannot know what is committed"
        );
        assert_ne!(
            network.peer(old).engine().role().role,
            Role::Leader,
            "without a majority no member leads for long"
        );
        network.heal();
        network.until("the read is answered in the end", |network| {
            network.record.answered_contexts.contains(&context)
        });
    }
    assert!(asked_in_time, "some old leader was asked while there was another");
}

pub(super) fn proposals_are_bounded(make: &Make<'_>) {
    let settings = Settings { uncommitted_bytes_max: 1000, ..Settings::new(1, MemberId(1), 1, 1) };
    let mut engine = make(settings, Start::bootstrap(&[MemberId(1)]));
    let big = Bytes::from(vec![1; 5000]);
    engine.propose(big.clone()).expect("a single one may be longer than the limit");
    let refused = engine.propose(big.clone()).expect_err("the limit is reached");
    assert_eq!((refused.reason, refused.data), (ProposeError::Busy, big.clone()));
    let mut ready = crate::engine::Ready::default();
    while engine.ready(&mut ready) {
        engine.persisted(ready.number);
    }
    engine.propose(big).expect("what is committed no longer counts");
}
