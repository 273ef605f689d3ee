//! Errors of snapshots.

use crate::io_failure::IoFailure;
use std::path::PathBuf;

/// A snapshot cannot be written, read or removed. A failed writer leaves no snapshot; the bytes
/// read by a failed reader must all be discarded. An older snapshot can be used instead if the log
/// still holds all entries after it.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refused an operation. A full disk gives `StorageFull`; existing files are
    /// unaffected.
    #[error("{0} the snapshot")]
    Io(#[from] IoFailure),
    /// The file is damaged.
    #[error(
        "{}: the snapshot is damaged at byte {offset}: {what}. It cannot be used; an older one can if the log still \
         reaches back to it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Start of the damaged part.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A program with another format wrote it.
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

/// A snapshot cannot be received. This member's existing files are unaffected; the part received is
/// removed, and the snapshot can be requested again, from the same or another member.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// The file system refused an operation. A full disk gives `StorageFull`.
    #[error("{0} the snapshot that another member sends; the part received is removed")]
    Io(#[from] IoFailure),
    /// It exceeds the length this member accepts. Nothing was written.
    #[error("{}: another member announces a snapshot of {len} bytes; at most {max} are accepted", path.display())]
    TooLong {
        /// The file that would have been written.
        path: PathBuf,
        /// Bytes announced.
        len: u64,
        /// Bytes accepted.
        max: u64,
    },
    /// A chunk is not the next one. It was rejected.
    #[error("{}: received a chunk for byte {offset}, expected byte {expected}", path.display())]
    OutOfOrder {
        /// The file.
        path: PathBuf,
        /// Where the next chunk starts.
        expected: u64,
        /// Where this chunk starts.
        offset: u64,
    },
    /// A chunk exceeds the announced length. It was rejected.
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
    /// `finish` was called before everything was received.
    #[error("{}: only {written} of {len} bytes were received", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Bytes received.
        written: u64,
        /// Bytes announced.
        len: u64,
    },
    /// The received bytes are not a snapshot of that name: they were damaged in transit, on this
    /// disk or on the sender's.
    #[error(
        "{}: the snapshot that another member sent is damaged at byte {offset}: {what}. It is removed; if another attempt ends in \
         the same way, the sender's own file is damaged",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Start of the damaged part.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The sender uses another format.
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
    #[error("{}: receiving the snapshot failed earlier; start again", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
    },
}

impl From<SnapshotError> for IncomingError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Io(failure) => Self::Io(failure),
            SnapshotError::Damaged { path, offset, what } => Self::Damaged { path, offset, what },
            SnapshotError::Version { path, version } => Self::Version { path, version },
        }
    }
}
