//! A member that forwards its clients' writes to the leader and flushes the leader's batches.

use super::Role;
use super::clients::Clients;
use super::journal::Journal;
use super::peer::{Head, Peer};
use std::collections::VecDeque;
use std::io;

pub(super) struct Follower {
    leader: Peer,
    journal: Journal,
    /// Received batches not yet passed to the log.
    unflushed: Vec<u8>,
    received: u64,
    /// The newest flushed batch that was reported to the leader.
    flushed: u64,
    committed: u64,
    /// Batches in the log and committed, whose clients have been answered.
    answered: u64,
    /// For each later batch: this member's newest forward contained in it or an earlier one.
    forwards: VecDeque<u64>,
    /// Number of messages with writes sent to the leader.
    forwarded: u64,
}

impl Follower {
    pub(super) fn new(leader: Peer, journal: Journal) -> Self {
        Self {
            leader,
            journal,
            unflushed: Vec::new(),
            received: 0,
            flushed: 0,
            committed: 0,
            answered: 0,
            forwards: VecDeque::new(),
            forwarded: 0,
        }
    }

    /// Answers the clients whose writes are committed and in the log.
    fn answer(&mut self, flushed: u64, clients: &mut Clients) {
        let done = self.committed.min(flushed);
        let mut batches = self.forwards.drain(..(done - self.answered) as usize);
        self.answered = done;
        if let Some(forward) = batches.next_back() {
            clients.release(forward);
        }
    }
}

impl Role for Follower {
    fn peers(&mut self) -> &mut [Peer] {
        std::slice::from_mut(&mut self.leader)
    }

    /// The forward being accumulated.
    fn mark(&self) -> u64 {
        self.forwarded + 1
    }

    fn receive(&mut self, _: usize, ended: bool, _: &mut Clients) -> io::Result<()> {
        self.leader.exchange(ended, |head, batch| {
            self.committed = head.done;
            if !batch.is_empty() {
                self.received += 1;
                self.forwards.push_back(head.forward);
                self.unflushed.extend_from_slice(batch);
            }
        })
    }

    /// One message acknowledges flushed batches and carries new writes: the leader flushes at the
    /// same time, and could not put them into a batch sooner.
    fn settle(&mut self, clients: &mut Clients) -> io::Result<()> {
        let mut flushed = self.journal.flushed()?;
        // Before the flush, so that clients can send new requests meanwhile.
        self.answer(flushed, clients);
        if !self.unflushed.is_empty() && self.journal.idle() {
            self.journal.append(&mut self.unflushed, self.received)?;
            flushed = self.journal.flushed()?;
        }
        let writes = !clients.writes.is_empty();
        if flushed > self.flushed || writes && self.journal.idle() {
            self.flushed = flushed;
            self.forwarded += u64::from(writes);
            self.leader.send(Head { done: flushed, forward: self.forwarded }, &clients.writes)?;
            clients.writes.clear();
        }
        self.answer(flushed, clients);
        Ok(())
    }
}
