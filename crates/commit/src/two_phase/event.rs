//! What happens to a coordinator, and what it wants done.

use crate::decision::{Alone, Answer, Decision, Finish, Logged, Presence, Vote};
use crate::record::Record;

/// What happens. Branches are named by their place in the list that the coordinator was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The caller's work is done, in all branches: commit.
    Begin,
    /// The caller wants it undone, for this reason. After the decision it changes nothing.
    Cancel(String),
    /// The answer to [`Action::Prepare`].
    Voted {
        /// Whose.
        branch: usize,
        /// Which.
        vote: Vote,
    },
    /// The other answer to [`Action::Prepare`]: nobody knows whether the branch is prepared.
    PrepareFailed {
        /// Whose.
        branch: usize,
        /// Why.
        reason: String,
    },
    /// The answer to [`Action::CommitAlone`].
    CommittedAlone(Alone),
    /// The answer to [`Action::Decide`].
    Written(Logged),
    /// The answer to [`Action::ReadDecision`].
    Read(Logged),
    /// The answer to [`Action::Finish`].
    Finished {
        /// Whose.
        branch: usize,
        /// Which.
        answer: Finish,
    },
    /// The answer to [`Action::Inspect`].
    Inspected {
        /// Whose.
        branch: usize,
        /// Which.
        presence: Presence,
    },
    /// Time has passed; due at [`Coordinator::due_ms`](super::Coordinator::due_ms).
    Tick,
}

/// What the coordinator asks its driver for. The driver repeats nothing by itself: the coordinator
/// asks again for a step that gets no answer. Several may be under way at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the participant to prepare its branch, once.
    Prepare {
        /// Whose.
        branch: usize,
    },
    /// Ask the participant to commit its branch without prepare, once.
    CommitAlone {
        /// Whose.
        branch: usize,
    },
    /// Write the record into the log, in one write that takes place only if the coordinator's fence
    /// is there and the transaction has no decision yet.
    Decide(Record),
    /// Read the decision of this transaction from the log.
    ReadDecision,
    /// Tell the participant what was decided. It is told again until it is known to be finished.
    Finish {
        /// Whose.
        branch: usize,
        /// What.
        decision: Decision,
        /// First end the session that prepares, or has prepared, the branch; if that cannot be
        /// done, the answer is [`Finish::Failed`].
        release: bool,
    },
    /// Ask the participant whether the branch is prepared, by the list of the resource.
    Inspect {
        /// Whose.
        branch: usize,
    },
    /// Tell the caller; at most once.
    Answer(Answer),
    /// Delete the record from the log; it does no harm if this fails or is late.
    Forget,
    /// Replace the record in the log by this one, which stays: it says what people did by hand.
    Keep(Record),
    /// Nothing is left to do: the coordinator takes no more events.
    End,
}
