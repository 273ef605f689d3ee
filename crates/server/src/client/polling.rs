//! A connection thread with its poll: it waits for sockets and other threads, accepts connections,
//! and runs the cycle for a sole client.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token};

use super::accept::AcceptQueues;
use super::listener::{Listener, Listeners};
use super::output::Flushed;
use super::relay::Relay;
use super::sole_client::SoleClient;
use super::{HOUSEKEEPING, IoThread};
use crate::inline_cycle::InlineCycle;
use crate::stream::Readiness;

/// Poll token of the mailbox's waker.
pub(crate) const WAKER: Token = Token(usize::MAX);
/// Most sockets that one poll returns.
const EVENTS_MAX: usize = 1024;

/// One connection thread.
pub(crate) struct PollingThread {
    pub(super) io: IoThread,
    pub(super) poll: Poll,
    /// Thread 0 listens and distributes the connections.
    pub(super) listeners: Listeners,
    pub(super) accept_queues: Arc<AcceptQueues>,
    pub(super) dealt: usize,
    /// When to accept connections again after the system refused to.
    pub(super) accepts_again_ms: Option<i64>,
    replication_loop: Arc<dyn InlineCycle>,
    sole_client: SoleClient,
}

impl PollingThread {
    /// `poll` has the waker of the thread's mailbox.
    ///
    /// # Errors
    /// The poll cannot watch the listeners.
    pub(crate) fn new(
        io: IoThread,
        poll: Poll,
        listeners: Vec<Listener>,
        accept_queues: Arc<AcceptQueues>,
        replication_loop: Arc<dyn InlineCycle>,
    ) -> io::Result<PollingThread> {
        Ok(PollingThread {
            io,
            listeners: Listeners::new(listeners, poll.registry())?,
            poll,
            accept_queues,
            dealt: 0,
            accepts_again_ms: None,
            replication_loop,
            sole_client: SoleClient::default(),
        })
    }

    /// The thread's number.
    pub(super) fn number(&self) -> usize {
        self.io.number
    }

    /// Serves until the server stops or another thread has taken over the connections.
    pub(super) fn run(self: Box<Self>, relay: &Relay) -> io::Result<()> {
        let mut thread = self;
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !thread.io.shared.is_stopping() {
            let (asked, polled_ms) = thread.io.begin_poll();
            thread.wait(&mut events, asked)?;
            thread.io.read_clock();
            thread.admit_accepted();
            thread.io.collect();
            for event in &events {
                thread.serve(event);
            }
            thread.io.shake_hands();
            thread.io.resume();
            let Some(mine) = thread.submit_or_run_cycle(relay) else { return Ok(()) };
            thread = mine;
            thread.io.finish_turn();
            thread.accept_after_a_pause();
            thread.io.has_read(polled_ms, events.iter().count(), EVENTS_MAX, asked);
        }
        thread.close_all();
        Ok(())
    }

    /// Waits for ready sockets or for a wake-up from another thread.
    fn wait(&mut self, events: &mut Events, asked: bool) -> io::Result<()> {
        let IoThread { number, shared, resumed, listed, handshakes, .. } = &self.io;
        let mailbox = &shared.mailboxes[*number];
        let is_idle = !asked && resumed.is_empty() && listed.is_empty() && handshakes.is_empty();
        // In this order: a thread that adds a connection then sees that this one sleeps, or this
        // one sees the connection.
        let may_sleep = is_idle && mailbox.fall_asleep() && self.accept_queues.is_empty(*number);
        let patience = if may_sleep { HOUSEKEEPING } else { Duration::ZERO };
        let polled = self.poll.poll(events, Some(patience));
        mailbox.awake();
        match polled {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
            _ => Ok(()),
        }
    }

    fn serve(&mut self, event: &Event) {
        match event.token() {
            WAKER => {}
            token if let Some(listener) = self.listeners.number_of(token) => self.accept(listener),
            Token(slot) => {
                let read_closed = event.is_read_closed();
                let readable = event.is_readable() || read_closed || event.is_error();
                self.sole_client.active(slot, self.io.now_ms);
                self.io
                    .handle_ready(slot, Readiness { readable, writable: event.is_writable(), read_closed });
            }
        }
    }

    /// Submits all commands of this wake-up, or runs the cycle on this thread if no other client is
    /// busy. `None` if another thread has taken over the connections because that took long.
    fn submit_or_run_cycle(self: Box<Self>, relay: &Relay) -> Option<Box<Self>> {
        let may_flush = !self.io.submissions.is_empty() && self.sole_client.is_so(self.io.now_ms);
        let replication_loop = may_flush.then(|| Arc::clone(&self.replication_loop));
        let number = self.io.number;
        let mut mine = Some(self);
        let mut lend = || {
            let Some(mut thread) = mine.take() else { return };
            let io = &mut thread.io;
            let submitted = std::mem::take(&mut io.submitted);
            io.shared.inbox.put(&mut io.submissions, submitted);
            relay.lend(thread);
        };
        if replication_loop.is_some_and(|replication_loop| replication_loop.try_run_inline(&mut lend)) {
            let mut thread = relay.take_back(number)?;
            thread.io.read_clock();
            thread.io.collect();
            return Some(thread);
        }
        let mut thread = mine?;
        thread.io.submit_commands();
        Some(thread)
    }

    /// The server stops: writes what the sockets take, and closes the connections.
    fn close_all(&mut self) {
        self.io.read_clock();
        self.io.collect();
        for (_, connection) in &mut self.io.connections {
            while let Ok(Flushed::More) = connection.flush() {}
            connection.stream.close();
        }
    }
}
