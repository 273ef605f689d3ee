//! What is looked at in a certificate.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, KeyUsage, ParsedExtension, X509Extension};
use x509_parser::prelude::FromDer as _;

use crate::{der, names};

/// More bytes are not a certificate. The longest message that rustls accepts has as many.
const BYTES_MAX: usize = 64 << 10;

/// A name in the extension for alternative names of a certificate's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host name, with or without a wildcard.
    Dns(String),
    /// An address.
    Address(IpAddr),
    /// A name of another kind.
    Other,
}

/// A certificate, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub(crate) der: Vec<u8>,
    /// The part that is signed.
    pub(crate) signed: Vec<u8>,
    /// Algorithm of the signature, the content of its `AlgorithmIdentifier`.
    pub(crate) signature_algorithm: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) key: PublicKey,
    /// 1 to 3.
    pub(crate) version: u32,
    pub(crate) serial: Vec<u8>,
    /// The names in the form in which equal names are equal bytes.
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    /// The subject's name in DER.
    pub(crate) subject_der: Vec<u8>,
    subject_text: String,
    common_names: Vec<String>,
    /// In seconds since 1970.
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) extensions: Extensions,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// All of it, in DER.
    pub(crate) info: Vec<u8>,
    /// The content of its `AlgorithmIdentifier`.
    pub(crate) algorithm: Vec<u8>,
    pub(crate) bits: Vec<u8>,
}

/// The extensions that decide what a certificate may be used for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// Whether it is a certificate authority's; `None` if it does not say.
    pub(crate) is_ca: Option<bool>,
    /// Certificate authorities that may follow between it and the last certificate.
    pub(crate) path_length_max: Option<u32>,
    /// `None`: any.
    pub(crate) key_usage: Option<Usage>,
    /// Whether it may be a client's; `None` if it does not say.
    pub(crate) is_for_clients: Option<bool>,
    /// Whether it may be a server's; `None` if it does not say.
    pub(crate) is_for_servers: Option<bool>,
    pub(crate) has_name_constraints: bool,
    /// It has a critical extension that is unknown here.
    pub(crate) has_unknown_critical: bool,
    pub(crate) alternative_names: Vec<AlternativeName>,
}

/// The uses of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) signs_handshakes: bool,
    pub(crate) signs_certificates: bool,
    pub(crate) signs_revocations: bool,
}

impl Certificate {
    /// Parses a certificate; `None` if it is malformed.
    pub fn parse(der: &[u8]) -> Option<Certificate> {
        if der.len() > BYTES_MAX {
            return None;
        }
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        let Signed { signed, algorithm, signature } = Signed::split(der)?;
        let is_same_algorithm = parsed.signature == parsed.signature_algorithm;
        let extensions = extensions(parsed.extensions())?;
        let key = PublicKey::parse(parsed.public_key().raw)?;
        let common_names = parsed.subject().iter_common_name();
        let certificate = Certificate {
            der: der.to_vec(),
            signed: signed.to_vec(),
            signature_algorithm: algorithm.to_vec(),
            signature: signature.to_vec(),
            key,
            version: parsed.version().0 + 1,
            serial: parsed.raw_serial().to_vec(),
            subject: names::canonical(parsed.subject()),
            issuer: names::canonical(parsed.issuer()),
            subject_der: parsed.subject().as_raw().to_vec(),
            subject_text: names::rfc2253(parsed.subject()),
            common_names: common_names.filter_map(|name| Some(name.as_str().ok()?.to_owned())).collect(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            extensions,
        };
        (rest.is_empty() && is_same_algorithm).then_some(certificate)
    }

    /// The subject's distinguished name as ZooKeeper's x509 scheme has it: RFC 2253, as Java's
    /// `X500Principal.getName()` writes it.
    pub fn subject_name(&self) -> &str {
        &self.subject_text
    }

    /// The alternative names of the subject.
    pub fn alternative_names(&self) -> &[AlternativeName] {
        &self.extensions.alternative_names
    }

    /// The common name of the subject, the most specific one if there are several.
    pub(crate) fn common_name(&self) -> Option<&str> {
        self.common_names.last().map(String::as_str)
    }

    /// Whether it is valid at this time, in seconds since 1970.
    pub fn is_valid_at(&self, now: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }
}

/// A signed structure of X.509: what is signed, and the signature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) signed: &'a [u8],
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl Signed<'_> {
    /// Splits the DER of a certificate or of a revocation list.
    pub(crate) fn split(mut der: &[u8]) -> Option<Signed<'_>> {
        let mut inner = der::take_tagged(&mut der, der::SEQUENCE)?.content;
        let signed = der::take_tagged(&mut inner, der::SEQUENCE)?.whole;
        let algorithm = der::take_tagged(&mut inner, der::SEQUENCE)?.content;
        let signature = bits(&mut inner)?;
        (der.is_empty() && inner.is_empty()).then_some(Signed { signed, algorithm, signature })
    }
}

impl PublicKey {
    /// Parses a `SubjectPublicKeyInfo`.
    pub(crate) fn parse(info: &[u8]) -> Option<PublicKey> {
        let mut input = info;
        let mut inner = der::take_tagged(&mut input, der::SEQUENCE)?.content;
        let algorithm = der::take_tagged(&mut inner, der::SEQUENCE)?.content.to_vec();
        let bits = bits(&mut inner)?.to_vec();
        Some(PublicKey { info: info.to_vec(), algorithm, bits })
    }
}

/// The bytes of a bit string, which must be whole bytes.
fn bits<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    match der::take_tagged(input, der::BIT_STRING)?.content {
        [0, bytes @ ..] => Some(bytes),
        _ => None,
    }
}

/// `None`: an extension that matters is malformed or there twice.
fn extensions(list: &[X509Extension<'_>]) -> Option<Extensions> {
    let mut found = Extensions::default();
    for (at, extension) in list.iter().enumerate() {
        if list[..at].iter().any(|before| before.oid == extension.oid) {
            return None;
        }
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(basic) => {
                found.is_ca = Some(basic.ca);
                found.path_length_max = basic.path_len_constraint;
            }
            ParsedExtension::KeyUsage(usage) => found.key_usage = Some(Usage::of(usage)),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                found.is_for_clients = Some(usage.any || usage.client_auth);
                found.is_for_servers = Some(usage.any || usage.server_auth);
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                found.alternative_names = names.general_names.iter().map(alternative_name).collect();
            }
            ParsedExtension::NameConstraints(_) => found.has_name_constraints = true,
            ParsedExtension::ParseError { .. } => return None,
            // They restrict nothing here: no policy is asked for.
            ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::AuthorityKeyIdentifier(_)
            | ParsedExtension::SubjectKeyIdentifier(_)
            | ParsedExtension::IssuerAlternativeName(_)
            | ParsedExtension::CRLDistributionPoints(_)
            | ParsedExtension::NSCertType(_) => {}
            _ => found.has_unknown_critical |= extension.critical,
        }
    }
    Some(found)
}

impl Usage {
    fn of(usage: &KeyUsage) -> Usage {
        Usage {
            signs_handshakes: usage.digital_signature(),
            signs_certificates: usage.key_cert_sign(),
            signs_revocations: usage.crl_sign(),
        }
    }
}

fn alternative_name(name: &GeneralName<'_>) -> AlternativeName {
    let address = |bytes: &[u8]| match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    };
    match name {
        GeneralName::DNSName(name) => AlternativeName::Dns((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            address(bytes).map_or(AlternativeName::Other, AlternativeName::Address)
        }
        _ => AlternativeName::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_certificate_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Certificate::parse(&bytes), None);
        }
    }
}
