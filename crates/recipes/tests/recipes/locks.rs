//! Locks, with and without lost sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use client::{CreateMode, EventType, SessionEvent, Transaction, acl};
use recipes::{Error, Layout, Mutex, ReadWriteLock, Reentrant, Semaphore, lock_all};
use testing::TestServer;

use crate::{client, expire, soon};

/// What several holders may not do at the same time.
#[derive(Default)]
struct Judge {
    inside: AtomicUsize,
    most: AtomicUsize,
    last_token: AtomicI64,
}

impl Judge {
    async fn visit(&self, token: i64) {
        let inside = self.inside.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(inside, SeqCst);
        let before = self.last_token.swap(token, SeqCst);
        assert!(before < token, "tokens rise: {before} {token}");
        tokio::task::yield_now().await;
        self.inside.fetch_sub(1, SeqCst);
    }
}

#[tokio::test]
async fn one_holds_a_mutex_at_a_time_and_tokens_rise() {
    let server = TestServer::start();
    for layout in [Layout::Curator, Layout::Kazoo] {
        let judge = Arc::new(Judge::default());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (client, judge) = (client(&server).await, Arc::clone(&judge));
            tasks.spawn(async move {
                let mutex = Mutex::new(&client, &format!("/locks/{layout:?}")).with_layout(layout);
                for _ in 0..10 {
                    let guard = mutex.lock().await.unwrap();
                    assert!(guard.is_sure());
                    judge.visit(guard.token()).await;
                    guard.release().await.unwrap();
                }
            });
        }
        while let Some(done) = soon(tasks.join_next()).await {
            done.unwrap();
        }
        assert_eq!(judge.most.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn the_first_who_asks_is_the_first_who_gets_it() {
    let server = TestServer::start();
    let clients = [client(&server).await, client(&server).await, client(&server).await];
    let mutexes = clients.each_ref().map(|client| Mutex::new(client, "/lock/").with_holder("me"));
    let first = mutexes[0].lock().await.unwrap();
    let second = tokio::spawn({
        let mutex = mutexes[1].clone();
        async move { mutex.lock().await }
    });
    while mutexes[0].queue().await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(mutexes[2].try_lock().await.unwrap().map(|guard| guard.token()), None);
    assert!(mutexes[2].lock_within(Duration::from_millis(20)).await.unwrap().is_none());
    // The place in the queue is given up with the wait.
    while mutexes[0].queue().await.unwrap().len() > 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let queue = mutexes[0].queue().await.unwrap();
    assert_eq!((queue[0].token, queue[0].session), (first.token(), clients[0].identity().id));
    assert!(queue.len() == 2 && queue.iter().all(|one| one.data == b"me"), "{queue:?}");
    drop(first);
    let second = soon(second).await.unwrap().unwrap();
    second.release().await.unwrap();
    assert!(mutexes[2].try_lock().await.unwrap().is_some());
}

/// Each participant watches one znode, so a release is an event for one of them.
#[tokio::test]
async fn one_participant_wakes_for_one_release() {
    let server = TestServer::start();
    let holder = client(&server).await;
    let first = Mutex::new(&holder, "/lock").lock().await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..5 {
        let client = client(&server).await;
        let events = client.subscribe();
        let mutex = Mutex::new(&client, "/lock");
        let lock = tokio::spawn(async move { mutex.lock().await.unwrap() });
        while Mutex::new(&holder, "/lock").queue().await.unwrap().len() < waiting.len() + 2 {
            tokio::task::yield_now().await;
        }
        waiting.push((client, events, lock));
    }
    first.release().await.unwrap();
    let (_, _, lock) = &mut waiting[0];
    let second = soon(lock).await.unwrap();
    for (at, (client, events, _)) in waiting.iter_mut().enumerate() {
        // Behind everything that was sent to it.
        client.sync("/").await.unwrap();
        let mut fired = 0;
        while let Ok(event) = events.try_recv() {
            fired += usize::from(
                matches!(event, SessionEvent::Watch(event) if event.event_type == EventType::NodeDeleted),
            );
        }
        assert_eq!(fired, usize::from(at == 0), "{at}");
    }
    second.release().await.unwrap();
}

#[tokio::test]
async fn a_guard_learns_that_its_session_has_expired() {
    let server = TestServer::start();
    let (one, two) = (client(&server).await, client(&server).await);
    let guard = Mutex::new(&one, "/lock").lock().await.unwrap();
    expire(&server, &one).await;
    soon(guard.lost()).await;
    assert!(!guard.is_sure());
    let next = soon(Mutex::new(&two, "/lock").lock()).await.unwrap();
    assert!(next.token() > guard.token());
    // The holder that does not know does no harm where the check is part of the write.
    two.create("/data", None, &acl::open_acl(), CreateMode::Persistent).await.unwrap();
    let write = Transaction::new().then(guard.check()).set_data("/data", Some(b"late"), -1);
    assert!(write.commit(&two).await.is_err());
    let write = Transaction::new().then(next.check()).set_data("/data", Some(b"good"), -1);
    write.commit(&two).await.unwrap();
    assert!(guard.release().await.is_err());
}

#[tokio::test]
async fn a_guard_learns_that_its_znode_was_deleted() {
    let server = TestServer::start();
    let client = client(&server).await;
    let guard = Mutex::new(&client, "/lock").lock().await.unwrap();
    // A change of the znode does not end the hold.
    client.set_data(guard.path(), Some(b"x"), -1).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), guard.lost()).await.is_err());
    client.delete(guard.path(), -1).await.unwrap();
    soon(guard.lost()).await;
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_guard_is_not_sure_without_a_server() {
    let mut server = TestServer::start();
    let settings = client::Settings { timeout_ms: 4_000, ..client::Settings::default() };
    let client = client::Client::open(&server.address().parse().unwrap(), settings).await.unwrap();
    let guard = Mutex::new(&client, "/lock").lock().await.unwrap();
    server.stop();
    soon(guard.lost()).await;
    assert!(!guard.is_sure());
    server.resume();
}

#[tokio::test]
async fn a_restart_of_the_server_costs_nobody_the_lock() {
    let mut server = TestServer::start();
    let (one, two) = (client(&server).await, client(&server).await);
    let guard = Mutex::new(&one, "/lock").lock().await.unwrap();
    let waiting = tokio::spawn(async move { Mutex::new(&two, "/lock").lock().await.unwrap() });
    server.stop();
    server.resume();
    while one.sync("/").await.is_err() {}
    assert!(guard.is_sure());
    assert!(tokio::time::timeout(Duration::from_millis(50), guard.lost()).await.is_err());
    guard.release().await.unwrap();
    soon(waiting).await.unwrap();
}

#[tokio::test]
async fn readers_share_and_writers_do_not() {
    let server = TestServer::start();
    for layout in [Layout::Curator, Layout::Kazoo] {
        let clients = [client(&server).await, client(&server).await, client(&server).await];
        let locks = clients
            .each_ref()
            .map(|client| ReadWriteLock::new(client, &format!("/rw-{layout:?}")).with_layout(layout));
        let (one, two) = (locks[0].read().await.unwrap(), soon(locks[1].read()).await.unwrap());
        let mut writing = tokio::spawn({
            let lock = locks[2].clone();
            async move { lock.write().await.unwrap() }
        });
        let path = format!("/rw-{layout:?}");
        while clients[0].get_children(&path, false).await.unwrap().0.len() < 3 {
            tokio::task::yield_now().await;
        }
        // A reader that comes behind a writer waits for it, so writers do not starve.
        let late = tokio::time::timeout(Duration::from_millis(50), locks[0].read()).await;
        assert!(late.is_err());
        one.release().await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut writing).await.is_err());
        two.release().await.unwrap();
        let writer = soon(writing).await.unwrap();
        writer.release().await.unwrap();
        soon(locks[0].read()).await.unwrap().release().await.unwrap();
    }
}

#[tokio::test]
async fn a_semaphore_has_its_number_of_leases() {
    let server = TestServer::start();
    let inside = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (client, inside) = (client(&server).await, Arc::clone(&inside));
        tasks.spawn(async move {
            let semaphore = Semaphore::new(&client, "/s", 3).unwrap();
            for _ in 0..5 {
                let lease = semaphore.acquire().await.unwrap();
                assert!(inside.fetch_add(1, SeqCst) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, SeqCst);
                lease.release().await.unwrap();
            }
        });
    }
    while let Some(done) = soon(tasks.join_next()).await {
        done.unwrap();
    }
    let client = client(&server).await;
    let semaphore = Semaphore::new(&client, "/s", 1).unwrap();
    let lease = semaphore.try_acquire().await.unwrap().unwrap();
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    lease.release().await.unwrap();
    assert!(semaphore.try_acquire().await.unwrap().is_some());
    assert!(matches!(Semaphore::new(&client, "/s", 0), Err(Error::Argument { .. })));
}

#[tokio::test]
async fn the_owner_of_a_reentrant_lock_takes_it_again() {
    let server = TestServer::start();
    let client = client(&server).await;
    let mutex = Mutex::new(&client, "/lock");
    let owner = Reentrant::new(mutex.clone());
    let outer = owner.lock().await.unwrap();
    let inner = soon(owner.clone().lock()).await.unwrap();
    assert_eq!(outer.token(), inner.token());
    outer.release().await.unwrap();
    assert!(mutex.try_lock().await.unwrap().is_none(), "one hold is left");
    inner.release().await.unwrap();
    let other = soon(Reentrant::new(mutex.clone()).lock()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), owner.lock()).await.is_err(), "another owner");
    other.release().await.unwrap();
}

#[tokio::test]
async fn several_locks_are_taken_without_a_deadlock() {
    let server = TestServer::start();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..6 {
        let client = client(&server).await;
        tasks.spawn(async move {
            let mut locks = ["/a", "/b", "/c"].map(|path| Mutex::new(&client, path));
            // Each asks in another order.
            locks.rotate_left(number % 3);
            if number % 2 == 0 {
                locks.swap(0, 1);
            }
            for _ in 0..5 {
                let all = lock_all(&locks).await.unwrap();
                assert_eq!(all.guards().len(), 3);
                all.release().await.unwrap();
            }
        });
    }
    while let Some(done) = soon(tasks.join_next()).await {
        done.unwrap();
    }
    let client = client(&server).await;
    let twice = ["/a", "/a/"].map(|path| Mutex::new(&client, path));
    assert!(matches!(lock_all(&twice).await, Err(Error::Argument { .. })));
    let all = lock_all(&["/a", "/b"].map(|path| Mutex::new(&client, path))).await.unwrap();
    client.delete(all.guards()[1].path(), -1).await.unwrap();
    soon(all.lost()).await;
}
