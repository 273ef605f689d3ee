//! From a certificate to one that is trusted, by the rules of Java's PKIX validation.
//!
//! They are those of RFC 5280, with what ZooKeeper's users rely on: a certificate that is itself in
//! the trust store is trusted, whatever it says about its use; a trusted issuer may be of X.509
//! version 1; the last certificate may be of version 1 too. Unlike Java, an expired certificate is
//! refused even if it is in the trust store. Name constraints are not evaluated: a chain with an
//! authority that has them is refused (rustls' own verifier knows them, `ostler.ssl.strict`).

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::algorithms::{self, Algorithms, Budget, Proof};
use crate::certificate::{Certificate, Signed};
use crate::revocation::{self, RevocationList, Standing};

/// Certificates of one chain, as in Java.
const CHAIN_MAX: usize = 10;
/// Certificate authorities between the last certificate and a trusted one, as in Java.
const AUTHORITIES_MAX: usize = 5;
/// Signatures checked for one chain.
const SIGNATURES_MAX: u32 = 60;

/// Whose chain is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Client,
    Server,
}

/// Trusted certificates.
#[derive(Debug)]
pub(crate) struct TrustStore {
    pub(crate) trusted: Vec<Certificate>,
    /// The revocation lists, if revocation is checked.
    pub(crate) revoked: Option<Vec<RevocationList>>,
    pub(crate) algorithms: Algorithms,
}

/// The search for one path.
struct Search<'a> {
    store: &'a TrustStore,
    presented: &'a [Certificate],
    /// Numbers of the presented certificates that are on the path.
    path: Vec<usize>,
    now: i64,
    budget: Budget,
    /// Why the path that came furthest is none.
    failure: CertificateError,
}

impl TrustStore {
    /// Judges a chain of DER certificates, the party's own first. Returns that one.
    pub(crate) fn verify_der(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        party: Party,
    ) -> Result<Certificate, CertificateError> {
        let ders = std::iter::once(own).chain(others);
        let chain: Option<Vec<_>> = ders.map(|der| Certificate::parse(der)).collect();
        let chain = chain.ok_or(CertificateError::BadEncoding)?;
        self.verify(&chain, i64::try_from(now.as_secs()).unwrap_or(i64::MAX), party)?;
        chain.into_iter().next().ok_or(CertificateError::BadEncoding)
    }

    /// Judges a chain, the party's own certificate first. `now` is in seconds since 1970.
    pub(crate) fn verify(
        &self,
        chain: &[Certificate],
        now: i64,
        party: Party,
    ) -> Result<(), CertificateError> {
        let Some((own, others)) = chain.split_first() else { return Err(CertificateError::BadEncoding) };
        if chain.len() > CHAIN_MAX {
            return Err(CertificateError::UnknownIssuer);
        }
        check_time(own, now)?;
        if self.trusted.iter().any(|trusted| trusted.der == own.der) {
            return Ok(());
        }
        check_use(own, party)?;
        let mut search = Search {
            store: self,
            presented: others,
            path: Vec::new(),
            now,
            budget: Budget(SIGNATURES_MAX),
            failure: CertificateError::UnknownIssuer,
        };
        if search.from(own, 0) { Ok(()) } else { Err(search.failure) }
    }
}

impl Search<'_> {
    /// Looks for a path from this certificate to a trusted one. `below` authorities are on the path
    /// already that are not their own issuers.
    fn from(&mut self, certificate: &Certificate, below: u32) -> bool {
        let store = self.store;
        for trusted in store.trusted.iter().filter(|trusted| trusted.subject == certificate.issuer) {
            if may_end_a_path(trusted, below) && self.is_issued_by(certificate, trusted) {
                return true;
            }
        }
        if self.path.len() == AUTHORITIES_MAX {
            return false;
        }
        let presented = self.presented;
        for (number, issuer) in presented.iter().enumerate() {
            if issuer.subject != certificate.issuer || self.path.contains(&number) {
                continue;
            }
            if let Err(failure) = check_time(issuer, self.now).and_then(|()| check_authority(issuer, below)) {
                self.failure = failure;
                continue;
            }
            if !self.is_issued_by(certificate, issuer) {
                continue;
            }
            self.path.push(number);
            if self.from(issuer, below + u32::from(issuer.subject != issuer.issuer)) {
                return true;
            }
            self.path.pop();
        }
        false
    }

    /// Whether the issuer has signed the certificate and not revoked it.
    fn is_issued_by(&mut self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let signed = Signed {
            signed: &certificate.signed,
            algorithm: &certificate.signature_algorithm,
            signature: &certificate.signature,
        };
        let algorithms = self.store.algorithms;
        let failure = match algorithms::check(signed, &issuer.key, algorithms, &mut self.budget) {
            Proof::Wrong => CertificateError::BadSignature,
            Proof::UnknownAlgorithm => unsupported(&certificate.signature_algorithm, algorithms),
            Proof::Signed => {
                let Some(lists) = &self.store.revoked else { return true };
                let budget = &mut self.budget;
                match revocation::standing(lists, certificate, issuer, self.now, algorithms, budget) {
                    Standing::Good => return true,
                    Standing::Revoked => CertificateError::Revoked,
                    Standing::Outdated => CertificateError::ExpiredRevocationList,
                    Standing::Unknown => CertificateError::UnknownRevocationStatus,
                }
            }
        };
        self.failure = failure;
        false
    }
}

fn unsupported(algorithm: &[u8], algorithms: Algorithms) -> CertificateError {
    CertificateError::UnsupportedSignatureAlgorithmContext {
        signature_algorithm_id: algorithm.to_vec(),
        supported_algorithms: algorithms.iter().map(|known| known.signature_alg_id()).collect(),
    }
}

fn check_time(certificate: &Certificate, now: i64) -> Result<(), CertificateError> {
    match certificate.is_valid_at(now) {
        true => Ok(()),
        false if now < certificate.not_before => Err(CertificateError::NotValidYet),
        false => Err(CertificateError::Expired),
    }
}

/// Whether the key may authenticate this party.
fn check_use(certificate: &Certificate, party: Party) -> Result<(), CertificateError> {
    let extensions = &certificate.extensions;
    if extensions.has_unknown_critical {
        return Err(CertificateError::UnhandledCriticalExtension);
    }
    let may_sign = extensions.key_usage.is_none_or(|usage| usage.signs_handshakes);
    let is_for_party = match party {
        Party::Client => extensions.is_for_clients,
        Party::Server => extensions.is_for_servers,
    };
    if may_sign && is_for_party.unwrap_or(true) { Ok(()) } else { Err(CertificateError::InvalidPurpose) }
}

/// Whether a presented certificate may issue others, with `below` authorities after it.
fn check_authority(certificate: &Certificate, below: u32) -> Result<(), CertificateError> {
    let extensions = &certificate.extensions;
    if extensions.has_unknown_critical || extensions.has_name_constraints {
        return Err(CertificateError::UnhandledCriticalExtension);
    }
    match extensions.is_ca == Some(true) && may_issue(certificate, below) {
        true => Ok(()),
        false => Err(CertificateError::InvalidPurpose),
    }
}

/// Whether a trusted certificate may issue others. One of version 1 or 2 cannot say that it is an
/// authority's.
fn may_end_a_path(certificate: &Certificate, below: u32) -> bool {
    (certificate.version < 3 || certificate.extensions.is_ca == Some(true)) && may_issue(certificate, below)
}

fn may_issue(certificate: &Certificate, below: u32) -> bool {
    let extensions = &certificate.extensions;
    extensions.key_usage.is_none_or(|usage| usage.signs_certificates)
        && extensions.path_length_max.is_none_or(|most| below <= most)
}
