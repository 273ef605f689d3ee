//! What the transactions and the recovery of a process have in common.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use commit::Settings;
use commit::decision::{Decision, Finish as Told, Logged, Presence};
use commit::record::PreparedBranch;
use tokio::sync::{mpsc, watch};

use crate::forgetting::Forgotten;
use crate::log::{Fence, Log};
use crate::metrics::Metrics;
use crate::observer::{Observer, Step, When};
use crate::participant::{Ending, Finish, Heuristic, Order, Participant};
use crate::resources::Resources;
use crate::{BranchId, TransactionId};

pub(crate) struct Shared {
    pub(crate) log: Log,
    /// That this process may decide; an operator's may not.
    pub(crate) fence: Option<Fence>,
    pub(crate) name: String,
    pub(crate) resources: Resources,
    pub(crate) settings: Settings,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) next: AtomicU64,
    pub(crate) started: Instant,
    /// How many tasks work for transactions of this process.
    pub(crate) running: watch::Sender<usize>,
    /// Records to be deleted.
    pub(crate) forgotten: mpsc::UnboundedSender<Forgotten>,
}

/// A task that works for a transaction, until this is dropped.
pub(crate) struct Running(Arc<Shared>);

impl Running {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        shared.running.send_modify(|count| *count += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|count| *count -= 1);
    }
}

impl Deref for Running {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Shared {
    /// The time of the state machines.
    pub(crate) fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
    }

    pub(crate) fn observe(&self, id: &TransactionId, when: When, step: &Step) {
        if let Some(observer) = &self.observer {
            observer.step(id, when, step);
        }
    }

    /// Makes a step, and tells the observer before and after it.
    pub(crate) async fn observed<T>(
        &self,
        id: &TransactionId,
        step: Step,
        done: impl Future<Output = T>,
    ) -> T {
        self.observe(id, When::Before, &step);
        let answer = done.await;
        self.observe(id, When::After, &step);
        answer
    }

    /// A participant of this process, or why it is not there.
    pub(crate) fn participant(&self, branch: &BranchId) -> Result<&dyn Participant, String> {
        let resource = &branch.branch.resource;
        let missing = || format!("this process is not configured for the resource {resource}");
        self.resources.participant(resource).ok_or_else(missing)
    }

    /// Tells the participant of a branch what was decided.
    pub(crate) async fn finish(&self, id: TransactionId, told: &PreparedBranch, decision: Decision) -> Told {
        let branch = BranchId { transaction: id, branch: told.branch.clone() };
        let participant = match self.participant(&branch) {
            Ok(participant) => participant,
            Err(why) => return Told::Failed(why),
        };
        let step = Step::Finish(branch.branch.resource.clone(), decision);
        let receipt = told.witness.as_str();
        let finish = match decision {
            Decision::Commit => self.observed(&id, step, participant.commit(&branch, receipt)).await,
            Decision::Abort => self.observed(&id, step, participant.abort(&branch, receipt)).await,
        };
        match finish {
            Finish::Done => Told::Done,
            Finish::NotFound => Told::NotFound,
            Finish::Refused(why) | Finish::Unknown(why) => Told::Failed(why),
            Finish::Heuristic(heuristic) => {
                self.metrics.heuristic.fetch_add(1, Relaxed);
                self.note(&branch, decision, &heuristic).await;
                Told::Heuristic(came_to(heuristic.ending, order(decision)))
            }
        }
    }

    /// Asks a participant whether a branch is prepared.
    pub(crate) async fn inspect(&self, id: TransactionId, branch: &PreparedBranch) -> Presence {
        let branch = BranchId { transaction: id, branch: branch.branch.clone() };
        let participant = match self.participant(&branch) {
            Ok(participant) => participant,
            Err(why) => return Presence::Unknown(why),
        };
        let step = Step::Inspect(branch.branch.resource.clone());
        match self.observed(&id, step, participant.prepared(id.cluster)).await {
            Ok(prepared) if prepared.iter().any(|one| one.branch == branch) => Presence::Prepared,
            Ok(_) => Presence::Absent,
            Err(trouble) => Presence::Unknown(trouble.to_string()),
        }
    }

    /// Deletes a record, in a moment.
    pub(crate) fn forget(self: &Arc<Self>, id: TransactionId) {
        // The task that deletes lives as long as this.
        let _lives = self.forgotten.send((id, Running::new(self)));
    }

    pub(crate) async fn decide(&self, id: TransactionId, record: &commit::record::Record) -> Logged {
        let began = Instant::now();
        let Some(fence) = &self.fence else { return Logged::Fenced };
        let write = self.log.write_commit(id, fence, record);
        let logged = self.observed(&id, Step::Decide, write).await;
        self.metrics.decide.record(began.elapsed());
        logged
    }

    /// Keeps what a participant knows about an ending against the decision.
    async fn note(&self, branch: &BranchId, decision: Decision, heuristic: &Heuristic) {
        let text = format!(
            "decided: {decision}; the branch: {:?}; {}; noted by {}",
            heuristic.ending, heuristic.evidence, self.name
        );
        // Without the log the record of the transaction still says how the branch ended.
        let _unreachable = self.log.note(branch, &text).await;
    }
}

fn order(decision: Decision) -> Order {
    match decision {
        Decision::Commit => Order::Commit,
        Decision::Abort => Order::Abort,
    }
}

/// What a branch has come to. What was committed over somebody else's change is committed.
fn came_to(ending: Ending, ordered: Order) -> Decision {
    match (ending, ordered) {
        (Ending::Committed, _) | (Ending::Overwrote, Order::Commit) => Decision::Commit,
        (Ending::Aborted, _) | (Ending::Overwrote, Order::Abort) => Decision::Abort,
    }
}
