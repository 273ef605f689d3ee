//! One transaction, as a program sees it.

use std::sync::Arc;

use commit::decision::{Answer, Heuristic as CommitHeuristic, Outcome};
use commit::two_phase::{BadMembers, Coordinator, Event, Member};

use crate::coordinator::Drive;
use crate::participant::Trouble;
use crate::resources::Resource;
use crate::sessions::Lent;
use crate::shared::Shared;
use crate::{
    Branch, BranchId, MariaDbSession, PostgresSession, ResourceName, StageError, TransactionId,
    ZnodeOperation,
};

/// Work in several resources that takes effect in all of them or in none.
///
/// A resource takes part from the first call that names it. Dropping a transaction undoes it, in
/// the background.
pub struct Transaction {
    shared: Arc<Shared>,
    id: TransactionId,
    members: Vec<Member>,
    is_over: bool,
}

/// Why a resource does not take part.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The process has no resource of this name and kind.
    #[error("there is no {kind} called {name}")]
    Unknown {
        /// The kind.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The program has the session of this branch already.
    #[error("the session of {0} is in use")]
    InUse(ResourceName),
    /// The resource cannot be reached, or cannot take part.
    #[error("{resource}: {trouble}")]
    Trouble {
        /// The resource.
        resource: ResourceName,
        /// Why.
        #[source]
        trouble: Trouble,
    },
    /// An operation on a znode is not possible.
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// A transaction that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The branches that had not done it when the caller was told. They will, however long that
    /// takes; until then a reader does not see their part.
    pub unfinished: Vec<Branch>,
    /// The branches that somebody has rolled back by hand.
    pub heuristics: Vec<CommitHeuristic>,
}

/// A transaction that was not committed, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It has no effect, now or later.
    #[error("the transaction was aborted: {reason}")]
    Aborted {
        /// Why.
        reason: String,
        /// The branches that had not been undone when the caller was told, and hold their locks
        /// until they are.
        unfinished: Vec<Branch>,
    },
    /// Whether it takes effect is not known here. It is decided, or will be by the recovery, and
    /// `ostler transactions show` says how.
    #[error("whether transaction {id} is committed is unknown: {reason}")]
    Unknown {
        /// The transaction.
        id: TransactionId,
        /// Why.
        reason: String,
    },
    /// Its resources cannot be those of one transaction. Nothing was prepared.
    #[error("the transaction was aborted: {0}")]
    Members(BadMembers),
}

impl Transaction {
    pub(crate) fn new(shared: &Arc<Shared>, id: TransactionId) -> Self {
        Self { shared: Arc::clone(shared), id, members: Vec::new(), is_over: false }
    }

    /// The transaction's name.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    fn branch_of(&self, resource: &ResourceName) -> Option<BranchId> {
        let member = self.members.iter().find(|member| member.branch.resource == *resource)?;
        Some(BranchId { transaction: self.id, branch: member.branch.clone() })
    }

    fn enlist(&mut self, branch: &BranchId) {
        self.members.push(Member { branch: branch.branch.clone(), reads_only: false });
    }

    /// The session of this transaction in a database of PostgreSQL. It must be dropped before
    /// [`Self::commit`].
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn postgres(&mut self, resource: &str) -> Result<Lent<PostgresSession>, WorkError> {
        let shared = Arc::clone(&self.shared);
        let Some((name, Resource::Postgres(postgres))) = shared.resources.find(resource) else {
            return Err(unknown("database of PostgreSQL", resource));
        };
        if let Some(branch) = self.branch_of(name) {
            return postgres.session(&branch).ok_or_else(|| WorkError::InUse(name.clone()));
        }
        let begun = postgres.begin(&self.id, name).await;
        let (branch, session) = begun.map_err(|trouble| in_trouble(name, trouble))?;
        self.enlist(&branch);
        Ok(session)
    }

    /// The session of this transaction in a server of MariaDB or MySQL. It must be dropped before
    /// [`Self::commit`].
    ///
    /// # Errors
    /// [`WorkError`].
    pub async fn mariadb(&mut self, resource: &str) -> Result<Lent<MariaDbSession>, WorkError> {
        let shared = Arc::clone(&self.shared);
        let Some((name, Resource::MariaDb(mariadb))) = shared.resources.find(resource) else {
            return Err(unknown("server of MariaDB", resource));
        };
        if let Some(branch) = self.branch_of(name) {
            return mariadb.session(&branch).ok_or_else(|| WorkError::InUse(name.clone()));
        }
        let begun = mariadb.begin(&self.id, name).await;
        let (branch, session) = begun.map_err(|trouble| in_trouble(name, trouble))?;
        self.enlist(&branch);
        Ok(session)
    }

    /// Adds an operation on a znode.
    ///
    /// # Errors
    /// [`WorkError`].
    pub fn znode(&mut self, resource: &str, operation: ZnodeOperation) -> Result<(), WorkError> {
        let shared = Arc::clone(&self.shared);
        let Some((name, Resource::Znodes(znodes))) = shared.resources.find(resource) else {
            return Err(unknown("place of znodes", resource));
        };
        let branch = self.branch_of(name).unwrap_or_else(|| {
            let branch = znodes.begin(&self.id, name);
            self.enlist(&branch);
            branch
        });
        Ok(znodes.add(&branch, operation)?)
    }

    /// The branch of a service, or of a participant of another kind, for its work.
    ///
    /// # Errors
    /// [`WorkError::Unknown`]; also for databases and znodes, which have methods of their own.
    pub fn branch(&mut self, resource: &str) -> Result<BranchId, WorkError> {
        let shared = Arc::clone(&self.shared);
        let name = match shared.resources.find(resource) {
            Some((name, Resource::Http(_) | Resource::Other(_))) => name,
            _ => return Err(unknown("service or participant of another kind", resource)),
        };
        Ok(self.branch_of(name).unwrap_or_else(|| {
            let branch = Branch { resource: name.clone(), session: None };
            let branch = BranchId { transaction: self.id, branch };
            self.enlist(&branch);
            branch
        }))
    }

    /// Says that the transaction only reads in a resource. If it writes in one resource only, that
    /// one is then committed without being prepared. Saying so where it is wrong costs time and
    /// nothing else.
    pub fn reads_only(&mut self, resource: &str) {
        let members = self.members.iter_mut();
        let named = members.filter(|member| member.branch.resource.as_str() == resource);
        named.for_each(|member| member.reads_only = true);
    }

    /// Commits. Dropping the future does not stop it.
    ///
    /// # Errors
    /// [`CommitError`] says whether it was aborted, or nobody knows yet.
    pub async fn commit(mut self) -> Result<Committed, CommitError> {
        self.is_over = true;
        if self.members.is_empty() {
            return Ok(Committed { unfinished: Vec::new(), heuristics: Vec::new() });
        }
        let id = self.id;
        let machine = match self.machine() {
            Ok(machine) => machine,
            Err(error) => return Err(CommitError::Members(error)),
        };
        let answer = Drive::start(&self.shared, machine, self.branches(), Event::Begin).await;
        let Ok(Answer { outcome, unfinished, heuristics }) = answer else {
            return Err(CommitError::Unknown { id, reason: "the runtime is ending".to_owned() });
        };
        match outcome {
            Outcome::Committed => Ok(Committed { unfinished, heuristics }),
            Outcome::Aborted(reason) => Err(CommitError::Aborted { reason, unfinished }),
            Outcome::Unknown(reason) => Err(CommitError::Unknown { id, reason }),
        }
    }

    /// Undoes the work. Returns the branches that had not been undone when the caller was told.
    pub async fn abort(mut self) -> Vec<Branch> {
        self.is_over = true;
        match self.start_abort() {
            Some(answer) => answer.await.map(|answer| answer.unfinished).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    fn start_abort(&self) -> Option<tokio::sync::oneshot::Receiver<Answer>> {
        let machine = self.machine().ok()?;
        let cancel = Event::Cancel("the program has undone it".to_owned());
        Some(Drive::start(&self.shared, machine, self.branches(), cancel))
    }

    fn machine(&self) -> Result<Coordinator, BadMembers> {
        let Shared { name, settings, .. } = &*self.shared;
        Coordinator::new(self.id, name, self.members.clone(), *settings)
    }

    fn branches(&self) -> Vec<Branch> {
        self.members.iter().map(|member| member.branch.clone()).collect()
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_over && tokio::runtime::Handle::try_current().is_ok() {
            // Nobody waits for the answer.
            drop(self.start_abort());
        }
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Transaction").field(&self.id).finish()
    }
}

fn unknown(kind: &'static str, name: &str) -> WorkError {
    WorkError::Unknown { kind, name: name.to_owned() }
}

fn in_trouble(resource: &ResourceName, trouble: Trouble) -> WorkError {
    WorkError::Trouble { resource: resource.clone(), trouble }
}
