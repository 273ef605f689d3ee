//! Barriers and groups.

use client::{CreateMode, ErrorCode, acl};
use recipes::{Barrier, DoubleBarrier, Error, Group};
use testing::TestServer;

use crate::{client, expire, soon};

#[tokio::test]
async fn a_gate_stops_those_who_wait_until_it_opens() {
    let server = TestServer::start();
    let client = client(&server).await;
    let gate = Barrier::new(&client, "/deep/gate");
    soon(gate.wait()).await.unwrap();
    gate.close().await.unwrap();
    gate.close().await.unwrap();
    let mut waiting = tokio::spawn({
        let gate = gate.clone();
        async move { gate.wait().await }
    });
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), &mut waiting).await.is_err());
    gate.open().await.unwrap();
    gate.open().await.unwrap();
    soon(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn participants_begin_together_and_end_together() {
    let server = TestServer::start();
    let (entered, left) = (std::sync::Arc::new(tokio::sync::Barrier::new(3)), 3);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..left {
        let (client, entered) = (client(&server).await, entered.clone());
        tasks.spawn(async move {
            let barrier = DoubleBarrier::new(&client, "/barrier", 3).unwrap();
            barrier.enter().await.unwrap();
            entered.wait().await;
            barrier.leave().await.unwrap();
            client
        });
    }
    let mut clients = Vec::new();
    while let Some(done) = soon(tasks.join_next()).await {
        clients.push(done.unwrap());
    }
    // Nothing is left, so the barrier can be used again.
    assert_eq!(clients[0].exists("/barrier/ready", false).await.unwrap(), None);
    let one = DoubleBarrier::new(&clients[0], "/barrier", 2).unwrap();
    let two = DoubleBarrier::new(&clients[1], "/barrier", 2).unwrap();
    let both = async { tokio::join!(one.enter(), two.enter()) };
    let (first, second) = soon(both).await;
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    // One that dies inside does not keep the other.
    expire(&server, &clients[1]).await;
    soon(one.leave()).await.unwrap();
    assert!(matches!(DoubleBarrier::new(&clients[0], "/barrier", 0), Err(Error::Argument { .. })));
}

/// Curator's and kazoo's participants take the end of the lowest one for the end of all. Ours went
/// at once, so they left while others were still inside.
#[tokio::test]
async fn the_lowest_participant_is_the_last_to_go() {
    let server = TestServer::start();
    let client = client(&server).await;
    let create = async |name| {
        let path = format!("/barrier/{name}");
        client.create(&path, None, &acl::open_acl(), CreateMode::Ephemeral).await.unwrap();
    };
    let inside = async || {
        let mut names = client.get_children("/barrier", false).await.unwrap().0;
        names.retain(|name| name != "ready");
        names
    };
    // Names of ours are hexadecimal: they come behind this one and before those.
    let (lowest, higher) = ("!", ["y", "z"]);
    let barrier = DoubleBarrier::new(&client, "/barrier", 1).unwrap();
    soon(barrier.enter()).await.unwrap();
    for name in higher {
        create(name).await;
    }
    let mut leaving = Box::pin(barrier.leave());
    for name in higher {
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), &mut leaving).await.is_err());
        assert_eq!(inside().await.len(), 1 + higher.iter().filter(|other| **other >= name).count());
        client.delete(&format!("/barrier/{name}"), -1).await.unwrap();
    }
    soon(leaving).await.unwrap();
    assert!(inside().await.is_empty());

    soon(barrier.enter()).await.unwrap();
    create(lowest).await;
    create("z").await;
    let mut leaving = Box::pin(barrier.leave());
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), &mut leaving).await.is_err());
    assert_eq!(inside().await, [lowest, "z"]);
    client.delete("/barrier/z", -1).await.unwrap();
    client.delete(&format!("/barrier/{lowest}"), -1).await.unwrap();
    soon(leaving).await.unwrap();
}

#[tokio::test]
async fn a_group_has_the_members_that_live() {
    let server = TestServer::start();
    let (one, two) = (client(&server).await, client(&server).await);
    let group = Group::new(&one, "/groups/g");
    let ids = |members: &[recipes::Member]| members.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    assert!(group.members().await.unwrap().is_empty());
    let first = group.join("a", b"1").await.unwrap();
    let other = Group::new(&two, "/groups/g");
    let _second = other.join("b", b"2").await.unwrap();
    let members = group.changed(&[]).await.unwrap();
    assert_eq!((ids(&members), members[0].data.as_slice()), (vec!["a".into(), "b".into()], &b"1"[..]));
    first.set_data(b"3").await.unwrap();
    assert_eq!(group.members().await.unwrap()[0].data, b"3");
    let waiting = tokio::spawn({
        let (group, members) = (group.clone(), members.clone());
        async move { group.changed(&members).await.unwrap() }
    });
    // A member with the same id waits for the end of the other one.
    let again = tokio::spawn({
        let group = group.clone();
        async move { group.join("b", b"4").await.unwrap() }
    });
    expire(&server, &two).await;
    let again = soon(again).await.unwrap();
    assert_eq!(ids(&group.members().await.unwrap()), ["a", "b"]);
    again.leave().await.unwrap();
    assert_eq!(ids(&soon(waiting).await.unwrap()), ["a"]);
    first.leave().await.unwrap();
    assert!(group.members().await.unwrap().is_empty());
    for wrong in ["", "a/b", ".", ".."] {
        assert!(matches!(group.join(wrong, b"").await, Err(Error::Argument { .. })), "{wrong}");
    }
    assert_eq!(soon(other.members()).await.unwrap_err().code(), Some(ErrorCode::SessionExpired));
}
