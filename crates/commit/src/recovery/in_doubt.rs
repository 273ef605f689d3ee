//! One open transaction, and how people see it.

use std::collections::BTreeSet;

use super::{Open, Phase, Recovery};
use crate::branch::Branch;
use crate::decision::{Decision, Witness};
use crate::finishing::Finishing;
use crate::id::TransactionId;
use crate::record::{PreparedBranch, Record};
use crate::settings::Settings;

/// A transaction that recovery has seen and that is not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// Which.
    pub id: TransactionId,
    /// When recovery first saw it, in ms of the time it is told.
    pub first_seen_ms: u64,
    /// The branches that are prepared, by the last lists of the resources.
    pub prepared: Vec<Branch>,
    /// What was decided, if recovery has read or written it.
    pub decision: Option<Decision>,
    /// The branches that have to be told, each with the reason why the last attempt failed, or "".
    pub unfinished: Vec<(Branch, String)>,
    /// Why the log could not be read or written the last time, or "".
    pub trouble: String,
    /// Requests to resources that were repeated.
    pub retries: u64,
}

impl Recovery {
    /// What is open, by id.
    pub fn in_doubt(&self) -> impl Iterator<Item = InDoubt> {
        self.open.iter().map(|(id, open)| {
            let finishing = match &open.phase {
                Phase::Finishing { finishing, .. } => Some(finishing),
                _ => None,
            };
            let unfinished = finishing.into_iter().flat_map(Finishing::unfinished);
            let unfinished = unfinished.map(|(known, trouble)| (known.branch.clone(), trouble.to_owned()));
            InDoubt {
                id: *id,
                first_seen_ms: open.first_seen_ms,
                prepared: open.prepared.iter().cloned().collect(),
                decision: finishing.map(Finishing::decision),
                unfinished: unfinished.collect(),
                trouble: open.trouble.clone(),
                retries: finishing.map_or(0, Finishing::retries),
            }
        })
    }
}

impl Open {
    pub(super) fn new(now_ms: u64) -> Open {
        Open {
            first_seen_ms: now_ms,
            prepared: BTreeSet::new(),
            recorded: false,
            phase: Phase::Watching,
            due_ms: now_ms,
            attempts: 0,
            trouble: String::new(),
        }
    }

    /// When something is due; `None`: all branches are finished.
    pub(super) fn due_ms(&self) -> Option<u64> {
        match &self.phase {
            Phase::Finishing { finishing, .. } => finishing.due_ms(),
            _ => Some(self.due_ms),
        }
    }

    pub(super) fn look_now(&mut self, now_ms: u64) {
        if matches!(self.phase, Phase::Watching) {
            self.due_ms = now_ms;
        }
    }

    /// Reads the log again after a wait.
    pub(super) fn watch_again(&mut self, trouble: String, now_ms: u64, settings: &Settings) {
        self.attempts = self.attempts.saturating_add(1);
        self.phase = Phase::Watching;
        self.due_ms = now_ms.saturating_add(settings.wait_ms(self.attempts));
        self.trouble = trouble;
    }

    pub(super) fn prepared_branches(&self) -> Vec<PreparedBranch> {
        let prepared = self.prepared.iter().cloned();
        prepared.map(|branch| PreparedBranch { branch, witness: Witness::default() }).collect()
    }

    /// Tells all branches that are known what was decided.
    pub(super) fn finish(&mut self, decision: Decision, record: Option<Record>, forget: bool, now_ms: u64) {
        let finishing = match (&record, decision) {
            (Some(record), Decision::Commit) => {
                let mut branches = record.branches.clone();
                for prepared in self.prepared_branches() {
                    if branches.iter().all(|known| known.branch != prepared.branch) {
                        branches.push(prepared);
                    }
                }
                let branches = branches.into_iter().map(|branch| (branch, false)).collect();
                Finishing::new(decision, branches, now_ms)
            }
            _ => Finishing::of_listed(self.prepared_branches(), now_ms),
        };
        self.trouble.clear();
        self.phase = Phase::Finishing { finishing, record, forget };
    }
}
