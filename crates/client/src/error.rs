//! What can go wrong, for the one who has to decide what to do about it.

use std::io;
use std::net::SocketAddr;
use wire::{ErrorCode, Malformed};

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name of the server could not be turned into an address.
    #[error("cannot resolve the address of the server")]
    Resolve(#[source] io::Error),
    /// Nobody answers there; the last address that was tried.
    #[error("cannot connect to {address}")]
    Unreachable {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The server closed the connection instead of answering the handshake. Servers do so to a client that has seen
    /// changes they have not, when they are full, and when they have no quorum.
    #[error("the server closed the connection during the handshake")]
    Refused,
    /// The handshake failed half-way.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
    /// The server answered, but not as a server of this protocol.
    #[error("the answer to the handshake cannot be understood")]
    Malformed(#[from] Malformed),
    /// The session to resume does not exist any more, or its password is wrong.
    #[error("the session has expired")]
    SessionExpired,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server refused it. The connection goes on.
    #[error("{0}")]
    Refused(ErrorCode),
    /// The server refused it with a number that ZooKeeper 3.9 does not know. The connection goes on.
    #[error("error {0}, which is not a known one")]
    RefusedUnknown(i32),
    /// No answer within [`Options::reply_timeout`](crate::Options::reply_timeout). The answer may still come and would
    /// be taken for that of a later request, so the connection has to be given up.
    #[error("no answer in time")]
    Timeout,
    /// The server closed the connection. Whether it executed the request is unknown.
    #[error("the server closed the connection")]
    Closed,
    /// The connection was lost. Whether the server executed the request is unknown.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    /// The reply is not what the protocol says. The connection has to be given up.
    #[error("the reply cannot be understood")]
    Malformed(#[from] Malformed),
    /// The reply is longer than [`Options::reply_bytes_max`](crate::Options::reply_bytes_max), or its length is
    /// negative. The connection has to be given up.
    #[error("a reply of {0} bytes is not acceptable")]
    ReplyLength(i32),
    /// A reply to another request than the one whose turn it is. The connection has to be given up.
    #[error("a reply to request {actual} instead of {expected}")]
    OutOfTurn {
        /// The number of the request whose reply was due.
        expected: i32,
        /// The number in the reply.
        actual: i32,
    },
}

impl RequestError {
    /// The refusal in a reply header, if it is one.
    pub(crate) fn refusal(code: i32) -> Option<Self> {
        match ErrorCode::from_i32(code) {
            Some(ErrorCode::Ok) => None,
            Some(code) => Some(Self::Refused(code)),
            None => Some(Self::RefusedUnknown(code)),
        }
    }

    /// The code, if the server refused the request with a known one.
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
