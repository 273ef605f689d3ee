//! Streams over TCP, and how a poll watches a stream's socket.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

#[cfg(test)]
use super::records::Records;
use super::tls::{Acceptor, PeerTls, TlsStream};
use super::{PeerIdentity, Stream};

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
#[derive(Clone, Debug)]
pub(crate) enum PeerStreams {
    /// TCP itself.
    Plain,
    /// As the configuration of TLS says.
    Tls(Arc<PeerTls>),
    /// As an encrypting transport behaves.
    #[cfg(test)]
    Records,
}

impl PeerStreams {
    /// The stream of a connection that was accepted from this address.
    ///
    /// # Errors
    /// There can be none.
    pub(crate) fn accepted(&self, socket: TcpStream, peer: SocketAddr) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            PeerStreams::Plain => Box::new(socket),
            PeerStreams::Tls(tls) => tls.accepted(socket, peer.ip())?,
            #[cfg(test)]
            PeerStreams::Records => Box::new(Records::accepted(socket)),
        })
    }

    /// The stream of a connection that was dialled to this address of a server with these host
    /// names, and need not be established.
    ///
    /// # Errors
    /// There can be none.
    pub(crate) fn dialled<'a>(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        hosts: impl Iterator<Item = &'a String>,
    ) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            PeerStreams::Plain => Box::new(socket),
            PeerStreams::Tls(tls) => tls.dialled(socket, peer.ip(), hosts.cloned().collect())?,
            #[cfg(test)]
            PeerStreams::Records => Box::new(Records::dialled(socket)),
        })
    }

    /// The subject of the certificate of a server that has dialled, if it is for none of its host
    /// names.
    pub(crate) fn objection<'a>(
        &self,
        identity: Option<&PeerIdentity>,
        hosts: impl Iterator<Item = &'a String>,
    ) -> Option<String> {
        match (self, identity) {
            (PeerStreams::Tls(tls), Some(identity)) => tls.objection(identity, hosts),
            _ => None,
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
