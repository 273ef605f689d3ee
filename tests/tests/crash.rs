//! A server that is killed, stopped or damaged gives back everything it acknowledged, or says
//! exactly why it cannot.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ostler_tests::process::{Kind, Server, Signal, free_port, refused, serve_command};
use ostler_tests::session::{Session, create, get_data, set_data};

const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;

/// Connections that write at once, and requests each has in flight.
const WRITERS: usize = 4;
const DEPTH: u64 = 16;

/// Kills in the short form; `OSTLER_CRASH_ROUNDS` sets another number.
const ROUNDS: u64 = 10;

/// Long enough that no session expires while the server is down.
const TIMEOUT_MS: i32 = 40_000;

/// The answers to one writer, over all rounds.
#[derive(Default)]
struct Acknowledged {
    /// Znodes that were created, under the names the server gave them, with their numbers.
    created: BTreeMap<String, u64>,
    /// Those created since the last kill.
    fresh: Vec<(String, u64)>,
    /// The last number set as the parent's data, and the last that was sent.
    set: u64,
    set_sent: u64,
    zxid: i64,
    next: u64,
}

fn parent(writer: usize) -> String {
    format!("/writer-{writer}")
}

/// Writes numbers, three ways in turn, until the connection breaks.
fn write(address: SocketAddr, writer: usize, told: &mut Acknowledged) {
    let Some(mut session) = Session::open(address, TIMEOUT_MS) else { return };
    let parent = parent(writer);
    let mut in_flight = VecDeque::new();
    loop {
        while (in_flight.len() as u64) < DEPTH {
            told.next += 1;
            let number = told.next;
            let data = number.to_string();
            let request = match number % 3 {
                0 => create(&format!("{parent}/{number}"), data.as_bytes(), 0),
                1 => create(&format!("{parent}/s-"), data.as_bytes(), SEQUENTIAL),
                _ => {
                    told.set_sent = number;
                    set_data(&parent, data.as_bytes())
                }
            };
            in_flight.push_back((session.send(&request), number));
        }
        let Some(reply) = session.reply() else { return };
        let (xid, number) = in_flight.pop_front().expect("something was in flight");
        assert_eq!((reply.xid, reply.err), (xid, 0), "number {number}");
        assert!(reply.zxid > told.zxid, "zxids never go back: {:#x} after {:#x}", reply.zxid, told.zxid);
        told.zxid = reply.zxid;
        match number % 3 {
            0 | 1 => {
                let name = String::from_utf8(reply.buffer().to_vec()).expect("a path");
                let before = told.created.insert(name.clone(), number);
                assert_eq!(before, None, "{name} was given out twice");
                told.fresh.push((name, number));
            }
            _ => told.set = number,
        }
    }
}

/// Reads these znodes of a writer, and what it set.
fn verify(session: &mut Session, writer: usize, told: &Acknowledged, created: &[(String, u64)]) {
    for some in created.chunks(200) {
        for (path, _) in some {
            session.send(&get_data(path));
        }
        for (path, number) in some {
            let reply = session.reply().expect("a reply");
            assert_eq!(reply.err, 0, "{path} was acknowledged and is gone");
            assert_eq!(reply.buffer(), number.to_string().as_bytes(), "{path}");
        }
    }
    let reply = session.must(&get_data(&parent(writer)));
    let set: u64 = std::str::from_utf8(reply.buffer()).unwrap().parse().expect("a number");
    assert!((told.set..=told.set_sent).contains(&set), "{set} is not of {}..={}", told.set, told.set_sent);
    assert!(reply.zxid >= told.zxid, "the server's zxid went back");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let rounds =
        std::env::var("OSTLER_CRASH_ROUNDS").map_or(ROUNDS, |n| n.parse().expect("a number of rounds"));
    // Snapshots and new log segments come often.
    let properties = [("snapCount", "2000"), ("preAllocSize", "4096"), ("maxSessionTimeout", "60000")];
    let mut server = Server::start_with(Kind::Ostler, &properties).expect("the server");
    let address = server.address();
    let mut owner = Session::open(address, TIMEOUT_MS).expect("a session");
    for writer in 0..WRITERS {
        owner.must(&create(&parent(writer), b"0", 0));
    }
    owner.must(&create("/alive", b"x", EPHEMERAL));
    let mut told: Vec<Acknowledged> = (0..WRITERS).map(|_| Acknowledged::default()).collect();
    for round in 0..rounds {
        let writers: Vec<_> = std::mem::take(&mut told)
            .into_iter()
            .enumerate()
            .map(|(writer, mut told)| {
                std::thread::spawn(move || {
                    write(address, writer, &mut told);
                    told
                })
            })
            .collect();
        std::thread::sleep(random_moment(round));
        // Now and then it is asked to stop instead, in the middle of the same work.
        if round % 4 == 3 {
            assert_eq!(server.stop(Signal::TERM).code(), Some(0), "{}", server.log());
        } else {
            server.kill();
        }
        told = writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
        if round % 3 == 1 {
            // In the start, whose work is then to be done again.
            server.launch_and_kill(random_moment(round) / 10);
        }
        server.launch();
        let zxid = told.iter().map(|told| told.zxid).max().unwrap_or(0);
        owner = Session::resume(address, &owner.identity, zxid, TIMEOUT_MS).expect("the session lives on");
        assert_eq!(owner.must(&get_data("/alive")).buffer(), b"x", "and so does its ephemeral");
        for (writer, told) in told.iter_mut().enumerate() {
            let fresh = std::mem::take(&mut told.fresh);
            verify(&mut owner, writer, told, &fresh);
        }
    }
    for (writer, told) in told.iter().enumerate() {
        let all: Vec<(String, u64)> =
            told.created.iter().map(|(name, number)| (name.clone(), *number)).collect();
        verify(&mut owner, writer, told, &all);
    }
    let total: usize = told.iter().map(|told| told.created.len()).sum();
    println!("{rounds} ends, {total} acknowledged creates found again");
    assert!(total as u64 > rounds * 20, "only {total} writes were acknowledged");
}

/// Between 50 and 450 ms, another one each time.
fn random_moment(round: u64) -> Duration {
    let nanos =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").subsec_nanos();
    Duration::from_millis(50 + (u64::from(nanos) / 1000 + round * 97) % 400)
}

/// A stop gives up a snapshot in progress, which waits for nothing but the log.
#[test]
fn a_stop_does_not_wait_for_a_snapshot() {
    const ZNODES: usize = 60_000;
    let mut server = Server::start_with(Kind::Ostler, &[("snapCount", "100000000")]).expect("the server");
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    // Data that cannot be compressed makes the snapshot long.
    let mut noise = 1u64;
    let mut data = || -> Vec<u8> {
        let mut next = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (noise >> 33) as u8
        };
        (0..1000).map(|_| next()).collect()
    };
    for number in 0..ZNODES {
        session.send(&create(&format!("/noise-{number}"), &data(), 0));
        if number % 200 == 199 {
            for _ in 0..200 {
                assert_eq!(session.reply().expect("a reply").err, 0);
            }
        }
    }
    drop(session);
    let unfinished = |server: &Server| -> Vec<String> {
        let names = fs::read_dir(server.data_dir().join("snapshot")).expect("the directory");
        names.map(|name| name.expect("a name").file_name().to_string_lossy().into_owned()).collect()
    };
    server.four_letter_word("csnp");
    let deadline = Instant::now() + Duration::from_secs(5);
    while unfinished(&server).is_empty() {
        assert!(Instant::now() < deadline, "a snapshot was asked for");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(server.stop(Signal::TERM).code(), Some(0));
    assert_eq!(unfinished(&server), Vec::<String>::new(), "it was given up, and nothing is left of it");
    server.launch();
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    session.must(&get_data(&format!("/noise-{}", ZNODES - 1)));
}

/// A server with `/value-000` to `/value-099`, each flushed on its own.
fn with_values(properties: &[(&str, &str)]) -> Server {
    let server = Server::start_with(Kind::Ostler, properties).expect("the server");
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    for number in 0..100 {
        session.must(&create(&value(number), format!("data of {number:03}").as_bytes(), 0));
    }
    server
}

fn value(number: u32) -> String {
    format!("/value-{number:03}")
}

fn assert_values(server: &Server, numbers: std::ops::Range<u32>) {
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    for number in numbers {
        let reply = session.must(&get_data(&value(number)));
        assert_eq!(reply.buffer(), format!("data of {number:03}").as_bytes());
    }
}

/// The first segment of the log, and where in it the create of a value stands.
fn in_the_log(server: &Server, number: u32) -> (PathBuf, Vec<u8>, usize) {
    let path = server.data_dir().join("log/0000000000000001.seg");
    let bytes = fs::read(&path).expect("the first segment");
    let wanted = format!("data of {number:03}").into_bytes();
    let at = bytes.windows(wanted.len()).position(|window| window == wanted).expect("it is in the log");
    (path, bytes, at)
}

#[test]
fn damage_in_the_middle_of_the_log_stops_the_start_and_is_named() {
    let mut server = with_values(&[]);
    server.kill();
    let (path, mut bytes, at) = in_the_log(&server, 50);
    bytes[at] ^= 1;
    fs::write(&path, &bytes).expect("damage the log");
    let (status, said) = server.launch_refused();
    assert!(!status.success(), "{said}");
    assert!(said.contains(&path.display().to_string()), "it names the file: {said}");
    let offset: usize = said
        .split_once("damaged record at byte ")
        .and_then(|(_, rest)| rest.split(':').next()?.parse().ok())
        .unwrap_or_else(|| panic!("it names the offset: {said}"));
    assert!((at - 300..at).contains(&offset), "the record at {offset} holds byte {at}");
    assert!(said.contains("backup"), "it says what to do: {said}");
    assert_eq!(fs::read(&path).expect("the segment"), bytes, "nothing was changed");
    bytes[at] ^= 1;
    fs::write(&path, &bytes).expect("repair the log");
    server.launch();
    assert_values(&server, 0..100);
}

#[test]
fn a_torn_tail_is_cut_off() {
    let mut server = with_values(&[]);
    server.kill();
    let (path, mut bytes, at) = in_the_log(&server, 99);
    // The disk wrote the sectors of the last flush only up to here.
    bytes[at + 4..].fill(0);
    fs::write(&path, &bytes).expect("tear the log");
    server.launch();
    server.await_log("of an interrupted flush were cut off");
    assert_values(&server, 0..99);
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    session.must(&create(&value(99), b"data of 099", 0));
    server.restart();
    assert_values(&server, 0..100);
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let mut server = with_values(&[("snapCount", "30")]);
    let snapshots = || -> Vec<PathBuf> {
        let names = fs::read_dir(server.data_dir().join("snapshot")).expect("the directory");
        let mut names: Vec<PathBuf> = names.map(|entry| entry.expect("a name").path()).collect();
        names.retain(|path| path.extension().is_none_or(|suffix| suffix != "tmp"));
        names.sort();
        names
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while snapshots().len() < 2 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let snapshots = snapshots();
    assert!(snapshots.len() >= 2, "{snapshots:?}");
    server.kill();
    let newest = snapshots.last().expect("there are some");
    let mut bytes = fs::read(newest).expect("the newest snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(newest, bytes).expect("damage the snapshot");
    server.launch();
    server.await_log("trying the next older snapshot");
    assert_values(&server, 0..100);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = with_values(&[]);
    let mut second = serve_command();
    second.arg("--data-dir").arg(server.data_dir()).arg("--client-port").arg(free_port().to_string());
    let (status, said) = refused(&mut second);
    assert!(!status.success(), "{said}");
    assert!(said.contains("another ostler server (pid "), "{said}");
    assert!(said.contains(&server.data_dir().display().to_string()), "{said}");
    assert_values(&server, 0..100);
}

#[test]
fn a_server_on_a_taken_port_is_refused_before_it_touches_its_data() {
    let server = Server::start(Kind::Ostler).expect("the server");
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let mut second = serve_command();
    second.arg("--data-dir").arg(&data_dir).arg("--client-port").arg(server.address().port().to_string());
    let (status, said) = refused(&mut second);
    assert!(!status.success(), "{said}");
    assert!(said.contains(&server.address().to_string()), "it names the address: {said}");
    assert!(!data_dir.exists(), "nothing was made");
}

#[test]
fn a_bad_value_in_zoo_cfg_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let port = free_port();
    let cases = [
        ("tickTime=soon", "tickTime", "soon"),
        ("tickTime=-5", "tickTime", "-5"),
        ("maxClientCnxns=many", "maxClientCnxns", "many"),
        ("minSessionTimeout=9000\nmaxSessionTimeout=8000", "minSessionTimeout", "9000"),
        ("autopurge.snapRetainCount=x", "autopurge.snapRetainCount", "x"),
        ("clientPort=70000", "clientPort", "70000"),
        ("secureClientPort=2281", "ssl.keyStore.location", "secureClientPort"),
    ];
    for (line, key, value) in cases {
        let config = folder.path().join("zoo.cfg");
        // The later line in the file wins, so the case comes last.
        let text = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n{line}\n",
            data_dir.display()
        );
        fs::write(&config, text).expect("write zoo.cfg");
        let (status, said) = refused(serve_command().arg("--config").arg(&config));
        assert!(!status.success(), "{line}: {said}");
        assert!(said.contains(key) && said.contains(value), "{line}: {said}");
        assert!(!data_dir.exists(), "{line}: a directory was made");
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{line}: it listens");
    }
}

#[test]
fn a_signal_stops_the_server_cleanly() {
    let mut server = with_values(&[]);
    for signal in [Signal::TERM, Signal::INT] {
        let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
        let begun = Instant::now();
        let status = server.stop(signal);
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", server.log());
        assert!(begun.elapsed() < Duration::from_secs(5), "{signal:?}: {:?}", begun.elapsed());
        assert!(session.is_closed_within(Duration::from_secs(5)), "connections are closed");
        server.launch();
        assert_values(&server, 0..100);
        let resumed = Session::resume(server.address(), &session.identity, 0, TIMEOUT_MS);
        assert!(resumed.is_some(), "sessions outlive a stop");
    }
    // A server that is asked to stop writes all its messages before it ends.
    server.stop(Signal::TERM);
    assert!(!server.log().contains("cut off"), "nothing had to be repaired: {}", server.log());
}

#[test]
fn a_directory_that_must_not_be_made_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let mut server = serve_command();
    server.arg("--data-dir").arg(&data_dir).arg("--client-port").arg(free_port().to_string());
    server.arg("-Dzookeeper.datadir.autocreate=false");
    let (status, said) = refused(&mut server);
    assert!(!status.success(), "{said}");
    assert!(said.contains("datadir.autocreate=false"), "{said}");
    assert!(!data_dir.exists(), "nothing was made");
}
