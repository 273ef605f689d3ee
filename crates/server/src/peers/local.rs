//! State that all links of this server share.

use std::collections::{BTreeMap, BTreeSet};

use mio::Registry;

use super::greeting::{Greeting, Hello, Reason};
use super::proof::Keys;
use super::resolve::Resolver;
use super::sasl::Sasl;
use crate::config::ServerId;
use crate::stream::{PeerIdentity, PeerStreams};

/// A change of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkNews {
    /// Frames for this peer are delivered from now on, if it has proven that it is a member;
    /// otherwise only those for servers not yet members. Frames sent to it before may be lost.
    Up {
        /// The peer.
        peer: ServerId,
        /// What it says about itself.
        hello: Hello,
    },
    /// The connection on which this peer, a proven member, sends has ended, and there is no newer
    /// one: its process is gone or unreachable.
    Down {
        /// The peer.
        peer: ServerId,
    },
    /// This server or the peer has refused the other. Reported once, until the reason changes or
    /// they talk.
    Refused {
        /// The peer, or the number it claims if this server refused.
        peer: ServerId,
        /// Why.
        reason: Reason,
        /// Whether this server dialled the connection.
        dialled: bool,
    },
}

/// Totals over all links since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Frames queued for peers.
    pub frames_sent: u64,
    /// Frames given to the caller.
    pub frames_received: u64,
    /// Bytes written to sockets.
    pub bytes_sent: u64,
    /// Bytes read, frames or not.
    pub bytes_received: u64,
    /// Frames dropped because the peer was not connected.
    pub frames_dropped_down: u64,
    /// Frames dropped because the peer's queue was full.
    pub frames_dropped_full: u64,
    /// Connections closed because they sent something other than a greeting and frames.
    pub malformed: u64,
    /// Incoming greetings refused by this server.
    pub refused: u64,
    /// Incoming connections closed because they did not greet in time, or because too many others
    /// did not.
    pub silent: u64,
}

/// State shared by outgoing and incoming links.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) registry: Registry,
    /// What all links are made of.
    pub(super) streams: PeerStreams,
    pub(super) resolver: Resolver,
    pub(super) me: ServerId,
    pub(super) hello: Hello,
    pub(super) keys: Keys,
    /// The other members known to this server, without `me`, and their host names and ports.
    pub(super) members: BTreeMap<ServerId, Vec<(String, u16)>>,
    /// The hosts of all members, in lower case: whose principals may log in.
    pub(super) hosts: BTreeSet<String>,
    /// How servers authenticate each other, if they do.
    pub(super) sasl: Option<Sasl>,
    /// Whether servers that are not members may connect, unless they belong to another cluster.
    pub(super) admits_nonmembers: bool,
    /// The caller's clock at the last tick, in ms.
    pub(super) now_ms: i64,
    pub(super) news: Vec<LinkNews>,
    /// Servers that have connected since the last tick, so that dialling them need not wait.
    pub(super) arrived: Vec<ServerId>,
    pub(super) counts: LinkCounts,
}

impl Local {
    /// This server's greeting to `peer`.
    pub(super) fn greeting(&self, peer: ServerId, verdict: Option<Reason>) -> Greeting {
        Greeting { from: self.me, to: peer, hello: self.hello, verdict }
    }

    /// What is wrong with the certificate of a server that has dialled: a member's is for its host.
    /// Nobody knows the host of a server that is not a member.
    pub(super) fn certificate_objection(
        &self,
        peer: ServerId,
        identity: Option<&PeerIdentity>,
    ) -> Option<String> {
        let hosts = self.members.get(&peer)?;
        let names = || hosts.iter().map(|(host, _)| host);
        let subject = self.streams.objection(identity, names())?;
        let names: Vec<&str> = names().map(String::as_str).collect();
        Some(format!(
            "server {peer} shows a certificate, {subject}, that is not for its host in server.{peer}: {}",
            names.join(", ")
        ))
    }
}
