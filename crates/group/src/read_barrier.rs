//! Requests that wait until this member has seen everything agreed before they came.

use std::collections::VecDeque;

use consensus::engine::{Engine, ReadBarrier};

/// Numbers a moment. Zero is before every request.
pub(crate) type ReadTicket = u64;

/// Moments that were asked for and not confirmed, or confirmed and not reached.
#[derive(Debug, Default)]
pub(crate) struct ReadBarriers {
    latest: ReadTicket,
    /// Requests since the engine was last asked.
    unasked: bool,
    /// Confirmed moments and the index each needs, rising in both.
    confirmed: VecDeque<(ReadTicket, u64)>,
    reached: ReadTicket,
    /// Sessions with something at the moment, in the order of the moments.
    waiting: VecDeque<(ReadTicket, i64)>,
}

impl ReadBarriers {
    /// The moment that a request which came just now has to wait for.
    pub(crate) fn now(&mut self, session: i64) -> ReadTicket {
        if !self.unasked {
            self.unasked = true;
            self.latest += 1;
        }
        self.waiting.push_back((self.latest, session));
        self.latest
    }

    /// Asks the engine for the moments since it was last asked: once for all requests of a cycle.
    pub(crate) fn ask(&mut self, engine: &mut dyn Engine) {
        if self.unasked && engine.read_barrier(self.latest).is_ok() {
            self.unasked = false;
        }
    }

    /// The engine says from which index on a moment is past. That holds for all earlier ones too: they asked for less.
    pub(crate) fn confirm(&mut self, barrier: ReadBarrier) {
        let known = self.confirmed.back().map_or(self.reached, |(moment, _)| *moment);
        if barrier.context > known {
            let index = self.confirmed.back().map_or(barrier.index, |(_, index)| barrier.index.max(*index));
            self.confirmed.push_back((barrier.context, index));
        }
    }

    /// Everything up to `index` is applied: names the sessions that waited for that.
    pub(crate) fn applied(&mut self, index: u64, answerable: &mut Vec<i64>) {
        while let Some((moment, _)) = self.confirmed.pop_front_if(|(_, needed)| *needed <= index) {
            self.reached = moment;
        }
        while let Some((_, session)) = self.waiting.pop_front_if(|(moment, _)| *moment <= self.reached) {
            answerable.push(session);
        }
    }

    /// Whether any session waits for a moment.
    pub(crate) fn is_anybody_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The latest moment that is past.
    pub(crate) fn reached(&self) -> ReadTicket {
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_answer_serves_earlier_questions() {
        let mut barriers = ReadBarriers::default();
        assert_eq!(barriers.now(10), 1);
        assert_eq!(barriers.now(11), 1, "the engine has not been asked yet");
        barriers.unasked = false;
        assert_eq!(barriers.now(12), 2);
        let mut answerable = Vec::new();
        barriers.confirm(ReadBarrier { context: 2, index: 7 });
        barriers.confirm(ReadBarrier { context: 1, index: 5 });
        barriers.applied(6, &mut answerable);
        assert_eq!((barriers.reached(), answerable.as_slice()), (0, &[][..]));
        barriers.applied(7, &mut answerable);
        assert_eq!((barriers.reached(), answerable.as_slice()), (2, &[10, 11, 12][..]));
    }
}
