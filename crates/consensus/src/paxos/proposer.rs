//! Phase 1: how a member comes to lead.
//!
//! It asks on trial first, whether a majority misses a leader. Then it promises itself a new ballot, asks all voters to
//! promise it too, and takes over the highest log among those that did. Then it leads.
//!
//! # Why a leader's log holds everything chosen
//!
//! An acceptor has one log, not a ballot for each slot. That is enough, because a proposer's log changes only at its end, acceptors
//! take it in order, and its first own entry is the one which starts its leadership: so the term of an acceptor's last entry is the
//! ballot it has accepted in, and the log is a beginning of that proposer's. An index counts as chosen once a majority has
//! accepted the leader's log up to it *and* up to the leader's first own entry.
//!
//! *A log whose last position is at or after that of a chosen one contains it.* By induction over ballots: the proposer of a later
//! ballot heard from a majority, hence from somebody who had accepted the chosen log and has kept it since (whoever replaced
//! its end led in between, and held it); and the proposer has taken over that log, or one with a later last position. So
//! taking over a log with a later end is safe at any time, also halfway: where the two differ, nothing is chosen.
//!
//! # Why changes of the members are safe
//!
//! A majority is always one of the membership at the commit: that of the last *chosen* change. A leader proposes a change only
//! after the last one is chosen, and in force on its disk. Hence, of two changes in a log, the earlier is chosen: whoever holds
//! the second, counts by the first, at least (see `append`).
//!
//! Neighbours in the row of memberships have a voter in common in all majorities. What is left are members that are two changes
//! or more apart. A *proposer* cannot be that far behind: the second change was accepted by a majority of the membership after
//! the first, each of whom counts by that at least; the proposer's majority has one of them in it, takes over a log with both
//! changes, and has to count again, by the newer membership, until nothing new comes out. This is why it counts after it has
//! taken over a log, not before. Nor can a *leader* be behind and choose anything, or prove itself for a read: those who made
//! the first of the changes it has not seen chosen have promised a higher ballot, and a majority of its membership has one
//! of them in it.
//!
//! That a change takes effect at the commit and not at its place in the log is what lets entries be pipelined past it.

use std::collections::BTreeMap;

use super::message::{AcceptedLog, Body};
use super::{PaxosEngine, Stage, ballot};
use crate::entry::{Entry, MemberId, Position};

/// An attempt to lead.
pub(super) struct CandidateState {
    trial: bool,
    handover: bool,
    /// Of a trial, the ballot there would be.
    ballot: u64,
    promises: BTreeMap<MemberId, AcceptedLog>,
    fetch: Option<Fetch>,
    retry_ticks: u32,
}

/// Taking over the log of an acceptor, a part at a time.
struct Fetch {
    from: MemberId,
    /// It ends there.
    last: Position,
    /// What is taken over up to here; nothing yet.
    after: Option<Position>,
    /// Parts that have come since it was asked last. The acceptor sends as many as may be on the way at once.
    parts: usize,
    /// Since it was asked, or a part came.
    quiet_ticks: u32,
}

impl CandidateState {
    fn new(trial: bool, handover: bool) -> Self {
        Self { trial, handover, ballot: 0, promises: BTreeMap::new(), fetch: None, retry_ticks: 0 }
    }

    pub(super) fn trial() -> Self {
        Self::new(true, false)
    }

    pub(super) fn handover() -> Self {
        Self::new(false, true)
    }
}

impl PaxosEngine {
    /// Whether it may stand for election. Not while its log is being replaced: the old one may come back with a crash.
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
        self.ask_promises();
        self.pursue();
    }

    /// Asks those voters who have not promised yet.
    fn ask_promises(&mut self) {
        let Stage::Candidate(candidacy) = &self.stage else { return };
        let body = Body::Prepare { trial: candidacy.trial, handover: candidacy.handover };
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
            self.ask_promises();
        }
        let Stage::Candidate(CandidateState { fetch: Some(fetch), .. }) = &mut self.stage else { return };
        fetch.quiet_ticks += 1;
        if fetch.quiet_ticks >= self.settings.heartbeat_ticks * 2 {
            self.ask_suffix();
        }
    }

    pub(super) fn on_promise(&mut self, from: MemberId, ballot: u64, trial: bool, standing: AcceptedLog) {
        match &mut self.stage {
            Stage::Candidate(candidacy) if (candidacy.ballot, candidacy.trial) == (ballot, trial) => {
                candidacy.promises.entry(from).or_insert(standing);
                self.pursue();
            }
            // One more than were needed; it tells where the follower stands.
            Stage::Leader(office) if !trial && ballot == self.promised => {
                office.promised(from, standing, &self.log);
            }
            _ => {}
        }
    }

    /// Goes as far as the promises allow.
    fn pursue(&mut self) {
        let Stage::Candidate(candidacy) = &self.stage else { return };
        let promises = candidacy.promises.clone();
        let trial = candidacy.trial;
        for standing in promises.values() {
            self.learn(standing.before);
            self.learn(standing.commit);
        }
        if !self.is_voter(self.settings.member) {
            return self.stand_down();
        }
        // A log that begins after what is known here to be chosen cannot be taken over. Its owner has to lead, not this one.
        let own = self.log.last_position();
        let usable = promises.iter().filter(|(member, standing)| {
            self.is_voter(**member) && (standing.last <= own || standing.before.index <= self.commit)
        });
        let usable = usable.map(|(member, standing)| (*member, standing.last)).collect::<Vec<_>>();
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
            self.ask_suffix();
        }
    }

    fn ask_suffix(&mut self) {
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
        self.pursue();
        if has_all_parts {
            self.ask_suffix();
        }
    }
}
