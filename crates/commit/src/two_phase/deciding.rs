//! The decision: one conditional write, and what it may answer.

use super::{Action, Coordinator, Log, Phase};
use crate::decision::{Decision, Logged, Outcome};
use crate::record::Record;

impl Coordinator {
    /// Asks the log to store the commit, unless it has a decision.
    pub(super) fn decide(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        self.phase = Phase::Deciding(Log::Asked);
        self.ask_log(now_ms);
        self.unanswered_writes += 1;
        let record = Record::new(Decision::Commit, &self.name, self.members.prepared());
        actions.push(Action::Decide(record));
    }

    fn read_decision(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        self.phase = Phase::Reading(Log::Asked);
        self.ask_log(now_ms);
        actions.push(Action::ReadDecision);
    }

    fn ask_log(&mut self, now_ms: u64) {
        self.log_attempts = self.log_attempts.saturating_add(1);
        self.phase_due_ms = Some(now_ms.saturating_add(self.settings.log_timeout_ms));
    }

    fn wait_for_log(&mut self, now_ms: u64) {
        if let Phase::Deciding(log) | Phase::Reading(log) = &mut self.phase {
            *log = Log::Waiting;
            self.phase_due_ms = Some(now_ms.saturating_add(self.settings.wait_ms(self.log_attempts)));
        }
    }

    /// The log has not answered in time, or the wait is over.
    pub(super) fn log_due(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Deciding(Log::Asked) | Phase::Reading(Log::Asked) => self.wait_for_log(now_ms),
            // A write is repeated as it was: if it took place after all, the log has this decision.
            Phase::Deciding(Log::Waiting) => self.decide(now_ms, actions),
            Phase::Reading(Log::Waiting) => self.read_decision(now_ms, actions),
            _ => {}
        }
    }

    /// The log answers a write.
    pub(super) fn written(&mut self, logged: Logged, now_ms: u64, actions: &mut Vec<Action>) {
        if !matches!(logged, Logged::Unknown(_)) {
            self.unanswered_writes = self.unanswered_writes.saturating_sub(1);
        }
        if !matches!(self.phase, Phase::Deciding(_) | Phase::Reading(_)) {
            return;
        }
        match logged {
            Logged::Stored => self.is_logged(Decision::Commit, now_ms, actions),
            Logged::Found(decision) => self.is_logged(decision, now_ms, actions),
            Logged::Fenced if self.unanswered_writes == 0 => {
                let reason = "the coordinator was taken for dead before it decided".to_owned();
                self.decided(Decision::Abort, Outcome::Aborted(reason), now_ms, actions);
            }
            Logged::Fenced => self.read_decision(now_ms, actions),
            Logged::Nothing | Logged::Unknown(_) => self.wait_for_log(now_ms),
        }
    }

    /// The log answers a read, which was made since the fence is gone: nothing is written any more.
    pub(super) fn read(&mut self, logged: Logged, now_ms: u64, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Reading(_)) {
            return;
        }
        match logged {
            Logged::Found(decision) => self.is_logged(decision, now_ms, actions),
            // An earlier write may have taken place, and recovery may have finished the transaction
            // and deleted the record.
            Logged::Nothing => {
                let reason =
                    "the coordinator was taken for dead while it decided; recovery finishes what is open";
                self.end(Outcome::Unknown(reason.to_owned()), now_ms, actions);
            }
            Logged::Stored | Logged::Fenced | Logged::Unknown(_) => self.wait_for_log(now_ms),
        }
    }

    fn is_logged(&mut self, decision: Decision, now_ms: u64, actions: &mut Vec<Action>) {
        let outcome = match decision {
            Decision::Commit => Outcome::Committed,
            Decision::Abort => Outcome::Aborted("recovery aborted it before it was decided".to_owned()),
        };
        self.decided(decision, outcome, now_ms, actions);
    }

    /// Every branch is finished: nobody needs the record any more, unless it is to tell what people
    /// did by hand.
    pub(super) fn finished_all(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Phase::Finishing(finishing) = &self.phase else { return };
        let heuristics = finishing.heuristics();
        let decision = finishing.decision();
        if !heuristics.is_empty() {
            let record = Record::new(decision, &self.name, self.members.prepared());
            actions.push(Action::Keep(Record { heuristics, ..record }));
        } else if self.log_attempts > 0 && (decision == Decision::Commit || self.unanswered_writes == 0) {
            // A record of abort stays while a write of ours may still arrive, which would store a
            // commit. Recovery deletes it once this coordinator's fence is gone.
            actions.push(Action::Forget);
        }
        let outcome = self.outcome.clone().expect("a decision has an outcome");
        self.end(outcome, now_ms, actions);
    }
}
