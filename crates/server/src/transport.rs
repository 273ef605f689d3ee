//! What the host asks of the network between servers.

use group::message::PeerKey;

use crate::config::{ServerId, Servers};

/// The sender of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its number; to be trusted only if `is_proven`.
    pub server: ServerId,
    /// Whether it has proven that it is a member of this server's cluster. If not, it may be any
    /// host.
    pub is_proven: bool,
}

/// Carries frames to the other members: sockets in a server, a simulated network in the simulator.
pub trait Transport: Send {
    /// Sends `frame` to server `to`, after the frames sent to it before. It may be lost, and is if
    /// there is no such server, or if that has not proven that it is a member.
    ///
    /// `frame` has 1 to `config::limits::FRAME_BYTES_MAX` bytes; the first tells its kind to the
    /// receiver's caller.
    fn send(&mut self, to: ServerId, frame: &[u8]);

    /// Sends `frame` even if the server has proven nothing, because it is not yet a member.
    fn send_unproven(&mut self, to: ServerId, frame: &[u8]) {
        self.send(to, frame);
    }

    /// Writes everything sent so far to the network.
    fn flush(&mut self);

    /// This server belongs to that cluster from now on, and proves it by that key. It does not talk
    /// to servers of other clusters.
    fn set_cluster(&mut self, _cluster: u64, _key: &PeerKey) {}

    /// Whether the process at that server's address has proven that it is a member, or that its
    /// disk has that nonce.
    fn vouches(&self, _server: ServerId, _disk: u64) -> bool {
        true
    }

    /// That sender's frames are malformed: its connection ends.
    fn hang_up(&mut self, _sender: Sender) {}

    /// Sets the servers of the ensemble; this server may be among them.
    fn set_peers(&mut self, _peers: &Servers) {}

    /// As [`send`](Self::send), for a frame in several parts.
    fn send_parts(&mut self, to: ServerId, parts: &[&[u8]]) {
        self.send(to, &parts.concat());
    }
}

/// A standalone server sends nothing.
impl<T: Transport> Transport for Option<T> {
    fn send(&mut self, to: ServerId, frame: &[u8]) {
        if let Some(transport) = self {
            transport.send(to, frame);
        }
    }

    fn flush(&mut self) {
        if let Some(transport) = self {
            transport.flush();
        }
    }

    fn send_unproven(&mut self, to: ServerId, frame: &[u8]) {
        if let Some(transport) = self {
            transport.send_unproven(to, frame);
        }
    }

    fn set_cluster(&mut self, cluster: u64, key: &PeerKey) {
        if let Some(transport) = self {
            transport.set_cluster(cluster, key);
        }
    }

    fn vouches(&self, server: ServerId, disk: u64) -> bool {
        self.as_ref().is_some_and(|transport| transport.vouches(server, disk))
    }

    fn hang_up(&mut self, sender: Sender) {
        if let Some(transport) = self {
            transport.hang_up(sender);
        }
    }

    fn set_peers(&mut self, peers: &Servers) {
        if let Some(transport) = self {
            transport.set_peers(peers);
        }
    }

    fn send_parts(&mut self, to: ServerId, parts: &[&[u8]]) {
        if let Some(transport) = self {
            transport.send_parts(to, parts);
        }
    }
}
