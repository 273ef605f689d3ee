//! The authority of a local ensemble, and the certificates that it has signed:
//!
//! ```text
//! DIR/tls/ca.pem          the authority's certificate, which everyone trusts
//! DIR/tls/ca.key          its key, which signs what is missing
//! DIR/tls/server.N.pem    certificate and key of a server
//! DIR/tls/client.pem      certificate and key for clients
//! ```
//!
//! Only their owner may read them.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use client::{ClientSettings, Secret, SettingsError, StoreFile, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

/// How long a certificate is valid.
const VALIDITY: Duration = Duration::days(3_650);
/// Since when, before now: clocks are set back now and then.
const SLACK: Duration = Duration::days(1);
/// By which names clients and servers call a server.
const HOSTS: [&str; 2] = ["localhost", "127.0.0.1"];

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A key or certificate cannot be made; or the authority's key is malformed.
    #[error("cannot make the certificate for {path}: {source}", path = path.display())]
    Make {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
}

/// The certificates of an ensemble.
#[derive(Debug, Clone)]
pub(super) struct Certificates(PathBuf);

impl Certificates {
    /// Those below the ensemble's directory.
    pub(super) fn of(dir: &Path) -> Certificates {
        Certificates(dir.join("tls"))
    }

    /// What everyone trusts.
    pub(super) fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Certificate and key of a server.
    pub(super) fn server(&self, id: u8) -> PathBuf {
        self.0.join(format!("server.{id}.pem"))
    }

    /// Certificate and key for clients.
    pub(super) fn client(&self) -> PathBuf {
        self.0.join("client.pem")
    }

    /// TLS of a client of the ensemble.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn tls(&self) -> Result<Tls, SettingsError> {
        let store = |path| StoreFile { path, password: Secret::default(), password_path: None };
        let trusting = ClientSettings::trusting(store(self.authority()));
        Tls::new(&ClientSettings { key_store: Some(store(self.client())), ..trusting })
    }

    /// Makes the files that are missing. Without the authority's certificate all are made.
    ///
    /// # Errors
    /// One cannot be read, made or written.
    pub(super) fn write_missing(&self, servers: impl Iterator<Item = u8>) -> Result<(), CertificateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(at(&self.0))?;
        let (issuer, is_new) = self.issuer()?;
        let needs = |path: &Path| is_new || !path.exists();
        for id in servers {
            let path = self.server(id);
            if needs(&path) {
                // A server is a client of TLS too, on the connections that it dials.
                let uses = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
                issue(&path, &format!("server.{id}"), &HOSTS, &uses, &issuer)?;
            }
        }
        let path = self.client();
        if needs(&path) {
            issue(&path, "client", &[], &[ExtendedKeyUsagePurpose::ClientAuth], &issuer)?;
        }
        Ok(())
    }

    /// The authority, and whether it has just been made.
    fn issuer(&self) -> Result<(Issuer<'static, KeyPair>, bool), CertificateError> {
        let (path, key_path) = (self.authority(), self.0.join("ca.key"));
        let params = authority().map_err(make(&path))?;
        if path.exists() {
            let key = fs::read_to_string(&key_path).map_err(at(&key_path))?;
            let key = KeyPair::from_pem(&key).map_err(make(&key_path))?;
            return Ok((Issuer::new(params, key), false));
        }
        let key = KeyPair::generate().map_err(make(&key_path))?;
        let certificate = params.self_signed(&key).map_err(make(&path))?;
        write(&key_path, &key.serialize_pem())?;
        write(&path, &certificate.pem())?;
        Ok((Issuer::new(params, key), true))
    }
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut params = params("authority", &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn params(name: &str, hosts: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "ostler cluster");
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - SLACK, now + VALIDITY);
    Ok(params)
}

/// Writes a certificate and its key to one file.
fn issue(
    path: &Path,
    name: &str,
    hosts: &[&str],
    uses: &[ExtendedKeyUsagePurpose],
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(), CertificateError> {
    let mut params = params(name, hosts).map_err(make(path))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = uses.to_vec();
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(make(path))?;
    let certificate = params.signed_by(&key, issuer).map_err(make(path))?;
    write(path, &format!("{}{}", certificate.pem(), key.serialize_pem()))
}

/// Replaces the file at once, so that no half one is left behind.
fn write(path: &Path, text: &str) -> Result<(), CertificateError> {
    let temporary = path.with_extension("tmp");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(&temporary, path)).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CertificateError {
    let path = path.to_owned();
    |source| CertificateError::Io { path, source }
}

fn make(path: &Path) -> impl FnOnce(rcgen::Error) -> CertificateError {
    let path = path.to_owned();
    |source| CertificateError::Make { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn content(path: PathBuf) -> Vec<u8> {
        fs::read(path).unwrap()
    }

    #[test]
    fn files_that_are_there_stay_and_missing_ones_are_signed_by_the_same_authority() {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::of(dir.path());
        certificates.write_missing(1..=2).unwrap();
        let before = [certificates.authority(), certificates.server(1), certificates.client()].map(content);
        fs::remove_file(certificates.server(2)).unwrap();
        certificates.write_missing(1..=3).unwrap();
        let after = [certificates.authority(), certificates.server(1), certificates.client()].map(content);
        assert_eq!(before, after);
        assert!(certificates.server(2).exists() && certificates.server(3).exists());
        certificates.tls().unwrap();
        for entry in fs::read_dir(dir.path().join("tls")).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        }
        assert_eq!(fs::metadata(dir.path().join("tls")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn another_authority_signs_everything_anew() {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::of(dir.path());
        certificates.write_missing(1..=1).unwrap();
        let before = content(certificates.server(1));
        fs::remove_file(certificates.authority()).unwrap();
        certificates.write_missing(1..=1).unwrap();
        assert_ne!(content(certificates.server(1)), before);
        // Without its key the authority can sign nothing, and the message names the file.
        fs::remove_file(dir.path().join("tls/ca.key")).unwrap();
        let refused = certificates.write_missing(1..=1).unwrap_err().to_string();
        assert!(refused.contains("tls/ca.key"), "{refused}");
    }
}
