//! A disk that stalls keeps its member from reading what the others send.

use group::GroupId;
use wire::opcode::Opcode;

use super::ensemble::{ENGINES, Trio, config_of};
use crate::simulation::Readiness;

/// A past bug: a leader whose disk stalled while it handled the other members' messages ended
/// sessions that had been heard from meanwhile: their servers had reported them, and it had not
/// read the reports yet. Found by the simulator (seed 14018561).
#[test]
fn a_session_that_was_heard_of_while_the_leaders_disk_stood_still_lives() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("it serves");
        let follower = leader % 3 + 1;
        let (wire, session, _) = trio.connect(follower, None);
        let timeout_us = 10_000_000;

        let member = trio.members.get_mut(&leader).expect("it runs");
        member.peers_polled();
        trio.time.advance_us(timeout_us + 5_000_000);
        member.cycle().expect("it goes on");

        wire.ask(-2, Opcode::Ping, &[]);
        let (_, slot, _) = *trio.clients.last().expect("it connected");
        let member = trio.members.get_mut(&follower).expect("it runs");
        member.serve(&[(slot, Readiness { readable: true, writable: true, read_closed: false })]);
        member.cycle().expect("it goes on");
        let frames = member.take_frames();
        let member = trio.members.get_mut(&leader).expect("it runs");
        for (_, frame) in frames.into_iter().filter(|(to, _)| *to == leader) {
            member.receive(follower, frame).expect("it goes on");
        }
        (0..500).for_each(|_| trio.step());
        let machine = trio.members[&follower].machine(GroupId::ROOT);
        assert!(machine.session(session).is_some(), "{engine:?}");
    }
}

/// A follower whose disk stalls still reads and answers its clients' pings. A past bug: the leader
/// did not learn of the pings before the disk recovered, and ended their sessions.
#[test]
fn the_leader_hears_of_a_followers_clients_while_its_disk_stands_still() {
    for engine in ENGINES {
        let mut trio = Trio::of((1..=3).map(|server| {
            let mut config = config_of(server, engine);
            config.tick_time_ms = 100;
            (config.session.timeout_ms_min, config.session.timeout_ms_max) = (500, 500);
            config
        }));
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("it serves");
        let follower = leader % 3 + 1;
        let (wire, session, _) = trio.connect(follower, None);
        let (_, slot, _) = *trio.clients.last().expect("it connected");
        let mut stalled = trio.members.remove(&follower).expect("it runs");
        for step in 0..600 {
            if step % 15 == 0 {
                if step % 60 == 0 {
                    wire.ask(-2, Opcode::Ping, &[]);
                }
                stalled.serve(&[(slot, Readiness { readable: true, writable: true, read_closed: false })]);
                let frames = stalled.keepalive();
                let member = trio.members.get_mut(&leader).expect("it runs");
                for (_, frame) in frames.into_iter().filter(|(to, _)| *to == leader) {
                    member.receive(follower, frame).expect("it goes on");
                }
            }
            trio.step();
        }
        assert!(trio.members[&leader].machine(GroupId::ROOT).session(session).is_some(), "{engine:?}");
        (0..1_500).for_each(|_| trio.step());
        assert!(
            trio.members[&leader].machine(GroupId::ROOT).session(session).is_none(),
            "{engine:?}: the disk is lost"
        );
    }
}
