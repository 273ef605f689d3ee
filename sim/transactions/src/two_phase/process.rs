//! A process: its coordinators and its recovery.

use std::collections::BTreeMap;

use commit::Settings;
use commit::id::{Cluster, TransactionId};
use commit::recovery::Recovery;
use commit::two_phase::Coordinator;

use crate::plan::Plan;

/// The installation of a run.
pub(super) const CLUSTER: Cluster = Cluster(1);

/// Times of a run, in ms: short, so that much happens in it.
pub(super) fn settings(plan: &Plan) -> Settings {
    Settings {
        prepare_timeout_ms: 400,
        log_timeout_ms: 100,
        finish_timeout_ms: 150,
        decide_patience_ms: 1_000,
        finish_patience_ms: 200,
        retry_first_ms: 20,
        retry_max_ms: 200,
        abandon_after_ms: plan.abandon_after_ms,
        orphan_grace_ms: plan.orphan_grace_ms,
        watch_ms: 60,
    }
}

#[derive(Debug)]
pub(super) struct Process {
    /// How many faults keep it down.
    pub(super) down: u32,
    /// It does nothing before this time.
    pub(super) paused_until_ms: u64,
    /// How often it has crashed: what was sent before a crash is answered to nobody.
    pub(super) generation: u32,
    /// Its name in ids, while it has a session.
    pub(super) incarnation: Option<u64>,
    /// All names that it has had.
    pub(super) names: Vec<u64>,
    pub(super) next_number: u64,
    pub(super) coordinators: BTreeMap<TransactionId, Coordinator>,
    pub(super) recovery: Recovery,
    /// It has been told that it is the one that recovers.
    pub(super) recovers: bool,
    /// The newest scan that each participant has answered.
    pub(super) scanned: Vec<u64>,
    /// When it will look at its machines by itself.
    pub(super) wake_ms: Option<u64>,
    /// Actions of its machines so far.
    pub(super) actions: u64,
}

impl Process {
    pub(super) fn new(at: usize, plan: &Plan) -> Process {
        Process {
            down: 0,
            paused_until_ms: 0,
            generation: 0,
            incarnation: None,
            names: Vec::new(),
            next_number: 0,
            coordinators: BTreeMap::new(),
            recovery: Recovery::new(CLUSTER, &format!("recovery {at}"), settings(plan)),
            recovers: false,
            scanned: vec![0; plan.participants.len()],
            wake_ms: None,
            actions: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.down == 0
    }

    /// Everything in its memory is lost.
    pub(super) fn crash(&mut self, at: usize, plan: &Plan) {
        let (down, generation, names) = (self.down, self.generation + 1, std::mem::take(&mut self.names));
        let actions = self.actions;
        *self = Process { down, generation, names, actions, ..Process::new(at, plan) };
    }

    /// When one of its machines has something to do.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let coordinators = self.coordinators.values().filter_map(Coordinator::due_ms);
        coordinators.chain(self.recovery.due_ms()).min()
    }
}
