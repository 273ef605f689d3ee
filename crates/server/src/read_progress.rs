//! Until when the connection threads have read what their clients sent.
//!
//! A session ends by silence, and silence can only be judged up to the moment until which the
//! server has listened: a packet that waits in a socket is not heard yet, and its client lives. So
//! each connection thread says until when it has looked at all its sockets, and whoever judges
//! sessions goes by the slowest of them.

use std::sync::atomic::{AtomicI64, Ordering};

/// What all connection threads say.
#[derive(Debug)]
pub struct ReadProgress {
    /// By the number of the thread, in ms of the server's clock.
    until_ms: Vec<AtomicI64>,
}

impl ReadProgress {
    /// That of so many threads, which have read nothing yet.
    pub fn new(threads: usize) -> ReadProgress {
        ReadProgress { until_ms: (0..threads).map(|_| AtomicI64::new(0)).collect() }
    }

    /// The thread has noted everybody who sent something before that time.
    pub fn has_read(&self, thread: usize, until_ms: i64) {
        self.until_ms[thread].store(until_ms, Ordering::Release);
    }

    /// Everybody who sent something before that time is noted, for whoever asks this first.
    pub fn until_ms(&self) -> i64 {
        self.until_ms.iter().map(|until_ms| until_ms.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}

/// One thread's way through all its sockets.
///
/// A poll names a limited number of sockets that have something, those that have had it for longest
/// first. If it names fewer than that there are no others; else the next polls name the rest.
#[derive(Debug, Default)]
pub(crate) struct Round {
    begun_ms: i64,
    polls_left: usize,
}

impl Round {
    /// A poll that began at `polled_ms` named `events` of `connections` sockets, and `events_max`
    /// at most; all of them were read. Says until when everything has been read, if that is known
    /// now.
    pub(crate) fn polled(
        &mut self,
        polled_ms: i64,
        events: usize,
        events_max: usize,
        connections: usize,
    ) -> Option<i64> {
        if self.polls_left == 0 {
            self.begun_ms = polled_ms;
            self.polls_left = connections / events_max + 1;
        }
        self.polls_left -= 1;
        if events < events_max {
            self.polls_left = 0;
            return Some(polled_ms);
        }
        (self.polls_left == 0).then_some(self.begun_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_thread_counts() {
        let hearing = ReadProgress::new(2);
        hearing.has_read(0, 500);
        assert_eq!(hearing.until_ms(), 0);
        hearing.has_read(1, 400);
        assert_eq!(hearing.until_ms(), 400);
    }

    #[test]
    fn a_poll_that_is_full_leaves_sockets_to_the_next_ones() {
        let mut round = Round::default();
        assert_eq!(round.polled(10, 3, 8, 20), Some(10));
        assert_eq!(round.polled(20, 8, 8, 20), None, "12 of the 20 may have something, too");
        assert_eq!(round.polled(30, 8, 8, 20), None);
        assert_eq!(round.polled(40, 8, 8, 20), Some(20), "all that had something at 20 were named");
        assert_eq!(round.polled(50, 8, 8, 20), None);
        assert_eq!(round.polled(60, 7, 8, 20), Some(60), "nobody was left out");
    }
}
