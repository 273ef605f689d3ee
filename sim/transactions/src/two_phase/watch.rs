//! What is looked at again and again: sessions, what is prepared for how long, the end.

use super::{Happening, World};
use crate::judge;

/// How often, in ms.
const WATCH_MS: u64 = 50;

/// A session that was not heard for this long is over, in ms.
const SESSION_MS: u64 = 300;

/// A branch that can reach what decides is prepared for no longer than this, in ms.
const BLOCKED_MS: u64 = 1_500;

/// After the last fault everything is finished and cleaned up in this time, in ms.
const END_MS: u64 = 4_000;

impl World<'_> {
    pub(super) fn watch(&mut self) {
        self.queue.push(self.now_ms + WATCH_MS, Happening::Watch);
        if self.log_side().is_some() {
            self.log.expire(self.now_ms, SESSION_MS);
        } else {
            self.log.forgive(self.now_ms);
        }
        for participant in 0..self.participants.len() {
            if !self.is_clear(participant) {
                self.clear_since_ms[participant] = self.now_ms;
            }
            self.watch_prepared(participant);
        }
        // Callers begin until 100 ms after that.
        if self.now_ms > self.plan.faulty_ms + 2 * WATCH_MS {
            self.watch_end();
        }
    }

    /// Whether the participant works and can reach what should decide.
    fn is_clear(&self, participant: usize) -> bool {
        if self.participants_down[participant] > 0 || self.rough > 0 {
            return false;
        }
        if !self.is_replicated() {
            return true;
        }
        let helps = |process: &usize| {
            self.reaches(*process, participant)
                && self.reaches_log(*process)
                && self.processes[*process].paused_until_ms <= self.now_ms
        };
        (0..self.processes.len()).any(|process| helps(&process))
    }

    fn watch_prepared(&mut self, participant: usize) {
        let since_ms = self.clear_since_ms[participant].max(self.last_fault_ms);
        let prepared = &self.participants[participant].prepared;
        let wait_ms = |at_ms: u64| self.now_ms - since_ms.max(at_ms);
        self.longest_ms = prepared.values().map(|at_ms| wait_ms(*at_ms)).fold(self.longest_ms, u64::max);
        let blocked = prepared.iter().find(|(_, at_ms)| wait_ms(**at_ms) > BLOCKED_MS);
        if let Some((id, at_ms)) = blocked {
            let transaction = self.begun[id].transaction;
            let detail = format!("transaction {transaction} is prepared in {participant} since {at_ms} ms");
            let is_calm = self.now_ms > self.plan.faulty_ms + BLOCKED_MS;
            let guarantee = if is_calm { judge::ENDS } else { judge::NO_BLOCKING };
            self.judge.broken(guarantee, detail, self.now_ms);
        }
    }

    fn watch_end(&mut self) {
        let is_done = self.processes.iter().all(|process| process.coordinators.is_empty())
            && self.participants.iter().all(|participant| participant.prepared.is_empty());
        let left: Vec<_> = (0..if self.is_replicated() { 1 } else { self.files.len() })
            .flat_map(|at| {
                let log = if self.is_replicated() { &self.log } else { &self.files[at] };
                log.records
                    .keys()
                    .filter(|id| !log.is_fence_there(id.coordinator))
                    .copied()
                    .collect::<Vec<_>>()
            })
            .collect();
        if is_done && left.is_empty() {
            self.judge.run_is_over(self.now_ms);
            self.is_over = true;
        } else if self.now_ms > self.plan.faulty_ms + END_MS {
            let detail = match left.first() {
                Some(id) if is_done => {
                    format!("the record of transaction {} stays", self.begun[id].transaction)
                }
                _ => "a coordinator has not ended".to_owned(),
            };
            let guarantee = if is_done { judge::CLEAN } else { judge::ENDS };
            self.judge.broken(guarantee, detail, self.now_ms);
        }
    }
}
