//! Groups without traffic exchange no messages.
//!
//! Liveness is between servers. While the servers of a group's members are alive and all members
//! have everything committed, heartbeats would tell nothing new. So an idle leader stops its
//! engine's clock and becomes *quiet*, and so do its followers. A host announces all quiet groups
//! that its server leads in one message to each other server, once per heartbeat interval
//! ([`ServerMessage::QuietGroups`](crate::message::ServerMessage::QuietGroups)). That message is
//! the heartbeat of all these groups: a follower stays quiet while announcements of its leader's
//! term and its own last entry arrive.
//!
//! A group wakes, which means that its engine's clock runs again, on a request, on any message of
//! the group, when a connection between servers opens or ends, when an announcement is missing, and
//! at the leader when it hears from no majority. A follower that cannot become quiet, because its
//! log ends elsewhere or it knows another leader, wakes its leader.

use std::collections::{BTreeMap, BTreeSet};

use state::members::ServerId;

use crate::group::Group;
use crate::message::{GroupMessage, QuietGroup};
use crate::timers::TICK_MS;

/// A leader is quiet once its group has been idle for this many ticks, which is long enough for the
/// followers to have learned what is committed.
const IDLE_TICKS: u32 = 20;

/// Whether the engine's clock is stopped.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    is_quiet: bool,
    /// Ticks in which this leader had nothing to do and nothing was committed.
    idle_ticks: u32,
    /// Index of the last entry committed at the latest tick.
    committed: u64,
    /// When a standalone server next checks whether the group is idle, in ms of its clock.
    check_due_ms: i64,
    /// Servers heard from recently, as of the last report of the host.
    live: BTreeSet<ServerId>,
    /// Servers of members that lacked entries when this leader became quiet, because they were not
    /// heard from.
    behind: BTreeSet<ServerId>,
}

impl Group {
    /// Whether the group needs no cycle until it wakes.
    pub fn is_quiet(&self) -> bool {
        self.quiet.is_quiet
    }

    /// What a quiet leader announces.
    pub fn announcement(&self) -> Option<QuietGroup> {
        let role = self.replica.role();
        let leads = self.quiet.is_quiet && role.leader == Some(self.replica.member());
        leads.then(|| QuietGroup { group: self.id(), term: role.term, index: self.replica.commit() })
    }

    /// The server that leads the group, as far as this member knows.
    pub fn leader(&self) -> Option<ServerId> {
        self.replica.role().leader.map(crate::server_of)
    }

    /// Starts the engine's clock again. Servers heard from recently count as heard from just now.
    pub(crate) fn wake(&mut self) {
        if !std::mem::take(&mut self.quiet.is_quiet) {
            return;
        }
        self.quiet.idle_ticks = 0;
        self.timers.restart(self.now.ms);
        self.hear_live();
    }

    fn hear_live(&mut self) {
        let membership = self.replica.status().membership;
        for member in membership.voters.into_iter().chain(membership.learners) {
            if self.quiet.live.contains(&crate::server_of(member)) {
                self.hear(member);
                self.replica.heard_from(member);
            }
        }
    }

    /// Ticks have passed: becomes quiet if the group has been idle for long enough.
    pub(crate) fn rest(&mut self, ticks: u32) {
        if self.is_root() {
            return;
        }
        let committed = self.replica.commit();
        let is_same = std::mem::replace(&mut self.quiet.committed, committed) == committed;
        if !is_same || !self.replica.leads() || !self.is_idle() {
            self.quiet.idle_ticks = 0;
            return;
        }
        self.quiet.idle_ticks += ticks;
        if self.quiet.idle_ticks >= IDLE_TICKS
            && let Some(behind) = self.followers_behind()
        {
            self.quiet.behind = behind;
            self.quiet.is_quiet = true;
        }
    }

    /// A standalone server ends its cycle: becomes quiet if the group is idle.
    pub(crate) fn rest_alone(&mut self) {
        if !self.is_root() && self.is_single() && self.now.ms >= self.quiet.check_due_ms {
            self.quiet.check_due_ms = self.now.ms + TICK_MS;
            self.quiet.is_quiet = self.replica.leads() && self.is_idle();
        }
    }

    fn is_idle(&self) -> bool {
        self.replica.is_idle()
            && !self.is_holding()
            && !self.log_is_full
            && self.loss.is_none()
            && !self.timers.is_stopping()
            && self.members_follow_root()
            && self.shared.sessions.is_empty()
            && self.shared.machine.read().reapable_count() == 0
    }

    /// The servers of followers that lack entries and are not heard from; `None` if one that is
    /// heard from lacks entries, or if there is no majority without those.
    fn followers_behind(&self) -> Option<BTreeSet<ServerId>> {
        let status = self.replica.status();
        if status.commit != status.last_index || self.replica.applied_index() != status.commit {
            return None;
        }
        let lacking = status.followers.iter().filter(|follower| {
            follower.member != self.replica.member() && follower.match_index != status.last_index
        });
        let behind: BTreeSet<ServerId> = lacking.map(|follower| crate::server_of(follower.member)).collect();
        (behind.is_disjoint(&self.quiet.live) && self.hears_majority()).then_some(behind)
    }

    fn hears_majority(&self) -> bool {
        let voters = self.replica.status().membership.voters;
        let is_live = |server: ServerId| server == self.me || self.quiet.live.contains(&server);
        let live = voters.iter().filter(|voter| is_live(crate::server_of(**voter))).count();
        crate::plan::is_majority(live, voters.len())
    }

    /// The leader's server announces the group as quiet, or no longer does.
    pub(crate) fn on_announcement(&mut self, from: ServerId, announced: Option<QuietGroup>) {
        let role = self.replica.role();
        let follows = role.leader.filter(|leader| crate::server_of(*leader) == from && from != self.me);
        let Some(announced) = announced else {
            if follows.is_some() {
                self.wake();
            }
            return;
        };
        let status = self.replica.status();
        let is_same = follows.is_some() && role.term == announced.term;
        if !is_same || status.last_index != announced.index {
            self.wake();
            return self.send_group(from, GroupMessage::Wake);
        }
        let leader = follows.expect("it is the same leadership");
        self.hear(leader);
        if self.quiet.is_quiet {
            return;
        }
        self.replica.heard_from(leader);
        let has_all = status.commit == announced.index && self.replica.applied_index() == announced.index;
        if has_all && self.is_idle() && self.shared.flags.is_serving() {
            self.quiet.is_quiet = true;
        } else if status.commit < announced.index {
            self.send_group(from, GroupMessage::Wake);
        }
    }

    /// The host reports when it last heard from each server, in ms of its clock.
    pub(crate) fn on_servers_heard(&mut self, heard_ms: &BTreeMap<ServerId, i64>) {
        let silence_ms_max = i64::from(self.settings.election_ticks) * TICK_MS;
        let live = heard_ms.iter().filter(|(_, ms)| self.now.ms - **ms <= silence_ms_max);
        self.quiet.live = live.map(|(server, _)| *server).collect();
        if !self.quiet.is_quiet || self.is_single() {
            return;
        }
        match self.leader() {
            Some(leader) if leader == self.me => {
                if !self.hears_majority() || !self.quiet.behind.is_disjoint(&self.quiet.live) {
                    self.wake();
                }
            }
            Some(leader) if self.quiet.live.contains(&leader) => {}
            _ => {
                self.wake();
                self.count_silence();
            }
        }
    }
}
