//! What connections to the AdminServer speak: HTTP, or HTTP over TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::stream::{Acceptor, HANDSHAKE, subject};

/// What ZooKeeper's AdminServer tells browsers that came by TLS: to come by nothing else for a day.
const COME_BY_TLS: HeaderValue = HeaderValue::from_static("max-age=86400; includeSubDomains");

/// Bytes of a reply that are encrypted ahead of the socket: far fewer than a reader that is served
/// takes in a window of [`crate::reader_progress`], since they count as taken.
const ENCRYPTED_AHEAD_BYTES: usize = 8 << 10;

/// What the connections of a port may speak.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    /// HTTP.
    Plain,
    /// HTTP with or without TLS, which the first byte tells.
    Either(Arc<Acceptor>),
    /// HTTP over TLS. A connection that speaks anything else is closed.
    Secure(Arc<Acceptor>),
}

impl Transport {
    pub(super) fn new(acceptor: Option<Arc<Acceptor>>, is_forced: bool) -> Transport {
        match acceptor {
            None => Transport::Plain,
            Some(acceptor) if is_forced => Transport::Secure(acceptor),
            Some(acceptor) => Transport::Either(acceptor),
        }
    }

    /// The stream of an accepted connection, after its handshake. The time that it takes is the
    /// client's.
    pub(super) async fn open(&self, socket: TcpStream) -> io::Result<HttpStream> {
        let acceptor = match self {
            Transport::Plain => return Ok(HttpStream::Plain(socket)),
            Transport::Either(_) if !begins_with_tls(&socket).await? => return Ok(HttpStream::Plain(socket)),
            Transport::Either(acceptor) | Transport::Secure(acceptor) => acceptor,
        };
        let mut stream = TlsAcceptor::from(acceptor.config()).accept(socket).await?;
        stream.get_mut().1.set_buffer_limit(Some(ENCRYPTED_AHEAD_BYTES));
        Ok(HttpStream::Secure(Box::new(stream)))
    }
}

async fn begins_with_tls(socket: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(socket.peek(&mut first).await? == 1 && first[0] == HANDSHAKE)
}

/// The routes of connections that speak TLS.
pub(super) fn over_tls(routes: Router) -> Router {
    routes.layer(axum::middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, COME_BY_TLS);
        response
    }))
}

/// The stream of a connection.
#[derive(Debug)]
pub(super) enum HttpStream {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

impl HttpStream {
    pub(super) fn is_secure(&self) -> bool {
        matches!(self, HttpStream::Secure(_))
    }

    /// The subject of the certificate that the client has proven, after RFC 2253; `None` without
    /// one.
    pub(super) fn subject(&self) -> Option<String> {
        let HttpStream::Secure(stream) = self else { return None };
        subject(stream.get_ref().1)
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpStream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            HttpStream::Secure(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            HttpStream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            HttpStream::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpStream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            HttpStream::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            HttpStream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            HttpStream::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
