//! The server's end of a client's connection, in memory.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use server::simulation::{Readiness, Stream};

/// The buffers between a client and the connection thread of its member.
#[derive(Debug, Default)]
struct Pipe {
    /// Arrived at the server and not read.
    arrived: Vec<u8>,
    /// Whether something has arrived since the last poll reported it.
    unpolled: bool,
    /// Whether the client has closed, or the path from it is broken.
    hung_up: bool,
    /// Written by the server and not taken by the network.
    written: Vec<u8>,
    /// Bytes in `written` above which the server has to wait.
    room: usize,
    /// Whether the server got `WouldBlock`.
    blocked: bool,
    /// Whether the server has closed.
    closed: bool,
}

/// One connection, as the network sees it.
#[derive(Clone, Debug)]
pub struct Wire(Arc<Mutex<Pipe>>);

/// The same connection, as the server sees it.
struct ServerEnd(Wire);

impl Wire {
    /// A connection whose socket takes `room` bytes before the server has to wait for the network.
    pub fn new(room: usize) -> Wire {
        Wire(Arc::new(Mutex::new(Pipe { room, ..Pipe::default() })))
    }

    /// The server's end.
    pub fn server_end(&self) -> Box<dyn Stream> {
        Box::new(ServerEnd(self.clone()))
    }

    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes from the client arrive.
    pub fn arrive(&self, bytes: &[u8]) {
        let mut pipe = self.pipe();
        pipe.arrived.extend_from_slice(bytes);
        pipe.unpolled = true;
    }

    /// The client closes, or its connection breaks.
    pub fn hang_up(&self) {
        let mut pipe = self.pipe();
        (pipe.hung_up, pipe.unpolled) = (true, true);
    }

    /// Whether the client has closed, or the path from it is broken.
    pub fn is_hung_up(&self) -> bool {
        self.pipe().hung_up
    }

    /// What a poll reports; edge-triggered, as with real sockets.
    pub fn readiness(&self) -> Readiness {
        let mut pipe = self.pipe();
        let writable = pipe.blocked && pipe.written.len() < pipe.room;
        let unread = !pipe.arrived.is_empty() || pipe.hung_up;
        let readable = unread && (std::mem::take(&mut pipe.unpolled) || writable);
        Readiness { readable, writable, read_closed: pipe.hung_up }
    }

    /// Takes everything the server has written; also whether the server waited for that.
    pub fn take_written(&self) -> (Vec<u8>, bool) {
        self.take_some(usize::MAX)
    }

    /// The same, where the client takes at most `bytes_max`.
    pub fn take_some(&self, bytes_max: usize) -> (Vec<u8>, bool) {
        let mut pipe = self.pipe();
        let taken = pipe.written.len().min(bytes_max);
        (pipe.written.drain(..taken).collect(), pipe.blocked)
    }

    /// Limits the bytes its socket takes from now on.
    pub fn narrow(&self, room: usize) {
        let mut pipe = self.pipe();
        pipe.room = pipe.room.min(room);
    }

    /// Whether the server has closed.
    pub fn is_closed(&self) -> bool {
        self.pipe().closed
    }
}

impl Read for ServerEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pipe = self.0.pipe();
        if pipe.arrived.is_empty() {
            return if pipe.hung_up { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let length = pipe.arrived.len().min(buffer.len());
        buffer[..length].copy_from_slice(&pipe.arrived[..length]);
        pipe.arrived.drain(..length);
        Ok(length)
    }
}

impl Write for ServerEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pipe = self.0.pipe();
        if pipe.hung_up {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = pipe.room.saturating_sub(pipe.written.len());
        if room == 0 {
            pipe.blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = room.min(bytes.len());
        pipe.blocked = length < bytes.len();
        pipe.written.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for ServerEnd {
    fn close(&mut self) {
        self.0.pipe().closed = true;
    }

    fn may_hold_more(&self, read: usize, room: usize) -> bool {
        read == room
    }
}
