//! Read requests for which a leader must still confirm that it leads.
//!
//! Every request gets the next number, and a heartbeat carries the newest. A follower that echoes a
//! number had, at that time, promised no higher ballot. Once a majority has echoed it, no other
//! leader can have chosen anything before the request was made; so the commit at the time of the
//! request answers it, and all earlier requests as well.

use std::collections::VecDeque;

use crate::entry::MemberId;
use crate::message::ReadName;

/// Open requests of all members. Further ones are dropped: their members retry.
const OPEN_MAX: usize = 4096;

/// Which member made the request.
pub(super) enum Requester {
    /// This member, with the request's counter.
    Own(u64),
    /// A follower.
    Follower(ReadName),
}

pub(super) struct Request {
    number: u64,
    pub(super) requester: Requester,
    /// The commit when the request was made.
    pub(super) index: u64,
}

/// See the module.
pub(super) struct Reads {
    member: MemberId,
    boot_nonce: u64,
    /// Number of the newest request. Never decreases within one run of the process, across all its
    /// leaderships: an echo of an earlier leadership must not confirm a later one.
    number: u64,
    /// Number the last heartbeats carried.
    sent: u64,
    open: VecDeque<Request>,
}

impl Reads {
    pub(super) fn new(member: MemberId, boot_nonce: u64) -> Self {
        Self { member, boot_nonce, number: 0, sent: 0, open: VecDeque::new() }
    }

    pub(super) fn add(&mut self, requester: Requester, index: u64) {
        if self.open.len() < OPEN_MAX {
            self.number += 1;
            self.open.push_back(Request { number: self.number, requester, index });
        }
    }

    /// Leadership is lost: the members that asked retry with the next leader.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether there is a request no heartbeat has carried.
    pub(super) fn has_news(&self) -> bool {
        self.sent < self.number && !self.open.is_empty()
    }

    /// What the next heartbeat carries.
    pub(super) fn heartbeat_name(&mut self) -> Option<ReadName> {
        self.sent = self.number;
        let name = ReadName { member: self.member, boot_nonce: self.boot_nonce, counter: self.number };
        (!self.open.is_empty()).then_some(name)
    }

    /// The number in an echo, if it belongs to this run of the process.
    pub(super) fn echoed(&self, name: ReadName) -> Option<u64> {
        let is_mine = (name.member, name.boot_nonce) == (self.member, self.boot_nonce);
        (is_mine && name.counter <= self.number).then_some(name.counter)
    }

    /// Removes the requests confirmed by a majority's echo of `number`.
    pub(super) fn proven(&mut self, number: u64) -> impl Iterator<Item = Request> {
        let count = self.open.partition_point(|request| request.number <= number);
        self.open.drain(..count)
    }
}
