//! What the leader does without a request: it ends sessions, removes containers and reports a full
//! disk.

use std::fmt::Display;

use crate::replica::Replica;
use crate::submission::OWN_CXID;
use state::command::{Command, DeleteContainer};
use state::containers::{RemovalScan, RemovalTerms};
use state::members::ServerId;
use wire::opcode::Opcode;

use crate::group::Now;
use crate::settings::ContainerSettings;
use crate::shared::{Counted, GroupShared};

/// While the disk is full, at most one log line in this time, in ms.
const FULL_DISK_LOG_MS: i64 = 10_000;

/// The server on which the leader runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Here {
    /// Its number.
    pub(crate) server: ServerId,
    /// It is standalone by its configuration.
    pub(crate) is_single: bool,
}

/// The timers and state of one leader's tasks.
pub(crate) struct LeaderTasks {
    containers_due_ms: i64,
    check_interval_ms: i64,
    allowance: Allowance,
    never_used_ms_max: i64,
    /// Position of the present scan through the containers.
    scan: RemovalScan,
    sessions_due_ms: i64,
    /// Set while the disk is full: when that was last logged.
    full_said_ms: Option<i64>,
    /// Sessions whose end was proposed in this cycle, with their timeouts: if the disk has no room
    /// they live on.
    ending: Vec<(i64, i32)>,
}

/// Containers and TTL nodes scanned in one cycle, so that a scan of a million of them does not
/// stall the loop.
const LOOKED_AT_MAX: usize = 10_000;

/// After a scan of this many nodes the next one starts at least 1 ms later, so that a short
/// `checkIntervalMs` costs a bounded share of the thread's time.
const LOOKED_AT_PER_MS: usize = 1_000;

/// How often the expiry queue is checked, in ms; it answers in whole ticks.
const SESSION_CHECK_MS: i64 = 100;

/// The same while expired sessions are at servers that have not read everything yet.
const UNDECIDED_CHECK_MS: i64 = 10;

const MINUTE_MS: u64 = 60_000;

/// How many containers and TTL nodes may be removed now (`znode.container.maxPerMinute`).
struct Allowance {
    per_minute: u64,
    /// The unused allowance, in removals times [`MINUTE_MS`].
    saved: u64,
    /// One removal more than what one interval between two scans adds.
    saved_max: u64,
    counted_ms: i64,
}

impl Allowance {
    fn new(per_minute: u32, check_interval_ms: i64) -> Allowance {
        let per_minute = u64::from(per_minute);
        let saved_max = match per_minute {
            0 => 0,
            _ => per_minute.saturating_mul(check_interval_ms.unsigned_abs()).saturating_add(MINUTE_MS),
        };
        Allowance { per_minute, saved: saved_max, saved_max, counted_ms: 0 }
    }

    /// Removals allowed now.
    fn removals(&mut self, now_ms: i64) -> usize {
        let passed_ms = u64::try_from(now_ms - self.counted_ms).unwrap_or(0);
        self.counted_ms = now_ms;
        let added = self.per_minute.saturating_mul(passed_ms);
        self.saved = self.saved.saturating_add(added).min(self.saved_max);
        usize::try_from(self.saved / MINUTE_MS).unwrap_or(usize::MAX)
    }

    fn use_up(&mut self, removals: usize) {
        self.saved = self.saved.saturating_sub((removals as u64).saturating_mul(MINUTE_MS));
    }

    /// Time until one more removal is allowed, in ms; `None` = forever.
    fn wait_ms(&self) -> Option<i64> {
        let lacking = MINUTE_MS.saturating_sub(self.saved);
        (self.per_minute > 0).then(|| lacking.div_ceil(self.per_minute) as i64)
    }
}

impl LeaderTasks {
    pub(crate) fn new(containers: &ContainerSettings) -> LeaderTasks {
        let check_interval_ms = containers.check_interval_ms.max(1);
        LeaderTasks {
            containers_due_ms: check_interval_ms,
            check_interval_ms,
            allowance: Allowance::new(containers.per_minute_max, check_interval_ms),
            never_used_ms_max: containers.never_used_ms_max,
            scan: RemovalScan::default(),
            sessions_due_ms: 0,
            full_said_ms: None,
            ending: Vec::new(),
        }
    }

    /// Begins another cycle.
    pub(crate) fn begin(&mut self) {
        self.ending.clear();
    }

    /// Gathers whatever is due. `told_until` gives the time up to which another server has reported
    /// the sessions heard from there.
    pub(crate) fn run(
        &mut self,
        now: Now,
        here: Here,
        shared: &GroupShared,
        replica: &mut Replica,
        told_until: &dyn Fn(u32) -> i64,
    ) -> bool {
        let now_ms = now.ms;
        let mut wants_look = false;
        if now_ms >= self.sessions_due_ms {
            self.sessions_due_ms = now_ms + SESSION_CHECK_MS;
            wants_look = self.end_sessions(now, here, shared, replica, told_until);
        }
        if now_ms >= self.containers_due_ms {
            self.remove_containers(now, shared, replica);
        }
        wants_look
    }

    /// How long the thread may sleep before the next container scan, in ms, if scans are so
    /// frequent that it must not sleep as usual. `None` while there is nothing to scan.
    pub(crate) fn patience_ms(&self, now: Now, shared: &GroupShared) -> Option<i64> {
        if !self.looks_often() || shared.machine.read().reapable_count() == 0 {
            return None;
        }
        Some((self.containers_due_ms - now.ms).max(0))
    }

    /// Whether containers are scanned more often than sessions are checked.
    pub(crate) fn looks_often(&self) -> bool {
        self.check_interval_ms < SESSION_CHECK_MS
    }

    fn end_sessions(
        &mut self,
        now: Now,
        here: Here,
        shared: &GroupShared,
        replica: &mut Replica,
        told_until: &dyn Fn(u32) -> i64,
    ) -> bool {
        let now_ms = now.ms;
        let machine = shared.machine.read();
        let here_ms = shared.read_progress.until_ms();
        let Here { server: me, is_single } = here;
        let due = shared.sessions.expired(now_ms, |session| match machine.session(session) {
            Some(known) if known.home != me && !is_single => told_until(known.home),
            _ => here_ms,
        });
        let mut wants_look = false;
        if due.undecided > 0 {
            self.sessions_due_ms = now_ms + UNDECIDED_CHECK_MS;
            if here_ms < now_ms - SESSION_CHECK_MS / 2 {
                wants_look = true;
            }
        }
        for session in due.expired {
            let Some(known) = machine.session(session) else { continue };
            if replica.is_moving(session) {
                // Its client has resumed it at the last moment, and is about to be told that it
                // succeeded.
                shared.sessions.renew(session, known.timeout_ms, now_ms);
                continue;
            }
            tracing::info!(
                "session {session:#x} expired after {} ms without a sign of life",
                known.timeout_ms
            );
            shared.observer.count(Counted::SessionsExpired, 1);
            self.ending.push((session, known.timeout_ms));
            let opcode = Opcode::CloseSession as i32;
            replica.submit_own(
                now.wall_ms,
                &Command { session, cxid: OWN_CXID, opcode, identities: &[], body: &[] },
            );
        }
        wants_look
    }

    fn remove_containers(&mut self, now: Now, shared: &GroupShared, replica: &mut Replica) {
        let elapsed_ms = now.ms;
        let removals_max = self.allowance.removals(elapsed_ms);
        if removals_max == 0 {
            let wait_ms = self.allowance.wait_ms().unwrap_or(i64::MAX);
            self.containers_due_ms = elapsed_ms.saturating_add(wait_ms);
            return;
        }
        let now_ms = now.wall_ms;
        let terms = RemovalTerms {
            now_ms,
            never_used_ms_max: self.never_used_ms_max,
            looked_at_max: LOOKED_AT_MAX,
            found_max: removals_max,
        };
        let machine = shared.machine.read();
        let candidates = machine.removal_candidates(&terms, &mut self.scan);
        self.allowance.use_up(candidates.len());
        for candidate in candidates {
            let mut body = Vec::new();
            let guarded =
                DeleteContainer { path: &candidate.path, czxid: candidate.czxid, mzxid: candidate.mzxid };
            guarded.put(&mut body);
            let opcode = Opcode::DeleteContainer as i32;
            replica
                .submit_own(now_ms, &Command { session: 0, cxid: 0, opcode, identities: &[], body: &body });
        }
        let looked_at = machine.reapable_count().min(LOOKED_AT_MAX);
        let mut rest_ms = (looked_at / LOOKED_AT_PER_MS) as i64;
        if self.scan.is_done() {
            self.scan = RemovalScan::default();
            rest_ms = rest_ms.max(self.check_interval_ms);
        }
        self.containers_due_ms = elapsed_ms + rest_ms;
    }

    /// Sessions whose end was proposed in this cycle.
    pub(crate) fn ending(&self) -> impl Iterator<Item = i64> + '_ {
        self.ending.iter().map(|(session, _)| *session)
    }

    /// The log accepted the gathered commands.
    pub(crate) fn disk_has_room(&mut self) {
        if self.full_said_ms.take().is_some() {
            tracing::warn!("the disk has room again: writes are served");
        }
    }

    /// The log had no room; everything gathered is refused. Sessions that were to end live on until
    /// there is room to write that.
    pub(crate) fn disk_is_full(&mut self, now: Now, shared: &GroupShared, why: &dyn Display) {
        let now_ms = now.ms;
        shared.sessions.reprieve(&std::mem::take(&mut self.ending), now_ms);
        if self.full_said_ms.is_none_or(|said_ms| now_ms - said_ms >= FULL_DISK_LOG_MS) {
            self.full_said_ms = Some(now_ms);
            tracing::error!(
                "writes are refused (SystemError): {why}. Reads go on, nothing acknowledged is lost, and writes resume by themselves once there is space"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_keep_to_their_number_per_minute_however_often_they_are_looked_for() {
        for (interval_ms, per_minute, at_once) in
            [(1, 10_000, 1), (1_000, 60, 2), (60_000, 10_000, 10_001), (1, u32::MAX, 71_583)]
        {
            let mut allowance = Allowance::new(per_minute, interval_ms);
            let mut removed = 0;
            for now_ms in (0..=120_000).step_by(interval_ms as usize) {
                let allowed = allowance.removals(now_ms);
                assert!(allowed <= at_once, "{allowed} at once");
                allowance.use_up(allowed);
                removed += allowed as u64;
            }
            let expected = 2 * u64::from(per_minute);
            let difference = removed.abs_diff(expected);
            assert!(difference <= at_once as u64, "{removed} of {expected} every {interval_ms} ms");
        }
    }

    #[test]
    fn nothing_is_removed_where_none_per_minute_is_allowed() {
        let mut allowance = Allowance::new(0, 1);
        assert_eq!((allowance.removals(0), allowance.removals(i64::MAX)), (0, 0));
        assert_eq!(allowance.wait_ms(), None);
    }

    #[test]
    fn the_wait_for_one_more_removal_is_enough_and_not_too_long() {
        let mut allowance = Allowance::new(10_000, 1);
        assert_eq!(allowance.removals(0), 1);
        allowance.use_up(1);
        let wait_ms = allowance.wait_ms().unwrap();
        assert_eq!(wait_ms, 5);
        assert_eq!((allowance.removals(wait_ms - 1), allowance.removals(wait_ms)), (0, 1));
    }
}
