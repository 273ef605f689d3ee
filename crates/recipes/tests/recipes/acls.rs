//! What recipes create belongs to the identity of their client.

use client::{Acl, Client, Credentials, ErrorCode, Settings, acl};
use recipes::config::{Change, Store};
use recipes::discovery::{Discovery, Instance};
use recipes::{
    Barrier, Counter, DoubleBarrier, Election, Group, Lease, Mutex, Queue, ReadWriteLock, Semaphore,
    SimpleQueue,
};
use testing::TestServer;

use crate::client;

async fn owner(server: &TestServer) -> Client {
    let settings = Settings {
        credentials: vec![Credentials::new("digest", b"alice:secret")],
        acl: vec![Acl::new(acl::perms::ALL, "auth", "")],
        ..Settings::default()
    };
    Client::open(&server.address().parse().unwrap(), settings).await.unwrap()
}

/// All znodes below a path.
async fn tree(client: &Client, root: &str) -> Vec<String> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        let (names, _) = client.get_children(&path, false).await.unwrap();
        found.extend(names.iter().map(|name| format!("{path}/{name}")));
        next += 1;
    }
    found
}

#[tokio::test]
async fn every_znode_of_a_recipe_belongs_to_its_client() {
    let server = TestServer::start();
    let (owner, stranger) = (owner(&server).await, client(&server).await);
    // Each is in the middle of its work.
    let lock = Mutex::new(&owner, "/all/lock").lock().await.unwrap();
    let shared = ReadWriteLock::new(&owner, "/all/shared").read().await.unwrap();
    let lease = Semaphore::new(&owner, "/all/semaphore", 2).unwrap().acquire().await.unwrap();
    let leadership = Election::new(&owner, "/all/election").lead(b"me").await.unwrap();
    let membership = Group::new(&owner, "/all/group").join("me", b"").await.unwrap();
    Counter::new(&owner, "/all/counter").add(1).await.unwrap();
    Barrier::new(&owner, "/all/gate").close().await.unwrap();
    DoubleBarrier::new(&owner, "/all/barrier", 1).unwrap().enter().await.unwrap();
    let queue = Queue::new(&owner, "/all/queue");
    queue.put(b"one", 1).await.unwrap();
    queue.put(b"two", 1).await.unwrap();
    let item = queue.take().await.unwrap();
    Lease::new(&owner, "/all/lease", "me").obtain(std::time::Duration::from_secs(60)).await.unwrap();
    SimpleQueue::new(&owner, "/all/simple").put(b"one").await.unwrap();
    let discovery = Discovery::new(&owner, "/all/services").unwrap();
    let registration = discovery.register(Instance::new("web", "127.0.0.1", 80)).await.unwrap();
    let store = Store::new(&owner, "/all/config").unwrap();
    store.commit(&Change::by("me").set("key", "value")).await.unwrap();

    let paths = tree(&owner, "/all").await;
    assert!(paths.len() > 25, "{paths:?}");
    for path in &paths {
        let (entries, _) = owner.get_acl(path).await.unwrap();
        let ids: Vec<_> = entries.iter().map(|entry| (entry.id.scheme.as_str(), &entry.id.id[..6])).collect();
        assert_eq!(ids, [("digest", "alice:")], "{path}");
        let refused = stranger.get_data(path, false).await.unwrap_err();
        assert_eq!(refused.code(), Some(ErrorCode::NoAuth), "{path}");
    }
    drop((lock, shared, lease, leadership, membership, item, registration));
}
