//! Transactions over participants that do as they are told, with their decisions at a real server.

mod ledger;
mod office;
mod outcomes;
mod recovery;
mod three_phase;

use std::sync::Arc;
use std::time::Duration;

use client::Client;
use testing::TestServer;
use transactions::{Options, Resources, Settings, Transaction, Transactions};

use ledger::Ledger;

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, two ledgers, and processes that use them.
struct World {
    server: TestServer,
    one: Arc<Ledger>,
    two: Arc<Ledger>,
}

impl World {
    fn start() -> Self {
        // Sessions may be as short as 400 ms.
        let server = TestServer::start_with(&["tickTime=200"]);
        Self { server, one: Arc::default(), two: Arc::default() }
    }

    async fn client(&self) -> Client {
        let settings = client::Settings { timeout_ms: 400, ..client::Settings::default() };
        Client::open(&self.server.address().parse().unwrap(), settings).await.unwrap()
    }

    fn resources(&self) -> Resources {
        let resources = Resources::new().other("one", self.one.clone()).unwrap();
        resources.other("two", self.two.clone()).unwrap()
    }

    async fn process(&self, options: Options) -> (Client, Transactions) {
        let client = self.client().await;
        let transactions = Transactions::open(&client, "/transactions", self.resources(), options).await;
        (client, transactions.unwrap())
    }

    async fn decisions(&self) -> Vec<String> {
        let client = self.client().await.linearizable();
        client.get_children("/transactions/decisions", false).await.unwrap().0
    }

    async fn await_no_decision(&self) {
        soon("the log is empty", async || self.decisions().await.is_empty()).await;
    }
}

/// Settings under which nothing waits for long.
fn settings() -> Settings {
    Settings {
        prepare_timeout_ms: 300,
        log_timeout_ms: 500,
        finish_timeout_ms: 300,
        decide_patience_ms: 2_000,
        finish_patience_ms: 300,
        retry_first_ms: 20,
        retry_max_ms: 100,
        abandon_after_ms: 600,
        orphan_grace_ms: 50,
        watch_ms: 50,
    }
}

fn options() -> Options {
    Options { settings: settings(), ..Options::default() }
}

/// Options of a process that leaves what it begins.
fn without_recovery() -> Options {
    Options { is_without_recovery: true, ..options() }
}

/// Adds a value to both ledgers.
fn work(world: &World, transaction: &mut Transaction, value: u64) {
    world.one.work(&transaction.branch("one").unwrap(), value);
    world.two.work(&transaction.branch("two").unwrap(), value);
}

/// Waits for a condition.
async fn soon(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "it is not so that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
