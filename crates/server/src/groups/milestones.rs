//! Moments of the ensemble from which dashboards and alerts are made: elections, and how long the
//! others take.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use super::Group;
use crate::shared::Shared;

/// Entries of which the time of agreement is measured at once. A leader that is cut off proposes
/// more than are agreed.
const PROPOSED_MAX: usize = 4096;

/// What has begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Milestones {
    /// Since when no leader is known, in µs of the server's clock.
    leaderless_since_us: Option<u64>,
    /// Since when this server cannot serve for want of one.
    unavailable_since_us: Option<u64>,
    /// When what is being written was proposed.
    proposed_us: u64,
    /// Indexes of proposed entries, and when that was, oldest first.
    proposed: VecDeque<(u64, u64)>,
}

impl Milestones {
    /// Looks whether there is a leader, and whether clients are served.
    fn watch(&mut self, now_us: u64, shared: &Shared, is_led: bool, serves: bool, leads: bool) {
        let counts = &shared.counts.quorum;
        if !is_led && self.leaderless_since_us.is_none() {
            counts.looking.fetch_add(1, Relaxed);
            self.leaderless_since_us = Some(now_us);
            self.unavailable_since_us.get_or_insert(now_us);
        }
        if is_led && let Some(since_us) = self.leaderless_since_us.take() {
            counts.election_time.record(now_us.saturating_sub(since_us));
        }
        if is_led
            && serves
            && let Some(since_us) = self.unavailable_since_us.take()
        {
            counts.unavailable_time.record(now_us.saturating_sub(since_us));
            if leads {
                counts.leader_unavailable_time.record(now_us.saturating_sub(since_us));
            }
        }
    }

    fn agreed(&mut self, now_us: u64, shared: &Shared, commit: u64) {
        while self.proposed.front().is_some_and(|(index, _)| *index <= commit) {
            let (_, since_us) = self.proposed.pop_front().unwrap_or_default();
            shared.counts.quorum.ack_latency.record(now_us.saturating_sub(since_us));
        }
    }
}

impl Group {
    /// To be called as time passes.
    pub(super) fn watch_milestones(&mut self, is_led: bool) {
        let serves = self.shared.is_serving();
        self.milestones.watch(self.now.us, &self.shared, is_led, serves, self.replica.leads());
    }

    /// What is gathered is about to be proposed.
    pub(crate) fn count_proposals(&mut self) {
        if self.is_single() {
            return;
        }
        self.milestones.proposed_us = self.now.us;
        let commands = self.replica.gathered_commands() as u64;
        self.shared.counts.quorum.proposals.fetch_add(commands, Relaxed);
    }

    /// An entry is written to this member's log.
    pub(super) fn count_written(&mut self, index: u64) {
        let milestones = &mut self.milestones;
        if self.shared.config.ensemble.is_some()
            && self.replica.leads()
            && milestones.proposed.len() < PROPOSED_MAX
        {
            milestones.proposed.push_back((index, milestones.proposed_us));
        }
    }

    /// Entries are applied, so many commands of them.
    pub(crate) fn count_applied(&mut self, commands: u64) {
        let counts = &self.shared.counts.quorum;
        let time_ms = self.shared.machine.read().last_batch_ms();
        let passed_ms = time_ms.map_or(0, |time_ms| self.now.wall_ms - time_ms);
        counts.propagation_latency.record(passed_ms.max(0).unsigned_abs() * 1_000);
        if self.is_single() {
            return;
        }
        if self.replica.leads() {
            counts.commits.fetch_add(commands, Relaxed);
            let commit = self.replica.commit();
            self.milestones.agreed(self.now.us, &self.shared, commit);
        } else {
            self.milestones.proposed.clear();
        }
    }
}
