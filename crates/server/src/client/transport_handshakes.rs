//! Handshakes of encrypting transports: they take their turn, so that a herd of new clients does
//! not stall those that are connected.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use state::auth::{SUPER, X509};

use super::IoThread;
use crate::token::slot_of;

/// Steps of handshakes in one turn. One costs up to a millisecond, most of it for a signature.
const STEPS_MAX: usize = 4;

impl IoThread {
    /// Queues a connection that can read if its transport's handshake is not complete. Answers
    /// whether it is queued.
    pub(super) fn queue_handshake(&mut self, slot: usize) -> bool {
        let Some(connection) = self.connections.get_mut(slot) else { return false };
        if !connection.stream.is_handshaking() {
            return false;
        }
        if !std::mem::replace(&mut connection.awaits_handshake, true) {
            self.handshakes.push_back(connection.token);
        }
        true
    }

    /// Takes the next steps, the connection that waits longest first.
    pub(super) fn shake_hands(&mut self) {
        let mut steps = 0;
        while steps < STEPS_MAX
            && let Some(token) = self.handshakes.pop_front()
        {
            let slot = slot_of(token);
            let Some(connection) = self.connections.get_mut(slot).filter(|c| c.token == token) else {
                continue;
            };
            connection.awaits_handshake = false;
            self.readable(slot);
            steps += 1;
        }
    }

    /// A read has failed: if it was one of a handshake, says why the client is not served.
    pub(super) fn count_failed_handshake(&mut self, slot: usize, error: &io::Error) {
        let Some(connection) = self.connections.get(slot).filter(|c| c.stream.is_handshaking()) else {
            return;
        };
        let counts = &self.shared.counts;
        match error.kind() {
            io::ErrorKind::QuotaExceeded => {
                counts.tls_handshakes_exceeded.fetch_add(1, Relaxed);
            }
            io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied => {
                counts.tls_handshakes_failed.fetch_add(1, Relaxed);
                tracing::info!(peer = %connection.traffic.peer, "TLS handshake failed: {error}");
            }
            _ => {
                counts.tls_handshakes_failed.fetch_add(1, Relaxed);
            }
        }
    }

    /// Gives the connection the identity that its client has proven to the transport, once the
    /// first bytes behind the handshake are there.
    pub(super) fn adopt_transport_identity(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.traffic.is_secure.store(connection.stream.is_secure(), Relaxed);
        let requests = &self.shared.config.requests;
        let Some(identity) = connection.stream.peer_identity().filter(|_| requests.schemes.x509) else {
            return;
        };
        let identities = Arc::make_mut(&mut connection.identities);
        if requests.x509_super.as_deref() == Some(identity.subject.as_str()) {
            identities.add(SUPER, "");
        }
        identities.add(X509, &identity.subject);
    }
}
