//! From settings and files to a configuration of rustls.

mod client;
mod files;
mod suites;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

pub use self::client::ClientSettings;
#[cfg(test)]
pub(crate) use self::files::revocation_lists;
pub use self::files::{Files, SettingsError, StoreFile};
pub use self::suites::{CipherSuites, Protocols, UnknownName};
use crate::certificate::Certificate;
use crate::revocation::RevocationList;
use crate::secret::Secret;
use crate::store::Entry;
use crate::trust::TrustStore;
use crate::verifier::ClientVerifier;

/// Whether clients are asked for a certificate (`ssl.clientAuth`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked; one without is served, one with a bad one is not.
    Want,
    /// Only clients with a good one are served.
    Need,
}

/// What a server's TLS is made of. Building a configuration reads the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// `ssl.keyStore.*`.
    pub key_store: StoreFile,
    /// `ssl.trustStore.*`; needed unless clients are asked for no certificate.
    pub trust_store: Option<StoreFile>,
    /// `ssl.clientAuth`.
    pub client_auth: ClientAuth,
    /// `ostler.ssl.crlFile`: the revocation lists, PEM or DER; `None`: revocation is not checked.
    pub crl_file: Option<PathBuf>,
    /// Certificates are judged by rustls' own verifier, not by the rules of Java.
    pub strict: bool,
    /// `ssl.protocol`, `ssl.enabledProtocols`.
    pub protocols: Protocols,
    /// `ssl.ciphersuites`.
    pub cipher_suites: CipherSuites,
}

impl ServerSettings {
    /// Reads the files and builds a configuration. Sessions can be resumed with tickets, which only
    /// this configuration understands: a client whose certificate is no longer trusted has to prove
    /// itself to a new one.
    ///
    /// # Errors
    /// A file cannot be used. The message names it.
    pub fn build(&self) -> Result<Arc<ServerConfig>, SettingsError> {
        self.build_from(&self.files().read()?)
    }

    /// The files that [`ServerSettings::build`] reads.
    pub fn files(&self) -> Files<'_> {
        Files::of(self)
    }

    fn build_from(&self, files: &files::Contents) -> Result<Arc<ServerConfig>, SettingsError> {
        let provider = Arc::new(self.cipher_suites.provider());
        let key = certified_key(&self.key_store, &files.key_store, &files.key_password, &provider)?;
        let versions = self.protocols.versions();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&versions).map_err(SettingsError::Rustls)?;
        let builder = match self.client_auth {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::Want | ClientAuth::Need => {
                builder.with_client_cert_verifier(self.verifier(files, &provider)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(SettingsError::Rustls)?;
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        files: &files::Contents,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, SettingsError> {
        let Some(store) = &self.trust_store else { return Err(SettingsError::NoTrustStore) };
        let trusted = crate::store::trusted(&files.trust_store, &files.trust_password)
            .map_err(|source| store.refused(source))?;
        let lists = match (&self.crl_file, &files.crl) {
            (Some(path), Some(bytes)) => Some(files::revocation_lists(path, bytes)?),
            _ => None,
        };
        if self.strict {
            return self.strict_verifier(store, trusted, lists, provider);
        }
        let algorithms = provider.signature_verification_algorithms;
        let trust = trust_store(store, trusted, lists, algorithms)?;
        Ok(ClientVerifier::new(trust, self.client_auth == ClientAuth::Need, algorithms))
    }

    fn strict_verifier(
        &self,
        store: &StoreFile,
        trusted: Vec<CertificateDer<'static>>,
        lists: Option<Vec<RevocationList>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, SettingsError> {
        let mut roots = RootCertStore::empty();
        for certificate in trusted {
            roots.add(certificate).map_err(|error| store.unusable(&error.to_string()))?;
        }
        let lists = lists.unwrap_or_default();
        let lists = lists.iter().map(|list| CertificateRevocationListDer::from(list.der().to_vec()));
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = builder.with_crls(lists).enforce_revocation_expiration();
        let builder = match self.client_auth {
            ClientAuth::Need => builder,
            ClientAuth::Want | ClientAuth::None => builder.allow_unauthenticated(),
        };
        let built = builder.build().map_err(|error| store.unusable(&error.to_string()))?;
        Ok(built)
    }
}

/// Why a key cannot be loaded.
const UNKNOWN_KEY: &str = "its private key is malformed, or neither RSA nor ECDSA nor Ed25519";

/// The key and the certificates of a store that has these bytes.
fn certified_key(
    store: &StoreFile,
    bytes: &[u8],
    password: &Secret,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, SettingsError> {
    let Entry { key, chain } = Entry::read(bytes, password).map_err(|source| store.refused(source))?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| store.unusable(UNKNOWN_KEY))?;
    let own = chain.first().and_then(|der| Certificate::parse(der));
    let own = own.ok_or_else(|| store.unusable("its certificate is malformed"))?;
    match key.public_key() {
        Some(public) if public.as_ref() == own.key.info => Ok(CertifiedKey::new(chain, key)),
        _ => Err(store.unusable("its private key is not that of its certificate")),
    }
}

fn trust_store(
    store: &StoreFile,
    trusted: Vec<CertificateDer<'static>>,
    revoked: Option<Vec<RevocationList>>,
    algorithms: WebPkiSupportedAlgorithms,
) -> Result<TrustStore, SettingsError> {
    let parsed: Option<Vec<_>> = trusted.iter().map(|der| Certificate::parse(der)).collect();
    let trusted = parsed.ok_or_else(|| store.unusable("it has a malformed certificate"))?;
    Ok(TrustStore { trusted, revoked, algorithms: algorithms.all })
}
