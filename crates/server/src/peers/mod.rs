//! What carries frames from this server to the others of its ensemble, and from them to this one.
//!
//! Each server dials every other one and sends on that connection only; what it hears comes on the connections the others dialled:
//!
//! ```text
//!   server 1                                        server 2
//!   Outgoing to 2 ── greeting, frames ────────────► Incoming from 2's view: server 1
//!                 ◄─ greeting or refusal ──────────
//!   Incoming      ◄─────────── greeting, frames ─── Outgoing to 1
//!                 ── greeting or refusal ─────────►
//! ```
//! Between greeting and frames both prove that they belong to one ensemble ([`proof`]), or do not:
//! a server that has yet to become a member cannot. Whoever sends and receives is told which it is.
//!
//! So neither side has to agree on who dials, a link has one state at each end, and the end of an incoming link tells at once that
//! the process behind it is gone.
//!
//! Frames of one connection arrive whole, unaltered and in order, or the connection ends. Frames are lost when it does, when there is
//! none, and when the peer reads too slowly; consensus recovers from loss, so nothing here waits or repeats. What is in a frame is not
//! known here; whoever sends decides that its first byte says what it is.
//!
//! Everything runs on the thread that owns the poll, but for looking up host names (`resolve`), which can block. Nothing a peer or a
//! stranger sends may panic, make memory grow before bytes have come, or hold that thread for long: see [`limits`].

mod admission;
mod frame;
mod greeting;
mod incoming;
pub mod limits;
mod links;
mod local;
mod outgoing;
mod output;
mod proof;
mod resolve;
mod shared;
mod socket;

pub use frame::{BadFrame, FrameReader};
pub use greeting::{BadGreeting, Greeting, Heard, Hello, Reason, VERSION};
pub use group::message::PeerKey;
pub use links::{Links, Me};
pub use local::{LinkCounts, LinkNews, Sender};
pub use proof::{Keys, QuorumSecret};
pub use shared::SharedLinks;

use crate::config::{ServerId, Servers};

/// What carries frames to the other members. Sockets do in a server, a simulated network in the simulator.
pub trait Transport: Send {
    /// Sends `frame` to server `to`, after the frames sent to it before. It may be lost, and is if
    /// there is no such server, or if that has not proven that it is a member.
    ///
    /// `frame` has 1 to [`limits::FRAME_BYTES_MAX`] bytes; the first says what it is, for the receiver's caller.
    fn send(&mut self, to: ServerId, frame: &[u8]);

    /// Sends `frame` whether or not the server has proven anything: it is for one that has yet to
    /// become a member.
    fn send_unproven(&mut self, to: ServerId, frame: &[u8]) {
        self.send(to, frame);
    }

    /// Offers everything sent to the network.
    fn flush(&mut self);

    /// This server belongs to that cluster from now on, and proves it by that key. It has nothing
    /// to do with servers of others.
    fn set_cluster(&mut self, _cluster: u64, _key: &PeerKey) {}

    /// Whether the server at that server's address has proven that it is a member, or that its disk
    /// has that name.
    fn vouches(&self, _server: ServerId, _disk: u64) -> bool {
        true
    }

    /// What that one has sent makes no sense: its connection ends.
    fn hang_up(&mut self, _sender: Sender) {}

    /// These are the servers of the ensemble from now on; this one may be among them.
    fn set_peers(&mut self, _peers: &Servers) {}

    /// As [`send`](Self::send) for a frame that lies in pieces.
    fn send_parts(&mut self, to: ServerId, parts: &[&[u8]]) {
        self.send(to, &parts.concat());
    }
}

/// A server of its own has nobody to talk to.
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
