//! What a process leaves, another one finishes.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use transactions::{Decision, Observer, Options, Step, TransactionId, When};

use crate::ledger::Mood;
use crate::{World, options, soon, without_recovery, work};

/// Stops the process that it is in at a step, for good.
struct Stop {
    before: Step,
    reached: Mutex<mpsc::Sender<()>>,
}

impl Observer for Stop {
    fn step(&self, _: &TransactionId, when: When, step: &Step) {
        if when == When::Before && *step == self.before {
            self.reached.lock().unwrap().send(()).unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

/// Works in a process of its own, whose tasks and session end at a step of a transaction.
fn die_before(world: &World, step: Step, value: u64) {
    let (sender, reached) = mpsc::channel();
    let stop = Stop { before: step, reached: Mutex::new(sender) };
    let options = Options { observer: Some(Arc::new(stop)), ..without_recovery() };
    let process = Runtime::new().unwrap();
    process.block_on(async {
        let (_client, transactions) = world.process(options).await;
        let mut transaction = transactions.begin();
        work(world, &mut transaction, value);
        let committing = tokio::spawn(transaction.commit());
        tokio::task::spawn_blocking(move || reached.recv_timeout(crate::PATIENCE).unwrap()).await.unwrap();
        committing.abort();
        // Neither the session nor the fence is given up in order.
        std::mem::forget((_client, transactions));
    });
    process.shutdown_background();
}

fn finish(name: &str, decision: Decision) -> Step {
    Step::Finish(transactions::ResourceName::new(name).unwrap(), decision)
}

#[test]
fn a_transaction_without_a_decision_is_undone_and_one_with_a_decision_is_done() {
    let world = World::start();
    die_before(&world, Step::Decide, 1);
    die_before(&world, finish("one", Decision::Commit), 2);
    assert_eq!(world.one.prepared_count(), 2);
    Runtime::new().unwrap().block_on(async {
        let (_client, transactions) = world.process(options()).await;
        soon("nothing is prepared", async || world.one.prepared_count() + world.two.prepared_count() == 0)
            .await;
        assert!(!world.one.has(1) && !world.two.has(1));
        assert!(world.one.has(2) && world.two.has(2));
        world.await_no_decision().await;
        soon("both are counted", async || transactions.metrics().recovered() >= 2).await;
        assert_eq!(transactions.metrics().in_doubt(), 0);
    });
}

#[test]
fn a_resource_that_is_away_is_asked_until_it_is_back() {
    let world = World::start();
    die_before(&world, finish("two", Decision::Commit), 1);
    world.two.become_(Mood::Away);
    Runtime::new().unwrap().block_on(async {
        let (client, transactions) = world.process(options()).await;
        soon("the first branch commits", async || world.one.has(1)).await;
        soon("it is shown", async || {
            let data = client.get_data("/transactions/status", false).await.ok().and_then(|(data, _)| data);
            let text = String::from_utf8(data.unwrap_or_default()).unwrap();
            text.contains("\"trouble\":\"it cannot be reached: it is away\"")
                && text.contains("\"decision\":\"commit\"")
        })
        .await;
        assert_eq!(transactions.metrics().in_doubt(), 1);
        soon("it is asked again", async || transactions.metrics().retries() > 3).await;
        world.two.become_(Mood::Good);
        soon("the second branch commits", async || world.two.has(1)).await;
        world.await_no_decision().await;
    });
}

#[test]
fn a_coordinator_that_is_stuck_is_overruled_and_told() {
    let world = World::start();
    // It lives, and waits for a vote for longer than the recovery does.
    let process = Runtime::new().unwrap();
    let committing = process.block_on(async {
        let mut options = without_recovery();
        options.settings.prepare_timeout_ms = 60_000;
        let (client, transactions) = world.process(options).await;
        world.two.become_(Mood::Silent);
        let mut transaction = transactions.begin();
        work(&world, &mut transaction, 1);
        let committing = tokio::spawn(transaction.commit());
        soon("both are prepared", async || world.one.prepared_count() + world.two.prepared_count() == 2)
            .await;
        (client, transactions, committing)
    });
    Runtime::new().unwrap().block_on(async {
        let (_client, _recovery) = world.process(options()).await;
        soon("it is undone", async || world.one.prepared_count() + world.two.prepared_count() == 0).await;
        // As long as the coordinator lives it must find that it was aborted.
        assert_eq!(world.decisions().await.len(), 1);
    });
    assert!(!world.one.has(1) && !world.two.has(1));
    drop(committing);
    process.shutdown_timeout(Duration::from_millis(10));
}

#[test]
fn the_transactions_of_other_clusters_are_left_alone() {
    let world = World::start();
    die_before(&world, Step::Decide, 1);
    let other =
        World { server: testing::TestServer::start(), one: world.one.clone(), two: world.two.clone() };
    Runtime::new().unwrap().block_on(async {
        let (_client, transactions) = other.process(options()).await;
        // A round of the recovery that has seen everything.
        let mut transaction = transactions.begin();
        work(&other, &mut transaction, 2);
        transaction.commit().await.unwrap();
        let client = other.client().await;
        soon("the other cluster's recovery runs", async || {
            client.exists("/transactions/status", false).await.unwrap().is_some()
        })
        .await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    });
    assert_eq!((world.one.prepared_count(), world.two.prepared_count()), (1, 1));
}
