//! Why a configuration cannot be read or changed.

use std::ops::RangeInclusive;

use client::ErrorCode;

/// Why a configuration cannot be read or changed. After all errors but a lost answer
/// ([`client::Error::may_have_been_executed`]) nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session has failed, or the server has refused an operation.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Somebody else has changed the configuration.
    #[error("the configuration has revision {current}, not {expected}")]
    Conflict {
        /// The revision that the change was for.
        expected: u64,
        /// The revision that the configuration has.
        current: u64,
    },
    /// Changes by others came before this one each time.
    #[error("others have changed the configuration each of {attempts} times that this change was tried")]
    Busy {
        /// How often it was tried.
        attempts: usize,
    },
    /// Values that the schema does not allow.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// There is no such key.
    #[error("there is no key {key}")]
    Missing {
        /// The key.
        key: String,
    },
    /// A value is not what the caller wants to read.
    #[error("{key} is {value:?}: {why}")]
    Unreadable {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What was expected.
        why: String,
    },
    /// What would be sent is longer than a server takes.
    #[error("{what} would take {bytes} bytes; a server takes at most {bytes_max}")]
    TooLarge {
        /// What is too long.
        what: String,
        /// How long it is, at least.
        bytes: usize,
        /// How long it may be.
        bytes_max: usize,
    },
    /// The history does not reach back to that revision, or does not have it yet.
    #[error("revision {revision} is not kept; those from {} to {} are", .kept.start(), .kept.end())]
    NotKept {
        /// The revision.
        revision: u64,
        /// What can be asked for.
        kept: RangeInclusive<u64>,
    },
    /// A rollout is under way and prevents the change, or there is no rollout, or it does not fit
    /// the values any more.
    #[error("{0}")]
    Rollout(String),
    /// An argument makes no sense.
    #[error("{what}: {why}")]
    Argument {
        /// Which one.
        what: String,
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

/// A value that a schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: String,
    /// Its value; `None` if it is missing.
    pub value: Option<String>,
    /// What is allowed.
    pub allowed: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} cannot be {value:?}: {}", self.key, self.allowed),
            None => write!(f, "{} is missing: {}", self.key, self.allowed),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

impl Error {
    /// ZooKeeper's code, if a server or the session is the reason.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Client(error) => error.code(),
            _ => None,
        }
    }

    pub(super) fn argument(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Argument { what: what.into(), why: why.into() }
    }

    pub(super) fn foreign(path: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Foreign { path: path.into(), why: why.to_string() }
    }
}
