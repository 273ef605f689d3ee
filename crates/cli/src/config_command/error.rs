//! Why a command has failed, and its exit code.

use std::io;
use std::path::PathBuf;

use recipes::config;

use crate::session_options::SessionError;

/// Why a command has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{}", .path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: {why}", .path.display())]
    Content { path: PathBuf, why: String },
    #[error("{0}")]
    Template(String),
    #[error("the check of {} failed: {why}; the file stays as it was", .target.display())]
    Check { target: PathBuf, why: String },
    #[error("the reload command failed: {0}")]
    Reload(String),
}

impl CommandError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(config::Error::Missing { .. } | config::Error::NotKept { .. }) => 3,
            Self::Config(
                config::Error::Invalid(_)
                | config::Error::TooLarge { .. }
                | config::Error::Rollout(_)
                | config::Error::Argument { .. },
            )
            | Self::Content { .. }
            | Self::Template(_)
            | Self::Check { .. } => 4,
            Self::Config(config::Error::Conflict { .. } | config::Error::Busy { .. }) => 5,
            Self::Reload(_) => 6,
            _ => 1,
        }
    }

    pub(super) fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}
