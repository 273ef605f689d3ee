//! A stranger that speaks to a running member: bytes at its quorum port, and frames in a member's
//! name that proves nothing. Nothing changes for the member.
#![no_main]

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use group::GroupId;
use group::message::PeerKey;
use libfuzzer_sys::fuzz_target;
use mio::{Events, Poll, Token, Waker};
use server::config::EngineKind;
use server::peers::{Greeting, Hello, Keys, Links, Me};
use server::simulation::Member;

mod ensemble;
use ensemble::Trio;

thread_local! {
    static TRIOS: RefCell<[Trio; 2]> =
        RefCell::new([EngineKind::Raft, EngineKind::Paxos].map(Trio::serving));
    static PORT: RefCell<Port> = RefCell::new(Port::open());
}

/// The quorum port of a member.
struct Port {
    address: SocketAddr,
    links: Links,
    poll: Poll,
    clock_ms: i64,
}

impl Port {
    fn open() -> Port {
        let poll = Poll::new().expect("a poll");
        let waker = Arc::new(Waker::new(poll.registry(), Token(1)).expect("a waker"));
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let member = |port: u16| format!("127.0.0.1:{port}:1").parse().expect("a server");
        let members = [(1, member(address.port())), (2, member(1))].into();
        let hello = Hello { cluster: 7, engine: EngineKind::Raft, boot: 1 };
        let keys = Keys { cluster: Some(PeerKey::new([9; 32])), ..Keys::default() };
        let me = Me { server: 1, hello, keys };
        let registry = poll.registry().try_clone().expect("a registry");
        let links = Links::over_tcp(registry, me, &members, &[address], 100, waker).expect("links");
        Port { address, links, poll, clock_ms: 0 }
    }

    /// Lets a stranger say this, after a greeting that is accepted if `greets`.
    fn hear(&mut self, greets: bool, bytes: &[u8]) {
        let mut stranger = TcpStream::connect(self.address).expect("a connection");
        stranger.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
        let hello = Hello { cluster: 0, engine: EngineKind::Raft, boot: 1 };
        if greets {
            let greeting = Greeting { from: 2, to: 1, hello, verdict: None }.encode();
            let _ = stranger.write_all(&greeting);
            self.turn();
            let _ = stranger.read(&mut [0; 64]);
        }
        let _ = stranger.write_all(bytes);
        drop(stranger);
        (0..3).for_each(|_| self.turn());
    }

    fn turn(&mut self) {
        let mut events = Events::with_capacity(16);
        self.poll.poll(&mut events, Some(Duration::from_millis(1))).expect("a look");
        for event in &events {
            if self.links.owns(event.token()) {
                self.links.ready(event, &mut |sender, _| assert!(!sender.is_proven, "nobody has a key"));
            }
        }
        self.clock_ms += 1;
        self.links.tick(self.clock_ms);
        self.links.news().for_each(drop);
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&way, bytes)) = input.split_first() else { return };
    PORT.with_borrow_mut(|port| port.hear(way % 2 == 0, bytes));
    TRIOS.with_borrow_mut(|trios| {
        let trio = &mut trios[usize::from(way >> 1) % 2];
        let known = |trio: &mut Trio| {
            let members = trio.members.values_mut();
            let root = GroupId::ROOT;
            let facts =
                |m: &mut Member| (m.role(root), m.status(root).last_index, m.machine(root).last_zxid());
            members.map(facts).collect::<Vec<_>>()
        };
        let before = known(trio);
        for (server, member) in &mut trio.members {
            let heard = member.receive_unproven(server % 3 + 1, bytes.to_vec().into());
            assert!(heard.is_ok(), "{heard:?}");
        }
        assert_eq!(known(trio), before);
        trio.step();
    });
});
