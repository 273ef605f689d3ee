//! Reads that a leader has yet to prove itself for.
//!
//! Every question gets the next number, and a heartbeat carries the newest. A follower that echoes a number had, when it did,
//! promised no higher ballot. Once a majority has echoed it, no other leader can have chosen anything before the question
//! was put; so the commit of that moment is an answer, and to all earlier questions as well.

use std::collections::VecDeque;

use crate::entry::MemberId;
use crate::message::ReadName;

/// Questions of all members that may be open. More are dropped: they are put again.
const OPEN_MAX: usize = 4096;

/// Whose question it is.
pub(super) enum Asker {
    /// Our own, with its counter.
    Own(u64),
    /// A follower's.
    Follower(ReadName),
}

pub(super) struct Question {
    number: u64,
    pub(super) asker: Asker,
    /// The commit when it was put.
    pub(super) index: u64,
}

/// See the module.
pub(super) struct Reads {
    member: MemberId,
    boot_nonce: u64,
    /// Of the newest question. Never falls in a life of the member, whatever it leads: an echo of an earlier leadership must
    /// not prove anything for a later one.
    number: u64,
    /// Number the last heartbeats carried.
    told: u64,
    open: VecDeque<Question>,
}

impl Reads {
    pub(super) fn new(member: MemberId, boot_nonce: u64) -> Self {
        Self { member, boot_nonce, number: 0, told: 0, open: VecDeque::new() }
    }

    pub(super) fn ask(&mut self, asker: Asker, index: u64) {
        if self.open.len() < OPEN_MAX {
            self.number += 1;
            self.open.push_back(Question { number: self.number, asker, index });
        }
    }

    /// Leadership is lost: who still wants to know asks another.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether there is a question no heartbeat has carried.
    pub(super) fn has_news(&self) -> bool {
        self.told < self.number && !self.open.is_empty()
    }

    /// What the next heartbeat carries.
    pub(super) fn tell(&mut self) -> Option<ReadName> {
        self.told = self.number;
        let name = ReadName { member: self.member, boot_nonce: self.boot_nonce, counter: self.number };
        (!self.open.is_empty()).then_some(name)
    }

    /// The number in an echo, if it is one of this life.
    pub(super) fn echoed(&self, name: ReadName) -> Option<u64> {
        let is_mine = (name.member, name.boot_nonce) == (self.member, self.boot_nonce);
        (is_mine && name.counter <= self.number).then_some(name.counter)
    }

    /// Takes out the questions a majority has echoed.
    pub(super) fn proven(&mut self, number: u64) -> impl Iterator<Item = Question> {
        let count = self.open.partition_point(|question| question.number <= number);
        self.open.drain(..count)
    }
}
