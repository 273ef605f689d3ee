//! Whether a connection thread has a single busy client.

/// A client counts as the only one when no other was heard of for this long.
const SILENCE_MS: i64 = 100;

/// Watches which connections have something to say.
///
/// A thread that serves one client at a time may wait for the disk itself: nobody else is there to
/// be kept waiting. Somebody who comes meanwhile waits for one flush, and from then on is one of
/// two. Should the flush take long, another thread serves them (see [`Relay`](super::Relay)).
#[derive(Debug, Default)]
pub(super) struct SoleClient {
    slot: usize,
    /// When another slot than this was last active.
    other_ms: i64,
}

impl SoleClient {
    /// The connection in this slot was heard of.
    pub(super) fn active(&mut self, slot: usize, now_ms: i64) {
        if slot != self.slot {
            self.slot = slot;
            self.other_ms = now_ms;
        }
    }

    /// Whether there is one client only.
    pub(super) fn is_so(&self, now_ms: i64) -> bool {
        now_ms - self.other_ms > SILENCE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_take_turns_are_not_alone() {
        let mut lone = SoleClient::default();
        for now_ms in 1000..1200 {
            lone.active(1 + now_ms as usize % 2, now_ms);
            assert!(!lone.is_so(now_ms));
        }
        for now_ms in 1200..1400 {
            lone.active(1, now_ms);
            assert_eq!(lone.is_so(now_ms), now_ms > 1200 + SILENCE_MS);
        }
        lone.active(7, 1400);
        assert!(!lone.is_so(1400));
    }
}
