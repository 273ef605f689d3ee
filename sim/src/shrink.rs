//! Reduces a failing run to what the failure needs.

use crate::plan::Plan;
use crate::world::run;

/// Most runs spent on one reduction.
const RUNS_MAX: usize = 300;

/// A plan that breaks the same guarantee with fewer faults, clients and time; the plan itself if it
/// breaks none.
pub fn shrink(plan: &Plan) -> Plan {
    let outcome = run(plan, false);
    let Some(violation) = outcome.violation else { return plan.clone() };
    let mut search = Search { guarantee: violation.guarantee, best: plan.clone(), runs_left: RUNS_MAX };
    search.end_early(outcome.ended_us);
    search.drop_faults();
    search.drop_clients();
    search.drop_faults();
    search.end_early(outcome.ended_us);
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

    /// Ends all faults soon after, or before, the failure or the last fault: a failure that shows
    /// only after all faults have ended comes long after them.
    fn end_early(&mut self, ended_us: u64) {
        let end_us = ended_us.min(self.best.faulty_us);
        let last_us = self.best.faults.last().map_or(0, |(at_us, _)| at_us + 1);
        let mut ends = [end_us / 4, end_us / 2, end_us / 4 * 3, end_us, last_us];
        ends.sort_unstable();
        for faulty_us in ends {
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

#[cfg(test)]
mod tests {
    use server::config::EngineKind;

    use super::*;
    use crate::faults::{Fault, Target};

    /// Two of three lose their disks at once: the third may not continue alone, whatever else
    /// happens.
    #[test]
    fn faults_that_a_failure_does_not_need_are_left_out() {
        let wipe = |member| Fault::Wipe { target: Target::Member(member), off_us: 100_000 };
        let ensembles = (1..).map(|seed| Plan::new(seed, EngineKind::Raft));
        let mut plan = ensembles
            .into_iter()
            .find(|plan| plan.members == 3 && plan.clients > 1 && plan.faults.len() > 4)
            .expect("there are such seeds");
        assert_eq!(run(&plan, false).violation, None, "it passes without these faults");
        plan.faults.extend([(1_500_000, wipe(1)), (1_500_000, wipe(2))]);
        plan.faults.sort_by_key(|(at_us, _)| *at_us);
        let broken = run(&plan, false).violation.expect("the ensemble cannot recover").guarantee;

        let small = shrink(&plan);
        assert_eq!(run(&small, false).violation.map(|v| v.guarantee), Some(broken), "the same failure");
        assert_eq!(small.faults, [(1_500_000, wipe(1)), (1_500_000, wipe(2))], "no other fault is left");
        assert_eq!(small.clients, 1);
        assert!(small.faulty_us < plan.faulty_us, "the faulty phase is shorter");
        assert_eq!(shrink(&small).faults, small.faults, "a minimal plan stays the same");
    }
}
