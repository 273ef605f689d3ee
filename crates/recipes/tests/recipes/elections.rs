//! Elections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use recipes::{Election, Layout};
use testing::TestServer;

use crate::{client, expire, soon};

#[tokio::test]
async fn candidates_lead_one_after_the_other_and_observers_see_them() {
    let server = TestServer::start();
    let (one, two, watching) = (client(&server).await, client(&server).await, client(&server).await);
    let mut seen = Election::new(&watching, "/election").observe();
    let first = Election::new(&one, "/election").lead(b"one").await.unwrap();
    soon(seen.wait_for(|leader| leader.as_deref() == Some(b"one"))).await.unwrap();
    let candidate = Election::new(&two, "/election").stand(b"two").await.unwrap();
    let ids = Election::new(&watching, "/election").candidates().await.unwrap();
    assert_eq!(ids.iter().map(|one| one.data.as_slice()).collect::<Vec<_>>(), [b"one", b"two"]);
    // The candidate behind the leader takes over when the leader's session expires.
    expire(&server, &one).await;
    let second = soon(candidate.elected()).await.unwrap();
    assert!(second.token() > first.token());
    soon(seen.wait_for(|leader| leader.as_deref() == Some(b"two"))).await.unwrap();
    second.release().await.unwrap();
    soon(seen.wait_for(Option::is_none)).await.unwrap();
    watching.close().await.unwrap();
    assert!(soon(seen.wait_for(|_| false)).await.is_err(), "the observer's session is over");
}

#[tokio::test]
async fn a_candidate_can_withdraw() {
    let server = TestServer::start();
    let client = client(&server).await;
    let election = Election::new(&client, "/election").with_layout(Layout::Kazoo);
    let leader = election.lead(b"one").await.unwrap();
    let candidate = election.stand(b"two").await.unwrap();
    candidate.withdraw().await.unwrap();
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(30), election.lead(b"three")).await;
    assert!(waiting.is_err());
    leader.release().await.unwrap();
    // The candidate that was dropped while it waited withdraws in the background.
    while !election.candidates().await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Each looks after it has entered, so no two can find the place free.
#[tokio::test]
async fn of_several_that_try_to_lead_one_does_and_none_waits() {
    let server = TestServer::start();
    let client = client(&server).await;
    for layout in [Layout::Curator, Layout::Kazoo] {
        let election = Election::new(&client, "/election").with_layout(layout);
        for _ in 0..20 {
            let tries: Vec<_> = (0..8)
                .map(|_| {
                    let election = election.clone();
                    tokio::spawn(async move { election.try_lead(b"one").await })
                })
                .collect();
            let mut led = Vec::new();
            for one in tries {
                led.extend(soon(one).await.unwrap().unwrap());
            }
            assert_eq!(led.len(), 1, "{led:?}");
            assert_eq!(election.candidates().await.unwrap().len(), 1, "the others have left");
            led.remove(0).release().await.unwrap();
        }
    }
    let election = Election::new(&client, "/election");
    let leader = election.lead(b"one").await.unwrap();
    assert!(election.try_lead(b"two").await.unwrap().is_none());
    leader.release().await.unwrap();
    let leader = election.try_lead(b"two").await.unwrap().expect("nobody leads");
    assert_eq!(election.candidates().await.unwrap()[0].token, leader.token());
}

#[tokio::test]
async fn a_leader_that_is_deposed_is_cancelled_and_stands_again() {
    let server = TestServer::start();
    let client = client(&server).await;
    let election = Election::new(&client, "/election");
    let terms = Arc::new(AtomicUsize::new(0));
    let run = election.run(b"me", |token| {
        let (client, terms) = (client.clone(), Arc::clone(&terms));
        async move {
            assert!(token > 0);
            if terms.fetch_add(1, SeqCst) == 2 {
                return "done";
            }
            let (names, _) = client.get_children("/election", false).await.unwrap();
            client.delete(&format!("/election/{}", names[0]), -1).await.unwrap();
            std::future::pending().await
        }
    });
    assert_eq!(soon(run).await.unwrap(), "done");
    assert_eq!(terms.load(SeqCst), 3);
}
