//! Measurements for dashboards and alerts: elections, and how long commits take.

use std::collections::VecDeque;

use crate::group::Group;
use crate::shared::{Counted, Observer, Recorded};

/// Most entries whose commit latency is measured at once. A leader that is cut off proposes more
/// than are committed.
const PROPOSED_MAX: usize = 4096;

/// Measurements that have begun and not ended.
#[derive(Debug, Default)]
pub(crate) struct Milestones {
    /// Since when no leader is known, in µs of the server's clock.
    leaderless_since_us: Option<u64>,
    /// Since when this server cannot serve for lack of a leader, in µs of the server's clock.
    unavailable_since_us: Option<u64>,
    /// When the entry being written was proposed.
    proposed_us: u64,
    /// Indexes of proposed entries and the time of the proposal, oldest first.
    proposed: VecDeque<(u64, u64)>,
}

impl Milestones {
    /// Checks whether there is a leader and whether clients are served.
    fn watch(&mut self, now_us: u64, observer: &dyn Observer, is_led: bool, serves: bool, leads: bool) {
        if !is_led && self.leaderless_since_us.is_none() {
            observer.count(Counted::LookingForLeader, 1);
            self.leaderless_since_us = Some(now_us);
            self.unavailable_since_us.get_or_insert(now_us);
        }
        if is_led && let Some(since_us) = self.leaderless_since_us.take() {
            observer.record(Recorded::ElectionTime, now_us.saturating_sub(since_us));
        }
        if is_led
            && serves
            && let Some(since_us) = self.unavailable_since_us.take()
        {
            observer.record(Recorded::UnavailableTime, now_us.saturating_sub(since_us));
            if leads {
                observer.record(Recorded::LeaderUnavailableTime, now_us.saturating_sub(since_us));
            }
        }
    }

    fn committed(&mut self, now_us: u64, observer: &dyn Observer, commit: u64) {
        while self.proposed.front().is_some_and(|(index, _)| *index <= commit) {
            let (_, since_us) = self.proposed.pop_front().unwrap_or_default();
            observer.record(Recorded::CommitLatency, now_us.saturating_sub(since_us));
        }
    }
}

impl Group {
    /// To be called as time passes.
    pub(crate) fn watch_milestones(&mut self, is_led: bool) {
        let serves = self.shared.flags.is_serving();
        self.milestones.watch(self.now.us, &*self.shared.observer, is_led, serves, self.replica.leads());
    }

    /// The gathered commands are about to be proposed.
    pub(crate) fn count_proposals(&mut self) {
        if self.is_single() {
            return;
        }
        self.milestones.proposed_us = self.now.us;
        let commands = self.replica.gathered_commands() as u64;
        self.shared.observer.count(Counted::Proposals, commands);
    }

    /// An entry is written to this member's log.
    pub(crate) fn count_written(&mut self, index: u64) {
        let milestones = &mut self.milestones;
        if self.settings.ensemble.is_some()
            && self.replica.leads()
            && milestones.proposed.len() < PROPOSED_MAX
        {
            milestones.proposed.push_back((index, milestones.proposed_us));
        }
    }

    /// Entries with this many commands are applied.
    pub(crate) fn count_applied(&mut self, commands: u64) {
        let observer = &self.shared.observer;
        let time_ms = self.shared.machine.read().last_batch_ms();
        let passed_ms = time_ms.map_or(0, |time_ms| self.now.wall_ms - time_ms);
        observer.record(Recorded::PropagationLatency, passed_ms.max(0).unsigned_abs() * 1_000);
        if self.is_single() {
            return;
        }
        if self.replica.leads() {
            observer.count(Counted::Commits, commands);
            let commit = self.replica.commit();
            self.milestones.committed(self.now.us, &*self.shared.observer, commit);
        } else {
            self.milestones.proposed.clear();
        }
    }
}
