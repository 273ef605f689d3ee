//! Configuration: changes together, history, subscribers, rollouts, lost answers, limits.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use client::{Client, CreateMode, Settings, acl};
use recipes::config::{Action, Change, Error, Kind, Schema, Snapshot, Store};
use testing::TestServer;

use crate::{client, soon};

const ROOT: &str = "/config/shop";

fn store(client: &Client) -> Store {
    Store::new(client, ROOT).expect("a path")
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn by() -> Change {
    Change::by("me")
}

#[tokio::test]
async fn values_are_plain_data_and_the_history_says_who_and_why() {
    let server = TestServer::start();
    let client = client(&server).await;
    let store = store(&client);
    assert_eq!(store.load().await.unwrap(), Snapshot::default());
    let first = by().set("pool.size", "8").set("name", "ä").because("the first");
    let made = store.commit(&first).await.unwrap().unwrap();
    assert_eq!((made.revision, made.record.id.as_str()), (1, first.id()));
    let (data, _) = client.get_data("/config/shop/values/pool.size", false).await.unwrap();
    assert_eq!(data.as_deref(), Some(&b"8"[..]));
    let snapshot = store.load().await.unwrap();
    assert_eq!((snapshot.revision, snapshot.get::<u8>("pool.size").unwrap()), (1, 8));

    // Nothing to change is no revision.
    assert!(store.commit(&by().set("name", "ä").remove("none")).await.unwrap().is_none());
    store.commit(&Change::by("you").remove("name").set("pool.size", "9")).await.unwrap().unwrap();
    let history = store.history(10).await.unwrap();
    assert_eq!(history.iter().map(|revision| revision.revision).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(history[1], made);
    let (record, before) = (&history[0].record, &history[0].record.changes["name"]);
    assert_eq!((record.author.as_str(), record.action.clone()), ("you", Action::Change));
    assert_eq!((before.before.as_deref(), before.after.as_deref()), (Some("ä"), None));
    assert_eq!(store.history(1).await.unwrap().len(), 1);
    assert!(matches!(store.revision(3).await, Err(Error::NotKept { revision: 3, .. })));
}

#[tokio::test]
async fn a_change_for_another_revision_is_refused_and_others_are_repeated() {
    let server = TestServer::start();
    let client = client(&server).await;
    let store = store(&client);
    store.commit(&by().set("a", "1").only_at(0)).await.unwrap().unwrap();
    let error = store.commit(&by().set("a", "2").only_at(0)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { expected: 0, current: 1 }), "{error}");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                let add = |snapshot: &Snapshot, change: Change| {
                    Ok(change.set("a", (snapshot.get::<u32>("a")? + 1).to_string()))
                };
                store.update(&by(), add).await.unwrap().unwrap();
            }
        });
    }
    while let Some(done) = soon(tasks.join_next()).await {
        done.unwrap();
    }
    assert_eq!(store.load().await.unwrap().get::<u32>("a").unwrap(), 41);
}

/// Every writer gives all keys the same new value, so a reader that sees two values has seen half
/// of a change. The history has to lead from each revision to the next.
#[tokio::test]
async fn no_subscriber_sees_half_of_a_change() {
    const KEYS: usize = 12;
    let server = TestServer::start();
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let client = client(&server).await;
        readers.spawn(async move {
            let (mut subscription, mut last, mut seen) = (store(&client).subscribe(), None, 0);
            loop {
                let snapshot = subscription.changed().await.unwrap();
                assert!(Some(snapshot.revision) > last, "{last:?} {}", snapshot.revision);
                last = Some(snapshot.revision);
                let values: BTreeSet<&str> = snapshot.values.values().map(String::as_str).collect();
                let keys = snapshot.values.len();
                assert!(values.len() <= 1 && (keys == KEYS || keys == 0), "{:?}", snapshot.values);
                seen += 1;
                if values.contains("the end") {
                    return (snapshot.revision, seen);
                }
            }
        });
    }
    let set_all = |value: &str| (0..KEYS).fold(by(), |change, key| change.set(&format!("key{key}"), value));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..3 {
        let client = client(&server).await;
        writers.spawn(async move {
            for number in 0..15 {
                let change = set_all(&format!("{writer}-{number}"));
                store(&client).commit(&change).await.unwrap().unwrap();
            }
        });
    }
    while let Some(done) = soon(writers.join_next()).await {
        done.unwrap();
    }
    let client = client(&server).await;
    store(&client).commit(&set_all("the end")).await.unwrap().unwrap();
    while let Some(done) = soon(readers.join_next()).await {
        let (revision, seen) = done.unwrap();
        assert!(revision == 46 && seen > 1, "{revision} {seen}");
    }
    check_history(&store(&client), 46).await;
}

/// Each revision begins with the values that the one before it ends with.
async fn check_history(store: &Store, expected: u64) {
    let mut history = store.history(usize::MAX).await.unwrap();
    history.reverse();
    assert_eq!(history.len() as u64, expected);
    let mut values = BTreeMap::new();
    for revision in history {
        for (key, difference) in revision.record.changes {
            assert_eq!(values.get(&key), difference.before.as_ref(), "{key} {}", revision.revision);
            match difference.after {
                Some(after) => values.insert(key, after),
                None => values.remove(&key),
            };
        }
        assert_eq!(store.values_at(revision.revision).await.unwrap(), values);
    }
}

#[tokio::test]
async fn a_subscriber_that_gives_up_waiting_misses_nothing() {
    let server = TestServer::start();
    let (one, two) = (client(&server).await, client(&server).await);
    let mut subscription = store(&one).subscribe();
    assert_eq!(subscription.changed().await.unwrap().revision, 0);
    for number in 1..=20_u64 {
        let waiting = std::time::Duration::from_micros(50 * number);
        assert!(tokio::time::timeout(waiting, subscription.changed()).await.is_err());
        store(&two).commit(&by().set("a", number.to_string())).await.unwrap();
        // A future that is dropped at any moment between the event and the reads.
        if let Ok(seen) = tokio::time::timeout(waiting, subscription.changed()).await {
            assert_eq!(seen.unwrap().revision, number);
            continue;
        }
        assert_eq!(soon(subscription.changed()).await.unwrap().revision, number);
    }
    one.close().await.unwrap();
    let error = soon(subscription.changed()).await.unwrap_err();
    assert!(matches!(error, Error::Client(client::Error::Closed)), "{error}");
}

#[tokio::test]
async fn a_rollback_leads_to_any_revision_that_is_kept() {
    let server = TestServer::start();
    let client = client(&server).await;
    let store = store(&client);
    store.keep(3, &by()).await.unwrap().unwrap();
    let states = [map(&[("a", "1")]), map(&[("a", "2"), ("b", "x")]), map(&[("b", "y")]), map(&[])];
    store.commit(&by().set("a", "1")).await.unwrap();
    store.commit(&by().set("a", "2").set("b", "x")).await.unwrap();
    store.commit(&by().remove("a").set("b", "y")).await.unwrap();
    store.commit(&by().remove("b")).await.unwrap();
    // Revisions 3 to 5 are kept, and lead back to 2.
    let numbers: Vec<u64> = store.history(10).await.unwrap().iter().map(|kept| kept.revision).collect();
    assert_eq!(numbers, [5, 4, 3]);
    for (revision, state) in (2..=5).zip(&states) {
        assert_eq!(&store.values_at(revision).await.unwrap(), state, "{revision}");
    }
    let error = store.roll_back(1, &by()).await.unwrap_err();
    assert!(matches!(error, Error::NotKept { revision: 1, .. }), "{error}");
    assert!(matches!(store.roll_back(9, &by()).await, Err(Error::NotKept { revision: 9, .. })));
    assert_eq!(store.diff(2, 4).await.unwrap().len(), 2);
    let made = store.roll_back(3, &by().because("worse")).await.unwrap().unwrap();
    assert_eq!((made.revision, made.record.action), (6, Action::Rollback(3)));
    assert_eq!(store.load().await.unwrap().values, states[1]);
    // Its successor is not kept any more.
    assert!(matches!(store.roll_back(2, &by()).await, Err(Error::NotKept { revision: 2, .. })));
    assert!(matches!(store.roll_back(5, &by().set("a", "1")).await, Err(Error::Argument { .. })));
    assert!(matches!(store.keep(0, &by()).await, Err(Error::Argument { .. })));
}

#[tokio::test]
async fn values_have_to_fit_the_schema_that_is_stored_and_the_callers() {
    let server = TestServer::start();
    let client = client(&server).await;
    let store = store(&client).with_schema(Schema::default().with("level", Kind::one_of(&["info"])));
    let stored = Schema::default().with("size", Kind::integer(1..=9));
    store.commit(&by().set("size", "20")).await.unwrap();
    assert!(matches!(store.set_schema(Some(&stored), &by()).await, Err(Error::Invalid(_))));
    store.commit(&by().set("size", "2")).await.unwrap();
    store.set_schema(Some(&stored), &by()).await.unwrap().unwrap();
    assert!(store.set_schema(Some(&stored), &by()).await.unwrap().is_none());
    for (key, value, allowed) in [("size", "10", "a whole number from 1 to 9"), ("level", "x", "one of info")]
    {
        let error = store.commit(&by().set(key, value)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{key} cannot be {value:?}: {allowed}"));
    }
    // What was allowed once is not any more.
    assert!(matches!(store.roll_back(1, &by()).await, Err(Error::Invalid(_))));
    store.set_schema(None, &by()).await.unwrap().unwrap();
    store.roll_back(1, &by()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_rollout_is_seen_by_a_share_and_then_by_all_or_nobody() {
    let server = TestServer::start();
    let client = client(&server).await;
    let store = store(&client);
    store.commit(&by().set("a", "old").set("b", "1")).await.unwrap();
    assert!(matches!(store.promote(&by()).await, Err(Error::Rollout(_))));
    let started = store.start_rollout(&by().set("a", "new").remove("b"), 20.0).await.unwrap().unwrap();
    assert_eq!((started.record.action, started.record.changes.len()), (Action::Rollout(20.0), 2));
    let share = async || {
        let snapshot = store.load().await.unwrap();
        let hosts = (0..2_000).filter(|host| {
            let seen = snapshot.clone().seen_by(&format!("host-{host}")).values;
            assert!(seen == map(&[("a", "new")]) || seen == map(&[("a", "old"), ("b", "1")]), "{seen:?}");
            seen.len() == 1
        });
        hosts.count()
    };
    // Binomial: the standard deviation is 18 and 22, and 6 of them are exceeded once in 500
    // million.
    assert!((292..=508).contains(&share().await), "20 % of 2000");
    store.set_share(50.0, &by()).await.unwrap().unwrap();
    assert!((866..=1_134).contains(&share().await), "50 % of 2000");

    for refused in [store.commit(&by().set("a", "x")).await, store.start_rollout(&by(), 1.0).await] {
        assert!(matches!(refused, Err(Error::Rollout(_))));
    }
    store.commit(&by().set("c", "free")).await.unwrap().unwrap();
    store.abort(&by()).await.unwrap().unwrap();
    assert_eq!(values_of(&store).await, map(&[("a", "old"), ("b", "1"), ("c", "free")]));

    store.start_rollout(&by().set("a", "new"), 0.0).await.unwrap().unwrap();
    store.promote(&by()).await.unwrap().unwrap();
    assert_eq!(values_of(&store).await, map(&[("a", "new"), ("b", "1"), ("c", "free")]));
    store.roll_back(1, &by()).await.unwrap().unwrap();
    assert_eq!(values_of(&store).await, map(&[("a", "old"), ("b", "1")]));
    assert!(matches!(store.start_rollout(&by().set("a", "x"), 101.0).await, Err(Error::Argument { .. })));
    assert_eq!(store.load().await.unwrap().rollout, None);
}

async fn values_of(store: &Store) -> BTreeMap<String, String> {
    store.load().await.unwrap().values
}

#[tokio::test]
async fn what_a_server_would_not_take_is_refused_before_it_is_sent() {
    let server = TestServer::start();
    let client = client(&server).await;
    let store = store(&client);
    store.commit(&by().set("a", "x".repeat(400_000))).await.unwrap().unwrap();
    let error = store.commit(&by().set("a", "y".repeat(600_000))).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes_max: 1_048_575, .. }), "{error}");
    // The history holds the value before, too.
    let error = store.commit(&by().set("a", "y".repeat(400_000))).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    store.commit(&by().set("a", "small")).await.unwrap().unwrap();
    // The bound is never so high that the server hangs up, and not much lower.
    let mut refused = 0;
    for bytes in (523_600..524_400).step_by(50) {
        match store.commit(&by().set(&format!("k{bytes}"), "z".repeat(bytes))).await {
            Ok(made) => assert!(made.is_some() && refused == 0, "{bytes}"),
            Err(Error::TooLarge { .. }) => refused += 1,
            Err(error) => panic!("{bytes}: {error}"),
        }
    }
    assert!((1..16).contains(&refused), "{refused}");
    for key in ["", "a/b", "..", "a b"] {
        assert!(matches!(store.commit(&by().set(key, "x")).await, Err(Error::Argument { .. })), "{key:?}");
    }
    assert!(matches!(Store::new(&client, "shop"), Err(Error::Argument { .. })));
    assert!(store.with_request_bytes_max(500).commit(&by().set("b", "x".repeat(200))).await.is_err());
}

#[tokio::test]
async fn what_others_have_written_is_named() {
    let server = TestServer::start();
    let client = client(&server).await;
    let store = store(&client);
    store.commit(&by().set("a", "1")).await.unwrap();
    // A value changed by another program is what the next change finds.
    client.set_data("/config/shop/values/a", Some(b"2"), -1).await.unwrap();
    let made = store.commit(&by().set("a", "3")).await.unwrap().unwrap();
    assert_eq!(made.record.changes["a"].before.as_deref(), Some("2"));
    client
        .create("/config/shop/history/0000000003", None, &acl::open_acl(), CreateMode::Persistent)
        .await
        .unwrap();
    let error = store.commit(&by().set("a", "4")).await.unwrap_err();
    assert!(matches!(&error, Error::Foreign { path, .. } if path.ends_with("/0000000003")), "{error}");
    client.set_data("/config/shop/current", Some(b"many"), -1).await.unwrap();
    assert!(matches!(store.load().await, Err(Error::Foreign { .. })));
    client.set_data("/config/shop/current", Some(b"2"), -1).await.unwrap();
    client.set_data("/config/shop/values/a", Some(b"\xFF"), -1).await.unwrap();
    assert!(matches!(store.load().await, Err(Error::Foreign { .. })));
    client.set_data("/config/shop", Some(b"{\"format\":2,\"keep\":1}"), -1).await.unwrap();
    client.set_data("/config/shop/values/a", Some(b"x"), -1).await.unwrap();
    let error = store.load().await.unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}

/// Between client and server: hangs up instead of delivering a multi or the reply to it, in turns,
/// `cuts` times. Ends with the process.
fn cutting_proxy(server: &TestServer, cuts: usize) -> (String, Arc<AtomicUsize>) {
    let listener = testing::listen();
    let address = listener.local_addr().unwrap().to_string();
    let left = Arc::new(AtomicUsize::new(cuts));
    let (upstream, counted) = (server.address(), Arc::clone(&left));
    std::thread::spawn(move || accept_all(&listener, &upstream, &counted));
    (address, left)
}

fn accept_all(listener: &TcpListener, upstream: &str, left: &Arc<AtomicUsize>) {
    while let Ok((down, _)) = listener.accept() {
        let Ok(up) = TcpStream::connect(upstream) else { return };
        let (down_again, up_again) = (down.try_clone().unwrap(), up.try_clone().unwrap());
        let is_cut = Arc::new(AtomicBool::new(false));
        let (requests, left) = (Arc::clone(&is_cut), Arc::clone(left));
        std::thread::spawn(move || forward_requests(down, up, &requests, &left));
        std::thread::spawn(move || forward_replies(up_again, down_again, &is_cut));
    }
}

/// Forwards frame by frame; behind a multi no reply goes back.
fn forward_requests(mut down: TcpStream, mut up: TcpStream, is_cut: &AtomicBool, left: &AtomicUsize) {
    let mut first = true;
    while let Some(frame) = read_frame(&mut down) {
        let is_multi = !first && frame[8..12] == 14_i32.to_be_bytes();
        first = false;
        if is_multi && let Ok(left) = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            is_cut.store(true, SeqCst);
            if left % 2 == 0 {
                break;
            }
        }
        if up.write_all(&frame).is_err() {
            return;
        }
    }
    for stream in [&up, &down] {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

fn forward_replies(mut up: TcpStream, mut down: TcpStream, is_cut: &AtomicBool) {
    while let Some(frame) = read_frame(&mut up) {
        if is_cut.load(SeqCst) || down.write_all(&frame).is_err() {
            break;
        }
    }
    for stream in [&up, &down] {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).ok()?;
    let length = i32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    frame.resize(4 + usize::try_from(length).ok()?, 0);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_made_once() {
    let server = TestServer::start();
    let (address, left) = cutting_proxy(&server, 4);
    let direct = client(&server).await;
    store(&direct).commit(&by().set("n", "0")).await.unwrap();
    let client = Client::open(&address.parse().unwrap(), Settings::default()).await.unwrap();
    let store = store(&client);
    let add = |snapshot: &Snapshot, change: Change| {
        Ok(change.set("n", (snapshot.get::<u32>("n")? + 1).to_string()))
    };
    for number in 1..=5_u64 {
        let change = by();
        let made = soon(store.update(&change, add)).await.unwrap().unwrap();
        assert_eq!((made.revision, made.record.id.as_str()), (number + 1, change.id()));
        assert_eq!(store.find(change.id()).await.unwrap().unwrap(), made);
    }
    assert_eq!(left.load(SeqCst), 0, "answers were lost");
    assert_eq!(store.load().await.unwrap().get::<u32>("n").unwrap(), 5);
    assert!(store.find("nothing").await.unwrap().is_none());
}
