//! Opening a session.

use crate::client::accepted;
use crate::connection::Connection;
use crate::error::{ConnectError, RequestError};
use crate::frames::Frames;
use crate::stream::{Stream, Tls};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;
use wire::frame;
use wire::jute::Reader;
use wire::record::{ConnectRequest, ConnectResponse, PASSWORD_BYTES};

/// The identity of a session. A session outlives its connection until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionIdentity {
    /// The session id.
    pub id: i64,
    /// Proves to a server that the session belongs to this client.
    pub password: [u8; PASSWORD_BYTES],
    /// The timeout the server granted, in milliseconds: the session expires after this time without
    /// a packet.
    pub timeout_ms: i32,
}

impl std::fmt::Debug for SessionIdentity {
    /// Omits the password, with which anyone could take over the session.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionIdentity")
            .field("id", &self.id)
            .field("timeout_ms", &self.timeout_ms)
            .finish_non_exhaustive()
    }
}

/// Connection options.
#[derive(Clone, Debug)]
pub struct Options {
    /// Time limit for the TCP connection, per address of the server, and again for the handshake.
    pub connect_timeout: Duration,
    /// Time limit for a reply; `None` to wait forever.
    pub reply_timeout: Option<Duration>,
    /// Time limit for the socket to take more of a request; `None` to wait forever.
    pub write_timeout: Option<Duration>,
    /// Requested session timeout in milliseconds; the server clamps it.
    pub session_timeout_ms: i32,
    /// A session to resume instead of creating one.
    pub resume: Option<SessionIdentity>,
    /// The newest zxid seen so far. A server behind it closes the connection.
    pub last_zxid_seen: i64,
    /// Whether to accept a read-only server.
    pub read_only: bool,
    /// Maximum reply length accepted, in bytes.
    pub reply_bytes_max: usize,
    /// `Some`: the server speaks TLS on this port.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            reply_timeout: Some(Duration::from_secs(30)),
            write_timeout: None,
            session_timeout_ms: 30_000,
            resume: None,
            last_zxid_seen: 0,
            read_only: false,
            // Enough for a million children with long names, and a bound on the memory a faulty
            // server can make us use.
            reply_bytes_max: 256 << 20,
            tls: None,
        }
    }
}

impl Connection {
    /// Connects to `server`, `host:port`, trying all its addresses in turn, and opens or resumes a
    /// session.
    ///
    /// # Errors
    /// [`ConnectError`] tells whether to retry, to use another server, or to give up.
    pub fn connect(server: impl ToSocketAddrs + ToString, options: &Options) -> Result<Self, ConnectError> {
        let (host, patience) = (server.to_string(), options.connect_timeout);
        let tcp = open(server, patience)?;
        tcp.set_read_timeout(Some(patience)).map_err(ConnectError::Handshake)?;
        tcp.set_write_timeout(options.write_timeout).map_err(ConnectError::Handshake)?;
        tcp.set_nodelay(true).map_err(ConnectError::Handshake)?;
        let mut stream = secured(tcp, &host, options.tls.as_ref())?;
        let mut request = Vec::new();
        let Options { session_timeout_ms, resume, last_zxid_seen, read_only, .. } = options;
        connect_request(*session_timeout_ms, resume.as_ref(), *last_zxid_seen, *read_only, &mut request);
        stream.write_all(&request).map_err(ConnectError::Handshake)?;

        let mut frames = Frames::new(options.reply_bytes_max);
        let range = frames.next(&mut stream).map_err(|error| match error {
            RequestError::Closed => ConnectError::Refused,
            RequestError::Lost(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                ConnectError::Refused
            }
            RequestError::Lost(error) => ConnectError::Handshake(error),
            error => ConnectError::Handshake(io::Error::other(error)),
        })?;
        let response = ConnectResponse::decode(&mut Reader::new(frames.get(range)))?;
        let (session, read_only) = accepted(&response)?;
        stream.set_read_timeout(options.reply_timeout).map_err(ConnectError::Handshake)?;
        Ok(Self::new(stream, frames, session, read_only, options))
    }
}

/// Encodes the frame that opens a session, or resumes one.
pub(crate) fn connect_request(
    timeout_ms: i32,
    resume: Option<&SessionIdentity>,
    last_zxid_seen: i64,
    read_only: bool,
    out: &mut Vec<u8>,
) {
    let mark = frame::begin(out);
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen,
        timeout_ms,
        session_id: resume.map_or(0, |session| session.id),
        passwd: resume.map_or(&[0; PASSWORD_BYTES], |session| &session.password),
        read_only: Some(read_only),
    }
    .encode(out);
    frame::finish(out, mark);
}

fn open(server: impl ToSocketAddrs, timeout: Duration) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<SocketAddr> = server.to_socket_addrs().map_err(ConnectError::Resolve)?.collect();
    let mut last = ConnectError::Resolve(io::Error::other("the name has no address"));
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(source) => last = ConnectError::Unreachable { address, source },
        }
    }
    Err(last)
}

/// The connection to `server`, `host:port`, with TLS if that is wanted.
fn secured(tcp: TcpStream, server: &str, tls: Option<&Tls>) -> Result<Stream, ConnectError> {
    let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
    Stream::secure(tcp, server, tls).map_err(ConnectError::Tls)
}

/// Sends a four-letter word, such as `srvr`, and returns the answer, up to the end of the
/// connection.
///
/// # Errors
/// The server cannot be reached, or does not answer within `timeout`.
pub fn four_letter_word(
    server: impl ToSocketAddrs + ToString,
    word: &str,
    tls: Option<&Tls>,
    timeout: Duration,
) -> Result<String, ConnectError> {
    let host = server.to_string();
    let tcp = open(server, timeout)?;
    tcp.set_read_timeout(Some(timeout)).map_err(ConnectError::Handshake)?;
    let mut stream = secured(tcp, &host, tls)?;
    let mut answer = Vec::new();
    stream
        .write_all(word.as_bytes())
        .and_then(|()| stream.read_to_end(&mut answer))
        .map_err(ConnectError::Handshake)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
