//! What takes part in transactions, and how it answers.

use std::time::SystemTime;

use crate::{BranchId, Cluster};
use async_trait::async_trait;

/// Something that can keep a change ready, and then make it or forget it: a database, znodes, a
/// service.
///
/// The work itself is not here: how a program begins a branch and works in it is the participant's
/// own, as in [`Postgres::begin`](crate::Postgres::begin). What is here is how its end is agreed
/// on. [`conformance`](crate::conformance) checks an implementation.
///
/// Each call ends in bounded time: a participant that gets no answer says [`Vote::Unknown`] or
/// [`Finish::Unknown`]. Calls for different branches may come at the same time, and calls for one
/// branch from several processes.
#[async_trait]
pub trait Participant: Send + Sync {
    /// Asks whether it can be reached, and can take part at all.
    ///
    /// # Errors
    /// [`Trouble::Unfit`] says what an operator has to change.
    async fn check(&self) -> Result<(), Trouble>;

    /// Makes the branch ready: after [`Vote::Prepared`] its change survives any crash, keeps what
    /// it needs locked, and waits for [`Self::commit`] or [`Self::abort`], which any process may
    /// call.
    async fn prepare(&self, branch: &BranchId) -> Vote;

    /// Commits a branch that is not prepared, the only one of its transaction.
    async fn commit_at_once(&self, branch: &BranchId) -> Finish;

    /// Commits a prepared branch. `receipt` is what [`Vote::Prepared`] has said, or empty. A second
    /// call does no harm.
    async fn commit(&self, branch: &BranchId, receipt: &str) -> Finish;

    /// Undoes a branch, prepared or not. A second call does no harm. After [`Finish::Done`] and
    /// [`Finish::NotFound`] the branch cannot become prepared any more.
    async fn abort(&self, branch: &BranchId, receipt: &str) -> Finish;

    /// The prepared branches of a cluster, by whichever process they were prepared, and no others.
    ///
    /// # Errors
    /// It cannot be reached, or does not let us look.
    async fn prepared(&self, cluster: Cluster) -> Result<Vec<Prepared>, Trouble>;
}

/// The answer to [`Participant::prepare`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vote {
    /// The branch is prepared.
    Prepared {
        /// What the participant wants to be told with the decision, to know its own branch again;
        /// may be empty.
        receipt: String,
    },
    /// The branch has changed nothing. It is finished, and hears nothing more.
    ReadOnly,
    /// The branch is not prepared, and will not be; the text says why.
    Refused(String),
    /// Whether the branch is prepared is unknown; the text says why. It has to be aborted.
    Unknown(String),
}

/// The answer to [`Participant::commit`] and [`Participant::abort`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It is done, and survives any crash.
    Done,
    /// The participant knows no such branch, and has looked twice: it was finished before, or was
    /// never prepared.
    NotFound,
    /// The participant says that the branch has ended in another way: somebody has finished it by
    /// hand, or changed what it had locked.
    Heuristic(Heuristic),
    /// It was not done, and can be tried again; the text says why.
    Refused(String),
    /// Whether it was done is unknown, and it can be tried again; the text says why.
    Unknown(String),
}

impl Finish {
    /// Whether nothing more has to be done for the branch.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Done | Self::NotFound | Self::Heuristic(_))
    }
}

/// How a branch has ended against the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heuristic {
    /// What has become of it.
    pub ending: Ending,
    /// What the participant knows about it.
    pub evidence: String,
}

/// What has become of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was committed.
    Committed,
    /// It was rolled back.
    Aborted,
    /// It was committed over changes that somebody else has made to what it had locked.
    Overwrote,
}

/// A prepared branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Which.
    pub branch: BranchId,
    /// Since when, by the participant's clock, if it knows.
    pub since: Option<SystemTime>,
}

/// Why a participant does nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It cannot be reached, or does not answer in time.
    #[error("it cannot be reached: {0}")]
    Away(String),
    /// It cannot take part as it is configured.
    #[error("it cannot take part: {0}")]
    Unfit(String),
    /// It does not do what it was asked to.
    #[error("it refuses: {0}")]
    Refused(String),
}

/// The decision about a prepared branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// It commits.
    Commit,
    /// It is rolled back.
    Abort,
}
