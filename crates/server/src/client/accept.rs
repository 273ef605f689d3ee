//! New connections: which are admitted, and by which thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use group::{GroupId, Token};
use mio::net::TcpStream;
use state::auth::Identities;

use super::connection::Connection;
use super::listener::Accepted;
use super::{HOUSEKEEPING, IoThread};
use crate::connections::Traffic;
use crate::descriptors::{self, Use};
use crate::mailbox::{Delivery, Note};
use crate::shared::token;
use crate::stream::Stream;

/// Connections accepted at one wake-up before other sockets are served.
const ACCEPTS_MAX: usize = 256;

impl IoThread {
    /// Accepts connections waiting at a listener and distributes them to the threads in turn.
    pub(super) fn accept(&mut self, listener: usize) {
        if self.accepts_later {
            return;
        }
        for _ in 0..ACCEPTS_MAX {
            let Some(accepted) = self.listeners.accept(listener) else { return };
            match accepted {
                Ok((accepted, peer)) if !self.has_descriptors_for(&accepted.socket) => {
                    self.shared.counts.connections_rejected.fetch_add(1, Relaxed);
                    tracing::warn!(
                        %peer,
                        "connection refused: file descriptors are running out (ulimit -n); the rest is for files and other servers"
                    );
                }
                Ok((accepted, _)) => {
                    let thread = self.dealt % self.shared.mailboxes.len();
                    self.dealt += 1;
                    if thread == self.number {
                        self.admit(accepted);
                    } else {
                        self.shared.mailboxes[thread].hand_over(accepted);
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(e) if descriptors::is_gone(&e) => {}
                Err(e) => {
                    tracing::warn!(
                        "cannot accept connections for now: {e}; trying again every {HOUSEKEEPING:?}"
                    );
                    self.accepts_later = true;
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
        let displaced = self.shared.connections.displace(self.shared.clock.wall_ms());
        displaced.into_iter().for_each(|token| self.displace(token));
        false
    }

    /// Closes a connection that was displaced.
    fn displace(&self, token: Token) {
        self.shared.counts.handshakes_timed_out.fetch_add(1, Relaxed);
        let Some(mailbox) = self.shared.mailbox(token) else { return };
        let mut delivery = Delivery::default();
        delivery.note(token, Note::Drop);
        mailbox.post(&mut delivery);
        mailbox.wake();
    }

    /// Tries again after the system refused to accept a connection.
    pub(super) fn accept_after_a_pause(&mut self) {
        if std::mem::take(&mut self.accepts_later) {
            self.listeners.numbers().for_each(|listener| self.listen_again(listener));
        }
    }

    fn listen_again(&mut self, listener: usize) {
        self.listeners.listen_again(self.poll.registry(), listener);
    }

    /// Admits a connection to this thread, or closes it at one of the limits, without a reply, as
    /// ZooKeeper does.
    pub(super) fn admit(&mut self, accepted: Accepted) {
        let Accepted { socket, kind } = accepted;
        let Ok(peer) = socket.peer_addr() else { return };
        let _ = socket.set_nodelay(true);
        self.take_on(kind.streams.accepted(socket), peer, kind.group);
    }

    /// Adds a connection of a group's client to this thread; its slot, unless a limit is reached.
    pub(crate) fn take_on(
        &mut self,
        mut stream: Box<dyn Stream>,
        peer: SocketAddr,
        group: GroupId,
    ) -> Option<usize> {
        self.generation = self.generation.wrapping_add(1);
        let slot = self.connections.vacant_key();
        let token = token(self.number, slot, self.generation);
        let traffic = Arc::new(Traffic::new(peer, group, self.shared.clock.wall_ms()));
        let limits = &self.shared.config.connection;
        let (per_address, total) = (limits.per_address_max as usize, limits.count_max as usize);
        match self.shared.connections.admit(token, &traffic, per_address, total) {
            Ok(None) => {}
            Ok(Some(displaced)) => self.displace(displaced),
            Err(refusal) => {
                self.shared.counts.connections_rejected.fetch_add(1, Relaxed);
                tracing::warn!(%peer, ?refusal, "connection refused");
                return None;
            }
        }
        if let Err(e) = stream.register(self.poll.registry(), mio::Token(slot)) {
            tracing::warn!(%peer, "cannot watch a new connection: {e}");
            self.shared.connections.left(token);
            return None;
        }
        // An IPv4 client of a dual-stack socket is identified by its IPv4 address.
        let identities = Identities::from_ip(&peer.ip().to_canonical().to_string());
        let pause_bytes = limits.output_pause_bytes;
        let mut connection = Connection::new(stream, token, group, traffic, identities, pause_bytes);
        connection.since_ms = self.shared.clock.elapsed_ms();
        self.connections.insert(connection);
        Some(slot)
    }
}
