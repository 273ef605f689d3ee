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

use mio::Events;
use parking_lot::{Condvar, Mutex};

use super::{EVENTS_MAX, HOUSEKEEPING, IoThread};
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
    io: Box<IoThread>,
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
    pub(crate) fn run(&self, io: Option<Box<IoThread>>) -> io::Result<()> {
        let mut next = io;
        while let Some(io) = next.or_else(|| self.stand_by()) {
            io.run(self)?;
            next = None;
        }
        Ok(())
    }

    /// Lends the sockets until [`take_back`](Self::take_back).
    pub(super) fn lend(&self, io: Box<IoThread>) {
        let number = io.number;
        let lent = Lent { since_us: self.shared.clock.elapsed_us(), io };
        *self.lent[number].lock() = Some(lent);
        if self.sleeps.swap(false, Ordering::SeqCst) {
            drop(self.sleep_lock.lock());
            self.wake_signal.notify_one();
        }
    }

    /// What this thread has lent, unless the spare thread has taken it over.
    pub(super) fn take_back(&self, number: usize) -> Option<Box<IoThread>> {
        self.lent[number].lock().take().map(|lent| lent.io)
    }

    /// Waits until lent sockets have been unserved for too long; `None` when the server stops.
    fn stand_by(&self) -> Option<Box<IoThread>> {
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

impl IoThread {
    /// Serves until the server stops or another thread has taken over the connections.
    fn run(self: Box<Self>, relay: &Relay) -> io::Result<()> {
        let mut io = self;
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !io.shared.is_stopping() {
            let (asked, polled_ms) = io.begin_poll();
            io.wait(&mut events, asked)?;
            io.read_clock();
            io.collect();
            for event in &events {
                io.serve(event);
            }
            io.resume();
            let Some(mine) = io.submit_or_run_cycle(relay) else { return Ok(()) };
            io = mine;
            io.finish_turn();
            io.has_read(polled_ms, events.iter().count(), EVENTS_MAX, asked);
        }
        io.close_all();
        Ok(())
    }

    /// Waits for ready sockets or for a wake-up from another thread.
    fn wait(&mut self, events: &mut Events, asked: bool) -> io::Result<()> {
        let mailbox = &self.shared.mailboxes[self.number];
        let is_idle = !asked && self.resumed.is_empty() && self.listed.is_empty();
        let may_sleep = is_idle && mailbox.fall_asleep();
        let patience = if may_sleep { HOUSEKEEPING } else { Duration::ZERO };
        let polled = self.poll.poll(events, Some(patience));
        mailbox.awake();
        match polled {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
            _ => Ok(()),
        }
    }

    /// Submits all commands of this wake-up, or runs the cycle on this thread if no other client is
    /// busy. `None` if another thread has taken over the connections because that took long.
    fn submit_or_run_cycle(self: Box<Self>, relay: &Relay) -> Option<Box<Self>> {
        let may_flush = !self.submissions.is_empty() && self.sole_client.is_so(self.now_ms);
        let replication_loop = self.replication_loop.clone().filter(|_| may_flush);
        let number = self.number;
        let mut mine = Some(self);
        let mut lend = || {
            let Some(mut io) = mine.take() else { return };
            let submitted = std::mem::take(&mut io.submitted);
            io.shared.clone().inbox.put(&mut io.submissions, submitted);
            relay.lend(io);
        };
        if replication_loop.is_some_and(|replication_loop| replication_loop.try_run_inline(&mut lend)) {
            let mut io = relay.take_back(number)?;
            io.read_clock();
            io.collect();
            return Some(io);
        }
        let mut io = mine?;
        io.submit_commands();
        Some(io)
    }
}

/// What a check of the lent sockets finds.
enum Found {
    Nothing,
    Some,
    Overdue(Box<IoThread>),
}
