//! The transactions of a process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use client::Client;
use commit::Settings;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::forgetting;
use crate::log::{Log, LogError};
use crate::metrics::Metrics;
use crate::observer::Observer;
use crate::recovery::Recoverer;
use crate::resources::Resources;
use crate::shared::Shared;
use crate::transaction::Transaction;
use crate::{Cluster, TransactionId};

/// How a process takes part in a cluster of transactions.
#[derive(Clone, Default)]
pub struct Options {
    /// What this coordinator is called in records and lists. No other one that lives has the name.
    /// Without it the name is made of the process and a random number.
    pub name: Option<String>,
    /// How long each step may take.
    pub settings: Settings,
    /// Whether this process never recovers transactions, also those of its own that it leaves when
    /// it ends. For programs that do not have all resources.
    pub is_without_recovery: bool,
    /// Follows all steps.
    pub observer: Option<Arc<dyn Observer>>,
}

/// The transactions of a process over resources, with their decisions in znodes.
///
/// It lives as long as the session of its client. When the session ends, nothing more can be
/// decided: what is open is aborted, or finished by the recovery of another process, and the
/// program opens a new session.
pub struct Transactions {
    shared: Arc<Shared>,
    /// The number of this coordinator.
    coordinator: u64,
    recovery: Option<JoinHandle<()>>,
}

impl Transactions {
    /// Takes part in the cluster whose decisions are below the znode `path`, which is created when
    /// it is first used. Processes with the same `path` recover each other's transactions, and have
    /// the same resources.
    ///
    /// # Errors
    /// The name is another coordinator's; the session is over, or the server refuses.
    pub async fn open(
        client: &Client,
        path: &str,
        resources: Resources,
        options: Options,
    ) -> Result<Self, LogError> {
        let log = Log::open(client, path).await?;
        log.register(resources.names()).await?;
        let name = match options.name {
            Some(name) => name,
            None => own_name()?,
        };
        let fence = log.enter(&name).await?;
        let coordinator = fence.number;
        let (forgotten, queue) = mpsc::unbounded_channel();
        tokio::spawn(forgetting::run(log.clone(), queue));
        let shared = Arc::new(Shared {
            fence: Some(fence),
            log,
            name,
            resources,
            settings: options.settings,
            metrics: Arc::default(),
            observer: options.observer,
            next: AtomicU64::new(1),
            started: Instant::now(),
            running: watch::Sender::new(0),
            forgotten,
        });
        let recoverer = (!options.is_without_recovery).then(|| Recoverer::new(&shared));
        let recovery = recoverer.map(|recoverer| tokio::spawn(recoverer.run()));
        Ok(Self { shared, coordinator, recovery })
    }

    /// Begins a transaction. Dropping it, or its future, before [`Transaction::commit`] undoes it.
    pub fn begin(&self) -> Transaction {
        let id = TransactionId {
            cluster: self.shared.log.cluster(),
            coordinator: self.coordinator,
            number: self.shared.next.fetch_add(1, Relaxed),
        };
        Transaction::new(&self.shared, id)
    }

    /// The cluster, whose number is in the names of all its branches.
    pub fn cluster(&self) -> Cluster {
        self.shared.log.cluster()
    }

    /// The name of this coordinator.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What is counted and measured.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Ends the part of this process, after its transactions have ended, but no longer than a
    /// caller waits for one ([`Settings::decide_patience_ms`]). What stays open, the recovery of
    /// another process finishes.
    pub async fn close(mut self) {
        let mut running = self.shared.running.subscribe();
        let patience = Duration::from_millis(self.shared.settings.decide_patience_ms);
        // What is late is recovered.
        let _late = tokio::time::timeout(patience, running.wait_for(|count| *count == 0)).await;
        if let Some(recovery) = self.recovery.take() {
            recovery.abort();
        }
        if let Some(fence) = &self.shared.fence {
            self.shared.log.leave(fence).await;
        }
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        if let Some(recovery) = self.recovery.take() {
            recovery.abort();
        }
    }
}

impl std::fmt::Debug for Transactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactions").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// A name that no other process has.
fn own_name() -> Result<String, LogError> {
    let mut bytes = [0; 6];
    getrandom::fill(&mut bytes).map_err(|error| LogError::Random(error.to_string()))?;
    let random: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("process-{}-{random}", std::process::id()))
}
