//! What somebody may follow of the course of transactions.

use commit::decision::Decision;

use crate::{ResourceName, TransactionId};

/// Is told each step of each transaction, before it is made and after it was answered.
///
/// It is called by the tasks that make the steps, which wait for it: an observer that takes long
/// makes transactions slow.
pub trait Observer: Send + Sync {
    /// A step of a transaction.
    fn step(&self, transaction: &TransactionId, when: When, step: &Step);
}

/// On which side of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// Nothing was sent.
    Before,
    /// It was answered, in whatever way.
    After,
}

/// A message to a participant, or a write of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The branch of a resource is asked to prepare.
    Prepare(ResourceName),
    /// The branch of a resource, the only one that writes, is asked to commit.
    CommitAtOnce(ResourceName),
    /// The decision to commit is written.
    Decide,
    /// The decision is read.
    ReadDecision,
    /// The branch of a resource is told what was decided.
    Finish(ResourceName, Decision),
    /// A resource is asked whether a branch is prepared.
    Inspect(ResourceName),
    /// The decision is deleted, as no longer needed.
    Forget,
    /// An abort is written for a coordinator that does not go on.
    WriteAbort,
}
