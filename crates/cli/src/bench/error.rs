//! Why there is no result at all. Errors of single operations are part of a result instead.

use client::{ConnectError, RequestError};
use std::io;

use crate::tls_options::TlsError;

/// Why a run cannot continue.
#[derive(Debug, thiserror::Error)]
pub(super) enum BenchError {
    /// Options that contradict each other or make no sense.
    #[error("{0}")]
    Args(String),
    /// The files of TLS cannot be used.
    #[error("TLS")]
    Tls(#[source] TlsError),
    /// No session.
    #[error("{server}")]
    Connect {
        server: String,
        #[source]
        source: ConnectError,
    },
    /// Preparing or cleaning up failed.
    #[error("{server}: {path}")]
    Request {
        server: String,
        path: String,
        #[source]
        source: RequestError,
    },
    /// Preparing many znodes failed.
    #[error("{server}: {count} of the znodes under {path} could not be created (error {code})")]
    Fill { server: String, path: String, count: u64, code: i32 },
    /// The figures of the server process cannot be read.
    #[error("process {pid}")]
    Process {
        pid: u32,
        #[source]
        source: io::Error,
    },
    /// The command could not be run.
    #[error("command {command:?}")]
    Command {
        command: String,
        #[source]
        source: io::Error,
    },
    /// The server to start is already running.
    #[error("{0} answers before the start command was run")]
    AlreadyStarted(String),
    /// The started server has ended, or did not answer in time.
    #[error("{0} does not answer after the start command")]
    NotStarted(String),
    /// Sockets or timers of the load generator itself.
    #[error("load generator")]
    Generator(#[source] io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}
