//! Two-phase commit: the coordinator of one transaction.
//!
//! ```text
//!  New ──Begin──► Readers ──► Alone ──────────────────────────────┐
//!            │       │         (one branch writes: no log)        │
//!            │       ▼                                            ▼
//!            └──► Preparing ──all prepared──► Deciding ──────► Finishing ──► Ended
//!                    │                           │  ▲             ▲
//!                    │ a refusal, a timeout      ▼  │             │
//!                    │                         Reading ───────────┤
//!                    └── abort: nothing is written ───────────────┘
//! ```
//!
//! The coordinator may abort by itself as long as it has not asked the log to store a commit.
//! Afterwards it only obeys what the log says: somebody else may have decided to abort.

mod deciding;
mod event;
mod members;
#[cfg(test)]
mod tests;

pub use event::{Action, Event};
pub use members::{BadMembers, Member};

use crate::branch::Branch;
use crate::decision::{Alone, Answer, Decision, Outcome, Vote};
use crate::finishing::{Finishing, Step};
use crate::id::TransactionId;
use crate::settings::Settings;
use members::Members;

/// The coordinator of one transaction.
#[derive(Clone, Debug)]
pub struct Coordinator {
    id: TransactionId,
    /// Who it is, for the record.
    name: String,
    settings: Settings,
    members: Members,
    phase: Phase,
    /// When the phase has to do something by itself.
    phase_due_ms: Option<u64>,
    /// When the caller is told, at the latest.
    answer_due_ms: Option<u64>,
    answered: bool,
    /// The log has, or may come to have, writes of ours that were never answered.
    unanswered_writes: u32,
    log_attempts: u32,
    outcome: Option<Outcome>,
}

#[derive(Clone, Debug)]
enum Phase {
    New,
    /// The branches that should only have read are prepared first.
    Readers,
    Preparing,
    /// The only branch that writes commits by itself.
    Alone,
    Deciding(Log),
    Reading(Log),
    Finishing(Finishing),
    Ended,
}

/// Whether the log has been asked, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    Asked,
    Waiting,
}

impl Coordinator {
    /// A coordinator called `name` for this transaction; it does nothing until [`Event::Begin`].
    ///
    /// # Errors
    /// If there are no members, more than [`Member::COUNT_MAX`], or two of one resource.
    pub fn new(
        id: TransactionId,
        name: &str,
        members: Vec<Member>,
        settings: Settings,
    ) -> Result<Coordinator, BadMembers> {
        Ok(Coordinator {
            id,
            name: name.to_owned(),
            settings,
            members: Members::new(members)?,
            phase: Phase::New,
            phase_due_ms: None,
            answer_due_ms: None,
            answered: false,
            unanswered_writes: 0,
            log_attempts: 0,
            outcome: None,
        })
    }

    /// The transaction.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// How it ends, once that is known to this coordinator.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether it takes no more events.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// The branches that have been told the decision and are not finished, each with the reason of
    /// the last failure, or "".
    pub fn unfinished(&self) -> Vec<(&Branch, &str)> {
        match &self.phase {
            Phase::Finishing(finishing) => {
                finishing.unfinished().map(|(branch, trouble)| (&branch.branch, trouble)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Requests to participants that were repeated.
    pub fn retries(&self) -> u64 {
        match &self.phase {
            Phase::Finishing(finishing) => finishing.retries(),
            _ => 0,
        }
    }

    /// When [`Event::Tick`] is due, in ms of the time that [`handle`](Self::handle) is told;
    /// `None`: never.
    pub fn due_ms(&self) -> Option<u64> {
        let phase = match &self.phase {
            Phase::Finishing(finishing) => finishing.due_ms(),
            _ => self.phase_due_ms,
        };
        [phase, self.answer_due_ms.filter(|_| !self.answered)].into_iter().flatten().min()
    }

    /// Takes one event, and returns the actions for the driver. `now_ms` never decreases and may
    /// begin anywhere.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Begin => self.begin(now_ms, &mut actions),
            Event::Cancel(reason) => self.cancel(reason, now_ms, &mut actions),
            Event::Voted { branch, vote } => self.voted(branch, vote, now_ms, &mut actions),
            Event::PrepareFailed { branch, reason } => {
                if self.is_preparing() && self.members.prepare_failed(branch) {
                    let reason = format!("{}: {reason}", self.members.branch(branch));
                    self.abort(reason, now_ms, &mut actions);
                }
            }
            Event::CommittedAlone(answer) => self.committed_alone(answer, now_ms, &mut actions),
            Event::Written(logged) => self.written(logged, now_ms, &mut actions),
            Event::Read(logged) => self.read(logged, now_ms, &mut actions),
            Event::Finished { branch, answer } => {
                self.finish_step(branch, now_ms, &mut actions, |finishing, at, settings| {
                    finishing.finished(at, answer, now_ms, settings)
                });
            }
            Event::Inspected { branch, presence } => {
                self.finish_step(branch, now_ms, &mut actions, |finishing, at, settings| {
                    finishing.inspected(at, presence, now_ms, settings)
                });
            }
            Event::Tick => {}
        }
        self.tick(now_ms, &mut actions);
        actions
    }

    fn begin(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::New) {
            return;
        }
        if let Some(writer) = self.members.only_writer() {
            let readers = self.members.readers();
            if readers.is_empty() {
                return self.commit_alone(writer, now_ms, actions);
            }
            self.phase = Phase::Readers;
            self.prepare(readers, now_ms, actions);
        } else {
            self.phase = Phase::Preparing;
            self.prepare(self.members.all(), now_ms, actions);
        }
    }

    fn prepare(&mut self, branches: Vec<usize>, now_ms: u64, actions: &mut Vec<Action>) {
        self.phase_due_ms = Some(now_ms.saturating_add(self.settings.prepare_timeout_ms));
        for branch in branches {
            self.members.asked(branch);
            actions.push(Action::Prepare { branch });
        }
    }

    fn commit_alone(&mut self, branch: usize, now_ms: u64, actions: &mut Vec<Action>) {
        self.phase = Phase::Alone;
        self.members.asked(branch);
        self.phase_due_ms = Some(now_ms.saturating_add(self.settings.finish_timeout_ms));
        actions.push(Action::CommitAlone { branch });
    }

    fn is_preparing(&self) -> bool {
        matches!(self.phase, Phase::Readers | Phase::Preparing)
    }

    fn cancel(&mut self, reason: String, now_ms: u64, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::New | Phase::Readers | Phase::Preparing) {
            self.abort(reason, now_ms, actions);
        }
    }

    fn voted(&mut self, branch: usize, vote: Vote, now_ms: u64, actions: &mut Vec<Action>) {
        if !self.is_preparing() {
            return;
        }
        let refusal = match &vote {
            Vote::Refused(reason) => Some(format!("{}: {reason}", self.members.branch(branch))),
            Vote::Prepared(_) | Vote::ReadOnly => None,
        };
        self.members.voted(branch, vote);
        if let Some(reason) = refusal {
            self.abort(reason, now_ms, actions);
        } else if self.members.all_asked_have_voted() {
            self.have_voted(now_ms, actions);
        }
    }

    /// All that were asked have voted, and none refused.
    fn have_voted(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let prepared = self.members.prepared();
        if matches!(self.phase, Phase::Readers) {
            let writer = self.members.only_writer().expect("the phase has one");
            if prepared.is_empty() {
                return self.commit_alone(writer, now_ms, actions);
            }
            // A branch that should only have read has to be committed too.
            self.phase = Phase::Preparing;
            self.prepare(vec![writer], now_ms, actions);
        } else if prepared.is_empty() {
            self.decided(Decision::Commit, Outcome::Committed, now_ms, actions);
        } else {
            self.answer_due_ms = Some(now_ms.saturating_add(self.settings.decide_patience_ms));
            self.decide(now_ms, actions);
        }
    }

    fn committed_alone(&mut self, answer: Alone, now_ms: u64, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Alone) {
            return;
        }
        let outcome = match answer {
            Alone::Committed => Outcome::Committed,
            Alone::Refused(reason) => Outcome::Aborted(reason),
            Alone::Unknown(reason) => Outcome::Unknown(reason),
        };
        self.end(outcome, now_ms, actions);
    }

    /// Aborts without asking the log, which has nothing of this transaction from here.
    fn abort(&mut self, reason: String, now_ms: u64, actions: &mut Vec<Action>) {
        self.decided(Decision::Abort, Outcome::Aborted(reason), now_ms, actions);
    }

    /// The decision is known, and durable as far as it has to be.
    fn decided(&mut self, decision: Decision, outcome: Outcome, now_ms: u64, actions: &mut Vec<Action>) {
        let branches = match decision {
            Decision::Commit => self.members.to_commit(),
            Decision::Abort => self.members.to_abort(),
        };
        self.outcome = Some(outcome);
        self.answer_due_ms = Some(now_ms.saturating_add(self.settings.finish_patience_ms));
        self.phase_due_ms = None;
        self.phase = Phase::Finishing(Finishing::new(decision, branches, now_ms));
        self.finish_due(now_ms, actions);
    }

    fn finish_step(
        &mut self,
        member: usize,
        now_ms: u64,
        actions: &mut Vec<Action>,
        step: impl FnOnce(&mut Finishing, usize, &Settings) -> Option<Step>,
    ) {
        let Phase::Finishing(finishing) = &mut self.phase else { return };
        let Some(at) = self.members.get(member).and_then(|branch| finishing.place(branch)) else { return };
        if let Some(step) = step(finishing, at, &self.settings) {
            let decision = finishing.decision();
            actions.push(action(step, member, decision));
        }
        self.finish_due(now_ms, actions);
    }

    /// Tells the branches whose time has come, and ends when all are finished.
    fn finish_due(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Phase::Finishing(finishing) = &mut self.phase else { return };
        let decision = finishing.decision();
        for step in finishing.due(now_ms, &self.settings) {
            let (Step::Finish { at, .. } | Step::Inspect { at }) = step;
            let member = self.members.place(&finishing.branch(at).branch);
            actions.push(action(step, member, decision));
        }
        if finishing.is_finished() {
            self.finished_all(now_ms, actions);
        }
    }

    fn tick(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let is_due = self.phase_due_ms.is_some_and(|due_ms| due_ms <= now_ms);
        match self.phase {
            Phase::Readers | Phase::Preparing if is_due => {
                let reason = format!("no vote in time from {}", self.members.silent());
                self.abort(reason, now_ms, actions);
            }
            Phase::Alone if is_due => {
                let reason = "the participant did not say in time whether it committed".to_owned();
                self.end(Outcome::Unknown(reason), now_ms, actions);
            }
            Phase::Deciding(_) | Phase::Reading(_) if is_due => self.log_due(now_ms, actions),
            Phase::Finishing(_) => self.finish_due(now_ms, actions),
            _ => {}
        }
        if self.answer_due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.answer(actions);
        }
    }

    /// Tells the caller what is known, if it has not been told.
    fn answer(&mut self, actions: &mut Vec<Action>) {
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        let in_doubt = || Outcome::Unknown("the log did not say in time what was decided".to_owned());
        let (unfinished, heuristics) = match &self.phase {
            Phase::Finishing(finishing) => {
                let unfinished = finishing.unfinished().map(|(branch, _)| branch.branch.clone());
                (unfinished.collect(), finishing.heuristics())
            }
            _ => (Vec::new(), Vec::new()),
        };
        let outcome = self.outcome.clone().unwrap_or_else(in_doubt);
        actions.push(Action::Answer(Answer { outcome, unfinished, heuristics }));
    }

    /// Nothing is left for this coordinator.
    fn end(&mut self, outcome: Outcome, _now_ms: u64, actions: &mut Vec<Action>) {
        self.outcome = Some(outcome);
        self.answer(actions);
        self.phase = Phase::Ended;
        self.phase_due_ms = None;
        self.answer_due_ms = None;
        actions.push(Action::End);
    }
}

fn action(step: Step, branch: usize, decision: Decision) -> Action {
    match step {
        Step::Finish { release, .. } => Action::Finish { branch, decision, release },
        Step::Inspect { .. } => Action::Inspect { branch },
    }
}
