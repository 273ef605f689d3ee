//! The member that creates the batches and knows which are committed.

use super::Role;
use super::clients::Clients;
use super::journal::Journal;
use super::peer::{Head, Peer};
use std::io;

pub(super) struct Leader {
    followers: Vec<Peer>,
    /// The newest forward received from each follower.
    forwards: Vec<u64>,
    journal: Journal,
    /// Batches created and sent.
    made: u64,
    /// The newest batch that each member has flushed, the leader first.
    flushed: Vec<u64>,
    committed: u64,
}

impl Leader {
    pub(super) fn new(followers: Vec<Peer>, journal: Journal) -> Self {
        let (forwards, flushed) = (vec![0; followers.len()], vec![0; 1 + followers.len()]);
        Self { followers, forwards, journal, made: 0, flushed, committed: 0 }
    }
}

impl Role for Leader {
    fn peers(&mut self) -> &mut [Peer] {
        &mut self.followers
    }

    /// The batch being accumulated.
    fn mark(&self) -> u64 {
        self.made + 1
    }

    fn receive(&mut self, peer: usize, ended: bool, clients: &mut Clients) -> io::Result<()> {
        self.followers[peer].exchange(ended, |head, writes| {
            self.flushed[1 + peer] = head.done;
            self.forwards[peer] = head.forward;
            clients.writes.extend_from_slice(writes);
        })
    }

    fn settle(&mut self, clients: &mut Clients) -> io::Result<()> {
        self.flushed[0] = self.journal.flushed()?;
        let committed = newest_committed(&self.flushed);
        let batch = !clients.writes.is_empty() && self.journal.idle();
        if batch || committed > self.committed {
            let writes = if batch { &clients.writes[..] } else { &[] };
            for (follower, forward) in self.followers.iter_mut().zip(&self.forwards) {
                follower.send(Head { done: committed, forward: *forward }, writes)?;
            }
        }
        if committed > self.committed {
            // Before the flush, so that clients can send new requests meanwhile.
            clients.release(committed);
            self.committed = committed;
        }
        if batch {
            self.made += 1;
            self.journal.append(&mut clients.writes, self.made)?;
        }
        Ok(())
    }
}

/// The newest batch that a majority has flushed.
fn newest_committed(flushed: &[u64]) -> u64 {
    let flushed_by = |batch: u64| flushed.iter().filter(|newest| **newest >= batch).count();
    flushed.iter().copied().filter(|batch| flushed_by(*batch) > flushed.len() / 2).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::newest_committed;

    #[test]
    fn a_batch_is_committed_when_a_majority_has_flushed_it() {
        assert_eq!(newest_committed(&[0, 0, 0]), 0);
        assert_eq!(newest_committed(&[7, 0, 0]), 0);
        assert_eq!(newest_committed(&[7, 3, 5]), 5);
        assert_eq!(newest_committed(&[7, 7, 0]), 7);
        assert_eq!(newest_committed(&[7, 5]), 5);
        assert_eq!(newest_committed(&[9, 8, 3, 2]), 3);
        assert_eq!(newest_committed(&[9, 1, 8, 2, 3]), 3);
    }
}
