//! A session is judged by what was heard, up to the time until which a thread has read the sockets.

use group::GroupId;
use std::sync::Arc;

use storage::disk::SimDisk;
use wire::opcode::Opcode;

use super::ensemble::{ENGINES, Trio, Wire, config_of};
use crate::clock::ManualTime;
use crate::config::{Config, EngineKind};
use crate::simulation::{Member, Readiness};

const READY: Readiness = Readiness { readable: true, writable: true, read_closed: false };

fn ping(wire: &Wire) {
    wire.ask(-2, Opcode::Ping, &[]);
}

/// An ensemble with a session at each of its servers.
fn settled(engine: EngineKind, config: impl Fn(&mut Config)) -> (Trio, Vec<(Wire, i64)>) {
    let mut trio = Trio::of((1..=3).map(|server| {
        let mut own = config_of(server, engine);
        config(&mut own);
        own
    }));
    trio.until("all serve", Trio::all_serve);
    let sessions = (1..=3).map(|server| trio.connect(server, None)).map(|(wire, id, _)| (wire, id));
    let sessions = sessions.collect();
    (trio, sessions)
}

fn lives(trio: &Trio, session: i64) -> bool {
    trio.members.values().all(|member| member.machine(GroupId::ROOT).session(session).is_some())
}

/// All members were suspended for far longer than every timeout, and their clients sent pings. When
/// the members resume, the replication threads run first: no thread has read the sockets yet.
#[test]
fn a_pause_of_all_members_ends_nobodys_session() {
    for engine in ENGINES {
        let (mut trio, sessions) = settled(engine, |_| {});
        for pause_us in [15_000_000, 100_000_000] {
            trio.time.advance_us(pause_us);
            sessions.iter().for_each(|(wire, _)| ping(wire));
            for member in trio.members.values_mut() {
                member.peers_polled();
                member.cycle().expect("it goes on");
                member.take_frames();
            }
            (0..500).for_each(|_| trio.step());
            for (_, session) in &sessions {
                assert!(lives(&trio, *session), "{engine:?} after {pause_us} µs");
            }
        }
    }
}

/// A silent session ends at the end of the tick in which its timeout passes, or a little later if
/// its server has to report to the leader first. A pause of the process adds its own length, not
/// whole timeouts.
#[test]
fn who_is_silent_expires_in_time_on_every_server() {
    for engine in ENGINES {
        let (mut trio, sessions) = settled(engine, |config| config.tick_time_ms = 2_000);
        let mut ended_ms = [0; 3];
        for ms in (2..30_000).step_by(2) {
            if ms == 4_000 {
                trio.time.advance_us(3_000_000);
            }
            trio.step();
            for (ended_ms, (_, session)) in ended_ms.iter_mut().zip(&sessions) {
                if *ended_ms == 0 && !lives(&trio, *session) {
                    *ended_ms = ms;
                }
            }
        }
        for ended_ms in ended_ms {
            // Timeouts are 10 s. Sessions were opened at most 100 ms before the count began.
            assert!((9_800..=10_000 + 2_000 + 1_000).contains(&ended_ms), "{engine:?}: {ended_ms}");
        }
    }
}

/// A past bug: followers reported the sessions they had heard from to the leader every 400 ms,
/// which was too seldom for short timeouts.
#[test]
fn short_timeouts_are_kept_at_every_server() {
    for engine in ENGINES {
        let (mut trio, sessions) = settled(engine, |config| {
            config.tick_time_ms = 100;
            (config.session.timeout_ms_min, config.session.timeout_ms_max) = (200, 200);
        });
        for step in 0..2_000 {
            if step % 30 == 0 {
                sessions.iter().for_each(|(wire, _)| ping(wire));
            }
            trio.step();
        }
        for (_, session) in &sessions {
            assert!(lives(&trio, *session), "{engine:?}: its client pings each 60 ms");
        }
        (0..500).for_each(|_| trio.step());
        for (_, session) in &sessions {
            assert!(!lives(&trio, *session), "{engine:?}: its client is silent for 1 s");
        }
    }
}

/// The report of a ping is lost with the connection to the leader; it is repeated on the next one.
#[test]
fn what_a_lost_report_said_is_told_again() {
    for engine in ENGINES {
        let (mut trio, sessions) = settled(engine, |_| {});
        let leader = trio.leader().expect("it serves");
        let follower = leader % 3 + 1;
        let (wire, session) = sessions[follower as usize - 1].clone();
        // 6 s of silence, a ping that the leader does not hear of, and 6 more.
        (0..3_000).for_each(|_| trio.step());
        ping(&wire);
        trio.loses = Box::new(move |from, to, _| (from, to) == (follower, leader));
        (0..250).for_each(|_| trio.step());
        trio.loses = Box::new(|_, _, _| false);
        trio.members.get_mut(&follower).expect("it runs").linked(leader);
        (0..2_750).for_each(|_| trio.step());
        assert!(lives(&trio, session), "{engine:?}");
    }
}

/// A single server whose connection thread is kept from its sockets ends no session whose data wait
/// in them, and ends the sessions of silent clients as soon as that thread has read them.
#[test]
fn a_lone_server_judges_nobody_before_it_has_read() {
    let time = ManualTime::new(1_700_000_000_000);
    let mut config = config_of(1, EngineKind::Raft);
    config.ensemble = None;
    config.tick_time_ms = 1_000;
    let mut server = Member::start(Arc::new(SimDisk::new(1)), config, &time).expect("it starts");
    server.cycle().expect("it goes on");
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let wire = Wire::default();
            let slot = server.accept(GroupId::ROOT, Box::new(wire.clone())).expect("a slot");
            wire.greet(10_000);
            (slot, wire)
        })
        .collect();
    for _ in 0..4 {
        server.serve(&clients.iter().map(|(slot, _)| (*slot, READY)).collect::<Vec<_>>());
        server.cycle().expect("it goes on");
        time.advance_us(10_000);
    }
    assert_eq!(server.machine(GroupId::ROOT).sessions().count(), 2);
    for _ in 0..300 {
        time.advance_us(100_000);
        server.cycle().expect("it goes on");
    }
    assert_eq!(server.machine(GroupId::ROOT).sessions().count(), 2, "nobody has looked for 30 s");
    ping(&clients[0].1);
    assert!(server.is_busy(), "the thread is asked to look");
    server.serve(&[(clients[0].0, READY)]);
    time.advance_us(20_000);
    server.cycle().expect("it goes on");
    assert_eq!(server.machine(GroupId::ROOT).sessions().count(), 1, "one of the two has said something");
}
