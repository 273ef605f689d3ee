//! The files of a configuration, and what can be wrong with them.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;

use super::ServerSettings;
use crate::revocation::RevocationList;
use crate::secret::Secret;
use crate::store::StoreError;

/// More bytes are not a store. Java's own trust store has 180 KiB.
const BYTES_MAX: u64 = 16 << 20;

/// A key or trust store and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFile {
    /// `….location`.
    pub path: PathBuf,
    /// `….password`.
    pub password: Secret,
    /// `….passwordPath`: a file with the password, which wins.
    pub password_path: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug)]
pub enum SettingsError {
    /// A file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A store cannot be used.
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The other side's certificate is to be judged, and none is trusted.
    NoTrustStore,
    /// rustls refuses the combination.
    Rustls(rustls::Error),
}

impl std::error::Error for SettingsError {}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingsError::Read { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            SettingsError::Store { path, source } => write!(f, "cannot use {}: {source}", path.display()),
            SettingsError::NoTrustStore => f.write_str("there is no trust store to judge certificates by"),
            SettingsError::Rustls(error) => write!(f, "{error}"),
        }
    }
}

impl StoreFile {
    pub(super) fn refused(&self, source: StoreError) -> SettingsError {
        SettingsError::Store { path: self.path.clone(), source }
    }

    pub(super) fn unusable(&self, why: &str) -> SettingsError {
        self.refused(StoreError::Content(why.to_owned()))
    }

    pub(super) fn password(&self) -> Result<Secret, SettingsError> {
        let Some(path) = &self.password_path else { return Ok(self.password.clone()) };
        Secret::from_file(read(path)?).map_err(|_| SettingsError::Read {
            path: path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidData, "the password is not UTF-8"),
        })
    }
}

/// The files of a server's settings.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a>(&'a ServerSettings);

/// What is in the files.
pub(super) struct Contents {
    pub(super) key_store: Vec<u8>,
    pub(super) key_password: Secret,
    /// Empty without a trust store.
    pub(super) trust_store: Vec<u8>,
    pub(super) trust_password: Secret,
    pub(super) crl: Option<Vec<u8>>,
}

impl<'a> Files<'a> {
    pub(super) fn of(settings: &'a ServerSettings) -> Files<'a> {
        Files(settings)
    }

    /// Their names.
    pub fn paths(&self) -> Vec<&'a Path> {
        let Files(settings) = self;
        let stores = std::iter::once(&settings.key_store).chain(&settings.trust_store);
        let of_store = |store: &'a StoreFile| {
            std::iter::once(store.path.as_path()).chain(store.password_path.as_deref())
        };
        stores.flat_map(of_store).chain(settings.crl_file.as_deref()).collect()
    }

    pub(super) fn read(&self) -> Result<Contents, SettingsError> {
        let Files(settings) = self;
        let trust = settings.trust_store.as_ref();
        Ok(Contents {
            key_store: read(&settings.key_store.path)?,
            key_password: settings.key_store.password()?,
            trust_store: trust.map_or(Ok(Vec::new()), |store| read(&store.path))?,
            trust_password: trust.map_or(Ok(Secret::default()), StoreFile::password)?,
            crl: settings.crl_file.as_deref().map(read).transpose()?,
        })
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, SettingsError> {
    let failed = |source| SettingsError::Read { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > BYTES_MAX {
        return Err(failed(io::Error::other(format!("it has more than {BYTES_MAX} bytes"))));
    }
    fs::read(path).map_err(failed)
}

/// The revocation lists of a file: one in DER, or any number in PEM.
pub(crate) fn revocation_lists(path: &Path, bytes: &[u8]) -> Result<Vec<RevocationList>, SettingsError> {
    let refused = |why: &str| SettingsError::Store {
        path: path.to_owned(),
        source: StoreError::Content(why.to_owned()),
    };
    let ders = match bytes.first() {
        Some(0x30) => vec![CertificateRevocationListDer::from(bytes)],
        _ => CertificateRevocationListDer::pem_slice_iter(bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| refused("it is not PEM"))?,
    };
    let lists: Option<Vec<_>> = ders.iter().map(|der| RevocationList::parse(der)).collect();
    let lists = lists.ok_or_else(|| {
        refused("it has a revocation list that is malformed, or only about some certificates of its issuer")
    })?;
    if lists.is_empty() { Err(refused("it has no revocation list")) } else { Ok(lists) }
}
