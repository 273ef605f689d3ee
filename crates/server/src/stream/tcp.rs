//! Streams over TCP, and how a poll watches a stream's socket.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::Stream;
#[cfg(test)]
use super::records::Records;
use super::tls::{Acceptor, TlsStream};

const INTERESTS: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// How the connections of a client port are made of its sockets.
#[derive(Clone, Debug)]
pub(crate) enum ClientStreams {
    /// TCP itself.
    Plain,
    /// TLS.
    Secure(Arc<Acceptor>),
    /// Either, which the first byte tells.
    Either(Arc<Acceptor>),
}

impl ClientStreams {
    /// The stream of a connection that was accepted from this address; `None` if too many
    /// handshakes are under way.
    pub(crate) fn accepted(&self, socket: TcpStream, peer: SocketAddr) -> Option<Box<dyn Stream>> {
        Some(match self {
            ClientStreams::Plain => Box::new(socket),
            ClientStreams::Secure(acceptor) => Box::new(TlsStream::secure(socket, acceptor, peer.ip())?),
            ClientStreams::Either(acceptor) => Box::new(TlsStream::either(socket, acceptor, peer.ip())),
        })
    }
}

/// How the connections between servers are made of their sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// TCP itself.
    Plain,
    /// As an encrypting transport behaves.
    #[cfg(test)]
    Records,
}

impl StreamKind {
    /// The stream of a connection that was accepted.
    pub(crate) fn accepted(self, socket: TcpStream) -> Box<dyn Stream> {
        match self {
            StreamKind::Plain => Box::new(socket),
            #[cfg(test)]
            StreamKind::Records => Box::new(Records::accepted(socket)),
        }
    }

    /// The stream of a connection that was dialled and need not be established.
    pub(crate) fn dialled(self, socket: TcpStream) -> Box<dyn Stream> {
        match self {
            StreamKind::Plain => Box::new(socket),
            #[cfg(test)]
            StreamKind::Records => Box::new(Records::dialled(socket)),
        }
    }
}

impl dyn Stream + '_ {
    /// Registers it with the poll, to be told when the socket is readable and when it is writable.
    /// The poll forgets the socket when the stream is dropped.
    ///
    /// # Errors
    /// The poll is full.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.source().map_or(Ok(()), |socket| registry.register(socket, token, INTERESTS))
    }

    /// Makes the poll announce again what it has announced before.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.source().map_or(Ok(()), |socket| registry.reregister(socket, token, INTERESTS))
    }
}

impl Stream for TcpStream {
    fn source(&mut self) -> Option<&mut dyn Source> {
        Some(self)
    }

    fn close(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }

    fn check_connected(&mut self) -> io::Result<bool> {
        match self.take_error()? {
            Some(e) => Err(e),
            None => Ok(self.peer_addr().is_ok()),
        }
    }

    /// A short read has emptied the socket: no second system call is needed to learn that.
    fn may_hold_more(&self, read: usize, room: usize) -> bool {
        read == room
    }
}
