//! A change of leader costs no client of a living server its connection, and breaks no order.
//!
//! Every server has a client with several writes in flight all the while, and one that watches. The
//! leader is killed, stopped, or asked to transfer leadership. It used to cost each client
//! of another server with a write in flight its connection: the outcome of the write was unknown.
//! Now every write is done once and answered, on the connection on which it was sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ostler_tests::connection::Received;
use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::jute::Reader;
use ostler_tests::process::four_letter_word;
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Reply, Session, create, get_data};

const TIMEOUT_MS: i32 = 30_000;
const FOLDER: &str = "/work";
const SEQUENTIAL: i32 = 2;
const RECURSIVE: i32 = 1;
const EVENT: i32 = -1;
const CREATED: i32 = 1;

/// Requests that a client has in flight.
const IN_FLIGHT: usize = 6;

/// Writes that every client gets done before and after each fault.
const WRITES: usize = 40;

/// Servers that hear from no leader for five times as long close their clients' connections, which
/// a busy machine must not bring about.
const PATIENT: &str = "ostler.electionTimeoutMs=2000";

/// Digits that a sequential name ends with.
const DIGITS: usize = 10;

/// The leader's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    StandsStill,
    Yields,
}

#[test]
fn raft_keeps_connections_through_a_change_of_leader() {
    keeps_connections(Engine::Raft);
}

#[test]
fn paxos_keeps_connections_through_a_change_of_leader() {
    keeps_connections(Engine::Paxos);
}

fn keeps_connections(engine: Engine) {
    let mut ensemble = Ensemble::start(engine, 3, &["4lw.commands.whitelist=*", PATIENT]);
    let mut owner = Session::open(ensemble.address(1), TIMEOUT_MS).expect("a session");
    owner.must(&create(FOLDER, b"", 0));
    ensemble.await_in_step();
    for fault in [Fault::Yields, Fault::Killed, Fault::StandsStill, Fault::Yields, Fault::Killed] {
        let leader = ensemble.await_leader();
        let clients: Vec<_> =
            ensemble.servers().into_iter().map(|server| Client::start(&ensemble, server)).collect();
        await_writes(&mut ensemble, &clients, |_| true);
        inject(&mut ensemble, leader, fault);
        // What a stopped leader has in its sockets is served when it continues.
        let lives = |client: &Client| client.server != leader || fault == Fault::Yields;
        await_writes(&mut ensemble, &clients, lives);
        let successor = ensemble.await_leader();
        assert!(fault == Fault::Yields || successor != leader, "{fault:?}: server.{leader} leads");
        heal(&mut ensemble, leader, fault);
        let stories: Vec<_> = clients.into_iter().map(Client::end).collect();
        ensemble.await_in_step();
        for story in &stories {
            let is_spared = story.server != leader || fault == Fault::Yields;
            assert!(
                !story.is_closed || !is_spared,
                "{engine:?}, {fault:?} of {leader}: server.{} closed",
                story.server
            );
        }
        check(&ensemble, &stories);
    }
}

fn inject(ensemble: &mut Ensemble, leader: u8, fault: Fault) {
    match fault {
        Fault::Killed => ensemble.kill(leader),
        Fault::StandsStill => ensemble.pause(leader, true),
        Fault::Yields => {
            four_letter_word(ensemble.address(leader), "ydld");
            ensemble.await_that("another server leads", |ensemble| {
                ensemble.leader().filter(|successor| *successor != leader)
            });
        }
    }
}

fn heal(ensemble: &mut Ensemble, leader: u8, fault: Fault) {
    match fault {
        Fault::Killed => ensemble.launch(leader),
        Fault::StandsStill => ensemble.pause(leader, false),
        Fault::Yields => {}
    }
}

/// Waits until each of these clients has done this many more writes.
fn await_writes(ensemble: &mut Ensemble, clients: &[Client], concerned: impl Fn(&Client) -> bool) {
    let begun: Vec<usize> = clients.iter().map(Client::done).collect();
    ensemble.await_that("every client of a living server writes", |_| {
        let mut pairs = clients.iter().zip(&begun).filter(|(client, _)| concerned(client));
        pairs.all(|(client, begun)| client.has_ended() || client.done() >= begun + WRITES).then_some(())
    });
}

/// One client at work, and one of the same server that watches it and the others.
struct Client {
    server: u8,
    ended: Arc<AtomicBool>,
    /// The writing client has ended, so that the other one has heard of all it did.
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    writes: JoinHandle<Story>,
    watches: JoinHandle<Vec<String>>,
}

/// What a client has done and seen.
struct Story {
    server: u8,
    /// Names begin with it.
    prefix: String,
    /// Names of what it has created, in the order of its requests.
    created: Vec<String>,
    /// Requests without an answer.
    open: usize,
    is_closed: bool,
    /// Names that the watching client of that server was told of, in that order.
    heard: Vec<String>,
}

impl Client {
    fn start(ensemble: &Ensemble, server: u8) -> Client {
        let address = ensemble.address(server);
        let mut writer = Session::open(address, TIMEOUT_MS).expect("a session");
        let mut watcher = Session::open(address, TIMEOUT_MS).expect("a session");
        watcher.must(&Request::Watches { op: op::ADD_WATCH, path: FOLDER.to_owned(), kind: RECURSIVE });
        let [ended, is_over] = [false; 2].map(|no| Arc::new(AtomicBool::new(no)));
        let done = Arc::new(AtomicUsize::new(0));
        let writes = std::thread::spawn({
            let (ended, done) = (Arc::clone(&ended), Arc::clone(&done));
            move || write(server, &mut writer, &ended, &done)
        });
        let watches = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || watch(&mut watcher, &is_over)
        });
        Client { server, ended, is_over, done, writes, watches }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    fn has_ended(&self) -> bool {
        self.writes.is_finished()
    }

    fn end(self) -> Story {
        self.ended.store(true, Ordering::Relaxed);
        let story = self.writes.join().expect("the writing client");
        self.is_over.store(true, Ordering::Relaxed);
        Story { heard: self.watches.join().expect("the watching client"), ..story }
    }
}

/// Creates nodes until it is told to end; every reply must be that of the oldest request.
fn write(server: u8, session: &mut Session, ended: &AtomicBool, done: &AtomicUsize) -> Story {
    let prefix = format!("{server}-{:x}-", session.identity.id);
    let mut story =
        Story { server, prefix, created: Vec::new(), open: 0, is_closed: false, heard: Vec::new() };
    let path = format!("{FOLDER}/{}", story.prefix);
    let mut in_flight: VecDeque<i32> = VecDeque::new();
    loop {
        while in_flight.len() < IN_FLIGHT && !ended.load(Ordering::Relaxed) {
            in_flight.push_back(session.send(&create(&path, b"", SEQUENTIAL)));
        }
        let Some(xid) = in_flight.front() else { return story };
        match session.reply() {
            Some(reply) => {
                assert_eq!((reply.xid, reply.err), (*xid, 0), "server.{server} answers in order");
                in_flight.pop_front();
                story.created.push(name_of(reply.buffer()));
                done.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                (story.open, story.is_closed) = (in_flight.len(), true);
                return story;
            }
        }
    }
}

/// Listens until it is told to end; then reads, which brings everything that was done before.
fn watch(session: &mut Session, ended: &AtomicBool) -> Vec<String> {
    let mut heard = Vec::new();
    let mut xid = None;
    loop {
        if xid.is_none() && ended.load(Ordering::Relaxed) {
            session.send(&Request::Path { op: op::SYNC, path: FOLDER.to_owned() });
            xid = Some(session.send(&get_data(FOLDER)));
        }
        match session.connection.receive_within(Duration::from_millis(100)) {
            Received::Frame(frame) => {
                let reply = Reply::of(&frame);
                if reply.xid == EVENT {
                    let mut reader = Reader::new(&reply.body);
                    assert_eq!(reader.int(), Some(CREATED), "nothing else happens");
                    reader.int().expect("a state");
                    heard.push(name_of(reader.buffer().expect("a path").expect("not null")));
                } else if Some(reply.xid) == xid {
                    return heard;
                }
            }
            Received::Closed => return heard,
            Received::Nothing => {}
        }
    }
}

fn name_of(path: &[u8]) -> String {
    let path = std::str::from_utf8(path).expect("a path");
    path.rsplit('/').next().expect("a name").to_owned()
}

fn number_of(name: &str) -> u32 {
    name[name.len() - DIGITS..].parse().expect("a sequential name")
}

/// Every acknowledged write is there once, in its session's order, and every watcher got all
/// events in order.
fn check(ensemble: &Ensemble, stories: &[Story]) {
    let mut names = children(ensemble);
    names.sort_unstable_by_key(|name| number_of(name));
    for story in stories {
        let of_client: Vec<&String> = names.iter().filter(|name| name.starts_with(&story.prefix)).collect();
        let acknowledged = &of_client[..story.created.len()];
        assert!(
            acknowledged.iter().zip(&story.created).all(|(there, told)| *there == told),
            "server.{}: told of {:?}, there is {of_client:?}",
            story.server,
            story.created
        );
        assert!(of_client.len() <= story.created.len() + story.open, "server.{}: done twice", story.server);
    }
    for story in stories.iter().filter(|story| !story.is_closed) {
        let first = story.heard.first().map_or(0, |name| number_of(name));
        let own = |name: &&String| stories.iter().any(|story| name.starts_with(&story.prefix));
        let expected: Vec<&String> =
            names.iter().filter(own).filter(|name| number_of(name) >= first).collect();
        assert!(
            story.heard.iter().eq(expected.into_iter().take(story.heard.len())),
            "server.{}",
            story.server
        );
        for told in &story.created {
            assert!(story.heard.contains(told) || number_of(told) < first, "server.{}: {told}", story.server);
        }
    }
}

fn children(ensemble: &Ensemble) -> Vec<String> {
    let mut session = Session::open(ensemble.address(1), TIMEOUT_MS).expect("a session");
    session.must(&Request::Path { op: op::SYNC, path: FOLDER.to_owned() });
    let reply = session.must(&Request::Read { op: op::GET_CHILDREN, path: FOLDER.to_owned(), watch: false });
    let mut reader = Reader::new(&reply.body);
    let count = reader.int().expect("a count");
    let mut name = || reader.buffer().expect("a name").expect("not null").to_vec();
    (0..count).map(|_| String::from_utf8(name()).expect("a name")).collect()
}
