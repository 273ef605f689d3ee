//! The tree cache.

use std::collections::BTreeMap;

use client::{CacheChange, Client, CreateMode, TreeCache, acl};

use crate::server::{Reach as _, TestServer};

async fn create(client: &Client, path: &str, data: &str) {
    client.create(path, Some(data.as_bytes()), &acl::open_acl(), CreateMode::Persistent).await.unwrap();
}

/// What the cache has, as path and data.
async fn shown(cache: &TreeCache) -> BTreeMap<String, String> {
    let nodes = cache.snapshot().await.unwrap();
    let text = |data: &[u8]| String::from_utf8(data.to_vec()).unwrap();
    nodes.iter().map(|(path, node)| (path.clone(), text(&node.data))).collect()
}

fn expected(nodes: &[(&str, &str)]) -> BTreeMap<String, String> {
    nodes.iter().map(|(path, data)| ((*path).to_owned(), (*data).to_owned())).collect()
}

#[tokio::test]
async fn the_cache_is_never_behind_what_its_session_has_written() {
    let server = TestServer::start();
    let client = server.client().await;
    create(&client, "/a", "top").await;
    let cache = client.tree_cache("/a").await.unwrap();
    for number in 0..300 {
        let path = format!("/a/{}", number % 7);
        let data = number.to_string();
        match client.exists(&path, false).await.unwrap() {
            None => create(&client, &path, &data).await,
            Some(_) if number % 3 == 0 => client.delete(&path, -1).await.unwrap(),
            Some(_) => drop(client.set_data(&path, Some(data.as_bytes()), -1).await.unwrap()),
        }
        let read = client.get_data(&path, false).await.ok().map(|(data, _)| data.unwrap_or_default());
        let cached = cache.get(&path).await.unwrap().map(|node| node.data.to_vec());
        assert_eq!(cached, read, "{path} {number}");
    }
}

#[tokio::test]
async fn the_cache_is_never_behind_what_its_session_has_read_of_others_writes() {
    let server = TestServer::start();
    let (client, other) = (server.client().await, server.client().await);
    create(&client, "/a", "0").await;
    let cache = client.tree_cache("/a").await.unwrap();
    let writer = tokio::spawn(async move {
        for number in 1..=500 {
            other.set_data("/a", Some(number.to_string().as_bytes()), -1).await.unwrap();
        }
    });
    let mut last = 0;
    while last < 500 {
        let (_, stat) = client.get_data("/a", false).await.unwrap();
        let cached = cache.get("/a").await.unwrap().unwrap();
        assert!(cached.stat.version >= stat.version, "{} {}", cached.stat.version, stat.version);
        last = cached.stat.version;
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn the_cache_follows_the_tree_over_a_restart() {
    let mut server = TestServer::start();
    let client = server.client().await;
    let cache = client.tree_cache("/a").await.unwrap();
    assert_eq!(shown(&cache).await, expected(&[]), "it need not exist");
    let mut changes = cache.changes();
    for (path, data) in [("/a", "1"), ("/a/b", "2"), ("/a/b/c", "3"), ("/other", "4")] {
        create(&client, path, data).await;
    }
    assert_eq!(shown(&cache).await, expected(&[("/a", "1"), ("/a/b", "2"), ("/a/b/c", "3")]));
    let children = cache.children("/a").await.unwrap();
    assert_eq!(children.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b"]);
    let mut created = Vec::new();
    while created.len() < 3 {
        match changes.recv().await.unwrap() {
            CacheChange::Created(path, _) => created.push(path),
            other => panic!("{other:?}"),
        }
    }
    created.sort();
    assert_eq!(created, ["/a", "/a/b", "/a/b/c"]);

    server.stop();
    server.resume();
    let other = server.client().await;
    other.delete("/a/b/c", -1).await.unwrap();
    other.set_data("/a/b", Some(b"5"), -1).await.unwrap();
    create(&other, "/a/d", "6").await;
    client.sync("/").await.unwrap();
    assert_eq!(shown(&cache).await, expected(&[("/a", "1"), ("/a/b", "5"), ("/a/d", "6")]));
}

#[tokio::test]
async fn the_cache_ends_with_the_session_and_its_watch_with_the_cache() {
    let server = TestServer::start();
    let client = server.client().await;
    let cache = client.tree_cache("/").await.unwrap();
    assert!(client.has_watches());
    drop(cache.clone());
    assert!(client.has_watches());
    let kept = cache.clone();
    drop(cache);
    assert!(kept.get("/").await.unwrap().is_some());
    drop(kept);
    assert!(!client.has_watches());
    let cache = client.tree_cache("/").await.unwrap();
    client.close().await.unwrap();
    assert!(cache.get("/").await.is_err());
}
