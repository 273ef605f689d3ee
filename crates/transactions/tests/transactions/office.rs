//! What operators see and do.

use transactions::{Decision, Office, OfficeError, Participant as _, Resources, TransactionId};

use crate::ledger::Mood;
use crate::{World, settings, soon, without_recovery, work};

async fn office(world: &World) -> Office {
    let client = world.client().await;
    Office::open(&client, "/transactions", world.resources(), "anna", settings()).await.unwrap()
}

/// A transaction that is prepared in both ledgers and whose coordinator is gone.
async fn orphan(world: &World, value: u64) -> TransactionId {
    let (client, transactions) = world.process(without_recovery()).await;
    let mut transaction = transactions.begin();
    work(world, &mut transaction, value);
    let id = transaction.id();
    for (ledger, name) in [(&world.one, "one"), (&world.two, "two")] {
        ledger.prepare(&transaction.branch(name).unwrap()).await;
    }
    std::mem::forget(transaction);
    drop(transactions);
    client.close().await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_listed_and_can_be_finished_by_hand() {
    let world = World::start();
    let office = office(&world).await;
    for (decision, value) in [(Decision::Abort, 1), (Decision::Commit, 2)] {
        let id = orphan(&world, value).await;
        let overview = office.overview().await.unwrap();
        let view = &overview.transactions[&id];
        assert!(view.is_orphan() && view.prepared.len() == 2 && overview.unseen.is_empty(), "{view:?}");
        let resolved = office.resolve(id, decision).await.unwrap();
        assert!(resolved.branches.iter().all(|(_, why)| why.is_empty()), "{resolved:?}");
        assert_eq!(world.one.has(value) && world.two.has(value), decision == Decision::Commit);
        let view = &office.overview().await.unwrap().transactions[&id];
        assert_eq!(view.record.as_ref().unwrap().by, "anna, by hand");
        let other = if decision == Decision::Abort { Decision::Commit } else { Decision::Abort };
        assert!(matches!(office.resolve(id, other).await, Err(OfficeError::Decided(_))));
        office.forget(id).await.unwrap();
        assert!(matches!(office.forget(id).await, Err(OfficeError::NotFound(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_commits_by_hand_what_cannot_be_seen_whole() {
    let world = World::start();
    let id = orphan(&world, 1).await;
    let office = office(&world).await;
    world.two.become_(Mood::Away);
    assert!(matches!(office.resolve(id, Decision::Commit).await, Err(OfficeError::Unseen(_))));
    let overview = office.overview().await.unwrap();
    assert_eq!(overview.unseen.len(), 1);
    assert!(matches!(office.forget(id).await, Err(OfficeError::Prepared(_))));
    // To undo it is always possible; what is away follows.
    let resolved = office.resolve(id, Decision::Abort).await.unwrap();
    assert_eq!(resolved.branches.len(), 1);
    world.two.become_(Mood::Good);
    let resolved = office.resolve(id, Decision::Abort).await.unwrap();
    assert!(resolved.branches.iter().all(|(_, why)| why.is_empty()));
    assert_eq!(world.two.prepared_count(), 0);
    // A resource that is not configured is named.
    let client = world.client().await;
    let blind = Office::open(&client, "/transactions", Resources::new(), "anna", settings()).await.unwrap();
    assert_eq!(blind.overview().await.unwrap().unseen.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_by_hand_is_recorded_and_stays() {
    let world = World::start();
    let (_client, transactions) = world.process(without_recovery()).await;
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 1);
    let id = transaction.id();
    world.two.become_(Mood::Undone);
    let committed = transaction.commit().await.unwrap();
    assert_eq!(committed.heuristics[0].branch.resource.as_str(), "two");
    let office = office(&world).await;
    soon("it is recorded", async || {
        let overview = office.overview().await.unwrap();
        let view = overview.transactions.get(&id);
        view.is_some_and(|view| {
            let kept = view.record.as_ref().is_some_and(|record| record.heuristics.len() == 1);
            kept && view.notes.iter().any(|(_, note)| note.contains("the operator undid it"))
        })
    })
    .await;
    assert!(transactions.metrics().prometheus().contains("ostler_transactions_heuristic_total 1"));
    office.forget(id).await.unwrap();
    assert!(office.overview().await.unwrap().transactions.is_empty());
}
