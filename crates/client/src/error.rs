//! Errors, classified by what the caller can do about them.

use std::io;
use std::net::SocketAddr;
use wire::{ErrorCode, Malformed};

/// Why a call on a [`Session`](crate::Session) has no result.
///
/// After the errors that [`Self::may_have_been_executed`] names, a write may or may not have
/// happened; after all others it has not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused the request, or the client did so in its name. The session continues.
    #[error("{}{}", name_of(*code), behind(path.as_deref()))]
    Refused {
        /// The number of the error; [`Error::code`] translates it.
        code: i32,
        /// The path of the call, if it is about one znode.
        path: Option<String>,
    },
    /// One operation of a multi was refused, so none was executed. The session continues.
    #[error("operation {index} of the multi: {}: {path}", name_of(*code))]
    MultiRefused {
        /// The position of the operation, counted from 0.
        index: usize,
        /// The number of the error; [`Error::code`] translates it.
        code: i32,
        /// The path of the operation.
        path: String,
    },
    /// The connection was lost before the answer came: whether the request was executed is unknown.
    /// The session reconnects by itself.
    #[error("the connection was lost before the answer to {operation} came")]
    ConnectionLoss {
        /// ZooKeeper's name of the operation.
        operation: &'static str,
    },
    /// No server was connected for as long as a call waits for one, so the request was not sent.
    /// The session keeps looking for a server.
    #[error("no server could be reached for {waited_ms} ms")]
    Unreachable {
        /// How long the call has waited, in milliseconds.
        waited_ms: u64,
    },
    /// No server accepted the connection when the session was opened.
    #[error("{}", reasons(.0))]
    NoServer(
        /// Each server with the reason why not.
        Vec<(String, ConnectError)>,
    ),
    /// The session has expired: its ephemeral znodes and watches are gone. It cannot be used again.
    #[error("the session has expired")]
    SessionExpired,
    /// A server refused credentials that an earlier one had accepted, so the session was given up.
    /// It cannot be used again, and expires. Credentials that are refused when they are first
    /// given are [`Self::Refused`].
    #[error("the server refused the credentials of the session")]
    AuthFailed,
    /// The session was closed by this client.
    #[error("the session was closed")]
    Closed,
    /// The reply does not follow the protocol.
    #[error("the reply to {operation} is malformed: {error}")]
    Malformed {
        /// ZooKeeper's name of the operation.
        operation: &'static str,
        /// What is wrong.
        error: Malformed,
    },
    /// The system has no thread for the session.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl Error {
    /// The error as ZooKeeper's code, if there is one. Both errors after which there is no
    /// connection, and [`Self::NoServer`], are [`ErrorCode::ConnectionLoss`].
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } | Self::MultiRefused { code, .. } => ErrorCode::from_i32(*code),
            Self::ConnectionLoss { .. } | Self::Unreachable { .. } | Self::NoServer(_) => {
                Some(ErrorCode::ConnectionLoss)
            }
            Self::SessionExpired => Some(ErrorCode::SessionExpired),
            Self::AuthFailed => Some(ErrorCode::AuthFailed),
            Self::Closed | Self::Malformed { .. } | Self::Thread(_) => None,
        }
    }

    /// What has become of the request, as far as the client can know.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::ConnectionLoss { .. } => Outcome::Unknown,
            // Only the body of a reply without error is decoded.
            Self::Malformed { .. } => Outcome::Done,
            _ => Outcome::NotDone,
        }
    }

    /// Whether the server has executed the request, or may have.
    pub fn may_have_been_executed(&self) -> bool {
        self.outcome() != Outcome::NotDone
    }
}

/// What has become of a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not executed.
    NotDone,
    /// It was executed; only its answer is not understood.
    Done,
    /// It may have been executed.
    Unknown,
}

/// ZooKeeper's name of a code; of an unknown one its number.
fn name_of(code: i32) -> String {
    ErrorCode::from_i32(code).map_or_else(|| format!("Error{code}"), |code| code.name().to_owned())
}

fn behind(path: Option<&str>) -> String {
    path.map_or_else(String::new, |path| format!(": {path}"))
}

fn reasons(servers: &[(String, ConnectError)]) -> String {
    let each = servers.iter().map(|(server, error)| format!("{server}: {}", chain(error)));
    each.collect::<Vec<_>>().join("; ")
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

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
    /// The handshake of TLS failed: one side refused the other's certificate, or the server speaks
    /// no TLS on this port.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_whether_it_may_have_happened() {
        let refused = Error::Refused { code: ErrorCode::NoNode as i32, path: Some("/a".to_owned()) };
        assert_eq!((refused.to_string().as_str(), refused.code()), ("NoNode: /a", Some(ErrorCode::NoNode)));
        let unknown = Error::Refused { code: -999, path: None };
        assert_eq!((unknown.to_string().as_str(), unknown.code()), ("Error-999", None));
        let lost = Error::ConnectionLoss { operation: "create" };
        let unsent = Error::Unreachable { waited_ms: 5 };
        assert_eq!((lost.code(), lost.code()), (Some(ErrorCode::ConnectionLoss), unsent.code()));
        assert!(lost.may_have_been_executed() && !unsent.may_have_been_executed());
        let source = io::Error::other("no route");
        let servers = vec![
            ("a:1".to_owned(), ConnectError::Refused),
            ("b:1".to_owned(), ConnectError::Resolve(source)),
        ];
        assert_eq!(
            Error::NoServer(servers).to_string(),
            "a:1: the server closed the connection during the handshake; \
             b:1: cannot resolve the address of the server: no route"
        );
    }
}
