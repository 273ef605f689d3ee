//! Znodes, by a multi that is staged before it is executed.

mod operation;
mod staged;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::{Branch, BranchId, Cluster, ResourceName, TransactionId};
use async_trait::async_trait;
use client::{Client, ErrorCode, Operation};

use crate::participant::{Finish, Order, Participant, Prepared, Trouble, Vote};
use crate::turns::Turns;
pub use operation::ZnodeOperation;
use staged::{Staged, escaped};

/// Znodes of an ensemble, which may be the one that keeps the decisions, or another.
///
/// A branch is a list of operations. Preparing checks them, and stores them together with a lock
/// for each of their znodes; committing executes them and removes the locks, in one multi.
///
/// The locks hold for those who write through this participant. A program that writes the same
/// znodes by other ways is not kept from it: what it writes between the preparation and the commit
/// is overwritten, which [`Finish::Heuristic`] tells.
pub struct Znodes {
    client: Client,
    root: String,
    step: Duration,
    work: Mutex<HashMap<BranchId, Vec<ZnodeOperation>>>,
    staged: Mutex<HashMap<BranchId, Staged>>,
    turns: Turns,
}

/// Why an operation is not taken into a branch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// A branch has one operation for each znode.
    #[error("{0} is in the transaction already")]
    Twice(String),
    /// The branch was prepared or ended, or never begun.
    #[error("there is no such branch")]
    NoBranch,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Znodes {
    /// The znodes of a client's ensemble, below its chroot. What is staged, and the locks, are
    /// below `root`, the same for all who write these znodes. `step` bounds each exchange with the
    /// server.
    pub fn new(client: &Client, root: &str, step: Duration) -> Self {
        let (work, staged, turns) = (Mutex::default(), Mutex::default(), Turns::default());
        Self { client: client.linearizable(), root: root.to_owned(), step, work, staged, turns }
    }

    /// Begins a branch.
    pub fn begin(&self, transaction: &TransactionId, resource: &ResourceName) -> BranchId {
        let branch = Branch { resource: resource.clone(), session: None };
        let branch = BranchId { transaction: *transaction, branch };
        lock(&self.work).insert(branch.clone(), Vec::new());
        branch
    }

    /// Adds an operation to a branch.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn add(&self, branch: &BranchId, operation: ZnodeOperation) -> Result<(), StageError> {
        let mut work = lock(&self.work);
        let operations = work.get_mut(branch).ok_or(StageError::NoBranch)?;
        if operations.iter().any(|other| other.path() == operation.path()) {
            return Err(StageError::Twice(operation.path().to_owned()));
        }
        operations.push(operation);
        Ok(())
    }

    fn branches(&self) -> String {
        format!("{}/branches", self.root)
    }

    fn branch_path(&self, branch: &BranchId) -> String {
        format!("{}/{branch}", self.branches())
    }

    fn lock_path(&self, path: &str) -> String {
        format!("{}/locks/{}", self.root, escaped(path))
    }

    /// Creates what is above staged branches and locks.
    async fn make_room(&self) -> Result<(), client::Error> {
        let acl = self.client.acl();
        self.client.create_all(&self.branches(), acl).await?;
        self.client.create_all(&format!("{}/locks", self.root), acl).await
    }

    async fn within<T>(&self, answer: impl Future<Output = T>) -> Result<T, String> {
        tokio::time::timeout(self.step, answer).await.map_err(|_| format!("no answer in {:?}", self.step))
    }

    async fn multi(&self, operations: &[Operation<'_>]) -> Result<(), Failure> {
        match self.within(self.client.multi(operations)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(client::Error::MultiRefused { index, code, path })) => {
                Err(Failure::Refused { index, code: ErrorCode::from_i32(code), path })
            }
            Ok(Err(error)) if !error.may_have_been_executed() => Err(Failure::NotDone(error.to_string())),
            Ok(Err(error)) => Err(Failure::Lost(error.to_string())),
            Err(why) => Err(Failure::Lost(why)),
        }
    }

    async fn prepare_staged(&self, branch: &BranchId, staged: &Staged) -> Vote {
        let data = staged.encode();
        let mut attempts = 0;
        loop {
            let refused = match self.multi(&staged.preparation(self, branch, &data).operations()).await {
                Ok(()) => return Vote::Prepared { receipt: String::new() },
                Err(Failure::Lost(why)) => return Vote::Unknown(why),
                Err(Failure::NotDone(why)) => return Vote::Refused(why),
                Err(Failure::Refused { code, path, .. }) => (code, path),
            };
            attempts += 1;
            // Nothing was ever staged here; or the parent of a znode is missing.
            let is_new = refused.0 == Some(ErrorCode::NoNode) && refused.1.starts_with(&self.root);
            if !is_new || attempts > 1 {
                return Vote::Refused(self.reason(&refused));
            }
            if let Err(error) = self.make_room().await {
                return Vote::Refused(error.to_string());
            }
        }
    }

    fn reason(&self, (code, path): &(Option<ErrorCode>, String)) -> String {
        let code = code.map_or_else(|| "an unknown error".to_owned(), |code| code.to_string());
        match path.strip_prefix(&format!("{}/locks/", self.root)) {
            Some(path) => format!("{} is locked by another transaction", staged::unescaped(path)),
            None => format!("{path}: {code}"),
        }
    }

    /// What is staged for a branch; `None` if nothing is.
    async fn load(&self, branch: &BranchId) -> Result<Option<Staged>, String> {
        let path = self.branch_path(branch);
        match self.within(self.client.get_data(&path, false)).await? {
            Ok((data, _)) => {
                let staged = Staged::decode(data.as_deref().unwrap_or_default());
                staged.map(Some).map_err(|error| format!("the data of {path}: {error}"))
            }
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn finish(&self, branch: &BranchId, order: Order) -> Finish {
        let known = lock(&self.staged).remove(branch);
        let staged = match known {
            Some(staged) => staged,
            None => match self.load(branch).await {
                Ok(Some(staged)) => staged,
                Ok(None) => return Finish::NotFound,
                Err(why) => return Finish::Unknown(why),
            },
        };
        match order {
            Order::Commit => self.execute(branch, staged).await,
            Order::Abort => self.discard(branch, &staged).await,
        }
    }

    async fn discard(&self, branch: &BranchId, staged: &Staged) -> Finish {
        match self.multi(&staged.removal(self, branch).operations()).await {
            Ok(()) => Finish::Done,
            Err(Failure::Refused { code: Some(ErrorCode::NoNode), .. }) => self.look(branch).await,
            Err(failure) => failure.into(),
        }
    }

    /// Whether somebody else has finished the branch.
    async fn look(&self, branch: &BranchId) -> Finish {
        match self.load(branch).await {
            Ok(None) => Finish::NotFound,
            Ok(Some(_)) => Finish::Refused("a lock of the branch is gone".to_owned()),
            Err(why) => Finish::Unknown(why),
        }
    }
}

/// Why a multi was not executed.
enum Failure {
    /// One operation was refused.
    Refused { index: usize, code: Option<ErrorCode>, path: String },
    /// It was not sent.
    NotDone(String),
    /// There was no answer: it may be executed.
    Lost(String),
}

impl From<Failure> for Finish {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused { code, path, .. } => {
                Self::Refused(format!("{path}: {}", code.map_or_else(String::new, |code| code.to_string())))
            }
            Failure::NotDone(why) => Self::Refused(why),
            Failure::Lost(why) => Self::Unknown(why),
        }
    }
}

#[async_trait]
impl Participant for Znodes {
    async fn check(&self) -> Result<(), Trouble> {
        match self.within(self.make_room()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.code() == Some(ErrorCode::NoAuth) => {
                Err(Trouble::Unfit(error.to_string()))
            }
            Ok(Err(error)) => Err(Trouble::Away(error.to_string())),
            Err(why) => Err(Trouble::Away(why)),
        }
    }

    async fn prepare(&self, branch: &BranchId) -> Vote {
        let _turn = self.turns.turn(branch).await;
        let Some(operations) = lock(&self.work).remove(branch) else {
            return Vote::Refused("there is no such branch".to_owned());
        };
        if operations.is_empty() {
            return Vote::ReadOnly;
        }
        let staged = Staged::new(operations);
        let vote = self.prepare_staged(branch, &staged).await;
        if matches!(vote, Vote::Prepared { .. }) {
            lock(&self.staged).insert(branch.clone(), staged);
        }
        vote
    }

    async fn commit_at_once(&self, branch: &BranchId) -> Finish {
        let _turn = self.turns.turn(branch).await;
        let Some(operations) = lock(&self.work).remove(branch) else {
            return Finish::Refused("there is no such branch".to_owned());
        };
        if operations.is_empty() {
            return Finish::Done;
        }
        if let Err(trouble) = self.check().await {
            return Finish::Refused(trouble.to_string());
        }
        match self.multi(&Staged::new(operations).at_once(self).operations()).await {
            Ok(()) => Finish::Done,
            Err(Failure::Refused { code, path, .. }) => Finish::Refused(self.reason(&(code, path))),
            Err(failure) => failure.into(),
        }
    }

    async fn commit(&self, branch: &BranchId, _receipt: &str) -> Finish {
        let _turn = self.turns.turn(branch).await;
        self.finish(branch, Order::Commit).await
    }

    async fn abort(&self, branch: &BranchId, _receipt: &str) -> Finish {
        let _turn = self.turns.turn(branch).await;
        let was_working = lock(&self.work).remove(branch).is_some();
        match self.finish(branch, Order::Abort).await {
            Finish::NotFound if was_working => Finish::Done,
            finish => finish,
        }
    }

    async fn prepared(&self, cluster: Cluster) -> Result<Vec<Prepared>, Trouble> {
        let away = |why: String| Trouble::Away(why);
        let answer = self.within(self.client.children_with_data(&self.branches())).await.map_err(away)?;
        let children = match answer {
            Ok((children, _)) => children,
            Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(Vec::new()),
            Err(error) => return Err(away(error.to_string())),
        };
        let prepared = children.into_iter().filter_map(|child| {
            let branch: BranchId = child.name.parse().ok()?;
            let created_ms = child.stat.and_then(|stat| u64::try_from(stat.ctime).ok());
            let since = created_ms.map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
            (branch.transaction.cluster == cluster).then_some(Prepared { branch, since })
        });
        Ok(prepared.collect())
    }
}

impl std::fmt::Debug for Znodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Znodes").field("root", &self.root).finish_non_exhaustive()
    }
}
