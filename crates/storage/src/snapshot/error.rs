//! What can go wrong with a snapshot.

use std::io;
use std::path::{Path, PathBuf};

/// A snapshot cannot be written, read or removed. A failed writer leaves no snapshot; a failed reader's bytes must all be
/// dropped. An older snapshot may serve instead if the log still holds all entries after it.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refused an operation. A disk that is full shows as `StorageFull`; what is already there is not touched.
    #[error("{}: cannot {action} the snapshot", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what was written.
    #[error(
        "{}: the snapshot is damaged at byte {offset}: {what}. It cannot be used; an older snapshot can if the log still \
         reaches back to it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged part starts.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// Written by a program with another format.
    #[error(
        "{}: the snapshot's format version is {version}, and this program knows only version 1; start the version that \
         wrote it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// A snapshot does not arrive. What this member had before is not touched; the part that came is removed, and the snapshot can be
/// asked for again, of this member or another.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// The file system refused an operation. A disk that is full shows as `StorageFull`.
    #[error("{}: cannot {action} the snapshot that another member sends; what came of it is removed", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It is longer than this member accepts. Nothing was written.
    #[error("{}: another member announces a snapshot of {len} bytes, and at most {max} are accepted", path.display())]
    TooLong {
        /// The file that would have been written.
        path: PathBuf,
        /// Bytes announced.
        len: u64,
        /// Bytes accepted.
        max: u64,
    },
    /// A chunk is not the next one. It was not taken.
    #[error("{}: a chunk for byte {offset} came where byte {expected} is the next", path.display())]
    OutOfOrder {
        /// The file.
        path: PathBuf,
        /// Where the next chunk starts.
        expected: u64,
        /// Where this one does.
        offset: u64,
    },
    /// A chunk is longer than what is left. It was not taken.
    #[error("{}: a chunk of {bytes} bytes for byte {offset} goes beyond the announced {len} bytes", path.display())]
    Beyond {
        /// The file.
        path: PathBuf,
        /// Where the chunk starts.
        offset: u64,
        /// Its length.
        bytes: usize,
        /// Length of the snapshot as announced.
        len: u64,
    },
    /// It was to be finished before all of it had come.
    #[error("{}: only {written} of {len} bytes have come", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Bytes that came.
        written: u64,
        /// Bytes announced.
        len: u64,
    },
    /// What came is not a snapshot of that name: it was damaged on its way, on this disk or on the sender's.
    #[error(
        "{}: the snapshot that another member sent is damaged at byte {offset}: {what}. It is removed; if another attempt ends in \
         the same way, the sender's own file is damaged",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged part starts.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The sender writes another format.
    #[error(
        "{}: another member sent a snapshot of format version {version}, and this program knows only version 1; it is removed. Start \
         the sender's version here",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// An earlier operation on it failed.
    #[error("{}: receiving the snapshot has failed before; it must be started anew", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
    },
}

impl From<SnapshotError> for IncomingError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Io { path, action, source } => Self::Io { path, action, source },
            SnapshotError::Damaged { path, offset, what } => Self::Damaged { path, offset, what },
            SnapshotError::Version { path, version } => Self::Version { path, version },
        }
    }
}

pub(super) fn failed(path: &Path, action: &'static str, source: io::Error) -> SnapshotError {
    SnapshotError::Io { path: path.to_owned(), action, source }
}
