//! Smooth weighted round robin, as nginx has it: in each period every instance comes as often as
//! its weight says, and the picks of a heavy one are spread over the period.

use std::sync::{Arc, Mutex, PoisonError};

use crate::load::Member;
use crate::random::SplitMix;

/// The most picks that a new picker skips. Enough to spread the first requests of many clients, and
/// few enough to build a picker fast.
const SKIPPED_MAX: u64 = 256;

/// A pick adds its weight to each instance's score, takes the highest and subtracts the sum of
/// weights from it. The lock is held for one walk over the scores.
#[derive(Debug)]
pub(crate) struct Smooth {
    weights: Vec<i64>,
    total: i64,
    /// Invariant: the sum is 0 between picks.
    scores: Mutex<Vec<i64>>,
}

impl Smooth {
    /// Begins at a random place of the period, so that clients do not all begin with the same
    /// instance.
    pub(crate) fn new(members: &[Arc<Member>], random: &SplitMix) -> Smooth {
        let weights: Vec<i64> = members.iter().map(|member| member.weight() as i64).collect();
        let total: i64 = weights.iter().sum();
        let smooth = Smooth { scores: Mutex::new(vec![0; weights.len()]), weights, total };
        if total > 0 {
            (0..random.below(SKIPPED_MAX.min(total as u64))).for_each(|_| _ = smooth.choose());
        }
        smooth
    }

    /// The position of the next instance. There is at least one.
    pub(crate) fn choose(&self) -> usize {
        // Nothing panics while it has the lock, so the scores are whole in any case.
        let mut scores = self.scores.lock().unwrap_or_else(PoisonError::into_inner);
        let mut best = 0;
        for at in 0..scores.len() {
            scores[at] += self.weights[at];
            if scores[at] > scores[best] {
                best = at;
            }
        }
        scores[best] -= self.total;
        best
    }

    pub(crate) fn table_bytes(&self) -> usize {
        2 * size_of_val(&self.weights[..])
    }
}
