//! Links over streams that behave as encrypting ones do.

use super::*;
use crate::stream::PeerStreams;

fn start(me: ServerId, members: &Servers) -> Node {
    let mut node = Node::start(me, hello(7, 1), members);
    node.links.use_streams(PeerStreams::Records);
    node
}

/// A read that filled less than its buffer was taken for an empty socket, and bytes that a stream
/// held were left there: the link hung until the next bytes arrived.
#[test]
fn frames_arrive_in_bursts_over_streams_that_hold_bytes() {
    let (one, two) = (free_port(), free_port());
    let members = members(&[(1, one), (2, two)]);
    let (mut a, mut b) = (start(1, &members), start(2, &members));
    until(&mut [&mut a, &mut b], "both are up", |nodes| nodes.iter().all(|node| node.ups().len() == 1));
    for burst in [1, 30, 1, 100, 2] {
        let frame = |number: usize| vec![number as u8; 1 + number * 7919 % 20_000];
        for number in 0..burst {
            a.links.send(2, &frame(number));
            b.links.send(1, &frame(number));
        }
        until(&mut [&mut a, &mut b], "all arrived", |nodes| {
            nodes.iter().all(|node| node.frames.len() == burst)
        });
        for node in [&mut a, &mut b] {
            let frames = node.frames.drain(..).map(|(_, bytes)| bytes);
            assert!(frames.enumerate().all(|(number, bytes)| bytes == frame(number)));
        }
    }
    drop(b);
    until(&mut [&mut a], "the end is noticed", |nodes| {
        nodes[0].news.contains(&LinkNews::Down { peer: 2 }) && !nodes[0].links.is_up(2)
    });
}

#[test]
fn a_refusal_arrives_over_streams_that_hold_bytes() {
    let (one, two) = (free_port(), free_port());
    let members = members(&[(1, one), (2, two)]);
    let mut a = start(1, &members);
    let mut b = Node::start(2, hello(8, 1), &members);
    b.links.use_streams(PeerStreams::Records);
    let is_refused = |node: &Node| {
        node.news.iter().any(|news| matches!(news, LinkNews::Refused { reason: Reason::Cluster, .. }))
    };
    until(&mut [&mut a, &mut b], "both know", |nodes| nodes.iter().all(|node| is_refused(node)));
}
