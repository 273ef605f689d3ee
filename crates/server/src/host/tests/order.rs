//! Every request of a session, on any connection and to any server, is either done or can never be
//! done any more before any request that the session sends on a later connection is answered.

use wire::ErrorCode;
use wire::jute::Reader;
use wire::opcode::Opcode;
use wire::record::{ConnectResponse, ReplyHeader};

use super::ensemble::{ENGINES, Trio, WALL_MS, Wire, config_of, create, read, sync};
use crate::clock::ManualTime;
use crate::config::{Config, EngineKind, Ensemble, ServerId};
use crate::simulation::Readiness;

type Session = (i64, Vec<u8>);

/// A single server, and three with each engine, that serve.
fn ensembles() -> Vec<Trio> {
    let single = Config { ensemble: None, ..config_of(1, EngineKind::Raft) };
    let mut all = vec![Trio::of([single])];
    all.extend(ENGINES.map(Trio::new));
    for trio in &mut all {
        trio.until("all serve", Trio::all_serve);
    }
    all
}

/// Makes the connection thread of a server read the sockets of one connection, counted back from
/// the newest by `before`. Nothing else happens.
fn serve(trio: &mut Trio, before: usize) {
    let (server, slot, _) = trio.clients[trio.clients.len() - 1 - before];
    let readable = Readiness { readable: true, ..Readiness::default() };
    trio.members.get_mut(&server).expect("it runs").serve(&[(slot, readable)]);
}

/// The session id in the handshake reply; 0 if the session was refused.
fn session_of(frame: &[u8]) -> i64 {
    ConnectResponse::decode(&mut Reader::new(frame)).expect("a handshake").session_id
}

fn code_of(frame: &[u8]) -> i32 {
    ReplyHeader::decode(&mut Reader::new(frame)).expect("a reply").err
}

/// Resumes a session and checks at once whether a znode exists, without waiting for the handshake.
/// Tries again while the server does not serve.
fn come_back_and_look(trio: &mut Trio, server: ServerId, session: &Session, path: &str) -> (Wire, i32) {
    loop {
        let wire = trio.greet(server, Some(session.clone()), false);
        wire.ask(1, Opcode::Exists, &read(path));
        let mut frames = Vec::new();
        while frames.len() < 2 && !wire.is_closed() {
            trio.step();
            frames.extend(wire.take());
        }
        if let [handshake, reply] = frames.as_slice() {
            assert_eq!(session_of(handshake), session.0);
            return (wire, code_of(reply));
        }
    }
}

/// A past bug: a client whose connection broke reconnected to the same server and was shown a state
/// without the write it had sent, and the write was done afterwards: a client that creates a znode
/// again if it does not exist had two.
#[test]
fn a_client_that_comes_back_to_its_server_finds_what_it_sent() {
    for mut trio in ensembles() {
        for server in trio.members.keys().copied().collect::<Vec<_>>() {
            let (wire, id, passwd) = trio.connect(server, None);
            let path = format!("/sent-to-{server}");
            wire.ask(1, Opcode::Create, &create(&path, 0));
            serve(&mut trio, 0);
            let (_, code) = come_back_and_look(&mut trio, server, &(id, passwd), &path);
            assert_eq!(code, 0, "it was handed over, so it is done");
            trio.step();
            assert!(wire.is_closed(), "the session has another connection");
        }
    }
}

/// What the thread of the earlier connection reads only after the session has moved to another
/// connection is never done.
#[test]
fn an_earlier_connection_writes_nothing_any_more() {
    for mut trio in ensembles() {
        for server in trio.members.keys().copied().collect::<Vec<_>>() {
            let (wire, id, passwd) = trio.connect(server, None);
            let (_, code) = {
                let back = trio.greet(server, Some((id, passwd)), false);
                serve(&mut trio, 0);
                wire.ask(1, Opcode::Create, &create("/late", 0));
                serve(&mut trio, 1);
                assert_eq!(session_of(&trio.answer(&back)), id);
                assert_eq!(trio.call(&back, 1, Opcode::Sync, &sync("/")).0.err, 0);
                let looked = trio.call(&back, 2, Opcode::Exists, &read("/late"));
                (back, looked.0.err)
            };
            assert_eq!(code, ErrorCode::NoNode as i32);
            (0..200).for_each(|_| trio.step());
            let (other, ..) = trio.connect(server, None);
            assert_eq!(
                trio.call(&other, 1, Opcode::Exists, &read("/late")).0.err,
                ErrorCode::NoNode as i32,
                "it is never done"
            );
        }
    }
}

/// A client hung up and has moved to another connection by the time the server it left reads what
/// it had sent after the handshake.
#[test]
fn what_was_sent_behind_the_handshake_of_a_client_that_has_gone_is_not_done() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let (_, id, passwd) = trio.connect(1, None);
        let wire = trio.greet(2, Some((id, passwd.clone())), false);
        wire.ask(1, Opcode::Create, &create("/left", 0));
        let &(server, slot, _) = trio.clients.last().expect("it connected");
        let gone = Readiness { readable: true, read_closed: true, ..Readiness::default() };
        trio.members.get_mut(&server).expect("it runs").serve(&[(slot, gone)]);
        trio.until("it is closed", |_| wire.is_closed());
        let (_, code) = come_back_and_look(&mut trio, 3, &(id, passwd), "/left");
        assert_eq!(code, ErrorCode::NoNode as i32, "{engine}");
    }
}

/// A busy server reads the handshake of a connection that its client has closed, and the client has
/// been at another server since: the session stays there.
#[test]
fn a_handshake_of_a_client_that_has_gone_takes_no_session_away() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let (kept, id, passwd) = trio.connect(1, None);
        let left = trio.greet(2, Some((id, passwd)), false);
        let &(server, slot, _) = trio.clients.last().expect("it connected");
        let gone = Readiness { readable: true, read_closed: true, ..Readiness::default() };
        trio.members.get_mut(&server).expect("it runs").serve(&[(slot, gone)]);
        trio.until("it is closed", |_| left.is_closed());
        (0..200).for_each(|_| trio.step());
        assert!(!kept.is_closed(), "{engine}");
        assert_eq!(trio.call(&kept, 1, Opcode::Create, &create("/kept", 0)).0.err, 0, "{engine}");
    }
}

/// The leader crashes at some step of a write of a follower's client. What the client sees when it
/// reconnects stays true.
#[test]
fn what_a_client_finds_after_a_change_of_leader_stays_true() {
    for engine in ENGINES {
        for steps in 0..10 {
            let mut trio = Trio::new(engine);
            trio.until("all serve", Trio::all_serve);
            let leader = trio.leader().expect("it serves");
            let follower = leader % 3 + 1;
            let (wire, id, passwd) = trio.connect(follower, None);
            wire.ask(1, Opcode::Create, &create("/sent", 0));
            (0..steps).for_each(|_| trio.step());
            trio.crash(leader);
            trio.until("another leads", |trio| trio.leader().is_some());
            let (back, found) = come_back_and_look(&mut trio, follower, &(id, passwd), "/sent");
            (0..200).for_each(|_| trio.step());
            let later = trio.call(&back, 2, Opcode::Exists, &read("/sent")).0.err;
            assert_eq!(found, later, "{engine}: the leader died after {steps} steps");
        }
    }
}

/// A past bug: two servers that were asked for one session at the same time both kept it, and the
/// writes of the losing connection were never answered.
#[test]
fn of_two_connections_that_take_up_a_session_at_once_one_lives() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("it serves");
        let others = [leader % 3 + 1, (leader + 1) % 3 + 1];
        for attempt in 0..10 {
            let (first, id, passwd) = trio.connect(leader, None);
            let wires = others.map(|server| trio.greet(server, Some((id, passwd.clone())), false));
            (0..attempt).for_each(|_| trio.step());
            for wire in &wires {
                wire.ask(1, Opcode::Create, &create(&format!("/race-{attempt}"), 0));
            }
            trio.until("one of the two is closed", |_| {
                first.is_closed() && wires.iter().filter(|wire| wire.is_closed()).count() == 1
            });
            let winner = wires.iter().find(|wire| !wire.is_closed()).expect("one lives");
            assert_eq!(session_of(&trio.answer(winner)), id);
            trio.answer(winner);
            assert_eq!(trio.call(winner, 2, Opcode::CloseSession, &[]).0.err, 0, "{engine}: it is served");
        }
    }
}

/// Servers whose session ids begin with the same byte, and that start at the same moment, draw the
/// same ids. A past bug: a client was told that it had a session when the log had refused it, and
/// got another client's session.
#[test]
fn two_servers_that_draw_the_same_id_open_two_sessions() {
    for engine in ENGINES {
        let servers = [1, 254, 255];
        let mut trio = Trio::of(servers.map(|server| {
            let mut config = config_of(server, engine);
            let members = servers.map(|n| (n, super::ensemble::member(n))).into_iter().collect();
            config.ensemble = config.ensemble.map(|ensemble| Ensemble { members, ..ensemble });
            config
        }));
        trio.until("all serve", Trio::all_serve);
        let wires = [254, 255].map(|server| trio.greet(server, None, false));
        let ids = wires.clone().map(|wire| session_of(&trio.answer(&wire)));
        assert_ne!(ids[0], ids[1]);
        for (n, wire) in wires.iter().enumerate() {
            let ephemeral = create(&format!("/of-{n}"), 1);
            assert_eq!(trio.call(wire, 1, Opcode::Create, &ephemeral).0.err, 0, "{engine}: {ids:x?}");
        }
    }
}

/// A past bug: a server started when its clock showed the same time as at an earlier start, and
/// gave a new client the session of another client, with its password.
#[test]
fn two_starts_at_the_same_moment_give_out_different_ids() {
    let single = Config { ensemble: None, ..config_of(1, EngineKind::Raft) };
    let mut trio = Trio::of([single]);
    let (_, first, _) = trio.connect(1, None);
    trio.crash(1);
    trio.clients.clear();
    trio.time = ManualTime::new(WALL_MS);
    trio.start(1);
    let (_, second, _) = trio.connect(1, None);
    assert_ne!(first, second);
}
