//! The verifier of client certificates that rustls asks.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme,
};

use crate::algorithms::is_same;
use crate::certificate::{Certificate, PublicKey};
use crate::trust::TrustStore;

/// Judges clients' certificates by [`TrustStore`].
#[derive(Debug)]
pub(crate) struct ClientVerifier {
    trust: TrustStore,
    is_mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
    /// The names of the trusted, by which a client chooses among its certificates.
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    pub(crate) fn new(
        trust: TrustStore,
        is_mandatory: bool,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Arc<ClientVerifier> {
        let hints = trust.trusted.iter().map(|trusted| DistinguishedName::from(trusted.subject_der.clone()));
        let hints = hints.collect();
        Arc::new(ClientVerifier { trust, is_mandatory, algorithms, hints })
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let ders = std::iter::once(end_entity).chain(intermediates);
        let chain: Option<Vec<_>> = ders.map(|der| Certificate::parse(der)).collect();
        let chain = chain.ok_or(CertificateError::BadEncoding)?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.trust.verify(&chain, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(cert)?;
        let known = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
        let (_, algorithms) = known.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        for algorithm in *algorithms {
            if is_same(algorithm.public_key_alg_id().as_ref(), &key.algorithm)
                && algorithm.verify_signature(&key.bits, message, dss.signature()).is_ok()
            {
                return Ok(HandshakeSignatureValid::assertion());
            }
        }
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(public_key(cert)?.info);
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, Error> {
    let certificate = Certificate::parse(certificate).ok_or(CertificateError::BadEncoding)?;
    Ok(certificate.key)
}
