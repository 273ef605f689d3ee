//! Why a recipe has failed.

use client::ErrorCode;

/// Why a recipe has failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session has failed, or the server has refused an operation.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The znode of this participant is gone although its session goes on: somebody else has
    /// deleted it.
    #[error("{path} was deleted by another client")]
    Deleted {
        /// The znode.
        path: String,
    },
    /// An argument makes no sense.
    #[error("{what}: {why}")]
    Argument {
        /// Which one.
        what: &'static str,
        /// What is allowed.
        why: String,
    },
    /// A znode holds something that this recipe has not written.
    #[error("the data of {path} is not what it should be: {why}")]
    Foreign {
        /// The znode.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    /// ZooKeeper's code, if a server or the session is the reason.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Client(error) => error.code(),
            _ => None,
        }
    }
}
