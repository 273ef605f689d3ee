//! What a leader knows of one follower or learner, and what it sends it next.

use std::collections::VecDeque;

use super::flushes::Outbox;
use super::message::{AcceptedLog, Body};
use crate::engine::Settings;
use crate::entry::{MemberId, Position};
use crate::log::Log;

/// How the follower is brought on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Where its log agrees is not known: one empty message at a time asks…
    Probing {
        /// Whether it is on its way.
        is_sent: bool,
    },
    /// …and then entries follow without waiting for answers…
    Streaming,
    /// …unless they are dropped here, and it has to fetch a snapshot.
    Snapshot {
        /// Since when it was offered.
        ticks: u32,
    },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Peer {
    /// It has flushed the leader's log up to here.
    pub(super) matched: u64,
    /// Next index to send. Invariant: above `matched`.
    next: u64,
    pace: Pace,
    /// Last index of each message with entries on its way; rising.
    in_flight: VecDeque<u64>,
    /// Since something was sent that has an answer.
    quiet_ticks: u32,
    /// Heard of since the leader counted last.
    pub(super) is_active: bool,
    /// Highest number of a read it has echoed.
    pub(super) echoed: u64,
    /// The commit it was told last.
    commit_told: u64,
}

impl Peer {
    /// One of whom nothing is known.
    pub(super) fn new(log: &Log) -> Self {
        Self {
            matched: 0,
            next: log.last_position().index + 1,
            pace: Pace::Probing { is_sent: false },
            in_flight: VecDeque::new(),
            quiet_ticks: 0,
            is_active: true,
            echoed: 0,
            commit_told: 0,
        }
    }

    /// Its promise told where it stands.
    pub(super) fn promised(&mut self, standing: AcceptedLog, log: &Log) {
        let AcceptedLog { last, .. } = standing;
        if log.position(last.index) == Some(last) {
            self.accepted(last.index, log);
        } else if self.matched == 0 {
            self.probe(last, log);
        }
    }

    pub(super) fn awaits_snapshot(&self) -> bool {
        matches!(self.pace, Pace::Snapshot { .. })
    }

    /// It has flushed everything up to `index`.
    pub(super) fn accepted(&mut self, index: u64, log: &Log) {
        if index < self.matched {
            return;
        }
        self.matched = index;
        while self.in_flight.pop_front_if(|last| *last <= index).is_some() {}
        // If it is behind what is left here, only a snapshot helps.
        if self.pace != Pace::Streaming && log.position(index).is_some() {
            self.pace = Pace::Streaming;
            self.next = index + 1;
        }
        self.next = self.next.max(index + 1);
    }

    /// It does not have the entry at `previous`, but perhaps the one at `hint`.
    pub(super) fn refused(&mut self, previous: u64, hint: Position, log: &Log) {
        let is_news = match self.pace {
            Pace::Probing { .. } => previous + 1 == self.next,
            Pace::Streaming => previous > self.matched,
            Pace::Snapshot { .. } => false,
        };
        if is_news && previous > self.matched {
            self.probe(Position { index: hint.index.min(previous - 1), ..hint }, log);
        }
    }

    /// Its log may agree at or before `hint`.
    fn probe(&mut self, hint: Position, log: &Log) {
        let agreed = if hint.index < log.before().index { hint } else { log.last_at_or_before(hint) };
        self.next = agreed.index.max(self.matched) + 1;
        self.pace = Pace::Probing { is_sent: false };
        self.in_flight.clear();
    }

    /// It says how far its log agrees. If that is short of what was sent and nothing was sent lately, messages were lost.
    pub(super) fn heard(&mut self, received: u64, heartbeat_ticks: u32) {
        if self.quiet_ticks < heartbeat_ticks {
            return;
        }
        match &mut self.pace {
            Pace::Probing { is_sent } => *is_sent = false,
            Pace::Streaming if received + 1 < self.next => {
                self.next = received.max(self.matched) + 1;
                self.in_flight.clear();
            }
            Pace::Streaming | Pace::Snapshot { .. } => {}
        }
    }

    /// Returns whether the snapshot it waits for should be offered again: the offer may be lost, or the follower have
    /// crashed while it fetched.
    pub(super) fn tick(&mut self, patience_ticks: u32) -> bool {
        self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        let Pace::Snapshot { ticks } = &mut self.pace else { return false };
        *ticks += 1;
        let is_due = *ticks >= patience_ticks;
        if is_due {
            *ticks = 0;
        }
        is_due
    }

    /// Sends what there is room for. Returns whether it begins to wait for a snapshot.
    pub(super) fn send(&mut self, to: &Addressee<'_>, log: &Log, outbox: &mut Outbox) -> bool {
        let last = log.last_position().index;
        loop {
            let bytes_max = match self.pace {
                Pace::Probing { is_sent: false } => None,
                Pace::Streaming
                    if self.next <= last && self.in_flight.len() < to.settings.messages_in_flight_max =>
                {
                    Some(to.settings.message_bytes_max)
                }
                _ => break,
            };
            let Some(previous) = log.position(self.next - 1) else {
                self.pace = Pace::Snapshot { ticks: 0 };
                self.in_flight.clear();
                return true;
            };
            let mut entries = Vec::new();
            if let Some(bytes_max) = bytes_max {
                entries.extend(log.range(self.next, last + 1, bytes_max).cloned());
                self.next += entries.len() as u64;
                self.in_flight.push_back(self.next - 1);
            } else {
                self.pace = Pace::Probing { is_sent: true };
            }
            outbox.send(to.member, to.ballot, Body::Accept { previous, commit: to.commit, entries });
            self.quiet_ticks = 0;
            self.commit_told = to.commit;
        }
        if self.pace == Pace::Streaming && self.commit_told < to.commit {
            outbox.send(to.member, to.ballot, Body::Chosen { commit: to.commit });
            self.commit_told = to.commit;
        }
        false
    }
}

/// Whom, in what, and how much.
pub(super) struct Addressee<'a> {
    pub(super) member: MemberId,
    pub(super) ballot: u64,
    pub(super) commit: u64,
    pub(super) settings: &'a Settings,
}
