//! The byte streams of connections: of clients and of other servers, over TCP or over whatever
//! encrypts TCP.

#[cfg(test)]
pub(crate) mod pipe;
#[cfg(test)]
pub(crate) mod records;
#[cfg(feature = "net")]
mod tcp;
#[cfg(test)]
mod tests;
#[cfg(feature = "net")]
mod tls;

use std::fmt;
use std::io::{self, Read, Write};

#[cfg(feature = "net")]
pub(crate) use self::tcp::{ClientStreams, PeerStreams};
#[cfg(feature = "net")]
pub(crate) use self::tls::{Acceptor, HANDSHAKE, PeerTls, subject};

/// One end of a connection. It never blocks: what cannot be done now fails with `WouldBlock`.
///
/// A stream is not its socket: one that encrypts may hold bytes of both directions, and may have to
/// write in order to read (a handshake, a change of keys). So:
///
/// - A call of `read`, `write` or `flush` may move bytes between the stream and its socket in both
///   directions. `read` and `flush` send what can be sent.
/// - The poll is edge-triggered and announces the socket's bytes, not the stream's. The owner reads
///   until `read` fails with `WouldBlock` or [`may_hold_more`](Stream::may_hold_more) says that
///   this would be the outcome. After a write or a flush it asks
///   [`has_buffered`](Stream::has_buffered).
/// - `write` accepts bytes that the socket has not taken. The owner calls `flush` when the socket
///   is writable while [`wants_write`](Stream::wants_write).
/// - A handshake of the transport takes place within these calls. Until it is complete, `read`
///   fails with `WouldBlock`, and `write` accepts 4 KiB at least, to send them later.
pub trait Stream: Read + Write + Send {
    /// The socket, for the poll to watch; `None` for a stream in memory.
    #[cfg(feature = "net")]
    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        None
    }

    /// Closes the connection, and tells the other side that nothing is missing at the end. Bytes
    /// already written still arrive, unless the stream [`wants_write`](Stream::wants_write).
    fn close(&mut self);

    /// Whether a connection that was begun has been established. `false`: it has not yet.
    ///
    /// # Errors
    /// It has failed.
    fn check_connected(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    /// Whether more can be read at once, as far as is known after a read of `read` bytes into room
    /// for `room`. If not, an event will announce the next bytes; the end of the stream may be
    /// announced already.
    fn may_hold_more(&self, _read: usize, _room: usize) -> bool {
        true
    }

    /// Whether it holds received bytes or the end of the stream, which no event will announce.
    fn has_buffered(&self) -> bool {
        false
    }

    /// Whether it holds bytes that the socket has not taken; an event will announce that it does.
    fn wants_write(&self) -> bool {
        false
    }

    /// Bytes of memory of what the socket has not taken.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Whether the transport's handshake is not complete. Its steps cost much more time than a
    /// read.
    fn is_handshaking(&self) -> bool {
        false
    }

    /// Whether the bytes are encrypted on their way.
    fn is_secure(&self) -> bool {
        false
    }

    /// What the other side has proven about itself to the transport; `None` for a transport that
    /// proves nothing, and before its handshake is complete.
    fn peer_identity(&self) -> Option<&PeerIdentity> {
        None
    }
}

/// What the other side of a connection has proven to the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The distinguished name of the subject of its own certificate, after RFC 2253.
    pub subject: String,
    /// Its chain of certificates in DER, its own first. Its own key has been checked, and the chain
    /// as the configuration says.
    pub certificates: Vec<Vec<u8>>,
}

/// What a connection is ready for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// Bytes, an error or the end of the stream can be read.
    pub readable: bool,
    /// Bytes can be written again.
    pub writable: bool,
    /// The other side has closed.
    pub read_closed: bool,
}

impl dyn Stream + '_ {
    /// Reads once. `Ok(None)`: nothing can be read now. `Ok(Some(0))`: the other side closed.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            return match self.read(buffer) {
                Ok(n) => Ok(Some(n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
        }
    }
}

impl fmt::Debug for dyn Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}
