//! What is looked at again and again: what is prepared for how long, the end.

use commit::id::TransactionId;

use super::{Happening, World};
use crate::judge;

/// How often, in ms.
const WATCH_MS: u64 = 50;

/// While an agent of a transaction works that has not crashed since it voted, none is prepared for
/// longer than this, in ms.
const BLOCKED_MS: u64 = 1_000;

/// After the last fault everything is finished in this time, in ms.
const END_MS: u64 = 4_000;

impl World<'_> {
    pub(super) fn watch(&mut self) {
        self.queue.push(self.now_ms + WATCH_MS, Happening::Watch);
        let now_ms = self.now_ms;
        let agents = &self.agents;
        for (id, begun) in &mut self.begun {
            let works = |participant: &usize| {
                let it = &agents[*participant];
                it.down == 0 && it.agents.get(id).is_some_and(|agent| agent.is_operational())
            };
            if !begun.participants.iter().any(works) {
                begun.clear_since_ms = now_ms;
            }
        }
        for participant in 0..self.participants.len() {
            if self.agents[participant].down == 0 {
                self.watch_prepared(participant);
            }
        }
        if self.now_ms > self.plan.faulty_ms {
            self.watch_end();
        }
    }

    fn watch_prepared(&mut self, participant: usize) {
        let prepared = &self.participants[participant].prepared;
        let wait_ms = |id: &TransactionId, at_ms: u64| {
            self.now_ms - self.begun[id].clear_since_ms.max(self.last_fault_ms).max(at_ms)
        };
        let waits = prepared.iter().map(|(id, at_ms)| wait_ms(id, *at_ms));
        self.longest_ms = waits.fold(self.longest_ms, u64::max);
        let blocked = prepared.iter().find(|(id, at_ms)| wait_ms(id, **at_ms) > BLOCKED_MS);
        if let Some((id, at_ms)) = blocked {
            let transaction = self.begun[id].transaction;
            let detail = format!("transaction {transaction} is prepared in {participant} since {at_ms} ms");
            self.judge.broken(judge::NO_BLOCKING, detail, self.now_ms);
        }
    }

    fn watch_end(&mut self) {
        let is_done = self.processes.iter().all(|process| process.coordinators.is_empty())
            && self.participants.iter().all(|participant| participant.prepared.is_empty());
        if is_done {
            self.judge.run_is_over(self.now_ms);
            self.is_over = true;
        } else if self.now_ms > self.plan.faulty_ms + END_MS {
            let detail = "a branch is prepared, or a coordinator has not ended".to_owned();
            self.judge.broken(judge::ENDS, detail, self.now_ms);
        }
    }
}
