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

pub(super) fn failed(path: &Path, action: &'static str, source: io::Error) -> SnapshotError {
    SnapshotError::Io { path: path.to_owned(), action, source }
}
