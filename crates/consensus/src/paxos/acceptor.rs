//! The acceptor: what a member promises and accepts; and how it learns what is chosen.

use bytes::Bytes;

use super::message::{AcceptedLog, Body, Message};
use super::proposer::CandidateState;
use super::{PaxosEngine, Stage};
use crate::engine::{SnapshotOffer, StepError};
use crate::entry::{Entry, EntryKind, MemberId, Position};
use crate::membership::SnapshotMeta;
use crate::message::ReadName;

impl PaxosEngine {
    pub(super) fn on_message(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError> {
        let message = Message::decode(bytes)?;
        if (message.group, message.to, message.from) != (self.settings.group, self.settings.member, from) {
            return Err(StepError::Misdirected);
        }
        self.check(&message)?;
        match message.body {
            Body::Prepare { trial, transfer } => self.on_prepare(from, message.ballot, trial, transfer),
            Body::Promise { trial, log_state } => self.on_promise(from, message.ballot, trial, log_state),
            // Valid whatever the ballot, since the name identifies one request.
            Body::ReadAnswer { name, index } => self.on_read_answer(name, index),
            body if message.ballot >= self.promised => {
                self.follow_ballot(message.ballot);
                return self.on_current(from, body);
            }
            Body::Accept { .. } | Body::Heartbeat { .. } | Body::Snapshot(_) => {
                self.outbox.send(from, self.promised, Body::Outdated);
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses what no correct member sends.
    fn check(&mut self, message: &Message) -> Result<(), StepError> {
        let is_command = self.settings.is_command;
        if let Body::Accept { entries, .. } | Body::Suffix { entries, .. } = &message.body
            && entries.iter().any(|entry| entry.kind == EntryKind::Command && !is_command(&entry.data))
        {
            return Err(StepError::Malformed("an entry that is no command"));
        }
        let is_leaders =
            matches!(message.body, Body::Accept { .. } | Body::Heartbeat { .. } | Body::Snapshot(_));
        // A trial, or the answer to one, makes no member adopt the ballot.
        let is_trial =
            matches!(message.body, Body::Prepare { trial: true, .. } | Body::Promise { trial: true, .. });
        let (own, ballot) = (self.promised, message.ballot);
        let leader = is_leaders.then_some(message.from);
        if ballot > own && !is_trial && !self.term_guard.admits(own, ballot, leader) {
            return Err(StepError::FarTerm { term: ballot });
        }
        Ok(())
    }

    /// Handles messages of the promised ballot.
    fn on_current(&mut self, from: MemberId, body: Body) -> Result<(), StepError> {
        match body {
            Body::Accept { previous, commit, entries } => self.on_accept(from, previous, commit, entries),
            Body::Chosen { commit } => self.learn_up_to(commit),
            Body::Heartbeat { commit, matched, read } => {
                if matched > self.log.last_position().index {
                    return Err(StepError::LostLog { index: matched, term: self.promised });
                }
                self.on_heartbeat(from, commit, matched, read);
            }
            Body::Snapshot(meta) => self.on_snapshot(from, meta),
            Body::CampaignNow => self.campaign_on_transfer(),
            Body::Fetch { after, commit } => self.on_fetch(from, after, commit),
            Body::Suffix { previous, entries } => self.on_suffix(from, previous, entries),
            Body::Accepted { index } => self.on_accepted(from, index),
            Body::Refused { previous, hint } => self.on_refused(from, previous, hint),
            Body::HeartbeatReply { received, accepted, read } => {
                self.on_heartbeat_reply(from, received, accepted, read);
            }
            Body::ReadAsk(name) => self.on_read_ask(from, name),
            // Its ballot was adopted above, and there is nothing else to do.
            Body::Outdated => {}
            Body::Prepare { .. } | Body::Promise { .. } | Body::ReadAnswer { .. } => {
                unreachable!("handled whatever their ballot")
            }
        }
        Ok(())
    }

    fn on_prepare(&mut self, from: MemberId, ballot: u64, trial: bool, transfer: bool) {
        if ballot < self.promised {
            return self.outbox.send(from, self.promised, Body::Outdated);
        }
        let is_repeated = ballot == self.promised;
        if !is_repeated && self.leader == Some(from) {
            // It has restarted or stepped down. Other means may go on reporting that it is alive
            // (`heard_of`), which says nothing of its leading.
            self.leader = None;
        }
        if !is_repeated && !transfer && self.needs_no_leader(from, trial) {
            return;
        }
        let (before, last) = (self.log.before(), self.log.last_position());
        let log_state = AcceptedLog { before, commit: self.commit_position(), last };
        let promise = Body::Promise { trial, log_state };
        if trial {
            return self.outbox.send(from, ballot, promise);
        }
        if !is_repeated {
            self.follow_ballot(ballot);
            self.candidate = Some(from);
            self.elapsed_ticks = 0;
        }
        // Repeated only while its proposer has no majority; later `last` is not what was promised.
        if self.leader.is_none() {
            self.outbox.send_when_flushed(from, ballot, promise);
        }
    }

    /// Whether there is no need for another leader: this member heard from one recently, or, for a
    /// trial, has recently made a promise to another candidate, which should get the time to take
    /// the lead.
    fn needs_no_leader(&self, from: MemberId, trial: bool) -> bool {
        let is_recent = self.elapsed_ticks < self.settings.election_ticks;
        let is_promised = self.candidate.is_some_and(|candidate| candidate != from);
        self.leads() || (is_recent && (self.leader.is_some() || (trial && is_promised)))
    }

    /// Adopts `ballot` if it is higher than any known before.
    pub(super) fn follow_ballot(&mut self, ballot: u64) {
        if ballot > self.promised {
            self.promise(ballot);
            self.stand_down();
        }
    }

    pub(super) fn promise(&mut self, ballot: u64) {
        self.promised = ballot;
        self.candidate = None;
        // What is chosen is in the log of every later proposer.
        self.matched = self.commit;
    }

    /// Becomes a follower without a known leader.
    pub(super) fn stand_down(&mut self) {
        self.stage = Stage::Follower;
        self.leader = None;
        self.reads.clear();
        self.wait();
    }

    /// Starts waiting for a leader, for a newly drawn timeout.
    pub(super) fn wait(&mut self) {
        self.attempts += 1;
        let salt = self.attempts ^ self.settings.boot_nonce.rotate_left(32);
        self.timeout_ticks = crate::timeout::election_timeout_ticks(&self.settings, salt);
        self.elapsed_ticks = 0;
    }

    fn follow_leader(&mut self, leader: MemberId) {
        self.leader = Some(leader);
        self.candidate = None;
        self.elapsed_ticks = 0;
        self.stage = Stage::Follower;
    }

    fn on_accept(&mut self, from: MemberId, previous: Position, commit: u64, entries: Vec<Entry>) {
        self.follow_leader(from);
        if self.contradicts(previous, &entries) {
            self.leave_ballot();
            return self.outbox.send(from, self.promised, Body::Outdated);
        }
        // Positions before the first entry are dropped. If the message has anything new, it
        // includes the position there too.
        let is_forgotten = previous.index < self.log.before().index;
        if !is_forgotten && self.log.position(previous.index) != Some(previous) {
            let likely = self.log.last_at_or_before(previous);
            let hint = if likely.index < self.commit { self.commit_position() } else { likely };
            return self.outbox.send(from, self.promised, Body::Refused { previous: previous.index, hint });
        }
        let end = previous.index + entries.len() as u64;
        self.merge(entries);
        self.matched = self.matched.max(end);
        self.learn_up_to(commit);
        self.acknowledges = true;
    }

    /// Whether this contradicts what is chosen, or what was accepted before from the proposer of
    /// the promised ballot, which no proposer takes back.
    ///
    /// That is possible, although the proposer's log holds all that was chosen before its ballot: a
    /// later proposer has chosen more, and it has come here in a snapshot, which does not tell in
    /// which ballot it was chosen.
    pub(super) fn contradicts(&self, previous: Position, entries: &[Entry]) -> bool {
        let known = self.log.before().index..=self.matched;
        let mut positions = std::iter::once(previous).chain(entries.iter().map(Entry::position));
        positions.any(|position| {
            known.contains(&position.index) && self.log.position(position.index) != Some(position)
        })
    }

    /// There is a later ballot than the promised one, but it is unknown which; so nothing more is
    /// accepted in this one.
    pub(super) fn leave_ballot(&mut self) {
        self.follow_ballot(self.promised + 1);
    }

    /// Merges these entries into the log; they begin at or before the index after its end.
    pub(super) fn merge(&mut self, entries: Vec<Entry>) {
        let first_index = self.log.first_index();
        for entry in entries {
            let is_known = self.log.position(entry.index) == Some(entry.position());
            if is_known || entry.index < first_index {
                continue;
            }
            assert!(entry.index > self.commit, "checked where they came in");
            self.append(entry);
        }
    }

    /// Appends; an entry at an index already there replaces everything from it on.
    pub(super) fn append(&mut self, entry: Entry) {
        if entry.index <= self.log.last_position().index {
            self.members.truncate(entry.index);
            self.flushes.truncate(entry.index);
            self.matched = self.matched.min(entry.index - 1);
        }
        let chosen = self.members.append(&entry);
        self.log.append(entry);
        // No leader proposes a change before it knows the previous one to be chosen.
        if let Some(index) = chosen {
            self.choose(index);
        }
    }

    /// The leader reports that everything up to `commit` is chosen; this log may match only a part
    /// of it.
    fn learn_up_to(&mut self, commit: u64) {
        self.choose(commit.min(self.matched));
    }

    /// The entry at `position` is chosen on some member: if it is in this log too, so is everything
    /// before it.
    pub(super) fn learn(&mut self, position: Position) {
        if self.log.position(position.index) == Some(position) {
            self.choose(position.index);
        }
    }

    /// Marks the log as chosen up to `index`.
    pub(super) fn choose(&mut self, index: u64) {
        if index <= self.commit {
            return;
        }
        assert!(index <= self.log.last_position().index, "what is chosen is here");
        if let Stage::Leader(state) = &mut self.stage {
            state.committed(self.log.range(self.commit + 1, index + 1, u64::MAX));
        }
        self.commit = index;
        self.matched = self.matched.max(index);
    }

    pub(super) fn commit_position(&self) -> Position {
        self.log.position(self.commit).expect("nothing after the commit is dropped")
    }

    fn on_heartbeat(&mut self, from: MemberId, commit: u64, matched: u64, read: Option<ReadName>) {
        self.follow_leader(from);
        // What was accepted in this ballot and flushed is not sent again. A member that has
        // restarted since still holds it, but has forgotten that it matches the leader's log.
        self.matched = self.matched.max(matched);
        self.learn_up_to(commit);
        let accepted = self.matched.min(self.flushes.persisted);
        let reply = Body::HeartbeatReply { received: self.matched, accepted, read };
        self.outbox.send(from, self.promised, reply);
    }

    fn on_snapshot(&mut self, from: MemberId, meta: SnapshotMeta) {
        self.follow_leader(from);
        self.learn(meta.position);
        if meta.position.index <= self.commit {
            self.acknowledges = true;
        } else {
            self.offer = Some(SnapshotOffer { from, meta });
        }
    }

    fn on_fetch(&mut self, from: MemberId, after: Position, commit: Position) {
        let starts = [after, commit];
        let start = starts.into_iter().find(|start| self.log.position(start.index) == Some(*start));
        let Some(mut previous) = start else { return };
        let end = self.log.last_position().index + 1;
        for _ in 0..self.settings.messages_in_flight_max {
            let entries = self.log.range(previous.index + 1, end, self.settings.message_bytes_max);
            let entries = entries.cloned().collect::<Vec<_>>();
            let Some(last) = entries.last().map(Entry::position) else { return };
            self.outbox.send(from, self.promised, Body::Suffix { previous, entries });
            previous = last;
        }
    }

    fn on_read_answer(&mut self, name: ReadName, index: u64) {
        // An answer to an earlier run of this process may still be in flight; its counter means
        // nothing here.
        if (name.member, name.boot_nonce) == (self.settings.member, self.settings.boot_nonce) {
            self.barriers.answer(name.counter, index, &mut self.answered);
        }
    }

    fn campaign_on_transfer(&mut self) {
        if self.may_campaign() {
            self.begin(CandidateState::transfer());
        }
    }
}
