//! PEM files: certificates, and a private key that may be encrypted.

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Decode as _;
use rustls::pki_types::pem::{self, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::{Content, Entry, StoreError, contains, damaged};
use crate::secret::Secret;

/// Why the older encryption of OpenSSL is not read.
const TRADITIONAL: &str = "its private key is encrypted as OpenSSL did before PKCS8; \
     convert it with openssl pkcs8 -topk8";
const ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &[u8] = b"-----END ENCRYPTED PRIVATE KEY-----";

/// A PEM file has one key at most, and every certificate in it belongs to its chain; without a key
/// every certificate is trusted.
pub(super) fn read(bytes: &[u8], password: &Secret) -> Result<Content, StoreError> {
    if contains(bytes, b"Proc-Type: 4,ENCRYPTED") {
        return Err(damaged(TRADITIONAL));
    }
    let mut certificates = Vec::new();
    let mut key = None;
    let mut input = bytes;
    loop {
        let section = pem::from_buf(&mut input);
        match section.map_err(|_| damaged("a section of it is damaged"))? {
            None => break,
            Some((SectionKind::Certificate, der)) => certificates.push(CertificateDer::from(der)),
            Some((kind, der)) => {
                if let Some(found) = <PrivateKeyDer<'_> as pem::PemObject>::from_pem(kind, der) {
                    key.get_or_insert(found);
                }
            }
        }
    }
    if key.is_none() {
        key = encrypted(bytes, password)?;
    }
    Ok(match key {
        Some(key) if !certificates.is_empty() => {
            Content { keys: vec![Entry { key, chain: certificates.clone() }], trusted: certificates }
        }
        _ => Content { keys: Vec::new(), trusted: certificates },
    })
}

/// The first encrypted private key.
fn encrypted(bytes: &[u8], password: &Secret) -> Result<Option<PrivateKeyDer<'static>>, StoreError> {
    let Some(start) = bytes.windows(ENCRYPTED.len()).position(|window| window == ENCRYPTED) else {
        return Ok(None);
    };
    let rest = &bytes[start + ENCRYPTED.len()..];
    let end = rest.windows(ENCRYPTED_END.len()).position(|window| window == ENCRYPTED_END);
    // The section is read as that of an unencrypted key: only its name differs.
    let body = &rest[..end.ok_or_else(|| damaged("its private key has no end"))?];
    let text = [b"-----BEGIN PRIVATE KEY-----", body, b"-----END PRIVATE KEY-----\n"].concat();
    let section = pem::from_buf(&mut &text[..]).map_err(|_| damaged("its private key is damaged"))?;
    let der = Zeroizing::new(section.map(|(_, der)| der).unwrap_or_default());
    let info = EncryptedPrivateKeyInfoRef::from_der(&der)
        .map_err(|error| damaged(format!("its private key is damaged: {error}")))?;
    let key = info.decrypt(password.reveal().as_bytes()).map_err(|_| StoreError::Password)?;
    Ok(Some(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()))
}
