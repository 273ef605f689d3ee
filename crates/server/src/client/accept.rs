//! New connections of the ports, and which thread serves each.

use std::sync::atomic::Ordering::Relaxed;

use mio::Token;
use mio::net::TcpStream;
use parking_lot::Mutex;

use super::HOUSEKEEPING;
use super::listener::Accepted;
use super::polling::PollingThread;
use crate::descriptors::{self, Use};

/// Connections accepted at one wake-up before other sockets are served.
const ACCEPTS_MAX: usize = 256;

/// Connections on their way from the thread that accepted them to those that serve them.
#[derive(Debug)]
pub(crate) struct AcceptQueues(Vec<Mutex<Vec<Accepted>>>);

impl AcceptQueues {
    /// Empty ones of that many threads.
    pub(crate) fn new(threads: usize) -> AcceptQueues {
        AcceptQueues((0..threads).map(|_| Mutex::default()).collect())
    }

    /// Adds a connection for that thread, which must be woken.
    fn push(&self, thread: usize, accepted: Accepted) {
        self.0[thread].lock().push(accepted);
    }

    /// Takes all connections for that thread.
    fn take(&self, thread: usize) -> Vec<Accepted> {
        std::mem::take(&mut *self.0[thread].lock())
    }

    /// Whether there are none for that thread.
    pub(super) fn is_empty(&self, thread: usize) -> bool {
        self.0[thread].lock().is_empty()
    }
}

impl PollingThread {
    /// Accepts connections waiting at a listener and distributes them to the threads in turn.
    pub(super) fn accept(&mut self, listener: usize) {
        if self.accepts_again_ms.is_some() {
            return;
        }
        for _ in 0..ACCEPTS_MAX {
            let Some(accepted) = self.listeners.accept(listener) else { return };
            match accepted {
                Ok((accepted, peer)) if !self.has_descriptors_for(&accepted.socket) => {
                    self.io.shared.counts.connections_rejected.fetch_add(1, Relaxed);
                    tracing::warn!(
                        %peer,
                        "connection refused: file descriptors are running out (ulimit -n); the rest is for files and other servers"
                    );
                }
                Ok((accepted, _)) => {
                    let thread = self.dealt % self.io.shared.mailboxes.len();
                    self.dealt += 1;
                    if thread == self.io.number {
                        self.admit(accepted);
                    } else {
                        self.accept_queues.push(thread, accepted);
                        self.io.shared.mailboxes[thread].wake();
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) if descriptors::is_gone(&e) => {}
                Err(e) => {
                    tracing::warn!(
                        "cannot accept connections for now: {e}; trying again every {HOUSEKEEPING:?}"
                    );
                    self.accepts_again_ms = Some(self.io.now_ms + HOUSEKEEPING.as_millis() as i64);
                    return;
                }
            }
        }
        self.listen_again(listener);
    }

    /// Whether a new connection leaves the descriptors that more important uses need. If it does
    /// not, an old connection without a session is closed to make room for the next one: it is
    /// closed only later, and if the new one were admitted meanwhile, many at once would use up
    /// what is left.
    fn has_descriptors_for(&self, stream: &TcpStream) -> bool {
        if descriptors::leaves_room(stream, Use::Client) {
            return true;
        }
        let displaced = self.io.shared.connections.displace(self.io.shared.clock.wall_ms());
        displaced.into_iter().for_each(|token| self.io.displace(token));
        false
    }

    /// Tries again after the system refused to accept a connection.
    pub(super) fn accept_after_a_pause(&mut self) {
        if self.accepts_again_ms.is_some_and(|at_ms| self.io.now_ms >= at_ms) {
            self.accepts_again_ms = None;
            self.listeners.numbers().for_each(|listener| self.listen_again(listener));
        }
    }

    fn listen_again(&mut self, listener: usize) {
        self.listeners.listen_again(self.poll.registry(), listener);
    }

    /// Admits the connections that another thread has accepted for this one.
    pub(super) fn admit_accepted(&mut self) {
        let accepted = self.accept_queues.take(self.io.number);
        accepted.into_iter().for_each(|accepted| self.admit(accepted));
    }

    /// Admits a connection to this thread, or closes it at one of the limits, without a reply, as
    /// ZooKeeper does.
    fn admit(&mut self, accepted: Accepted) {
        let Accepted { socket, kind } = accepted;
        let Ok(peer) = socket.peer_addr() else { return };
        let _ = socket.set_nodelay(true);
        let Some(stream) = kind.streams.accepted(socket, peer) else {
            self.io.shared.counts.tls_handshakes_exceeded.fetch_add(1, Relaxed);
            return;
        };
        let Some(slot) = self.io.take_on(stream, peer, kind.group) else { return };
        let stream = &mut self.io.connections[slot].stream;
        if let Err(e) = stream.register(self.poll.registry(), Token(slot)) {
            tracing::warn!(%peer, "cannot watch a new connection: {e}");
            self.io.close(slot);
        }
    }
}
