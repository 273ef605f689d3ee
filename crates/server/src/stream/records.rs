//! A stream that behaves as an encrypting one does, for tests.
//!
//! ```text
//!  record: kind u8 │ length u16 │ payload      dialled              accepted
//!                                                Hello    ────────►
//!                                                         ◄────────   Hello
//!                                                Finished ────────►
//!                                                Data, Update, Updated, Close: either way
//! ```
//! It receives whole records and keeps several of them, and a read returns bytes of one at most. It
//! answers records while its owner only reads, and receives records while its owner only writes.
//! Every few records it demands an answer of the other side.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use super::{PeerIdentity, Stream};

/// Bytes of data in a record.
const RECORD_BYTES: usize = 1000;
/// Bytes of either direction that it holds before it takes no more.
const HELD_BYTES: usize = 64 << 10;
/// Bytes accepted before the handshake is complete.
const EARLY_BYTES: usize = 4 << 10;
/// What the payload is combined with, so that nobody takes it for the plaintext.
const MASK: u8 = 0x5a;
const HEADER_BYTES: usize = 3;

const HELLO: u8 = 1;
const FINISHED: u8 = 2;
const DATA: u8 = 3;
const UPDATE: u8 = 4;
const UPDATED: u8 = 5;
const CLOSE: u8 = 6;

/// How the received bytes end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The other side has said that nothing is missing.
    Whole,
    /// The socket ended before that.
    CutOff,
}

/// The stream over a socket.
#[derive(Debug)]
pub(crate) struct Records<S> {
    socket: S,
    is_dialled: bool,
    has_greeted: bool,
    is_complete: bool,
    /// The other side's certificate, proven once the handshake is complete.
    identity: Option<PeerIdentity>,
    /// Received and not yet a whole record.
    received: Vec<u8>,
    /// Data received and not read, by record.
    data: VecDeque<Vec<u8>>,
    data_bytes: usize,
    end: Option<End>,
    /// Data accepted before the handshake was complete.
    early: Vec<u8>,
    /// Records that the socket has not taken.
    sending: Vec<u8>,
    data_records: usize,
    /// Records of data after which it demands an answer.
    pub(crate) update_every: usize,
    /// Answers demanded and not received.
    pub(crate) unanswered: usize,
}

impl<S: Stream> Records<S> {
    /// The side that dialled.
    pub(crate) fn dialled(socket: S) -> Records<S> {
        Records {
            socket,
            is_dialled: true,
            has_greeted: false,
            is_complete: false,
            identity: None,
            received: Vec::new(),
            data: VecDeque::new(),
            data_bytes: 0,
            end: None,
            early: Vec::new(),
            sending: Vec::new(),
            data_records: 0,
            update_every: 3,
            unanswered: 0,
        }
    }

    /// The other side.
    pub(crate) fn accepted(socket: S) -> Records<S> {
        Records { is_dialled: false, ..Records::dialled(socket) }
    }

    /// Moves everything that can be moved, in both directions.
    fn exchange(&mut self) -> io::Result<()> {
        if self.is_dialled && !std::mem::replace(&mut self.has_greeted, true) {
            self.say(HELLO, b"the dialled side's certificate");
        }
        self.receive()?;
        self.send()
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4 * RECORD_BYTES];
        while self.data_bytes < HELD_BYTES && self.end.is_none() {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.end = Some(End::CutOff),
                Ok(n) => {
                    self.received.extend_from_slice(&buffer[..n]);
                    self.take_records()?;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn take_records(&mut self) -> io::Result<()> {
        while let Some(&[kind, l0, l1]) = self.received.first_chunk::<HEADER_BYTES>() {
            let end = HEADER_BYTES + usize::from(u16::from_be_bytes([l0, l1]));
            let Some(payload) = self.received.get(HEADER_BYTES..end) else { return Ok(()) };
            let payload = payload.iter().map(|byte| byte ^ MASK).collect();
            self.received.drain(..end);
            self.take(kind, payload)?;
        }
        Ok(())
    }

    fn take(&mut self, kind: u8, payload: Vec<u8>) -> io::Result<()> {
        match kind {
            HELLO => {
                let subject = String::from_utf8_lossy(&payload).into_owned();
                self.identity = Some(PeerIdentity { subject, certificates: vec![payload] });
                if self.is_dialled {
                    self.say(FINISHED, &[]);
                    self.complete();
                } else {
                    self.say(HELLO, b"the accepting side's certificate");
                }
            }
            FINISHED => self.complete(),
            DATA if self.is_complete => {
                self.data_bytes += payload.len();
                self.data.push_back(payload);
                self.data_records += 1;
                if self.data_records.is_multiple_of(self.update_every) {
                    self.unanswered += 1;
                    self.say(UPDATE, &[]);
                }
            }
            UPDATE => self.say(UPDATED, &[]),
            UPDATED => self.unanswered -= 1,
            CLOSE => self.end = Some(End::Whole),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(())
    }

    fn complete(&mut self) {
        self.is_complete = true;
        let early = std::mem::take(&mut self.early);
        early.chunks(RECORD_BYTES).for_each(|data| self.say(DATA, data));
    }

    fn say(&mut self, kind: u8, payload: &[u8]) {
        self.sending.push(kind);
        self.sending.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        self.sending.extend(payload.iter().map(|byte| byte ^ MASK));
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.sending.is_empty() {
            match self.socket.write(&self.sending) {
                Ok(n) => drop(self.sending.drain(..n)),
                // A connection that was dialled and is not yet established.
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl<S: Stream> Read for Records<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.data.is_empty() {
            self.exchange()?;
        } else {
            self.send()?;
        }
        let Some(record) = self.data.front_mut() else {
            return match self.end {
                None => Err(io::ErrorKind::WouldBlock.into()),
                Some(End::Whole) => Ok(0),
                Some(End::CutOff) => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        };
        let n = record.len().min(buffer.len());
        buffer[..n].copy_from_slice(&record[..n]);
        record.drain(..n);
        self.data_bytes -= n;
        if record.is_empty() {
            self.data.pop_front();
        }
        Ok(n)
    }
}

impl<S: Stream> Write for Records<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.exchange()?;
        let room = if self.is_complete {
            HELD_BYTES.saturating_sub(self.sending.len())
        } else {
            EARLY_BYTES - self.early.len()
        };
        let taken = &bytes[..bytes.len().min(room)];
        if taken.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.is_complete {
            taken.chunks(RECORD_BYTES).for_each(|data| self.say(DATA, data));
            self.send()?;
        } else {
            self.early.extend_from_slice(taken);
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.exchange()?;
        if self.sending.is_empty() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }
}

impl<S: Stream> Stream for Records<S> {
    #[cfg(feature = "net")]
    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        self.socket.source()
    }

    fn close(&mut self) {
        self.say(CLOSE, &[]);
        let _ = self.send();
        self.socket.close();
    }

    fn check_connected(&mut self) -> io::Result<bool> {
        self.socket.check_connected()
    }

    fn has_buffered(&self) -> bool {
        !self.data.is_empty() || self.end.is_some()
    }

    fn wants_write(&self) -> bool {
        !self.sending.is_empty()
    }

    fn held_bytes(&self) -> usize {
        self.sending.len()
    }

    fn peer_identity(&self) -> Option<&PeerIdentity> {
        self.identity.as_ref().filter(|_| self.is_complete)
    }
}
