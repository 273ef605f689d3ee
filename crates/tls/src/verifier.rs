//! The verifiers of certificates that rustls asks.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme,
};

use crate::algorithms::is_same;
use crate::certificate::{Certificate, PublicKey};
use crate::host::is_valid_for;
use crate::trust::{Party, TrustStore};

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
        self.trust.verify_der(end_entity, intermediates, now, Party::Client)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(&self.algorithms, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(&self.algorithms, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Judges a server's certificate by [`TrustStore`], and whether it is that of the host.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    trust: TrustStore,
    checks_host: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    pub(crate) fn new(
        trust: TrustStore,
        checks_host: bool,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Arc<ServerVerifier> {
        Arc::new(ServerVerifier { trust, checks_host, algorithms })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let own = self.trust.verify_der(end_entity, intermediates, now, Party::Server)?;
        if self.checks_host && !is_valid_for(&own, &server_name.to_str()) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(&self.algorithms, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(&self.algorithms, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn verify_tls12_signature(
    known: &WebPkiSupportedAlgorithms,
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = public_key(cert)?;
    let of_scheme = known.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
    let (_, algorithms) = of_scheme.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
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
    known: &WebPkiSupportedAlgorithms,
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = SubjectPublicKeyInfoDer::from(public_key(cert)?.info);
    verify_tls13_signature_with_raw_key(message, &key, dss, known)
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, Error> {
    let certificate = Certificate::parse(certificate).ok_or(CertificateError::BadEncoding)?;
    Ok(certificate.key)
}
