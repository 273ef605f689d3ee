//! What a leader knows of one follower or learner, and what to send it next.

use std::collections::VecDeque;

use super::flushes::Outbox;
use super::message::{AcceptedLog, Body};
use crate::engine::Settings;
use crate::entry::{MemberId, Position};
use crate::log::Log;

/// How the leader replicates to the follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It is unknown where the logs match: one empty message at a time asks…
    Probing {
        /// Whether the probe is in flight.
        is_sent: bool,
    },
    /// …then entries are sent without waiting for answers…
    Streaming,
    /// …unless they are dropped here, and the follower has to fetch a snapshot.
    Snapshot {
        /// Ticks since the snapshot was offered.
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
    mode: Mode,
    /// Last index of each message with entries in flight; rising.
    in_flight: VecDeque<u64>,
    /// Ticks since a message that is answered was sent.
    quiet_ticks: u32,
    /// Whether it was heard from since the leader last counted.
    pub(super) is_active: bool,
    /// Highest number of a read request it has echoed.
    pub(super) echoed: u64,
    /// The last commit sent to it.
    commit_sent: u64,
}

impl Peer {
    /// A peer of which nothing is known yet.
    pub(super) fn new(log: &Log) -> Self {
        Self {
            matched: 0,
            next: log.last_position().index + 1,
            mode: Mode::Probing { is_sent: false },
            in_flight: VecDeque::new(),
            quiet_ticks: 0,
            is_active: true,
            echoed: 0,
            commit_sent: 0,
        }
    }

    /// Its promise reported the state of its log.
    pub(super) fn promised(&mut self, log_state: AcceptedLog, log: &Log) {
        let AcceptedLog { last, .. } = log_state;
        if log.position(last.index) == Some(last) {
            self.accepted(last.index, log);
        } else if self.matched == 0 {
            self.probe(last, log);
        }
    }

    pub(super) fn awaits_snapshot(&self) -> bool {
        matches!(self.mode, Mode::Snapshot { .. })
    }

    /// It has flushed everything up to `index`.
    pub(super) fn accepted(&mut self, index: u64, log: &Log) {
        if index < self.matched {
            return;
        }
        self.matched = index;
        while self.in_flight.pop_front_if(|last| *last <= index).is_some() {}
        // If it is behind what is left here, only a snapshot helps.
        if self.mode != Mode::Streaming && log.position(index).is_some() {
            self.mode = Mode::Streaming;
            self.next = index + 1;
        }
        self.next = self.next.max(index + 1);
    }

    /// It does not have the entry at `previous`, but perhaps the one at `hint`.
    pub(super) fn refused(&mut self, previous: u64, hint: Position, log: &Log) {
        let is_new = match self.mode {
            Mode::Probing { .. } => previous + 1 == self.next,
            Mode::Streaming => previous > self.matched,
            Mode::Snapshot { .. } => false,
        };
        if is_new && previous > self.matched {
            self.probe(Position { index: hint.index.min(previous - 1), ..hint }, log);
        }
    }

    /// Its log may match at or before `hint`.
    fn probe(&mut self, hint: Position, log: &Log) {
        let start = if hint.index < log.before().index { hint } else { log.last_at_or_before(hint) };
        self.next = start.index.max(self.matched) + 1;
        self.mode = Mode::Probing { is_sent: false };
        self.in_flight.clear();
    }

    /// It reports up to where its log matches. If that is less than was sent and nothing was sent
    /// recently, messages were lost.
    pub(super) fn heard(&mut self, received: u64, heartbeat_ticks: u32) {
        if self.quiet_ticks < heartbeat_ticks {
            return;
        }
        match &mut self.mode {
            Mode::Probing { is_sent } => *is_sent = false,
            Mode::Streaming if received + 1 < self.next => {
                self.next = received.max(self.matched) + 1;
                self.in_flight.clear();
            }
            Mode::Streaming | Mode::Snapshot { .. } => {}
        }
    }

    /// Returns whether to offer the snapshot again: the offer may be lost, or the follower may have
    /// crashed while fetching.
    pub(super) fn tick(&mut self, reoffer_ticks: u32) -> bool {
        self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        let Mode::Snapshot { ticks } = &mut self.mode else { return false };
        *ticks += 1;
        let is_due = *ticks >= reoffer_ticks;
        if is_due {
            *ticks = 0;
        }
        is_due
    }

    /// Sends all entries the in-flight limits allow. Returns whether the follower now needs a
    /// snapshot.
    pub(super) fn send(&mut self, to: &Addressee<'_>, log: &Log, outbox: &mut Outbox) -> bool {
        let last = log.last_position().index;
        loop {
            let bytes_max = match self.mode {
                Mode::Probing { is_sent: false } => None,
                Mode::Streaming
                    if self.next <= last && self.in_flight.len() < to.settings.messages_in_flight_max =>
                {
                    Some(to.settings.message_bytes_max)
                }
                _ => break,
            };
            let Some(previous) = log.position(self.next - 1) else {
                self.mode = Mode::Snapshot { ticks: 0 };
                self.in_flight.clear();
                return true;
            };
            let mut entries = Vec::new();
            if let Some(bytes_max) = bytes_max {
                entries.extend(log.range(self.next, last + 1, bytes_max).cloned());
                self.next += entries.len() as u64;
                self.in_flight.push_back(self.next - 1);
            } else {
                self.mode = Mode::Probing { is_sent: true };
            }
            outbox.send(to.member, to.ballot, Body::Accept { previous, commit: to.commit, entries });
            self.quiet_ticks = 0;
            self.commit_sent = to.commit;
        }
        if self.mode == Mode::Streaming && self.commit_sent < to.commit {
            outbox.send(to.member, to.ballot, Body::Chosen { commit: to.commit });
            self.commit_sent = to.commit;
        }
        false
    }
}

/// The receiver, and what its messages carry.
pub(super) struct Addressee<'a> {
    pub(super) member: MemberId,
    pub(super) ballot: u64,
    pub(super) commit: u64,
    pub(super) settings: &'a Settings,
}
