//! One TCP connection that speaks frames, and the session on it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::jute::{Reader, Record};

/// How long a reply may take before a test gives up. An honest server answers in milliseconds.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server sent next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A frame, without its length.
    Frame(Vec<u8>),
    /// The server closed the connection (or reset it: which of the two depends on unread input, not
    /// on the protocol).
    Closed,
    /// Nothing whole within [`REPLY_TIMEOUT`] or the time asked for.
    Nothing,
}

/// What a port answers to these bytes, until it closes or resets the connection.
///
/// # Panics
/// There is no connection, or it stays open for `patience` without a byte.
pub fn until_closed(address: SocketAddr, bytes: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    stream.write_all(bytes).expect("the bytes are sent");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
        Err(e) => panic!("the connection stays open: {e}"),
    }
    answer
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: Carrier,
}

/// What carries the bytes.
#[derive(Debug)]
enum Carrier {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Carrier {
    fn socket(&self) -> &TcpStream {
        match self {
            Carrier::Plain(socket) => socket,
            Carrier::Secure(stream) => &stream.sock,
        }
    }
}

impl Read for Carrier {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Carrier::Plain(socket) => socket.read(buffer),
            Carrier::Secure(stream) => stream.read(buffer),
        }
    }
}

impl Write for Carrier {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Carrier::Plain(socket) => socket.write(bytes),
            Carrier::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Carrier::Plain(socket) => socket.flush(),
            Carrier::Secure(stream) => stream.flush(),
        }
    }
}

impl Connection {
    /// Connects. Panics when no process listens.
    pub fn open(address: SocketAddr) -> Connection {
        Connection::try_open(address).unwrap_or_else(|error| panic!("connect {address}: {error}"))
    }

    /// Connects if a process listens.
    pub fn try_open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Connection { stream: Carrier::Plain(stream) })
    }

    /// Connects with TLS, to a server whose certificate is for `localhost`. Panics when no process
    /// listens.
    pub fn open_secure(address: SocketAddr, config: &Arc<ClientConfig>) -> Connection {
        let Connection { stream: Carrier::Plain(socket) } = Connection::open(address) else {
            unreachable!("a connection begins without TLS")
        };
        let host = "localhost".try_into().expect("a name");
        let tls = ClientConnection::new(Arc::clone(config), host).expect("a client's side");
        Connection { stream: Carrier::Secure(Box::new(StreamOwned::new(tls, socket))) }
    }

    /// Sends bytes. A connection the server has closed is noticed by the next
    /// [`Connection::receive`].
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    /// The next frame, or what came instead.
    pub fn receive(&mut self) -> Received {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Received::Nothing;
            }
            Err(_) => return Received::Closed,
        }
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        match self.stream.read_exact(&mut frame) {
            Ok(()) => Received::Frame(frame),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Received::Nothing
            }
            // The server ended in the middle of it.
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                Received::Closed
            }
            Err(error) => panic!("a frame of {} bytes broke off: {error}", frame.len()),
        }
    }

    /// As [`Connection::receive`], with a wait of `patience`, for what should not come.
    pub fn receive_within(&mut self, patience: Duration) -> Received {
        self.stream.socket().set_read_timeout(Some(patience)).expect("a read timeout");
        let received = self.receive();
        self.stream.socket().set_read_timeout(Some(REPLY_TIMEOUT)).expect("a read timeout");
        received
    }
}

/// What a client must know to resume its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The session id; 0 asks for a new session.
    pub id: i64,
    /// 16 bytes.
    pub password: Vec<u8>,
}

impl Identity {
    /// Asks for a new session.
    pub fn new_session() -> Identity {
        Identity { id: 0, password: vec![0; 16] }
    }
}

/// A handshake request, framed. `timeout_ms` is the session timeout asked for.
pub fn handshake(identity: &Identity, last_zxid: i64, timeout_ms: i32) -> Vec<u8> {
    let record = Record::new().int(0).long(last_zxid).int(timeout_ms).long(identity.id);
    record.buffer(Some(&identity.password)).bool(false).framed()
}

/// The session in a handshake reply, and its timeout in milliseconds; id 0 is a refusal. `None` if
/// it is no such reply.
pub fn session_of(reply: &[u8]) -> Option<(Identity, i32)> {
    let mut reader = Reader::new(reply);
    let (_version, timeout_ms, id) = (reader.int()?, reader.int()?, reader.long()?);
    let password = reader.buffer()??.to_vec();
    Some((Identity { id, password }, timeout_ms))
}
