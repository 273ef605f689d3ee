//! TLS between servers: the certificates in use, which can be replaced while the server runs, and
//! which connections speak TLS.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use parking_lot::RwLock;
use tls::rustls::ClientConfig;
use tls::rustls::client::Resumption;
use tls::{ClientAuth, ClientSettings, ServerSettings, SettingsError};

use super::{Acceptor, TlsStream};
use crate::config::QuorumTls;
use crate::stream::{PeerIdentity, Stream};

/// How connections between servers are made.
#[derive(Debug)]
pub(crate) struct PeerTls {
    config: QuorumTls,
    acceptor: Arc<Acceptor>,
    dialling: RwLock<Arc<ClientConfig>>,
}

impl PeerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// One of the files cannot be used.
    pub(crate) fn new(config: QuorumTls) -> Result<PeerTls, SettingsError> {
        // The number of handshakes is bounded by that of connections whose server is not yet known.
        let acceptor = Acceptor::new(config.settings.clone(), false, None)?;
        let dialling = RwLock::new(dialling(&config.settings)?);
        Ok(PeerTls { config, acceptor: Arc::new(acceptor), dialling })
    }

    /// Whether every server that this one talks to has proven by its certificate which one it is.
    pub(crate) fn identifies_all(&self) -> bool {
        let QuorumTls { is_dialled, is_unified, checks_dialled, checks_dialling, .. } = self.config;
        let needs_certificate = self.config.settings.client_auth == ClientAuth::Need;
        is_dialled && !is_unified && checks_dialled && checks_dialling && needs_certificate
    }

    /// Reads the files again, for new connections, and logs the outcome.
    ///
    /// # Errors
    /// One of the files cannot be used. The old ones stay in use.
    pub(crate) fn reload(&self) -> Result<(), SettingsError> {
        self.acceptor.reload()?;
        *self.dialling.write() = dialling(&self.config.settings).inspect_err(|e| {
            tracing::error!("the new certificates cannot be used to connect to servers: {e}");
        })?;
        Ok(())
    }

    /// Whether changed files are used without being asked.
    pub(crate) fn reloads(&self) -> bool {
        self.config.reloads
    }

    /// As [`Acceptor::has_news`].
    pub(crate) fn has_news(&self) -> bool {
        self.acceptor.has_news()
    }

    /// The stream of a connection that was accepted from this address.
    pub(in crate::stream) fn accepted(&self, socket: TcpStream, peer: IpAddr) -> io::Result<Box<dyn Stream>> {
        if self.config.is_unified {
            return Ok(Box::new(TlsStream::either(socket, &self.acceptor, peer)));
        }
        let stream = TlsStream::secure(socket, &self.acceptor, peer);
        Ok(Box::new(stream.ok_or(io::ErrorKind::QuotaExceeded)?))
    }

    /// The stream of a connection that was dialled to this address of a server with these names.
    pub(in crate::stream) fn dialled(
        &self,
        socket: TcpStream,
        peer: IpAddr,
        hosts: Vec<String>,
    ) -> io::Result<Box<dyn Stream>> {
        if !self.config.is_dialled {
            return Ok(Box::new(socket));
        }
        let hosts = if self.config.checks_dialled { hosts } else { Vec::new() };
        let dialling = Arc::clone(&self.dialling.read());
        Ok(Box::new(TlsStream::dialled(socket, dialling, peer, hosts)?))
    }

    /// The subject of the certificate of a server that has dialled, if it is for none of its host
    /// names.
    pub(in crate::stream) fn objection<'a>(
        &self,
        identity: &PeerIdentity,
        mut hosts: impl Iterator<Item = &'a String>,
    ) -> Option<String> {
        if !self.config.checks_dialling {
            return None;
        }
        let own = identity.certificates.first().and_then(|der| tls::Certificate::parse(der));
        let is_named = own.is_some_and(|own| hosts.any(|host| tls::is_valid_for(&own, host)));
        (!is_named).then(|| identity.subject.clone())
    }
}

/// The same certificates for the connections that this server dials. Every connection proves its
/// certificates anew: there are few, and a session that is resumed would not ask the trust store.
fn dialling(settings: &ServerSettings) -> Result<Arc<ClientConfig>, SettingsError> {
    let trust_store = settings.trust_store.clone().ok_or(SettingsError::NoTrustStore)?;
    let settings = ClientSettings {
        key_store: Some(settings.key_store.clone()),
        // The session compares the names: a server may have several.
        checks_host: false,
        protocols: settings.protocols,
        cipher_suites: settings.cipher_suites.clone(),
        ..ClientSettings::trusting(trust_store)
    };
    let mut config = Arc::unwrap_or_clone(settings.build()?);
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
