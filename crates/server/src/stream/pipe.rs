//! A socket in memory, whose events are edge-triggered as the poll's.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Readiness, Stream};

/// The bytes on their way in one direction.
#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    /// Bytes above which the writer has to wait.
    room: usize,
    /// Whether bytes or the end have arrived since the last poll.
    arrived: bool,
    /// Whether the writer has been told to wait since the last poll that found room.
    blocked: bool,
    closed: bool,
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct End {
    incoming: Arc<Mutex<Way>>,
    outgoing: Arc<Mutex<Way>>,
}

/// Both ends of a connection that takes `room` bytes in each direction before a writer has to wait.
pub(crate) fn pair(room: usize) -> (End, End) {
    let way = || Arc::new(Mutex::new(Way { room, ..Way::default() }));
    let (near, far) = (way(), way());
    (End { incoming: Arc::clone(&near), outgoing: Arc::clone(&far) }, End { incoming: far, outgoing: near })
}

fn lock(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().expect("no test panics while it holds this")
}

impl End {
    /// What a poll reports: each arrival and each return of room once, and nothing about bytes that
    /// have been read meanwhile.
    pub(crate) fn poll(&self) -> Readiness {
        let (mut incoming, mut outgoing) = (lock(&self.incoming), lock(&self.outgoing));
        let is_new = std::mem::take(&mut incoming.arrived);
        let writable = outgoing.blocked && outgoing.bytes.len() < outgoing.room;
        outgoing.blocked &= !writable;
        let readable = is_new && (!incoming.bytes.is_empty() || incoming.closed);
        Readiness { readable, writable, read_closed: incoming.closed }
    }
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut incoming = lock(&self.incoming);
        match incoming.bytes.read(buffer)? {
            0 if !incoming.closed => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let n = bytes.len().min(outgoing.room.saturating_sub(outgoing.bytes.len()));
        outgoing.blocked = n < bytes.len();
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        outgoing.bytes.extend(&bytes[..n]);
        outgoing.arrived = true;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for End {
    fn close(&mut self) {
        let mut outgoing = lock(&self.outgoing);
        (outgoing.closed, outgoing.arrived) = (true, true);
    }
}
