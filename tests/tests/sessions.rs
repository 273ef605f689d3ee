//! Sessions that resume on another connection, on real servers: what was sent before is done, or
//! never, and one connection lives.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use ostler_tests::connection::Identity;
use ostler_tests::ensemble::{Engine, Ensemble, Layout, PATIENCE};
use ostler_tests::process::{Kind, Server};
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Session, create};

const TIMEOUT_MS: i32 = 20_000;

/// Ephemeral and sequential, as those of locks are.
const LOCK: i32 = 3;

fn children(path: &str) -> Request {
    Request::Read { op: op::GET_CHILDREN, path: path.to_owned(), watch: false }
}

/// How many children have this name in theirs.
fn count(session: &mut Session, mark: &str) -> usize {
    let listing = session.must(&children("/locks")).body;
    listing.windows(mark.len()).filter(|window| *window == mark.as_bytes()).count()
}

/// What Curator does for a lock: it creates a znode with a mark of its own, and if the connection
/// breaks before the answer comes it looks for the mark, and creates the znode again if it is not
/// there.
fn locks_are_created_once(address: SocketAddr, rounds: usize, context: &str) {
    for round in 0..rounds {
        let mark = format!("{context}-{round:04}-lock-");
        let znode = create(&format!("/locks/{mark}"), b"", LOCK);
        let mut session = Session::open(address, TIMEOUT_MS).expect("a session");
        session.send(&znode);
        let identity = session.identity.clone();
        drop(session);
        let mut session = Session::resume(address, &identity, 0, TIMEOUT_MS).expect("its session lives");
        if count(&mut session, &mark) == 0 {
            session.must(&znode);
        }
        assert_eq!(
            count(&mut session, &mark),
            1,
            "{context}, round {round}: nobody would release the second"
        );
        session.must(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() });
    }
}

#[test]
fn a_client_that_comes_back_to_a_single_server_finds_what_it_sent() {
    let server = Server::start(Kind::Ostler).expect("it is built");
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    session.must(&create("/locks", b"", 0));
    locks_are_created_once(server.address(), 100, "single");
}

#[test]
fn a_client_that_comes_back_to_any_server_of_an_ensemble_finds_what_it_sent() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = Ensemble::start_as(engine, Layout { slow_disks: true, ..Layout::voters(3) }, &[]);
        let leader = ensemble.await_leader();
        // So slow that a client is back before its write is done.
        ensemble.servers().iter().for_each(|server| ensemble.slow_down(*server, Duration::from_millis(5)));
        let mut session = Session::open(ensemble.address(leader), TIMEOUT_MS).expect("a session");
        session.must(&create("/locks", b"", 0));
        for server in ensemble.servers() {
            locks_are_created_once(ensemble.address(server), 15, &format!("{engine:?}-{server}"));
        }
    }
}

/// Both servers send the session's move to the leader. The connection whose move came first stayed,
/// for it was put on the session after the second move had been applied: it was served reads, and
/// its writes were never answered.
#[test]
fn of_two_connections_at_two_servers_that_take_up_a_session_at_once_one_lives() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = Ensemble::start(engine, 3, &[]);
        let leader = ensemble.await_leader();
        let others: Vec<u8> = ensemble.servers().into_iter().filter(|server| *server != leader).collect();
        for round in 0..25 {
            let first = Session::open(ensemble.address(leader), TIMEOUT_MS).expect("a session");
            let taken_up = race(&ensemble, &others, &first.identity);
            let mut winner =
                winner(taken_up).unwrap_or_else(|| panic!("{engine:?}, round {round}: one has it"));
            winner.must(&create(&format!("/of-{engine:?}-{round}"), b"", 0));
        }
    }
}

/// The connection that is left when the other one, if there are two, is closed.
fn winner(mut taken_up: Vec<Session>) -> Option<Session> {
    let deadline = Instant::now() + PATIENCE;
    while taken_up.len() > 1 {
        assert!(Instant::now() < deadline, "both connections live on");
        taken_up.retain_mut(|session| !session.is_closed_within(Duration::from_millis(20)));
    }
    taken_up.pop()
}

/// Resumes the session at all of these servers at the same time; the connections that got it.
fn race(ensemble: &Ensemble, servers: &[u8], identity: &Identity) -> Vec<Session> {
    let start = Barrier::new(servers.len());
    std::thread::scope(|scope| {
        let resume = |server: &u8| {
            let address = ensemble.address(*server);
            let start = &start;
            scope.spawn(move || {
                start.wait();
                Session::resume(address, identity, 0, TIMEOUT_MS)
            })
        };
        let threads: Vec<_> = servers.iter().map(resume).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("it resumes")).collect()
    })
}
