//! The options of commands that open a session.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use client::{Acl, ConnectString, Credentials, Settings, Tls, acl};

use crate::shell::acl::parse;
use crate::tls_options::{TlsArgs, TlsError};

/// Which servers, and how to connect.
#[derive(Args, Clone, Debug)]
pub(crate) struct SessionArgs {
    /// Servers, and the znode that becomes the root.
    #[arg(short, long, value_name = "HOST:PORT[,…][/CHROOT]", default_value = "127.0.0.1:2181")]
    pub(crate) server: ConnectString,
    /// Session timeout to ask for, in milliseconds: how long a call waits for a server, and how
    /// long a crash of this process is not noticed.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 30_000,
        value_parser = clap::value_parser!(i32).range(1_000..)
    )]
    timeout: i32,
    /// A file with a line for each identity, its scheme and its credentials: digest alice:secret.
    #[arg(long, value_name = "FILE")]
    auth_file: Option<PathBuf>,
    /// The ACL of the znodes that this command creates, as the shell writes it: auth::cdrwa gives
    /// them to the identities of --auth-file. Existing ones keep theirs. [default:
    /// world:anyone:cdrwa]
    #[arg(long, value_name = "SCHEME:ID:PERMISSIONS[,…]", value_parser = entries)]
    acl: Option<AclOption>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// The entries of an ACL. The name keeps clap from taking each of them for a value of its own.
type AclOption = std::sync::Arc<Vec<Acl>>;

/// Why a command cannot open its session as its options say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// A file that an option of TLS names cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file of the credentials cannot be read.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line of that file is no identity. What it says stays secret.
    #[error("{path}, line {line}: this is no scheme and credentials, such as digest alice:secret")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
    },
}

impl SessionArgs {
    /// TLS as the options want it towards the servers.
    ///
    /// # Errors
    /// A file that an option names cannot be used.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, SessionError> {
        Ok(self.tls.read()?)
    }

    /// How to open a session.
    ///
    /// # Errors
    /// A file that an option names cannot be used.
    pub(crate) fn settings(&self) -> Result<Settings, SessionError> {
        Ok(Settings {
            timeout_ms: self.timeout,
            tls: self.tls()?,
            credentials: self.auth_file.as_deref().map(credentials).transpose()?.unwrap_or_default(),
            acl: self.acl.as_deref().cloned().unwrap_or_else(acl::open_acl),
            ..Settings::default()
        })
    }
}

fn entries(text: &str) -> Result<AclOption, String> {
    parse(text).map(AclOption::new).map_err(|failure| failure.to_string())
}

fn credentials(path: &Path) -> Result<Vec<Credentials>, SessionError> {
    let name = || path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| SessionError::File { path: name(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let identities = lines.map(|(index, line)| {
        let (scheme, auth) = line
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| SessionError::Line { path: name(), line: index + 1 })?;
        Ok(Credentials::new(scheme, auth.trim().as_bytes()))
    });
    identities.collect()
}

/// A duration as a number of seconds.
///
/// # Errors
/// What is wrong.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a number of seconds");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Credentials>, SessionError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        credentials(file.path())
    }

    #[test]
    fn each_line_is_an_identity() {
        let identities = read("digest alice:secret\n\n  sasl\tbob \n").unwrap();
        assert_eq!(
            identities,
            [Credentials::new("digest", b"alice:secret"), Credentials::new("sasl", b"bob")]
        );
    }

    #[test]
    fn a_line_that_is_no_identity_is_named_and_not_shown() {
        let error = read("digest alice:secret\nhunter2\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
    }
}
