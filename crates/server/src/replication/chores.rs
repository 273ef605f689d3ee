//! What the leader does of its own accord: ending sessions, removing containers, telling of a full disk.

use std::sync::atomic::Ordering::Relaxed;

use replica::Replica;
use state::command::{Command, DeleteContainer};
use state::containers::{RemovalScan, RemovalTerms};
use storage::log::AppendError;
use wire::opcode::Opcode;

use crate::config::Config;
use crate::shared::Shared;

/// Of commands nobody waits for. Clients count from 0 or 1.
const OWN_CXID: i32 = i32::MIN;

/// While the disk is full, one line in this time.
const FULL_DISK_LOG_MS: i64 = 10_000;

/// The clockwork of one leader.
pub(super) struct Chores {
    containers_due_ms: i64,
    check_interval_ms: i64,
    /// Containers and TTL nodes removed per check, from `znode.container.maxPerMinute`.
    removals_max: usize,
    never_used_ms_max: i64,
    /// How far the present look through the containers has come.
    scan: RemovalScan,
    sessions_due_ms: i64,
    /// Set while the disk is full: when that was last said.
    full_said_ms: Option<i64>,
    /// Sessions whose end was proposed in this cycle, with their timeouts: if the disk has no room they stay.
    ending: Vec<(i64, i32)>,
}

/// Containers and TTL nodes looked at in one cycle, so that a look through a million of them stalls nobody.
const LOOKED_AT_MAX: usize = 10_000;

/// How often the expiry queue is asked; it answers in whole ticks.
const SESSION_CHECK_MS: i64 = 100;

/// The same while sessions are at their end at servers that have not read everything yet.
const UNDECIDED_CHECK_MS: i64 = 10;

impl Chores {
    pub(super) fn new(config: &Config) -> Chores {
        let containers = &config.containers;
        let check_interval_ms = i64::from(containers.check_interval_ms.max(1));
        let per_check = u64::from(containers.per_minute_max) * check_interval_ms as u64 / 60_000;
        Chores {
            containers_due_ms: check_interval_ms,
            check_interval_ms,
            removals_max: usize::try_from(per_check.max(1)).unwrap_or(usize::MAX),
            never_used_ms_max: containers
                .never_used_ms_max
                .map_or(0, |ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            scan: RemovalScan::default(),
            sessions_due_ms: 0,
            full_said_ms: None,
            ending: Vec::new(),
        }
    }

    /// Another cycle begins.
    pub(super) fn begin(&mut self) {
        self.ending.clear();
    }

    /// Adds whatever is due to what is gathered. `told_until` says until when another server has told who
    /// was heard of there.
    pub(super) fn run(&mut self, shared: &Shared, replica: &mut Replica, told_until: &dyn Fn(u32) -> i64) {
        let now_ms = shared.clock.elapsed_ms();
        if now_ms >= self.sessions_due_ms {
            self.sessions_due_ms = now_ms + SESSION_CHECK_MS;
            self.end_sessions(shared, replica, now_ms, told_until);
        }
        if now_ms >= self.containers_due_ms {
            self.remove_containers(shared, replica);
        }
    }

    fn end_sessions(
        &mut self,
        shared: &Shared,
        replica: &mut Replica,
        now_ms: i64,
        told_until: &dyn Fn(u32) -> i64,
    ) {
        let machine = shared.machine.read();
        let (me, here_ms) = (shared.me, shared.hearing.until_ms());
        let is_single = shared.config.ensemble.is_none();
        let due = shared.sessions.expired(now_ms, |session| match machine.session(session) {
            Some(known) if known.home != me && !is_single => told_until(known.home),
            _ => here_ms,
        });
        if due.undecided > 0 {
            self.sessions_due_ms = now_ms + UNDECIDED_CHECK_MS;
            if here_ms < now_ms - SESSION_CHECK_MS / 2 {
                shared.ask_to_look();
            }
        }
        for session in due.expired {
            let Some(known) = machine.session(session) else { continue };
            if replica.is_moving(session) {
                // Its client has come back at the last moment, and is about to be told that all is well.
                shared.sessions.renew(session, known.timeout_ms, now_ms);
                continue;
            }
            tracing::info!(
                "session {session:#x} expired after {} ms without a sign of life",
                known.timeout_ms
            );
            shared.counts.sessions_expired.fetch_add(1, Relaxed);
            self.ending.push((session, known.timeout_ms));
            let opcode = Opcode::CloseSession as i32;
            replica.submit_own(
                shared.clock.wall_ms(),
                &Command { session, cxid: OWN_CXID, opcode, identities: &[], body: &[] },
            );
        }
    }

    fn remove_containers(&mut self, shared: &Shared, replica: &mut Replica) {
        let now_ms = shared.clock.wall_ms();
        let terms = RemovalTerms {
            now_ms,
            never_used_ms_max: self.never_used_ms_max,
            looked_at_max: LOOKED_AT_MAX,
            found_max: self.removals_max,
        };
        let machine = shared.machine.read();
        for candidate in machine.removal_candidates(&terms, &mut self.scan) {
            let mut body = Vec::new();
            let guarded =
                DeleteContainer { path: &candidate.path, czxid: candidate.czxid, mzxid: candidate.mzxid };
            guarded.put(&mut body);
            let opcode = Opcode::DeleteContainer as i32;
            replica
                .submit_own(now_ms, &Command { session: 0, cxid: 0, opcode, identities: &[], body: &body });
        }
        if self.scan.is_done() {
            self.scan = RemovalScan::default();
            self.containers_due_ms = shared.clock.elapsed_ms() + self.check_interval_ms;
        }
    }

    /// Sessions whose end was proposed in this cycle.
    pub(super) fn ending(&self) -> impl Iterator<Item = i64> + '_ {
        self.ending.iter().map(|(session, _)| *session)
    }

    /// The log took what was gathered.
    pub(super) fn disk_has_room(&mut self) {
        if self.full_said_ms.take().is_some() {
            tracing::warn!("the disk has room again: writes are served");
        }
    }

    /// The log had no room; everything gathered is refused. Sessions that were to end live on until there is room to write that down.
    pub(super) fn disk_is_full(&mut self, shared: &Shared, why: &AppendError) {
        let now_ms = shared.clock.elapsed_ms();
        shared.sessions.reprieve(&std::mem::take(&mut self.ending), now_ms);
        if self.full_said_ms.is_none_or(|said_ms| now_ms - said_ms >= FULL_DISK_LOG_MS) {
            self.full_said_ms = Some(now_ms);
            tracing::error!(
                "writes are refused (SystemError): {why}. Reads go on, nothing acknowledged is lost, and writes resume by themselves once there is space"
            );
        }
    }
}
