//! The audit log, with the same steps against Ostler and Apache ZooKeeper.

use std::fs;
use std::time::{Duration, Instant};

use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::process::{Kind, Server, Signal};
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Session, create, get_data, set_data};

const TIMEOUT_MS: i32 = 30_000;
const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "the-password-of-bob";
const DATA: &[u8] = b"data-that-nobody-may-see";

/// What both servers write before the fields.
const MARKS: [&str; 2] = ["o.a.z.a.Slf4jAuditLogger: ", "org.apache.zookeeper.audit.Slf4jAuditLogger - "];

fn start(kind: Kind) -> Option<Server> {
    let oracle = ("org.slf4j.simpleLogger.log.org.apache.zookeeper.audit", "info");
    Server::start_with(kind, &[("zookeeper.audit.enable", "true"), oracle])
}

fn text(server: &Server, kind: Kind) -> String {
    match kind {
        Kind::Ostler => fs::read_to_string(server.data_dir().join("zookeeper_audit.log")).unwrap_or_default(),
        Kind::ZooKeeper => server.log(),
    }
}

/// The fields of each line, once one contains `last`. The user of the server's own events, which
/// depends on the machine, is SERVER here, and sessions have names.
fn lines(server: &Server, kind: Kind, sessions: &[(i64, &str)], last: &str) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut all = text(server, kind);
    while !all.contains(last) {
        assert!(Instant::now() < deadline, "{kind:?} writes no {last}: {all}");
        std::thread::sleep(Duration::from_millis(20));
        all = text(server, kind);
    }
    let fields = |line: &str| MARKS.iter().find_map(|mark| Some(line.split_once(mark)?.1.to_owned()));
    let plain = |line: String| {
        let of_server = line.contains("=server") || line.contains("ephemeralZNodeDeletion");
        let fields = line.split('\t').map(|field| match field.split_once('=') {
            Some(("user", _)) if of_server => "user=SERVER".to_owned(),
            Some(("user", names)) => format!("user={}", sorted(names)),
            Some(("session", id)) => format!("session={}", name_of(id, sessions)),
            _ => field.to_owned(),
        });
        fields.collect::<Vec<_>>().join("\t")
    };
    all.lines().filter_map(fields).map(plain).collect()
}

/// ZooKeeper writes the names in the order of a hash table.
fn sorted(names: &str) -> String {
    let mut names: Vec<&str> = names.split(',').collect();
    names.sort_unstable();
    names.join(",")
}

fn name_of(id: &str, sessions: &[(i64, &str)]) -> String {
    let known = sessions.iter().find(|(known, _)| format!("{known:#x}") == id);
    known.map_or_else(|| id.to_owned(), |(_, name)| (*name).to_owned())
}

fn delete(path: &str, version: i32) -> Request {
    Request::Versioned { op: op::DELETE, path: path.to_owned(), version }
}

fn multi(parts: Vec<Request>) -> Request {
    Request::Multi { op: op::MULTI, parts }
}

/// All that is audited, by a client with a password and one without.
fn steps(server: &Server) -> [(i64, &'static str); 2] {
    let mut bob = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    let auth = Some(format!("bob:{PASSWORD}").into_bytes());
    bob.must(&Request::Auth { scheme: "digest".to_owned(), auth });
    bob.must(&create("/a", DATA, 0));
    bob.must(&create("/a/s", DATA, 2));
    bob.call(&create("/a", DATA, 0));
    bob.call(&create("/missing/a", DATA, 1));
    bob.must(&set_data("/a", DATA));
    bob.call(&set_data("/missing", DATA));
    let acl =
        |who: &str, id: &str| vec![(31, "world".to_owned(), "anyone".to_owned()), (1, who.into(), id.into())];
    bob.must(&Request::SetAcl { path: "/a".to_owned(), acl: Some(acl("ip", "10.0.0.0/8")), version: -1 });
    bob.call(&Request::SetAcl { path: "/missing".to_owned(), acl: Some(acl("ip", "10.0.0.1")), version: -1 });
    bob.must(&multi(vec![create("/m", DATA, 0), set_data("/m", DATA), delete("/m", 1)]));
    bob.call(&multi(vec![create("/m", DATA, 0), delete("/missing", -1)]));
    bob.must(&delete("/a/s0000000000", -1));
    bob.call(&delete("/a", 77));
    bob.call(&Request::Raw { op: op::RECONFIG, body: [&[0xFF; 12][..], &[0xFF; 8]].concat() });
    let mut guest = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    guest.must(&create("/e", DATA, 1));
    let sessions = [(bob.identity.id, "BOB"), (guest.identity.id, "GUEST")];
    guest.must(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() });
    sessions
}

/// What Apache ZooKeeper 3.9 writes for the steps.
const EXPECTED: &[&str] = &[
    "user=SERVER\toperation=serverStart\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=create\tznode=/a\tznode_type=persistent\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=create\tznode=/a/s0000000000\tznode_type=persistent_sequential\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=create\tznode=/a\tznode_type=persistent\tresult=failure",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=create\tznode=/missing/a\tznode_type=ephemeral\tresult=failure",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=setData\tznode=/a\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=setData\tznode=/missing\tresult=failure",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=setAcl\tznode=/a\tacl=world:anyone:cdrwaip:10.0.0.0/8:r\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=setAcl\tznode=/missing\tacl=world:anyone:cdrwaip:10.0.0.1:r\tresult=failure",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=create\tznode=/m\tznode_type=persistent\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=setData\tznode=/m\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=delete\tznode=/m\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=multiOperation\tresult=failure",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=delete\tznode=/a/s0000000000\tresult=success",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=delete\tznode=/a\tresult=failure",
    "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=reconfig\tresult=failure",
    "session=GUEST\tuser=127.0.0.1\tip=127.0.0.1\toperation=create\tznode=/e\tznode_type=ephemeral\tresult=success",
    "session=GUEST\tuser=SERVER\toperation=ephemeralZNodeDeletionOnSessionCloseOrExpire\tznode=/e\tresult=success",
];

#[test]
fn both_servers_audit_the_same_lines() {
    for kind in [Kind::Ostler, Kind::ZooKeeper] {
        let Some(mut server) = start(kind) else { continue };
        let sessions = steps(&server);
        let lines = lines(&server, kind, &sessions, "ephemeralZNodeDeletion");
        for (line, expected) in lines.iter().zip(EXPECTED) {
            assert_eq!(line, expected, "{kind:?}");
        }
        assert_eq!(lines.len(), EXPECTED.len(), "{kind:?}: {lines:#?}");
        assert!(server.stop(Signal::TERM).code().is_some());
        let all = text(&server, kind);
        let stop = "operation=serverStop\tresult=invoked";
        assert!(all.trim_end().ends_with(stop) || kind == Kind::ZooKeeper, "{all}");
        for secret in [PASSWORD, std::str::from_utf8(DATA).expect("text")] {
            assert!(!all.contains(secret) && !server.log().contains(secret), "{kind:?}");
        }
    }
}

/// ZooKeeper writes the path as it is.
#[test]
fn a_path_with_tabs_and_ends_of_lines_forges_nothing() {
    let server = start(Kind::Ostler).expect("Ostler");
    let mut mallory = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    let reply = mallory.call(&create("/a\tresult=success\nuser=root\toperation=delete", DATA, 0));
    assert_eq!(reply.err, -8, "such a path is refused");
    let lines = lines(&server, Kind::Ostler, &[(mallory.identity.id, "M")], "result=failure");
    assert_eq!(
        lines.last().map(String::as_str),
        Some(
            "session=M\tuser=127.0.0.1\tip=127.0.0.1\toperation=create\t\
             znode=/a\\tresult=success\\nuser=root\\toperation=delete\tznode_type=persistent\tresult=failure"
        )
    );
}

/// The connection may be gone before the result of its last request is known.
#[test]
fn a_client_that_does_not_wait_for_the_reply_is_audited() {
    let server = start(Kind::Ostler).expect("Ostler");
    let mut client = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    client.must(&create("/left", DATA, 0));
    client.send(&delete("/left", -1));
    let session = client.identity.id;
    drop(client);
    let lines = lines(&server, Kind::Ostler, &[(session, "S")], "operation=delete");
    let expected = "session=S\tuser=127.0.0.1\tip=127.0.0.1\toperation=delete\tznode=/left\tresult=success";
    assert_eq!(lines.last().map(String::as_str), Some(expected));
}

#[test]
fn json_goes_to_standard_output() {
    let settings = [("zookeeper.audit.enable", "true"), ("ostler.audit.json", "stdout")];
    let server = Server::start_with(Kind::Ostler, &settings).expect("Ostler");
    let mut client = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    client.must(&create("/j", DATA, 0));
    let expected = format!(
        "\"session\":\"{:#x}\",\"user\":\"127.0.0.1\",\"ip\":\"127.0.0.1\",\"operation\":\"create\",\
         \"znode\":\"/j\",\"znode_type\":\"persistent\",\"result\":\"success\"}}\n",
        client.identity.id
    );
    server.await_log(&expected);
    assert!(!server.data_dir().join("zookeeper_audit.log").exists());
}

fn read(op: i32, path: &str) -> Request {
    Request::Read { op, path: path.to_owned(), watch: false }
}

/// ZooKeeper has no such lines. What was not asked for is in no line either.
#[test]
fn reads_are_audited_where_that_is_asked_for() {
    for asks in [true, false] {
        let reads = ("ostler.audit.reads", if asks { "true" } else { "false" });
        let settings = [("zookeeper.audit.enable", "true"), reads];
        let server = Server::start_with(Kind::Ostler, &settings).expect("Ostler");
        let mut bob = Session::open(server.address(), TIMEOUT_MS).expect("a session");
        let auth = Some(format!("bob:{PASSWORD}").into_bytes());
        bob.must(&Request::Auth { scheme: "digest".to_owned(), auth });
        bob.must(&create("/a", DATA, 0));
        let nobody = Some(vec![(31, "ip".to_owned(), "10.9.8.7".to_owned())]);
        bob.must(&create("/closed", DATA, 0));
        bob.must(&Request::SetAcl { path: "/closed".to_owned(), acl: nobody, version: -1 });
        bob.must(&get_data("/a"));
        assert_eq!(bob.call(&get_data("/closed")).err, -102);
        assert_eq!(bob.call(&read(op::EXISTS, "/missing")).err, -101);
        bob.must(&read(op::GET_CHILDREN2, "/"));
        bob.must(&Request::Path { op: op::GET_ACL, path: "/a".to_owned() });
        let parts = vec![get_data("/a"), get_data("/closed"), read(op::GET_CHILDREN, "/a")];
        bob.must(&Request::Multi { op: op::MULTI_READ, parts });
        // A read that waits behind a write is answered by another thread.
        let (wrote, looked) = (bob.send(&set_data("/a", DATA)), bob.send(&get_data("/a")));
        assert_eq!([wrote, looked].map(|_| bob.reply().expect("a reply").err), [0, 0]);
        bob.must(&delete("/a", -1));
        let all = lines(&server, Kind::Ostler, &[(bob.identity.id, "BOB")], "operation=delete");
        let begin = "session=BOB\tuser=127.0.0.1,bob\tip=127.0.0.1\toperation=";
        let short: Vec<String> =
            all.iter().filter_map(|line| Some(line.strip_prefix(begin)?.replace("\t", " "))).collect();
        let reads = [
            "getData znode=/a result=success",
            "getData znode=/closed result=failure",
            "exists znode=/missing result=failure",
            "getChildren znode=/ result=success",
            "getAcl znode=/a result=success",
            "getData znode=/a result=success",
            "getData znode=/closed result=failure",
            "getChildren znode=/a result=success",
            "setData znode=/a result=success",
            "getData znode=/a result=success",
            "delete znode=/a result=success",
        ];
        let expected: Vec<&str> = match asks {
            true => reads.to_vec(),
            false => reads
                .into_iter()
                .filter(|line| !line.starts_with("get") && !line.starts_with("exists"))
                .collect(),
        };
        assert_eq!(short[3..], expected, "asks: {asks}");
        let text = text(&server, Kind::Ostler);
        assert!(!text.contains(PASSWORD) && !text.contains(std::str::from_utf8(DATA).expect("text")));
    }
}

/// A write that a follower forwards is audited by the follower, whose client it is, and by no other
/// server; so is one that is refused. The ephemeral znodes of a session are audited by all.
#[test]
fn an_ensemble_audits_each_request_once_where_its_client_is() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = Ensemble::start(engine, 3, &["audit.enable=true"]);
        let leader = ensemble.await_leader();
        for server in ensemble.servers() {
            let mut client = Session::open(ensemble.address(server), TIMEOUT_MS).expect("a session");
            client.must(&create(&format!("/of{server}"), DATA, 0));
            client.call(&create(&format!("/missing{server}/a"), DATA, 0));
            let path = format!("/multi{server}");
            client.must(&multi(vec![create(&path, DATA, 0), delete(&path, -1)]));
            client.must(&create(&format!("/ephemeral{server}"), DATA, 1));
            client.must(&Request::Raw { op: op::CLOSE_SESSION, body: Vec::new() });
        }
        let log = |ensemble: &Ensemble, server: u8| {
            let path = ensemble.data_dir(server).join("zookeeper_audit.log");
            fs::read_to_string(path).unwrap_or_default()
        };
        let ended = "operation=ephemeralZNodeDeletionOnSessionCloseOrExpire\tznode=/ephemeral3";
        ensemble.await_that("all have written the last event", |ensemble| {
            ensemble.servers().iter().all(|server| log(ensemble, *server).contains(ended)).then_some(())
        });
        for server in ensemble.servers() {
            let text = log(&ensemble, server);
            for client in ensemble.servers() {
                let own = usize::from(client == server);
                for (part, count) in [
                    (format!("operation=create\tznode=/of{client}\t"), own),
                    (format!("operation=create\tznode=/missing{client}/a\t"), own),
                    (format!("operation=create\tznode=/multi{client}\t"), own),
                    (format!("operation=delete\tznode=/multi{client}\t"), own),
                    (format!("operation=create\tznode=/ephemeral{client}\t"), own),
                    (format!("OnSessionCloseOrExpire\tznode=/ephemeral{client}\t"), 1),
                ] {
                    let found = text.lines().filter(|line| line.contains(&part)).count();
                    assert_eq!(
                        found, count,
                        "{engine:?}, leader {leader}, server {server}: {part} in {text}"
                    );
                }
            }
        }
    }
}
