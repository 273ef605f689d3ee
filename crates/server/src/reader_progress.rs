//! Whether the other side of a connection still reads what is written to it.
//!
//! A slow link is no reason to cut a reply off, however long it takes; a reader that takes a byte
//! now and then only keeps the connection open. So a reader is judged by the bytes it takes in a
//! window, not by the clock alone.

/// The window, in which the other side has to take its share.
pub(crate) const WINDOW_MS: i64 = 30_000;

/// The share; the slowest link served makes half a kilobyte a second.
pub(crate) const SHARE_BYTES: u64 = 16 << 10;

/// Bytes taken since the present window began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    since_ms: i64,
    bytes: u64,
}

impl Progress {
    pub(crate) fn begin(now_ms: i64) -> Progress {
        Progress { since_ms: now_ms, bytes: 0 }
    }

    /// The other side took this many bytes.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Whether a window has ended in which too little was taken. If it was enough, the next window
    /// begins.
    pub(crate) fn has_ceased(&mut self, now_ms: i64) -> bool {
        if now_ms - self.since_ms < WINDOW_MS {
            return false;
        }
        let has_ceased = self.bytes < SHARE_BYTES;
        *self = Progress::begin(now_ms);
        has_ceased
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_is_served_for_as_long_as_it_takes() {
        let mut progress = Progress::begin(0);
        for second in 1..=3_600 {
            progress.add(1_000);
            assert!(!progress.has_ceased(second * 1_000), "after {second} s");
        }
    }

    #[test]
    fn a_reader_that_only_keeps_the_connection_is_noticed_in_each_window() {
        let mut progress = Progress::begin(0);
        progress.add(SHARE_BYTES * 100);
        assert!(!progress.has_ceased(WINDOW_MS));
        let ceased_ms = (1..).map(|second| WINDOW_MS + second * 1_000).find(|now_ms| {
            progress.add(1);
            progress.has_ceased(*now_ms)
        });
        assert_eq!(ceased_ms, Some(2 * WINDOW_MS), "what it took before does not count");
    }
}
