//! The bytes of a connection, with or without TLS.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tls::rustls::pki_types::ServerName;
use tls::rustls::{ClientConfig, ClientConnection, StreamOwned};
use tls::{ClientSettings, SettingsError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How connections use TLS. Clones share what was read from files, and sessions of TLS that can be
/// resumed.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// A file cannot be used. The message names it.
    pub fn new(settings: &ClientSettings) -> Result<Tls, SettingsError> {
        settings.build().map(Tls)
    }

    /// The state of a new connection, for callers that do their own reading and writing. Nothing is
    /// sent yet. `server` is `host:port`, and has to prove to be that host.
    ///
    /// # Errors
    /// The host is neither a name nor an address.
    pub fn begin(&self, server: &str) -> io::Result<ClientConnection> {
        let name = server_name(server)?;
        ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)
    }
}

impl Tls {
    /// Shakes hands on an asynchronous connection, for callers that speak another protocol than
    /// ZooKeeper's. `server` is `host:port`, and has to prove to be that host.
    ///
    /// # Errors
    /// The server's certificate is refused, or the server refuses the client's, or speaks no TLS.
    pub async fn secure(
        &self,
        server: &str,
        tcp: tokio::net::TcpStream,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
        self.connect(server, tcp).await
    }

    /// Shakes hands on an asynchronous connection to `server`, `host:port`.
    pub(crate) async fn connect(
        &self,
        server: &str,
        tcp: tokio::net::TcpStream,
    ) -> io::Result<TlsStream<tokio::net::TcpStream>> {
        TlsConnector::from(Arc::clone(&self.0)).connect(server_name(server)?, tcp).await
    }
}

/// What the certificate of `server`, `host:port`, has to name.
fn server_name(server: &str) -> io::Result<ServerName<'static>> {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host).trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Completes the handshake with `server`, `host:port`, within the socket's own timeouts.
    ///
    /// # Errors
    /// The server's certificate is refused, or the server refuses the client's, or speaks no TLS.
    pub(crate) fn secure(tcp: TcpStream, server: &str, tls: &Tls) -> io::Result<Self> {
        let mut stream = StreamOwned::new(tls.begin(server)?, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.set_read_timeout(timeout),
            Self::Tls(stream) => stream.sock.set_read_timeout(timeout),
        }
    }

    /// The socket and the state of TLS, for callers that do their own reading and writing.
    pub(crate) fn into_parts(self) -> (TcpStream, Option<ClientConnection>) {
        match self {
            Self::Plain(tcp) => (tcp, None),
            Self::Tls(stream) => {
                let (state, tcp) = stream.into_parts();
                (tcp, Some(state))
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
