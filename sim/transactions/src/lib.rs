//! The simulator of distributed transactions: coordinators, participants, a log and a network in
//! one thread, from one seed.
//!
//! Coordinators, recovery and agents are those of the crate `commit`. Databases, the log and the
//! network between them are simulated. While a run goes on, and after it, a judge compares what
//! participants did and callers were told.
//!
//! | file | content |
//! |---|---|
//! | `plan` | everything a seed decides in advance |
//! | `queue`, `random` | events and their order, and the one source of chance |
//! | `judge` | the guarantees |
//! | `participant` | databases |
//! | `two_phase` | processes with coordinators and recovery, and the log |
//! | `three_phase` | processes with coordinators, and participants with agents |

#![forbid(unsafe_code)]

pub mod judge;
mod participant;
pub mod plan;
mod queue;
#[path = "../../src/random.rs"]
pub mod random;
mod three_phase;
mod two_phase;

use judge::Violation;
use plan::{Plan, Protocol};

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first broken guarantee.
    pub violation: Option<Violation>,
    /// Transactions that were begun.
    pub begun: usize,
    /// Callers that were told of a commit.
    pub committed: usize,
    /// Callers that were told of an abort.
    pub aborted: usize,
    /// Callers that were told that nobody knows.
    pub unknown: usize,
    /// Transactions whose coordinator was gone before its caller was told.
    pub unanswered: usize,
    /// The longest time that a branch stayed prepared, in ms, measured from when it could reach
    /// what decides, and no fault began or ended.
    pub longest_ms: u64,
    /// Events.
    pub events: u64,
    /// A digest of all that happened, in its order.
    pub fingerprint: u64,
}

/// Runs this plan; with `trace` it prints what happens.
pub fn run(plan: &Plan, trace: bool) -> Outcome {
    match plan.protocol {
        Protocol::TwoPhase | Protocol::TwoPhaseUnreplicated => two_phase::run(plan, trace),
        Protocol::ThreePhase | Protocol::ThreePhasePartitions => three_phase::run(plan, trace),
    }
}
