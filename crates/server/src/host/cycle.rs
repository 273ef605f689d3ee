//! One cycle of the replication loop, for all groups that are awake: order, append, one flush,
//! apply.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use group::GroupId;
use group::event::{Asked, Event};
use storage::log::{AppendError, Record};

use super::slot::Slot;
use super::transfer::Fetching;
use super::{Fatal, Host, now};
use crate::inbox::{ControlRequest, Submissions};
use crate::transport::Transport;

/// Bytes of log after which quiet groups are checked for keeping its beginning.
const LOG_STEP_BYTES: u64 = 64 << 10;

impl<T: Transport> Host<T> {
    /// Runs one cycle on the waiting requests, and posts the results.
    pub(crate) fn cycle(&mut self) -> Result<(), Fatal> {
        self.begin_cycle();
        let bytes = self.take_requests();
        self.exchange_liveness()?;
        self.pass_time()?;
        self.propose_all()?;
        self.settle()?;
        self.end_cycle(bytes)
    }

    /// Signals that the loop runs. If it stalled for so long that clients were disconnected, much
    /// may have happened meanwhile.
    fn begin_cycle(&mut self) {
        self.shared.cycles.fetch_add(1, Relaxed);
        if self.shared.stalled.load(Relaxed) {
            (0..self.slots.len()).for_each(|at| self.tell(at, Event::HostStalled));
            self.shared.stalled.store(false, Relaxed);
        }
        self.tell_awake(|| Event::CycleBegins);
        if self.shared.config.ensemble.is_none() {
            self.peers_polled(self.shared.clock.elapsed_ms());
        }
    }

    /// Passes the waiting requests to their groups; returns the bytes of the commands.
    fn take_requests(&mut self) -> usize {
        self.shared.inbox.take(&mut self.submissions, &mut self.control_requests);
        let bytes = self.submissions.len_bytes();
        let mut submissions = std::mem::replace(&mut self.submissions, Submissions::new(0));
        submissions.drain(|group, submission| {
            self.tell(group.index(), Event::Submitted(submission));
            self.slots[group.index()].has_submitted = true;
        });
        // A group also does what an earlier cycle left for this one.
        for n in 0..self.awake.len() {
            let at = self.awake[n];
            if !std::mem::take(&mut self.slots[at].has_submitted) {
                self.tell(at, Event::Submitted(submissions.nothing()));
            }
        }
        self.submissions = submissions;
        self.run_control_requests();
        bytes
    }

    /// Tells the groups that frames from a poll begun at `polled_ms` are about to be handled.
    pub(crate) fn peers_polled(&mut self, polled_ms: i64) {
        self.tell_awake(|| Event::PeersPolled { polled_ms });
    }

    pub(super) fn pass_time(&mut self) -> Result<(), Fatal> {
        self.tell_awake(|| Event::TimePassed);
        self.act()
    }

    /// Proposes what each group that leads has gathered.
    fn propose_all(&mut self) -> Result<(), Fatal> {
        for n in 0..self.awake.len() {
            let at = self.awake[n];
            let now = now(&self.shared);
            let group = &mut self.slots[at].group;
            if group.replica.leads() && !group.waits_for_others(now) {
                self.tell_too(at, Event::LeadersTurn);
                self.propose(at)?;
            }
        }
        Ok(())
    }

    /// Proposes the group's gathered commands to its engine if the log has room for them and for
    /// what other groups have proposed in this cycle, and refuses them if the disk is full.
    pub(super) fn propose(&mut self, at: usize) -> Result<(), Fatal> {
        let gathered = self.slots[at].group.replica.gathered_bytes();
        let before = self.proposed.len();
        self.proposed.extend(gathered);
        if self.proposed.len() == before {
            self.tell_too(at, Event::LogHasRoom);
            return Ok(());
        }
        match self.log.reserve(self.proposed.iter().copied()) {
            Ok(()) => self.tell_too(at, Event::LogHasRoom),
            Err(AppendError::Failed(e)) => return Err(e.into()),
            Err(why) => {
                self.proposed.truncate(before);
                self.tell(at, Event::LogHasNoRoom(&why));
            }
        }
        Ok(())
    }

    /// Carries out what the engines want until there is nothing left and every committed entry is
    /// applied. In each round: take what all groups want, send, append, flush once, tell all,
    /// apply.
    pub(super) fn settle(&mut self) -> Result<(), Fatal> {
        while self.take_ready() {
            self.send_before_flush()?;
            self.install_snapshots()?;
            self.persist()?;
            self.tell_persisted()?;
        }
        self.proposed.clear();
        for n in 0..self.awake.len() {
            self.apply(self.awake[n]);
        }
        self.wake_connection_threads();
        self.send_outgoing()?;
        // If requests wait, the next cycle starts at once and its messages go out with these: a
        // member that would be woken twice within microseconds is woken once.
        if self.may_end() || self.shared.inbox.is_empty() {
            self.transport.flush();
        }
        Ok(())
    }

    /// Takes over what each engine wants done; `false` if there is nothing.
    fn take_ready(&mut self) -> bool {
        let mut is_any = false;
        for at in &self.awake {
            is_any |= self.slots[*at].take_ready();
        }
        is_any
    }

    /// The followers flush while this member does, and the leaders order new client requests
    /// meanwhile.
    fn send_before_flush(&mut self) -> Result<(), Fatal> {
        let waits = |slot: &super::Slot| {
            slot.is_ready && (slot.ready.must_sync || slot.ready.install_snapshot.is_some())
        };
        if !self.awake.iter().any(|at| waits(&self.slots[*at])) {
            return Ok(());
        }
        self.send_outgoing()?;
        self.transport.flush();
        for n in 0..self.awake.len() {
            let at = self.awake[n];
            if self.slots[at].may_apply_early() {
                self.apply(at);
            }
        }
        self.wake_connection_threads();
        Ok(())
    }

    fn install_snapshots(&mut self) -> Result<(), Fatal> {
        for n in 0..self.awake.len() {
            let at = self.awake[n];
            let slot = &mut self.slots[at];
            if slot.is_ready
                && let Some(meta) = slot.ready.install_snapshot.take()
            {
                self.install(at, &meta)?;
            }
        }
        Ok(())
    }

    /// Appends what all groups want on the disk, and flushes it once.
    fn persist(&mut self) -> Result<(), Fatal> {
        let mut must_sync = false;
        for n in 0..self.awake.len() {
            let at = self.awake[n];
            if self.slots[at].is_ready {
                self.append(at)?;
                must_sync |= self.slots[at].ready.must_sync;
            }
        }
        if must_sync { self.flush() } else { Ok(()) }
    }

    fn append(&mut self, at: usize) -> Result<(), Fatal> {
        let slot = &mut self.slots[at];
        let (group, now) = (slot.group.id().0, slot.group.now());
        let ready = std::mem::take(&mut slot.ready);
        for entry in &ready.entries {
            self.log.append(&Record::Entry {
                group,
                index: entry.index,
                term: entry.term,
                kind: entry.kind as u8,
                data: &entry.data,
            })?;
            let bytes = entry.data.len();
            self.log_bytes += bytes as u64;
            slot.count_appended(entry.index, entry.term, bytes);
            slot.group.handle(now, Event::Written { index: entry.index, bytes });
        }
        if let Some(state) = ready.hard_state {
            let vote = state.vote.map_or(0, |member| member.0);
            self.log.append(&Record::HardState { group, term: state.term, vote, commit: state.commit })?;
        }
        slot.ready = ready;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Fatal> {
        let begun_us = self.shared.clock.elapsed_us();
        self.log.flush()?;
        let took_us = self.shared.clock.elapsed_us() - begun_us;
        self.proposed.clear();
        self.tell(0, Event::DiskFlushed { took_us });
        for n in 0..self.awake.len() {
            let at = self.awake[n];
            if std::mem::take(&mut self.slots[at].has_appended) {
                let index = self.slots[at].namespace().counts.last_index.load(Relaxed);
                self.tell_too(at, Event::Flushed { index, took_us });
            }
        }
        self.flush_took = Duration::from_micros(took_us);
        let counts = &self.shared.counts;
        counts.flush_time.record(took_us);
        let warning_ms = u128::from(self.shared.config.storage.flush_warning_ms);
        if self.flush_took.as_millis() > warning_ms {
            counts.flushes_slow.fetch_add(1, Relaxed);
            tracing::warn!(
                "flushing the log took {} ms (fsync.warningthresholdms={warning_ms}): the disk is slow or busy, and every write waits for it",
                self.flush_took.as_millis()
            );
        }
        Ok(())
    }

    /// Tells each group that what it wanted is on the disk, and applies what that commits.
    fn tell_persisted(&mut self) -> Result<(), Fatal> {
        for n in 0..self.awake.len() {
            let at = self.awake[n];
            let slot = &mut self.slots[at];
            if !std::mem::take(&mut slot.is_ready) {
                continue;
            }
            slot.group.replica.persisted(slot.ready.number);
            if let Some(offer) = slot.ready.snapshot_offer.take() {
                slot.consider_offer(&offer);
            }
            if slot.ready.snapshot_wanted {
                slot.snapshots.ask();
            }
            self.apply(at);
            self.tell(at, Event::Settled);
        }
        self.wake_connection_threads();
        self.act()
    }

    fn apply(&mut self, at: usize) {
        let commands = self.slots[at].apply();
        if commands > 0 {
            self.shared.counts.batch_size.record(commands);
            self.applied_commands += commands;
            self.tell_too(at, Event::Applied { commands });
        }
    }

    /// Passes the groups' messages for other servers to the transport.
    fn send_outgoing(&mut self) -> Result<(), Fatal> {
        for at in &self.awake {
            self.slots[*at].send_outgoing();
        }
        self.act()
    }

    /// A group has allowed the beginning of the log to be dropped: other groups must not keep it
    /// for a few entries.
    fn snapshot_idle_groups(&mut self, done: GroupId) {
        for at in (0..self.slots.len()).filter(|at| *at != done.index()) {
            let Slot { snapshots, group, .. } = &mut self.slots[at];
            if snapshots.keeps_log_for_little(&group.replica, self.log_bytes) {
                snapshots.ask();
                self.wake(at);
            }
        }
    }

    /// Wakes quiet groups that keep the beginning of a long log.
    fn wake_for_snapshots(&mut self) {
        if self.awake.len() < self.slots.len() && self.log_bytes - self.log_checked_bytes >= LOG_STEP_BYTES {
            self.log_checked_bytes = self.log_bytes;
            for at in 0..self.slots.len() {
                if self.slots[at].snapshots.is_log_too_long(self.log_bytes) {
                    self.wake(at);
                }
            }
        }
    }

    fn end_cycle(&mut self, bytes: usize) -> Result<(), Fatal> {
        self.wake_for_snapshots();
        for n in 0..self.awake.len() {
            let at = self.awake[n];
            let slot = &mut self.slots[at];
            let kept_bytes = slot.group.replica.kept_bytes();
            self.kept_bytes = self.kept_bytes + kept_bytes - slot.kept_bytes;
            slot.kept_bytes = kept_bytes;
            slot.snapshots.consider(
                &self.shared,
                &mut slot.group.replica,
                self.applied_commands,
                self.log_bytes,
            );
            let fetched_bytes = slot.fetching.as_ref().map(Fetching::fetched_bytes);
            self.tell_too(at, Event::Fetched(fetched_bytes));
            self.tell(at, Event::CycleEnds);
        }
        self.shared.inbox.end_cycle(bytes, self.kept_bytes);
        self.act()?;
        self.let_quiet_rest();
        Ok(())
    }

    fn run_control_requests(&mut self) {
        for request in std::mem::take(&mut self.control_requests) {
            match request {
                ControlRequest::SnapshotDone { group, number, result } => {
                    let slot = &mut self.slots[group.index()];
                    let replica = &mut slot.group.replica;
                    slot.snapshots.done(&self.shared, number, result, replica, &mut self.log);
                    self.snapshot_idle_groups(group);
                }
                ControlRequest::TakeSnapshot(group, waiter) => {
                    self.slots[group.index()].snapshots.ask_for(waiter);
                    self.wake(group.index());
                }
                ControlRequest::Disconnected(group, session) => {
                    self.tell(group.index(), Event::Disconnected(session));
                }
                ControlRequest::Lead(group) => self.tell(group.index(), Event::Asked(Asked::Lead)),
                ControlRequest::StepDown(group) => self.tell(group.index(), Event::Asked(Asked::StepDown)),
                ControlRequest::Stop => {
                    (0..self.slots.len()).for_each(|at| self.tell(at, Event::Asked(Asked::Stop)));
                }
            }
        }
    }
}
