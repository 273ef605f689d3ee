//! ClickHouse's client. It takes a failed part of a multiRead in the form of its own Keeper only,
//! and ZooKeeper's clients take it in ZooKeeper's only: a client is recognized by what it has asked
//! before.

use std::net::SocketAddr;
use std::time::Duration;

use ostler_tests::client::{Subject, install, run, source};
use ostler_tests::jute::Record;
use ostler_tests::process::{Kind, Server};
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Session, create, get_data, set_data};

const TIMEOUT_MS: i32 = 30_000;
const NO_NODE: i32 = -101;
const CHECK_NOT_EXISTS: i32 = 501;
const FILTERED_LIST: i32 = 500;

fn read(op: i32, path: &str) -> Request {
    Request::Read { op, path: path.into(), watch: false }
}

/// A multiRead of a node that is there and of one that is not.
fn half_missing() -> Request {
    Request::Multi { op: op::MULTI_READ, parts: vec![read(op::GET_CHILDREN, "/a"), get_data("/missing")] }
}

/// What it is answered: the children of `/a`, and a failure in this form.
fn answer(failure: Record) -> Vec<u8> {
    let children = Record::new().int(op::GET_CHILDREN).bool(false).int(0).int(0);
    children.raw(&failure.0).int(-1).bool(true).int(-1).0
}

fn in_zookeepers_form() -> Vec<u8> {
    answer(Record::new().int(-1).bool(false).int(NO_NODE).int(NO_NODE))
}

fn in_keepers_form() -> Vec<u8> {
    answer(Record::new().int(op::GET_DATA).bool(false).int(NO_NODE))
}

fn session(address: SocketAddr) -> Session {
    Session::open(address, TIMEOUT_MS).expect("a session")
}

#[test]
fn a_failed_part_of_a_multi_read_has_the_form_of_who_asks() {
    let server = Server::start(Kind::Ostler).expect("the server");
    let mut zookeepers = session(server.address());
    zookeepers.must(&create("/a", b"", 0));
    assert_eq!(zookeepers.must(&half_missing()).body, in_zookeepers_form());

    let announcements = ["/keeper/feature_flags", "/keeper/api_version"];
    let looks = announcements.map(get_data);
    let list = Record::new().string("/a").bool(false).raw(&[0]).0;
    let path = Record::new().string("/none").int(-1).0;
    let extensions = [
        Request::Raw { op: FILTERED_LIST, body: list },
        Request::Raw { op: CHECK_NOT_EXISTS, body: path },
        read(op::EXISTS, announcements[0]),
        Request::Multi { op: op::MULTI_READ, parts: vec![read(op::EXISTS, "/a")] },
    ];
    for request in looks.into_iter().chain(extensions) {
        let mut clickhouses = session(server.address());
        clickhouses.must(&request);
        assert_eq!(clickhouses.must(&half_missing()).body, in_keepers_form(), "after {request:?}");
    }
    assert_eq!(zookeepers.must(&half_missing()).body, in_zookeepers_form(), "another client's dialect");
}

/// A read that waits for the session's own write is answered elsewhere than one that waits for
/// nothing.
#[test]
fn a_multi_read_behind_a_write_has_the_form_of_who_asks() {
    let server = Server::start(Kind::Ostler).expect("the server");
    session(server.address()).must(&create("/a", b"", 0));
    for (first, expected) in
        [(get_data("/a"), in_zookeepers_form()), (get_data("/keeper/feature_flags"), in_keepers_form())]
    {
        let mut one = session(server.address());
        for round in 0..50 {
            let requests = [set_data("/a", b"x"), first.clone(), half_missing()];
            let sent = requests.map(|request| one.send(&request));
            let replies = sent.map(|xid| (xid, one.reply().expect("a reply")));
            assert!(replies.iter().all(|(xid, reply)| reply.xid == *xid && reply.err == 0));
            assert_eq!(replies[2].1.body, expected, "round {round} after {first:?}");
        }
    }
}

/// With the extensions off nothing is Keeper's.
#[test]
fn without_extensions_every_client_is_zookeepers() {
    let properties = [("zookeeper.ostler.keeperExtensions", "false")];
    let server = Server::start_with(Kind::Ostler, &properties).expect("the server");
    let mut one = session(server.address());
    one.must(&create("/a", b"", 0));
    assert_eq!(one.call(&get_data("/keeper/feature_flags")).err, NO_NODE);
    assert_eq!(one.must(&half_missing()).body, in_zookeepers_form());
    let unknown = Request::Raw { op: FILTERED_LIST, body: Vec::new() };
    one.call(&unknown);
    assert!(one.is_closed_within(Duration::from_secs(5)));
}

/// The long form: `OSTLER_CLICKHOUSE=1`. The package with ClickHouse in it takes 900 MB.
fn talk_to(subject: impl FnOnce() -> Option<Subject>) {
    if std::env::var_os("OSTLER_CLICKHOUSE").is_none() {
        println!("skipped: OSTLER_CLICKHOUSE is not set; it fetches and runs ClickHouse as a library");
        return;
    }
    let (Some(python), Some(subject)) = (install("clickhouse", &["python3"]), subject()) else { return };
    run(&python, &[source("clickhouse").join("client.py").to_str().expect("a printable path")], subject);
}

#[test]
fn clickhouse_works_on_one_server() {
    talk_to(Subject::one);
}

#[test]
fn clickhouse_survives_the_deaths_of_leaders() {
    talk_to(Subject::three);
}
