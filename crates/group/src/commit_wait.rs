//! Whether the leader's next entry waits until the last one is agreed.
//!
//! What followers forward comes with their confirmations, and both a moment after the leader's own flush. An entry begun before that has
//! the commands of one server only, and its flush keeps the confirmations from being read. So the leader waits for a majority as long as
//! that usually takes about as long as a flush. Where the way to the others is longer, or their disks are slower, entries follow one
//! another without waiting.

/// The longest wait, in µs: as short as a poll can wait.
const WAIT_US_MAX: u64 = 1_000;

/// It waits as long as that usually takes less time than so many flushes. One would be a gain for every client; with two, what is lost in
/// time is won again by fewer flushes, and chance does not decide where the two are alike.
const FLUSHES: u64 = 2;

/// Every so many entries it waits in any case, for only then it sees how long agreement takes.
const PROBE: u32 = 64;

/// One of so many parts of a mean is new.
const WEIGHT: u64 = 8;

/// See the module. All times are in µs of the server's clock.
#[derive(Debug, Default)]
pub(crate) struct CommitWait {
    /// The newest entry flushed here, and when that was done.
    flushed: u64,
    flushed_us: u64,
    /// What a flush takes.
    flush_us: u64,
    /// What passes between the flush here and agreement.
    lag_us: u64,
    /// Entries since the last of those before which it waited.
    unseen: u32,
    waits: bool,
}

impl CommitWait {
    /// Everything up to `index` was flushed here by a flush that took so long.
    pub(crate) fn flushed(&mut self, index: u64, took_us: u64, now_us: u64) {
        self.flushed = index;
        self.flushed_us = now_us;
        self.flush_us = mean(self.flush_us, took_us);
    }

    /// Whether the leader is to wait, everything up to `agreed` being agreed.
    pub(crate) fn waits(&mut self, agreed: u64, now_us: u64) -> bool {
        let waited_us = now_us - self.flushed_us;
        let is_open = agreed < self.flushed;
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

    /// The answer to the last question.
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

    /// Entries one behind the other whose flush takes `flush_us`, agreed `lag_us` later; says before how many of the last hundred the
    /// leader waited. It asks every `step_us`.
    fn waits(hold: &mut CommitWait, flush_us: u64, lag_us: u64, step_us: u64) -> usize {
        let mut count = 0;
        for index in 1..=200 {
            let begun_us = hold.flushed_us;
            let flushed_us = begun_us + flush_us;
            hold.flushed(index, flush_us, flushed_us);
            let mut now_us = flushed_us;
            let agreed = |now_us| if now_us < flushed_us + lag_us { index - 1 } else { index };
            let waited = hold.waits(agreed(now_us), now_us);
            while hold.is_waiting() {
                now_us += step_us;
                hold.waits(agreed(now_us), now_us);
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
