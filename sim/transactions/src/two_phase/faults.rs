//! Faults begin and end.

use super::{Happening, Sides, World};
use crate::plan::Fault;

/// The longest time after which a participant notices that a process is gone, in ms.
const NOTICED_MS: u64 = 400;

impl World<'_> {
    pub(super) fn fault(&mut self, at: usize) {
        self.last_fault_ms = self.now_ms;
        match self.plan.faults[at].1.clone() {
            Fault::Process { process, for_ms } => self.process_down(process, for_ms),
            Fault::Participant { participant, for_ms } => {
                self.participants_down[participant] += 1;
                self.participants[participant].crash(&mut self.judge, self.now_ms);
                self.queue.push(self.now_ms + for_ms, Happening::ParticipantUp(participant));
            }
            Fault::Member { member, for_ms } => {
                self.members_down[member] += 1;
                self.queue.push(self.now_ms + for_ms, Happening::MemberUp(member));
            }
            Fault::Partition { processes, participants, members, for_ms } => {
                let number = self.sides.number + 1;
                self.sides = Sides { number, processes, participants, members };
                self.queue.push(self.now_ms + for_ms, Happening::Heal(number));
            }
            Fault::Pause { process, for_ms } => {
                let until_ms = &mut self.processes[process].paused_until_ms;
                *until_ms = (*until_ms).max(self.now_ms + for_ms);
            }
            Fault::Rough { for_ms } => {
                self.rough += 1;
                self.queue.push(self.now_ms + for_ms, Happening::Smooth);
            }
        }
    }

    pub(super) fn process_down(&mut self, process: usize, for_ms: u64) {
        self.say(|| format!("process {process} crashes for {for_ms} ms"));
        self.last_fault_ms = self.now_ms;
        let owner = (process, self.processes[process].generation);
        self.processes[process].down += 1;
        self.processes[process].crash(process, self.plan);
        for participant in 0..self.participants.len() {
            let longest_ms = if self.random.percent(70) { 10 } else { NOTICED_MS };
            let at_ms = self.now_ms + self.random.between(1, longest_ms);
            self.queue.push(at_ms, Happening::ConnectionsEnd(participant, owner));
        }
        self.queue.push(self.now_ms + for_ms, Happening::ProcessUp(process));
    }

    pub(super) fn process_up(&mut self, process: usize) {
        self.last_fault_ms = self.now_ms;
        self.processes[process].down -= 1;
        if self.processes[process].is_up() {
            self.processes[process].recovers = self.plan.all_recover;
            self.starts(process);
        }
    }
}
