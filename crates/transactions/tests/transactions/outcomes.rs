//! How transactions end, and what their callers are told.

use std::sync::Arc;

use transactions::{BadResource, CommitError, LogError, Resources, Transactions, WorkError};

use crate::ledger::{Ledger, Mood};
use crate::{World, options, soon, without_recovery, work};

#[tokio::test(flavor = "multi_thread")]
async fn all_branches_commit_and_nothing_stays_in_the_log() {
    let world = World::start();
    let (_client, transactions) = world.process(without_recovery()).await;
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 7);
    let committed = transaction.commit().await.unwrap();
    assert!(committed.unfinished.is_empty() && committed.heuristics.is_empty());
    assert!(world.one.has(7) && world.two.has(7));
    assert_eq!(world.one.state().calls, ["prepare", "commit"]);
    world.await_no_decision().await;
    assert_eq!(transactions.metrics().committed(), 1);
    let text = transactions.metrics().prometheus();
    assert!(text.contains("ostler_transactions_prepare_seconds_count 2"), "{text}");
    assert!(text.contains("ostler_transactions_decide_seconds_count 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_undoes_all_and_writes_nothing() {
    let world = World::start();
    let (_client, transactions) = world.process(without_recovery()).await;
    world.two.become_(Mood::Refusing);
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 7);
    match transaction.commit().await {
        Err(CommitError::Aborted { reason, .. }) => {
            assert!(reason.contains("two: the ledger is full"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    soon("the other branch is undone", async || world.one.prepared_count() == 0).await;
    assert!(!world.one.has(7) && !world.two.has(7));
    let stat = world.client().await.exists("/transactions/decisions", false).await.unwrap().unwrap();
    assert_eq!(stat.cversion, 0, "an abort was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_writer_commits_at_once_and_readers_are_left_out() {
    let world = World::start();
    let (_client, transactions) = world.process(without_recovery()).await;
    let mut transaction = transactions.begin();
    world.one.work(&transaction.branch("one").unwrap(), 7);
    transaction.commit().await.unwrap();
    assert!(world.one.has(7));
    assert_eq!(world.one.state().calls, ["commit at once"]);
    world.two.become_(Mood::Reading);
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 8);
    transaction.reads_only("two");
    transaction.commit().await.unwrap();
    assert!(world.one.has(8));
    assert_eq!(world.one.state().calls, ["commit at once"; 2]);
    assert_eq!(world.two.state().calls, ["prepare"]);
    // A refusal and a lost answer are told apart.
    for (mood, is_unknown) in [(Mood::Refusing, false), (Mood::Away, true)] {
        world.one.become_(mood);
        let mut transaction = transactions.begin();
        world.one.work(&transaction.branch("one").unwrap(), 9);
        let error = transaction.commit().await.unwrap_err();
        assert_eq!(matches!(error, CommitError::Unknown { .. }), is_unknown, "{error}");
    }
    assert!(transactions.begin().commit().await.is_ok(), "a transaction without work");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_that_does_not_come_is_a_refusal() {
    let world = World::start();
    let (_client, transactions) = world.process(without_recovery()).await;
    world.two.become_(Mood::Silent);
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 7);
    match transaction.commit().await {
        Err(CommitError::Aborted { reason, .. }) => assert!(reason.contains("no vote in time"), "{reason}"),
        other => panic!("{other:?}"),
    }
    soon("nothing is prepared", async || world.one.prepared_count() + world.two.prepared_count() == 0).await;
    assert!(!world.one.has(7) && !world.two.has(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_away_commits_when_it_is_back() {
    let world = World::start();
    let (_client, transactions) = world.process(without_recovery()).await;
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 7);
    world.two.become_(Mood::Leaving);
    let committed = transaction.commit().await.unwrap();
    assert_eq!(committed.unfinished.len(), 1);
    assert_eq!(world.decisions().await.len(), 1);
    soon("it is told again", async || transactions.metrics().retries() > 2).await;
    assert!(world.one.has(7));
    world.two.become_(Mood::Good);
    soon("it commits", async || world.two.has(7)).await;
    world.await_no_decision().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_or_aborted_is_undone() {
    let world = World::start();
    let (_client, transactions) = world.process(without_recovery()).await;
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 7);
    assert!(transaction.abort().await.is_empty());
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 8);
    drop(transaction);
    soon("both are undone", async || world.one.state().calls.len() == 2).await;
    assert_eq!(world.one.state().calls, ["abort"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_before_anything_is_prepared() {
    let world = World::start();
    let named = || transactions::Options { name: Some("teller".to_owned()), ..options() };
    let (client, transactions) = world.process(named()).await;
    let other = world.client().await;
    match Transactions::open(&other, "/transactions", world.resources(), named()).await {
        Err(LogError::NameTaken(name)) => assert_eq!(name, "teller"),
        other => panic!("{other:?}"),
    }
    let mut transaction = transactions.begin();
    assert!(matches!(transaction.branch("three"), Err(WorkError::Unknown { .. })));
    assert!(matches!(transaction.postgres("one").await, Err(WorkError::Unknown { .. })));
    let twice = transaction.branch("one").unwrap();
    assert_eq!(transaction.branch("one").unwrap(), twice);
    let ledger = Arc::<Ledger>::default();
    let resources = Resources::new().other("one", ledger.clone()).unwrap();
    assert!(matches!(resources.other("one", ledger.clone()), Err(BadResource::Twice(_))));
    assert!(matches!(Resources::new().other("A b", ledger), Err(BadResource::Name(_))));
    // The name is free again.
    drop(transaction);
    transactions.close().await;
    client.close().await.unwrap();
    Transactions::open(&other, "/transactions", world.resources(), named()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_whose_session_is_over_decides_nothing() {
    let world = World::start();
    let (client, transactions) = world.process(without_recovery()).await;
    let mut transaction = transactions.begin();
    work(&world, &mut transaction, 7);
    client.close().await.unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, CommitError::Aborted { .. }), "{error}");
    soon("it is undone", async || world.one.prepared_count() + world.two.prepared_count() == 0).await;
    assert!(!world.one.has(7) && !world.two.has(7));
}
