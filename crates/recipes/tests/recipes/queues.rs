//! Queues, counters and shared values.

use std::collections::BTreeSet;

use client::ErrorCode;
use recipes::{Counter, Error, Layout, NumberFormat, Queue, SharedValue, SimpleQueue};
use testing::TestServer;

use crate::{client, expire, soon};

#[tokio::test]
async fn items_come_out_by_priority_and_then_in_their_order() {
    let server = TestServer::start();
    let client = client(&server).await;
    let queue = Queue::new(&client, "/queue");
    assert!(queue.is_empty().await.unwrap() && queue.try_take().await.unwrap().is_none());
    for (data, priority) in [("c", 100), ("d", 100), ("a", 5), ("b", 5), ("e", 999)] {
        queue.put(data.as_bytes(), priority).await.unwrap();
    }
    assert_eq!(queue.len().await.unwrap(), 5);
    for expected in ["a", "b", "c", "d", "e"] {
        let item = queue.take().await.unwrap();
        assert_eq!(item.data, expected.as_bytes());
        assert!(item.acknowledge().await.unwrap());
    }
    assert!(queue.is_empty().await.unwrap());
    for (data, priority) in [(&b"x"[..], 1_000), (&[0; 2_000_000], 1)] {
        assert!(matches!(queue.put(data, priority).await, Err(Error::Argument { .. })));
    }
}

#[tokio::test]
async fn an_item_of_a_worker_that_dies_comes_back_and_counts_once() {
    let server = TestServer::start();
    let (dying, living) = (client(&server).await, client(&server).await);
    let queue = Queue::new(&living, "/queue");
    queue.put(b"one", 100).await.unwrap();
    let taken = Queue::new(&dying, "/queue").take().await.unwrap();
    assert!(queue.try_take().await.unwrap().is_none());
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.take().await.unwrap() }
    });
    expire(&server, &dying).await;
    let item = soon(waiting).await.unwrap();
    assert_eq!(item.data, taken.data);
    assert!(item.acknowledge().await.unwrap());
    assert!(taken.acknowledge().await.is_err(), "its session is over");
}

#[tokio::test]
async fn an_item_that_is_given_back_is_taken_by_another() {
    let server = TestServer::start();
    let client = client(&server).await;
    let queue = Queue::new(&client, "/queue");
    queue.put(b"one", 100).await.unwrap();
    queue.take().await.unwrap().give_back().await.unwrap();
    let item = queue.take().await.unwrap();
    // Its mark was deleted: it may be another worker's.
    client.delete("/queue/taken/entry-100-0000000000", -1).await.unwrap();
    assert!(!item.acknowledge().await.unwrap());
}

#[tokio::test]
async fn workers_share_the_items() {
    let server = TestServer::start();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let client = client(&server).await;
        tasks.spawn(async move {
            let (queue, mut done) = (Queue::new(&client, "/queue"), Vec::new());
            loop {
                let item = queue.take().await.unwrap();
                let data = String::from_utf8(item.data.clone()).unwrap();
                assert!(item.acknowledge().await.unwrap());
                if data == "end" {
                    return done;
                }
                done.push(data);
            }
        });
    }
    let client = client(&server).await;
    let queue = Queue::new(&client, "/queue");
    for number in 0..60 {
        queue.put(number.to_string().as_bytes(), 100).await.unwrap();
    }
    for _ in 0..4 {
        queue.put(b"end", 200).await.unwrap();
    }
    let mut all = Vec::new();
    while let Some(done) = soon(tasks.join_next()).await {
        all.extend(done.unwrap());
    }
    let expected: BTreeSet<String> = (0..60).map(|number| number.to_string()).collect();
    assert_eq!((all.len(), all.into_iter().collect::<BTreeSet<_>>()), (60, expected));
}

#[tokio::test]
async fn simple_queues_have_the_names_of_others_and_keep_the_order() {
    let server = TestServer::start();
    let (client, other) = (client(&server).await, client(&server).await);
    let queue = SimpleQueue::new(&client, "/queues/simple");
    assert_eq!(queue.try_take().await.unwrap(), None);
    let waiting = tokio::spawn({
        let queue = SimpleQueue::new(&other, "/queues/simple");
        async move { queue.take().await.unwrap() }
    });
    queue.put(b"first").await.unwrap();
    assert_eq!(soon(waiting).await.unwrap(), b"first");
    for item in ["a", "b"] {
        queue.put(item.as_bytes()).await.unwrap();
    }
    queue.clone().with_layout(Layout::Kazoo).put(b"kazoo's").await.unwrap();
    let mut names = client.get_children("/queues/simple", false).await.unwrap().0;
    names.sort();
    assert_eq!(names, ["entry-100-0000000003", "qn-0000000001", "qn-0000000002"]);
    for expected in ["kazoo's", "a", "b"] {
        assert_eq!(queue.try_take().await.unwrap().unwrap(), expected.as_bytes());
    }
    assert!(matches!(queue.put(&[0; 2_000_000]).await, Err(Error::Argument { .. })));
}

#[tokio::test]
async fn a_counter_keeps_its_format() {
    let server = TestServer::start();
    let client = client(&server).await;
    for (path, format, data) in [
        ("/text", NumberFormat::Text, &b"3"[..]),
        ("/int", NumberFormat::Int, &[0, 0, 0, 3]),
        ("/long", NumberFormat::Long, &[0, 0, 0, 0, 0, 0, 0, 3]),
    ] {
        let counter = Counter::new(&client, path).with_format(format);
        assert_eq!((counter.get().await.unwrap(), counter.add(3).await.unwrap()), (0, 3));
        assert_eq!(client.get_data(path, false).await.unwrap().0.unwrap(), data, "{format:?}");
    }
    let int = Counter::new(&client, "/int").with_format(NumberFormat::Int);
    assert!(matches!(int.add(i32::MAX.into()).await, Err(Error::Foreign { .. })));
}

#[tokio::test]
async fn additions_of_several_clients_add_up() {
    let server = TestServer::start();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4_i64 {
        let client = client(&server).await;
        tasks.spawn(async move {
            let counter = Counter::new(&client, "/deep/below/counter");
            for _ in 0..25 {
                counter.add(number - 1).await.unwrap();
            }
        });
    }
    while let Some(done) = soon(tasks.join_next()).await {
        done.unwrap();
    }
    let client = client(&server).await;
    let counter = Counter::new(&client, "/deep/below/counter");
    client.sync("/").await.unwrap();
    assert_eq!(counter.get().await.unwrap(), 50);
    client.set_data("/deep/below/counter", Some(b"many"), -1).await.unwrap();
    assert!(matches!(counter.add(1).await, Err(Error::Foreign { .. })));
    client.set_data("/deep/below/counter", Some(i64::MAX.to_string().as_bytes()), -1).await.unwrap();
    assert!(matches!(counter.add(1).await, Err(Error::Foreign { .. })));
}

#[tokio::test]
async fn a_shared_value_changes_only_from_the_version_that_was_seen() {
    let server = TestServer::start();
    let client = client(&server).await;
    let value = SharedValue::new(&client, "/a/value");
    assert_eq!(value.get().await.unwrap_err().code(), Some(ErrorCode::NoNode));
    value.init(b"1").await.unwrap();
    value.init(b"2").await.unwrap();
    let first = value.get().await.unwrap();
    assert_eq!((first.data.as_slice(), first.version), (&b"1"[..], 0));
    let waiting = tokio::spawn({
        let value = value.clone();
        async move { value.changed(0).await.unwrap() }
    });
    let second = value.set_if(0, b"2").await.unwrap().unwrap();
    assert!(value.set_if(0, b"3").await.unwrap().is_none());
    assert_eq!(soon(waiting).await.unwrap(), second);
    let third = value.update(|data| [data, b"+"].concat()).await.unwrap();
    assert_eq!((third.data.as_slice(), third.version), (&b"2+"[..], 2));
}
