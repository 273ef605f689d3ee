//! How a session begins.

use crate::connection::Connection;
use crate::error::{ConnectError, RequestError};
use crate::frames::Frames;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;
use wire::frame;
use wire::jute::Reader;
use wire::record::{ConnectRequest, ConnectResponse, PASSWORD_BYTES};

/// What a session is known by. It outlives its connection until it expires.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: i64,
    /// What proves to a server that the session is ours.
    pub password: [u8; PASSWORD_BYTES],
    /// The timeout granted by the server, in milliseconds: without a packet for that long the session ends.
    pub timeout_ms: i32,
}

impl std::fmt::Debug for Session {
    /// Without the password, which anyone could take the session over with.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("timeout_ms", &self.timeout_ms)
            .finish_non_exhaustive()
    }
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longest wait for the TCP connection, for each address of the server, and then for the handshake.
    pub connect_timeout: Duration,
    /// Longest wait for a reply; `None` to wait for ever.
    pub reply_timeout: Option<Duration>,
    /// Session timeout to ask for, in milliseconds; the server clamps it.
    pub session_timeout_ms: i32,
    /// A session to go on with instead of a new one.
    pub resume: Option<Session>,
    /// The newest zxid seen so far. A server that is behind it closes the connection.
    pub last_zxid_seen: i64,
    /// Accept a server that can only read.
    pub read_only: bool,
    /// Longest reply accepted, in bytes.
    pub reply_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            reply_timeout: Some(Duration::from_secs(30)),
            session_timeout_ms: 30_000,
            resume: None,
            last_zxid_seen: 0,
            read_only: false,
            // A million children with long names fit, and a liar does not take all our memory.
            reply_bytes_max: 256 << 20,
        }
    }
}

impl Connection {
    /// Connects to `server` and opens or resumes a session. All its addresses are tried in turn.
    ///
    /// # Errors
    /// [`ConnectError`] says whether to try again, elsewhere, or not at all.
    pub fn connect(server: impl ToSocketAddrs, options: &Options) -> Result<Self, ConnectError> {
        let mut stream = open(server, options.connect_timeout)?;
        let limit = |timeout| stream.set_read_timeout(timeout).map_err(ConnectError::Handshake);
        limit(Some(options.connect_timeout))?;
        stream.set_nodelay(true).map_err(ConnectError::Handshake)?;
        let mut request = Vec::new();
        let mark = frame::begin(&mut request);
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: options.last_zxid_seen,
            timeout_ms: options.session_timeout_ms,
            session_id: options.resume.as_ref().map_or(0, |session| session.id),
            passwd: options.resume.as_ref().map_or(&[0; PASSWORD_BYTES], |session| &session.password),
            read_only: Some(options.read_only),
        }
        .encode(&mut request);
        frame::finish(&mut request, mark);
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
        if response.timeout_ms <= 0 {
            return Err(ConnectError::SessionExpired);
        }
        let password =
            response.passwd.try_into().map_err(|_| wire::Malformed::Excess(response.passwd.len()))?;
        let session = Session { id: response.session_id, password, timeout_ms: response.timeout_ms };
        let read_only = response.read_only == Some(true);
        stream.set_read_timeout(options.reply_timeout).map_err(ConnectError::Handshake)?;
        Ok(Self::new(stream, frames, session, read_only, options))
    }
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

/// Sends one of the four-letter words, such as `srvr`, and returns the answer up to the end of the connection.
///
/// # Errors
/// The server cannot be reached, or does not answer within `timeout`.
pub fn four_letter_word(
    server: impl ToSocketAddrs,
    word: &str,
    timeout: Duration,
) -> Result<String, ConnectError> {
    let mut stream = open(server, timeout)?;
    let mut answer = Vec::new();
    stream
        .set_read_timeout(Some(timeout))
        .and_then(|()| stream.write_all(word.as_bytes()))
        .and_then(|()| stream.read_to_end(&mut answer))
        .map_err(ConnectError::Handshake)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
