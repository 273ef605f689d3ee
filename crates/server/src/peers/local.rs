//! This server's side of every link.

use std::collections::BTreeSet;

use mio::Registry;

use super::greeting::{Greeting, Hello, Reason};
use super::proof::Keys;
use super::resolve::Resolver;
use crate::config::ServerId;

/// Who has sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Its number, as far as it is proven that it has it.
    pub server: ServerId,
    /// Whether it has proven that it is a member of this server's cluster. If not, it may be
    /// anybody.
    pub is_proven: bool,
}

/// What happened to the links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkNews {
    /// Frames for this peer are carried from now on, if it has proven that it is a member;
    /// otherwise those for whoever has yet to become one. Whatever was sent to it before may be
    /// lost.
    Up {
        /// The peer.
        peer: ServerId,
        /// What it says of itself.
        hello: Hello,
    },
    /// The connection on which this peer, which had proven that it is one, sends has ended, and
    /// there is no newer one: its process or the way to it is gone.
    Down {
        /// The peer.
        peer: ServerId,
    },
    /// This server and the peer do not talk to each other. Told once, until the reason changes or they do talk.
    Refused {
        /// The peer; whoever claims to be it, if this server refused.
        peer: ServerId,
        /// Why.
        reason: Reason,
        /// Whether the connection was the one that this server dialled.
        dialled: bool,
    },
}

/// How much went over the links, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Frames queued for peers.
    pub frames_sent: u64,
    /// Frames given to the caller.
    pub frames_received: u64,
    /// Bytes that sockets took.
    pub bytes_sent: u64,
    /// Bytes that came, frames or not.
    pub bytes_received: u64,
    /// Frames dropped because the peer was not connected.
    pub frames_dropped_down: u64,
    /// Frames dropped because too much waited for the peer.
    pub frames_dropped_full: u64,
    /// Connections closed because what came was neither a greeting nor a frame.
    pub malformed: u64,
    /// Greetings refused by this server, without those it refused as the one that dialled.
    pub refused: u64,
    /// Incoming connections closed because they did not greet in time, or because too many others did not.
    pub silent: u64,
}

/// What the links of both directions have in common.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) registry: Registry,
    pub(super) resolver: Resolver,
    pub(super) me: ServerId,
    pub(super) hello: Hello,
    pub(super) keys: Keys,
    /// The others this server knows; `me` is not among them.
    pub(super) members: BTreeSet<ServerId>,
    /// Whether servers may come that are no members, if they do not belong to another cluster.
    pub(super) takes_guests: bool,
    /// The caller's clock at the last tick, in ms.
    pub(super) now_ms: i64,
    pub(super) news: Vec<LinkNews>,
    /// Servers that have connected since the last tick, so that there is no point in waiting to dial them.
    pub(super) arrived: Vec<ServerId>,
    pub(super) counts: LinkCounts,
}

impl Local {
    /// What this server says to `peer`.
    pub(super) fn greeting(&self, peer: ServerId, verdict: Option<Reason>) -> Greeting {
        Greeting { from: self.me, to: peer, hello: self.hello, verdict }
    }
}
