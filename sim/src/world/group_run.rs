//! What a run records of one consensus group.

use crate::checkers::agreement::Agreement;
use crate::checkers::{self, Violation};
use crate::history::History;
use crate::plan::Plan;

/// One group's committed log and the history of its clients.
pub(super) struct GroupRun {
    pub(super) agreement: Agreement,
    pub(super) history: History,
    /// Number of calls made before all faults ended.
    pub(super) calls_before_faults_ended: usize,
    /// The last committed index at the previous check: all members should have applied it by the
    /// next one.
    pub(super) committed_at_check: u64,
}

impl Default for GroupRun {
    fn default() -> GroupRun {
        GroupRun {
            agreement: Agreement::default(),
            history: History::default(),
            calls_before_faults_ended: 0,
            committed_at_check: u64::MAX,
        }
    }
}

impl GroupRun {
    /// Number of replies that clients received.
    pub(super) fn replies(&self) -> usize {
        self.history.calls.iter().filter(|call| call.reply.is_some()).count()
    }

    /// Whether a write of this client succeeded after all faults had ended.
    pub(super) fn serves(&self, client: usize) -> bool {
        let proofs = &self.history.calls[self.calls_before_faults_ended..];
        let mut served = proofs.iter().filter(|call| call.client == client && call.opcode > 0);
        served.any(|call| call.reply.as_ref().is_some_and(|reply| reply.err == 0))
    }

    /// Judges the run, which has ended.
    ///
    /// # Errors
    /// The first guarantee that is broken.
    pub(super) fn judge(&mut self, ended_us: u64, plan: &Plan) -> Result<(), Violation> {
        self.history.ended_us = ended_us;
        checkers::judge(&self.history, &self.agreement, plan)
    }
}
