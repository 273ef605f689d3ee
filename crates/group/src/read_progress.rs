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
}
