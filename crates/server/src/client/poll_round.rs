//! One thread's pass over all its sockets.

/// One thread's pass over all its sockets.
///
/// A poll returns a limited number of ready sockets, those ready for longest first. If it returns
/// fewer, there are no others; otherwise the next polls return the rest.
#[derive(Debug, Default)]
pub(super) struct Round {
    begun_ms: i64,
    polls_left: usize,
}

impl Round {
    /// A poll that began at `polled_ms` returned `events` of `connections` sockets, `events_max`
    /// being the limit; all of them have been read. Returns up to which time everything has been
    /// read, if that is known now.
    pub(super) fn polled(
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
    fn a_poll_that_is_full_leaves_sockets_to_the_next_ones() {
        let mut round = Round::default();
        assert_eq!(round.polled(10, 3, 8, 20), Some(10));
        assert_eq!(round.polled(20, 8, 8, 20), None, "12 more of the 20 may be ready");
        assert_eq!(round.polled(30, 8, 8, 20), None);
        assert_eq!(round.polled(40, 8, 8, 20), Some(20), "every socket that was ready at 20 was returned");
        assert_eq!(round.polled(50, 8, 8, 20), None);
        assert_eq!(round.polled(60, 7, 8, 20), Some(60), "no socket was left out");
    }
}
