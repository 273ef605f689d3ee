//! Staged operations: as they are stored, and the multis that prepare, execute and remove them.

use crate::BranchId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use client::{Acl, CreateMode, ErrorCode, Operation};
use serde::{Deserialize, Serialize};

use super::operation::ZnodeOperation;
use super::{Failure, Znodes};
use crate::participant::{Ending, Finish, Heuristic};

/// The operations of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staged {
    operations: Vec<ZnodeOperation>,
}

/// An operation as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
enum Stored {
    Create { path: String, data: String, acl: Vec<(i32, String, String)> },
    SetData { path: String, data: String, version: i32 },
    Delete { path: String, version: i32 },
    Check { path: String, version: i32 },
}

/// A multi that owns its paths and data.
pub(super) struct Batch(Vec<ZnodeOperation>);

impl Batch {
    pub(super) fn operations(&self) -> Vec<Operation<'_>> {
        self.0.iter().map(borrowed).collect()
    }
}

fn borrowed(operation: &ZnodeOperation) -> Operation<'_> {
    match operation {
        ZnodeOperation::Create { path, data, acl } => {
            Operation::Create { path, data: Some(data), acl, mode: CreateMode::Persistent }
        }
        ZnodeOperation::SetData { path, data, version } => {
            Operation::SetData { path, data: Some(data), version: *version }
        }
        ZnodeOperation::Delete { path, version } => Operation::Delete { path, version: *version },
        ZnodeOperation::Check { path, version } => Operation::Check { path, version: *version },
    }
}

impl Staged {
    pub(super) fn new(operations: Vec<ZnodeOperation>) -> Self {
        Self { operations }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let stored: Vec<Stored> = self.operations.iter().map(Stored::from).collect();
        serde_json::to_vec(&stored).expect("texts and numbers are written")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let stored: Vec<Stored> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let operations = stored.into_iter().map(ZnodeOperation::try_from);
        Ok(Self { operations: operations.collect::<Result<_, _>>()? })
    }

    /// Locks every znode, requires of each what its operation does, and stores the operations.
    pub(super) fn preparation(&self, place: &Znodes, branch: &BranchId, data: &[u8]) -> Batch {
        let mut batch = self.locks(place, branch.to_string().as_bytes());
        batch.extend(self.operations.iter().filter_map(condition));
        // Created and deleted again, a znode did not exist and could be created.
        let creates = self.operations.iter().filter(|one| matches!(one, ZnodeOperation::Create { .. }));
        batch.extend(creates.clone().cloned());
        batch.extend(creates.rev().map(|create| ZnodeOperation::delete(create.path(), -1)));
        batch.push(place.keep(place.branch_path(branch), data));
        Batch(batch)
    }

    /// Executes the operations if no other branch has locked their znodes.
    pub(super) fn at_once(&self, place: &Znodes) -> Batch {
        let mut batch = self.locks(place, b"");
        batch.extend(self.operations.iter().cloned());
        batch.extend(self.unlocks(place));
        Batch(batch)
    }

    /// Removes the branch and its locks.
    pub(super) fn removal(&self, place: &Znodes, branch: &BranchId) -> Batch {
        let mut batch = vec![ZnodeOperation::delete(&place.branch_path(branch), -1)];
        batch.extend(self.unlocks(place));
        Batch(batch)
    }

    fn locks(&self, place: &Znodes, holder: &[u8]) -> Vec<ZnodeOperation> {
        let lock = |operation: &ZnodeOperation| place.keep(place.lock_path(operation.path()), holder);
        self.operations.iter().map(lock).collect()
    }

    fn unlocks(&self, place: &Znodes) -> impl Iterator<Item = ZnodeOperation> {
        self.operations.iter().map(|operation| ZnodeOperation::delete(&place.lock_path(operation.path()), -1))
    }
}

/// What must be so before an operation on a znode that exists.
fn condition(operation: &ZnodeOperation) -> Option<ZnodeOperation> {
    match operation {
        ZnodeOperation::Create { .. } => None,
        ZnodeOperation::SetData { path, version, .. }
        | ZnodeOperation::Delete { path, version }
        | ZnodeOperation::Check { path, version } => Some(ZnodeOperation::check(path, *version)),
    }
}

impl Znodes {
    /// Executes what is staged, and removes branch and locks with it.
    ///
    /// What was prepared has to be possible. Where somebody who does not heed the locks has made it
    /// impossible, the operation is changed so that the znode becomes what the branch wants.
    pub(super) async fn execute(&self, branch: &BranchId, staged: Staged) -> Finish {
        let removal = staged.removal(self, branch).0;
        let mut operations = staged.operations;
        let mut evidence = Vec::new();
        // Each operation needs two changes at most.
        for _ in 0..=2 * operations.len() {
            let batch = Batch(removal.iter().chain(&operations).cloned().collect());
            let (index, code, path) = match self.multi(&batch.operations()).await {
                Ok(()) => return done(&evidence),
                Err(Failure::Refused { index, code, path }) => (index, code, path),
                Err(failure) => return failure.into(),
            };
            let Some(index) = index.checked_sub(removal.len()) else { return self.look(branch).await };
            let why = code.map_or_else(|| "an unknown error".to_owned(), |code| code.to_string());
            evidence.push(format!("{path}: {why}"));
            if code == Some(ErrorCode::NoNode) && matches!(operations[index], ZnodeOperation::Create { .. }) {
                self.make_parent(&path).await;
                continue;
            }
            match forced(&operations[index], code) {
                Some(operation) => operations[index] = operation,
                None => drop(operations.remove(index)),
            }
        }
        Finish::Refused(evidence.join("; "))
    }

    /// Creates a znode of the participant's own.
    fn keep(&self, path: String, data: &[u8]) -> ZnodeOperation {
        ZnodeOperation::Create { path, data: data.to_vec(), acl: self.client.acl().to_vec() }
    }

    async fn make_parent(&self, path: &str) {
        if let Some(end @ 1..) = path.rfind('/') {
            // Without it the next attempt fails as this one did.
            let _refused = self.client.create_all(&path[..end], self.client.acl()).await;
        }
    }
}

fn done(evidence: &[String]) -> Finish {
    match evidence {
        [] => Finish::Done,
        _ => {
            let evidence = format!("somebody else has changed what was locked: {}", evidence.join("; "));
            Finish::Heuristic(Heuristic { ending: Ending::Overwrote, evidence })
        }
    }
}

/// What comes nearest to an operation that was refused; `None` if nothing does.
fn forced(operation: &ZnodeOperation, code: Option<ErrorCode>) -> Option<ZnodeOperation> {
    match (operation, code) {
        (ZnodeOperation::Create { path, data, .. }, Some(ErrorCode::NodeExists)) => {
            Some(ZnodeOperation::set_data(path, data, -1))
        }
        (ZnodeOperation::SetData { path, data, .. }, Some(ErrorCode::BadVersion)) => {
            Some(ZnodeOperation::set_data(path, data, -1))
        }
        (ZnodeOperation::SetData { path, data, .. }, Some(ErrorCode::NoNode)) => {
            Some(ZnodeOperation::create(path, data))
        }
        (ZnodeOperation::Delete { path, version }, Some(ErrorCode::BadVersion)) if *version != -1 => {
            Some(ZnodeOperation::delete(path, -1))
        }
        // It is gone already, has children of somebody else, or was only to be as it was.
        _ => None,
    }
}

impl From<&ZnodeOperation> for Stored {
    fn from(operation: &ZnodeOperation) -> Self {
        match operation.clone() {
            ZnodeOperation::Create { path, data, acl } => {
                let acl = acl.into_iter().map(|entry| (entry.perms, entry.id.scheme, entry.id.id));
                Self::Create { path, data: BASE64.encode(data), acl: acl.collect() }
            }
            ZnodeOperation::SetData { path, data, version } => {
                Self::SetData { path, data: BASE64.encode(data), version }
            }
            ZnodeOperation::Delete { path, version } => Self::Delete { path, version },
            ZnodeOperation::Check { path, version } => Self::Check { path, version },
        }
    }
}

impl TryFrom<Stored> for ZnodeOperation {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let bytes = |data: String| BASE64.decode(data).map_err(|error| error.to_string());
        Ok(match stored {
            Stored::Create { path, data, acl } => {
                let acl = acl.into_iter().map(|(perms, scheme, id)| Acl::new(perms, scheme, id));
                Self::Create { path, data: bytes(data)?, acl: acl.collect() }
            }
            Stored::SetData { path, data, version } => Self::SetData { path, data: bytes(data)?, version },
            Stored::Delete { path, version } => Self::Delete { path, version },
            Stored::Check { path, version } => Self::Check { path, version },
        })
    }
}

/// A path as the name of one znode.
pub(super) fn escaped(path: &str) -> String {
    path.replace('%', "%25").replace('/', "%2F")
}

/// The path of a name.
pub(super) fn unescaped(name: &str) -> String {
    name.replace("%2F", "/").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let operations = vec![
            ZnodeOperation::create("/a", b"\0\xff"),
            ZnodeOperation::set_data("/b", b"", 3),
            ZnodeOperation::delete("/c", -1),
            ZnodeOperation::check("/d", 0),
        ];
        let staged = Staged::new(operations);
        assert_eq!(Staged::decode(&staged.encode()), Ok(staged));
        assert!(Staged::decode(b"{}").is_err());
    }

    #[test]
    fn names_of_locks_are_unique() {
        for path in ["/a/b", "/a%2Fb", "/%25", "/a b"] {
            assert_eq!(unescaped(&escaped(path)), path);
            assert!(!escaped(path).contains('/'));
        }
        assert_ne!(escaped("/a/b"), escaped("/a%2Fb"));
    }
}
