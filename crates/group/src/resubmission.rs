//! Commands of this server's clients on their way to the log, through as many leaderships as that
//! takes.
//!
//! ```text
//!   submit ──► held ──► passed on in term T ──► applied ──► answered
//!               ▲              │
//!               └── taken back ┘ when the beginning of a leadership later than T is applied here
//! ```
//!
//! Every command is done once, or never and its client is told so. A command passed on in term T
//! can be in the log only in an entry of term T: a leader takes only what is meant for its own term
//! ([`receive`](Replica::receive)), and proposes what it took in that term only
//! ([`propose`](Replica::propose)). The first entry of a leadership follows all entries of earlier
//! terms that will ever be committed, whatever the engine. So once this member has applied it, what
//! was passed on before and is still in flight here was not done, and can no longer be done by
//! the way it went. It is passed on once more, in order of arrival, and before anything that
//! arrived later.

use std::collections::BTreeMap;

use bytes::Bytes;
use state::machine::Machine;

use crate::admission::Admission;
use crate::in_flight::{Gone, LeaderSlot, SessionInFlight, Waiting, WaitingCommand};
use crate::replica::{Duty, Name, Origin, Replica};
use crate::reply_sink::RequestId;
use crate::submission::Encoded;
use crate::untold::Refused;

/// Which commands of this server's clients were passed on, and which wait for that.
#[derive(Debug, Default)]
pub(crate) struct Resubmission {
    /// Commands taken since the start.
    taken: u64,
    /// Commands that wait to be passed to a leader, by number, with their sessions. Some may no
    /// longer be in flight.
    held: BTreeMap<u64, i64>,
    /// Commands were passed to an earlier leadership and their outcome is unknown. Later ones are
    /// held back behind them.
    has_undecided: bool,
    /// Term of the newest leadership whose beginning is applied.
    begun_term: u64,
}

impl Resubmission {
    /// Another leadership is followed: what was passed to the one before is undecided.
    pub(crate) fn leadership_changed(&mut self) {
        self.has_undecided = true;
    }

    /// The machine has applied the beginning of the leadership of `term`.
    pub(crate) fn began(&mut self, term: u64) {
        self.begun_term = self.begun_term.max(term);
    }

    /// Whether nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.held.is_empty() && !self.has_undecided
    }
}

impl Replica {
    /// Takes a command of a client.
    pub(crate) fn submit_command(
        &mut self,
        now_ms: i64,
        machine: &Machine,
        id: RequestId,
        name: Name,
        encoded: Encoded<'_>,
    ) {
        let Name { session, cxid: xid, opcode } = name;
        let number = self.resubmission.taken;
        self.resubmission.taken += 1;
        let passed = if self.may_pass_on() {
            let passage = self.pass_on(now_ms, machine, number, name, &encoded);
            if passage.is_none() {
                self.lose(session);
                self.untold.abandon(1);
                return;
            }
            passage
        } else {
            self.resubmission.held.insert(number, session);
            None
        };
        let bytes = match self.settings.may_lose_lead {
            true => encoded.share(),
            false => Bytes::new(),
        };
        self.kept_bytes += bytes.len();
        let waiting = WaitingCommand { id, xid, opcode, number, bytes, passed };
        self.in_flight.entry(session).or_default().push(Waiting::Command(waiting));
    }

    /// Whether there is a leader to pass commands to, and no earlier outcome that must be known
    /// first.
    fn may_pass_on(&self) -> bool {
        !self.resubmission.has_undecided && matches!(self.duty, Duty::Follow | Duty::Lead { ready: true })
    }

    /// Passes on the held commands in order of arrival. The host calls it once per cycle.
    pub fn go_on(&mut self, now_ms: i64, machine: &Machine) {
        if self.resubmission.held.is_empty() || !self.may_pass_on() {
            return;
        }
        for (number, session) in std::mem::take(&mut self.resubmission.held) {
            let waiting = self.in_flight.get_mut(&session).and_then(|in_flight| in_flight.unpassed(number));
            let Some(WaitingCommand { xid, opcode, bytes, .. }) = waiting else { continue };
            let name = Name { session, cxid: *xid, opcode: *opcode };
            let bytes = bytes.clone();
            let passage = self.pass_on(now_ms, machine, number, name, &Encoded::whole(&bytes));
            let Some(in_flight) = self.in_flight.get_mut(&session) else { continue };
            if passage.is_none() {
                let gone = in_flight.remove(number);
                self.give_up(session, gone);
            } else if let Some(waiting) = in_flight.unpassed(number) {
                waiting.passed = passage;
            }
        }
        self.forwarding.send();
    }

    /// Passes a command on, and tells how. `None` if this member leads and finds that its own
    /// client's session is at another server; a follower leaves that check to the leader.
    ///
    /// A session that a command in flight takes to another server keeps its connection here until
    /// that command is applied: a leader that loses the lead learns that it never was.
    fn pass_on(
        &mut self,
        now_ms: i64,
        machine: &Machine,
        number: u64,
        name: Name,
        encoded: &Encoded<'_>,
    ) -> Option<LeaderSlot> {
        let term = self.role.term;
        if let Some(place) = self.forwarding.add(encoded) {
            return Some(LeaderSlot { term, place });
        }
        let origin = Origin { server: self.server(), place: number };
        match self.admit(machine, origin, &name, encoded.bytes()) {
            Admission::Granted => self.put_in_order(now_ms, origin, name, encoded.bytes()),
            Admission::LeftBehind => {}
            Admission::Gone => return None,
        }
        Some(LeaderSlot { term, place: number })
    }

    /// The beginning of the leadership of `term` was applied.
    pub(crate) fn leadership_began(&mut self, now_ms: i64, machine: &Machine, term: u64) {
        self.resubmission.began(term);
        self.take_back_undone();
        if self.duty == (Duty::Lead { ready: false }) && term == self.role.term {
            self.begin_leading(now_ms, machine);
        } else {
            self.go_on(now_ms, machine);
        }
    }

    /// Takes back what was passed to leaderships before the newest one whose beginning is applied:
    /// it was not done.
    pub(crate) fn take_back_undone(&mut self) {
        if !self.resubmission.has_undecided {
            return;
        }
        let begun_term = self.resubmission.begun_term;
        let mut is_open = false;
        for (session, in_flight) in &mut self.in_flight {
            self.resubmission.held.extend(in_flight.take_back(begun_term).map(|number| (number, *session)));
            is_open |= in_flight.has_passed();
        }
        self.resubmission.has_undecided = is_open;
    }

    /// A command that was passed on got no place in the log: it is answered at once. Nothing waits
    /// for it any more.
    pub(crate) fn was_refused(&mut self, session: i64, passage: LeaderSlot) {
        let in_flight = self.in_flight.get_mut(&session);
        if let Some(command) = in_flight.and_then(|in_flight| in_flight.take_refused(passage)) {
            self.kept_bytes -= command.bytes.len();
            let WaitingCommand { id, xid, opcode, .. } = command;
            self.untold.refuse(Refused { id, session, xid, opcode });
            self.answerable.push(session);
        }
    }

    /// Gives up what was passed on: it may have been done, and this server will not learn whether.
    pub(crate) fn drop_overtaken(&mut self) {
        let mut sessions: Vec<i64> = self
            .in_flight
            .iter()
            .filter(|(_, in_flight)| in_flight.has_passed())
            .map(|(session, _)| *session)
            .collect();
        sessions.sort_unstable();
        for session in sessions {
            let gone = self.in_flight.get_mut(&session).map(SessionInFlight::give_up);
            self.give_up(session, gone.unwrap_or_default());
        }
        self.resubmission.has_undecided = false;
    }

    /// These requests of the session will never be answered, and their connections must close.
    fn give_up(&mut self, session: i64, gone: Gone) {
        self.drop_requests(&gone);
        if let Some(in_flight) = self.in_flight.get_mut(&session)
            && in_flight.owner().is_some_and(|owner| gone.tokens.contains(&owner))
        {
            in_flight.set_owner(None);
        }
        self.untold.lose(gone.tokens);
    }

    /// These requests will never be answered; no client waits for them.
    pub(crate) fn drop_requests(&mut self, gone: &Gone) {
        self.kept_bytes -= gone.bytes;
        self.untold.abandon(gone.requests);
    }
}
