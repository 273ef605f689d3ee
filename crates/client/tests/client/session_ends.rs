//! How sessions end, and what callers learn of a lost connection.

use client::{
    ConnectError, Connection, CreateMode, Error, ErrorCode, EventType, Options, Session, SessionEvent,
    SessionOptions, SessionState, acl,
};
use std::net::SocketAddr;
use std::sync::mpsc;
use wire::jute::Reader;
use wire::record::RequestHeader;
use wire::xid;

use crate::scripted::{Server, accept, serve_all};
use crate::server::{Reach as _, TestServer, open, until_the_end, wait_for_watch};

/// A session with the shortest wait for a server, and its events.
fn impatient(address: SocketAddr) -> (Session, mpsc::Receiver<SessionEvent>) {
    let (sender, events) = mpsc::channel();
    let options = SessionOptions { timeout_ms: 1_000, events: Some(sender), ..SessionOptions::default() };
    (Session::open(&address.to_string().parse().unwrap(), options).unwrap(), events)
}

fn xid_of(request: &[u8]) -> i32 {
    RequestHeader::decode(&mut Reader::new(request)).unwrap().xid
}

/// Takes the session over and closes it there, so that it has ended when its client comes back.
fn end_elsewhere(server: &TestServer, session: &Session) {
    let options = Options { resume: Some(session.identity()), ..Options::default() };
    loop {
        match Connection::connect(server.address(), &options).map(Connection::close) {
            Ok(Ok(())) | Err(ConnectError::SessionExpired) => return,
            // The client has taken it back before the request arrived.
            Ok(Err(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn an_expired_session_is_reported_once() {
    let server = TestServer::start();
    let session = server.session("");
    let (events, more) = (session.subscribe(), session.subscribe());
    session.create("/mine", None, &acl::open_acl(), CreateMode::Ephemeral).unwrap();
    end_elsewhere(&server, &session);
    for events in [&events, &more] {
        let seen = until_the_end(events);
        let expired = seen.iter().filter(|event| **event == SessionEvent::Expired).count();
        assert_eq!((expired, seen.last()), (1, Some(&SessionEvent::Expired)), "{seen:?}");
    }
    assert_eq!(session.state(), SessionState::Expired);
    let error = session.get_data("/mine", false).unwrap_err();
    assert!(matches!(error, Error::SessionExpired), "{error:?}");
    assert!(!error.may_have_been_executed());
    assert_eq!(until_the_end(&session.subscribe()), [], "a late receiver does not wait for ever");
    session.close().unwrap();
    assert_eq!(server.session("").exists("/mine", false).unwrap(), None);
}

#[test]
fn a_closed_session_is_closed_for_all_handles() {
    let server = TestServer::start();
    let session = server.session("");
    let (other, events) = (session.clone(), session.subscribe());
    session.create("/mine", None, &acl::open_acl(), CreateMode::Ephemeral).unwrap();
    session.close().unwrap();
    other.close().unwrap();
    assert!(matches!(other.get_data("/", false), Err(Error::Closed)));
    assert_eq!((other.state(), until_the_end(&events)), (SessionState::Closed, Vec::new()));
    assert_eq!(server.session("").exists("/mine", false).unwrap(), None);
}

#[test]
fn dropping_the_last_handle_ends_the_session() {
    let server = TestServer::start();
    let (watching, leaving) = (server.session(""), server.session(""));
    let events = watching.subscribe();
    leaving.create("/mine", None, &acl::open_acl(), CreateMode::Ephemeral).unwrap();
    assert!(watching.exists("/mine", true).unwrap().is_some());
    let clone = leaving.clone();
    drop(leaving);
    assert_eq!(clone.get_ephemerals("/").unwrap(), ["/mine"]);
    drop(clone);
    assert_eq!(wait_for_watch(&events), (EventType::NodeDeleted, "/mine".to_owned()));
}

#[test]
fn a_lost_request_is_told_from_one_that_was_not_sent() {
    let (address, server) = serve_all(|listener| {
        let mut server = accept(&listener);
        server.welcome(1_000);
        server.read();
    });
    let (session, _events) = impatient(address);
    let error = session.delete("/a", -1).unwrap_err();
    assert!(matches!(error, Error::ConnectionLoss { operation: "delete" }), "{error:?}");
    assert!(error.may_have_been_executed());
    server.join().unwrap();
    let error = session.delete("/a", -1).unwrap_err();
    assert!(matches!(error, Error::Unreachable { waited_ms: 1_000 }), "{error:?}");
    assert!(!error.may_have_been_executed());
    assert_eq!(error.code(), Some(ErrorCode::ConnectionLoss));
}

#[test]
fn credentials_refused_by_a_later_server_end_the_session() {
    fn answer_auth(server: &mut Server, err: i32) {
        server.welcome(10_000);
        let request = server.read();
        assert_eq!(xid_of(&request), xid::AUTH);
        server.reply(xid::AUTH, 0, err, |_| {});
    }
    let (address, _) = serve_all(|listener| {
        answer_auth(&mut accept(&listener), 0);
        let mut second = accept(&listener);
        answer_auth(&mut second, ErrorCode::AuthFailed as i32);
        // Until the client hangs up.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| second.read())).ok();
    });
    let (sender, events) = mpsc::channel();
    let options = SessionOptions { events: Some(sender), ..SessionOptions::default() };
    let session = Session::open(&address.to_string().parse().unwrap(), options).unwrap();
    session.add_auth("digest", b"bob:secret").unwrap();
    let seen = until_the_end(&events);
    assert_eq!(seen.last(), Some(&SessionEvent::AuthFailed), "{seen:?}");
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(session.state(), SessionState::AuthFailed);
    assert!(matches!(session.get_data("/", false), Err(Error::AuthFailed)));
}

#[test]
fn a_session_that_no_server_takes_names_all_of_them() {
    let servers = "127.0.0.1:1,127.0.0.1:2".parse().unwrap();
    let error = Session::open(&servers, SessionOptions::default()).unwrap_err();
    let Error::NoServer(reasons) = &error else { panic!("{error:?}") };
    assert_eq!(reasons.iter().map(|(server, _)| server.as_str()).collect::<Vec<_>>(), servers.servers());
    assert!(error.to_string().contains("127.0.0.1:2: cannot connect"), "{error}");
}

#[test]
fn a_session_can_be_sent_to_threads_and_shared() {
    fn is_send_and_sync<T: Send + Sync + Clone>(_: &T) {}
    let server = TestServer::start();
    is_send_and_sync(&open(&server.address()));
}
