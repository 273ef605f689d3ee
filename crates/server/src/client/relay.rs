//! A spare thread takes over a connection thread's clients while that waits for the disk.
//!
//! A thread with a single busy client flushes itself (see
//! [`SoleClient`](super::sole_client::SoleClient)). Most flushes take less than a millisecond,
//! which no client notices. A disk may hang, though, and then the pings of all its connections
//! would be neither read nor answered. So before it flushes, the thread puts its sockets where a
//! spare thread finds them. If the flush takes long, the spare thread takes them over, and the
//! first one becomes the spare thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::HOUSEKEEPING;
use super::polling::PollingThread;
use crate::shared::Shared;

/// How long lent sockets may stay unserved.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long the spare thread keeps polling for lent sockets after it has last seen any.
const ATTENTION: Duration = Duration::from_secs(1);

/// The sockets of threads that flush, with everything that belongs to them.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    /// By the number of the lending thread.
    lent: Vec<Mutex<Option<Lent>>>,
    /// The spare thread is not polling and must be woken. Sequentially consistent with `lent`, so
    /// that either it sees what is lent or the lender sees that it sleeps.
    sleeps: AtomicBool,
    sleep_lock: Mutex<()>,
    wake_signal: Condvar,
}

struct Lent {
    io: Box<PollingThread>,
    since_us: u64,
}

impl Relay {
    pub(crate) fn new(shared: &Arc<Shared>) -> Relay {
        Relay {
            shared: Arc::clone(shared),
            lent: shared.mailboxes.iter().map(|_| Mutex::new(None)).collect(),
            sleeps: AtomicBool::new(false),
            sleep_lock: Mutex::new(()),
            wake_signal: Condvar::new(),
        }
    }

    /// Serves these sockets, or waits for lent ones to serve, until the server stops.
    ///
    /// # Errors
    /// The system does not let the thread wait for sockets.
    pub(crate) fn run(&self, io: Option<Box<PollingThread>>) -> io::Result<()> {
        let mut next = io;
        while let Some(io) = next.or_else(|| self.stand_by()) {
            io.run(self)?;
            next = None;
        }
        Ok(())
    }

    /// Lends the sockets until [`take_back`](Self::take_back).
    pub(super) fn lend(&self, io: Box<PollingThread>) {
        let number = io.number();
        let lent = Lent { since_us: self.shared.clock.elapsed_us(), io };
        *self.lent[number].lock() = Some(lent);
        if self.sleeps.swap(false, Ordering::SeqCst) {
            drop(self.sleep_lock.lock());
            self.wake_signal.notify_one();
        }
    }

    /// What this thread has lent, unless the spare thread has taken it over.
    pub(super) fn take_back(&self, number: usize) -> Option<Box<PollingThread>> {
        self.lent[number].lock().take().map(|lent| lent.io)
    }

    /// Waits until lent sockets have been unserved for too long; `None` when the server stops.
    fn stand_by(&self) -> Option<Box<PollingThread>> {
        let mut attentive_until_us = 0;
        while !self.shared.is_stopping() {
            let now_us = self.shared.clock.elapsed_us();
            match self.find(now_us) {
                Found::Overdue(io) => return Some(io),
                Found::Some => attentive_until_us = now_us + ATTENTION.as_micros() as u64,
                Found::Nothing => {}
            }
            if now_us < attentive_until_us {
                std::thread::sleep(PATIENCE);
            } else {
                self.sleep();
            }
        }
        None
    }

    fn sleep(&self) {
        let mut sleep_lock = self.sleep_lock.lock();
        self.sleeps.store(true, Ordering::SeqCst);
        if self.lent.iter().all(|lent| lent.lock().is_none()) {
            self.wake_signal.wait_for(&mut sleep_lock, HOUSEKEEPING);
        }
        self.sleeps.store(false, Ordering::SeqCst);
    }

    fn find(&self, now_us: u64) -> Found {
        let mut found = Found::Nothing;
        for slot in &self.lent {
            let mut slot = slot.lock();
            let Some(lent) = &*slot else { continue };
            found = Found::Some;
            if now_us.saturating_sub(lent.since_us) >= PATIENCE.as_micros() as u64
                && let Some(Lent { io, .. }) = slot.take()
            {
                return Found::Overdue(io);
            }
        }
        found
    }
}

/// What a check of the lent sockets finds.
enum Found {
    Nothing,
    Some,
    Overdue(Box<PollingThread>),
}
