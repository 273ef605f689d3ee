//! A session lives as long as its client sends, whatever happens to its server meanwhile; and no
//! longer.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::process::{DISK, Kind, Server};
use ostler_tests::request::Place;
use ostler_tests::session::{Session, create, get_data, ping, set_data};
use ostler_tests::slow_disk::SlowDisks;

const ENGINES: [Engine; 2] = [Engine::Raft, Engine::Paxos];
const EPHEMERAL: i32 = 1;
const NO_NODE: i32 = -101;

/// Lets each of these clients ping every `gap` for `time`. What the server answers is not read.
fn ping_for(sessions: &mut [Session], gap: Duration, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        for session in sessions.iter_mut() {
            session.connection.send(&ping().frame(-2, &Place::default()));
        }
        thread::sleep(gap);
    }
}

/// How many of these sessions a server still has.
fn living(sessions: &[Session], address: impl Fn(usize) -> SocketAddr) -> usize {
    let lives = |(n, session): (usize, &Session)| {
        Session::resume(address(n), &session.identity, 0, session.timeout_ms).is_some()
    };
    sessions.iter().enumerate().filter(|(n, session)| lives((*n, session))).count()
}

/// The server read nothing more from a client that had more than 1 MiB of replies to read, and took
/// that for silence: a client behind a slow line lost its session in the middle of a large reply,
/// though it pinged.
#[test]
fn a_client_that_reads_slowly_and_pings_keeps_its_session() {
    let server = Server::start_with(Kind::Ostler, &[("tickTime", "500")]).expect("the server");
    let mut other = Session::open(server.address(), 30_000).expect("a session");
    other.must(&create("/large", &[b'x'; 900_000], 0));
    let mut slow = Session::open(server.address(), 2_000).expect("a session");
    slow.must(&create("/lives", b"", EPHEMERAL));
    for _ in 0..30 {
        slow.send(&get_data("/large"));
    }
    // More than the buffers of both systems take: the server keeps the rest, and waits.
    ping_for(std::slice::from_mut(&mut slow), Duration::from_millis(300), Duration::from_secs(5));
    assert_eq!(other.call(&get_data("/lives")).err, 0, "its client pings");
    let mut answered = 0;
    while answered < 30 {
        answered += u32::from(slow.reply().expect("it is connected").body.len() > 900_000);
    }
    drop(slow);
    let silent = Instant::now();
    while other.call(&get_data("/lives")).err != NO_NODE {
        assert!(silent.elapsed() < Duration::from_secs(30), "the session of a client that has gone ends");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A busy client's thread flushed, and the flush hung: the other clients' requests were neither
/// read nor answered, and when the disk was back their sessions expired before any thread looked
/// into their sockets.
#[test]
fn clients_of_a_single_server_are_heard_and_answered_while_its_disk_hangs() {
    let disks = SlowDisks::build();
    let settings = [("tickTime", "500"), ("ostler.ioThreads", "1")];
    let server = Server::start_with_disk(&disks, &settings);
    let address = server.address();
    let mut quiet: Vec<_> = (0..20).map(|_| Session::open(address, 2_000).expect("a session")).collect();
    let mut busy = Session::open(address, 2_000).expect("a session");
    busy.must(&create("/busy", b"", 0));
    // Alone for long enough for its thread to flush by itself.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        busy.must(&set_data("/busy", b"1"));
    }
    disks.set(DISK, Duration::from_secs(86_400));
    let written = busy.send(&set_data("/busy", b"2"));
    thread::sleep(Duration::from_millis(600));
    let hangs = Instant::now();
    while hangs.elapsed() < Duration::from_secs(5) {
        for session in &mut quiet {
            session.must(&ping());
        }
        busy.connection.send(&ping().frame(-2, &Place::default()));
        let reply = busy.reply().expect("it is connected");
        assert_eq!(reply.xid, -2, "its own write does not keep its ping");
        thread::sleep(Duration::from_millis(400));
    }
    disks.set(DISK, Duration::ZERO);
    assert_eq!(busy.reply().map(|reply| (reply.xid, reply.err)), Some((written, 0)));
    for session in quiet.iter_mut().chain([&mut busy]) {
        session.must(&ping());
    }
    let sessions = quiet.len();
    assert_eq!(living(&quiet, |_| address), sessions);
}

/// All servers were suspended at once, as paused containers are: when they continued, the leader
/// took the time for silence of all clients, which had pinged all the time.
#[test]
fn a_pause_of_all_servers_ends_no_session() {
    for engine in ENGINES {
        let mut ensemble = Ensemble::start(engine, 3, &["tickTime=500"]);
        let place = |n: usize| 1 + (n % 3) as u8;
        let mut sessions: Vec<_> =
            (0..12).map(|n| Session::open(ensemble.address(place(n)), 3_000).expect("a session")).collect();
        let watcher = ensemble.address(1);
        ensemble.servers().into_iter().for_each(|server| ensemble.pause(server, true));
        ping_for(&mut sessions, Duration::from_millis(500), Duration::from_secs(5));
        ensemble.servers().into_iter().for_each(|server| ensemble.pause(server, false));
        ping_for(&mut sessions, Duration::from_millis(300), Duration::from_secs(2));
        ensemble.await_serving();
        let addresses: Vec<_> = (0..sessions.len()).map(|n| ensemble.address(place(n))).collect();
        assert_eq!(living(&sessions, |n| addresses[n]), sessions.len(), "{engine:?}");
        drop(sessions);
        assert!(Session::open(watcher, 3_000).is_some());
    }
}

/// Followers reported heard sessions to the leader every 400 ms, whatever the timeouts.
#[test]
fn short_timeouts_live_at_followers_too_and_end_in_time() {
    for engine in ENGINES {
        let settings = ["tickTime=100", "initLimit=100", "syncLimit=50"];
        let mut ensemble = Ensemble::start(engine, 3, &settings);
        let leader = ensemble.await_leader();
        let follower = leader % 3 + 1;
        let mut session = Session::open(ensemble.address(follower), 300).expect("a session");
        assert_eq!(session.timeout_ms, 300);
        session.must(&create("/short", b"", EPHEMERAL));
        ping_for(std::slice::from_mut(&mut session), Duration::from_millis(40), Duration::from_secs(3));
        let mut other = Session::open(ensemble.address(leader), 30_000).expect("a session");
        assert_eq!(other.call(&get_data("/short")).err, 0, "{engine:?}: its client pings");
        let silent = Instant::now();
        while other.call(&get_data("/short")).err != NO_NODE {
            assert!(silent.elapsed() < Duration::from_secs(10), "{engine:?}: its client is silent");
            thread::sleep(Duration::from_millis(20));
        }
        drop(session);
    }
}
