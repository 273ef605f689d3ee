//! From the replication thread to one connection thread: replies, events and session news, in the order they must be seen.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use group::Token;
use mio::Waker;
use parking_lot::Mutex;
use state::read::Piece;
use wire::ErrorCode;

use crate::client::answer::Answered;

/// One thing for one connection. The `len` bytes of a frame stand in [`Delivery::bytes`] in the order of the notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A finished reply; the connection has one request fewer in flight.
    Reply {
        /// Bytes of its frame, and of the events before it. Long parts of it are not counted.
        len: usize,
        /// Bytes of those events.
        events: usize,
    },
    /// A watch event frame.
    Event {
        /// Bytes of the frame.
        len: usize,
    },
    /// The session this connection asked for is on it from now on.
    SessionOpened {
        /// The session's id.
        session: i64,
    },
    /// This connection gets neither the new session nor the one it asked for.
    SessionRefused {
        /// Why.
        code: ErrorCode,
    },
    /// The session of this connection ended; after what is queued, close.
    SessionClosed,
    /// After what is queued, close; the session lives on.
    Finish,
    /// Close at once: the session is on another connection, something was lost, or the operator
    /// asked for it.
    Drop,
}

/// What one apply run has for one connection thread.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Whole frames, back to back.
    pub bytes: Vec<u8>,
    /// Long parts of replies, each with the position in `bytes` of the byte before which it
    /// belongs, in this order.
    pub pieces: Vec<(usize, Piece)>,
    /// To whom and what.
    pub notes: Vec<(Token, Note)>,
}

impl Delivery {
    /// Adds a frame that `write` appends.
    pub fn frame(&mut self, token: Token, note: fn(usize) -> Note, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.notes.push((token, note(self.bytes.len() - start)));
    }

    /// Adds a reply that `write` appends, perhaps with events before it, and perhaps the end of the
    /// connection behind it.
    pub(crate) fn reply(&mut self, token: Token, write: impl FnOnce(&mut Vec<u8>) -> Answered) {
        let start = self.bytes.len();
        let mut answered = write(&mut self.bytes);
        self.pieces.append(&mut answered.pieces);
        let (len, events) = (self.bytes.len() - start, answered.reply_at - start);
        self.notes.push((token, Note::Reply { len, events }));
        if answered.closes {
            self.notes.push((token, Note::Finish));
        }
    }

    /// Adds a note without a frame.
    pub fn note(&mut self, token: Token, note: Note) {
        self.notes.push((token, note));
    }

    /// Whether there is nothing to deliver.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    fn append(&mut self, other: &mut Delivery) {
        if self.is_empty() {
            std::mem::swap(self, other);
        } else {
            let start = self.bytes.len();
            self.pieces.extend(other.pieces.drain(..).map(|(at, piece)| (start + at, piece)));
            self.bytes.extend_from_slice(&other.bytes);
            self.notes.append(&mut other.notes);
            other.bytes.clear();
        }
    }
}

/// The mailbox of one connection thread.
pub struct Mailbox {
    delivery: Mutex<Delivery>,
    accepted: Mutex<Vec<TcpStream>>,
    /// Set after something was put in, cleared before it is taken out.
    full: AtomicBool,
    /// Somebody wants to know that the thread has looked at its sockets.
    asked: AtomicBool,
    /// The thread waits in the poll and must be woken; written with `full` in sequentially consistent order on both sides, so that
    /// either the thread sees the post or the poster sees the sleeper.
    asleep: AtomicBool,
    /// Nobody has to be woken where there is no such thread.
    waker: Option<Waker>,
}

impl Mailbox {
    /// A mailbox whose thread is woken through `waker`.
    pub fn new(waker: Option<Waker>) -> Mailbox {
        Mailbox {
            delivery: Mutex::default(),
            accepted: Mutex::default(),
            full: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            waker,
        }
    }

    /// Puts in everything of `delivery`, emptying it, without waking the thread: the poster may hold the machine, and a wake-up is a
    /// system call. [`wake`](Self::wake) has to follow.
    pub fn post(&self, delivery: &mut Delivery) {
        self.delivery.lock().append(delivery);
        self.full.store(true, Ordering::SeqCst);
    }

    /// Hands over a new connection.
    pub fn hand_over(&self, stream: TcpStream) {
        self.accepted.lock().push(stream);
        self.full.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Wakes the thread if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Lets the thread look at its sockets soon, and say until when it has.
    pub fn ask_to_look(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Whether the thread was asked to look at its sockets.
    pub fn is_asked_to_look(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The thread is about to look at its sockets.
    pub fn looks(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }

    /// Wakes the thread whatever it does, for shutdown.
    pub fn alarm(&self) {
        self.full.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn ring(&self) {
        if let Some(waker) = &self.waker {
            // It fails only if the poll is gone, and then so is the thread.
            let _ = waker.wake();
        }
    }

    /// Whether something was put in since the last [`collect`](Self::collect).
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    /// Takes everything out; both arguments are empty before.
    pub fn collect(&self, delivery: &mut Delivery, accepted: &mut Vec<TcpStream>) {
        self.full.store(false, Ordering::SeqCst);
        std::mem::swap(&mut *self.delivery.lock(), delivery);
        std::mem::swap(&mut *self.accepted.lock(), accepted);
    }

    /// The thread is about to wait: `false` if it must not, because something is in the box or
    /// somebody wants it to look at its sockets.
    pub fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.is_full() || self.is_asked_to_look() {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// The thread is back from waiting.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}
