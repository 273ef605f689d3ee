//! The connection to another member: encoding and buffering of messages.

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, IoSlice, Read, Write};

const HEAD_BYTES: usize = 20;
/// Initial size of the receive buffer. A longer message enlarges it.
const INPUT_BYTES: usize = 256 << 10;

/// The head of a message, without the length of its writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// From a follower, the newest batch it has flushed; from the leader, the newest that is
    /// committed.
    pub(super) done: u64,
    /// The follower's newest forward: from the follower, the one in this message; from the leader,
    /// the newest one in this batch.
    pub(super) forward: u64,
}

impl Head {
    fn encode(self, length: usize) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.done.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.forward.to_be_bytes());
        bytes[16..].copy_from_slice(&(length as u32).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEAD_BYTES]) -> (Self, usize) {
        let number = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let length = u32::from_be_bytes(bytes[16..].try_into().expect("the last four bytes"));
        (Self { done: number(0), forward: number(8) }, length as usize)
    }
}

/// Received bytes, of which the last message may be incomplete.
#[derive(Debug)]
struct Inbound {
    bytes: Vec<u8>,
    filled: usize,
}

impl Inbound {
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], filled: 0 }
    }

    fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Passes on the messages that the next `length` bytes have completed. There is space again
    /// afterwards.
    fn filled(&mut self, length: usize, take: &mut impl FnMut(Head, &[u8])) {
        self.filled += length;
        let (mut at, mut needed) = (0, HEAD_BYTES);
        while let Some((head, rest)) = self.bytes[at..self.filled].split_first_chunk::<HEAD_BYTES>() {
            let (head, length) = Head::decode(head);
            let Some(writes) = rest.get(..length) else {
                needed += length;
                break;
            };
            take(head, writes);
            at += HEAD_BYTES + length;
        }
        self.bytes.copy_within(at..self.filled, 0);
        self.filled -= at;
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
    }
}

#[derive(Debug)]
pub(super) struct Peer {
    /// For error messages.
    name: String,
    stream: TcpStream,
    inbound: Inbound,
    /// Bytes the socket did not accept yet.
    out: Vec<u8>,
}

impl Peer {
    /// A peer called `name` over a non-blocking connection.
    pub(super) fn new(name: String, stream: std::net::TcpStream) -> Self {
        let stream = TcpStream::from_std(stream);
        Self { name, stream, inbound: Inbound::new(INPUT_BYTES), out: Vec::new() }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Processes the received messages, and writes pending output. With `ended` set, reads to the
    /// end, since no further event would follow.
    pub(super) fn exchange(&mut self, ended: bool, mut take: impl FnMut(Head, &[u8])) -> io::Result<()> {
        self.write()?;
        loop {
            let space = self.inbound.space();
            let asked = space.len();
            let length = match self.stream.read(space) {
                Ok(0) => return Err(io::Error::other(format!("the connection to {} ended", self.name))),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(self.lost(&error)),
            };
            self.inbound.filled(length, &mut take);
            // A shorter read means that the socket is drained.
            if length < asked && !ended {
                return Ok(());
            }
        }
    }

    /// Sends a message, in one call and without a copy as long as the socket accepts it.
    pub(super) fn send(&mut self, head: Head, writes: &[u8]) -> io::Result<()> {
        let head = head.encode(writes.len());
        let mut sent = 0;
        if self.out.is_empty() {
            sent = match self.stream.write_vectored(&[IoSlice::new(&head), IoSlice::new(writes)]) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(self.lost(&error)),
            };
        }
        self.out.extend_from_slice(&head[sent.min(HEAD_BYTES)..]);
        self.out.extend_from_slice(&writes[sent.saturating_sub(HEAD_BYTES)..]);
        self.write()
    }

    /// Writes until nothing is left or the socket is full; only after that an event reports it
    /// writable.
    fn write(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.stream.write(&self.out[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(self.lost(&error)),
            }
        }
        self.out.drain(..sent);
        Ok(())
    }

    fn lost(&self, error: &io::Error) -> io::Error {
        io::Error::other(format!("the connection to {} was lost: {error}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_reassembled_from_any_pieces() {
        let sent = [(1, 2, &b"abc"[..]), (3, 4, b""), (5, u64::MAX, &[9; 100])];
        let bytes: Vec<u8> = sent
            .iter()
            .flat_map(|(done, forward, writes)| {
                let head = Head { done: *done, forward: *forward };
                [&head.encode(writes.len()), *writes].concat()
            })
            .collect();
        for piece in 1..=bytes.len() {
            let mut inbound = Inbound::new(HEAD_BYTES);
            let mut received = Vec::new();
            for bytes in bytes.chunks(piece) {
                let mut at = 0;
                while at < bytes.len() {
                    let space = inbound.space();
                    let length = space.len().min(bytes.len() - at);
                    space[..length].copy_from_slice(&bytes[at..at + length]);
                    inbound.filled(length, &mut |head, writes| {
                        received.push((head.done, head.forward, writes.to_vec()));
                    });
                    at += length;
                }
            }
            let sent: Vec<_> = sent.iter().map(|(done, forward, w)| (*done, *forward, w.to_vec())).collect();
            assert_eq!(received, sent, "in pieces of {piece}");
        }
    }
}
