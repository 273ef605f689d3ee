//! Processes and their coordinators.

use commit::id::TransactionId;
use commit::three_phase::{CoordinatorAction, CoordinatorEvent, Party};

use super::{Happening, World};

impl World<'_> {
    /// Tells a coordinator what happened, if it still lives.
    pub(super) fn coordinator_event(&mut self, process: usize, id: TransactionId, event: CoordinatorEvent) {
        let now_ms = self.now_ms;
        let Some(coordinator) = self.processes[process].coordinators.get_mut(&id) else { return };
        let actions = coordinator.handle(now_ms, event);
        let generation = self.processes[process].generation;
        for action in actions {
            match action {
                CoordinatorAction::Send { to, message } => {
                    self.send(id, Party::Coordinator, Party::Agent(to), message);
                }
                CoordinatorAction::Answer(answer) => {
                    self.say(|| format!("the caller of {id} is told: {answer:?}"));
                    let transaction = self.begun[&id].transaction;
                    self.judge.answers(transaction, &answer.outcome, now_ms);
                }
                CoordinatorAction::End => {
                    self.processes[process].coordinators.remove(&id);
                }
            }
            if self.process_crashes_now(process, generation) {
                return;
            }
        }
        self.set_process_alarm(process);
    }

    fn process_crashes_now(&mut self, process: usize, generation: u32) -> bool {
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

    /// Everything in its memory is lost.
    pub(super) fn process_down(&mut self, process: usize, for_ms: u64) {
        self.say(|| format!("process {process} crashes for {for_ms} ms"));
        self.last_fault_ms = self.now_ms;
        self.incarnations += 1;
        let it = &mut self.processes[process];
        it.down += 1;
        it.generation += 1;
        it.incarnation = self.incarnations;
        it.coordinators.clear();
        it.wake_ms = None;
        self.queue.push(self.now_ms + for_ms, Happening::ProcessUp(process));
    }

    fn set_process_alarm(&mut self, process: usize) {
        let it = &mut self.processes[process];
        let Some(due_ms) = it.coordinators.values().filter_map(|it| it.due_ms()).min() else { return };
        let due_ms = due_ms.max(self.now_ms + 1);
        if it.wake_ms.is_none_or(|wake_ms| wake_ms > due_ms) {
            it.wake_ms = Some(due_ms);
            self.queue.push(due_ms, Happening::WakeProcess(process, it.generation));
        }
    }

    pub(super) fn wake_process(&mut self, process: usize, generation: u32) {
        let now_ms = self.now_ms;
        let it = &mut self.processes[process];
        if it.generation != generation || it.wake_ms != Some(now_ms) {
            return;
        }
        it.wake_ms = None;
        let due = it.coordinators.iter().filter(|(_, it)| it.due_ms().is_some_and(|due_ms| due_ms <= now_ms));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.coordinator_event(process, id, CoordinatorEvent::Tick);
            if self.processes[process].generation != generation {
                return;
            }
        }
        self.set_process_alarm(process);
    }
}
