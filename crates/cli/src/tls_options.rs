//! The options of commands that connect to servers with TLS.

use std::path::PathBuf;

use clap::Args;
use client::{ClientSettings, Secret, SettingsError, StoreFile, Tls};

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
}

impl TlsArgs {
    /// Whether connections use TLS.
    pub(crate) fn is_wanted(&self) -> bool {
        self.ca.is_some()
    }

    /// TLS as the options want it; `None` without --ca.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(crate) fn read(&self) -> Result<Option<Tls>, SettingsError> {
        let Some(ca) = &self.ca else { return Ok(None) };
        let store = |path: &PathBuf| StoreFile {
            path: path.clone(),
            password: Secret::default(),
            password_path: self.tls_password_file.clone(),
        };
        let settings = ClientSettings {
            key_store: self.cert.as_ref().map(store),
            private_key: self.key.clone(),
            checks_host: !self.any_host,
            ..ClientSettings::trusting(store(ca))
        };
        Tls::new(&settings).map(Some)
    }
}
