//! One cycle of the replication loop: order, append, flush, apply.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use consensus::engine::Ready;
use group::event::{Asked, Event};
use group::group::GROUP;
use group::message::GroupMessage;
use storage::log::{AppendError, Record};

use super::replies::Replies;
use super::transfer::Fetching;
use super::{Fatal, Host, now};
use crate::inbox::ControlRequest;
use crate::peers::Transport;

/// Most commands applied before waiting readers get the machine.
const APPLY_RUN: usize = 256;

/// With more committed entries than this unapplied, the member is behind because it was kept from
/// receiving them, not because they have just arrived. It catches up in smaller runs and yields the
/// processor between them, to servers on the same machine that are not behind and to their clients.
const BEHIND: usize = 8;

/// Commands in one run of a member that is behind.
const BEHIND_RUN: usize = 64;

impl<T: Transport> Host<T> {
    /// Runs one cycle on the waiting requests, and posts the results.
    pub(crate) fn cycle(&mut self) -> Result<(), Fatal> {
        self.tell(Event::CycleBegins);
        if self.group.is_single() {
            self.peers_polled(self.shared.clock.elapsed_ms());
        }
        self.shared.inbox.take(&mut self.submission, &mut self.control_requests);
        let bytes = self.submission.len_bytes();
        let mut submission = std::mem::take(&mut self.submission);
        self.tell(Event::Submitted(&mut submission));
        self.submission = submission;
        self.run_control_requests();
        self.pass_time()?;
        if self.group.replica.leads() && !self.group.waits_for_others(now(&self.shared)) {
            self.tell_too(Event::LeadersTurn);
            self.propose()?;
        }
        self.settle()?;
        self.shared.inbox.end_cycle(bytes, self.group.replica.kept_bytes());
        self.snapshots.consider(&self.shared, &mut self.group.replica);
        self.tell_too(Event::Fetched(self.fetching.as_ref().map(Fetching::fetched_bytes)));
        self.tell(Event::CycleEnds);
        self.act()
    }

    /// Tells the group that frames from a poll begun at `polled_ms` are about to be handled.
    pub(crate) fn peers_polled(&mut self, polled_ms: i64) {
        self.tell(Event::PeersPolled { polled_ms });
    }

    pub(super) fn pass_time(&mut self) -> Result<(), Fatal> {
        self.tell(Event::TimePassed);
        self.act()
    }

    /// Proposes the gathered commands to the engine if the log has room for them, and refuses them
    /// if the disk is full.
    pub(super) fn propose(&mut self) -> Result<(), Fatal> {
        match self.log.reserve(self.group.replica.gathered_bytes()) {
            Ok(()) => self.tell_too(Event::LogHasRoom),
            Err(AppendError::Failed(e)) => return Err(e.into()),
            Err(why) => self.tell(Event::LogHasNoRoom(&why)),
        }
        Ok(())
    }

    /// Carries out the engine's output until there is none left and every committed entry is
    /// applied.
    pub(super) fn settle(&mut self) -> Result<(), Fatal> {
        let mut ready = std::mem::take(&mut self.ready);
        while self.group.replica.ready(&mut ready) {
            self.send_engine(&mut ready);
            if ready.must_sync || ready.install_snapshot.is_some() {
                // The followers flush while this member does, and the leader orders new client
                // requests meanwhile.
                self.send_outgoing()?;
                self.transport.flush();
            }
            if ready.must_sync
                && ready.install_snapshot.is_none()
                && !self.group.replica.is_to_change_members()
            {
                // These entries are already flushed, so the clients waiting for them need not wait
                // for this flush as well. A membership change is the exception: the engine acts on
                // it only when this flush is done, and applying it asks the engine for the members.
                self.apply();
            }
            if let Some(meta) = ready.install_snapshot.take() {
                self.install(&meta)?;
            }
            self.persist(&ready)?;
            self.group.replica.persisted(ready.number);
            if let Some(offer) = ready.snapshot_offer.take() {
                self.consider_offer(&offer);
            }
            if ready.snapshot_wanted {
                self.snapshots.ask();
            }
            self.apply();
            self.tell(Event::Settled);
            self.act()?;
        }
        self.apply();
        self.send_outgoing()?;
        // If requests wait, the next cycle starts at once and its messages go out with these: a
        // member that would be woken twice within microseconds is woken once.
        if self.group.may_end() || self.shared.inbox.is_empty() {
            self.transport.flush();
        }
        self.ready = ready;
        Ok(())
    }

    fn send_engine(&mut self, ready: &mut Ready) {
        let from = self.group.replica.member();
        for message in ready.messages.drain(..) {
            let to = group::server_of(message.to);
            self.group.send_group(to, GroupMessage::Engine { from, bytes: message.bytes });
        }
    }

    /// Passes the group's messages for other servers to the transport.
    pub(super) fn send_outgoing(&mut self) -> Result<(), Fatal> {
        let messages: Vec<_> = self.group.replica.take_outgoing().collect();
        for (to, message) in messages {
            self.group.send_group(to, message);
        }
        self.act()
    }

    fn persist(&mut self, ready: &Ready) -> Result<(), Fatal> {
        for entry in &ready.entries {
            self.log.append(&Record::Entry {
                group: GROUP.0,
                index: entry.index,
                term: entry.term,
                kind: entry.kind as u8,
                data: &entry.data,
            })?;
            self.snapshots.count_bytes(entry.data.len());
            self.tell_too(Event::Written { index: entry.index, bytes: entry.data.len() });
            self.shared.counts.last_index.store(entry.index, Relaxed);
            self.shared.counts.last_term.store(entry.term, Relaxed);
        }
        if let Some(state) = ready.hard_state {
            let vote = state.vote.map_or(0, |member| member.0);
            self.log.append(&Record::HardState {
                group: GROUP.0,
                term: state.term,
                vote,
                commit: state.commit,
            })?;
        }
        if ready.must_sync {
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Fatal> {
        let begun_us = self.shared.clock.elapsed_us();
        self.log.flush()?;
        let now_us = self.shared.clock.elapsed_us();
        let took_us = now_us - begun_us;
        let index = self.shared.counts.last_index.load(Relaxed);
        self.tell(Event::Flushed { index, took_us });
        let took = Duration::from_micros(took_us);
        self.flush_took = took;
        let counts = &self.shared.counts;
        counts.flush_time.record(took_us);
        let warning_ms = u128::from(self.shared.config.storage.flush_warning_ms);
        if took.as_millis() > warning_ms {
            counts.flushes_slow.fetch_add(1, Relaxed);
            tracing::warn!(
                "flushing the log took {} ms (fsync.warningthresholdms={warning_ms}): the disk is slow or busy, and every write waits for it",
                took.as_millis()
            );
        }
        Ok(())
    }

    /// Applies every committed entry, in runs short enough for readers in between.
    pub(super) fn apply(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut gathered = Replies::new(&shared);
        let before = self.group.replica.applied_commands();
        let now_ms = shared.clock.wall_ms();
        while self.group.replica.has_work() {
            let is_behind = self.group.replica.entries_behind() > BEHIND;
            let run = if is_behind { BEHIND_RUN } else { APPLY_RUN };
            let mut machine = shared.machine.write();
            self.group.replica.apply(now_ms, &mut machine, &mut gathered, run);
            gathered.post();
            drop(machine);
            gathered.wake();
            if is_behind {
                std::thread::yield_now();
            }
        }
        let applied = self.group.replica.applied_commands() - before;
        if applied > 0 {
            shared.counts.batch_size.record(applied);
            self.tell_too(Event::Applied { commands: applied });
        }
    }

    fn run_control_requests(&mut self) {
        for request in std::mem::take(&mut self.control_requests) {
            match request {
                ControlRequest::SnapshotDone { number, result } => {
                    let replica = &mut self.group.replica;
                    self.snapshots.done(&self.shared, number, result, replica, &mut self.log);
                }
                ControlRequest::TakeSnapshot => self.snapshots.ask(),
                ControlRequest::Disconnected(session) => self.tell(Event::Disconnected(session)),
                ControlRequest::Lead => self.tell(Event::Asked(Asked::Lead)),
                ControlRequest::StepDown => self.tell(Event::Asked(Asked::StepDown)),
                ControlRequest::Stop => self.tell(Event::Asked(Asked::Stop)),
            }
        }
    }
}
