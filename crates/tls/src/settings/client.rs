//! The client's side.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::sign::SingleCertAndKey;

use super::files::read;
use super::{CipherSuites, Protocols, SettingsError, StoreFile, certified_key, trust_store};
use crate::verifier::ServerVerifier;

/// What a client's TLS is made of. Building a configuration reads the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// The certificates by which servers are judged.
    pub trust_store: StoreFile,
    /// The client's certificate, and its key unless `private_key` is given; `None`: it shows none.
    pub key_store: Option<StoreFile>,
    /// A file with the key, if `key_store` is a PEM file without it.
    pub private_key: Option<PathBuf>,
    /// Whether a server's certificate must be that of the host that was asked for.
    pub checks_host: bool,
    /// The versions of TLS.
    pub protocols: Protocols,
    /// The cipher suites.
    pub cipher_suites: CipherSuites,
}

impl ClientSettings {
    /// A client that trusts the certificates of `trust_store`, checks the host, shows no
    /// certificate and speaks everything that there is.
    pub fn trusting(trust_store: StoreFile) -> ClientSettings {
        ClientSettings {
            trust_store,
            key_store: None,
            private_key: None,
            checks_host: true,
            protocols: Protocols::default(),
            cipher_suites: CipherSuites::default(),
        }
    }

    /// Reads the files and builds a configuration. Certificates are judged by the rules of Java.
    ///
    /// # Errors
    /// A file cannot be used. The message names it.
    pub fn build(&self) -> Result<Arc<ClientConfig>, SettingsError> {
        let provider = Arc::new(self.cipher_suites.provider());
        let algorithms = provider.signature_verification_algorithms;
        let store = &self.trust_store;
        let trusted = crate::store::trusted(&read(&store.path)?, &store.password()?)
            .map_err(|source| store.refused(source))?;
        let trust = trust_store(store, trusted, None, algorithms)?;
        let verifier = ServerVerifier::new(trust, self.checks_host, algorithms);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder
            .with_protocol_versions(&self.protocols.versions())
            .map_err(SettingsError::Rustls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some(store) = &self.key_store else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let mut bytes = read(&store.path)?;
        if let Some(path) = &self.private_key {
            bytes.push(b'\n');
            bytes.extend(read(path)?);
        }
        let key = certified_key(store, &bytes, &store.password()?, &provider)?;
        Ok(Arc::new(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))))
    }
}
