//! The status that the replication thread publishes for other threads, renewed ten times a second.

use std::collections::VecDeque;

use consensus::engine::{Leadership, Progress, Role, Status};

use crate::group::{Action, Group};
use crate::member_status::{FollowerFacts, FollowerState, LeadingFacts, MemberLog, MemberRole, MemberStatus};
use crate::plan::BEHIND_MAX;

/// How long a published status is valid, in ms, unless the role changes: copying an engine's status
/// costs work, and no reader is faster.
const PERIOD_MS: i64 = 100;

/// A member not heard from for this long, in ms, or for three heartbeats, is silent.
const SILENCE_MS: i64 = 1_000;

/// Most marks of the ledger; one for each status at which the log has grown, so they cover at least
/// the last minute or two.
const MARKS_MAX: usize = 1_024;

/// When to publish again, and what engines do not know.
#[derive(Default)]
pub(crate) struct StatusPublisher {
    due_ms: i64,
    role: Leadership,
    /// Since when this member leads, in ms of the server's clock.
    led_from_ms: i64,
    ledger: EntryBytes,
}

impl StatusPublisher {
    /// An entry was written.
    pub(crate) fn count(&mut self, index: u64, bytes: usize) {
        self.ledger.count(index, bytes as u64);
    }
}

impl Group {
    /// Publishes the status if it is due.
    pub(crate) fn publish(&mut self) {
        let Some(ensemble) = &self.settings.ensemble else { return };
        let now_ms = self.now.ms;
        let role = self.replica.role();
        if now_ms < self.status.due_ms && role == self.status.role {
            return;
        }
        if role.role == Role::Leader && self.status.role.role != Role::Leader {
            self.status.led_from_ms = now_ms;
        }
        (self.status.due_ms, self.status.role) = (now_ms + PERIOD_MS, role);
        self.status.ledger.mark();
        let silence_ms = SILENCE_MS.max(3 * i64::from(ensemble.heartbeat_ms));
        let engine = ensemble.engine;
        let status = self.replica.status();
        let servers = |members: &[_]| members.iter().map(|member| crate::server_of(*member)).collect();
        let member_role = self.member_role(&status);
        let facts = MemberStatus {
            server: self.me,
            member: self.identity.member.map(|member| member.0),
            engine,
            role: member_role,
            term: role.term,
            leader: role.leader.map(crate::server_of),
            starts: self.identity.boot,
            log: MemberLog {
                applied: self.replica.applied_index(),
                committed: status.commit,
                last: status.last_index,
            },
            voters: servers(&status.membership.voters),
            learners: servers(&status.membership.learners),
            fetched_bytes: self.fetched_bytes,
            leading: (role.role == Role::Leader).then(|| self.leading(&status, now_ms, silence_ms)),
            file_differences: self.file_differences(&status, member_role),
        };
        self.act(Action::Publish(Box::new(facts)));
    }

    fn member_role(&self, status: &Status) -> MemberRole {
        match status.role.role {
            _ if self.is_newcomer() => MemberRole::Newcomer,
            Role::Leader => MemberRole::Leader,
            _ if !status.membership.voters.contains(&self.replica.member()) => {
                match self.wanted().0.get(&self.me) {
                    Some(member) => MemberRole::Learner { observer: member.observer },
                    None => MemberRole::Removed,
                }
            }
            Role::Follower => MemberRole::Follower,
            Role::Candidate => MemberRole::Candidate,
        }
    }

    fn leading(&self, status: &Status, now_ms: i64, silence_ms: i64) -> LeadingFacts {
        let mut followers: Vec<FollowerFacts> = status
            .followers
            .iter()
            .filter(|follower| crate::server_of(follower.member) != self.me)
            .map(|follower| {
                let server = crate::server_of(follower.member);
                let silent = !self.peers.is_up(follower.member, now_ms, silence_ms);
                FollowerFacts {
                    server,
                    votes: status.membership.voters.contains(&follower.member),
                    state: follower_state(follower, status, silent),
                    behind_entries: status.last_index.saturating_sub(follower.match_index),
                    behind_bytes: self.status.ledger.bytes_behind(follower.match_index),
                }
            })
            .collect();
        followers.sort_unstable_by_key(|follower| follower.server);
        LeadingFacts {
            uptime_ms: (now_ms - self.status.led_from_ms).max(0) as u64,
            followers,
            changes: self.changes(status),
        }
    }
}

fn follower_state(follower: &Progress, status: &Status, silent: bool) -> FollowerState {
    if silent {
        FollowerState::Silent
    } else if follower.awaits_snapshot {
        FollowerState::NeedsSnapshot
    } else if follower.match_index == 0 || follower.match_index + BEHIND_MAX < status.commit {
        // Nothing is known of a member that has just joined; it may have no entries.
        FollowerState::Behind
    } else {
        FollowerState::InStep
    }
}

/// How many bytes follow an index of the log. It keeps a sum at some indexes and interpolates
/// between them: keeping every entry's length for minutes would cost more than the answer is worth.
#[derive(Debug, Default)]
struct EntryBytes {
    /// The newest entry, and the bytes of all up to it.
    last: (u64, u64),
    /// The same at earlier entries, oldest first.
    marks: VecDeque<(u64, u64)>,
}

impl EntryBytes {
    fn count(&mut self, index: u64, bytes: u64) {
        if self.last.0 == 0 {
            // What was there before is a mark of its own, with no bytes.
            self.last = (index.saturating_sub(1), 0);
            self.marks.push_back(self.last);
        } else if index <= self.last.0 {
            // It replaces all entries from there on.
            let total = self.total_at(index - 1);
            self.marks.retain(|(marked, _)| *marked < index);
            self.last = (index - 1, total);
        }
        self.last = (index, self.last.1 + bytes);
    }

    fn mark(&mut self) {
        if self.marks.back().is_none_or(|(index, _)| *index < self.last.0) && self.last.0 > 0 {
            self.marks.push_back(self.last);
            if self.marks.len() > MARKS_MAX {
                self.marks.pop_front();
            }
        }
    }

    /// Bytes of all counted entries up to this one.
    fn total_at(&self, index: u64) -> u64 {
        let after = self.marks.partition_point(|(marked, _)| *marked <= index);
        let Some(&(low, below)) = after.checked_sub(1).and_then(|at| self.marks.get(at)) else { return 0 };
        let (high, above) = self.marks.get(after).copied().unwrap_or(self.last);
        if index >= high {
            return above;
        }
        let (part, whole) = (u128::from(index - low), u128::from(high - low));
        below + (u128::from(above - below) * part / whole) as u64
    }

    fn bytes_behind(&self, index: u64) -> u64 {
        self.last.1.saturating_sub(self.total_at(index))
    }
}

#[cfg(test)]
mod tests {
    use consensus::entry::{MemberId, Position};
    use consensus::membership::Membership;

    use super::*;

    fn ledger(entries: impl IntoIterator<Item = (u64, u64)>) -> EntryBytes {
        let mut ledger = EntryBytes::default();
        for (index, bytes) in entries {
            ledger.count(index, bytes);
            ledger.mark();
        }
        ledger
    }

    #[test]
    fn who_is_not_known_to_have_anything_is_behind() {
        let engine = |commit| Status {
            role: Leadership::default(),
            commit,
            persisted: commit,
            first_index: 2,
            last_index: commit,
            retained_bytes: 0,
            snapshot: Position::default(),
            membership: Membership::default(),
            followers: Vec::new(),
        };
        let follower =
            |match_index, awaits_snapshot| Progress { member: MemberId(2), match_index, awaits_snapshot };
        for (match_index, awaits_snapshot, silent, expected) in [
            (0, false, false, FollowerState::Behind),
            (5, false, false, FollowerState::Behind),
            (10, false, false, FollowerState::InStep),
            (10, true, false, FollowerState::NeedsSnapshot),
            (10, true, true, FollowerState::Silent),
        ] {
            let state =
                follower_state(&follower(match_index, awaits_snapshot), &engine(BEHIND_MAX + 10), silent);
            assert_eq!(state, expected, "{match_index} {awaits_snapshot} {silent}");
        }
    }

    #[test]
    fn bytes_behind_an_index_are_those_of_the_entries_after_it() {
        let ledger = ledger([(5, 10), (6, 20), (7, 40)]);
        let behind = [0, 4, 5, 6, 7, 8].map(|index| ledger.bytes_behind(index));
        assert_eq!(behind, [70, 70, 60, 40, 0, 0]);
    }

    #[test]
    fn between_two_marks_the_entries_count_alike() {
        let mut ledger = ledger([(1, 100)]);
        (2..=11).for_each(|index| ledger.count(index, if index == 2 { 1_000 } else { 0 }));
        assert_eq!(
            (ledger.bytes_behind(1), ledger.bytes_behind(6), ledger.bytes_behind(11)),
            (1_000, 500, 0)
        );
        ledger.mark();
        ledger.count(12, 7);
        assert_eq!((ledger.bytes_behind(11), ledger.bytes_behind(6)), (7, 507));
    }

    #[test]
    fn entries_that_are_replaced_count_no_more() {
        let mut ledger = ledger([(1, 100), (2, 100), (3, 100)]);
        ledger.count(2, 5);
        assert_eq!((ledger.bytes_behind(0), ledger.bytes_behind(1), ledger.bytes_behind(2)), (105, 5, 0));
    }

    #[test]
    fn old_marks_go_and_what_is_before_them_counts_from_the_start() {
        let ledger = ledger((1..=2 * MARKS_MAX as u64).map(|index| (index, 1)));
        assert_eq!(ledger.marks.len(), MARKS_MAX);
        assert_eq!(ledger.bytes_behind(2 * MARKS_MAX as u64 - 10), 10);
        assert_eq!(ledger.bytes_behind(1), 2 * MARKS_MAX as u64);
    }
}
