//! Requests that wait until this member has seen everything committed before they arrived.

use std::collections::VecDeque;

use consensus::engine::{Engine, ReadBarrier};

/// The number of a read ticket. Zero precedes every request.
pub(crate) type ReadTicket = u64;

/// Read tickets that are issued and not confirmed, or confirmed and not reached.
#[derive(Debug, Default)]
pub(crate) struct ReadBarriers {
    latest: ReadTicket,
    /// There were requests since the engine was last asked.
    unasked: bool,
    /// Confirmed tickets and the index each needs, rising in both.
    confirmed: VecDeque<(ReadTicket, u64)>,
    reached: ReadTicket,
    /// Sessions that wait for a ticket, in ticket order.
    waiting: VecDeque<(ReadTicket, i64)>,
}

impl ReadBarriers {
    /// The ticket that a request which has just arrived must wait for.
    pub(crate) fn now(&mut self, session: i64) -> ReadTicket {
        if !self.unasked {
            self.unasked = true;
            self.latest += 1;
        }
        self.waiting.push_back((self.latest, session));
        self.latest
    }

    /// Asks the engine to confirm the tickets issued since the last call: once for all requests of
    /// a cycle.
    pub(crate) fn ask(&mut self, engine: &mut dyn Engine) {
        if self.unasked && engine.read_barrier(self.latest).is_ok() {
            self.unasked = false;
        }
    }

    /// The engine names the index from which a ticket is reached. That holds for all earlier
    /// tickets too: they need less.
    pub(crate) fn confirm(&mut self, barrier: ReadBarrier) {
        let known = self.confirmed.back().map_or(self.reached, |(ticket, _)| *ticket);
        if barrier.context > known {
            let index = self.confirmed.back().map_or(barrier.index, |(_, index)| barrier.index.max(*index));
            self.confirmed.push_back((barrier.context, index));
        }
    }

    /// Everything up to `index` is applied: adds the sessions that waited for that.
    pub(crate) fn applied(&mut self, index: u64, answerable: &mut Vec<i64>) {
        while let Some((ticket, _)) = self.confirmed.pop_front_if(|(_, needed)| *needed <= index) {
            self.reached = ticket;
        }
        while let Some((_, session)) = self.waiting.pop_front_if(|(ticket, _)| *ticket <= self.reached) {
            answerable.push(session);
        }
    }

    /// Whether any session waits for a ticket.
    pub(crate) fn is_anybody_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The latest ticket that is reached.
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
