//! What a member promises and accepts, and what it learns to be chosen.

use bytes::Bytes;

use super::message::{AcceptedLog, Body, Message};
use super::proposer::CandidateState;
use super::{PaxosEngine, Stage};
use crate::engine::{SnapshotOffer, StepError};
use crate::entry::{Entry, EntryKind, MemberId, Position};
use crate::membership::SnapshotMeta;
use crate::message::ReadName;

impl PaxosEngine {
    pub(super) fn take_in(&mut self, from: MemberId, bytes: Bytes) -> Result<(), StepError> {
        let message = Message::decode(bytes)?;
        if (message.group, message.to, message.from) != (self.settings.group, self.settings.member, from) {
            return Err(StepError::Misdirected);
        }
        self.check(&message)?;
        match message.body {
            Body::Prepare { trial, handover } => self.on_prepare(from, message.ballot, trial, handover),
            Body::Promise { trial, standing } => self.on_promise(from, message.ballot, trial, standing),
            // True at any time, since the name is of one question.
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

    /// Refuses what no correct member says.
    fn check(&mut self, message: &Message) -> Result<(), StepError> {
        let is_command = self.settings.is_command;
        if let Body::Accept { entries, .. } | Body::Suffix { entries, .. } = &message.body
            && entries.iter().any(|entry| entry.kind == EntryKind::Command && !is_command(&entry.data))
        {
            return Err(StepError::Malformed("an entry that is no command"));
        }
        let is_leaders =
            matches!(message.body, Body::Accept { .. } | Body::Heartbeat { .. } | Body::Snapshot(_));
        // Only asks, or answers that one is asked: nobody takes the ballot over.
        let is_trial =
            matches!(message.body, Body::Prepare { trial: true, .. } | Body::Promise { trial: true, .. });
        let (own, ballot) = (self.promised, message.ballot);
        let leader = is_leaders.then_some(message.from);
        if ballot > own && !is_trial && !self.nearness.admits(own, ballot, leader) {
            return Err(StepError::FarTerm { term: ballot });
        }
        Ok(())
    }

    /// Messages of the promised ballot.
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
            Body::CampaignNow => self.campaign_by_handover(),
            Body::Fetch { after, commit } => self.on_fetch(from, after, commit),
            Body::Suffix { previous, entries } => self.on_suffix(from, previous, entries),
            Body::Accepted { index } => self.on_accepted(from, index),
            Body::Refused { previous, hint } => self.on_refused(from, previous, hint),
            Body::HeartbeatReply { received, accepted, read } => {
                self.on_heartbeat_reply(from, received, accepted, read);
            }
            Body::ReadAsk(name) => self.on_read_ask(from, name),
            // Its ballot has done all there was to do.
            Body::Outdated => {}
            Body::Prepare { .. } | Body::Promise { .. } | Body::ReadAnswer { .. } => {
                unreachable!("handled whatever their ballot")
            }
        }
        Ok(())
    }

    fn on_prepare(&mut self, from: MemberId, ballot: u64, trial: bool, handover: bool) {
        if ballot < self.promised {
            return self.outbox.send(from, self.promised, Body::Outdated);
        }
        let is_repeated = ballot == self.promised;
        if !is_repeated && !handover && self.is_content(from, trial) {
            return;
        }
        let (before, last) = (self.log.before(), self.log.last_position());
        let standing = AcceptedLog { before, commit: self.commit_position(), last };
        let promise = Body::Promise { trial, standing };
        if trial {
            return self.outbox.send(from, ballot, promise);
        }
        if !is_repeated {
            self.follow_ballot(ballot);
            self.candidate = Some(from);
            self.elapsed_ticks = 0;
        }
        // Repeated only while its proposer has no majority; afterwards `last` is not what it was promised with.
        if self.leader.is_none() {
            self.outbox.send_when_flushed(from, ballot, promise);
        }
    }

    /// Whether there is no need of another leader: one was heard of lately, or, when it is only a trial, somebody else was
    /// promised the lead lately and should get the time to take it.
    fn is_content(&self, from: MemberId, trial: bool) -> bool {
        let is_lately = self.elapsed_ticks < self.settings.election_ticks;
        let is_promised = self.candidate.is_some_and(|candidate| candidate != from);
        self.leads() || (is_lately && (self.leader.is_some() || (trial && is_promised)))
    }

    /// There is a ballot at least as high as any known before.
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
        self.agreed = self.commit;
    }

    /// Whatever it was, it is a follower now, of nobody yet.
    pub(super) fn stand_down(&mut self) {
        self.stage = Stage::Follower;
        self.leader = None;
        self.reads.clear();
        self.wait();
    }

    /// Waits from now on for a leader, for as long as the dice say.
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
        // Positions before the first entry are forgotten. If the message has anything new, it has the one there too.
        let is_forgotten = previous.index < self.log.before().index;
        if !is_forgotten && self.log.position(previous.index) != Some(previous) {
            let likely = self.log.last_at_or_before(previous);
            let hint = if likely.index < self.commit { self.commit_position() } else { likely };
            return self.outbox.send(from, self.promised, Body::Refused { previous: previous.index, hint });
        }
        let end = previous.index + entries.len() as u64;
        self.merge(entries);
        self.agreed = self.agreed.max(end);
        self.learn_up_to(commit);
        self.acknowledges = true;
    }

    /// Whether something else is chosen than the proposer of the promised ballot has in its log, or
    /// was accepted of it before, which no proposer takes back.
    ///
    /// That is possible, though its log holds all that was chosen before it: a later proposer has chosen, and what it has
    /// chosen has come here in a snapshot, which does not tell in which ballot that was.
    pub(super) fn contradicts(&self, previous: Position, entries: &[Entry]) -> bool {
        let known = self.log.before().index..=self.agreed;
        let mut positions = std::iter::once(previous).chain(entries.iter().map(Entry::position));
        positions.any(|position| {
            known.contains(&position.index) && self.log.position(position.index) != Some(position)
        })
    }

    /// There is a later ballot than the promised one, but which is not known; so nothing more is accepted in this one.
    pub(super) fn leave_ballot(&mut self) {
        self.follow_ballot(self.promised + 1);
    }

    /// Makes the log hold these entries, which begin at the latest after its end.
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

    /// Appends; an index already there replaces everything from it on.
    pub(super) fn append(&mut self, entry: Entry) {
        if entry.index <= self.log.last_position().index {
            self.members.truncate(entry.index);
            self.flushes.truncate(entry.index);
            self.agreed = self.agreed.min(entry.index - 1);
        }
        let chosen = self.members.append(&entry);
        self.log.append(entry);
        // No leader proposes a change before it knows the last one to be chosen.
        if let Some(index) = chosen {
            self.choose(index);
        }
    }

    /// The leader says that everything up to `commit` is chosen; of its log, this one holds the first part.
    fn learn_up_to(&mut self, commit: u64) {
        self.choose(commit.min(self.agreed));
    }

    /// The entry at `position` is chosen somewhere: if it is here too, so is everything before it.
    pub(super) fn learn(&mut self, position: Position) {
        if self.log.position(position.index) == Some(position) {
            self.choose(position.index);
        }
    }

    /// The log is chosen up to `index`.
    pub(super) fn choose(&mut self, index: u64) {
        if index <= self.commit {
            return;
        }
        assert!(index <= self.log.last_position().index, "what is chosen is here");
        if let Stage::Leader(office) = &mut self.stage {
            office.committed(self.log.range(self.commit + 1, index + 1, u64::MAX));
        }
        self.commit = index;
        self.agreed = self.agreed.max(index);
    }

    pub(super) fn commit_position(&self) -> Position {
        self.log.position(self.commit).expect("nothing after the commit is dropped")
    }

    fn on_heartbeat(&mut self, from: MemberId, commit: u64, matched: u64, read: Option<ReadName>) {
        self.follow_leader(from);
        // What was accepted in this ballot and flushed is not sent again. A member that has restarted meanwhile has it, but does not know
        // any more that it agrees with the leader's.
        self.agreed = self.agreed.max(matched);
        self.learn_up_to(commit);
        let accepted = self.agreed.min(self.flushes.persisted);
        let reply = Body::HeartbeatReply { received: self.agreed, accepted, read };
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
        // An answer to an earlier life of this member may still be on the way; its counter means nothing here.
        if (name.member, name.boot_nonce) == (self.settings.member, self.settings.boot_nonce) {
            self.barriers.answer(name.counter, index, &mut self.answered);
        }
    }

    fn campaign_by_handover(&mut self) {
        if self.may_campaign() {
            self.begin(CandidateState::handover());
        }
    }
}
