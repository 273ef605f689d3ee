//! Streams over TLS; and accepted ones that may be TLS or not, which the first byte tells.

mod acceptor;
mod peers;
mod session;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use tls::rustls::ClientConfig;

pub(crate) use self::acceptor::Acceptor;
pub(crate) use self::peers::PeerTls;
use self::session::Session;
pub(crate) use self::session::subject;
use super::{PeerIdentity, Stream};

/// The first byte of TLS: the type of a handshake record. A client without TLS begins with the
/// length of a short frame or with a letter, a server with a letter.
pub(crate) const HANDSHAKE: u8 = 0x16;

/// The stream over a socket.
pub(crate) struct TlsStream<S> {
    socket: S,
    mode: Mode,
}

enum Mode {
    /// Nothing has been received that would tell. The address is the client's.
    Undecided(Arc<Acceptor>, IpAddr),
    Plain,
    Tls(Box<Session>),
}

impl<S: Stream> TlsStream<S> {
    /// A stream of a port where all clients speak TLS; `None` at the limit of handshakes.
    pub(crate) fn secure(socket: S, acceptor: &Arc<Acceptor>, peer: IpAddr) -> Option<TlsStream<S>> {
        let session = Session::begin(acceptor, peer).ok()?;
        Some(TlsStream { socket, mode: Mode::Tls(Box::new(session)) })
    }

    /// A stream of a port where clients may speak TLS.
    pub(crate) fn either(socket: S, acceptor: &Arc<Acceptor>, peer: IpAddr) -> TlsStream<S> {
        TlsStream { socket, mode: Mode::Undecided(Arc::clone(acceptor), peer) }
    }

    /// A stream of a connection that was dialled. The certificate of the other side must be for one
    /// of `hosts`, if there are any.
    fn dialled(
        socket: S,
        config: Arc<ClientConfig>,
        peer: IpAddr,
        hosts: Vec<String>,
    ) -> io::Result<TlsStream<S>> {
        let session = Session::dial(config, peer, hosts)?;
        Ok(TlsStream { socket, mode: Mode::Tls(Box::new(session)) })
    }

    /// Reads the first bytes. `buffer` has them if they are not TLS.
    fn decide(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Mode::Undecided(acceptor, peer) = &self.mode else { return Ok(None) };
        let received = self.socket.read(buffer)?;
        if received == 0 || buffer[0] != HANDSHAKE {
            self.mode = Mode::Plain;
            return Ok(Some(received));
        }
        let mut session = Box::new(Session::begin(acceptor, *peer)?);
        session.receive_first(&mut self.socket, &buffer[..received])?;
        self.mode = Mode::Tls(session);
        Ok(None)
    }
}

impl<S: Stream> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if let Some(received) = self.decide(buffer)? {
            return Ok(received);
        }
        match &mut self.mode {
            Mode::Tls(session) => session.read(&mut self.socket, buffer),
            Mode::Plain | Mode::Undecided(..) => self.socket.read(buffer),
        }
    }
}

impl<S: Stream> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.mode {
            Mode::Tls(session) => session.write(&mut self.socket, bytes),
            Mode::Plain | Mode::Undecided(..) => self.socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.mode {
            Mode::Tls(session) => session.send(&mut self.socket),
            Mode::Plain | Mode::Undecided(..) => Ok(()),
        }
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        self.socket.source()
    }

    fn close(&mut self) {
        if let Mode::Tls(session) = &mut self.mode {
            session.close(&mut self.socket);
        }
        self.socket.close();
    }

    fn check_connected(&mut self) -> io::Result<bool> {
        self.socket.check_connected()
    }

    fn may_hold_more(&self, read: usize, room: usize) -> bool {
        match &self.mode {
            Mode::Tls(session) => session.may_hold_more(),
            Mode::Plain | Mode::Undecided(..) => self.socket.may_hold_more(read, room),
        }
    }

    fn has_buffered(&self) -> bool {
        matches!(&self.mode, Mode::Tls(session) if session.has_buffered())
    }

    fn wants_write(&self) -> bool {
        matches!(&self.mode, Mode::Tls(session) if session.wants_write())
    }

    fn held_bytes(&self) -> usize {
        match &self.mode {
            Mode::Tls(session) => session.held_bytes(),
            Mode::Plain | Mode::Undecided(..) => 0,
        }
    }

    fn is_handshaking(&self) -> bool {
        match &self.mode {
            Mode::Undecided(..) => true,
            Mode::Plain => false,
            Mode::Tls(session) => session.is_handshaking(),
        }
    }

    fn is_secure(&self) -> bool {
        matches!(self.mode, Mode::Tls(_))
    }

    fn peer_identity(&self) -> Option<&PeerIdentity> {
        match &self.mode {
            Mode::Tls(session) => session.peer_identity(),
            Mode::Plain | Mode::Undecided(..) => None,
        }
    }
}
