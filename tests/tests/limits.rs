//! At every bound the client that meets it gets its answer or is disconnected, and all others go
//! on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ostler_tests::process::{Kind, Server};
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Session, create, get_data, ping, set_data};

const EPHEMERAL: i32 = 1;
const TIMEOUT_MS: i32 = 30_000;
const SYSTEM_ERROR: i32 = -1;
const NO_NODE: i32 = -101;
const THROTTLED_OP: i32 = -127;
const PING_XID: i32 = -2;

/// Another client must be answered within this while one misbehaves. Generous, for machines that do
/// other things as well.
const FINE: Duration = Duration::from_secs(2);

fn server(properties: &[(&str, &str)]) -> Server {
    Server::start_with(Kind::Ostler, properties).expect("the server")
}

fn session(address: SocketAddr) -> Session {
    Session::open(address, TIMEOUT_MS).expect("a session")
}

/// Connects and sends bytes; answers whether the server closes the connection within `patience`.
fn is_closed_after(address: SocketAddr, bytes: &[u8], patience: Duration) -> bool {
    let mut stream = TcpStream::connect(address).expect("connect");
    let _ = stream.write_all(bytes);
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(n) => panic!("{n} bytes came instead"),
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_frame_of_an_impossible_length_costs_only_its_own_connection() {
    let server = server(&[("jute.maxbuffer", "100000")]);
    let mut other = session(server.address());
    other.must(&create("/other", b"x", 0));
    for length in [100_001, i32::MAX, -1, i32::MIN] {
        let patience = Duration::from_secs(5);
        assert!(
            is_closed_after(server.address(), &length.to_be_bytes(), patience),
            "first frame of {length}"
        );
        let mut one = session(server.address());
        one.connection.send(&length.to_be_bytes());
        assert!(one.is_closed_within(patience), "a frame of {length} in a session");
        let again = Session::resume(server.address(), &one.identity, 0, TIMEOUT_MS);
        assert!(again.is_some(), "the session outlives its connection");
        other.must(&get_data("/other"));
    }
    // The greatest length is served: 4 bytes of path length, 2 of path, 4 of data length and so on
    // fit around the data.
    let mut one = session(server.address());
    let overhead = create("/a", b"", 0).frame(1, &Default::default()).len() - 4;
    one.must(&create("/a", &vec![b'x'; 100_000 - overhead], 0));
    assert_eq!(one.must(&get_data("/a")).buffer().len(), 100_000 - overhead);
    one.send(&create("/b", &vec![b'x'; 100_001 - overhead], 0));
    assert!(one.is_closed_within(Duration::from_secs(5)), "one byte more is not");
}

#[test]
fn an_address_gets_no_more_connections_than_its_share() {
    let server = server(&[("maxClientCnxns", "5")]);
    // The start looked for the server by connections of its own, the last of which may not have
    // ended yet.
    std::thread::sleep(Duration::from_millis(200));
    let mut sessions: Vec<Session> = (0..5).map(|_| session(server.address())).collect();
    for _ in 0..3 {
        assert!(is_closed_after(server.address(), &[], Duration::from_secs(5)), "the sixth is closed");
    }
    for one in &mut sessions {
        one.must(&Request::Read { op: op::EXISTS, path: "/".to_owned(), watch: false });
    }
    drop(sessions.pop());
    let deadline = Instant::now() + Duration::from_secs(5);
    while Session::open(server.address(), TIMEOUT_MS).is_none() {
        assert!(Instant::now() < deadline, "a place that was left is given to the next");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_that_does_not_read_is_disconnected_and_nobody_else_notices() {
    let server = server(&[("ostler.outputBytesPerConnectionMax", "2097152")]);
    let address = server.address();
    let mut other = session(address);
    other.must(&create("/big", &vec![b'x'; 500_000], 0));
    other.must(&create("/small", b"x", 0));
    // Reads behind a write are answered together, so that they cannot be held back one by one.
    let mut deaf = session(address);
    for _ in 0..60 {
        deaf.send(&set_data("/small", b"y"));
        deaf.send(&get_data("/big"));
        deaf.send(&get_data("/big"));
    }
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(20) {
        let asked = Instant::now();
        other.must(&set_data("/small", b"z"));
        other.must(&get_data("/small"));
        slowest = slowest.max(asked.elapsed());
        if server.log().contains("does not read its replies") {
            break;
        }
    }
    server.await_log("does not read its replies");
    assert!(slowest < FINE, "another client waited {slowest:?}");
    // What the system had taken is still there to be read, then comes the end.
    let mut received = 0;
    while deaf.reply().is_some() {
        received += 1;
    }
    assert!(received < 180, "not all of it was kept for the client");
    other.must(&get_data("/big"));
}

#[test]
fn one_long_reply_may_be_longer_than_what_may_wait() {
    let server = server(&[("ostler.outputBytesPerConnectionMax", "1100000")]);
    let mut one = session(server.address());
    let name = "n".repeat(200);
    one.must(&create("/d", b"", 0));
    for number in 0..30_000 {
        one.send(&create(&format!("/d/{name}{number}"), b"", 0));
        if number % 1000 == 999 {
            for _ in 0..1000 {
                assert_eq!(one.reply().expect("a reply").err, 0);
            }
        }
    }
    one.send(&Request::Read { op: op::GET_CHILDREN, path: "/d".to_owned(), watch: false });
    std::thread::sleep(Duration::from_millis(300));
    let reply = one.reply().expect("the reply comes whole, six times the bound");
    assert_eq!((reply.err, reply.count()), (0, 30_000));
}

#[test]
fn a_watch_too_many_is_refused() {
    let server = server(&[("ostler.watchesMax", "10")]);
    let mut one = session(server.address());
    let mut other = session(server.address());
    let watch = |number: i32| Request::Read { op: op::EXISTS, path: format!("/w{number}"), watch: true };
    for number in 0..10 {
        assert_eq!(one.call(&watch(number)).err, -101, "no such znode, and a watch for it");
    }
    assert_eq!(one.call(&watch(10)).err, SYSTEM_ERROR);
    assert_eq!(other.call(&watch(11)).err, SYSTEM_ERROR, "the bound is the server's");
    let persistent = Request::Watches { op: op::ADD_WATCH, path: "/p".to_owned(), kind: 1 };
    assert_eq!(other.call(&persistent).err, SYSTEM_ERROR);
    assert_eq!(one.call(&watch(3)).err, -101, "a watch it has already needs no place");
    // Reads and writes go on, and a watch that fires leaves its place to another.
    other.must(&create("/w0", b"x", 0));
    assert_eq!(other.call(&watch(11)).err, -101);
    // So do those of a client that goes.
    drop(one);
    let deadline = Instant::now() + Duration::from_secs(5);
    while other.call(&watch(12)).err == SYSTEM_ERROR {
        assert!(Instant::now() < deadline, "the watches of a client that left are gone");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_session_too_many_is_turned_away() {
    let server = server(&[("ostler.sessionsMax", "3")]);
    let mut sessions: Vec<Session> = (0..3).map(|_| session(server.address())).collect();
    assert!(Session::open(server.address(), TIMEOUT_MS).is_none());
    let first = sessions.remove(0);
    let mut first = Session::resume(server.address(), &first.identity, 0, TIMEOUT_MS)
        .expect("resuming is no new session");
    first.must(&create("/a", b"x", EPHEMERAL));
    assert_eq!(first.call(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() }).err, 0);
    let mut next = session(server.address());
    assert_eq!(
        next.call(&get_data("/a")).err,
        -101,
        "the place of a session that ended is given to the next"
    );
}

#[test]
fn throttled_requests_are_all_answered() {
    let server = server(&[("globalOutstandingLimit", "2")]);
    let address = server.address();
    session(address).must(&create("/t", b"", 0));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            std::thread::spawn(move || {
                let mut one = session(address);
                let path = format!("/t/{client}");
                one.must(&create(&path, b"", 0));
                for number in 0..300 {
                    one.send(&set_data(&path, number.to_string().as_bytes()));
                    one.send(&get_data(&path));
                }
                for number in 0..300 {
                    assert_eq!(one.reply().expect("a reply to the write").err, 0);
                    let read = one.reply().expect("a reply to the read");
                    assert_eq!(read.buffer(), number.to_string().as_bytes(), "in order");
                }
                one.call(&ping());
            })
        })
        .collect();
    for client in clients {
        client.join().expect("all is answered");
    }
    assert!(counter(&server, "zk_request_throttle_wait_count") > 0, "the throttle did something");
}

/// A number of `mntr`.
fn counter(server: &Server, name: &str) -> u64 {
    let all = server.four_letter_word("mntr");
    let value = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} is counted: {all}"))
}

/// Sends creates and reads without waiting, and checks that each is answered in its place; answers
/// which creates were acknowledged and which were turned away, and how many requests were turned
/// away in all.
fn flood(address: SocketAddr, parent: &str) -> (Vec<String>, Vec<String>, u64) {
    let mut one = session(address);
    let mut sent = Vec::new();
    for number in 0..60 {
        let path = format!("{parent}-{number}");
        sent.push((one.send(&create(&path, &[b'x'; 20_000], 0)), Some(path)));
        sent.push((one.send(&get_data("/")), None));
    }
    one.send(&ping());
    let close = one.send(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() });
    let (mut done, mut turned_away, mut count, mut zxid) = (Vec::new(), Vec::new(), 0, 0);
    for (xid, path) in sent {
        let reply = one.reply().expect("each is answered");
        assert_eq!(reply.xid, xid, "in the order they were sent");
        assert!(reply.zxid >= zxid, "{:#x} after {zxid:#x}", reply.zxid);
        zxid = reply.zxid;
        match reply.err {
            0 => done.extend(path),
            THROTTLED_OP => {
                assert_eq!(reply.body, b"");
                turned_away.extend(path);
                count += 1;
            }
            err => panic!("{err}"),
        }
    }
    // What keeps and what ends a session is never turned away.
    let reply = one.reply().expect("an answer to the ping");
    assert_eq!((reply.xid, reply.err), (PING_XID, 0));
    let reply = one.reply().expect("an answer to the end");
    assert_eq!((reply.xid, reply.err), (close, 0));
    (done, turned_away, count)
}

#[test]
fn requests_held_back_for_too_long_are_turned_away_in_order() {
    let server = server(&[("request_throttle_max_requests", "1"), ("throttled_op_wait_time", "1")]);
    let address = server.address();
    let mut other = session(address);
    let (mut some_done, mut turned_away_count) = (false, 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    // How many are held back for a whole millisecond depends on the disk, and one round nearly
    // always has some.
    for round in 0.. {
        let flood = |client| std::thread::spawn(move || flood(address, &format!("/{round}-{client}")));
        let clients: Vec<_> = (0..6).map(flood).collect();
        for client in clients {
            let (done, turned_away, count) = client.join().expect("all is answered");
            some_done |= !done.is_empty();
            turned_away_count += count;
            for path in done {
                assert_eq!(other.call(&get_data(&path)).err, 0, "{path} was acknowledged");
            }
            for path in turned_away {
                assert_eq!(other.call(&get_data(&path)).err, NO_NODE, "{path} was turned away");
            }
        }
        if some_done && turned_away_count > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "some are served: {some_done}; {turned_away_count} turned away");
    }
    assert_eq!(counter(&server, "zk_throttled_ops"), turned_away_count);
    // A client that waits for its answers is never held back.
    for number in 0..20 {
        other.must(&create(&format!("/after-{number}"), b"x", 0));
    }
}

#[test]
fn bytes_in_flight_are_bounded_and_all_answered() {
    let server = server(&[("ostler.outstandingBytesMax", "1048576")]);
    let address = server.address();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            std::thread::spawn(move || {
                let mut one = session(address);
                let path = format!("/b{client}");
                one.must(&create(&path, b"", 0));
                for number in 0..40u8 {
                    one.send(&set_data(&path, &vec![number; 300_000]));
                }
                for _ in 0..40 {
                    assert_eq!(one.reply().expect("a reply").err, 0);
                }
                assert_eq!(one.must(&get_data(&path)).buffer(), vec![39; 300_000]);
            })
        })
        .collect();
    for client in clients {
        client.join().expect("all is answered");
    }
}

#[test]
fn a_connection_too_many_in_all_is_closed() {
    let server = server(&[("maxCnxns", "4")]);
    std::thread::sleep(Duration::from_millis(200));
    let mut sessions: Vec<Session> = (0..4).map(|_| session(server.address())).collect();
    assert!(is_closed_after(server.address(), &[], Duration::from_secs(5)), "the fifth is closed");
    for one in &mut sessions {
        one.call(&ping());
    }
}

#[test]
fn a_connection_without_a_session_is_closed_in_time() {
    let server = server(&[("nio.sessionlessCnxnTimeout", "600")]);
    let handshake_begun = [0, 0, 0, 45, 0, 0];
    for bytes in [&[][..], &handshake_begun] {
        let begun = Instant::now();
        assert!(
            is_closed_after(server.address(), bytes, Duration::from_secs(10)),
            "half open after {bytes:?}"
        );
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(550) && took < Duration::from_secs(4), "{took:?}");
    }
    let mut one = session(server.address());
    std::thread::sleep(Duration::from_millis(1500));
    one.call(&ping());
}

#[test]
fn a_directory_of_a_hundred_thousand_is_listed_while_others_are_served() {
    const CHILDREN: i32 = 100_000;
    let server = server(&[]);
    let address = server.address();
    let mut one = session(address);
    one.must(&create("/d", b"", 0));
    for number in 0..CHILDREN {
        one.send(&create(&format!("/d/child-{number:06}"), b"", 0));
        if number % 500 == 499 {
            for _ in 0..500 {
                assert_eq!(one.reply().expect("a reply").err, 0);
            }
        }
    }
    let lister = std::thread::spawn(move || {
        for read in [op::GET_CHILDREN, op::GET_CHILDREN2].repeat(10) {
            let reply = one.must(&Request::Read { op: read, path: "/d".to_owned(), watch: false });
            assert_eq!(reply.count(), CHILDREN);
            let stat = if read == op::GET_CHILDREN2 { 68 } else { 0 };
            assert_eq!(reply.body.len(), 4 + CHILDREN as usize * (4 + "child-000000".len()) + stat);
        }
    });
    let mut other = session(address);
    let mut slowest = Duration::ZERO;
    while !lister.is_finished() {
        let asked = Instant::now();
        other.must(&get_data("/d"));
        slowest = slowest.max(asked.elapsed());
    }
    lister.join().expect("every listing is whole");
    assert!(slowest < FINE, "another client waited {slowest:?}");
}

#[test]
fn handshakes_that_come_too_fast_are_turned_away() {
    // The harness looks whether the server is there by handshakes of its own, so no count of the
    // first ones is certain.
    let server = server(&[
        ("connection_throttle_tokens", "20"),
        ("connection_throttle_fill_time", "600000"),
        ("connection_throttle_fill_count", "1"),
    ]);
    let mut other = session(server.address());
    let opened = (0..40).filter(|_| Session::open(server.address(), TIMEOUT_MS).is_some()).count();
    assert!((1..20).contains(&opened), "{opened} of 40 sessions were opened with 20 tokens");
    other.must(&create("/other", b"", 0));
}

#[test]
fn a_large_request_too_many_closes_its_connection() {
    let server = server(&[("largeRequestThreshold", "1000"), ("largeRequestMaxBytes", "5000")]);
    let mut other = session(server.address());
    other.must(&create("/other", &[b'x'; 4000], 0));
    let mut one = session(server.address());
    one.send(&set_data("/other", &[b'x'; 6000]));
    assert!(one.is_closed_within(Duration::from_secs(5)), "it alone is more than all may be together");
    for _ in 0..10 {
        other.must(&set_data("/other", &[b'y'; 4000]));
    }
}
