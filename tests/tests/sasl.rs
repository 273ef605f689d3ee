//! Authentication by SASL, with the same steps against Ostler and Apache ZooKeeper.

use std::fs;
use std::time::Duration;

use ostler_tests::digest_md5::Login;
use ostler_tests::ensemble::{Engine, Ensemble, Layout};
use ostler_tests::jaas::{self, Jaas};
use ostler_tests::jute::{Reader, Record};
use ostler_tests::kdc::{Kdc, krb5_section};
use ostler_tests::process::{Kind, Server};
use ostler_tests::request::{AclEntry, Request, op};
use ostler_tests::session::{Reply, Session, create, get_data, ping};

const TIMEOUT_MS: i32 = 30_000;
const PATIENCE: Duration = Duration::from_secs(10);
const NO_AUTH: i32 = -102;
const INVALID_ACL: i32 = -114;
const AUTH_FAILED: i32 = -115;
const REQUIRES_SASL: i32 = -124;

const BOB: Login<'_> = Login { user: "bob", password: "bob's secret", authzid: None };
const ANN: Login<'_> = Login { user: "ann", password: "ann", authzid: None };

/// Runs the steps against both servers, each with a JAAS file.
fn on_both(settings: &[(&str, &str)], steps: impl Fn(&Server, Kind)) {
    let jaas = Jaas::write();
    for kind in [Kind::Ostler, Kind::ZooKeeper] {
        if let Some(server) = jaas.start(kind, settings) {
            steps(&server, kind);
        }
    }
}

fn open(server: &Server) -> Session {
    Session::open(server.address(), TIMEOUT_MS).expect("a session")
}

fn token(token: Option<&[u8]>) -> Request {
    Request::Raw { op: op::SASL, body: Record::new().buffer(token).0 }
}

/// The token in a reply.
fn token_of(reply: &Reply) -> Option<Vec<u8>> {
    Reader::new(&reply.body).buffer().expect("a token or null").map(<[u8]>::to_vec)
}

/// Both steps of a login; the second one's reply.
fn log_in(session: &mut Session, login: Login<'_>) -> Reply {
    let challenge = session.must(&token(Some(b"")));
    assert_eq!(challenge.zxid, 0);
    let challenge = token_of(&challenge).expect("a challenge");
    session.call(&token(Some(&login.response(&challenge))))
}

fn must_log_in(session: &mut Session, login: Login<'_>) {
    let reply = log_in(session, login);
    assert_eq!((reply.err, reply.zxid), (0, 0));
    assert!(token_of(&reply).expect("the server's proof").starts_with(b"rspauth="));
}

fn create_for(path: &str, acl: &[(i32, &str, &str)]) -> Request {
    let entry = |&(perms, scheme, id): &(i32, &str, &str)| -> AclEntry { (perms, scheme.into(), id.into()) };
    Request::Create {
        op: op::CREATE,
        path: path.to_owned(),
        data: Some(b"x".to_vec()),
        acl: Some(acl.iter().map(entry).collect()),
        flags: 0,
        ttl_ms: 0,
    }
}

#[test]
fn rule_41_a_user_with_a_password_has_an_identity() {
    on_both(&[], |server, kind| {
        let mut bob = open(server);
        must_log_in(&mut bob, BOB);
        bob.must(&create_for("/auth", &[(31, "auth", "")]));
        bob.must(&create_for("/bob", &[(31, "sasl", "bob")]));
        assert_eq!(bob.call(&create_for("/x", &[(31, "sasl", "a@b@c")])).err, INVALID_ACL, "{kind:?}");
        // It authenticates bob, whoever he wants to be.
        let mut again = open(server);
        must_log_in(&mut again, Login { authzid: Some("super"), ..BOB });
        for path in ["/auth", "/bob"] {
            assert_eq!(again.call(&get_data(path)).err, 0, "{kind:?} {path}");
            assert_eq!(open(server).call(&get_data(path)).err, NO_AUTH, "{kind:?} {path}");
        }
        let mut ann = open(server);
        must_log_in(&mut ann, ANN);
        assert_eq!(ann.call(&get_data("/bob")).err, NO_AUTH, "{kind:?}");
        // The user super passes every entry of the scheme, and no other.
        let mut root = open(server);
        must_log_in(&mut root, Login { user: "super", password: "super secret", authzid: None });
        assert_eq!(root.call(&get_data("/bob")).err, 0, "{kind:?}");
        bob.must(&create_for("/ip", &[(31, "ip", "10.9.8.7")]));
        assert_eq!(root.call(&get_data("/ip")).err, NO_AUTH, "{kind:?}");
        let who = again.must(&Request::Raw { op: op::WHO_AM_I, body: Vec::new() });
        let shown = String::from_utf8_lossy(&who.body).into_owned();
        assert!(shown.contains("sasl") && shown.contains("bob"), "{kind:?} {shown}");
    });
}

#[test]
fn rule_41_a_failed_login_ends_the_connection() {
    on_both(&[], |server, kind| {
        for login in [
            Login { password: "guessed", ..BOB },
            Login { user: "nobody", ..BOB },
            Login { user: "cat", password: "cat", authzid: None },
        ] {
            let mut session = open(server);
            let reply = log_in(&mut session, login);
            assert_eq!((reply.err, token_of(&reply)), (AUTH_FAILED, None), "{kind:?} {login:?}");
            assert!(session.is_closed_within(PATIENCE), "{kind:?} {login:?}");
        }
        let mut twice = open(server);
        must_log_in(&mut twice, BOB);
        assert_eq!(twice.call(&token(Some(b""))).err, AUTH_FAILED, "{kind:?}: the exchange has ended");
        assert!(twice.is_closed_within(PATIENCE), "{kind:?}");
        let mut malformed = open(server);
        malformed.must(&token(Some(b"anything")));
        assert_eq!(malformed.call(&token(Some(b"username=\"bob"))).err, AUTH_FAILED, "{kind:?}");
        let mut null = open(server);
        null.send(&token(None));
        assert_eq!(null.reply(), None, "{kind:?}: closed without an answer");
        // Half an exchange disturbs nothing.
        let mut half = open(server);
        half.must(&token(Some(b"")));
        half.must(&create("/half", b"", 0));
        assert_eq!(half.must(&Request::Path { op: op::GET_ACL, path: "/half".into() }).err, 0);
    });
}

#[test]
fn rule_41_a_failed_client_may_go_on_where_that_is_allowed() {
    on_both(&[("zookeeper.allowSaslFailedClients", "true")], |server, kind| {
        let mut session = open(server);
        let reply = log_in(&mut session, Login { password: "guessed", ..BOB });
        assert_eq!((reply.err, token_of(&reply)), (0, None), "{kind:?}");
        session.must(&create_for("/failed", &[(31, "sasl", "bob"), (1, "world", "anyone")]));
        assert_eq!(session.call(&create("/failed/child", b"", 0)).err, NO_AUTH, "{kind:?}");
        let again = session.must(&token(Some(b"")));
        assert_eq!(token_of(&again), None, "{kind:?}: the exchange has ended");
    });
}

#[test]
fn rule_41_superusers_by_name() {
    let settings = [
        ("zookeeper.superUser", "ann"),
        ("zookeeper.superUser.2", "bob"),
        ("zookeeper.SASLAuthenticationProvider.superPassword", "other"),
    ];
    on_both(&settings, |server, kind| {
        for login in [ANN, BOB] {
            let mut session = open(server);
            must_log_in(&mut session, login);
            let path = format!("/by{}", login.user);
            session.must(&create_for(&path, &[(31, "ip", "10.9.8.7")]));
            assert_eq!(session.call(&get_data(&path)).err, 0, "{kind:?}");
            assert_eq!(open(server).call(&get_data(&path)).err, NO_AUTH, "{kind:?}");
        }
        let root = |password| Login { user: "super", password, authzid: None };
        assert_eq!(log_in(&mut open(server), root("super secret")).err, AUTH_FAILED, "{kind:?}");
        must_log_in(&mut open(server), root("other"));
    });
}

#[test]
fn rule_41_sasl_can_be_required() {
    on_both(&[("zookeeper.sessionRequireClientSASLAuth", "true")], |server, kind| {
        let digest = Request::Auth { scheme: "digest".into(), auth: Some(b"u:p".to_vec()) };
        for request in [create("/a", b"", 0), ping(), get_data("/")] {
            let mut session = open(server);
            assert_eq!(session.call(&digest).err, 0, "{kind:?}: it does not count");
            let reply = session.call(&request);
            assert_eq!((reply.err, reply.zxid), (REQUIRES_SASL, 0), "{kind:?} {request:?}");
            assert!(reply.body.is_empty(), "{kind:?}");
            assert!(session.is_closed_within(PATIENCE), "{kind:?} {request:?}");
        }
        let mut wrong = open(server);
        let reply = log_in(&mut wrong, Login { password: "guessed", ..BOB });
        assert_eq!((reply.err, token_of(&reply)), (REQUIRES_SASL, None), "{kind:?}");
        assert!(wrong.is_closed_within(PATIENCE), "{kind:?}");
        let mut bob = open(server);
        must_log_in(&mut bob, BOB);
        bob.must(&create("/a", b"", 0));
        assert_eq!(bob.must(&ping()).err, 0, "{kind:?}");
    });
}

#[test]
fn rule_41_other_schemes_can_be_required() {
    let settings =
        [("zookeeper.enforce.auth.enabled", "true"), ("zookeeper.enforce.auth.schemes", "digest, sasl")];
    on_both(&settings, |server, kind| {
        assert_eq!(open(server).call(&get_data("/")).err, REQUIRES_SASL, "{kind:?}");
        let mut digest = open(server);
        digest.must(&Request::Auth { scheme: "digest".into(), auth: Some(b"u:p".to_vec()) });
        digest.must(&get_data("/"));
        let mut bob = open(server);
        must_log_in(&mut bob, BOB);
        bob.must(&get_data("/"));
    });
}

#[test]
fn rule_41_another_section_of_the_jaas_file() {
    on_both(&[("zookeeper.sasl.serverconfig", "Other")], |server, kind| {
        must_log_in(&mut open(server), Login { user: "cat", password: "cat", authzid: None });
        assert_eq!(log_in(&mut open(server), BOB).err, AUTH_FAILED, "{kind:?}");
    });
}

#[test]
fn rule_41_without_sasl_a_token_is_answered_with_nothing() {
    for kind in [Kind::Ostler, Kind::ZooKeeper] {
        let Some(server) = Server::start_with(kind, &[]) else { continue };
        let mut session = open(&server);
        for _ in 0..16 {
            let reply = session.must(&token(Some(b"")));
            assert_eq!((reply.zxid, token_of(&reply)), (0, None), "{kind:?}");
        }
        assert_eq!(session.call(&create_for("/a", &[(31, "sasl", "bob")])).err, INVALID_ACL, "{kind:?}");
        if kind == Kind::Ostler {
            // ZooKeeper goes on for ever, and so does a client that waits for a challenge.
            assert_eq!(session.call(&token(Some(b""))).err, AUTH_FAILED);
            assert!(session.is_closed_within(PATIENCE));
        }
        let mut null = open(&server);
        null.send(&token(None));
        assert_eq!(null.reply(), None, "{kind:?}: closed without an answer");
    }
}

/// Ostler's own: too many failed logins from an address are refused unchecked.
#[test]
fn guesses_are_limited() {
    let jaas = Jaas::write();
    let server = jaas.start(Kind::Ostler, &[("ostler.failedLoginsPerMinute", "3")]).expect("the server");
    must_log_in(&mut open(&server), BOB);
    for _ in 0..3 {
        assert_eq!(log_in(&mut open(&server), Login { password: "guessed", ..BOB }).err, AUTH_FAILED);
    }
    let reply = open(&server).call(&token(Some(b"")));
    assert_eq!((reply.err, token_of(&reply)), (AUTH_FAILED, None), "not even a challenge");
    open(&server).must(&create("/others", b"", 0));
}

/// Each member of an ensemble authenticates its own clients; what their ACLs say holds at all.
#[test]
fn members_authenticate_their_own_clients() {
    let jaas = Jaas::write();
    let file = format!("{}={}", jaas::FILE, jaas.path().display());
    let provider = format!("authProvider.1={}", jaas::PROVIDER.1);
    let settings = [file.as_str(), provider.as_str(), "ostler.linearizableReads=true"];
    let mut ensemble = Ensemble::start_as(Engine::Raft, Layout::voters(3), &settings);
    let leader = ensemble.await_leader();
    let followers: Vec<u8> = ensemble.servers().into_iter().filter(|server| *server != leader).collect();
    let open = |server: u8| Session::open(ensemble.address(server), TIMEOUT_MS).expect("a session");
    let mut bob = open(followers[0]);
    must_log_in(&mut bob, BOB);
    bob.must(&create_for("/bob", &[(31, "auth", "")]));
    for server in [leader, followers[0], followers[1]] {
        assert_eq!(open(server).call(&get_data("/bob")).err, NO_AUTH, "server {server}");
        assert_eq!(log_in(&mut open(server), Login { password: "guessed", ..BOB }).err, AUTH_FAILED);
        let mut again = open(server);
        must_log_in(&mut again, BOB);
        again.must(&get_data("/bob"));
    }
}

/// What is no ticket ends the connection, or leaves it as it was where that is allowed; what the
/// client sent behind it waits, and no other client does.
#[test]
fn tokens_that_are_no_tickets_are_refused() {
    let Some(kdc) = Kdc::start() else { return };
    let (keytab, file) = (kdc.file("service.keytab"), kdc.file("jaas.conf"));
    kdc.add("zookeeper/localhost", &keytab);
    fs::write(&file, krb5_section("Server", "zookeeper/localhost", &keytab)).expect("write the JAAS file");
    let path = file.to_str().expect("a printable path");
    for keeps in ["false", "true"] {
        let settings = [(jaas::FILE, path), ("zookeeper.allowSaslFailedClients", keeps)];
        let server = Server::start_in_environment(kdc.environment(), &settings);
        for bytes in [&b""[..], b"anything", &[0x60; 4000], &vec![b'x'; 200 << 10]] {
            let mut session = open(&server);
            let sent = session.send(&token(Some(bytes)));
            let behind = session.send(&get_data("/"));
            let refused = session.reply().expect("a reply");
            assert_eq!((refused.xid, token_of(&refused)), (sent, None));
            if keeps == "true" {
                assert_eq!(refused.err, 0);
                assert_eq!(session.reply().expect("a reply").xid, behind);
                assert_eq!(token_of(&session.must(&token(Some(b"again")))), None, "it has ended");
            } else {
                assert_eq!(refused.err, AUTH_FAILED);
                assert!(session.is_closed_within(PATIENCE));
            }
        }
    }
}
