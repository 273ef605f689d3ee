//! Reads that wait for their barrier: the index they must have applied.
//!
//! One request covers all waiting reads. A request may get lost, or be ignored by a leader that
//! does not know its commit yet; its reads are then asked for again, under a new name.

use std::collections::VecDeque;

use crate::engine::{ReadBarrier, TooManyReads};

/// Reads that may wait for a barrier in one member.
const WAITING_READS_MAX: usize = 1 << 16;
/// Requests in flight. More than one, so that a read does not wait for two round trips; few, so
/// that under load each covers many reads.
const REQUESTS_MAX: usize = 4;

struct Request {
    counter: u64,
    age_ticks: u32,
    contexts: Vec<u64>,
}

/// See the module.
pub(crate) struct Barriers {
    waiting: Vec<u64>,
    /// Oldest first.
    requests: VecDeque<Request>,
    /// Invariant: length of `waiting` and of all requests together.
    count: usize,
    /// Number of the last request; never repeats within one run of the process.
    counter: u64,
    lost_after_ticks: u32,
}

impl Barriers {
    /// `lost_after_ticks`: age at which a request counts as lost.
    pub(crate) fn new(lost_after_ticks: u32) -> Self {
        Self { waiting: Vec::new(), requests: VecDeque::new(), count: 0, counter: 0, lost_after_ticks }
    }

    pub(crate) fn push(&mut self, context: u64) -> Result<(), TooManyReads> {
        if self.count == WAITING_READS_MAX {
            return Err(TooManyReads);
        }
        self.count += 1;
        self.waiting.push(context);
        Ok(())
    }

    pub(crate) fn tick(&mut self) {
        for request in &mut self.requests {
            request.age_ticks += 1;
        }
        while self.requests.front().is_some_and(|request| request.age_ticks >= self.lost_after_ticks) {
            let lost = self.requests.pop_front().expect("just seen");
            self.waiting.extend(lost.contexts);
        }
    }

    /// The leader changed; the new one does not know the requests.
    pub(crate) fn retry_all(&mut self) {
        for request in self.requests.drain(..) {
            self.waiting.extend(request.contexts);
        }
    }

    pub(crate) fn has_request(&self) -> bool {
        !self.waiting.is_empty() && self.requests.len() < REQUESTS_MAX
    }

    /// Turns all waiting reads into one request, and returns its number.
    pub(crate) fn ask(&mut self) -> u64 {
        self.counter += 1;
        let contexts = std::mem::take(&mut self.waiting);
        self.requests.push_back(Request { counter: self.counter, age_ticks: 0, contexts });
        self.counter
    }

    /// Handles the answer to a request. If the request is not open any more (answered, or retried),
    /// it is ignored.
    pub(crate) fn answer(&mut self, counter: u64, index: u64, out: &mut Vec<ReadBarrier>) {
        let Some(place) = self.requests.iter().position(|request| request.counter == counter) else {
            return;
        };
        let request = self.requests.remove(place).expect("just found");
        self.count -= request.contexts.len();
        out.extend(request.contexts.into_iter().map(|context| ReadBarrier { context, index }));
    }
}
