//! Drives the state machine of one transaction: carries its actions out, and tells it what comes
//! of them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use commit::decision::{Alone, Answer, Decision, Outcome, Vote as Voted, Witness};
use commit::record::PreparedBranch;
use commit::two_phase::{Action, Coordinator, Event};
use tokio::sync::{mpsc, oneshot};

use crate::observer::Step;
use crate::participant::{Finish, Vote};
use crate::shared::{Running, Shared};
use crate::{Branch, BranchId};

/// One transaction on its way.
pub(crate) struct Drive {
    shared: Running,
    machine: Coordinator,
    branches: Vec<Place>,
    events: mpsc::UnboundedSender<Event>,
    answer: Option<oneshot::Sender<Answer>>,
    /// Repeated requests that were counted.
    retries: u64,
}

/// A branch, and what its participant has said of it.
struct Place {
    id: BranchId,
    witness: Witness,
}

impl Drive {
    /// Lets a machine run, in a task of its own: who waits for the answer may go. `first` is its
    /// first event.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        machine: Coordinator,
        branches: Vec<Branch>,
        first: Event,
    ) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let (events, incoming) = mpsc::unbounded_channel();
        let id = machine.id();
        let place = |branch| Place { id: BranchId { transaction: id, branch }, witness: Witness::default() };
        let branches = branches.into_iter().map(place).collect();
        let shared = Running::new(shared);
        let drive = Self { shared, machine, branches, events, answer: Some(answer), retries: 0 };
        tokio::spawn(drive.run(first, incoming));
        answered
    }

    async fn run(mut self, first: Event, mut incoming: mpsc::UnboundedReceiver<Event>) {
        let mut next = Some(first);
        loop {
            if let Some(event) = next.take() {
                self.learn(&event);
                let actions = self.machine.handle(self.shared.now_ms(), event);
                self.count_retries();
                for action in actions {
                    if self.perform(action) {
                        return;
                    }
                }
            }
            let due = self.machine.due_ms().unwrap_or(u64::MAX);
            let wait = Duration::from_millis(due.saturating_sub(self.shared.now_ms()).min(3_600_000));
            tokio::select! {
                event = incoming.recv() => next = event,
                () = tokio::time::sleep(wait) => next = Some(Event::Tick),
            }
        }
    }

    fn learn(&mut self, event: &Event) {
        if let Event::Voted { branch, vote: Voted::Prepared(witness) } = event {
            self.branches[*branch].witness = witness.clone();
        }
    }

    fn count_retries(&mut self) {
        let retries = self.machine.retries();
        self.shared.metrics.retries.fetch_add(retries.saturating_sub(self.retries), Relaxed);
        self.retries = retries;
    }

    /// Starts an action, whose answer comes as an event; `true` at the end.
    fn perform(&mut self, action: Action) -> bool {
        match action {
            Action::Prepare { branch } => self.prepare(branch),
            Action::CommitAlone { branch } => self.commit_at_once(branch),
            Action::Decide(record) => {
                let id = self.machine.id();
                self.spawn(async move |shared| Event::Written(shared.decide(id, &record).await));
            }
            Action::ReadDecision => {
                let id = self.machine.id();
                self.spawn(async move |shared| {
                    Event::Read(shared.observed(&id, Step::ReadDecision, shared.log.read(id)).await)
                });
            }
            Action::Finish { branch, decision, release: _ } => self.finish(branch, decision),
            Action::Inspect { branch } => {
                let (id, prepared) = (self.machine.id(), self.prepared(branch));
                self.spawn(async move |shared| Event::Inspected {
                    branch,
                    presence: shared.inspect(id, &prepared).await,
                });
            }
            Action::Answer(answer) => self.tell(answer),
            Action::Forget => self.shared.forget(self.machine.id()),
            Action::Keep(record) => {
                let (shared, id) = (Running::new(&self.shared), self.machine.id());
                // Recovery finds the record as it was, and keeps it in its turn.
                tokio::spawn(async move { drop(shared.log.keep(id, &record).await) });
            }
            Action::End => return true,
        }
        false
    }

    fn spawn<F: Future<Output = Event> + Send + 'static>(
        &self,
        action: impl FnOnce(Arc<Shared>) -> F + Send + 'static,
    ) {
        let (shared, events) = (Arc::clone(&*self.shared), self.events.clone());
        // The transaction may have ended without this answer.
        tokio::spawn(async move { drop(events.send(action(shared).await)) });
    }

    fn prepared(&self, branch: usize) -> PreparedBranch {
        let place = &self.branches[branch];
        PreparedBranch { branch: place.id.branch.clone(), witness: place.witness.clone() }
    }

    fn prepare(&self, branch: usize) {
        let id = self.branches[branch].id.clone();
        self.spawn(async move |shared| {
            let began = Instant::now();
            let vote = match shared.participant(&id) {
                Ok(participant) => {
                    let step = Step::Prepare(id.branch.resource.clone());
                    shared.observed(&id.transaction, step, participant.prepare(&id)).await
                }
                Err(why) => Vote::Refused(why),
            };
            shared.metrics.prepare.record(began.elapsed());
            match vote {
                Vote::Prepared { receipt } => match Witness::new(&receipt) {
                    Ok(witness) => Event::Voted { branch, vote: Voted::Prepared(witness) },
                    Err(error) => Event::PrepareFailed { branch, reason: error.to_string() },
                },
                Vote::ReadOnly => Event::Voted { branch, vote: Voted::ReadOnly },
                Vote::Refused(why) => Event::Voted { branch, vote: Voted::Refused(why) },
                Vote::Unknown(reason) => Event::PrepareFailed { branch, reason },
            }
        });
    }

    fn commit_at_once(&self, branch: usize) {
        let id = self.branches[branch].id.clone();
        self.spawn(async move |shared| {
            let participant = match shared.participant(&id) {
                Ok(participant) => participant,
                Err(why) => return Event::CommittedAlone(Alone::Refused(why)),
            };
            let step = Step::CommitAtOnce(id.branch.resource.clone());
            let finish = shared.observed(&id.transaction, step, participant.commit_at_once(&id)).await;
            Event::CommittedAlone(match finish {
                Finish::Done => Alone::Committed,
                Finish::Refused(why) => {
                    // It may still be as it was, if it could not even be asked.
                    participant.abort(&id, "").await;
                    Alone::Refused(why)
                }
                Finish::NotFound => Alone::Refused("there is no such branch".to_owned()),
                Finish::Unknown(why) => Alone::Unknown(why),
                Finish::Heuristic(heuristic) => Alone::Unknown(heuristic.evidence),
            })
        });
    }

    fn finish(&self, branch: usize, decision: Decision) {
        let (id, prepared) = (self.machine.id(), self.prepared(branch));
        self.spawn(async move |shared| Event::Finished {
            branch,
            answer: shared.finish(id, &prepared, decision).await,
        });
    }

    fn tell(&mut self, answer: Answer) {
        let metrics = &self.shared.metrics;
        let counter = match answer.outcome {
            Outcome::Committed => &metrics.committed,
            Outcome::Aborted(_) => &metrics.aborted,
            Outcome::Unknown(_) => &metrics.unknown,
        };
        counter.fetch_add(1, Relaxed);
        if let Some(caller) = self.answer.take() {
            // The caller may have gone.
            let _gone = caller.send(answer);
        }
    }
}
