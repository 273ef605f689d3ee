//! Up to which time the connection threads have read what their clients sent.
//!
//! A session expires by silence, and silence can be judged only up to the time until which the
//! server has read its sockets: the client of a packet still in a socket is alive. So each
//! connection thread reports up to which time it has polled all its sockets, and sessions are
//! judged by the slowest thread.

use std::sync::atomic::{AtomicI64, Ordering};

/// The reports of all connection threads.
#[derive(Debug)]
pub struct ReadProgress {
    /// By thread number, in ms of the server's clock.
    until_ms: Vec<AtomicI64>,
}

impl ReadProgress {
    /// The progress of `threads` threads, which have read nothing yet.
    pub fn new(threads: usize) -> ReadProgress {
        ReadProgress { until_ms: (0..threads).map(|_| AtomicI64::new(0)).collect() }
    }

    /// The thread has recorded every client that sent something before that time.
    pub fn has_read(&self, thread: usize, until_ms: i64) {
        self.until_ms[thread].store(until_ms, Ordering::Release);
    }

    /// Every client that sent something before that time is recorded, as seen by the caller.
    pub fn until_ms(&self) -> i64 {
        self.until_ms.iter().map(|until_ms| until_ms.load(Ordering::Acquire)).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_thread_counts() {
        let progress = ReadProgress::new(2);
        progress.has_read(0, 500);
        assert_eq!(progress.until_ms(), 0);
        progress.has_read(1, 400);
        assert_eq!(progress.until_ms(), 400);
    }
}
