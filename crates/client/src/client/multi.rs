//! Many operations in one request.

use std::borrow::Cow;

use wire::record::{
    Check, CheckNotExists, CheckStat, Delete, GetChildren, GetData, Multi, MultiReply, MultiResult, Reply,
    Request, SetData,
};
use wire::{Acl, AclList, ErrorCode, Malformed, Opcode, Stat, acl};

use super::calls::{create_request, strings};
use super::extensions::Extension;
use super::state::Effect;
use super::{Client, OwnedReply};
use crate::error::Error;
use crate::operations::CreateMode;

/// A write in a [`Client::multi`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Creates a znode.
    Create {
        /// Its path; with a sequential mode what the number is appended to.
        path: &'a str,
        /// Its data.
        data: Option<&'a [u8]>,
        /// Its ACL.
        acl: &'a [Acl],
        /// Its lifetime.
        mode: CreateMode,
    },
    /// Replaces the data of a znode, of that version if it is not -1.
    SetData {
        /// The znode.
        path: &'a str,
        /// The new data.
        data: Option<&'a [u8]>,
        /// The version expected, or -1.
        version: i32,
    },
    /// Deletes a znode, of that version if it is not -1.
    Delete {
        /// The znode.
        path: &'a str,
        /// The version expected, or -1.
        version: i32,
    },
    /// Requires that a znode exists, in that version if it is not -1.
    Check {
        /// The znode.
        path: &'a str,
        /// The version expected, or -1.
        version: i32,
    },
    /// Requires that a znode does not exist. A server without this check, as Apache ZooKeeper is,
    /// is told to create the znode and to delete it again, for which its parent has to exist and
    /// must not be ephemeral.
    CheckNotExists {
        /// The path without a znode.
        path: &'a str,
    },
    /// Requires that a znode exists, in that version if it is not -1, and has the values of all
    /// fields of `expected` that are not -1, as in [`Stat::ANY`]. Where the server lacks this
    /// check, as Apache ZooKeeper does, the multi is refused with [`ErrorCode::Unimplemented`]
    /// before it is sent: ZooKeeper has nothing that does the same within a multi.
    CheckStat {
        /// The znode.
        path: &'a str,
        /// The version expected, or -1.
        version: i32,
        /// The fields expected.
        expected: &'a Stat,
    },
}

/// What one operation of a multi has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationResult {
    /// A znode was created, with this path.
    Created(String),
    /// Data were replaced; the znode's new `Stat`.
    DataSet(Stat),
    /// A znode was deleted.
    Deleted,
    /// The znode is as required.
    Checked,
}

/// A read in a [`Client::multi_read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOperation<'a> {
    /// Data and `Stat` of the znode with this path.
    GetData(&'a str),
    /// The names of the children of the znode with this path.
    GetChildren(&'a str),
}

/// What one read has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadResult {
    /// Data and `Stat`.
    Data(Option<Vec<u8>>, Stat),
    /// Names, sorted.
    Children(Vec<String>),
}

impl<'a> Operation<'a> {
    fn path(&self) -> &'a str {
        match *self {
            Self::Create { path, .. }
            | Self::SetData { path, .. }
            | Self::Delete { path, .. }
            | Self::Check { path, .. }
            | Self::CheckStat { path, .. }
            | Self::CheckNotExists { path } => path,
        }
    }

    /// The request, of the path as the server knows it. The ACL is encoded into `acl_bytes`.
    fn request<'r>(&self, path: &'r str, acl_bytes: &'r mut Vec<u8>) -> Request<'r>
    where
        'a: 'r,
    {
        match *self {
            Self::Create { data, acl, mode, .. } => {
                create_request(path, data, AclList::encode_into(acl, acl_bytes), mode)
            }
            Self::SetData { data, version, .. } => Request::SetData(SetData { path, data, version }),
            Self::Delete { version, .. } => Request::Delete(Delete { path, version }),
            Self::Check { version, .. } => Request::Check(Check { path, version }),
            Self::CheckNotExists { .. } => Request::CheckNotExists(CheckNotExists { path, version: -1 }),
            Self::CheckStat { version, expected, .. } => {
                Request::CheckStat(CheckStat { path, version, stat: *expected })
            }
        }
    }
}

/// What is sent for an operation.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    operation: Operation<'a>,
    /// The place of the operation among those of the caller.
    index: usize,
    /// Whether its result is the operation's.
    has_result: bool,
}

/// What is sent for operations; `has_check` says whether the server checks that a znode does not
/// exist, and `open` is the ACL of those that are created instead.
fn parts<'a>(operations: &[Operation<'a>], has_check: bool, open: &'a [Acl]) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        let part = |operation, has_result| Part { operation, index, has_result };
        match *operation {
            Operation::CheckNotExists { path } if !has_check => {
                let create = Operation::Create { path, data: None, acl: open, mode: CreateMode::Persistent };
                parts.extend([part(create, false), part(Operation::Delete { path, version: -1 }, true)]);
            }
            operation => parts.push(part(operation, true)),
        }
    }
    parts
}

impl<'a> ReadOperation<'a> {
    fn path(&self) -> &'a str {
        match *self {
            Self::GetData(path) | Self::GetChildren(path) => path,
        }
    }

    fn request<'r>(&self, path: &'r str) -> Request<'r> {
        match self {
            Self::GetData(_) => Request::GetData(GetData { path, watch: false }),
            Self::GetChildren(_) => Request::GetChildren(GetChildren { path, watch: false }),
        }
    }
}

/// A multi that is put together step by step.
///
/// ```no_run
/// # async fn example(client: &client::Client) -> Result<(), client::Error> {
/// use client::{CreateMode, Transaction, acl};
///
/// let open = acl::open_acl();
/// Transaction::new()
///     .check("/lock/holder", 3)
///     .create("/jobs/1", Some(b"done"), &open, CreateMode::Persistent)
///     .set_data("/count", Some(b"1"), -1)
///     .commit(client)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Transaction<'a> {
    operations: Vec<Operation<'a>>,
}

impl<'a> Transaction<'a> {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an operation.
    #[must_use]
    pub fn then(mut self, operation: Operation<'a>) -> Self {
        self.operations.push(operation);
        self
    }

    /// Adds [`Operation::Create`].
    #[must_use]
    pub fn create(self, path: &'a str, data: Option<&'a [u8]>, acl: &'a [Acl], mode: CreateMode) -> Self {
        self.then(Operation::Create { path, data, acl, mode })
    }

    /// Adds [`Operation::SetData`].
    #[must_use]
    pub fn set_data(self, path: &'a str, data: Option<&'a [u8]>, version: i32) -> Self {
        self.then(Operation::SetData { path, data, version })
    }

    /// Adds [`Operation::Delete`].
    #[must_use]
    pub fn delete(self, path: &'a str, version: i32) -> Self {
        self.then(Operation::Delete { path, version })
    }

    /// Adds [`Operation::Check`].
    #[must_use]
    pub fn check(self, path: &'a str, version: i32) -> Self {
        self.then(Operation::Check { path, version })
    }

    /// Adds [`Operation::CheckNotExists`].
    #[must_use]
    pub fn check_not_exists(self, path: &'a str) -> Self {
        self.then(Operation::CheckNotExists { path })
    }

    /// Adds [`Operation::CheckStat`].
    #[must_use]
    pub fn check_stat(self, path: &'a str, version: i32, expected: &'a Stat) -> Self {
        self.then(Operation::CheckStat { path, version, expected })
    }

    /// Executes all operations or none.
    ///
    /// # Errors
    /// As [`Client::multi`].
    pub async fn commit(&self, client: &Client) -> Result<Vec<OperationResult>, Error> {
        client.multi(&self.operations).await
    }
}

impl Client {
    /// Executes all writes, in their order, or none. The results have the order of the operations.
    ///
    /// # Errors
    /// [`Error::MultiRefused`] names the operation that was refused. Any other [`Error`].
    pub async fn multi(&self, operations: &[Operation<'_>]) -> Result<Vec<OperationResult>, Error> {
        self.check_stats_are_known(operations).await?;
        let checks = |operation: &Operation<'_>| matches!(operation, Operation::CheckNotExists { .. });
        let has_check = !operations.iter().any(checks) || self.has(Extension::CheckNotExists).await?;
        let open = acl::open_acl();
        let parts = parts(operations, has_check, &open);
        let paths = self.server_paths(parts.iter().map(|part| part.operation.path()))?;
        let mut acls = vec![Vec::new(); parts.len()];
        let requests = parts.iter().zip(paths.iter().zip(&mut acls));
        let requests = requests.map(|(part, (path, acl))| part.operation.request(path, acl));
        let mut buffer = Vec::new();
        let multi = Multi::encode_into(requests, &mut buffer);
        let answer = self.request(&Request::Multi(multi), None, Effect::None).await?;
        let reply = results(&answer, parts.len())?;
        refusal(&parts, reply.iter())?;
        let results = parts.iter().zip(reply.iter()).filter(|(part, _)| part.has_result);
        results.map(|(part, result)| self.operation_result(&operations[part.index], &result)).collect()
    }

    /// Refuses the first [`Operation::CheckStat`] where the server does not know it.
    async fn check_stats_are_known(&self, operations: &[Operation<'_>]) -> Result<(), Error> {
        let first = operations.iter().position(|one| matches!(one, Operation::CheckStat { .. }));
        let Some(index) = first else { return Ok(()) };
        if self.has(Extension::CheckStat).await? {
            return Ok(());
        }
        let path = operations[index].path().to_owned();
        Err(Error::MultiRefused { index, code: ErrorCode::Unimplemented as i32, path })
    }

    /// Executes reads together, each with its own result, in the order of the operations. ZooKeeper
    /// answers it from 3.6 on.
    ///
    /// # Errors
    /// Any [`Error`] for the whole; [`Error::Refused`] for one read.
    pub async fn multi_read(
        &self,
        operations: &[ReadOperation<'_>],
    ) -> Result<Vec<Result<ReadResult, Error>>, Error> {
        let paths = self.server_paths(operations.iter().map(ReadOperation::path))?;
        let requests = operations.iter().zip(&paths).map(|(operation, path)| operation.request(path));
        let mut buffer = Vec::new();
        let multi = Multi::encode_into(requests, &mut buffer);
        let answer = match paths.first() {
            Some(first) => {
                self.read(&Request::MultiRead(multi), first, operations[0].path(), Effect::None).await?
            }
            None => return Ok(Vec::new()),
        };
        let reply = results(&answer, operations.len())?;
        Ok(operations.iter().zip(reply.iter()).map(|(operation, result)| read(operation, &result)).collect())
    }

    fn server_paths<'p>(&self, paths: impl Iterator<Item = &'p str>) -> Result<Vec<Cow<'p, str>>, Error> {
        paths.map(|path| self.server_path(path)).collect()
    }

    fn operation_result(
        &self,
        operation: &Operation<'_>,
        result: &MultiResult<'_>,
    ) -> Result<OperationResult, Error> {
        let created = |path| OperationResult::Created(self.connect_string().client_path(path).to_owned());
        Ok(match result {
            MultiResult::Create(reply) => created(reply.path),
            MultiResult::Create2(reply) => created(reply.path),
            MultiResult::SetData(reply) => OperationResult::DataSet(reply.stat),
            MultiResult::Delete if matches!(operation, Operation::CheckNotExists { .. }) => {
                OperationResult::Checked
            }
            MultiResult::Delete => OperationResult::Deleted,
            MultiResult::Check | MultiResult::CheckNotExists | MultiResult::CheckStat => {
                OperationResult::Checked
            }
            other => return Err(unexpected(other)),
        })
    }
}

/// The results, one for each operation.
fn results(answer: &OwnedReply, operations: usize) -> Result<MultiReply<'_>, Error> {
    match answer.decode()? {
        Reply::Multi(reply) if reply.len() == operations => Ok(reply),
        Reply::Multi(reply) => {
            let error = Malformed::Excess(reply.len().abs_diff(operations));
            Err(Error::Malformed { operation: answer.opcode.name(), error })
        }
        other => unreachable!("{other:?} is not what a multi answers"),
    }
}

/// A result of another kind than its operation has. Its kind is what the server says it is.
fn unexpected(result: &MultiResult<'_>) -> Error {
    Error::Malformed { operation: Opcode::Multi.name(), error: Malformed::Operation(result.opcode() as i32) }
}

/// The refusal of the one operation that made the whole multi fail. Those before it have the code
/// 0, those behind it `RuntimeInconsistency`.
fn refusal<'r>(parts: &[Part<'_>], results: impl Iterator<Item = MultiResult<'r>>) -> Result<(), Error> {
    let unimportant = [ErrorCode::Ok as i32, ErrorCode::RuntimeInconsistency as i32];
    let errors = parts.iter().zip(results).filter_map(|(part, result)| Some((part, result.error()?)));
    // `min_by_key` takes the first of several.
    match errors.min_by_key(|(_, code)| unimportant.contains(code)) {
        Some((part, code)) => {
            let path = part.operation.path().to_owned();
            Err(Error::MultiRefused { index: part.index, code, path })
        }
        None => Ok(()),
    }
}

fn read(operation: &ReadOperation<'_>, result: &MultiResult<'_>) -> Result<ReadResult, Error> {
    match result {
        MultiResult::Error(code) | MultiResult::Failed { err: code, .. } => {
            Err(Error::Refused { code: *code, path: Some(operation.path().to_owned()) })
        }
        MultiResult::GetData(reply) => Ok(ReadResult::Data(reply.data.map(<[u8]>::to_vec), reply.stat)),
        MultiResult::GetChildren(reply) => {
            let mut names = strings(reply.children);
            names.sort_unstable();
            Ok(ReadResult::Children(names))
        }
        other => Err(unexpected(other)),
    }
}
