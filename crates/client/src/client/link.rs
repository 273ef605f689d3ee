//! The bytes of an asynchronous connection, with or without TLS, and how a session begins on it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::record::{ConnectResponse, PASSWORD_BYTES};

use crate::connect::{SessionIdentity, connect_request};
use crate::error::ConnectError;
use crate::stream::Tls;

/// Longest answer to the handshake that is accepted, in bytes. A real one has 41.
const HANDSHAKE_BYTES_MAX: usize = 1 << 10;

/// A connected socket.
pub(super) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection on which a server has accepted the session.
pub(super) struct Connected {
    pub(super) link: Link,
    pub(super) identity: SessionIdentity,
    pub(super) read_only: bool,
    /// What has arrived behind the handshake.
    pub(super) received: Vec<u8>,
}

/// What to ask a server for.
pub(super) struct Wanted<'a> {
    /// Limit for the TCP connection to each address, and again for each handshake.
    pub(super) patience: Duration,
    pub(super) timeout_ms: i32,
    pub(super) resume: Option<&'a SessionIdentity>,
    pub(super) last_zxid: i64,
    pub(super) read_only: bool,
    pub(super) tls: Option<&'a Tls>,
}

impl Wanted<'_> {
    /// Connects to `server`, `host:port`, and opens or resumes the session there.
    pub(super) async fn connect(&self, server: &str) -> Result<Connected, ConnectError> {
        let tcp = self.open(server).await?;
        tcp.set_nodelay(true).map_err(ConnectError::Handshake)?;
        let link = match self.tls {
            None => Link::Plain(tcp),
            Some(tls) => {
                let begun = tls.connect(server, tcp);
                let secured = timeout(self.patience, begun).await.unwrap_or_else(|_| Err(late()));
                Link::Tls(Box::new(secured.map_err(ConnectError::Tls)?))
            }
        };
        let accepted = timeout(self.patience, self.shake_hands(link)).await;
        accepted.unwrap_or_else(|_| Err(ConnectError::Handshake(late())))
    }

    /// Tries all addresses of the server in turn.
    async fn open(&self, server: &str) -> Result<TcpStream, ConnectError> {
        let resolved = timeout(self.patience, tokio::net::lookup_host(server)).await;
        let addresses = resolved.unwrap_or_else(|_| Err(late())).map_err(ConnectError::Resolve)?;
        let mut last = ConnectError::Resolve(io::Error::other("the name has no address"));
        for address in addresses.collect::<Vec<SocketAddr>>() {
            match timeout(self.patience, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late())) {
                Ok(stream) => return Ok(stream),
                Err(source) => last = ConnectError::Unreachable { address, source },
            }
        }
        Err(last)
    }

    async fn shake_hands(&self, mut link: Link) -> Result<Connected, ConnectError> {
        let mut request = Vec::new();
        connect_request(self.timeout_ms, self.resume, self.last_zxid, self.read_only, &mut request);
        link.write_all(&request).await.map_err(ConnectError::Handshake)?;
        link.flush().await.map_err(ConnectError::Handshake)?;
        let mut received = Vec::new();
        let end = loop {
            match frame::split(&received, HANDSHAKE_BYTES_MAX) {
                Split::Frame { start, end } => break start..end,
                Split::TooLong(length) => {
                    let error = format!("an answer of {length} bytes to the handshake");
                    return Err(ConnectError::Handshake(io::Error::other(error)));
                }
                Split::Incomplete => match link.read_buf(&mut received).await {
                    Ok(0) => return Err(ConnectError::Refused),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                        return Err(ConnectError::Refused);
                    }
                    Err(error) => return Err(ConnectError::Handshake(error)),
                    Ok(_) => {}
                },
            }
        };
        let response = ConnectResponse::decode(&mut Reader::new(&received[end.clone()]))?;
        let (identity, read_only) = accepted(&response)?;
        received.drain(..end.end);
        Ok(Connected { link, identity, read_only, received })
    }
}

/// The session that a server has accepted, and whether the server can only read.
pub(crate) fn accepted(response: &ConnectResponse<'_>) -> Result<(SessionIdentity, bool), ConnectError> {
    if response.timeout_ms <= 0 {
        return Err(ConnectError::SessionExpired);
    }
    let length = response.passwd.len();
    let password: [u8; PASSWORD_BYTES] =
        response.passwd.try_into().map_err(|_| wire::Malformed::Excess(length))?;
    let identity = SessionIdentity { id: response.session_id, password, timeout_ms: response.timeout_ms };
    Ok((identity, response.read_only == Some(true)))
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
