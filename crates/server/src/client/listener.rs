//! The ports that clients connect to.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use group::GroupId;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::WAKER;
use crate::stream::ClientStreams;

/// Poll token of the first listener; the others count down from it, and no connection has one as
/// high.
const FIRST: usize = WAKER.0 - 1;

/// What the connections of a port have in common.
#[derive(Clone, Debug)]
pub(crate) struct ListenerKind {
    /// The group that its clients use.
    pub(crate) group: GroupId,
    /// What they are made of.
    pub(crate) streams: ClientStreams,
}

/// A port that clients connect to.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    kind: ListenerKind,
}

/// A connection that was accepted, on its way to the thread that serves it.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    pub(super) kind: ListenerKind,
}

/// All ports that one thread listens at.
#[derive(Debug)]
pub(super) struct Listeners(Vec<Listener>);

impl Listener {
    /// `socket` listens and does not block.
    pub(crate) fn new(socket: std::net::TcpListener, kind: ListenerKind) -> Listener {
        Listener { socket: TcpListener::from_std(socket), kind }
    }
}

impl Listeners {
    /// Registers all of them with the poll.
    ///
    /// # Errors
    /// The poll is full.
    pub(super) fn new(mut listeners: Vec<Listener>, registry: &Registry) -> io::Result<Listeners> {
        for (number, listener) in listeners.iter_mut().enumerate() {
            registry.register(&mut listener.socket, token(number), Interest::READABLE)?;
        }
        Ok(Listeners(listeners))
    }

    /// The listener whose events have this token, if it is one's.
    pub(super) fn number_of(&self, token: Token) -> Option<usize> {
        FIRST.checked_sub(token.0).filter(|number| *number < self.0.len())
    }

    /// The numbers of all listeners.
    pub(super) fn numbers(&self) -> Range<usize> {
        0..self.0.len()
    }

    /// Accepts a connection at one of them; `None` if there is no such listener.
    pub(super) fn accept(&self, number: usize) -> Option<io::Result<(Accepted, SocketAddr)>> {
        let Listener { socket, kind } = self.0.get(number)?;
        Some(socket.accept().map(|(socket, peer)| (Accepted { socket, kind: kind.clone() }, peer)))
    }

    /// Makes the edge-triggered poll report connections that still wait.
    pub(super) fn listen_again(&mut self, registry: &Registry, number: usize) {
        let Some(listener) = self.0.get_mut(number) else { return };
        if let Err(e) = registry.reregister(&mut listener.socket, token(number), Interest::READABLE) {
            tracing::error!("cannot listen any longer: {e}");
        }
    }
}

fn token(number: usize) -> Token {
    Token(FIRST - number)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    const PLAIN: ListenerKind = ListenerKind { group: GroupId::ROOT, streams: ClientStreams::Plain };

    fn open() -> (std::net::TcpListener, SocketAddr) {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn each_port_of_a_thread_is_told_from_the_others_and_from_connections() {
        let mut poll = Poll::new().unwrap();
        let (sockets, addresses): (Vec<_>, Vec<_>) = (0..3).map(|_| open()).unzip();
        let listeners = sockets.into_iter().map(|socket| Listener::new(socket, PLAIN)).collect();
        let mut listeners = Listeners::new(listeners, poll.registry()).unwrap();
        let mut events = Events::with_capacity(8);
        for (number, address) in addresses.iter().enumerate() {
            let client = std::net::TcpStream::connect(address).unwrap();
            listeners.listen_again(poll.registry(), number);
            poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
            let numbers: Vec<_> = events.iter().map(|event| listeners.number_of(event.token())).collect();
            assert_eq!(numbers, [Some(number)]);
            let (accepted, peer) = listeners.accept(number).unwrap().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert_eq!(accepted.socket.local_addr().unwrap(), *address);
            assert!(listeners.accept(number).unwrap().is_err(), "no other waits");
        }
        assert!(listeners.accept(3).is_none());
        assert_eq!([0, 1 << 32, WAKER.0].map(|token| listeners.number_of(Token(token))), [None; 3]);
    }
}
