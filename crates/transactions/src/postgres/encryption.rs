//! TLS between us and PostgreSQL, by rustls.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tls::rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use tls::rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use tls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::{TlsConnector, client};

use super::session::text;
use crate::database_tls::{DatabaseCa, refused_certificate};
use crate::participant::Trouble;

/// How tokio-postgres says that a server has answered that it has no TLS.
const NO_TLS: &str = "server does not support TLS";

/// How connections are encrypted.
#[derive(Clone)]
pub(super) struct Encryption {
    connector: TlsConnector,
    /// Where the trusted certificates came from.
    trusted: Option<PathBuf>,
}

impl Encryption {
    /// By a configuration that trusts these.
    pub(super) fn new(configuration: Arc<ClientConfig>, ca: Option<&DatabaseCa>) -> Self {
        let trusted = ca.map(|ca| ca.path().to_owned());
        Self { connector: TlsConnector::from(configuration), trusted }
    }

    /// Takes any certificate, as libpq does for `sslmode=require` without a file of certificates.
    /// Protects against eavesdroppers, and not against a server that poses as another.
    pub(super) fn of_anybody() -> Self {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Anybody(provider.signature_verification_algorithms));
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.expect("the versions of ring").dangerous();
        let configuration = builder.with_custom_certificate_verifier(verifier).with_no_client_auth();
        Self::new(Arc::new(configuration), None)
    }

    /// Why there is no connection. A server that has no TLS, or another certificate, will not have
    /// it a moment later.
    pub(super) fn trouble(&self, error: &tokio_postgres::Error) -> Trouble {
        let why = text(error);
        match (refused_certificate(error), &self.trusted) {
            (true, Some(path)) => {
                Trouble::Unfit(format!("its certificate is not accepted by {}: {why}", path.display()))
            }
            (true, None) => Trouble::Unfit(why),
            (false, _) if why.contains(NO_TLS) => {
                Trouble::Unfit(format!("{why}, and its connection string demands it"))
            }
            (false, _) => Trouble::Away(why),
        }
    }
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encryption").field(&self.trusted).finish()
    }
}

impl MakeTlsConnect<Socket> for Encryption {
    type Stream = TlsStream;
    type TlsConnect = Handshake;
    type Error = InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, InvalidDnsNameError> {
        let host = ServerName::try_from(host)?.to_owned();
        Ok(Handshake { connector: self.connector.clone(), host })
    }
}

/// A handshake with one host.
pub(super) struct Handshake {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = TlsStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsStream>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move { Ok(TlsStream(self.connector.connect(self.host, stream).await?)) })
    }
}

/// An encrypted connection. It binds no authentication to itself: `channel_binding=require` is
/// refused by tokio-postgres.
pub(super) struct TlsStream(client::TlsStream<Socket>);

impl tokio_postgres::tls::TlsStream for TlsStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Takes any certificate whose key the server has.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
