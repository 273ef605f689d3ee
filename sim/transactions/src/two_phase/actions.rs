//! What coordinators and recovery want done becomes messages.

use commit::id::{BranchId, TransactionId};
use commit::record::PreparedBranch;
use commit::{recovery, two_phase};

use super::{Happening, LogOp, Op, Request, World};
use crate::judge;

impl World<'_> {
    /// Tells a coordinator what happened, if it still lives.
    pub(super) fn coordinator_event(&mut self, process: usize, id: TransactionId, event: two_phase::Event) {
        let now_ms = self.now_ms;
        let Some(coordinator) = self.processes[process].coordinators.get_mut(&id) else { return };
        let actions = coordinator.handle(now_ms, event);
        let generation = self.processes[process].generation;
        for action in actions {
            if self.trace {
                self.say(|| {
                    format!("process {process}, transaction {}: {action:?}", self.begun[&id].transaction)
                });
            }
            self.coordinator_wants(process, id, action);
            if self.crashes_now(process, generation) {
                return;
            }
        }
        self.set_alarm(process);
    }

    fn coordinator_wants(&mut self, process: usize, id: TransactionId, action: two_phase::Action) {
        use two_phase::Action;
        match action {
            Action::Prepare { branch } => self.ask(process, id, branch, Op::Prepare),
            Action::CommitAlone { branch } => self.ask(process, id, branch, Op::CommitAlone),
            Action::Finish { branch, decision, release } => {
                self.ask(process, id, branch, Op::Finish { decision, release });
            }
            Action::Inspect { branch } => self.ask(process, id, branch, Op::Inspect),
            Action::Decide(record) => self.send_log(process, LogOp::Decide(id, record)),
            Action::ReadDecision => self.send_log(process, LogOp::ReadDecision(id)),
            Action::Forget => self.send_log(process, LogOp::Forget(id)),
            Action::Keep(record) => {
                self.by_hand(id);
                self.send_log(process, LogOp::Keep(id, record));
            }
            Action::Answer(answer) => {
                let transaction = self.begun[&id].transaction;
                self.judge.answers(transaction, &answer.outcome, self.now_ms);
            }
            Action::End => {
                self.processes[process].coordinators.remove(&id);
                for (participant, _) in self.begun[&id].branches.clone() {
                    let at_ms = self.now_ms + self.random.between(1, 50);
                    self.queue.push(at_ms, Happening::Close(participant, id));
                }
            }
        }
    }

    fn ask(&mut self, process: usize, id: TransactionId, branch: usize, op: Op) {
        let participant = self.begun[&id].branches[branch].0;
        let generation = self.processes[process].generation;
        let request = Request { participant, process, generation, op, id, scan: 0, recovers: false };
        self.send(request);
    }

    /// Nobody finishes anything by hand in these runs.
    fn by_hand(&mut self, id: TransactionId) {
        let detail = format!("transaction {}: a hand is blamed", self.begun[&id].transaction);
        self.judge.broken(judge::NO_HANDS, detail, self.now_ms);
    }

    /// Tells a process's recovery what happened.
    pub(super) fn recovery_event(&mut self, process: usize, event: recovery::Event) {
        let actions = self.processes[process].recovery.handle(self.now_ms, event);
        let generation = self.processes[process].generation;
        for action in actions {
            if self.trace {
                self.say(|| format!("process {process} recovers: {action:?}"));
            }
            self.recovery_wants(process, action);
            if self.crashes_now(process, generation) {
                return;
            }
        }
        self.set_alarm(process);
    }

    fn recovery_wants(&mut self, process: usize, action: recovery::Action) {
        use recovery::Action;
        match action {
            Action::Read { id } => self.send_log(process, LogOp::ReadFence(id)),
            Action::WriteAbort { id, record } => self.send_log(process, LogOp::WriteAbort(id, record)),
            Action::Finish { id, branch, decision, release } => {
                self.recover(process, id, &branch, Op::Finish { decision, release });
            }
            Action::Inspect { id, branch } => self.recover(process, id, &branch, Op::Inspect),
            Action::Forget { id } => self.send_log(process, LogOp::Forget(id)),
            Action::Keep { id, record } => {
                self.by_hand(id);
                self.send_log(process, LogOp::Keep(id, record));
            }
            Action::Resolved { .. } => {}
        }
    }

    fn recover(&mut self, process: usize, id: TransactionId, branch: &PreparedBranch, op: Op) {
        let branches = &self.begun[&id].branches;
        let found =
            branches.iter().find(|(_, name)| *name == branch.branch).expect("a branch that was begun");
        let generation = self.processes[process].generation;
        let request = Request { participant: found.0, process, generation, op, id, scan: 0, recovers: true };
        self.send(request);
    }

    /// The branch of a transaction in a participant, by its place and its name.
    pub(super) fn branch(&self, id: TransactionId, participant: usize) -> (usize, BranchId) {
        let branches = &self.begun[&id].branches;
        let place = branches.iter().position(|(at, _)| *at == participant).expect("it takes part");
        (place, BranchId { transaction: id, branch: branches[place].1.clone() })
    }

    /// Counts an action; `true` if the process is no longer what it was.
    fn crashes_now(&mut self, process: usize, generation: u32) -> bool {
        if self.processes[process].generation != generation {
            return true;
        }
        self.processes[process].actions += 1;
        let actions = self.processes[process].actions;
        let crash = self.plan.crash_after(process, actions, self.now_ms);
        if let Some(for_ms) = crash {
            self.process_down(process, for_ms);
        }
        crash.is_some()
    }

    /// Sees to it that a process looks at its machines when something is due.
    pub(super) fn set_alarm(&mut self, process: usize) {
        let it = &mut self.processes[process];
        let Some(due_ms) = it.due_ms() else { return };
        let due_ms = due_ms.max(self.now_ms + 1);
        if it.wake_ms.is_none_or(|wake_ms| wake_ms > due_ms) {
            it.wake_ms = Some(due_ms);
            self.queue.push(due_ms, Happening::Wake(process, it.generation));
        }
    }

    pub(super) fn wake(&mut self, process: usize, generation: u32) {
        let it = &mut self.processes[process];
        if it.generation != generation || it.wake_ms.is_none_or(|wake_ms| wake_ms > self.now_ms) {
            return;
        }
        it.wake_ms = None;
        let now_ms = self.now_ms;
        let due = it.coordinators.iter().filter(|(_, it)| it.due_ms().is_some_and(|due_ms| due_ms <= now_ms));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.coordinator_event(process, id, two_phase::Event::Tick);
            if self.processes[process].generation != generation {
                return;
            }
        }
        if self.processes[process].recovery.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.recovery_event(process, recovery::Event::Tick);
        }
        if self.processes[process].generation == generation {
            self.set_alarm(process);
        }
    }
}
