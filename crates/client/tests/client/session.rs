//! Sessions at real servers: what they keep over a restart, chroots, several threads.

use client::session::{Operation, OperationResult, ReadOperation, ReadResult};
use client::{
    Acl, AddWatchMode, Connection, CreateMode, Error, ErrorCode, EventType, Options, SessionEvent,
    SessionState, WatcherType, acl,
};
use std::sync::mpsc::TryRecvError;

use crate::server::{Reach as _, TestServer, open, wait_for, wait_for_watch};

fn is_reconnected(event: &SessionEvent) -> bool {
    matches!(event, SessionEvent::Reconnected { .. })
}

#[test]
fn a_restart_of_the_server_keeps_the_session_and_its_watches() {
    let mut server = TestServer::start();
    // No process listens on port 1: the session goes on to the next server, at first and again
    // when it reconnects.
    let session = open(&format!("127.0.0.1:1,{}", server.address()));
    let events = session.subscribe();
    let id = session.identity().id;
    session.create("/mine", Some(b"one"), &acl::open_acl(), CreateMode::Ephemeral).unwrap();
    session.get_data("/mine", true).unwrap();
    assert_eq!(session.exists("/later", true).unwrap(), None);
    session.create("/tree", None, &acl::open_acl(), CreateMode::Persistent).unwrap();
    session.add_watch("/tree", AddWatchMode::PersistentRecursive).unwrap();

    server.stop();
    let lost = wait_for(&events, |_| true);
    assert!(matches!(lost, SessionEvent::Disconnected { after_refused_auth: false, .. }), "{lost:?}");
    server.resume();
    // Before or after the session is back: its watch fires in either case.
    let mut other = Connection::connect(server.address(), &Options::default()).unwrap();
    other.set_data("/mine", Some(b"two"), -1).unwrap();
    let back = wait_for(&events, |_| true);
    let expected = SessionEvent::Reconnected { server: server.address(), after_refused_auth: false };
    assert_eq!(back, expected);
    assert_eq!((session.state(), session.server()), (SessionState::Connected, server.address()));
    assert_eq!(wait_for_watch(&events), (EventType::NodeDataChanged, "/mine".to_owned()));

    assert_eq!(session.identity().id, id);
    assert_eq!(session.get_ephemerals("/").unwrap(), ["/mine"]);
    other.create("/later", None, wire::AclList::OPEN, CreateMode::Persistent).unwrap();
    assert_eq!(wait_for_watch(&events), (EventType::NodeCreated, "/later".to_owned()));
    for path in ["/tree/a", "/tree/b"] {
        other.create(path, None, wire::AclList::OPEN, CreateMode::Persistent).unwrap();
        assert_eq!(wait_for_watch(&events), (EventType::NodeCreated, path.to_owned()));
    }
    // Used up: only the persistent watch is left.
    session.remove_watches("/tree", WatcherType::Any).unwrap();
    assert_eq!(wait_for_watch(&events), (EventType::PersistentWatchRemoved, "/tree".to_owned()));
    assert!(!session.has_watches());
    session.close().unwrap();
}

#[test]
fn an_event_comes_before_the_reply_that_shows_its_change() {
    let server = TestServer::start();
    let session = server.session("");
    session.create("/a", None, &acl::open_acl(), CreateMode::Persistent).unwrap();
    let (events, more) = (session.subscribe(), session.subscribe());
    for _ in 0..100 {
        session.get_data("/a", true).unwrap();
        session.set_data("/a", Some(b"x"), -1).unwrap();
        for receiver in [&events, &more] {
            assert!(matches!(receiver.try_recv(), Ok(SessionEvent::Watch(_))));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        }
    }
}

#[test]
fn credentials_are_sent_again_after_a_restart() {
    let mut server = TestServer::start();
    let session = server.session("");
    let events = session.subscribe();
    session.add_auth("digest", b"bob:secret").unwrap();
    let only_bob = [Acl::new(acl::perms::ALL, "auth", "")];
    session.create("/kept", Some(b"x"), &only_bob, CreateMode::Persistent).unwrap();
    let refused = server.session("").get_data("/kept", false).unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NoAuth));

    server.stop();
    server.resume();
    wait_for(&events, is_reconnected);
    assert_eq!(session.get_data("/kept", false).unwrap().0.as_deref(), Some(&b"x"[..]));
    let identities = session.who_am_i().unwrap();
    assert!(identities.contains(&("digest".to_owned(), "bob".to_owned())), "{identities:?}");
}

#[test]
fn refused_credentials_cost_the_connection_and_not_the_session() {
    let server = TestServer::start();
    let session = server.session("");
    let (events, id) = (session.subscribe(), session.identity().id);
    session.create("/mine", None, &acl::open_acl(), CreateMode::Ephemeral).unwrap();
    let error = session.add_auth("nonsense", b"x").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::AuthFailed));
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    let lost = wait_for(&events, |_| true);
    assert!(matches!(lost, SessionEvent::Disconnected { after_refused_auth: true, .. }), "{lost:?}");
    let back = wait_for(&events, |_| true);
    assert!(matches!(back, SessionEvent::Reconnected { after_refused_auth: true, .. }), "{back:?}");
    assert_eq!(session.get_ephemerals("/").unwrap(), ["/mine"]);
    assert_eq!(session.identity().id, id);
}

#[test]
fn a_chroot_is_put_on_and_taken_off() {
    let server = TestServer::start();
    let all = server.session("");
    all.create("/app", None, &acl::open_acl(), CreateMode::Persistent).unwrap();
    let session = server.session("/app");
    let events = session.subscribe();
    assert_eq!(session.exists("/a", true).unwrap(), None);
    let path = session.create("/a", Some(b"x"), &acl::open_acl(), CreateMode::Ephemeral).unwrap();
    assert_eq!(path, "/a");
    assert_eq!(wait_for_watch(&events), (EventType::NodeCreated, "/a".to_owned()));
    assert_eq!(all.get_data("/app/a", false).unwrap().0.as_deref(), Some(&b"x"[..]));
    assert_eq!(session.get_children("/", false).unwrap().0, ["a"]);
    assert_eq!(session.get_ephemerals("/").unwrap(), ["/a"]);
    assert_eq!(session.without_chroot().get_ephemerals("/").unwrap(), ["/app/a"]);
    let error = session.get_data("/none", false).unwrap_err();
    assert!(matches!(&error, Error::Refused { path: Some(path), .. } if path == "/none"), "{error:?}");
    // Without the slash it would be /appa.
    assert_eq!(session.get_data("a", false).unwrap_err().code(), Some(ErrorCode::BadArguments));
}

#[test]
fn a_multi_is_executed_whole_or_says_what_was_refused() {
    let server = TestServer::start();
    server.session("").create("/app", None, &acl::open_acl(), CreateMode::Persistent).unwrap();
    let session = server.session("/app");
    let open = acl::open_acl();
    let create = |path, mode| Operation::Create { path, data: Some(b"x"), acl: &open, mode };
    let results = session
        .multi(&[
            create("/a", CreateMode::Persistent),
            create("/n-", CreateMode::PersistentSequential),
            create("/c", CreateMode::Container),
            Operation::SetData { path: "/a", data: None, version: 0 },
            Operation::Check { path: "/a", version: 1 },
            Operation::Delete { path: "/c", version: -1 },
        ])
        .unwrap();
    let created = |path: &str| OperationResult::Created(path.to_owned());
    assert_eq!(results[..3], [created("/a"), created("/n-0000000001"), created("/c")]);
    assert!(matches!(&results[3], OperationResult::DataSet(stat) if stat.version == 1));
    assert_eq!(results[4..], [OperationResult::Checked, OperationResult::Deleted]);

    let delete = |path| Operation::Delete { path, version: -1 };
    let error = session.multi(&[delete("/a"), delete("/none"), delete("/n-0000000001")]).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NoNode));
    assert!(matches!(&error, Error::MultiRefused { index: 1, path, .. } if path == "/none"), "{error:?}");

    let reads =
        [ReadOperation::GetData("/a"), ReadOperation::GetData("/none"), ReadOperation::GetChildren("/")];
    let found = session.multi_read(&reads).unwrap();
    assert!(matches!(&found[0], Ok(ReadResult::Data(None, stat)) if stat.version == 1), "{found:?}");
    assert_eq!(found[1].as_ref().unwrap_err().code(), Some(ErrorCode::NoNode));
    let names = ["a".to_owned(), "n-0000000001".to_owned()];
    assert_eq!(found[2].as_ref().unwrap(), &ReadResult::Children(names.to_vec()));
}

#[test]
fn threads_that_share_a_session_get_their_own_replies() {
    let server = TestServer::start();
    let session = server.session("");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let session = session.clone();
            scope.spawn(move || {
                let path = format!("/{thread}");
                session.create(&path, None, &acl::open_acl(), CreateMode::Persistent).unwrap();
                for version in 0..100 {
                    let data = format!("{thread} {version}");
                    let stat = session.set_data(&path, Some(data.as_bytes()), version).unwrap();
                    assert_eq!(stat.version, version + 1);
                    assert_eq!(session.get_data(&path, false).unwrap().0.unwrap(), data.as_bytes());
                    session.add_auth("digest", format!("{thread}:x").as_bytes()).unwrap();
                    let none = session.get_data("/none", false).unwrap_err();
                    assert_eq!(none.code(), Some(ErrorCode::NoNode));
                }
            });
        }
    });
    assert_eq!(session.who_am_i().unwrap().len(), 9, "eight users and the address");
}
