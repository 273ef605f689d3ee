//! Carries frames between this server and the others of its ensemble.
//!
//! Each server dials every other one and only sends on that connection; it receives on the
//! connections that the others dialled:
//!
//! ```text
//!   server 1                                        server 2
//!   Outgoing to 2 ── greeting, frames ────────────► Incoming from 2's view: server 1
//!                 ◄─ greeting or refusal ──────────
//!   Incoming      ◄─────────── greeting, frames ─── Outgoing to 1
//!                 ── greeting or refusal ─────────►
//! ```
//! Between greeting and frames both sides prove that they belong to one ensemble ([`proof`]), or do
//! not: a server that is not yet a member cannot. Senders and receivers are told which it is.
//!
//! So the two need not agree on which of them dials, a link has one state at each end, and the end
//! of an incoming link shows at once that the process behind it is gone.
//!
//! Frames of one connection arrive whole, unaltered and in order, or the connection ends. Frames
//! are lost when it ends, when there is none, and when the peer reads too slowly; consensus
//! recovers from loss, so nothing here waits or resends. This module does not interpret frames; by
//! the senders' convention, the first byte tells the kind of frame.
//!
//! Everything runs on the thread that owns the poll, except looking up host names (`resolve`),
//! which can block. Nothing that a peer or a stranger sends may panic, make memory grow before
//! bytes have arrived, or occupy that thread for long: see [`limits`].

#[cfg(feature = "net")]
mod admission;
#[cfg(feature = "net")]
mod frame;
#[cfg(feature = "net")]
mod greeting;
#[cfg(feature = "net")]
mod incoming;
pub mod limits;
#[cfg(feature = "net")]
mod links;
#[cfg(feature = "net")]
mod local;
#[cfg(feature = "net")]
mod outgoing;
#[cfg(feature = "net")]
mod output;
#[cfg(feature = "net")]
mod proof;
#[cfg(feature = "net")]
mod resolve;
#[cfg(feature = "net")]
mod shared;
#[cfg(feature = "net")]
mod socket;

#[cfg(feature = "net")]
pub use frame::{BadFrame, FrameReader};
#[cfg(feature = "net")]
pub use greeting::{BadGreeting, Greeting, Heard, Hello, Reason, VERSION};
pub use group::message::PeerKey;
#[cfg(feature = "net")]
pub use links::{Links, Me};
#[cfg(feature = "net")]
pub use local::{LinkCounts, LinkNews};
#[cfg(feature = "net")]
pub use proof::Keys;
#[cfg(feature = "net")]
pub use shared::SharedLinks;

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
    /// `frame` has 1 to [`limits::FRAME_BYTES_MAX`] bytes; the first tells its kind to the
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

#[cfg(test)]
mod tests;
