//! PKCS #12, as `keytool` and OpenSSL write it.

use p12_keystore::error::Error;
use p12_keystore::{Certificate, CertificateBag, Pkcs12Archive, PrivateKeyBag};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{Content, Entry, StoreError, damaged};
use crate::secret::Secret;

/// Certificates of one chain.
const CHAIN_MAX: usize = 10;

/// A certificate that belongs to no key is trusted: `keytool` marks it so, and OpenSSL, which knows
/// no mark, writes files without a key for that purpose.
pub(super) fn read(bytes: &[u8], password: &Secret) -> Result<Content, StoreError> {
    let archive = Pkcs12Archive::from_pkcs12(bytes, password.reveal()).map_err(|error| match error {
        Error::MacError(_) | Error::Pkcs5Error(_) | Error::UnpadError => StoreError::Password,
        error => damaged(error.to_string()),
    })?;
    let has_keys = !archive.keys.is_empty();
    let is_trusted = |bag: &&CertificateBag| bag.trusted || !has_keys;
    let trusted = archive.certs.iter().filter(is_trusted).map(|bag| der(&bag.cert)).collect();
    let keys = archive.keys.iter().filter_map(|key| entry(key, &archive.certs)).collect();
    Ok(Content { keys, trusted })
}

/// The key with the certificates that lead from its own to that of an authority.
fn entry(key: &PrivateKeyBag, certificates: &[CertificateBag]) -> Option<Entry> {
    let is_own =
        |bag: &&CertificateBag| bag.local_key_id.as_deref() == key.local_key_id.as_ref().map(AsRef::as_ref);
    let own = certificates.iter().find(is_own)?;
    let mut chain = vec![&own.cert];
    while chain.len() < CHAIN_MAX
        && let Some(issuer) = issuer(chain[chain.len() - 1], certificates)
        && !chain.contains(&issuer)
    {
        chain.push(issuer);
    }
    let pkcs8 = PrivatePkcs8KeyDer::from(key.key.as_der().to_vec());
    Some(Entry { key: pkcs8.into(), chain: chain.into_iter().map(der).collect() })
}

fn issuer<'a>(certificate: &Certificate, certificates: &'a [CertificateBag]) -> Option<&'a Certificate> {
    let is_issuer = |other: &&CertificateBag| other.cert.subject() == certificate.issuer();
    certificates.iter().find(is_issuer).map(|bag| &bag.cert)
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    CertificateDer::from(certificate.as_der().to_vec())
}
