//! One client's TLS: rustls between a socket and its owner.

use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tls::rustls::{HandshakeKind, IoState, ServerConnection};

use super::Acceptor;
use super::acceptor::Outstanding;
use crate::stream::{PeerIdentity, Stream};

/// Bytes that a record adds to its plaintext, at most.
const RECORD_OVERHEAD_BYTES: usize = 40;
/// Bytes of plaintext in one record, at most.
const RECORD_BYTES: usize = 16 << 10;

/// The server's side of one connection.
pub(super) struct Session {
    tls: ServerConnection,
    acceptor: Arc<Acceptor>,
    peer: IpAddr,
    /// Counts as a handshake until it is complete.
    handshake: Option<Outstanding>,
    /// What the client has proven.
    identity: Option<PeerIdentity>,
    /// Plaintext received and not read.
    plaintext_bytes: usize,
    /// The client has said that it sends no more.
    is_ended: bool,
    /// The last read has emptied the socket.
    is_drained: bool,
    /// Ciphertext that the socket has not taken, never less than there is.
    unsent_bytes: usize,
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Session {
    /// A session whose handshake is still to come.
    ///
    /// # Errors
    /// There are too many handshakes.
    pub(super) fn begin(acceptor: &Arc<Acceptor>, peer: IpAddr) -> io::Result<Session> {
        let handshake = acceptor.begin_handshake().ok_or(io::ErrorKind::QuotaExceeded)?;
        Ok(Session {
            tls: ServerConnection::new(acceptor.config()).map_err(failed)?,
            acceptor: Arc::clone(acceptor),
            peer,
            handshake: Some(handshake),
            identity: None,
            plaintext_bytes: 0,
            is_ended: false,
            is_drained: false,
            unsent_bytes: 0,
        })
    }

    /// Takes bytes that were received before it was known that they are TLS.
    pub(super) fn receive_first<S: Stream>(&mut self, socket: &mut S, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes)?;
            let processed = self.process();
            let sent = self.send(socket);
            processed.and(sent)?;
        }
        Ok(())
    }

    pub(super) fn read<S: Stream>(&mut self, socket: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plaintext_bytes == 0 {
            self.exchange(socket)?;
        }
        let read = self.tls.reader().read(buffer)?;
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
                Ok(_) => {
                    let processed = self.process();
                    // An answer, or the alert that says what is wrong.
                    let sent = self.send(socket);
                    processed.and(sent)?;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.is_drained = true,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn process(&mut self) -> io::Result<()> {
        let state: IoState = self.tls.process_new_packets().map_err(failed)?;
        self.plaintext_bytes = state.plaintext_bytes_to_read();
        self.is_ended |= state.peer_has_closed();
        if self.handshake.is_some() && !self.tls.is_handshaking() {
            self.handshake = None;
            self.identity = self.check_identity()?;
        }
        Ok(())
    }

    /// What the client has proven; `None` if it was not asked or has no certificate.
    fn check_identity(&self) -> io::Result<Option<PeerIdentity>> {
        let Some(chain) = self.tls.peer_certificates().filter(|chain| !chain.is_empty()) else {
            return Ok(None);
        };
        let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned());
        let certificate =
            tls::Certificate::parse(&chain[0]).ok_or_else(|| refused("the certificate is malformed"))?;
        if self.tls.handshake_kind() == Some(HandshakeKind::Resumed) && !certificate.is_valid_at(now()) {
            return Err(refused("the certificate has expired since the session began"));
        }
        if self.acceptor.checks_hosts()
            && !tls::is_valid_for(&certificate, &self.peer.to_canonical().to_string())
        {
            return Err(refused("the certificate is not for the client's address"));
        }
        Ok(Some(PeerIdentity {
            subject: certificate.subject_name().to_owned(),
            certificates: chain.iter().map(|der| der.to_vec()).collect(),
        }))
    }

    /// Says that nothing is missing at the end.
    pub(super) fn close<S: Stream>(&mut self, socket: &mut S) {
        self.tls.send_close_notify();
        let _ = self.send(socket);
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
        self.handshake.is_some()
    }

    pub(super) fn peer_identity(&self) -> Option<&PeerIdentity> {
        self.identity.as_ref()
    }
}

/// The time in seconds since 1970.
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
