//! Three-phase commit: agents that end transactions without their coordinator.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use transactions::three_phase::{AgentSettings, Agents, Conductor, ConductorError, Timing};
use transactions::{Branch, BranchId, Cluster, CommitError, ResourceName, TransactionId};

use crate::ledger::{Ledger, Mood};
use crate::{settings, soon};

fn agent_settings() -> AgentSettings {
    let timing = Timing { heartbeat_ms: 50, silence_ms: 400, reply_ms: 300 };
    AgentSettings { settings: settings(), timing }
}

async fn listener() -> TcpListener {
    let listener = testing::listen();
    listener.set_nonblocking(true).unwrap();
    TcpListener::from_std(listener).unwrap()
}

/// Binds an address again, which was just given up.
async fn listener_at(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Two ledgers with their agents.
struct World {
    folder: tempfile::TempDir,
    ledgers: [Arc<Ledger>; 2],
    agents: [Option<Agents>; 2],
    addresses: [SocketAddr; 2],
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledgers: [Arc<Ledger>; 2] = Default::default();
        let mut opened = Vec::new();
        for (at, ledger) in ledgers.iter().enumerate() {
            let place = folder.path().join(at.to_string());
            opened.push(open(ledger, &place, listener().await).await);
        }
        let addresses = [opened[0].address(), opened[1].address()];
        let mut opened = opened.into_iter();
        Self { folder, ledgers, agents: [opened.next(), opened.next()], addresses }
    }

    /// Ends the agents of a ledger, as a crash would.
    fn crash(&mut self, at: usize) {
        self.agents[at] = None;
        self.ledgers[at].forget_work();
    }

    async fn restart(&mut self, at: usize) {
        let place = self.folder.path().join(at.to_string());
        let listener = listener_at(self.addresses[at]).await;
        self.agents[at] = Some(open(&self.ledgers[at], &place, listener).await);
    }

    /// Branches that add a value to both ledgers.
    fn work(&self, id: TransactionId, value: u64) -> Vec<(BranchId, SocketAddr)> {
        let mut branches = Vec::new();
        for (at, ledger) in self.ledgers.iter().enumerate() {
            let resource = ResourceName::new(&format!("ledger-{at}")).unwrap();
            let branch = BranchId { transaction: id, branch: Branch { resource, session: None } };
            ledger.work(&branch, value);
            branches.push((branch, self.addresses[at]));
        }
        branches
    }

    fn prepared_count(&self) -> usize {
        self.ledgers.iter().map(|ledger| ledger.prepared_count()).sum()
    }

    /// Waits until the transaction has ended in both ledgers, and returns whether it was committed.
    async fn await_end(&self, value: u64) -> bool {
        soon("nothing is prepared", async || self.prepared_count() == 0).await;
        let has: Vec<bool> = self.ledgers.iter().map(|ledger| ledger.has(value)).collect();
        assert_eq!(has[0], has[1], "one ledger has committed and the other one has not");
        has[0]
    }
}

async fn open(ledger: &Arc<Ledger>, place: &Path, listener: TcpListener) -> Agents {
    Agents::open(ledger.clone(), place, listener, agent_settings()).await.unwrap()
}

async fn conductor() -> Conductor {
    Conductor::open(listener().await, agent_settings()).await.unwrap()
}

fn id(number: u64) -> TransactionId {
    TransactionId { cluster: Cluster(7), coordinator: 1, number }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_branches_commit_or_none_does() {
    let world = World::start().await;
    let conductor = conductor().await;
    let committed = conductor.commit(id(1), &world.work(id(1), 1)).await.unwrap();
    assert!(committed.unfinished.is_empty());
    assert!(world.await_end(1).await);
    world.ledgers[1].become_(Mood::Refusing);
    match conductor.commit(id(2), &world.work(id(2), 2)).await {
        Err(ConductorError::Commit(CommitError::Aborted { reason, .. })) => {
            assert!(reason.contains("the ledger is full"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!world.await_end(2).await);
    assert_eq!(conductor.commit(id(3), &[]).await, Err(ConductorError::None));
    let foreign = world.work(id(4), 4);
    assert!(matches!(conductor.commit(id(5), &foreign).await, Err(ConductorError::Foreign(_))));
    // Nobody asks again, so the agents have nothing left.
    soon("the folders are empty", async || {
        let files = |at: usize| std::fs::read_dir(world.folder.path().join(at.to_string())).unwrap().count();
        files(0) + files(1) == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_end_a_transaction_whose_coordinator_is_gone() {
    let world = World::start().await;
    let mut commits = 0;
    for round in 0..12 {
        let conductor = conductor().await;
        let branches = world.work(id(round), round);
        {
            // It goes some time after it has begun.
            let committing = conductor.commit(id(round), &branches);
            let _gone = tokio::time::timeout(Duration::from_micros(800 * round), committing).await;
        }
        drop(conductor);
        // An agent that has heard nothing has nothing to end.
        world.ledgers.iter().for_each(|ledger| ledger.forget_work());
        soon("all agents have decided", async || world.prepared_count() == 0).await;
        commits += usize::from(world.await_end(round).await);
    }
    println!("{commits} of 12 transactions were committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_crash_end_as_the_others_do() {
    let mut world = World::start().await;
    for round in 0..8 {
        let conductor = conductor().await;
        let branches = world.work(id(round), round);
        {
            let committing = conductor.commit(id(round), &branches);
            let _crash = tokio::time::timeout(Duration::from_micros(1_000 * round), committing).await;
        }
        let at = (round % 2) as usize;
        world.crash(at);
        // Every other time the coordinator is gone too.
        let conductor = Some(conductor).filter(|_| round % 4 < 2);
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.restart(at).await;
        world.await_end(round).await;
        drop(conductor);
        world.ledgers.iter().for_each(|ledger| ledger.forget_work());
    }
    // Also those whose messages were still under way.
    for round in 0..8 {
        world.await_end(round).await;
    }
}
