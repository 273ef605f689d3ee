//! Grants with real processes: rules on paths protect a tree whose application sets `world:anyone`,
//! on every server, and whatever happens to the servers.

use std::fs;
use std::net::SocketAddr;

use ostler_tests::ensemble::{Engine, Ensemble, Layout};
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Session, create, get_data, set_data};

const TIMEOUT_MS: i32 = 30_000;
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_ARGUMENTS: i32 = -8;
const GRANTS: &str = "/zookeeper/grants";
const SUPER: &str = "DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=";
/// `u:Jq7…` is the user u with the password p.
const RULES: &str = "# The tree of the team.
/app cdrwa digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=
/app r world:anyone
/app/keys - world:anyone
";

/// A session with these credentials of the scheme `digest`, which sees what was written before.
fn open(address: SocketAddr, credentials: Option<&str>) -> Session {
    let mut session = Session::open(address, TIMEOUT_MS).expect("a session");
    if let Some(credentials) = credentials {
        let (scheme, auth) = ("digest".to_owned(), Some(credentials.as_bytes().to_vec()));
        session.must(&Request::Auth { scheme, auth });
    }
    session.must(&Request::Path { op: op::SYNC, path: "/".to_owned() });
    session
}

fn delete(path: &str) -> Request {
    Request::Versioned { op: op::DELETE, path: path.to_owned(), version: -1 }
}

fn multi(parts: Vec<Request>) -> Request {
    Request::Multi { op: op::MULTI, parts }
}

/// The error of the last part of a multi that was refused.
fn refusal(session: &mut Session, parts: Vec<Request>) -> i32 {
    let body = session.must(&multi(parts)).body;
    // The header of each part has 9 bytes; a refused part has its error again; a header ends it.
    let end = body.len() - 9;
    i32::from_be_bytes(body[end - 4..end].try_into().expect("an error"))
}

/// What the rules say, asked at one server.
fn check(address: SocketAddr) {
    let mut stranger = open(address, None);
    let mut guesser = open(address, Some("u:wrong"));
    for session in [&mut stranger, &mut guesser] {
        assert_eq!(session.call(&get_data("/app/x")).err, 0);
        assert_eq!(session.call(&get_data("/app/keys")).err, NO_AUTH);
        assert_eq!(session.call(&get_data("/app/keys/none")).err, NO_NODE);
        assert_eq!(session.call(&get_data(GRANTS)).err, NO_AUTH);
        for write in [
            set_data("/app/x", b"theirs"),
            create("/app/new", b"", 0),
            create("/app/new-", b"", 3),
            delete("/app/x"),
            Request::SetAcl { path: "/app".to_owned(), acl: ostler_tests::request::open_acl(), version: -1 },
            set_data(GRANTS, b""),
            delete(GRANTS),
        ] {
            assert_eq!(session.call(&write).err, NO_AUTH, "{write:?}");
        }
        assert_eq!(refusal(session, vec![set_data("/open", b"z"), set_data("/app/x", b"theirs")]), NO_AUTH);
        session.must(&set_data("/open", b"anybody's"));
    }
    let mut team = open(address, Some("u:p"));
    team.must(&set_data("/app/x", b"ours"));
    team.must(&create("/app/new", b"", 0));
    team.must(&delete("/app/new"));
    for request in [get_data("/app/keys"), set_data("/app/keys", b""), delete("/app/keys")] {
        assert_eq!(team.call(&request).err, NO_AUTH, "the longest prefix decides: {request:?}");
    }
    let mut root = open(address, Some("super:test"));
    assert_eq!(root.must(&get_data("/app/x")).buffer(), b"ours");
    assert_eq!(root.must(&get_data(GRANTS)).buffer(), RULES.as_bytes());
    root.must(&set_data("/app/keys", b"k"));
    for bad in ["/app", "/app x world:anyone", "app r world:anyone", "/app r nobody:x"] {
        assert_eq!(root.call(&set_data(GRANTS, bad.as_bytes())).err, BAD_ARGUMENTS, "{bad}");
    }
}

fn check_all(ensemble: &mut Ensemble) {
    ensemble.await_in_step();
    ensemble.addresses().into_iter().for_each(check);
}

#[test]
fn a_protected_tree_is_closed_to_strangers_on_every_server() {
    let layout = Layout { direct: true, ..Layout::voters(3) };
    let settings = ["ostler.grants=true", "snapCount=60", SUPER];
    let mut ensemble = Ensemble::start_as(Engine::Raft, layout, &settings);
    let mut application = open(ensemble.address(2), None);
    for path in ["/app", "/app/x", "/app/keys", "/open"] {
        application.must(&create(path, b"x", 0));
    }
    assert_eq!(application.call(&create(GRANTS, RULES.as_bytes(), 0)).err, NO_AUTH);
    let mut root = open(ensemble.address(1), Some("super:test"));
    assert_eq!(root.call(&create(GRANTS, b"junk", 0)).err, BAD_ARGUMENTS);
    application.must(&set_data("/app/x", b"still open"));
    root.must(&create(GRANTS, RULES.as_bytes(), 0));
    check_all(&mut ensemble);

    // From the log, and from snapshots, which the writes above have brought.
    for server in ensemble.servers() {
        ensemble.kill(server);
    }
    for server in ensemble.servers() {
        ensemble.launch(server);
    }
    check_all(&mut ensemble);
    let snapshots = fs::read_dir(ensemble.data_dir(1).join("snapshot")).expect("snapshots").count();
    assert!(snapshots > 0, "nothing was restored from a snapshot");

    // On a server that gets everything from the others, and has lost the setting besides.
    ensemble.set_settings(&["snapCount=60", SUPER]);
    ensemble.kill(3);
    ensemble.wipe(3);
    ensemble.launch(3);
    check_all(&mut ensemble);

    // On a leader without it too; then the rules end with their node.
    for server in [1, 2] {
        ensemble.stop(server);
        ensemble.launch(server);
        ensemble.await_in_step();
    }
    check_all(&mut ensemble);
    open(ensemble.address(1), Some("super:test")).must(&delete(GRANTS));
    open(ensemble.address(3), None).must(&set_data("/app/keys", b"open again"));
}
