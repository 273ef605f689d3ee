//! The certificates by which the servers of databases are judged.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tls::rustls::ClientConfig;
use tls::{ClientSettings, Secret, StoreFile};

use crate::participant::Trouble;

/// A file of certificates, PEM or DER: a database is trusted whose certificate is signed by one of
/// them. It is read once, when this is made.
#[derive(Clone)]
pub struct DatabaseCa {
    path: PathBuf,
    bytes: Vec<u8>,
    /// TLS that trusts these certificates, if they also name the host.
    of_host: Arc<ClientConfig>,
    /// TLS that trusts these certificates, whomever they name.
    of_any_host: Arc<ClientConfig>,
}

impl DatabaseCa {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Trouble::Unfit`]: it cannot be read, or has no certificates.
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        let unfit = |error: &dyn fmt::Display| {
            Trouble::Unfit(format!("the certificates to trust, {}: {error}", path.display()))
        };
        let bytes = std::fs::read(path).map_err(|error| unfit(&error))?;
        let store = StoreFile { path: path.to_owned(), password: Secret::default(), password_path: None };
        let settings = ClientSettings::trusting(store);
        let of_host = settings.build().map_err(|error| unfit(&error))?;
        let of_any_host = ClientSettings { checks_host: false, ..settings }.build();
        let of_any_host = of_any_host.map_err(|error| unfit(&error))?;
        Ok(Self { path: path.to_owned(), bytes, of_host, of_any_host })
    }

    /// Where it was.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// TLS that trusts these certificates; `checks_host` says whether a certificate must also name
    /// the host.
    pub(crate) fn configuration(&self, checks_host: bool) -> Arc<ClientConfig> {
        Arc::clone(if checks_host { &self.of_host } else { &self.of_any_host })
    }
}

impl fmt::Debug for DatabaseCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseCa").field(&self.path).finish()
    }
}
