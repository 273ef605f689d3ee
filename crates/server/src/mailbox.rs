//! From the replication thread to one connection thread: answers, events and session changes, in
//! the order in which they take effect.

use std::sync::atomic::{AtomicBool, Ordering};

use group::{GroupId, RequestId, Token};
use parking_lot::Mutex;
use state::read::Piece;
use wire::ErrorCode;

use crate::wake::Wake;

/// An answer to a client, besides the bytes of its reply.
pub(crate) struct Answered {
    /// Where the frame of the reply begins; events precede it.
    pub(crate) reply_at: usize,
    /// Long parts of the reply, each with the position before which it belongs.
    pub(crate) pieces: Vec<(usize, Piece)>,
    /// Whether the connection is closed after the reply.
    pub(crate) closes: bool,
}

/// One item for one connection. The `len` bytes of a frame are in [`Delivery::bytes`], in the order
/// of the notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The answer to a request.
    Reply {
        /// The request's number on this connection.
        number: u64,
        /// Bytes of its frame and of the events before it, without the long parts of the reply.
        len: usize,
        /// Bytes of those events.
        events: usize,
    },
    /// A watch event frame.
    Event {
        /// Bytes of the frame.
        len: usize,
    },
    /// The session that this connection asked for is on it from now on.
    SessionOpened {
        /// The session's group.
        group: GroupId,
        /// The session's id.
        session: i64,
    },
    /// This connection gets no session, neither a new one nor the one it asked for.
    SessionRefused {
        /// Why.
        code: ErrorCode,
    },
    /// The session of this connection has ended; close once the queued bytes are written.
    SessionClosed,
    /// Close once the queued bytes are written; the session lives on.
    Finish,
    /// Close at once: the session has moved to another connection, a request or reply was lost, or
    /// the operator asked for it.
    Drop,
}

/// What one run of applying has for one connection thread.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Whole frames, back to back.
    pub bytes: Vec<u8>,
    /// Long parts of replies, each with the position in `bytes` before which it belongs, in
    /// ascending order.
    pub pieces: Vec<(usize, Piece)>,
    /// The items and the connections they are for.
    pub notes: Vec<(Token, Note)>,
}

impl Delivery {
    /// Adds a frame that `write` appends.
    pub fn frame(
        &mut self,
        token: Token,
        note: impl FnOnce(usize) -> Note,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.notes.push((token, note(self.bytes.len() - start)));
    }

    /// Adds a reply that `write` appends, with the events before it and the end of the connection
    /// after it, if any.
    pub(crate) fn reply(&mut self, id: RequestId, write: impl FnOnce(&mut Vec<u8>) -> Answered) {
        let RequestId { token, number } = id;
        let start = self.bytes.len();
        let mut answered = write(&mut self.bytes);
        self.pieces.append(&mut answered.pieces);
        let (len, events) = (self.bytes.len() - start, answered.reply_at - start);
        self.notes.push((token, Note::Reply { number, len, events }));
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
    /// Set after something was posted, cleared before it is taken.
    full: AtomicBool,
    /// Another thread has asked this one to poll its sockets.
    asked: AtomicBool,
    /// The thread waits in its poll and must be woken. Sequentially consistent with `full` on both
    /// sides, so that either the thread sees the post or the poster sees that the thread sleeps.
    asleep: AtomicBool,
    /// `None` in a simulation, which has no connection threads.
    waker: Option<Box<dyn Wake>>,
}

impl Mailbox {
    /// A mailbox whose thread is woken through `waker`.
    pub fn new(waker: Option<Box<dyn Wake>>) -> Mailbox {
        Mailbox {
            delivery: Mutex::default(),
            full: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            waker,
        }
    }

    /// Posts everything in `delivery`, emptying it, without waking the thread: the poster may hold
    /// the machine, and a wake-up is a system call. [`wake`](Self::wake) must follow.
    pub fn post(&self, delivery: &mut Delivery) {
        self.delivery.lock().append(delivery);
        self.full.store(true, Ordering::SeqCst);
    }

    /// Wakes the thread if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Makes the thread poll its sockets soon and report up to which time it has read.
    pub fn ask_to_look(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Whether the thread has been asked to poll its sockets.
    pub fn is_asked_to_look(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The thread is about to poll its sockets.
    pub fn looks(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }

    /// Wakes the thread unconditionally, for shutdown.
    pub fn alarm(&self) {
        self.full.store(true, Ordering::SeqCst);
        self.ring();
    }

    fn ring(&self) {
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    /// Whether something was posted since the last [`collect`](Self::collect).
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::SeqCst)
    }

    /// Takes everything; `delivery` must be empty.
    pub fn collect(&self, delivery: &mut Delivery) {
        self.full.store(false, Ordering::SeqCst);
        std::mem::swap(&mut *self.delivery.lock(), delivery);
    }

    /// The thread is about to wait; `false` if it must not, because the mailbox is not empty or the
    /// thread has been asked to poll its sockets.
    pub fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.is_full() || self.is_asked_to_look() {
            self.asleep.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    /// The thread has stopped waiting.
    pub fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}
