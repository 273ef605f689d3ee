//! Whether the leader's next entry waits until the last one is committed.
//!
//! Forwarded commands arrive with the followers' acknowledgements, both shortly after the leader's
//! own flush. An entry begun before that holds the commands of one server only, and its flush
//! delays reading the acknowledgements. So the leader waits for a majority as long as that usually
//! takes about as long as a flush. Where the network is slower, or the followers' disks are,
//! entries follow one another without waiting.

/// The longest wait, in µs: the shortest timeout of a poll.
const WAIT_US_MAX: u64 = 1_000;

/// The leader waits if that usually takes less time than this many flushes. With one, every client
/// would gain; with two, fewer flushes make up for the lost time, and chance does not decide where
/// wait and flush take equally long.
const FLUSHES: u64 = 2;

/// One in this many entries waits in any case: only then does the leader see how long a commit
/// takes.
const PROBE: u32 = 64;

/// A new value has a weight of one in this many in a running mean.
const WEIGHT: u64 = 8;

/// Decides whether the next entry waits. All times are in µs of the server's clock.
#[derive(Debug, Default)]
pub(crate) struct CommitWait {
    /// The newest entry flushed here, and the time of its flush.
    flushed: u64,
    flushed_us: u64,
    /// Mean duration of a flush.
    flush_us: u64,
    /// Mean time between the flush here and the commit.
    lag_us: u64,
    /// Entries since the last one before which it waited.
    unseen: u32,
    waits: bool,
}

impl CommitWait {
    /// Everything up to `index` was flushed here; the flush took `took_us`.
    pub(crate) fn flushed(&mut self, index: u64, took_us: u64, now_us: u64) {
        self.flushed = index;
        self.flushed_us = now_us;
        self.flush_us = mean(self.flush_us, took_us);
    }

    /// Whether the leader must wait, given that everything up to `committed` is committed.
    pub(crate) fn waits(&mut self, committed: u64, now_us: u64) -> bool {
        let waited_us = now_us - self.flushed_us;
        let is_open = committed < self.flushed;
        if self.waits {
            self.waits = is_open && waited_us < WAIT_US_MAX;
            if !self.waits {
                self.lag_us = mean(self.lag_us, waited_us.min(WAIT_US_MAX));
            }
        } else if is_open && waited_us < WAIT_US_MAX {
            self.unseen += 1;
            self.waits = self.lag_us < FLUSHES * self.flush_us || self.unseen >= PROBE;
            if self.waits {
                self.unseen = 0;
            }
        }
        self.waits
    }

    /// The last result of [`waits`](Self::waits).
    pub(crate) fn is_waiting(&self) -> bool {
        self.waits
    }
}

fn mean(old: u64, new: u64) -> u64 {
    (old * (WEIGHT - 1) + new) / WEIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proposes consecutive entries whose flush takes `flush_us` and which are committed `lag_us`
    /// later; returns before how many of the last hundred the leader waited. It asks every
    /// `step_us`.
    fn waits(hold: &mut CommitWait, flush_us: u64, lag_us: u64, step_us: u64) -> usize {
        let mut count = 0;
        for index in 1..=200 {
            let begun_us = hold.flushed_us;
            let flushed_us = begun_us + flush_us;
            hold.flushed(index, flush_us, flushed_us);
            let mut now_us = flushed_us;
            let committed = |now_us| if now_us < flushed_us + lag_us { index - 1 } else { index };
            let waited = hold.waits(committed(now_us), now_us);
            while hold.is_waiting() {
                now_us += step_us;
                hold.waits(committed(now_us), now_us);
            }
            assert!(now_us - flushed_us <= WAIT_US_MAX.next_multiple_of(step_us));
            count += usize::from(waited && index > 100);
            hold.flushed_us = now_us;
        }
        count
    }

    #[test]
    fn it_waits_for_who_is_near() {
        for (flush_us, lag_us, expected) in [
            (200, 100, 99..=100),
            (200, 190, 99..=100),
            (200, 350, 99..=100),
            (200, 450, 1..=2),
            (50_000, 900, 99..=100),
            (200, 100_000, 1..=2),
            (200, 0, 0..=0),
        ] {
            let count = waits(&mut CommitWait::default(), flush_us, lag_us, 10);
            assert!(expected.contains(&count), "flush {flush_us}, lag {lag_us}: waited {count} times of 100");
        }
    }

    #[test]
    fn it_notices_that_the_others_have_come_nearer_or_gone_away() {
        let mut hold = CommitWait::default();
        assert!(waits(&mut hold, 200, 600, 10) <= 2);
        for _ in 0..PROBE {
            waits(&mut hold, 200, 100, 10);
        }
        assert!(waits(&mut hold, 200, 100, 10) >= 99);
        waits(&mut hold, 200, 600, 10);
        assert!(waits(&mut hold, 200, 600, 10) <= 2);
    }

    #[test]
    fn one_that_is_alone_never_waits() {
        let mut hold = CommitWait::default();
        for index in 1..=100 {
            hold.flushed(index, 200, index * 250);
            assert!(!hold.waits(index, index * 250));
        }
    }
}
