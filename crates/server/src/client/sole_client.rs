//! Whether a connection thread has a single busy client.

/// A client is the only busy one when no other has been active for this time.
const SILENCE_MS: i64 = 100;

/// Tracks which connections are active.
///
/// A thread that serves one client at a time may wait for the disk itself: it keeps no other client
/// waiting. A second client that becomes active meanwhile waits for one flush, and from then on
/// there are two. If the flush takes long, another thread serves them (see
/// [`Relay`](super::Relay)).
#[derive(Debug, Default)]
pub(super) struct SoleClient {
    slot: usize,
    /// When a slot other than this was last active.
    other_ms: i64,
}

impl SoleClient {
    /// The connection in this slot was active.
    pub(super) fn active(&mut self, slot: usize, now_ms: i64) {
        if slot != self.slot {
            self.slot = slot;
            self.other_ms = now_ms;
        }
    }

    /// Whether only one client is busy.
    pub(super) fn is_so(&self, now_ms: i64) -> bool {
        now_ms - self.other_ms > SILENCE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clients_that_take_turns_are_both_busy() {
        let mut sole_client = SoleClient::default();
        for now_ms in 1000..1200 {
            sole_client.active(1 + now_ms as usize % 2, now_ms);
            assert!(!sole_client.is_so(now_ms));
        }
        for now_ms in 1200..1400 {
            sole_client.active(1, now_ms);
            assert_eq!(sole_client.is_so(now_ms), now_ms > 1200 + SILENCE_MS);
        }
        sole_client.active(7, 1400);
        assert!(!sole_client.is_so(1400));
    }
}
