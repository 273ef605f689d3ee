//! Errors, classified by what the caller can do about them.

use std::io;
use std::net::SocketAddr;
use wire::{ErrorCode, Malformed};

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server's name could not be resolved.
    #[error("cannot resolve the address of the server")]
    Resolve(#[source] io::Error),
    /// The server cannot be reached; this is the last address tried.
    #[error("cannot connect to {address}")]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The server closed the connection instead of answering the handshake. Servers do so when the
    /// client has seen changes they have not, when they are full, and when they have no quorum.
    #[error("the server closed the connection during the handshake")]
    Refused,
    /// The handshake failed midway.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    /// The answer does not follow the protocol.
    #[error("the answer to the handshake is malformed")]
    Malformed(#[from] Malformed),
    /// The session to resume no longer exists, or its password is wrong.
    #[error("the session has expired")]
    SessionExpired,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server refused the request. The connection remains usable.
    #[error("{0}")]
    Refused(ErrorCode),
    /// The server refused the request with a code that ZooKeeper 3.9 does not define. The
    /// connection remains usable.
    #[error("unknown error {0}")]
    RefusedUnknown(i32),
    /// No answer within [`Options::reply_timeout`](crate::Options::reply_timeout). The answer may
    /// still arrive and would be taken for that of a later request, so the connection must be
    /// dropped.
    #[error("no answer in time")]
    Timeout,
    /// The server closed the connection. Whether it executed the request is unknown.
    #[error("the server closed the connection")]
    Closed,
    /// The connection was lost. Whether the server executed the request is unknown.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    /// The reply does not follow the protocol. The connection must be dropped.
    #[error("the reply is malformed")]
    Malformed(#[from] Malformed),
    /// The reply is longer than [`Options::reply_bytes_max`](crate::Options::reply_bytes_max), or
    /// its length is negative. The connection must be dropped.
    #[error("a reply of {0} bytes is not acceptable")]
    ReplyLength(i32),
    /// A reply to a request other than the next one due. The connection must be dropped.
    #[error("a reply to request {actual} instead of {expected}")]
    OutOfTurn {
        /// The number of the request whose reply was due.
        expected: i32,
        /// The number in the reply.
        actual: i32,
    },
}

impl RequestError {
    /// The error in a reply header, if any.
    pub(crate) fn refusal(code: i32) -> Option<Self> {
        match ErrorCode::from_i32(code) {
            Some(ErrorCode::Ok) => None,
            Some(code) => Some(Self::Refused(code)),
            None => Some(Self::RefusedUnknown(code)),
        }
    }

    /// The code, if the server refused the request with a known code.
    pub fn code(&self) -> Option<ErrorCode> {
        if let Self::Refused(code) = self { Some(*code) } else { None }
    }
}

impl From<io::Error> for RequestError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            // A read that times out is `WouldBlock` on Unix.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Lost(error),
        }
    }
}
