//! Tracks what was given out to the disk, and how much of it is flushed.

use std::collections::VecDeque;

use crate::engine::Outgoing;
use crate::entry::{HardState, MemberId};

use super::message::{Body, Message};

/// See the module. The fields `…number` are numbers of `Ready`s.
pub(super) struct Flushes {
    /// The last `Ready` that had something for the disk.
    pub(super) number: u64,
    /// The last one that must be flushed.
    pub(super) sync_number: u64,
    /// The last one with a new ballot.
    pub(super) ballot_number: u64,
    pub(super) persisted_number: u64,
    /// Last index given out. Invariant: everything before it was, too.
    pub(super) given: u64,
    /// Last index flushed, excluding entries replaced since. Invariant: `persisted <= given`.
    pub(super) persisted: u64,
    /// The hard state given out last.
    pub(super) hard_state: HardState,
    /// Per `Ready` in flight to the disk: its number, and the last index it persists.
    entries: VecDeque<(u64, u64)>,
}

impl Flushes {
    pub(super) fn new(hard_state: HardState, last_index: u64) -> Self {
        Self {
            number: 0,
            sync_number: 0,
            ballot_number: 0,
            persisted_number: 0,
            given: last_index,
            persisted: last_index,
            hard_state,
            entries: VecDeque::new(),
        }
    }

    pub(super) fn give(&mut self, number: u64, last_index: u64) {
        self.given = last_index;
        self.entries.push_back((number, last_index));
    }

    pub(super) fn persisted(&mut self, number: u64) {
        self.persisted_number = self.persisted_number.max(number);
        while let Some((_, index)) = self.entries.pop_front_if(|(due, _)| *due <= number) {
            self.persisted = self.persisted.max(index);
        }
    }

    /// The entries from `index` on are replaced. Flushes in flight prove nothing about them any
    /// more: the disk will briefly hold the old ones, and then others.
    pub(super) fn truncate(&mut self, index: u64) {
        self.given = self.given.min(index - 1);
        self.persisted = self.persisted.min(index - 1);
        for (_, last_index) in &mut self.entries {
            *last_index = (*last_index).min(index - 1);
        }
    }

    /// The log starts over at a snapshot; only entries up to `commit` are both in the old log and
    /// in the snapshot.
    pub(super) fn install(&mut self, snapshot_index: u64, commit: u64) {
        self.truncate(commit + 1);
        self.given = snapshot_index;
    }
}

struct Queued {
    message: Message,
    /// Whether it promises something that is not flushed yet.
    is_durable: bool,
}

/// Messages to be sent.
///
/// None leaves before the ballot it is sent in is flushed: a member that could forget its own
/// ballot could use it twice. Messages that also promise what was accepted wait for everything
/// given out with them.
pub(super) struct Outbox {
    group: u64,
    member: MemberId,
    queued: Vec<Queued>,
    /// With the number that must be persisted first.
    held: Vec<(u64, Outgoing)>,
}

impl Outbox {
    pub(super) fn new(group: u64, member: MemberId) -> Self {
        Self { group, member, queued: Vec::new(), held: Vec::new() }
    }

    pub(super) fn send(&mut self, to: MemberId, ballot: u64, body: Body) {
        self.put(to, ballot, body, false);
    }

    pub(super) fn send_when_flushed(&mut self, to: MemberId, ballot: u64, body: Body) {
        self.put(to, ballot, body, true);
    }

    fn put(&mut self, to: MemberId, ballot: u64, body: Body, is_durable: bool) {
        let message = Message { group: self.group, from: self.member, to, ballot, body };
        self.queued.push(Queued { message, is_durable });
    }

    /// Gives out the messages that may leave now; call it after everything the messages refer to
    /// was given to the disk.
    pub(super) fn post(&mut self, flushes: &Flushes, out: &mut Vec<Outgoing>) {
        let persisted = flushes.persisted_number;
        out.extend(
            self.held.extract_if(.., |(number, _)| *number <= persisted).map(|(_, outgoing)| outgoing),
        );
        for Queued { message, is_durable } in self.queued.drain(..) {
            let number = if is_durable { flushes.sync_number } else { flushes.ballot_number };
            let outgoing = Outgoing { to: message.to, bytes: message.encode() };
            if number <= persisted {
                out.push(outgoing);
            } else {
                self.held.push((number, outgoing));
            }
        }
    }
}
