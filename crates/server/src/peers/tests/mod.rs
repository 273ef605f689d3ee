//! Links over real sockets: servers in one thread, and strangers that send raw bytes.

mod decoders;
mod node;
mod records;
mod rough;
mod sasl;
mod stranger;
mod wrong;

use group::message::PeerKey;

use super::*;
use crate::config::{EngineKind, Member, ServerId, Servers};
use crate::transport::{Sender, Transport};
use node::{Node, free_port, hello, key_of, keys_of, members, until};

#[test]
fn two_servers_talk() {
    let (one, two) = (free_port(), free_port());
    let members = members(&[(1, one), (2, two)]);
    let mut a = Node::start(1, hello(7, 1), &members);
    let mut b = Node::start(2, hello(7, 5), &members);
    until(&mut [&mut a, &mut b], "both are up", |nodes| nodes.iter().all(|node| node.ups().len() == 1));
    assert_eq!(a.news, [LinkNews::Up { peer: 2, hello: hello(7, 5) }]);
    assert_eq!(b.news, [LinkNews::Up { peer: 1, hello: hello(7, 1) }]);
    assert!(a.links.is_up(2) && !a.links.is_up(1) && !a.links.is_up(3));
    a.links.send(2, b"ping");
    b.links.send_parts(1, &[b"po", b"", b"ng"]);
    until(&mut [&mut a, &mut b], "both heard", |nodes| nodes.iter().all(|node| !node.frames.is_empty()));
    assert_eq!(a.frames, [(2, "pong".into())]);
    assert_eq!(b.frames, [(1, "ping".into())]);
    assert_eq!((a.links.counts().frames_sent, a.links.counts().frames_received), (1, 1));
}

#[test]
fn the_end_of_a_server_is_noticed_at_once_and_so_is_its_return() {
    let (one, two) = (free_port(), free_port());
    let members = members(&[(1, one), (2, two)]);
    let mut a = Node::start(1, hello(7, 1), &members);
    for boot in 1..=3 {
        a.news.clear();
        let mut b = Node::start(2, hello(7, boot), &members);
        until(&mut [&mut a, &mut b], "both are up", |nodes| nodes.iter().all(|node| node.ups().len() == 1));
        assert!(a.news.contains(&LinkNews::Up { peer: 2, hello: hello(7, boot) }));
        until(&mut [&mut a, &mut b], "a frame arrives", |nodes| {
            nodes[0].links.send(2, &[boot as u8]);
            !nodes[1].frames.is_empty()
        });
        drop(b);
        until(&mut [&mut a], "the end is noticed", |nodes| {
            nodes[0].news.contains(&LinkNews::Down { peer: 2 }) && !nodes[0].links.is_up(2)
        });
        let dropped = a.links.counts().frames_dropped_down;
        a.links.send(2, b"lost");
        assert_eq!(a.links.counts().frames_dropped_down, dropped + 1);
    }
}

/// A leader that had retried for half a minute dialled only twice a second, and a server that came
/// back waited for that although it had long since connected: that was most of the time of a
/// rejoin.
#[test]
fn a_server_that_connects_is_dialled_without_further_waiting() {
    let (one, two) = (free_port(), free_port());
    let members = members(&[(1, one), (2, two)]);
    let mut a = Node::start(1, hello(7, 1), &members);
    a.stop_the_clock();
    // The first attempt, at a closed port; then the clock stops.
    (0..3).for_each(|_| a.turn());
    let mut b = Node::start(2, hello(7, 1), &members);
    until(&mut [&mut a, &mut b], "both are up", |nodes| {
        nodes[0].clock_ms = limits::HURRY_MS;
        nodes.iter().all(|node| node.ups().len() == 1)
    });
}

#[test]
fn many_frames_of_mixed_sizes_arrive_in_order() {
    const COUNT: u32 = 10_000;
    let (one, two) = (free_port(), free_port());
    let members = members(&[(1, one), (2, two)]);
    let mut a = Node::start(1, hello(7, 1), &members);
    let mut b = Node::start(2, hello(7, 1), &members);
    until(&mut [&mut a, &mut b], "both are up", |nodes| nodes.iter().all(|node| node.ups().len() == 1));
    let size = |number: u32| match number % 1000 {
        0 => 1 << 20,
        n if n % 50 == 0 => 70_000,
        n => 4 + (n * 7919 % 600) as usize,
    };
    let frame = |number: u32| {
        let mut frame = vec![number as u8; size(number)];
        frame[..4].copy_from_slice(&number.to_be_bytes());
        frame
    };
    let (mut sent, mut got) = (0, 0);
    until(&mut [&mut a, &mut b], "all arrived", |nodes| {
        while sent < COUNT && nodes[0].links.queued_bytes(2) < limits::QUEUED_BYTES_MAX / 2 {
            nodes[0].links.send(2, &frame(sent));
            sent += 1;
        }
        for (from, bytes) in nodes[1].frames.drain(..) {
            assert_eq!(from, 1);
            assert!(bytes == frame(got), "frame {got} is not what arrived in its place");
            got += 1;
        }
        got == COUNT
    });
    let counts = (a.links.counts(), b.links.counts());
    assert_eq!((counts.0.frames_dropped_full, counts.1.frames_received), (0, u64::from(COUNT)));
}

#[test]
fn members_come_and_go_while_others_talk() {
    let ports = [free_port(), free_port(), free_port()];
    let two = members(&[(1, ports[0]), (2, ports[1])]);
    let three = members(&[(1, ports[0]), (2, ports[1]), (3, ports[2])]);
    let mut a = Node::start(1, hello(7, 1), &two);
    let mut b = Node::start(2, hello(7, 1), &two);
    let mut c = Node::start(3, hello(0, 1), &three);
    until(&mut [&mut a, &mut b, &mut c], "the third is refused", |nodes| {
        let refused = |peer| LinkNews::Refused { peer, reason: Reason::Stranger, dialled: true };
        nodes[2].news.contains(&refused(1)) && nodes[2].news.contains(&refused(2))
    });
    a.links.set_peers(&three);
    b.links.set_peers(&three);
    until(&mut [&mut a, &mut b, &mut c], "all are up", |nodes| {
        nodes.iter().all(|node| node.ups().len() == 2)
    });
    assert_eq!(a.ups(), [2, 3], "the link between the first two was kept");
    a.news.clear();
    a.links.set_peers(&two);
    assert!(!a.links.is_up(3) && a.links.is_up(2));
    until(&mut [&mut a, &mut b, &mut c], "the third is out", |nodes| !nodes[2].links.is_up(1));
    assert!(a.links.is_up(2) && b.links.is_up(1) && b.links.is_up(3));
    assert!(!a.news.contains(&LinkNews::Down { peer: 2 }));
    // Another address for a member.
    let moved = members(&[(1, ports[0]), (2, free_port())]);
    a.links.set_peers(&moved);
    assert!(!a.links.is_up(2));
    let mut b_moved = Node::start(2, hello(7, 2), &moved);
    until(&mut [&mut a, &mut b_moved], "it is found there", |nodes| nodes[0].links.is_up(2));
}

#[test]
fn a_name_is_looked_up_and_every_address_tried() {
    let (one, two, closed) = (free_port(), free_port(), free_port());
    let mut members = members(&[(1, one), (2, two)]);
    let mut a = Node::start(1, hello(7, 1), &members);
    let hosts = [("127.0.0.1", closed), ("localhost", one)];
    let addresses = hosts.map(|(host, port)| (host.to_owned(), port)).to_vec();
    members.insert(1, Member { addresses, ..Member::default() });
    let mut b = Node::start(2, hello(7, 1), &members);
    until(&mut [&mut a, &mut b], "it is found", |nodes| nodes[1].links.is_up(1));
}

#[test]
fn attempts_become_rarer() {
    let (one, two) = (free_port(), free_port());
    let listener = std::net::TcpListener::bind(("127.0.0.1", two)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut a = Node::start(1, hello(7, 1), &members(&[(1, one), (2, two)]));
    a.stop_the_clock();
    let mut attempts = 0;
    until(&mut [&mut a], "a dozen attempts", |nodes| {
        nodes[0].clock_ms += 10;
        // Accepted and closed without a reply.
        attempts += usize::from(listener.accept().is_ok());
        attempts == 12
    });
    let waited_ms: i64 = [20, 40, 80, 160, 320].iter().sum::<i64>() + 6 * limits::BACKOFF_MS_MAX;
    assert!(a.clock_ms >= waited_ms, "a dozen attempts within {} ms", a.clock_ms);
    assert!(a.news.is_empty());
}
