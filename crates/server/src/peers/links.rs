//! All links of this server.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use group::message::PeerKey;
use mio::event::Event;
use mio::{Registry, Token, Waker};

use super::greeting::Hello;
use super::incoming::Arrivals;
use super::limits::{HALF_OPEN_MAX, UNPROVEN_MAX};
use super::local::{LinkCounts, LinkNews, Local};
use super::outgoing::Outgoing;
use super::proof::Keys;
use super::resolve::Resolver;
use super::sasl::{Done, Sasl};
use crate::config::{SERVER_ID_MAX, ServerId, Servers};
use crate::stream::PeerStreams;
use crate::transport::{Sender, Transport};

/// Most addresses to listen on: tokens are reserved for them.
const LISTENERS_MAX: usize = 64;
/// Tokens reserved for outgoing connections: one for each possible server number.
const OUTGOING: usize = SERVER_ID_MAX as usize + 1;
/// Tokens reserved for incoming connections: of members, of servers not yet members, and of
/// strangers.
const INCOMING: usize = 4096 + UNPROVEN_MAX + HALF_OPEN_MAX;

/// This server's identity towards the others.
#[derive(Debug)]
pub struct Me {
    /// Its number.
    pub server: ServerId,
    /// What it says about itself.
    pub hello: Hello,
    /// What it can prove.
    pub keys: Keys,
}

/// The links to all other servers of the ensemble. The owner of the poll passes on their events,
/// and calls [`tick`](Self::tick) every few milliseconds and [`flush`](Self::flush) after sending.
#[derive(Debug)]
pub struct Links {
    local: Local,
    outgoing: BTreeMap<ServerId, Outgoing>,
    arrivals: Arrivals,
    first_token: usize,
    /// Number of links created so far.
    links: u64,
}

impl Links {
    /// Number of the poll's tokens that are reserved.
    pub const TOKENS: usize = LISTENERS_MAX + OUTGOING + INCOMING;

    /// Opens the ports of this server. Nothing is dialled before the first [`tick`](Self::tick).
    ///
    /// `peers` may contain `me`, which is ignored. The [`TOKENS`](Self::TOKENS) tokens of the poll
    /// from `first_token` on belong to the links. `waker` wakes the poll when a host name has been
    /// looked up; then call `tick`.
    ///
    /// # Errors
    /// A port cannot be opened, or the poll cannot watch it.
    pub(crate) fn new(
        registry: Registry,
        me: Me,
        peers: &Servers,
        listen: &[SocketAddr],
        first_token: usize,
        waker: Arc<Waker>,
        streams: PeerStreams,
    ) -> io::Result<Links> {
        if listen.len() > LISTENERS_MAX {
            return Err(io::Error::other(format!("more than {LISTENERS_MAX} addresses to listen on")));
        }
        let local = Local {
            registry,
            streams,
            resolver: Resolver::new(waker),
            me: me.server,
            hello: me.hello,
            keys: me.keys,
            members: Default::default(),
            hosts: Default::default(),
            sasl: None,
            admits_nonmembers: false,
            now_ms: 0,
            news: Vec::new(),
            arrived: Vec::new(),
            counts: LinkCounts::default(),
        };
        let first_connection = first_token + LISTENERS_MAX + OUTGOING;
        let arrivals = Arrivals::listen(&local, listen, first_token, first_connection)?;
        let mut links = Links { local, outgoing: BTreeMap::new(), arrivals, first_token, links: 0 };
        links.set_peers(peers);
        Ok(links)
    }

    /// Like [`new`](Self::new) over TCP itself, for a program that fuzzes the port.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    #[cfg(feature = "testing")]
    pub fn over_tcp(
        registry: Registry,
        me: Me,
        peers: &Servers,
        listen: &[SocketAddr],
        first_token: usize,
        waker: Arc<Waker>,
    ) -> io::Result<Links> {
        Self::new(registry, me, peers, listen, first_token, waker, PeerStreams::Plain)
    }

    /// From now on servers authenticate as this says, before anything else. To be called before the
    /// first [`tick`](Self::tick).
    pub(crate) fn authenticate(&mut self, sasl: Sasl) {
        self.local.sasl = Some(sasl);
    }

    /// Makes all connections of this kind from now on.
    #[cfg(test)]
    pub(super) fn use_streams(&mut self, streams: PeerStreams) {
        self.local.streams = streams;
    }

    /// Sets the list of members: links to new ones are opened, those to others closed, and those to
    /// members at new addresses reopened.
    pub fn set_peers(&mut self, peers: &Servers) {
        let local = &mut self.local;
        let others = peers.iter().filter(|(peer, _)| **peer != local.me);
        local.members = others.map(|(peer, member)| (*peer, member.addresses.clone())).collect();
        let hosts = peers.values().flat_map(|member| &member.addresses);
        local.hosts = hosts.map(|(host, _)| host.to_lowercase()).collect();
        for (peer, link) in &mut self.outgoing {
            let stays = local.members.contains_key(peer);
            if !stays {
                self.arrivals.forget(local, *peer);
            }
            if !stays || peers.get(peer).is_none_or(|member| member.addresses != link.hosts) {
                link.close();
            }
        }
        self.outgoing
            .retain(|peer, link| peers.get(peer).is_some_and(|member| member.addresses == link.hosts));
        for (peer, member) in peers.iter().filter(|(peer, _)| **peer != local.me) {
            let token = Token(self.first_token + LISTENERS_MAX + *peer as usize);
            self.outgoing.entry(*peer).or_insert_with(|| {
                self.links += 1;
                Outgoing::new(*peer, self.links, member.addresses.clone(), token)
            });
        }
    }

    /// From now on servers that are not members may connect, unless they belong to another cluster:
    /// they wait for a `reconfig` that adds them.
    pub fn admit_nonmembers(&mut self) {
        self.local.admits_nonmembers = true;
    }

    /// Whether events with this token are for [`ready`](Self::ready).
    pub fn owns(&self, token: Token) -> bool {
        (self.first_token..self.first_token + Self::TOKENS).contains(&token.0)
    }

    /// Handles an event of a socket. Whole frames are passed to `receive` with their sender, in the
    /// order in which it sent them. If only part was read, the poll reports the socket again.
    pub fn ready(&mut self, event: &Event, receive: &mut dyn FnMut(Sender, Bytes)) {
        let Some(number) = event.token().0.checked_sub(self.first_token) else { return };
        if number < LISTENERS_MAX {
            self.arrivals.accept(&mut self.local, number);
        } else if number < LISTENERS_MAX + OUTGOING {
            let link =
                ServerId::try_from(number - LISTENERS_MAX).ok().and_then(|peer| self.outgoing.get_mut(&peer));
            if let Some(link) = link {
                link.ready(&mut self.local);
            }
        } else {
            let has_end = event.is_read_closed() || event.is_error();
            self.arrivals.ready(&mut self.local, number - LISTENERS_MAX - OUTGOING, has_end, receive);
        }
    }

    /// Time has passed: dials the peers that are due, and gives up attempts that took too long.
    /// `now_ms` is any clock that never goes back; call this every few milliseconds, and when the
    /// waker was used.
    pub fn tick(&mut self, now_ms: i64) {
        self.local.now_ms = now_ms;
        for resolved in self.local.resolver.collect() {
            if let Some(link) = self.outgoing.values_mut().find(|link| link.link == resolved.link) {
                link.resolved(&mut self.local, resolved.addresses);
            }
        }
        for done in self.local.sasl.as_ref().map(Sasl::collect).unwrap_or_default() {
            match done {
                Done::Accept(number, step) => self.arrivals.stepped(&mut self.local, number, step),
                Done::Initiate(number, step) => {
                    if let Some(link) = self.outgoing.values_mut().find(|link| link.waits_for(number)) {
                        link.stepped(&mut self.local, step);
                    }
                }
            }
        }
        for peer in std::mem::take(&mut self.local.arrived) {
            if let Some(link) = self.outgoing.get_mut(&peer) {
                link.hurry();
            }
        }
        for link in self.outgoing.values_mut() {
            link.tick(&mut self.local);
        }
        self.arrivals.tick(&mut self.local);
    }

    /// Changes since the last call, oldest first.
    pub fn news(&mut self) -> impl Iterator<Item = LinkNews> + '_ {
        self.local.news.drain(..)
    }

    /// Totals of all links since the start.
    pub fn counts(&self) -> LinkCounts {
        self.local.counts
    }

    /// Whether frames for this peer are delivered at the moment.
    pub fn is_up(&self, peer: ServerId) -> bool {
        self.outgoing.get(&peer).is_some_and(Outgoing::is_up)
    }

    /// Sends these frames to every connected member whose queue is empty; the others are about to
    /// receive something else.
    pub fn send_to_idle(&mut self, frames: &[Vec<u8>]) {
        for link in self.outgoing.values_mut().filter(|link| link.is_proven() && link.queued() == 0) {
            frames.iter().for_each(|frame| link.send(&mut self.local, &[frame]));
            link.flush(&mut self.local);
        }
    }

    /// Bytes queued for this peer, not counting what the system has taken.
    pub fn queued_bytes(&self, peer: ServerId) -> usize {
        self.outgoing.get(&peer).map_or(0, Outgoing::queued)
    }
}

impl Transport for Links {
    /// This server has learnt which cluster it belongs to. Links to servers of another cluster end,
    /// and those to members of its own are reopened, so that both sides prove it.
    fn set_cluster(&mut self, cluster: u64, key: &PeerKey) {
        self.local.hello.cluster = cluster;
        self.local.keys.cluster = Some(*key);
        for link in self.outgoing.values_mut() {
            link.check_cluster(&mut self.local);
            link.ask_for_proof();
        }
        self.arrivals.check_cluster(&mut self.local);
        self.arrivals.ask_for_proofs(&mut self.local);
    }

    fn vouches(&self, server: ServerId, disk: u64) -> bool {
        self.outgoing.get(&server).is_some_and(|link| link.vouches(disk))
    }

    fn hang_up(&mut self, sender: Sender) {
        self.arrivals.hang_up(&mut self.local, sender);
    }

    fn send_unproven(&mut self, to: ServerId, frame: &[u8]) {
        match self.outgoing.get_mut(&to) {
            Some(link) => link.send(&mut self.local, &[frame]),
            None => self.local.counts.frames_dropped_down += 1,
        }
    }

    /// Writes everything queued to the sockets, one write for each peer. What a socket does not
    /// take follows when `ready` reports that it takes more.
    fn flush(&mut self) {
        for link in self.outgoing.values_mut() {
            link.flush(&mut self.local);
        }
    }

    fn set_peers(&mut self, peers: &Servers) {
        Links::set_peers(self, peers);
    }

    fn send(&mut self, to: ServerId, frame: &[u8]) {
        self.send_parts(to, &[frame]);
    }

    fn send_parts(&mut self, to: ServerId, parts: &[&[u8]]) {
        match self.outgoing.get_mut(&to).filter(|link| link.is_proven()) {
            Some(link) => link.send(&mut self.local, parts),
            None => self.local.counts.frames_dropped_down += 1,
        }
    }
}
