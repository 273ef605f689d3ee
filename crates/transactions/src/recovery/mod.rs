//! The recovery of a cluster: one process is elected, and finishes what coordinators have left.

mod report;
mod rounds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use commit::recovery::{Action, Event, LogView, Recovery};
use recipes::Election;
use tokio::sync::mpsc;

use crate::observer::Step;
use crate::shared::Shared;
use crate::{BranchId, ResourceName, TransactionId};
pub use report::{DoubtReport, Report, ResourceReport};
use rounds::Rounds;

/// How often a resource is asked what is prepared in it.
pub(crate) const ROUND: Duration = Duration::from_millis(500);
/// How long a candidate waits before it stands again, when it could not.
const PAUSE: Duration = Duration::from_millis(500);

/// A candidate for the recovery.
pub(crate) struct Recoverer {
    shared: Arc<Shared>,
}

impl Recoverer {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// Stands for election, and recovers while it leads, until the session is over.
    pub(crate) async fn run(self) {
        let client = self.shared.log.client().clone();
        let election = Election::new(&client, &self.shared.log.path("recovery"));
        while !client.state().is_over() {
            let led = election.run(self.shared.name.as_bytes(), |_| Active::new(&self.shared).run()).await;
            self.shared.metrics.in_doubt.store(0, Relaxed);
            if led.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// What comes to the active recovery.
pub(crate) enum Incoming {
    Event(Event),
    /// What a resource lists, or why it cannot.
    Listed(ResourceName, Result<Vec<BranchId>, String>),
    /// The records, and the coordinators that live.
    Log(Result<(Event, BTreeMap<u64, String>), String>),
}

/// The active recovery.
struct Active {
    shared: Arc<Shared>,
    machine: Recovery,
    sender: mpsc::UnboundedSender<Incoming>,
    incoming: mpsc::UnboundedReceiver<Incoming>,
    rounds: Rounds,
    /// The coordinators that lived when they were listed last.
    coordinators: BTreeSet<u64>,
    reporter: report::Reporter,
    retries: BTreeMap<TransactionId, u64>,
}

impl Active {
    fn new(shared: &Arc<Shared>) -> Self {
        let (sender, incoming) = mpsc::unbounded_channel();
        Self {
            machine: Recovery::new(shared.log.cluster(), &shared.name, shared.settings),
            rounds: Rounds::new(shared, &sender),
            reporter: report::Reporter::new(shared),
            shared: Arc::clone(shared),
            sender,
            incoming,
            coordinators: BTreeSet::new(),
            retries: BTreeMap::new(),
        }
    }

    /// Recovers until it is cancelled.
    async fn run(mut self) {
        loop {
            let due = self.machine.due_ms().unwrap_or(u64::MAX);
            let wait = Duration::from_millis(due.saturating_sub(self.shared.now_ms()));
            let wait = wait.min(self.rounds.start_due());
            let event = tokio::select! {
                incoming = self.incoming.recv() => match incoming {
                    Some(incoming) => self.take(incoming),
                    None => return,
                },
                () = tokio::time::sleep(wait) => vec![Event::Tick],
            };
            for event in event {
                for action in self.machine.handle(self.shared.now_ms(), event) {
                    self.perform(action);
                }
            }
            self.measure();
            self.reporter.report(&self.machine, &self.rounds);
        }
    }

    fn take(&mut self, incoming: Incoming) -> Vec<Event> {
        match incoming {
            Incoming::Event(event) => vec![event],
            Incoming::Listed(resource, listed) => {
                let trouble = listed.as_ref().err().cloned();
                self.rounds.listed(&resource, trouble);
                listed.map(|prepared| vec![Event::Listed { resource, prepared }]).unwrap_or_default()
            }
            Incoming::Log(Ok((records, alive))) => {
                self.rounds.log_read(None);
                let alive: BTreeSet<u64> = alive.into_keys().collect();
                let gone = self.coordinators.difference(&alive).map(|gone| Event::CoordinatorGone(*gone));
                let events = [records].into_iter().chain(gone).collect();
                self.coordinators = alive;
                events
            }
            Incoming::Log(Err(trouble)) => {
                self.rounds.log_read(Some(trouble));
                Vec::new()
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Read { id } => {
                self.spawn(async move |shared| Event::Read { id, log: view(&shared, id).await })
            }
            Action::WriteAbort { id, record } => self.spawn(async move |shared| {
                let write = shared.log.write(id, &record);
                Event::Written { id, logged: shared.observed(&id, Step::WriteAbort, write).await }
            }),
            Action::Finish { id, branch, decision, release: _ } => self.spawn(async move |shared| {
                let answer = shared.finish(id, &branch, decision).await;
                Event::Finished { branch: BranchId { transaction: id, branch: branch.branch }, answer }
            }),
            Action::Inspect { id, branch } => self.spawn(async move |shared| {
                let presence = shared.inspect(id, &branch).await;
                Event::Inspected { branch: BranchId { transaction: id, branch: branch.branch }, presence }
            }),
            Action::Forget { id } => self.shared.forget(id),
            Action::Keep { id, record } => {
                let shared = Arc::clone(&self.shared);
                // The next round finds the record as it was, and keeps it again.
                tokio::spawn(async move { drop(shared.log.keep(id, &record).await) });
            }
            Action::Resolved { .. } => {
                self.shared.metrics.recovered.fetch_add(1, Relaxed);
            }
        }
    }

    fn spawn<F: Future<Output = Event> + Send + 'static>(
        &self,
        action: impl FnOnce(Arc<Shared>) -> F + Send + 'static,
    ) {
        let (shared, sender) = (Arc::clone(&self.shared), self.sender.clone());
        // Another process may be elected meanwhile.
        tokio::spawn(async move { drop(sender.send(Incoming::Event(action(shared).await))) });
    }

    fn measure(&mut self) {
        let (metrics, now_ms) = (&self.shared.metrics, self.shared.now_ms());
        let (mut count, mut oldest_ms, mut retries) = (0, 0, BTreeMap::new());
        for open in self.machine.in_doubt() {
            count += 1;
            oldest_ms = oldest_ms.max(now_ms.saturating_sub(open.first_seen_ms));
            let known = self.retries.get(&open.id).copied().unwrap_or_default();
            metrics.retries.fetch_add(open.retries.saturating_sub(known), Relaxed);
            retries.insert(open.id, open.retries);
        }
        self.retries = retries;
        metrics.in_doubt.store(count, Relaxed);
        metrics.oldest_ms.store(oldest_ms, Relaxed);
        metrics.away.store(self.rounds.away() as u64, Relaxed);
    }
}

/// What the log has of a transaction: the fence first, then the record.
async fn view(shared: &Shared, id: TransactionId) -> LogView {
    let alive = match shared.log.coordinators().await {
        Ok(alive) => alive,
        Err(error) => return LogView::Unknown(error.to_string()),
    };
    match shared.log.record(id).await {
        Ok(record) => LogView::Known { is_fence_there: alive.contains_key(&id.coordinator), record },
        Err(error) => LogView::Unknown(error.to_string()),
    }
}
