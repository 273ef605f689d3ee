//! Recovery: finishes what coordinators have left prepared.
//!
//! It is told what the resources list as prepared and what records the log has. For each
//! transaction in them it reads the log *after* it has seen the branch, and follows this table:
//!
//! | fence of the coordinator | record | |
//! |---|---|---|
//! | any | commit | every branch of the record, and every other one that is listed, is committed |
//! | any | abort | every listed branch is rolled back |
//! | gone | none | the same: nobody can decide any more, so nothing is written |
//! | there | none | after a time an abort is *written*, if there is no record; then as it says |
//!
//! While the fence is there, the coordinator finishes the transaction itself, so recovery leaves it
//! alone for [`Settings::abandon_after_ms`].
//!
//! A list may be out of date when it arrives: the transaction may have been committed meanwhile,
//! and its record deleted. So a listed branch is rolled back only after it has been seen to be
//! prepared *after* the abort was certain. A commit deletes its record when all branches are
//! finished, so such a branch was never part of one.
//!
//! Everything that recovery does is either a conditional write or follows from a decision that
//! cannot change, so two that are active at once do no harm, nor does one that was paused.

mod event;
mod in_doubt;
#[cfg(test)]
mod tests;

pub use event::{Action, Event, LogView};
pub use in_doubt::InDoubt;

use std::collections::{BTreeMap, BTreeSet};

use crate::branch::{Branch, ResourceName};
use crate::decision::{Decision, Finish, Logged, Presence, Witness};
use crate::finishing::{Finishing, Step};
use crate::id::{BranchId, Cluster, TransactionId};
use crate::record::{PreparedBranch, Record};
use crate::settings::Settings;

/// Finishes the open transactions of one cluster.
#[derive(Clone, Debug)]
pub struct Recovery {
    cluster: Cluster,
    /// Who it is, for records.
    name: String,
    settings: Settings,
    open: BTreeMap<TransactionId, Open>,
}

/// A transaction that is prepared somewhere, or has a record.
#[derive(Clone, Debug)]
struct Open {
    first_seen_ms: u64,
    /// The branches that resources list.
    prepared: BTreeSet<Branch>,
    /// The log has a record of it, by the last list of records.
    recorded: bool,
    phase: Phase,
    /// When a step is due in other phases than finishing.
    due_ms: u64,
    attempts: u32,
    /// The last failure; empty if there was none.
    trouble: String,
}

#[derive(Clone, Debug)]
enum Phase {
    /// The log will be read when it is due.
    Watching,
    /// It is being read.
    Reading,
    /// The abort is being written.
    Aborting,
    /// The branches are told. `record`: what the log has. `forget`: it may be deleted afterwards.
    Finishing { finishing: Finishing, record: Option<Record>, forget: bool },
}

impl Recovery {
    /// A recovery called `name` for this cluster.
    pub fn new(cluster: Cluster, name: &str, settings: Settings) -> Recovery {
        Recovery { cluster, name: name.to_owned(), settings, open: BTreeMap::new() }
    }

    /// When [`Event::Tick`] is due, in ms of the time that [`handle`](Self::handle) is told;
    /// `None`: nothing is open.
    pub fn due_ms(&self) -> Option<u64> {
        self.open.values().filter_map(Open::due_ms).min()
    }

    /// Takes one event, and returns the actions for the driver. `now_ms` never decreases and may
    /// begin anywhere.
    pub fn handle(&mut self, now_ms: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Listed { resource, prepared } => self.listed(&resource, prepared, now_ms),
            Event::Records(records) => self.records(&records, now_ms),
            Event::Read { id, log } => self.read(id, log, now_ms, &mut actions),
            Event::Written { id, logged } => self.written(id, logged, now_ms),
            Event::Finished { branch, answer } => self.finished(&branch, answer, now_ms, &mut actions),
            Event::Inspected { branch, presence } => self.inspected(&branch, presence, now_ms, &mut actions),
            Event::CoordinatorGone(coordinator) => {
                let theirs = self.open.iter_mut().filter(|(id, _)| id.coordinator == coordinator);
                theirs.for_each(|(_, open)| open.look_now(now_ms));
            }
            Event::Tick => {}
        }
        self.do_what_is_due(now_ms, &mut actions);
        actions
    }

    fn listed(&mut self, resource: &ResourceName, prepared: Vec<BranchId>, now_ms: u64) {
        for open in self.open.values_mut() {
            open.prepared.retain(|branch| branch.resource != *resource);
        }
        for BranchId { transaction, branch } in prepared {
            if transaction.cluster != self.cluster || branch.resource != *resource {
                continue;
            }
            let open = self.open.entry(transaction).or_insert_with(|| Open::new(now_ms));
            if let Phase::Finishing { finishing, .. } = &mut open.phase {
                let branch = PreparedBranch { branch: branch.clone(), witness: Witness::default() };
                finishing.add(branch, now_ms);
            }
            open.prepared.insert(branch);
        }
        self.drop_gone();
    }

    fn records(&mut self, records: &[(TransactionId, Record)], now_ms: u64) {
        self.open.values_mut().for_each(|open| open.recorded = false);
        for (id, record) in records {
            // A record of what people did by hand is theirs.
            if id.cluster == self.cluster && record.heuristics.is_empty() {
                self.open.entry(*id).or_insert_with(|| Open::new(now_ms)).recorded = true;
            }
        }
        self.drop_gone();
    }

    /// Forgets transactions that are neither prepared anywhere nor in the log.
    fn drop_gone(&mut self) {
        self.open.retain(|_, open| {
            !open.prepared.is_empty() || open.recorded || !matches!(open.phase, Phase::Watching)
        });
    }

    fn read(&mut self, id: TransactionId, log: LogView, now_ms: u64, actions: &mut Vec<Action>) {
        let Some(open) = self.open.get_mut(&id).filter(|open| matches!(open.phase, Phase::Reading)) else {
            return;
        };
        let (is_fence_there, record) = match log {
            LogView::Known { is_fence_there, record } => (is_fence_there, record),
            LogView::Unknown(reason) => return open.watch_again(reason, now_ms, &self.settings),
        };
        let age_ms = now_ms.saturating_sub(open.first_seen_ms);
        let patience_ms = match (is_fence_there, &record) {
            (true, _) => self.settings.abandon_after_ms,
            (false, None) => self.settings.orphan_grace_ms,
            (false, Some(_)) => 0,
        };
        if age_ms < patience_ms {
            open.phase = Phase::Watching;
            open.due_ms = now_ms.saturating_add(self.settings.watch_ms.min(patience_ms - age_ms));
            return;
        }
        match record {
            Some(record) if !record.heuristics.is_empty() && open.prepared.is_empty() => {
                self.open.remove(&id);
            }
            Some(record) => {
                let forget = !is_fence_there;
                open.finish(record.decision, Some(record), forget, now_ms);
            }
            None if open.prepared.is_empty() => {
                self.open.remove(&id);
            }
            None if is_fence_there => {
                open.phase = Phase::Aborting;
                open.due_ms = now_ms.saturating_add(self.settings.log_timeout_ms);
                let record = Record::new(Decision::Abort, &self.name, open.prepared_branches());
                actions.push(Action::WriteAbort { id, record });
            }
            None => open.finish(Decision::Abort, None, false, now_ms),
        }
    }

    fn written(&mut self, id: TransactionId, logged: Logged, now_ms: u64) {
        let Some(open) = self.open.get_mut(&id).filter(|open| matches!(open.phase, Phase::Aborting)) else {
            return;
        };
        match logged {
            Logged::Stored | Logged::Found(Decision::Abort) => {
                let record = Record::new(Decision::Abort, &self.name, open.prepared_branches());
                open.finish(Decision::Abort, Some(record), false, now_ms);
            }
            // The record names the branches: read it.
            Logged::Found(Decision::Commit) => {
                open.phase = Phase::Watching;
                open.due_ms = now_ms;
            }
            Logged::Unknown(reason) => open.watch_again(reason, now_ms, &self.settings),
            Logged::Fenced | Logged::Nothing => {
                open.watch_again("the log gave no answer to the question".to_owned(), now_ms, &self.settings);
            }
        }
    }

    fn finished(&mut self, branch: &BranchId, answer: Finish, now_ms: u64, actions: &mut Vec<Action>) {
        let settings = self.settings;
        let Some((finishing, at)) = self.finishing(branch) else { return };
        if let Some(step) = finishing.finished(at, answer, now_ms, &settings) {
            actions.push(action(branch.transaction, finishing, step));
        }
    }

    fn inspected(&mut self, branch: &BranchId, presence: Presence, now_ms: u64, actions: &mut Vec<Action>) {
        let settings = self.settings;
        let Some((finishing, at)) = self.finishing(branch) else { return };
        if let Some(step) = finishing.inspected(at, presence, now_ms, &settings) {
            actions.push(action(branch.transaction, finishing, step));
        }
    }

    fn finishing(&mut self, branch: &BranchId) -> Option<(&mut Finishing, usize)> {
        match &mut self.open.get_mut(&branch.transaction)?.phase {
            Phase::Finishing { finishing, .. } => {
                let at = finishing.place(&branch.branch)?;
                Some((finishing, at))
            }
            _ => None,
        }
    }

    fn do_what_is_due(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let due = self.open.iter().filter(|(_, open)| open.due_ms().is_none_or(|due_ms| due_ms <= now_ms));
        let due: Vec<TransactionId> = due.map(|(id, _)| *id).collect();
        for id in due {
            let open = self.open.get_mut(&id).expect("it was listed");
            match &mut open.phase {
                Phase::Watching => {
                    open.phase = Phase::Reading;
                    open.due_ms = now_ms.saturating_add(self.settings.log_timeout_ms);
                    actions.push(Action::Read { id });
                }
                Phase::Reading | Phase::Aborting => {
                    open.watch_again("the log did not answer in time".to_owned(), now_ms, &self.settings);
                }
                Phase::Finishing { finishing, .. } => {
                    for step in finishing.due(now_ms, &self.settings) {
                        actions.push(action(id, finishing, step));
                    }
                    if finishing.is_finished() {
                        self.resolved(id, actions);
                    }
                }
            }
        }
    }

    fn resolved(&mut self, id: TransactionId, actions: &mut Vec<Action>) {
        let Some(Open { phase: Phase::Finishing { finishing, record, forget }, .. }) = self.open.remove(&id)
        else {
            return;
        };
        let decision = finishing.decision();
        let heuristics = finishing.heuristics();
        if !heuristics.is_empty() {
            let record = record.unwrap_or_else(|| Record::new(decision, &self.name, Vec::new()));
            let heuristics = [record.heuristics.clone(), heuristics].concat();
            actions.push(Action::Keep { id, record: Record { heuristics, ..record } });
        } else if forget && record.is_some_and(|record| record.heuristics.is_empty()) {
            actions.push(Action::Forget { id });
        }
        actions.push(Action::Resolved { id, decision });
    }
}

fn action(id: TransactionId, finishing: &Finishing, step: Step) -> Action {
    match step {
        Step::Finish { at, release } => {
            let (branch, decision) = (finishing.branch(at).clone(), finishing.decision());
            Action::Finish { id, branch, decision, release }
        }
        Step::Inspect { at } => Action::Inspect { id, branch: finishing.branch(at).clone() },
    }
}
