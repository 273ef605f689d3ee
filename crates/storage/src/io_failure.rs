//! A refused operation on a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file system refused an operation.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: cannot {action}", path.display())]
pub struct IoFailure {
    /// File or directory.
    pub path: PathBuf,
    /// What was attempted.
    pub action: &'static str,
    /// The operating system's error.
    #[source]
    pub source: Arc<io::Error>,
}

impl IoFailure {
    /// Describes an error of the operating system.
    pub fn new(path: &Path, action: &'static str, source: io::Error) -> IoFailure {
        IoFailure { path: path.to_owned(), action, source: Arc::new(source) }
    }

    /// The same for [`Result::map_err`].
    pub fn of(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> IoFailure {
        move |source| IoFailure::new(path, action, source)
    }
}
