//! Why a command has no result, and how a script learns of it.

use client::Error;
use serde_json::{Value, json};
use wire::ErrorCode;

/// What failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused, or would have: exit code 1.
    Refused {
        /// Number of the error of the protocol.
        code: i32,
        /// Where, if it is about one znode.
        path: Option<String>,
        /// What to say instead of the general meaning of the code.
        message: Option<String>,
    },
    /// The command was not understood; nothing was sent: exit code 2.
    Usage(String),
    /// There is no session, or it was lost before the answer: exit code 3.
    Connection(String),
}

impl Failure {
    /// A refusal with the general meaning of its code.
    pub(crate) fn refused(code: ErrorCode, path: impl Into<Option<String>>) -> Self {
        Self::Refused { code: code as i32, path: path.into(), message: None }
    }

    /// A refusal with its own text.
    pub(crate) fn refused_because(code: ErrorCode, path: &str, message: impl Into<String>) -> Self {
        Self::Refused { code: code as i32, path: Some(path.to_owned()), message: Some(message.into()) }
    }

    /// The code of a refusal.
    pub(crate) fn code(&self) -> Option<ErrorCode> {
        if let Self::Refused { code, .. } = self { ErrorCode::from_i32(*code) } else { None }
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } => 1,
            Self::Usage(_) => 2,
            Self::Connection(_) => 3,
        }
    }

    /// The object printed for it under `--json`.
    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Refused { code, path, .. } => {
                let mut object = json!({ "error": name(*code), "code": code, "message": self.message() });
                if let Some(path) = path {
                    object["path"] = json!(path);
                }
                object
            }
            Self::Usage(message) => json!({ "error": "Usage", "message": message }),
            Self::Connection(message) => json!({
                "error": ErrorCode::ConnectionLoss.name(),
                "code": ErrorCode::ConnectionLoss as i32,
                "message": message,
            }),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Refused { message: Some(message), .. } => message.clone(),
            Self::Refused { code, .. } => meaning(*code).to_owned(),
            Self::Usage(message) | Self::Connection(message) => message.clone(),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { code, path, message } => {
                write!(f, "{}: {}", name(*code), self.message())?;
                match path {
                    Some(path) if message.is_none() => write!(f, ": {path}"),
                    _ => Ok(()),
                }
            }
            Self::Usage(message) => f.write_str(message),
            Self::Connection(message) => write!(f, "{}: {message}", ErrorCode::ConnectionLoss),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { code, path } => Self::Refused { code, path, message: None },
            Error::MultiRefused { code, path, .. } => Self::Refused { code, path: Some(path), message: None },
            // What can be done about either is the same.
            Error::SessionExpired | Error::AuthFailed => Self::refused(ErrorCode::SessionExpired, None),
            error => Self::Connection(error.to_string()),
        }
    }
}

/// ZooKeeper's name of a code; of one it does not know the number.
pub(crate) fn name(code: i32) -> String {
    ErrorCode::from_i32(code).map_or_else(|| format!("Error{code}"), |code| code.name().to_owned())
}

/// A code as a sentence for the user.
fn meaning(code: i32) -> &'static str {
    match ErrorCode::from_i32(code) {
        Some(ErrorCode::NoNode) => "there is no such znode",
        Some(ErrorCode::NodeExists) => "there is such a znode already",
        Some(ErrorCode::NotEmpty) => "the znode has children",
        Some(ErrorCode::BadVersion) => "the version is another one",
        Some(ErrorCode::NoAuth) => "the ACL, or a grant, does not allow it",
        Some(ErrorCode::InvalidAcl) => "the ACL is empty or has an unacceptable entry",
        Some(ErrorCode::AuthFailed) => "the credentials or their scheme were refused",
        Some(ErrorCode::BadArguments) => "the server does not accept these arguments",
        Some(ErrorCode::NoChildrenForEphemerals) => "an ephemeral znode cannot have children",
        Some(ErrorCode::Unimplemented) => "the server does not have this operation, or it is switched off",
        Some(ErrorCode::ReconfigDisabled) => "changes of members are switched off (reconfigEnabled)",
        Some(ErrorCode::ReconfigInProgress) => "another change of members is under way",
        Some(ErrorCode::NewConfigNoQuorum) => "no quorum of the new members is up to date",
        Some(ErrorCode::NoWatcher) => "there is no such watch",
        Some(ErrorCode::QuotaExceeded) => "a hard quota would be exceeded",
        Some(ErrorCode::NotReadOnly) => "the server can only read at the moment",
        Some(ErrorCode::EphemeralOnLocalSession) => "a local session cannot own znodes",
        Some(ErrorCode::SessionExpired) => "the session has expired; 'connect' opens a new one",
        Some(ErrorCode::SessionMoved) => "the session lives on another connection now",
        Some(ErrorCode::SessionClosedRequireSaslAuth) => "the server demands SASL",
        Some(ErrorCode::ThrottledOp) => "the server was too busy for too long",
        Some(ErrorCode::MarshallingError) => "the server could not read the request",
        Some(ErrorCode::RuntimeInconsistency) => {
            "not executed, because another operation of the multi failed"
        }
        _ => "the server refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_code_and_path() {
        let failure = Failure::refused(ErrorCode::NoNode, Some("/a".to_owned()));
        assert_eq!(failure.to_string(), "NoNode: there is no such znode: /a");
        let json = failure.json();
        assert_eq!(
            (&json["error"], &json["code"], &json["path"]),
            (&json!("NoNode"), &json!(-101), &json!("/a"))
        );
        let unknown = Failure::Refused { code: -999, path: None, message: None };
        assert_eq!(unknown.json()["error"], "Error-999");
    }

    #[test]
    fn every_kind_has_its_exit_code() {
        assert_eq!(Failure::refused(ErrorCode::NoAuth, None).exit_code(), 1);
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::Connection(String::new()).exit_code(), 3);
    }
}
