//! The socket of a load generator's connection, with or without TLS. It never blocks.

use std::io::{self, Read, Write};

use client::rustls::ClientConnection;
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// A connected socket.
#[derive(Debug)]
pub(super) struct LinkStream {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl LinkStream {
    /// `tls` has completed its handshake on this socket, or begins it with the first bytes that
    /// are written; then `flush` after each `read` until it has.
    pub(super) fn new(tcp: TcpStream, tls: Option<ClientConnection>) -> LinkStream {
        LinkStream { tcp, tls: tls.map(Box::new) }
    }

    /// The socket itself.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Fills the buffer, as far as bytes have arrived. 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if no byte has arrived; otherwise the connection is lost.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        let mut filled = 0;
        while filled < buffer.len() {
            match tls.reader().read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(length) => {
                    filled += length;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match tls.read_tls(&mut self.tcp) {
                Ok(_) => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Takes bytes for the server; how many is less than all if the socket is full.
    ///
    /// # Errors
    /// `WouldBlock` if it takes none; otherwise the connection is lost.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.write(bytes) };
        let taken = tls.writer().write(bytes)?;
        self.flush()?;
        if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Writes what is encrypted already, as far as the socket takes it.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                written => written?,
            };
        }
        Ok(())
    }
}

impl Source for LinkStream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.tcp.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.tcp.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.tcp.deregister(registry)
    }
}
