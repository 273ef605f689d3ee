//! One server's links with a poll of their own.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Poll, Token, Waker};

use super::*;
use crate::stream::PeerStreams;

const FIRST_TOKEN: usize = 100;
/// Far longer than anything takes on a slow machine; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Node {
    pub(super) links: Links,
    pub(super) news: Vec<LinkNews>,
    /// From members.
    pub(super) frames: Vec<(ServerId, Bytes)>,
    /// From others.
    pub(super) unproven: Vec<(ServerId, Bytes)>,
    /// The time as told to the links.
    pub(super) clock_ms: i64,
    /// When the clock was started; `None`: the test moves it.
    started: Option<Instant>,
    poll: Poll,
}

impl Node {
    /// Listens at its own address among the members. It has the key of the cluster that it claims.
    pub(super) fn start(me: ServerId, hello: Hello, members: &BTreeMap<ServerId, Member>) -> Node {
        Node::with_keys(me, hello, keys_of(hello.cluster), members)
    }

    pub(super) fn with_keys(
        me: ServerId,
        hello: Hello,
        keys: Keys,
        members: &BTreeMap<ServerId, Member>,
    ) -> Node {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(1)).unwrap());
        let listen = SocketAddr::from(([127, 0, 0, 1], members[&me].addresses[0].1));
        let registry = poll.registry().try_clone().unwrap();
        let me = Me { server: me, hello, keys };
        let links =
            Links::new(registry, me, members, &[listen], FIRST_TOKEN, waker, PeerStreams::Plain).unwrap();
        let (news, frames, unproven) = (Vec::new(), Vec::new(), Vec::new());
        Node { links, news, frames, unproven, clock_ms: 0, started: Some(Instant::now()), poll }
    }

    pub(super) fn stop_the_clock(&mut self) {
        self.started = None;
    }

    /// What a server's thread does at each wake-up.
    pub(super) fn turn(&mut self) {
        let mut events = Events::with_capacity(64);
        self.poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap();
        let mut receive = |sender: Sender, frame| {
            let frames = if sender.is_proven { &mut self.frames } else { &mut self.unproven };
            frames.push((sender.server, frame));
        };
        for event in &events {
            if self.links.owns(event.token()) {
                self.links.ready(event, &mut receive);
            }
        }
        if let Some(started) = self.started {
            self.clock_ms = started.elapsed().as_millis() as i64;
        }
        self.links.tick(self.clock_ms);
        self.links.flush();
        self.news.extend(self.links.news());
    }

    /// The peers reported as up, in order.
    pub(super) fn ups(&self) -> Vec<ServerId> {
        let up = |news: &LinkNews| match news {
            LinkNews::Up { peer, .. } => Some(*peer),
            _ => None,
        };
        self.news.iter().filter_map(up).collect()
    }
}

/// Lets the nodes run until `so` holds.
pub(super) fn until(nodes: &mut [&mut Node], what: &str, mut so: impl FnMut(&mut [&mut Node]) -> bool) {
    let begun = Instant::now();
    while !so(nodes) {
        for node in &mut *nodes {
            node.turn();
        }
        if begun.elapsed() > PATIENCE {
            let news: Vec<_> = nodes.iter().map(|node| (&node.news, node.links.counts())).collect();
            panic!("still not so: {what}; {news:?}");
        }
    }
}

pub(super) fn hello(cluster: u64, boot: u64) -> Hello {
    Hello { cluster, engine: EngineKind::Raft, boot }
}

/// The key of a cluster of that number.
pub(super) fn key_of(cluster: u64) -> PeerKey {
    PeerKey::new([cluster as u8; PeerKey::BYTES])
}

/// What its members can prove.
pub(super) fn keys_of(cluster: u64) -> Keys {
    Keys { cluster: (cluster != 0).then(|| key_of(cluster)), ..Keys::default() }
}

/// Members at ports of this machine.
pub(super) fn members(ports: &[(ServerId, u16)]) -> BTreeMap<ServerId, Member> {
    let member = |port| Member { addresses: vec![("127.0.0.1".to_owned(), port)], ..Member::default() };
    ports.iter().map(|(id, port)| (*id, member(*port))).collect()
}

/// A free port below those that the system gives to outgoing connections. Processes start from
/// different numbers, so that tests running at the same time do not take each other's.
pub(super) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % 400) as u16 * 50;
    let port = || FIRST + offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (0..COUNT).map(|_| port()).find(free).expect("a free port")
}
