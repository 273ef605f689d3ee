//! Reads that wait to hear how far they must have applied.
//!
//! All that wait are asked about in one question. A question may get lost, or be refused by a leader too young to know; it is
//! then asked again, under a new name.

use std::collections::VecDeque;

use crate::engine::{ReadBarrier, TooManyReads};

/// Reads that may wait for a barrier in one member.
const WAITING_READS_MAX: usize = 1 << 16;
/// Questions on the way. More than one, so that a read does not wait for two round trips; few, so that under load each
/// covers many reads.
const QUESTIONS_MAX: usize = 4;

struct Question {
    counter: u64,
    age_ticks: u32,
    contexts: Vec<u64>,
}

/// See the module.
pub(crate) struct Barriers {
    waiting: Vec<u64>,
    /// Oldest first.
    questions: VecDeque<Question>,
    /// Invariant: length of `waiting` and of all questions together.
    count: usize,
    /// Never given twice in one life of a member.
    counter: u64,
    patience_ticks: u32,
}

impl Barriers {
    /// `patience_ticks`: after how long a question counts as lost.
    pub(crate) fn new(patience_ticks: u32) -> Self {
        Self { waiting: Vec::new(), questions: VecDeque::new(), count: 0, counter: 0, patience_ticks }
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
        for question in &mut self.questions {
            question.age_ticks += 1;
        }
        while self.questions.front().is_some_and(|question| question.age_ticks >= self.patience_ticks) {
            let lost = self.questions.pop_front().expect("just seen");
            self.waiting.extend(lost.contexts);
        }
    }

    /// There is another leader, who knows nothing of the questions.
    pub(crate) fn ask_again(&mut self) {
        for question in self.questions.drain(..) {
            self.waiting.extend(question.contexts);
        }
    }

    pub(crate) fn has_question(&self) -> bool {
        !self.waiting.is_empty() && self.questions.len() < QUESTIONS_MAX
    }

    /// Turns all that wait into a question, and names it.
    pub(crate) fn ask(&mut self) -> u64 {
        self.counter += 1;
        let contexts = std::mem::take(&mut self.waiting);
        self.questions.push_back(Question { counter: self.counter, age_ticks: 0, contexts });
        self.counter
    }

    /// The answer to a question. One that is not open any more (answered, or asked again) is ignored.
    pub(crate) fn answer(&mut self, counter: u64, index: u64, out: &mut Vec<ReadBarrier>) {
        let Some(place) = self.questions.iter().position(|question| question.counter == counter) else {
            return;
        };
        let question = self.questions.remove(place).expect("just found");
        self.count -= question.contexts.len();
        out.extend(question.contexts.into_iter().map(|context| ReadBarrier { context, index }));
    }
}
