//! The options of commands that connect to servers with TLS.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use client::{ClientSettings, Secret, SettingsError, StoreFile, Tls};

use crate::client_configuration::{self, Configuration, ConfigurationError};

/// TLS towards the servers.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TlsArgs {
    /// Connect with TLS; --ca alone does so too.
    #[arg(long, requires = "ca", help_heading = "TLS")]
    tls: bool,
    /// Connect with TLS, and trust the certificates of this file: PEM, PKCS12 or JKS.
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    ca: Option<PathBuf>,
    /// The client's certificate, with its key unless --key is given: PEM, PKCS12 or JKS.
    #[arg(long, value_name = "FILE", requires = "ca", help_heading = "TLS")]
    cert: Option<PathBuf>,
    /// The key of --cert, as PEM.
    #[arg(long, value_name = "FILE", requires = "cert", help_heading = "TLS")]
    key: Option<PathBuf>,
    /// A file with the password of the files above, if they have one.
    #[arg(long, value_name = "FILE", requires = "ca", help_heading = "TLS")]
    tls_password_file: Option<PathBuf>,
    /// Accept a certificate that the --ca trusts for any host.
    #[arg(long, requires = "ca", help_heading = "TLS")]
    any_host: bool,
    /// Connect as this configuration file of ZooKeeper's client says: zookeeper.client.secure and
    /// the keys zookeeper.ssl.*. Others have no effect.
    #[arg(long, value_name = "FILE", conflicts_with = "ca", help_heading = "TLS")]
    client_configuration: Option<PathBuf>,
}

/// Why there is no connection with TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The configuration file cannot be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// One of the files that it or an option names cannot.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// TLS that trusts the certificates of this file, and shows none.
///
/// # Errors
/// The file cannot be used.
pub(crate) fn trusting(ca: &Path) -> Result<Tls, TlsError> {
    let store = StoreFile { path: ca.to_owned(), password: Secret::default(), password_path: None };
    Ok(Tls::new(&ClientSettings::trusting(store))?)
}

impl TlsArgs {
    /// Whether one of the options says how connections use TLS.
    pub(crate) fn is_wanted(&self) -> bool {
        self.ca.is_some() || self.client_configuration.is_some()
    }

    /// TLS as the options want it; `None` for connections without. A configuration file that has
    /// settings of TLS and does not ask for it is worth a warning on standard error.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(crate) fn read(&self) -> Result<Option<Tls>, TlsError> {
        let settings = match (&self.ca, &self.client_configuration) {
            (Some(ca), _) => Some(self.settings(ca)),
            (None, Some(path)) => {
                let Configuration { tls, has_idle_tls } = client_configuration::read(path)?;
                if has_idle_tls {
                    let text = "zookeeper.client.secure is not true: the connection has no TLS";
                    // The reader of our errors may be gone.
                    let _ = writeln!(std::io::stderr(), "ostler: {}: {text}", path.display());
                }
                tls
            }
            (None, None) => None,
        };
        Ok(settings.map(|settings| Tls::new(&settings)).transpose()?)
    }

    fn settings(&self, ca: &PathBuf) -> ClientSettings {
        let store = |path: &PathBuf| StoreFile {
            path: path.clone(),
            password: Secret::default(),
            password_path: self.tls_password_file.clone(),
        };
        ClientSettings {
            key_store: self.cert.as_ref().map(store),
            private_key: self.key.clone(),
            checks_host: !self.any_host,
            ..ClientSettings::trusting(store(ca))
        }
    }
}
