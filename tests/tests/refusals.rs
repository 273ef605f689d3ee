//! Requests that Ostler refuses though ZooKeeper obeys them, and the order of requests sent ahead.

use std::time::Duration;

use ostler_tests::connection::{Connection, Received, handshake};
use ostler_tests::process::{Kind, Server};
use ostler_tests::request::Request;
use ostler_tests::session::{Session, create, get_data, set_data};

const TIMEOUT_MS: i32 = 30_000;
const UNIMPLEMENTED: i32 = -6;
const CREATE_SESSION: i32 = -10;
const DELETE_CONTAINER: i32 = 20;
/// In a handshake the version follows the frame's length.
const VERSION: std::ops::Range<usize> = 4..8;

fn server() -> Server {
    Server::start(Kind::Ostler).expect("the server")
}

#[test]
fn what_only_the_server_may_write_is_refused() {
    let server = server();
    let mut owner = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    owner.must(&create("/node", b"", 0));
    let path = [&5i32.to_be_bytes()[..], b"/node"].concat();
    for (op, body) in [(DELETE_CONTAINER, path), (CREATE_SESSION, 30_000i32.to_be_bytes().to_vec())] {
        let mut one = Session::open(server.address(), TIMEOUT_MS).expect("a session");
        assert_eq!(one.call(&Request::Raw { op, body }).err, UNIMPLEMENTED, "opcode {op}");
        assert!(one.is_closed_within(Duration::from_secs(5)), "the connection ends after opcode {op}");
    }
    owner.must(&get_data("/node"));
}

#[test]
fn variants_of_the_protocol_are_turned_away() {
    let server = server();
    let identity = ostler_tests::connection::Identity::new_session();
    for (version, is_taken) in [(0i32, true), (1, true), (10, false), (11, false), (12, false)] {
        let mut connection = Connection::open(server.address());
        let mut greeting = handshake(&identity, 0, TIMEOUT_MS);
        greeting[VERSION].copy_from_slice(&version.to_be_bytes());
        connection.send(&greeting);
        match connection.receive() {
            Received::Frame(_) => assert!(is_taken, "version {version} was taken"),
            Received::Closed => assert!(!is_taken, "version {version} was turned away"),
            Received::Nothing => panic!("no answer to version {version}"),
        }
    }
}

#[test]
fn rule_1_a_read_sent_behind_a_write_sees_it_and_no_later_one() {
    let server = server();
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    session.must(&create("/a", b"start", 0));
    let mut xids = Vec::new();
    for round in 0..200 {
        xids.push((session.send(&set_data("/a", format!("{round}").as_bytes())), None));
        xids.push((session.send(&get_data("/a")), Some(round)));
    }
    for (xid, expected) in xids {
        let reply = session.reply().expect("a reply");
        assert_eq!((reply.xid, reply.err), (xid, 0), "replies come in the order of the requests");
        if let Some(round) = expected {
            assert_eq!(reply.buffer(), format!("{round}").as_bytes(), "what the write before it wrote");
        }
    }
}
