//! One connection's TLS: rustls between a socket and its owner.

use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tls::rustls::pki_types::{CertificateDer, ServerName};
use tls::rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, IoState, ServerConnection};

use super::Acceptor;
use super::acceptor::Outstanding;
use crate::stream::{PeerIdentity, Stream};

/// Bytes that a record adds to its plaintext, at most.
const RECORD_OVERHEAD_BYTES: usize = 40;
/// Bytes of plaintext in one record, at most.
const RECORD_BYTES: usize = 16 << 10;

/// One side of one connection.
pub(super) struct Session {
    tls: Connection,
    /// The certificate of the other side must be for one of these, if there are any.
    hosts: Vec<String>,
    /// Counts as a handshake of the port until it is complete.
    counted: Option<Outstanding>,
    is_handshaking: bool,
    /// The other side has proven to be another than was meant: nothing is for it.
    is_refused: bool,
    /// What the other side has proven.
    identity: Option<PeerIdentity>,
    /// Plaintext received and not read.
    plaintext_bytes: usize,
    /// The other side has said that it sends no more.
    is_ended: bool,
    /// The last read has emptied the socket.
    is_drained: bool,
    /// Ciphertext that the socket has not taken, never less than there is.
    unsent_bytes: usize,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The error as it is to be logged.
fn shortened(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "the connection was cut off"),
        _ => error,
    }
}

impl Session {
    /// The session of an accepted connection, whose handshake is still to come.
    ///
    /// # Errors
    /// There are too many handshakes.
    pub(super) fn begin(acceptor: &Acceptor, peer: IpAddr) -> io::Result<Session> {
        let handshake = acceptor.begin_handshake().ok_or(io::ErrorKind::QuotaExceeded)?;
        let tls = ServerConnection::new(acceptor.config()).map_err(failed)?;
        let address = || peer.to_canonical().to_string();
        let hosts = acceptor.checks_hosts().then(address).into_iter().collect();
        Ok(Session { counted: Some(handshake), ..Session::new(tls.into(), hosts) })
    }

    /// The session of a connection that was dialled to `peer`. The certificate of the other side
    /// must be for one of `hosts`, if there are any.
    ///
    /// # Errors
    /// The configuration is of no use.
    pub(super) fn dial(config: Arc<ClientConfig>, peer: IpAddr, hosts: Vec<String>) -> io::Result<Session> {
        let tls = ClientConnection::new(config, ServerName::IpAddress(peer.into())).map_err(failed)?;
        Ok(Session::new(tls.into(), hosts))
    }

    fn new(tls: Connection, hosts: Vec<String>) -> Session {
        Session {
            tls,
            hosts,
            counted: None,
            is_handshaking: true,
            is_refused: false,
            identity: None,
            plaintext_bytes: 0,
            is_ended: false,
            is_drained: false,
            unsent_bytes: 0,
        }
    }

    /// Takes bytes that were received before it was known that they are TLS.
    pub(super) fn receive_first<S: Stream>(&mut self, socket: &mut S, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes)?;
            self.process(socket)?;
        }
        Ok(())
    }

    pub(super) fn read<S: Stream>(&mut self, socket: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plaintext_bytes == 0 {
            self.exchange(socket)?;
        }
        let read = self.tls.reader().read(buffer).map_err(shortened)?;
        self.plaintext_bytes -= read.min(self.plaintext_bytes);
        Ok(read)
    }

    /// Encrypts as much as there is room for, in as few records as possible.
    pub(super) fn write<S: Stream>(&mut self, socket: &mut S, bytes: &[u8]) -> io::Result<usize> {
        self.send(socket)?;
        let taken = self.tls.writer().write(bytes)?;
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.unsent_bytes += taken + taken.div_ceil(RECORD_BYTES) * RECORD_OVERHEAD_BYTES;
        self.send(socket)?;
        Ok(taken)
    }

    /// Offers to the socket what it has not taken.
    pub(super) fn send<S: Stream>(&mut self, socket: &mut S) -> io::Result<()> {
        if self.is_refused {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(socket) {
                Ok(sent) => self.unsent_bytes = self.unsent_bytes.saturating_sub(sent),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.unsent_bytes = 0;
        Ok(())
    }

    /// Receives until there is something to read or the socket is empty, and answers what the
    /// handshake demands.
    fn exchange<S: Stream>(&mut self, socket: &mut S) -> io::Result<()> {
        self.send(socket)?;
        self.is_drained = false;
        while !self.is_drained && self.plaintext_bytes == 0 && !self.is_ended {
            let mut incoming = Incoming { socket, is_drained: &mut self.is_drained };
            match self.tls.read_tls(&mut incoming) {
                Ok(0) => self.is_ended = true,
                Ok(_) => self.process(socket)?,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.is_drained = true,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Handles what was received, and sends the answer, or the alert that says what is wrong.
    fn process<S: Stream>(&mut self, socket: &mut S) -> io::Result<()> {
        let state: IoState = match self.tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                self.send(socket)?;
                return Err(failed(error));
            }
        };
        self.plaintext_bytes = state.plaintext_bytes_to_read();
        self.is_ended |= state.peer_has_closed();
        if self.is_handshaking && !self.tls.is_handshaking() {
            let identity = self.check_identity();
            self.is_refused = identity.is_err();
            self.identity = identity?;
            self.is_handshaking = false;
            self.counted = None;
        }
        self.send(socket)
    }

    /// What the other side has proven; `None` if it was not asked or has no certificate.
    fn check_identity(&self) -> io::Result<Option<PeerIdentity>> {
        let chain = self.tls.peer_certificates().unwrap_or_default();
        let Some(certificate) = own_certificate(chain, self.tls.handshake_kind())? else { return Ok(None) };
        let is_for = |host: &String| tls::is_valid_for(&certificate, host);
        if !self.hosts.is_empty() && !self.hosts.iter().any(is_for) {
            let (subject, hosts) = (certificate.subject_name(), self.hosts.join(", "));
            return Err(refused(&format!("its certificate, {subject}, is not for {hosts}")));
        }
        Ok(Some(PeerIdentity {
            subject: certificate.subject_name().to_owned(),
            certificates: chain.iter().map(|der| der.to_vec()).collect(),
        }))
    }

    /// Says that nothing is missing at the end. Before the handshake is complete, there is nothing.
    pub(super) fn close<S: Stream>(&mut self, socket: &mut S) {
        if !self.is_handshaking {
            self.tls.send_close_notify();
            let _ = self.send(socket);
        }
    }

    pub(super) fn may_hold_more(&self) -> bool {
        self.has_buffered() || !self.is_drained
    }

    pub(super) fn has_buffered(&self) -> bool {
        self.plaintext_bytes > 0 || self.is_ended
    }

    pub(super) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.unsent_bytes
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.is_handshaking
    }

    pub(super) fn peer_identity(&self) -> Option<&PeerIdentity> {
        self.identity.as_ref()
    }
}

/// The time in seconds since 1970.
/// The subject of the certificate that a client has proven to have; `None` without one, and if it
/// has expired since the session of TLS began.
pub(crate) fn subject(connection: &ServerConnection) -> Option<String> {
    let chain = connection.peer_certificates().unwrap_or_default();
    let certificate = own_certificate(chain, connection.handshake_kind()).ok()??;
    Some(certificate.subject_name().to_owned())
}

/// The first certificate of a chain, whose key the other side has proven to have; `None` without a
/// chain.
fn own_certificate(
    chain: &[CertificateDer<'_>],
    handshake: Option<HandshakeKind>,
) -> io::Result<Option<tls::Certificate>> {
    let Some(first) = chain.first() else { return Ok(None) };
    let certificate =
        tls::Certificate::parse(first).ok_or_else(|| refused("the certificate is malformed"))?;
    if handshake == Some(HandshakeKind::Resumed) && !certificate.is_valid_at(now()) {
        return Err(refused("the certificate has expired since the session began"));
    }
    Ok(Some(certificate))
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A socket whose short reads are noticed: they have emptied it.
struct Incoming<'a, S> {
    socket: &'a mut S,
    is_drained: &'a mut bool,
}

impl<S: Stream> io::Read for Incoming<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(buffer)?;
        *self.is_drained = read > 0 && !self.socket.may_hold_more(read, buffer.len());
        Ok(read)
    }
}
