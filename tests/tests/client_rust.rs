//! The crate `zookeeper-client`: a Rust client that owes nothing to this repository.

use std::time::Duration;

use ostler_tests::client::Subject;
use zk::{AddWatchMode, Client, CreateMode, CreateOptions, Error, EventType, SessionState};
use zookeeper_client as zk;

const OPEN: CreateOptions<'static> = CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
const EPHEMERAL: CreateOptions<'static> = CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());
const SEQUENTIAL: CreateOptions<'static> = CreateMode::PersistentSequential.with_acls(zk::Acls::anyone_all());
const CONTAINER: CreateOptions<'static> = CreateMode::Container.with_acls(zk::Acls::anyone_all());

const WAIT: Duration = Duration::from_secs(20);

async fn connect(server: &Subject) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
    connector.connect(&server.connect_string()).await.expect("connect")
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, what).await.expect("an answer in time")
}

fn is(event: &zk::WatchedEvent, kind: EventType, path: &str) {
    assert_eq!((event.event_type, event.path.as_str()), (kind, path));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_client_cannot_tell_the_server_from_zookeeper() {
    talk_to(Subject::one()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_client_survives_the_member_it_is_connected_to() {
    talk_to(Subject::three()).await;
}

async fn talk_to(subject: Option<Subject>) {
    let Some(mut server) = subject else { return };
    let client = connect(&server).await;
    crud(&client).await;
    kinds(&client).await;
    ephemerals(&server, &client).await;
    watches(&client).await;
    acls(&server, &client).await;
    multi(&client).await;
    locks(&server).await;
    restart(&mut server).await;
}

async fn crud(client: &Client) {
    let (stat, _) = client.create("/rust", b"one", &OPEN).await.unwrap();
    assert_eq!((stat.version, stat.data_length, stat.czxid), (0, 3, stat.mzxid));
    assert_eq!(client.create("/rust", b"", &OPEN).await.unwrap_err(), Error::NodeExists);
    assert_eq!(client.set_data("/rust", b"two", Some(0)).await.unwrap().version, 1);
    assert_eq!(client.set_data("/rust", b"three", Some(0)).await.unwrap_err(), Error::BadVersion);
    let (data, stat) = client.get_data("/rust").await.unwrap();
    assert_eq!((data.as_slice(), stat.version), (&b"two"[..], 1));
    client.mkdir("/rust/a/b/c", &OPEN).await.unwrap();
    assert_eq!(client.list_children("/rust").await.unwrap(), ["a"]);
    assert_eq!(client.count_descendants_number("/rust").await.unwrap(), 3);
    assert_eq!(client.delete("/rust/a", None).await.unwrap_err(), Error::NotEmpty);
    client.delete("/rust/a/b/c", Some(0)).await.unwrap();
    assert_eq!(client.delete("/rust/a/b/c", None).await.unwrap_err(), Error::NoNode);
    assert!(client.check_stat("/rust/a/b/c").await.unwrap().is_none());
    client.sync("/rust").await.unwrap();
    assert!(client.list_auth_users().await.unwrap().iter().any(|user| user.scheme() == "ip"));
}

async fn kinds(client: &Client) {
    client.create("/rust/seq", b"", &OPEN).await.unwrap();
    for number in 0..3 {
        let (_, sequence) = client.create("/rust/seq/n-", b"", &SEQUENTIAL).await.unwrap();
        assert_eq!(sequence.into_i64(), number);
    }
    let (stat, _) = client.create("/rust/container", b"", &CONTAINER).await.unwrap();
    assert_eq!(stat.ephemeral_owner, 0);
    client.create("/rust/ttl", b"", &OPEN.clone().with_ttl(Duration::from_secs(3600))).await.unwrap();
}

async fn ephemerals(server: &Subject, client: &Client) {
    let other = connect(server).await;
    other.create("/rust/ephemeral", b"", &EPHEMERAL).await.unwrap();
    assert_eq!(other.list_ephemerals("/rust").await.unwrap(), ["/rust/ephemeral"]);
    assert_eq!(client.list_ephemerals("/rust").await.unwrap(), [""; 0]);
    let child = other.create("/rust/ephemeral/child", b"", &OPEN).await;
    assert_eq!(child.unwrap_err(), Error::NoChildrenForEphemerals);
    let (_, gone) = client.check_and_watch_stat("/rust/ephemeral").await.unwrap();
    drop(other);
    is(&in_time(gone.changed()).await, EventType::NodeDeleted, "/rust/ephemeral");
}

async fn watches(client: &Client) {
    let mut kept = client.watch("/rust/w", AddWatchMode::Persistent).await.unwrap();
    let mut below = client.watch("/rust/w", AddWatchMode::PersistentRecursive).await.unwrap();
    let (_, created) = client.check_and_watch_stat("/rust/w").await.unwrap();
    let (stat, _) = client.create("/rust/w", b"", &OPEN).await.unwrap();
    let event = in_time(created.changed()).await;
    is(&event, EventType::NodeCreated, "/rust/w");
    assert_eq!(event.zxid, stat.czxid);
    let (_, _, changed) = client.get_and_watch_data("/rust/w").await.unwrap();
    let (_, children) = client.list_and_watch_children("/rust/w").await.unwrap();
    client.set_data("/rust/w", b"x", None).await.unwrap();
    client.create("/rust/w/child", b"", &OPEN).await.unwrap();
    client.delete("/rust/w/child", None).await.unwrap();
    is(&in_time(changed.changed()).await, EventType::NodeDataChanged, "/rust/w");
    is(&in_time(children.changed()).await, EventType::NodeChildrenChanged, "/rust/w");
    for kind in [EventType::NodeCreated, EventType::NodeDataChanged, EventType::NodeChildrenChanged] {
        is(&in_time(kept.changed()).await, kind, "/rust/w");
    }
    is(&in_time(below.changed()).await, EventType::NodeCreated, "/rust/w");
    is(&in_time(below.changed()).await, EventType::NodeDataChanged, "/rust/w");
    is(&in_time(below.changed()).await, EventType::NodeCreated, "/rust/w/child");
    is(&in_time(below.changed()).await, EventType::NodeDeleted, "/rust/w/child");
}

async fn acls(server: &Subject, client: &Client) {
    let ann = connect(server).await;
    let hers = CreateMode::Persistent.with_acls(zk::Acls::creator_all());
    assert_eq!(ann.create("/rust/private", b"hers", &hers).await.unwrap_err(), Error::InvalidAcl);
    ann.auth("digest", b"ann:secret").await.unwrap();
    ann.create("/rust/private", b"hers", &hers).await.unwrap();
    assert_eq!(client.get_data("/rust/private").await.unwrap_err(), Error::NoAuth);
    let (acl, stat) = ann.get_acl("/rust/private").await.unwrap();
    assert_eq!((acl.len(), acl[0].scheme(), stat.aversion), (1, "digest", 0));
    assert_eq!(ann.set_acl("/rust/private", &zk::Acls::anyone_all(), Some(0)).await.unwrap().aversion, 1);
    assert_eq!(client.get_data("/rust/private").await.unwrap().0, b"hers");
    assert_eq!(ann.auth("nonesuch", b"").await.unwrap_err(), Error::AuthFailed);
}

async fn multi(client: &Client) {
    client.create("/rust/m", b"", &OPEN).await.unwrap();
    let mut writer = client.new_multi_writer();
    writer.add_check_version("/rust/m", 0).unwrap();
    writer.add_create("/rust/m/a", b"1", &OPEN).unwrap();
    writer.add_set_data("/rust/m/a", b"2", Some(0)).unwrap();
    writer.add_create("/rust/m/b", b"", &CONTAINER).unwrap();
    writer.add_delete("/rust/m/b", None).unwrap();
    let results = writer.commit().await.unwrap();
    assert!(
        matches!(&results[1], zk::MultiWriteResult::Create { path, .. } if path == "/rust/m/a"),
        "{results:?}"
    );
    assert!(
        matches!(&results[2], zk::MultiWriteResult::SetData { stat } if stat.version == 1),
        "{results:?}"
    );
    let mut writer = client.new_multi_writer();
    writer.add_delete("/rust/m/a", None).unwrap();
    writer.add_check_version("/rust/m", 7).unwrap();
    let refusal = zk::MultiWriteError::OperationFailed { index: 1, source: Error::BadVersion };
    assert_eq!(writer.commit().await.unwrap_err(), refusal);
    let mut reader = client.new_multi_reader();
    reader.add_get_data("/rust/m/a").unwrap();
    reader.add_get_children("/rust/m").unwrap();
    reader.add_get_data("/rust/none").unwrap();
    let results = reader.commit().await.unwrap();
    assert!(matches!(&results[0], zk::MultiReadResult::Data { data, .. } if data == b"2"), "{results:?}");
    assert!(
        matches!(&results[1], zk::MultiReadResult::Children { children } if *children == ["a"]),
        "{results:?}"
    );
    assert!(matches!(&results[2], zk::MultiReadResult::Error { err: Error::NoNode }), "{results:?}");
}

async fn locks(server: &Subject) {
    let (first, second) = (connect(server).await, connect(server).await);
    let prefix = || zk::LockPrefix::new_curator("/rust/lock", "latch-").unwrap();
    let options = || zk::LockOptions::new(zk::Acls::anyone_all()).with_ancestor_options(CONTAINER).unwrap();
    let held = in_time(first.lock(prefix(), b"first", options())).await.unwrap();
    let mut waiting = std::pin::pin!(second.lock(prefix(), b"second", options()));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "two hold the lock");
    held.create("/rust/fenced", b"", &OPEN).await.unwrap();
    drop(held);
    in_time(waiting).await.unwrap();
}

/// The session, its ephemerals and its one-time watches outlive the server's process. (This client
/// does not set its persistent watches again after a reconnect; the Java client's test covers
/// those.)
async fn restart(server: &mut Subject) {
    let client = connect(server).await;
    let session = client.session_id();
    client.create("/rust/survivor", b"", &EPHEMERAL).await.unwrap();
    client.create("/rust/after", b"before", &OPEN).await.unwrap();
    let (_, _, changed) = client.get_and_watch_data("/rust/after").await.unwrap();
    let (_, children) = client.list_and_watch_children("/rust/after").await.unwrap();
    let (_, created) = client.check_and_watch_stat("/rust/later").await.unwrap();
    let mut state = client.state_watcher();
    server.kill(session.0);
    while in_time(state.changed()).await != SessionState::Disconnected {}
    server.launch();
    while in_time(state.changed()).await != SessionState::SyncConnected {}
    assert_eq!(client.session_id(), session);
    assert!(client.check_stat("/rust/survivor").await.unwrap().is_some());
    let other = connect(server).await;
    other.set_data("/rust/after", b"after", Some(0)).await.unwrap();
    other.create("/rust/after/child", b"", &OPEN).await.unwrap();
    other.create("/rust/later", b"", &OPEN).await.unwrap();
    is(&in_time(changed.changed()).await, EventType::NodeDataChanged, "/rust/after");
    is(&in_time(children.changed()).await, EventType::NodeChildrenChanged, "/rust/after");
    is(&in_time(created.changed()).await, EventType::NodeCreated, "/rust/later");
    let (_, gone) = other.check_and_watch_stat("/rust/survivor").await.unwrap();
    drop((client, state));
    is(&in_time(gone.changed()).await, EventType::NodeDeleted, "/rust/survivor");
}
