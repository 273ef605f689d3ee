//! Key and trust stores: PEM, PKCS12 and JKS, told by their content.
//!
//! The name of a file says little: `keytool` of Java 9 and later writes PKCS12 into files that are
//! called `.jks`.

mod jks;
mod pem;
mod pkcs12;

use std::fmt;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::secret::Secret;

/// How a store is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with `-----BEGIN …-----`.
    Pem,
    /// PKCS #12.
    Pkcs12,
    /// Java's own format before version 9.
    Jks,
}

impl Format {
    /// The format of these bytes; `None` if it is none of them.
    pub fn of(bytes: &[u8]) -> Option<Format> {
        match bytes {
            [0xfe, 0xed, 0xfe, 0xed, ..] => Some(Format::Jks),
            [0x30, ..] => Some(Format::Pkcs12),
            _ if contains(bytes, b"-----BEGIN ") => Some(Format::Pem),
            _ => None,
        }
    }
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}

/// A private key with its certificate and those that lead to a trusted one.
#[derive(Debug)]
pub struct Entry {
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// The key's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// What is in a store.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) keys: Vec<Entry>,
    pub(crate) trusted: Vec<CertificateDer<'static>>,
}

/// Why a store cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It is none of the known formats.
    Format,
    /// It is Java's JCEKS.
    Jceks,
    /// It is damaged, or of a kind that is not supported: what is wrong.
    Content(String),
    /// The password does not open it, or it was altered.
    Password,
    /// It has no private key.
    NoKey,
    /// It has no certificate.
    NoCertificate,
}

impl std::error::Error for StoreError {}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Format => f.write_str("it is neither PEM nor PKCS12 nor JKS"),
            StoreError::Jceks => {
                f.write_str("it is a JCEKS file; convert it to PKCS12 with keytool -importkeystore")
            }
            StoreError::Content(what) => f.write_str(what),
            StoreError::Password => f.write_str("the password is wrong, or the file was altered"),
            StoreError::NoKey => f.write_str("it has no private key with a certificate"),
            StoreError::NoCertificate => f.write_str("it has no certificate"),
        }
    }
}

impl Entry {
    /// Reads the private key of a key store, the first if there are several.
    ///
    /// # Errors
    /// It has none, or cannot be read with this password.
    pub fn read(bytes: &[u8], password: &Secret) -> Result<Entry, StoreError> {
        content(bytes, password)?.keys.into_iter().next().ok_or(StoreError::NoKey)
    }
}

/// Reads the certificates of a trust store.
///
/// # Errors
/// It has none, or cannot be read with this password.
pub(crate) fn trusted(bytes: &[u8], password: &Secret) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let trusted = content(bytes, password)?.trusted;
    if trusted.is_empty() { Err(StoreError::NoCertificate) } else { Ok(trusted) }
}

fn content(bytes: &[u8], password: &Secret) -> Result<Content, StoreError> {
    match Format::of(bytes) {
        Some(Format::Pem) => pem::read(bytes, password),
        Some(Format::Pkcs12) => pkcs12::read(bytes, password),
        Some(Format::Jks) => jks::read(bytes, password),
        None if bytes.starts_with(&[0xce, 0xce, 0xce, 0xce]) => Err(StoreError::Jceks),
        None => Err(StoreError::Format),
    }
}

/// A damaged store.
fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Content(what.into())
}
