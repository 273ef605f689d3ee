//! The member that makes the batches and knows which are committed.

use super::Role;
use super::clients::Clients;
use super::journal::Journal;
use super::peer::{Head, Peer};
use std::io;

pub(super) struct Leader {
    followers: Vec<Peer>,
    /// The newest forward of each follower that was taken.
    forwards: Vec<u64>,
    journal: Journal,
    /// Batches made and sent.
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

    /// The batch that is being gathered.
    fn mark(&self) -> u64 {
        self.made + 1
    }

    fn hear(&mut self, peer: usize, ended: bool, clients: &mut Clients) -> io::Result<()> {
        self.followers[peer].exchange(ended, |head, writes| {
            self.flushed[1 + peer] = head.done;
            self.forwards[peer] = head.forward;
            clients.writes.extend_from_slice(writes);
        })
    }

    fn settle(&mut self, clients: &mut Clients) -> io::Result<()> {
        self.flushed[0] = self.journal.flushed()?;
        let committed = agreed(&self.flushed);
        let batch = !clients.writes.is_empty() && self.journal.idle();
        if batch || committed > self.committed {
            let writes = if batch { &clients.writes[..] } else { &[] };
            for (follower, forward) in self.followers.iter_mut().zip(&self.forwards) {
                follower.send(Head { done: committed, forward: *forward }, writes)?;
            }
        }
        if committed > self.committed {
            // Before the flush, so that the clients think of something new meanwhile.
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
fn agreed(flushed: &[u64]) -> u64 {
    let flushed_by = |batch: u64| flushed.iter().filter(|newest| **newest >= batch).count();
    flushed.iter().copied().filter(|batch| flushed_by(*batch) > flushed.len() / 2).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::agreed;

    #[test]
    fn a_batch_is_agreed_on_when_more_than_half_have_flushed_it() {
        assert_eq!(agreed(&[0, 0, 0]), 0);
        assert_eq!(agreed(&[7, 0, 0]), 0);
        assert_eq!(agreed(&[7, 3, 5]), 5);
        assert_eq!(agreed(&[7, 7, 0]), 7);
        assert_eq!(agreed(&[7, 5]), 5);
        assert_eq!(agreed(&[9, 8, 3, 2]), 3);
        assert_eq!(agreed(&[9, 1, 8, 2, 3]), 3);
    }
}
