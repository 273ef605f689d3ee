//! Hand-offs between the poll loops and the flushing thread.

use crate::log::Log;
use mio::Waker;
use mio::net::TcpStream;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The oldest held replies of a connection, which may be sent once the frames they answer are on
/// disk.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) worker: usize,
    pub(super) connection: usize,
}

/// What other threads pass to a poll loop.
pub(super) struct Inbox {
    waker: Waker,
    items: Mutex<(Vec<TcpStream>, Vec<Answer>)>,
}

/// No thread panics while it holds one of these locks, so poisoning is irrelevant.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self { waker, items: Mutex::default() }
    }

    pub(super) fn hand_over(&self, stream: TcpStream) -> io::Result<()> {
        lock(&self.items).0.push(stream);
        self.waker.wake()
    }

    pub(super) fn take(&self) -> (Vec<TcpStream>, Vec<Answer>) {
        std::mem::take(&mut *lock(&self.items))
    }
}

/// Writes waiting to be flushed.
#[derive(Default)]
pub(super) struct Flusher {
    waiting: Mutex<(Vec<u8>, Vec<Answer>)>,
    filled: Condvar,
}

impl Flusher {
    pub(super) fn add(&self, frames: &[u8], answer: Answer) {
        let mut waiting = lock(&self.waiting);
        waiting.0.extend_from_slice(frames);
        waiting.1.push(answer);
        drop(waiting);
        self.filled.notify_one();
    }

    /// Repeatedly flushes all waiting writes; those that arrive during one flush make up the next.
    pub(super) fn run(&self, log: &mut Log, inboxes: &[Inbox]) -> io::Result<()> {
        let mut taken = (Vec::new(), Vec::new());
        loop {
            let mut waiting = lock(&self.waiting);
            while waiting.1.is_empty() {
                waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut *waiting, &mut taken);
            drop(waiting);
            log.flush(&taken.0)?;
            taken.0.clear();
            let mut to_wake = vec![false; inboxes.len()];
            for answer in taken.1.drain(..) {
                to_wake[answer.worker] = true;
                lock(&inboxes[answer.worker].items).1.push(answer);
            }
            for (inbox, _) in inboxes.iter().zip(to_wake).filter(|(_, wake)| *wake) {
                inbox.waker.wake()?;
            }
        }
    }
}
