//! A failure with as little around it as possible.

use crate::plan::Plan;
use crate::world::run;

/// Runs that may be spent on it.
const RUNS_MAX: usize = 300;

/// A plan that breaks the same guarantee with fewer faults, clients and time; the plan itself if it breaks none.
pub fn shrink(plan: &Plan) -> Plan {
    let outcome = run(plan, false);
    let Some(violation) = outcome.violation else { return plan.clone() };
    let mut search = Search { guarantee: violation.guarantee, best: plan.clone(), runs_left: RUNS_MAX };
    search.end_early(outcome.ended_us);
    search.drop_faults();
    search.drop_clients();
    search.drop_faults();
    search.best
}

struct Search {
    guarantee: &'static str,
    best: Plan,
    runs_left: usize,
}

impl Search {
    /// Keeps the plan if it breaks the same guarantee.
    fn keep(&mut self, plan: Plan) -> bool {
        if self.runs_left == 0 {
            return false;
        }
        self.runs_left -= 1;
        let fails =
            run(&plan, false).violation.is_some_and(|violation| violation.guarantee == self.guarantee);
        if fails {
            self.best = plan;
        }
        fails
    }

    /// Lets everything be well soon after, or before, it failed.
    fn end_early(&mut self, ended_us: u64) {
        for faulty_us in [ended_us / 4, ended_us / 2, ended_us / 4 * 3, ended_us] {
            if faulty_us < self.best.faulty_us {
                let mut plan = self.best.clone();
                plan.faulty_us = faulty_us;
                plan.faults.retain(|(at_us, _)| *at_us < faulty_us);
                if self.keep(plan) {
                    return;
                }
            }
        }
    }

    /// Leaves out faults: many at once first, then one by one.
    fn drop_faults(&mut self) {
        let mut size = self.best.faults.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.best.faults.len() {
                let mut plan = self.best.clone();
                plan.faults.drain(at..(at + size).min(plan.faults.len()));
                if !self.keep(plan) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn drop_clients(&mut self) {
        for clients in 1..self.best.clients {
            let mut plan = self.best.clone();
            plan.clients = clients;
            if self.keep(plan) {
                return;
            }
        }
    }
}
