//! A connection's byte stream.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// The server's end of a client connection: a socket, or a substitute in a simulation. Reading and
/// writing never block.
pub trait Socket: Read + Write + Send {
    /// Registers it with the poll under this number.
    ///
    /// # Errors
    /// The poll is full.
    fn watch(&mut self, registry: &Registry, slot: usize) -> io::Result<()>;

    /// Closes the connection. Bytes already written still arrive.
    fn close(&mut self, registry: &Registry);
}

impl Socket for TcpStream {
    fn watch(&mut self, registry: &Registry, slot: usize) -> io::Result<()> {
        registry.register(self, Token(slot), Interest::READABLE | Interest::WRITABLE)
    }

    fn close(&mut self, registry: &Registry) {
        let _ = registry.deregister(self);
        let _ = self.shutdown(Shutdown::Both);
    }
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
