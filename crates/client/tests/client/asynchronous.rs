//! The asynchronous client at real servers and scripted ones.

use std::time::{Duration, Instant};

use client::{
    AddWatchMode, Client, CreateMode, Error, ErrorCode, EventType, Outcome, SessionEvent, SessionState,
    Settings, Transaction, WatchUpdate, acl,
};
use tokio::time::timeout;
use wire::Opcode;
use wire::jute::Reader;
use wire::record::RequestHeader;

use crate::scripted::{Server, accept, serve_all};
use crate::server::{Reach as _, TestServer};

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

fn header(request: &[u8]) -> RequestHeader {
    RequestHeader::decode(&mut Reader::new(request)).unwrap()
}

async fn create(client: &Client, path: &str, mode: CreateMode) {
    client.create(path, Some(b"x"), &acl::open_acl(), mode).await.unwrap();
}

#[tokio::test]
async fn a_thousand_tasks_share_a_session() {
    let server = TestServer::start();
    let client = server.client().await;
    create(&client, "/n", CreateMode::Persistent).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let client = client.clone();
        tasks.spawn(async move {
            let path = format!("/n/{number}");
            create(&client, &path, CreateMode::Ephemeral).await;
            client.set_data(&path, Some(path.as_bytes()), 0).await.unwrap();
            let (data, stat) = client.get_data(&path, false).await.unwrap();
            assert_eq!((data.as_deref(), stat.version), (Some(path.as_bytes()), 1));
        });
    }
    while let Some(done) = soon(tasks.join_next()).await {
        done.unwrap();
    }
    assert_eq!(client.get_children("/n", false).await.unwrap().0.len(), 1_000);
}

#[tokio::test]
async fn requests_of_one_task_are_executed_in_their_order() {
    let server = TestServer::start();
    let client = server.client().await;
    create(&client, "/a", CreateMode::Persistent).await;
    for round in 0..100 {
        let data = [b"1", b"2", b"3"].map(|data| data.as_slice());
        let (one, two, three) = tokio::join!(
            client.set_data("/a", Some(data[0]), round * 3),
            client.set_data("/a", Some(data[1]), round * 3 + 1),
            client.set_data("/a", Some(data[2]), round * 3 + 2),
        );
        assert!(one.is_ok() && two.is_ok() && three.is_ok(), "{one:?} {two:?} {three:?}");
    }
}

#[tokio::test]
async fn a_cancelled_request_leaves_the_session_whole() {
    let server = TestServer::start();
    let client = server.client().await;
    create(&client, "/a", CreateMode::Persistent).await;
    for number in 0..200 {
        let path = format!("/a/{number}");
        let open = acl::open_acl();
        // Polled once, so it is sent; then dropped.
        let request = client.create(&path, None, &open, CreateMode::Persistent);
        tokio::select! {
            biased;
            created = request => { created.unwrap(); }
            () = std::future::ready(()) => {}
        }
        client.get_data("/a", false).await.unwrap();
    }
    assert_eq!(client.get_children("/a", false).await.unwrap().0.len(), 200, "all were executed");
    assert_eq!(client.state(), SessionState::Connected);
}

#[tokio::test]
async fn more_bytes_than_may_be_under_way_wait_and_are_all_executed() {
    let server = TestServer::start();
    let settings = Settings { pending_bytes_max: 10_000, ..Settings::default() };
    let client = Client::open(&server.address().parse().unwrap(), settings).await.unwrap();
    create(&client, "/a", CreateMode::Persistent).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = client.clone();
        tasks.spawn(async move { client.set_data("/a", Some(&[7; 5_000]), -1).await.unwrap() });
    }
    let mut last = 0;
    while let Some(done) = soon(tasks.join_next()).await {
        last = last.max(done.unwrap().version);
    }
    assert_eq!(last, 100);
}

#[tokio::test]
async fn a_request_without_a_connection_is_sent_on_the_next_one() {
    let mut server = TestServer::start();
    let client = server.client().await;
    let mut events = client.subscribe();
    server.stop();
    assert!(matches!(soon(events.recv()).await, Some(SessionEvent::Disconnected { .. })));
    let waiting = client.clone();
    let waiting =
        tokio::spawn(
            async move { waiting.create("/a", None, &acl::open_acl(), CreateMode::Persistent).await },
        );
    server.resume();
    assert_eq!(soon(waiting).await.unwrap().unwrap(), "/a");
    assert!(matches!(soon(events.recv()).await, Some(SessionEvent::Reconnected { .. })));
}

/// Answers the handshake, then never anything.
fn silent_after(requests: usize) -> std::net::SocketAddr {
    let (address, _) = serve_all(move |listener| {
        let mut server = accept(&listener);
        server.welcome(1_000);
        for _ in 0..requests {
            server.read();
        }
    });
    address
}

#[tokio::test]
async fn an_error_tells_whether_a_write_was_done() {
    let settings = Settings { timeout_ms: 1_000, ..Settings::default() };
    let client = Client::open(&silent_after(1).to_string().parse().unwrap(), settings).await.unwrap();
    let error = soon(client.delete("/a", -1)).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLoss { operation: "delete" }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let error = soon(client.delete("/a", -1)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { waited_ms: 1_000 }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotDone);

    let server = TestServer::start();
    let error = server.client().await.delete("/none", -1).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some(ErrorCode::NoNode), Outcome::NotDone));
}

/// Answers pings until the client hangs up, and returns what else it has read.
fn read_requests(mut server: Server, answer: impl Fn(&mut Server, &RequestHeader)) -> Vec<i32> {
    let mut seen = Vec::new();
    loop {
        let header = header(&server.read());
        if header.opcode_raw == Opcode::CloseSession as i32 {
            server.reply(header.xid, 5, 0, |_| {});
            return seen;
        }
        answer(&mut server, &header);
        seen.push(header.opcode_raw);
    }
}

#[tokio::test]
async fn a_linearizable_read_is_preceded_by_a_sync() {
    let (address, script) = serve_all(|listener| {
        let mut server = accept(&listener);
        server.welcome(30_000);
        read_requests(server, |server, header| server.reply(header.xid, 5, -101, |_| {}))
    });
    let client = Client::open(&address.to_string().parse().unwrap(), Settings::default()).await.unwrap();
    client.get_data("/a", false).await.unwrap_err();
    client.linearizable().get_data("/a", false).await.unwrap_err();
    client.close().await.unwrap();
    let (get, sync) = (Opcode::GetData as i32, Opcode::Sync as i32);
    assert_eq!(script.join().unwrap(), [get, sync, get]);
}

#[tokio::test]
async fn a_session_is_handed_over_with_its_ephemeral_znodes() {
    let server = TestServer::start();
    let client = server.client().await;
    create(&client, "/mine", CreateMode::Ephemeral).await;
    let id = client.identity().id;
    let (identity, last_zxid) = client.detach();
    let servers = server.address().parse().unwrap();
    let next = Client::resume(&servers, Settings::default(), &identity, last_zxid).await.unwrap();
    assert_eq!((next.identity().id, next.get_ephemerals("/").await.unwrap()), (id, vec!["/mine".to_owned()]));
    next.close().await.unwrap();
    let error = Client::resume(&servers, Settings::default(), &identity, 0).await.unwrap_err();
    assert!(matches!(error, Error::SessionExpired), "{error:?}");
}

#[tokio::test]
async fn a_session_is_known_to_live_only_as_long_as_the_server_answers() {
    let server = TestServer::start();
    let settings = Settings { timeout_ms: 4_000, ..Settings::default() };
    let client = Client::open(&server.address().parse().unwrap(), settings).await.unwrap();
    let first = client.alive_until();
    assert!(first > Instant::now());
    let mut pinged = first;
    while pinged == first {
        tokio::time::sleep(Duration::from_millis(50)).await;
        pinged = client.alive_until();
        assert!(first.elapsed() < PATIENCE, "a ping is answered");
    }
    assert!(pinged > first);
    client.close().await.unwrap();
    assert!(client.alive_until() <= Instant::now());
}

#[tokio::test]
async fn a_one_shot_watch_survives_a_restart() {
    let mut server = TestServer::start();
    let client = server.client().await;
    create(&client, "/a", CreateMode::Persistent).await;
    let (_, mut data) = client.get_data_and_watch("/a").await.unwrap();
    let (names, _, mut children) = client.get_children_and_watch("/a").await.unwrap();
    let (none, mut created) = client.exists_and_watch("/b").await.unwrap();
    assert_eq!((names.len(), none), (0, None));
    server.stop();
    server.resume();
    let other = server.client().await;
    create(&other, "/a/1", CreateMode::Persistent).await;
    create(&other, "/b", CreateMode::Persistent).await;
    other.set_data("/a", None, -1).await.unwrap();
    for (watch, kind, path) in [
        (&mut data, EventType::NodeDataChanged, "/a"),
        (&mut children, EventType::NodeChildrenChanged, "/a"),
        (&mut created, EventType::NodeCreated, "/b"),
    ] {
        let event = soon(watch.fired()).await.unwrap();
        assert_eq!((event.event_type, event.path.as_str()), (kind, path));
    }
    client.close().await.unwrap();
    assert_eq!(soon(data.fired()).await, None);
}

#[tokio::test]
async fn a_stream_says_that_events_may_be_missing_after_a_restart() {
    let mut server = TestServer::start();
    create(&server.client().await, "/top", CreateMode::Persistent).await;
    let below = format!("{}/top", server.address()).parse().unwrap();
    let client = Client::open(&below, Settings::default()).await.unwrap();
    let mut all = client.watch("/", AddWatchMode::PersistentRecursive).await.unwrap();
    let mut same = client.watch("/", AddWatchMode::PersistentRecursive).await.unwrap();
    create(&client, "/a", CreateMode::Persistent).await;
    for stream in [&mut all, &mut same] {
        let update = soon(stream.next()).await;
        assert!(matches!(&update, Some(WatchUpdate::Event(event)) if event.path == "/a"), "{update:?}");
    }
    server.stop();
    server.resume();
    assert_eq!(soon(all.next()).await, Some(WatchUpdate::Missed));
    create(&client, "/a/b", CreateMode::Persistent).await;
    let update = soon(all.next()).await;
    assert!(matches!(&update, Some(WatchUpdate::Event(event)) if event.path == "/a/b"), "{update:?}");
    drop(all);
    assert!(client.has_watches(), "the other stream needs it");
    drop(same);
    assert!(!client.has_watches());
}

#[tokio::test]
async fn a_transaction_is_executed_whole() {
    let server = TestServer::start();
    let client = server.client().await;
    let open = acl::open_acl();
    let both = Transaction::new()
        .create("/a", None, &open, CreateMode::Persistent)
        .set_data("/a", Some(b"1"), 0)
        .check("/a", 1);
    assert_eq!(both.commit(&client).await.unwrap().len(), 3);
    let error = Transaction::new().delete("/a", 1).delete("/none", -1).commit(&client).await.unwrap_err();
    assert!(matches!(error, Error::MultiRefused { index: 1, .. }), "{error:?}");
    assert!(client.exists("/a", false).await.unwrap().is_some());
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_session_without_waiting() {
    let server = TestServer::start();
    let (watching, leaving) = (server.client().await, server.client().await);
    create(&leaving, "/mine", CreateMode::Ephemeral).await;
    let (found, mut watch) = watching.exists_and_watch("/mine").await.unwrap();
    assert!(found.is_some());
    drop(leaving);
    assert_eq!(soon(watch.fired()).await.unwrap().event_type, EventType::NodeDeleted);
}
