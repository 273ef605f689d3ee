//! What a connection reads from and writes to.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// A client's end of the wire: a socket, or a stand-in for one in a simulation. Reading and writing never block.
pub trait Socket: Read + Write + Send {
    /// Lets the poll tell of it under this number.
    ///
    /// # Errors
    /// The poll has no room.
    fn watch(&mut self, registry: &Registry, slot: usize) -> io::Result<()>;

    /// Ends the connection. Its bytes that were written still arrive.
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

/// What a connection can be looked at for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// It has bytes, an error or its end to be read.
    pub readable: bool,
    /// It takes bytes again.
    pub writable: bool,
    /// The other side has closed.
    pub read_closed: bool,
}
