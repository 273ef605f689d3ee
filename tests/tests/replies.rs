//! Replies that are long or many: no other client waits for them, and they take little memory,
//! however much of them is not read.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ostler_tests::process::{Kind, Server};
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Session, create, get_data, set_data};

const TIMEOUT_MS: i32 = 30_000;
const MARSHALLING_ERROR: i32 = -5;
const MIB: u64 = 1 << 20;

/// Another client must be answered within this. Generous, for machines that do other things as
/// well.
const FINE: Duration = Duration::from_secs(2);

/// ClickHouse Keeper's.
mod keeper {
    pub(crate) const FILTERED_LIST: i32 = 500;
    pub(crate) const REMOVE_RECURSIVE: i32 = 503;
    pub(crate) const LIST_WITH_STATS_AND_DATA: i32 = 506;
    pub(crate) const LIST_RECURSIVE: i32 = 507;
}

fn server(properties: &[(&str, &str)]) -> Server {
    Server::start_with(Kind::Ostler, properties).expect("the server")
}

fn session(address: SocketAddr) -> Session {
    Session::open(address, TIMEOUT_MS).expect("a session")
}

fn list(path: &str) -> Request {
    Request::Read { op: op::GET_CHILDREN, path: path.to_owned(), watch: false }
}

fn reads(path: &str, count: usize) -> Request {
    Request::Multi { op: op::MULTI_READ, parts: vec![get_data(path); count] }
}

/// A request that is a path and what follows it.
fn of_path(op: i32, path: &str, rest: &[u8]) -> Request {
    let body = [&(path.len() as i32).to_be_bytes(), path.as_bytes(), rest].concat();
    Request::Raw { op, body }
}

/// Creates children in large requests.
fn fill(one: &mut Session, parent: &str, name: &str, count: usize) {
    one.must(&create(parent, b"", 0));
    for start in (0..count).step_by(2000) {
        let numbers = start..count.min(start + 2000);
        let parts = numbers.map(|number| create(&format!("{parent}/{name}{number:08}"), b"", 0)).collect();
        one.must(&Request::Multi { op: op::MULTI, parts });
    }
}

/// The longest that another client waited for a write and a read while `work` was done.
fn slowest_of_others<T>(address: SocketAddr, work: impl FnOnce() -> T) -> (Duration, T) {
    let (stop, stopped) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        let mut other = session(address);
        let mut slowest = Duration::ZERO;
        loop {
            let asked = Instant::now();
            other.must(&set_data("/probe", b"x"));
            other.must(&get_data("/probe"));
            slowest = slowest.max(asked.elapsed());
            if stopped.recv_timeout(Duration::from_millis(5)).is_ok() {
                return slowest;
            }
        }
    });
    let done = work();
    stop.send(()).expect("the other goes on until now");
    (other.join().expect("the other is answered all the time"), done)
}

/// A read that is sent behind a write is answered when that is applied, while all clients wait.
/// Five clients that did so with a directory of 200,000 names stopped all others for 8 s and took
/// 2.8 GB.
#[test]
fn listings_behind_writes_disturb_nobody_and_arrive_whole() {
    const NAMES: usize = 60_000;
    let server = server(&[]);
    let address = server.address();
    let mut one = session(address);
    one.must(&create("/probe", b"", 0));
    fill(&mut one, "/huge", &"n".repeat(80), NAMES);
    let bytes = 4 + NAMES * (4 + 88);
    let before = server.memory_bytes_max();
    let (slowest, mut greedy) = slowest_of_others(address, || {
        let mut greedy: Vec<Session> = (0..5).map(|_| session(address)).collect();
        for client in &mut greedy {
            client.send(&set_data("/probe", b"y"));
            for _ in 0..64 {
                client.send(&list("/huge"));
            }
        }
        // Their replies have 1.7 GB. All of them are made before the last one's first arrives.
        for client in &mut greedy {
            assert_eq!(client.reply().expect("the write's reply").err, 0);
            assert_eq!(client.reply().expect("the first listing").body.len(), bytes);
        }
        greedy
    });
    assert!(slowest < FINE, "another client waited {slowest:?}");
    let grown = server.memory_bytes_max() - before;
    assert!(grown < 200 * MIB, "the server grew by {} MiB", grown / MIB);
    let reader = &mut greedy[0];
    for number in 1..64 {
        let reply = reader.reply().unwrap_or_else(|| panic!("listing {number} arrives"));
        assert_eq!((reply.err, reply.body.len(), reply.count()), (0, bytes, NAMES as i32));
    }
}

/// One request of 60 KB whose reply would have had more than 2 GiB ended the process.
#[test]
fn a_reply_that_is_too_long_is_an_error_of_its_own_request() {
    let server = server(&[]);
    let mut one = session(server.address());
    one.must(&create("/n", &[b'x'; 950_000], 0));
    let before = server.memory_bytes_max();
    let reply = one.call(&reads("/n", 2_300));
    assert_eq!((reply.err, reply.body), (MARSHALLING_ERROR, Vec::new()));
    one.must(&set_data("/n", b"it goes on"));
    assert_eq!(one.must(&get_data("/n")).buffer(), b"it goes on");
    let grown = server.memory_bytes_max() - before;
    assert!(grown < 100 * MIB, "the server grew by {} MiB for a reply that it refused", grown / MIB);
}

#[test]
fn every_kind_of_read_ends_at_the_bound_of_a_reply() {
    let server = server(&[("ostler.replyBytesMax", "1100000"), ("jute.maxbuffer", "1000000")]);
    let mut one = session(server.address());
    fill(&mut one, "/d", &"n".repeat(200), 6_000);
    one.must(&create("/big", &[b'x'; 600_000], 0));
    one.must(&create("/pair", b"", 0));
    one.must(&create("/pair/a", &[b'x'; 600_000], 0));
    one.must(&create("/pair/b", &[b'x'; 600_000], 0));
    one.must(&create("/e", b"", 0));
    for number in 0..6_000 {
        one.send(&create(&format!("/e/{}{number:06}", "e".repeat(200)), b"", 1));
    }
    (0..6_000).for_each(|_| assert_eq!(one.reply().expect("a reply").err, 0));
    // 500: no watch, and all kinds of children. 506: the same, and Stats and data.
    let requests = [
        list("/d"),
        Request::Read { op: op::GET_CHILDREN2, path: "/d".to_owned(), watch: true },
        of_path(keeper::FILTERED_LIST, "/d", &[0, 0]),
        of_path(keeper::LIST_WITH_STATS_AND_DATA, "/pair", &[0, 0, 1, 1]),
        of_path(keeper::LIST_RECURSIVE, "/", &u32::MAX.to_be_bytes()),
        Request::Path { op: op::GET_EPHEMERALS, path: "/".to_owned() },
        reads("/big", 2),
    ];
    for request in &requests {
        let reply = one.call(request);
        assert_eq!((reply.err, reply.body), (MARSHALLING_ERROR, Vec::new()), "operation {}", request.op());
        one.must(&reads("/big", 1));
    }
    // The watch that one of them asked for was not set.
    one.must(&create("/d/new", b"", 0));
}

/// Reads of every kind behind writes of their own connection, with more writes behind them: each
/// sees the write before it and none after it, and all are answered in their order, whether they
/// may wait behind a write or have to wait until it is done.
#[test]
fn all_reads_keep_their_place_between_writes() {
    let server = server(&[]);
    let address = server.address();
    let mut one = session(address);
    one.must(&create("/probe", b"", 0));
    fill(&mut one, "/d", "child-", 3_000);
    let (slowest, ()) = slowest_of_others(address, || {
        for round in 0..20u8 {
            const DATA_READS: usize = 3;
            let value = [round; 2_000];
            let reads = [
                get_data("/d"),
                reads("/d", 3),
                reads("/d", 100),
                list("/d"),
                Request::Path { op: op::GET_ALL_CHILDREN_NUMBER, path: "/d".to_owned() },
                of_path(keeper::LIST_RECURSIVE, "/d", &5_000u32.to_be_bytes()),
                Request::Path { op: op::GET_EPHEMERALS, path: "/".to_owned() },
            ];
            let mut expected = Vec::new();
            for (number, read) in reads.iter().enumerate() {
                let value = [&value[..], &[number as u8]].concat();
                expected.push((one.send(&set_data("/d", &value)), None));
                expected.push((one.send(read), (number < DATA_READS).then_some(value)));
                expected.push((one.send(&set_data("/d", b"later")), None));
            }
            let mut zxid = 0;
            for (xid, value) in expected {
                let reply = one.reply().expect("each is answered");
                assert_eq!((reply.xid, reply.err), (xid, 0), "in the order in which they were sent");
                assert!(reply.zxid >= zxid, "no reply shows an earlier state than the one before it");
                zxid = reply.zxid;
                if let Some(value) = value {
                    let is_shown = reply.body.windows(value.len()).any(|window| window == value);
                    assert!(is_shown, "the read sees the write before it, and none behind it");
                }
            }
        }
    });
    assert!(slowest < FINE, "another client waited {slowest:?}");
}

/// Each of them is within the bound of a connection; together they would take as much memory as
/// there are of them.
#[test]
fn all_that_do_not_read_together_are_bounded() {
    let server = server(&[("ostler.outputBytesMax", "40000000"), ("maxClientCnxns", "0")]);
    let address = server.address();
    let mut one = session(address);
    one.must(&create("/probe", b"", 0));
    one.must(&create("/n", &[b'x'; 900_000], 0));
    let (slowest, mut deaf) = slowest_of_others(address, || {
        let mut deaf: Vec<Session> = (0..12).map(|_| session(address)).collect();
        for client in &mut deaf {
            client.send(&set_data("/probe", b"y"));
            for _ in 0..20 {
                client.send(&get_data("/n"));
            }
        }
        // 216 MB are not kept for those who do not read.
        server.await_log("ostler.outputBytesMax");
        deaf
    });
    assert!(slowest < FINE, "another client waited {slowest:?}");
    // A connection that was not closed gets everything, and the client of a closed one can resume
    // its session.
    let mut whole = 0;
    for client in &mut deaf {
        let replies = std::iter::from_fn(|| client.reply()).take(21).count();
        whole += usize::from(replies == 21);
    }
    assert!(whole < deaf.len(), "some were closed");
    for client in &deaf {
        assert!(Session::resume(address, &client.identity, 0, TIMEOUT_MS).is_some(), "the sessions go on");
    }
    one.must(&get_data("/n"));
}

/// removeRecursive of a deep chain looked up every path of it from the root, twice: with 30,000
/// levels no client was served for over a minute, and again at the next start, which does the
/// command again.
#[test]
fn a_deep_chain_is_removed_and_removed_again_at_a_start_without_delay() {
    const LEVELS: usize = 8_000;
    let mut server = server(&[]);
    let address = server.address();
    let mut one = session(address);
    one.must(&create("/probe", b"", 0));
    // As deep as a create for each level can make it within seconds.
    let mut path = String::new();
    let mut parts = Vec::new();
    for level in 0..LEVELS {
        path.push_str("/d");
        parts.push(create(&path, b"", 0));
        let bytes: usize = path.len() * parts.len();
        if bytes > 600_000 || level + 1 == LEVELS {
            one.must(&Request::Multi { op: op::MULTI, parts: std::mem::take(&mut parts) });
        }
    }
    let mut watcher = session(address);
    for path in ["/probe", "/d/d"] {
        watcher.must(&Request::Watches { op: op::ADD_WATCH, path: path.to_owned(), kind: 1 });
    }
    drop(watcher);
    let remove = of_path(keeper::REMOVE_RECURSIVE, "/d", &u32::MAX.to_be_bytes());
    let (slowest, ()) = slowest_of_others(address, || drop(one.must(&remove)));
    assert!(slowest < FINE, "another client waited {slowest:?}");
    drop(one);
    let begun = Instant::now();
    server.restart();
    assert!(begun.elapsed() < Duration::from_secs(20), "the start took {:?}", begun.elapsed());
    assert_eq!(session(server.address()).call(&get_data("/d")).err, -101);
}
