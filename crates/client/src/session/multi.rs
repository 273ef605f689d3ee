//! Many operations in one request.

use std::borrow::Cow;

use wire::record::{
    Check, Delete, GetChildren, GetData, Multi, MultiReply, MultiResult, Reply, Request, SetData,
};
use wire::{Acl, AclList, ErrorCode, Malformed, Opcode, Stat};

use super::calls::{create_request, strings};
use super::state::Effect;
use super::{OwnedReply, Session};
use crate::error::Error;
use crate::operations::CreateMode;

/// A write in a [`Session::multi`].
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

/// A read in a [`Session::multi_read`].
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
            | Self::Check { path, .. } => path,
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
        }
    }
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

impl Session {
    /// Executes all writes, in their order, or none. The results have the order of the operations.
    ///
    /// # Errors
    /// [`Error::MultiRefused`] names the operation that was refused. Any other [`Error`].
    pub fn multi(&self, operations: &[Operation<'_>]) -> Result<Vec<OperationResult>, Error> {
        let paths = self.server_paths(operations.iter().map(Operation::path))?;
        let mut acls = vec![Vec::new(); operations.len()];
        let requests = operations.iter().zip(paths.iter().zip(&mut acls));
        let requests = requests.map(|(operation, (path, acl))| operation.request(path, acl));
        let mut buffer = Vec::new();
        let multi = Multi::encode_into(requests, &mut buffer);
        let answer = self.request(&Request::Multi(multi), None, Effect::None)?;
        let reply = results(&answer, operations.len())?;
        refusal(operations, reply.iter())?;
        reply.iter().map(|result| self.operation_result(&result)).collect()
    }

    /// Executes reads together, each with its own result, in the order of the operations. ZooKeeper
    /// answers it from 3.6 on.
    ///
    /// # Errors
    /// Any [`Error`] for the whole; [`Error::Refused`] for one read.
    pub fn multi_read(
        &self,
        operations: &[ReadOperation<'_>],
    ) -> Result<Vec<Result<ReadResult, Error>>, Error> {
        let paths = self.server_paths(operations.iter().map(ReadOperation::path))?;
        let requests = operations.iter().zip(&paths).map(|(operation, path)| operation.request(path));
        let mut buffer = Vec::new();
        let multi = Multi::encode_into(requests, &mut buffer);
        let answer = self.request(&Request::MultiRead(multi), None, Effect::None)?;
        let reply = results(&answer, operations.len())?;
        Ok(operations.iter().zip(reply.iter()).map(|(operation, result)| read(operation, &result)).collect())
    }

    fn server_paths<'p>(&self, paths: impl Iterator<Item = &'p str>) -> Result<Vec<Cow<'p, str>>, Error> {
        paths.map(|path| self.server_path(path)).collect()
    }

    fn operation_result(&self, result: &MultiResult<'_>) -> Result<OperationResult, Error> {
        let created = |path| OperationResult::Created(self.connect_string().client_path(path).to_owned());
        Ok(match result {
            MultiResult::Create(reply) => created(reply.path),
            MultiResult::Create2(reply) => created(reply.path),
            MultiResult::SetData(reply) => OperationResult::DataSet(reply.stat),
            MultiResult::Delete => OperationResult::Deleted,
            MultiResult::Check => OperationResult::Checked,
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
fn refusal<'r>(
    operations: &[Operation<'_>],
    results: impl Iterator<Item = MultiResult<'r>>,
) -> Result<(), Error> {
    let unimportant = [ErrorCode::Ok as i32, ErrorCode::RuntimeInconsistency as i32];
    let errors = operations.iter().zip(results).enumerate();
    let errors = errors.filter_map(|(index, (operation, result))| Some((index, operation, result.error()?)));
    // `min_by_key` takes the first of several.
    match errors.min_by_key(|(.., code)| unimportant.contains(code)) {
        Some((index, operation, code)) => {
            Err(Error::MultiRefused { index, code, path: operation.path().to_owned() })
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
