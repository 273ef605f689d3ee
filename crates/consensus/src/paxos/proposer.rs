//! Phase 1: how a member becomes leader.
//!
//! First, in a trial, it asks whether a majority misses a leader. Then it promises itself a new
//! ballot, asks all voters to promise it too, and takes over the highest log among those that did.
//! Then it leads.
//!
//! # Why a leader's log holds everything chosen
//!
//! An acceptor has one log, not a ballot for each slot. That is enough, because a proposer's log
//! changes only at its end, acceptors accept it in order, and the proposer's first own entry is the
//! one that starts its leadership: so the term of an acceptor's last entry is the ballot it has
//! accepted in, and the acceptor's log is a prefix of that proposer's. An index counts as chosen
//! once a majority has accepted the leader's log up to it *and* up to the leader's first own entry.
//!
//! *A log whose last position is at or after that of a chosen one contains it.* By induction over
//! ballots: the proposer of a later ballot heard from a majority, hence from a member that had
//! accepted the chosen log and has kept it since (any proposer that replaced its end led in
//! between, and held it); and the proposer has taken over that log, or one with a later last
//! position. So taking over a log with a later end is safe at any time, also halfway: where the two
//! differ, nothing is chosen.
//!
//! # Why membership changes are safe
//!
//! A majority is always one of the membership at the commit: that of the last *chosen* change. A
//! leader proposes a change only after the previous one is chosen, and in force on its disk. Hence,
//! of two changes in a log, the earlier is chosen: a member that holds the second counts at least
//! by the first (see `append`).
//!
//! Consecutive memberships have a voter in common in all majorities. That leaves members that are
//! two changes or more apart. A *proposer* cannot be that far behind: the second change was
//! accepted by a majority of the membership after the first, and each of these members counts by
//! that membership or a later one; the proposer's majority includes one of them, so the proposer
//! takes over a log with both changes, and has to count again, by the newer membership, until
//! nothing new comes out. This is why it counts after it has taken over a log, not before. Nor can
//! a *leader* be behind and choose anything, or confirm itself for a read: the members that chose
//! the first of the changes it has not seen have promised a higher ballot, and every majority of
//! its membership includes one of them.
//!
//! Because a change takes effect at the commit and not at its place in the log, entries can be
//! pipelined past it.

use std::collections::BTreeMap;

use super::message::{AcceptedLog, Body};
use super::{PaxosEngine, Stage, ballot};
use crate::entry::{Entry, MemberId, Position};

/// An attempt to become leader.
pub(super) struct CandidateState {
    trial: bool,
    transfer: bool,
    /// In a trial, the ballot that the candidacy would use.
    ballot: u64,
    promises: BTreeMap<MemberId, AcceptedLog>,
    fetch: Option<Fetch>,
    retry_ticks: u32,
}

/// Takes over the log of an acceptor, a part at a time.
struct Fetch {
    from: MemberId,
    /// The last position to take over.
    last: Position,
    /// Taken over up to here; `None` if nothing yet.
    after: Option<Position>,
    /// Parts received since the last request. The acceptor sends at most `messages_in_flight_max`
    /// per request.
    parts: usize,
    /// Ticks since the last request or part.
    quiet_ticks: u32,
}

impl CandidateState {
    fn new(trial: bool, transfer: bool) -> Self {
        Self { trial, transfer, ballot: 0, promises: BTreeMap::new(), fetch: None, retry_ticks: 0 }
    }

    pub(super) fn trial() -> Self {
        Self::new(true, false)
    }

    pub(super) fn transfer() -> Self {
        Self::new(false, true)
    }
}

impl PaxosEngine {
    /// Whether it may stand for election. Not while its log is being replaced: a crash could bring
    /// back the old one.
    pub(super) fn may_campaign(&self) -> bool {
        !self.leads() && self.installing.is_none() && self.is_voter(self.settings.member)
    }

    pub(super) fn campaign_if_alone(&mut self) {
        if self.may_campaign() && self.members.at(self.commit).voters.len() == 1 {
            self.begin(CandidateState::new(false, false));
        }
    }

    pub(super) fn begin(&mut self, candidacy: CandidateState) {
        let Some(ballot) = ballot::next(self.promised, self.settings.member) else { return };
        self.stand_down();
        if !candidacy.trial {
            self.promise(ballot);
            self.candidate = Some(self.settings.member);
        }
        self.stage = Stage::Candidate(CandidateState { ballot, ..candidacy });
        self.request_promises();
        self.advance_candidacy();
    }

    /// Asks the voters that have not promised yet.
    fn request_promises(&mut self) {
        let Stage::Candidate(candidacy) = &self.stage else { return };
        let body = Body::Prepare { trial: candidacy.trial, transfer: candidacy.transfer };
        for member in &self.members.at(self.commit).voters {
            if *member != self.settings.member && !candidacy.promises.contains_key(member) {
                self.outbox.send(*member, candidacy.ballot, body.clone());
            }
        }
    }

    pub(super) fn tick_candidate(&mut self) {
        let is_over = self.elapsed_ticks >= self.timeout_ticks;
        let Stage::Candidate(candidacy) = &mut self.stage else { return };
        if is_over && self.installing.is_none() {
            return self.begin(CandidateState::trial());
        }
        candidacy.retry_ticks += 1;
        if candidacy.retry_ticks >= self.settings.heartbeat_ticks {
            candidacy.retry_ticks = 0;
            self.request_promises();
        }
        let Stage::Candidate(CandidateState { fetch: Some(fetch), .. }) = &mut self.stage else { return };
        fetch.quiet_ticks += 1;
        if fetch.quiet_ticks >= self.settings.heartbeat_ticks * 2 {
            self.request_suffix();
        }
    }

    pub(super) fn on_promise(&mut self, from: MemberId, ballot: u64, trial: bool, log_state: AcceptedLog) {
        match &mut self.stage {
            Stage::Candidate(candidacy) if (candidacy.ballot, candidacy.trial) == (ballot, trial) => {
                candidacy.promises.entry(from).or_insert(log_state);
                self.advance_candidacy();
            }
            // A promise beyond the majority; it reports the state of the follower's log.
            Stage::Leader(state) if !trial && ballot == self.promised => {
                state.promised(from, log_state, &self.log);
            }
            _ => {}
        }
    }

    /// Continues the candidacy as far as the promises allow.
    fn advance_candidacy(&mut self) {
        let Stage::Candidate(candidacy) = &self.stage else { return };
        let promises = candidacy.promises.clone();
        let trial = candidacy.trial;
        for log_state in promises.values() {
            self.learn(log_state.before);
            self.learn(log_state.commit);
        }
        if !self.is_voter(self.settings.member) {
            return self.stand_down();
        }
        // A log that begins after this member's commit cannot be taken over. Its owner must lead,
        // not this member.
        let own = self.log.last_position();
        let usable = promises.iter().filter(|(member, log_state)| {
            self.is_voter(**member) && (log_state.last <= own || log_state.before.index <= self.commit)
        });
        let usable = usable.map(|(member, log_state)| (*member, log_state.last)).collect::<Vec<_>>();
        if usable.len() + 1 < self.majority() {
            return;
        }
        if trial {
            return self.begin(CandidateState::new(false, false));
        }
        let highest = usable.into_iter().max_by_key(|(_, last)| *last).filter(|(_, last)| *last > own);
        let Some((from, last)) = highest else { return self.lead(&promises) };
        let Stage::Candidate(candidacy) = &mut self.stage else { return };
        if candidacy.fetch.as_ref().is_none_or(|fetch| fetch.last < last) {
            candidacy.fetch = Some(Fetch { from, last, after: None, parts: 0, quiet_ticks: 0 });
            self.request_suffix();
        }
    }

    fn request_suffix(&mut self) {
        let Stage::Candidate(CandidateState { fetch: Some(fetch), .. }) = &mut self.stage else { return };
        (fetch.parts, fetch.quiet_ticks) = (0, 0);
        let after = fetch.after.unwrap_or(self.log.last_position());
        let from = fetch.from;
        let body = Body::Fetch { after, commit: self.commit_position() };
        self.outbox.send(from, self.promised, body);
    }

    pub(super) fn on_suffix(&mut self, from: MemberId, previous: Position, entries: Vec<Entry>) {
        let Stage::Candidate(CandidateState { fetch: Some(fetch), .. }) = &self.stage else { return };
        let is_next = fetch.after.is_none_or(|after| after == previous);
        let is_attached = self.log.position(previous.index) == Some(previous);
        let Some(end) = entries.last().map(Entry::position) else { return };
        if fetch.from != from || !is_next || !is_attached {
            return;
        }
        if self.contradicts(previous, &entries) {
            return self.leave_ballot();
        }
        let Stage::Candidate(candidacy) = &mut self.stage else { return };
        let Some(fetch) = &mut candidacy.fetch else { return };
        fetch.after = Some(end);
        (fetch.parts, fetch.quiet_ticks) = (fetch.parts + 1, 0);
        let has_all_parts = fetch.parts == self.settings.messages_in_flight_max;
        if end == fetch.last {
            candidacy.fetch = None;
        }
        self.elapsed_ticks = 0;
        self.merge(entries);
        self.advance_candidacy();
        if has_all_parts {
            self.request_suffix();
        }
    }
}
