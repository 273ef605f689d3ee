//! Result codes of requests.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// A result code of the protocol. A reply with any code but [`ErrorCode::Ok`] has no body.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ErrorCode {
            /// Every code, in descending order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code with this number, if there is one.
            pub const fn from_i32(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// ZooKeeper's name of the code.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    /// Success.
    Ok = 0, "Ok";
    /// A fault of the server that no other code describes.
    SystemError = -1, "SystemError";
    /// In a failed multi: the operation comes after the one that failed.
    RuntimeInconsistency = -2, "RuntimeInconsistency";
    /// The server's data contradict each other.
    DataInconsistency = -3, "DataInconsistency";
    /// The client lost its connection and cannot know the outcome. Never sent.
    ConnectionLoss = -4, "ConnectionLoss";
    /// A record could not be decoded.
    MarshallingError = -5, "MarshallingError";
    /// The operation is unknown or disabled.
    Unimplemented = -6, "Unimplemented";
    /// The client waited too long. Never sent.
    OperationTimeout = -7, "OperationTimeout";
    /// A path, flag or number is not acceptable.
    BadArguments = -8, "BadArguments";
    /// Internal to a server.
    UnknownSession = -12, "UnknownSession";
    /// No quorum of the new members is up to date.
    NewConfigNoQuorum = -13, "NewConfigNoQuorum";
    /// Another reconfiguration is in progress.
    ReconfigInProgress = -14, "ReconfigInProgress";
    /// A refusal that no other code describes; also the boundary between system errors (above) and
    /// API errors (below).
    ApiError = -100, "APIError";
    /// The znode does not exist.
    NoNode = -101, "NoNode";
    /// The ACL does not permit the operation.
    NoAuth = -102, "NoAuth";
    /// The version is not the expected one.
    BadVersion = -103, "BadVersion";
    /// The parent is ephemeral.
    NoChildrenForEphemerals = -108, "NoChildrenForEphemerals";
    /// The znode exists already.
    NodeExists = -110, "NodeExists";
    /// The znode has children.
    NotEmpty = -111, "NotEmpty";
    /// The session has expired.
    SessionExpired = -112, "SessionExpired";
    /// The client misused its own API. Never sent.
    InvalidCallback = -113, "InvalidCallback";
    /// The ACL is empty or has an unacceptable entry.
    InvalidAcl = -114, "InvalidACL";
    /// The credentials are wrong or their scheme is unknown.
    AuthFailed = -115, "AuthFailed";
    /// The session has moved to another connection.
    SessionMoved = -118, "SessionMoved";
    /// The server is in read-only mode.
    NotReadOnly = -119, "NotReadOnly";
    /// A local session cannot own znodes.
    EphemeralOnLocalSession = -120, "EphemeralOnLocalSession";
    /// The watch does not exist.
    NoWatcher = -121, "NoWatcher";
    /// The client's own time limit for a request expired. Never sent.
    RequestTimeout = -122, "RequestTimeout";
    /// Reconfiguration is disabled.
    ReconfigDisabled = -123, "ReconfigDisabled";
    /// The server requires SASL and closes the connection.
    SessionClosedRequireSaslAuth = -124, "SessionClosedRequireSaslAuth";
    /// A hard quota would be exceeded.
    QuotaExceeded = -125, "QuotaExceeded";
    /// The server was overloaded for too long.
    ThrottledOp = -127, "ThrottledOp";
}

impl From<ErrorCode> for i32 {
    #[inline]
    fn from(code: ErrorCode) -> i32 {
        code as i32
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for ErrorCode {}
