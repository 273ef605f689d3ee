//! What happens to recovery, and what it wants done.

use crate::branch::ResourceName;
use crate::decision::{Decision, Finish, Logged, Presence};
use crate::id::{BranchId, TransactionId};
use crate::record::{PreparedBranch, Record};

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This is all that is prepared in a resource under the prefix of this cluster. The list is one
    /// moment of the resource, and not older than the last one of it.
    Listed {
        /// The resource.
        resource: ResourceName,
        /// Its prepared branches. Those of other clusters are ignored.
        prepared: Vec<BranchId>,
    },
    /// These are all records of the log, read by a linearizable read.
    Records(Vec<(TransactionId, Record)>),
    /// The answer to [`Action::Read`].
    Read {
        /// Of which transaction.
        id: TransactionId,
        /// What was read.
        log: LogView,
    },
    /// The answer to [`Action::WriteAbort`].
    Written {
        /// Of which transaction.
        id: TransactionId,
        /// What the log says.
        logged: Logged,
    },
    /// The answer to [`Action::Finish`].
    Finished {
        /// Whose.
        branch: BranchId,
        /// Which.
        answer: Finish,
    },
    /// The answer to [`Action::Inspect`].
    Inspected {
        /// Whose.
        branch: BranchId,
        /// Which.
        presence: Presence,
    },
    /// The fence of this coordinator may have gone: look at its transactions now.
    CoordinatorGone(u64),
    /// Time has passed; due at [`Recovery::due_ms`](super::Recovery::due_ms).
    Tick,
}

/// What the log has of one transaction. The fence is read first, then the record, both by
/// linearizable reads: a fence that is gone has not let anything be decided since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogView {
    /// It could be read.
    Known {
        /// Whether the fence of the transaction's coordinator is there: it can still decide.
        is_fence_there: bool,
        /// The decision.
        record: Option<Record>,
    },
    /// It could not, for this reason.
    Unknown(String),
}

/// What recovery asks its driver for. The driver repeats nothing by itself. Several actions may be
/// under way at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read what the log has of this transaction, as [`LogView`] says.
    Read {
        /// Which transaction.
        id: TransactionId,
    },
    /// Write this record of abort into the log, in one write that takes place only if the
    /// transaction has no decision yet.
    WriteAbort {
        /// Which transaction.
        id: TransactionId,
        /// The record.
        record: Record,
    },
    /// Tell the resource of the branch what was decided.
    Finish {
        /// The transaction.
        id: TransactionId,
        /// The branch.
        branch: PreparedBranch,
        /// What was decided.
        decision: Decision,
        /// First end the session that has prepared the branch; if that cannot be done, the answer
        /// is [`Finish::Failed`].
        release: bool,
    },
    /// Ask the resource of the branch whether it is prepared, by its list.
    Inspect {
        /// The transaction.
        id: TransactionId,
        /// The branch.
        branch: PreparedBranch,
    },
    /// Delete the record from the log; it does no harm if this fails or is late.
    Forget {
        /// Which transaction.
        id: TransactionId,
    },
    /// Put this record into the log in place of any that is there. It stays: it says what people
    /// did by hand.
    Keep {
        /// Which transaction.
        id: TransactionId,
        /// The record.
        record: Record,
    },
    /// All known branches of the transaction are finished.
    Resolved {
        /// Which transaction.
        id: TransactionId,
        /// As what.
        decision: Decision,
    },
}
