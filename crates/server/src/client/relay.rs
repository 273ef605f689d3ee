//! Who serves a connection thread's clients while it waits for the disk.
//!
//! A thread with a single busy client flushes itself (see [`SoleClient`](super::sole_client::SoleClient)). Most
//! flushes take less than a millisecond, and then nobody misses it. A disk may hang, though, and
//! then the pings of all its connections would be neither read nor answered. So before it flushes
//! the thread puts its sockets where a spare thread finds them. If the flush takes long the spare
//! one goes on with them, and the first one is the spare one from then on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::Events;
use parking_lot::{Condvar, Mutex};

use super::{EVENTS_MAX, HOUSEKEEPING, IoThread};
use crate::shared::Shared;

/// So long a thread's sockets may stay where it has put them.
const PATIENCE: Duration = Duration::from_millis(20);

/// The spare thread looks after them for so long after it has last seen any.
const ATTENTION: Duration = Duration::from_secs(1);

/// The sockets of threads that flush, with everything that belongs to them.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    /// By the number of the thread that put it there.
    lent: Vec<Mutex<Option<Lent>>>,
    /// The spare thread looks for nothing and must be woken. Written in sequentially consistent
    /// order with what is lent, so that either it sees that or the lender sees that it dozes.
    dozes: AtomicBool,
    door: Mutex<()>,
    bell: Condvar,
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
            dozes: AtomicBool::new(false),
            door: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    /// Serves these sockets, or waits for some to serve, until the server stops.
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

    /// Leaves the sockets to whoever needs them, for [`take_back`](Self::take_back).
    pub(super) fn lend(&self, io: Box<IoThread>) {
        let number = io.number;
        let lent = Lent { since_us: self.shared.clock.elapsed_us(), io };
        *self.lent[number].lock() = Some(lent);
        if self.dozes.swap(false, Ordering::SeqCst) {
            drop(self.door.lock());
            self.bell.notify_one();
        }
    }

    /// What this thread has lent, unless the spare one serves it now.
    pub(super) fn take_back(&self, number: usize) -> Option<Box<IoThread>> {
        self.lent[number].lock().take().map(|lent| lent.io)
    }

    /// Waits until somebody's sockets are left alone for too long; `None` when the server stops.
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
                self.doze();
            }
        }
        None
    }

    fn doze(&self) {
        let mut door = self.door.lock();
        self.dozes.store(true, Ordering::SeqCst);
        if self.lent.iter().all(|lent| lent.lock().is_none()) {
            self.bell.wait_for(&mut door, HOUSEKEEPING);
        }
        self.dozes.store(false, Ordering::SeqCst);
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
    /// Serves until the server stops, or another thread goes on with the connections.
    fn run(self: Box<Self>, relay: &Relay) -> io::Result<()> {
        let mut io = self;
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !io.shared.is_stopping() {
            let (asked, polled_ms) = io.begin_to_look();
            io.wait(&mut events, asked)?;
            io.look_at_the_clock();
            io.collect();
            for event in &events {
                io.serve(event);
            }
            io.resume();
            let Some(mine) = io.hand_over_or_flush(relay) else { return Ok(()) };
            io = mine;
            io.finish_turn();
            io.has_read(polled_ms, events.iter().count(), EVENTS_MAX, asked);
        }
        io.part();
        Ok(())
    }

    /// Waits for sockets that have something, or for somebody who wants something of this thread.
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

    /// Hands all commands of this wake-up over, or does the replication thread's work right here if
    /// there is nobody else to serve. `None` if another thread serves the connections since,
    /// because that took long.
    fn hand_over_or_flush(self: Box<Self>, relay: &Relay) -> Option<Box<Self>> {
        let may_flush = !self.submission.is_empty() && self.lone.is_so(self.now_ms);
        let wheel = self.wheel.clone().filter(|_| may_flush);
        let number = self.number;
        let mut mine = Some(self);
        let mut lend = || {
            let Some(mut io) = mine.take() else { return };
            let submitted = std::mem::take(&mut io.submitted);
            io.shared.clone().inbox.put(&mut io.submission, submitted);
            relay.lend(io);
        };
        if wheel.is_some_and(|wheel| wheel.try_run_inline(&mut lend)) {
            let mut io = relay.take_back(number)?;
            io.look_at_the_clock();
            io.collect();
            return Some(io);
        }
        let mut io = mine?;
        io.hand_over();
        Some(io)
    }
}

/// What a look at the lent sockets shows.
enum Found {
    Nothing,
    Some,
    Overdue(Box<IoThread>),
}
