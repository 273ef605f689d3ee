//! Which connections a thread serves: new ones are admitted up to the limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use group::{GroupId, Token};
use state::auth::Identities;

use super::IoThread;
use super::connection::Connection;
use crate::connections::Traffic;
use crate::mailbox::{Delivery, Note};
use crate::stream::Stream;
use crate::token::token;

impl IoThread {
    /// Adds a connection of a group's client to this thread; its slot, unless a limit is reached.
    pub(crate) fn take_on(
        &mut self,
        stream: Box<dyn Stream>,
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
        // An IPv4 client of a dual-stack socket is identified by its IPv4 address.
        let identities = Identities::from_ip(&peer.ip().to_canonical().to_string());
        let pause_bytes = limits.output_pause_bytes;
        let mut connection = Connection::new(stream, token, group, traffic, identities, pause_bytes);
        connection.since_ms = self.shared.clock.elapsed_ms();
        self.connections.insert(connection);
        Some(slot)
    }

    /// Closes a connection that was displaced.
    pub(super) fn displace(&self, token: Token) {
        self.shared.counts.handshakes_timed_out.fetch_add(1, Relaxed);
        let Some(mailbox) = self.shared.mailbox(token) else { return };
        let mut delivery = Delivery::default();
        delivery.note(token, Note::Drop);
        mailbox.post(&mut delivery);
        mailbox.wake();
    }
}
