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
//! All of that takes place inside TLS where the configuration says so; the stream does its
//! handshake within the first reads and writes ([`Stream`](crate::stream::Stream)). A member that
//! shows a certificate shows one for its own host.
//!
//! Before the greetings, servers may authenticate by SASL ([`sasl`]).
//!
//! Everything runs on the thread that owns the poll, except looking up host names (`resolve`) and
//! steps of Kerberos (`sasl::work`), which can block. Nothing that a peer or a stranger sends may
//! panic, make memory grow before bytes have arrived, or occupy that thread for long: see
//! [`limits`].

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
mod sasl;
mod shared;
mod socket;

pub use frame::{BadFrame, FrameReader};
pub use greeting::{BadGreeting, Greeting, Heard, Hello, Reason, VERSION};
pub use links::{Links, Me};
pub use local::{LinkCounts, LinkNews};
pub use proof::Keys;
#[cfg(feature = "testing")]
pub use sasl::Logins;
pub use sasl::Sasl;
pub use shared::SharedLinks;

#[cfg(test)]
mod tests;
