//! A process that can reach a quorum port and claims to be a member.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::super::frame::{HEADER_BYTES, framed};
use super::super::greeting::GREETING_BYTES;
use super::super::proof::{Exchange, PROOF_BYTES, Part, RECORD_BYTES_MAX, Reply};
use super::rough::answer;
use super::*;
use crate::config::QuorumSecret;

/// A connection to `node`, server 1, that has greeted as server 2 and was not refused; and both
/// greetings.
pub(super) fn greet(node: &mut Node, port: u16, hello: Hello) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let ours = Greeting { from: 2, to: 1, hello, verdict: None }.encode();
    stream.write_all(&ours).unwrap();
    let theirs = answer(node, &mut stream, GREETING_BYTES);
    assert!(matches!(Greeting::decode(&theirs), Ok(Heard::Greeting(Greeting { verdict: None, .. }))));
    (stream, [ours, theirs].concat())
}

/// A connection on which server 2 has proven what it can with these keys.
pub(super) fn enter(node: &mut Node, port: u16, hello: Hello, keys: &Keys) -> TcpStream {
    let (mut stream, greetings) = greet(node, port, hello);
    let challenge = keys.part().unwrap();
    stream.write_all(&framed(&challenge.encode())).unwrap();
    let record = answer(node, &mut stream, HEADER_BYTES + RECORD_BYTES_MAX);
    let Some(Reply::Answer(said)) = Reply::decode(&record[HEADER_BYTES..]) else { panic!("{record:?}") };
    let exchange = Exchange { login: None, greetings, challenge, answer: said.part };
    let confirm = keys.confirm(&exchange, &said).unwrap_or([0; PROOF_BYTES]);
    stream.write_all(&framed(&confirm)).unwrap();
    stream
}

/// The other side of that: accepts a connection as server 2.
pub(super) fn take(stream: &mut TcpStream, hello: Hello, keys: &Keys) {
    let mut theirs = vec![0; GREETING_BYTES];
    stream.read_exact(&mut theirs).unwrap();
    let ours = Greeting { from: 2, to: 1, hello, verdict: None }.encode();
    stream.write_all(&ours).unwrap();
    let mut record = [0; HEADER_BYTES + 1 + PROOF_BYTES];
    stream.read_exact(&mut record).unwrap();
    let challenge = Part::decode(&record[HEADER_BYTES..]).unwrap();
    let exchange =
        Exchange { login: None, greetings: [theirs, ours].concat(), challenge, answer: keys.part().unwrap() };
    stream.write_all(&framed(&keys.answer(&exchange))).unwrap();
    let mut confirm = [0; HEADER_BYTES + PROOF_BYTES];
    stream.read_exact(&mut confirm).unwrap();
    assert!(keys.is_confirmed(&exchange, &confirm[HEADER_BYTES..]));
}

/// Two members that talk, and the port of the first.
fn pair() -> (Node, Node, u16) {
    let (one, two) = (free_port(), free_port());
    let members = members(&[(1, one), (2, two)]);
    let mut a = Node::start(1, hello(7, 1), &members);
    let mut b = Node::start(2, hello(7, 1), &members);
    until(&mut [&mut a, &mut b], "both are up", |nodes| nodes.iter().all(|node| node.ups().len() == 1));
    a.news.clear();
    (a, b, one)
}

/// A greeting with a member's number closed that member's connection, and one with another boot
/// counted as its end.
#[test]
fn a_stranger_with_a_members_number_does_not_affect_that_member() {
    let (mut a, mut b, port) = pair();
    for (count, cluster) in [0, 7].into_iter().enumerate() {
        let (mut stranger, _) = greet(&mut a, port, hello(cluster, 99));
        stranger.write_all(&framed(b"a frame of a member")).unwrap();
        assert_eq!(answer(&mut a, &mut stranger, 1), b"", "it is closed");
        assert_eq!(a.links.counts().malformed, count as u64 + 1);
    }
    b.links.send(1, b"of the member");
    until(&mut [&mut a, &mut b], "the member is heard", |nodes| !nodes[0].frames.is_empty());
    assert_eq!((a.news.len(), a.unproven.len(), a.frames.len()), (0, 0, 1), "{:?}", a.news);
}

/// A peer without any key may be a server without data, and is treated as nothing more.
#[test]
fn an_unproven_server_is_received_as_such_beside_the_member() {
    let (mut a, mut b, port) = pair();
    let mut stranger = enter(&mut a, port, hello(0, 99), &Keys::default());
    stranger.write_all(&framed(b"stranger")).unwrap();
    until(&mut [&mut a, &mut b], "it is heard", |nodes| !nodes[0].unproven.is_empty());
    b.links.send(1, b"member");
    until(&mut [&mut a, &mut b], "the member is heard", |nodes| !nodes[0].frames.is_empty());
    assert_eq!(
        (&a.unproven[..], &a.frames[..]),
        (&[(2, "stranger".into())][..], &[(2, "member".into())][..])
    );
    // Its frames are limited in length, and its end is not the member's end.
    stranger.write_all(&(limits::UNPROVEN_FRAME_BYTES_MAX as u32 + 1).to_be_bytes()).unwrap();
    stranger.write_all(&[0; 4]).unwrap();
    assert_eq!(answer(&mut a, &mut stranger, 1), b"", "it is closed");
    assert!(a.news.is_empty(), "{:?}", a.news);
}

#[test]
fn a_key_that_is_claimed_has_to_be_the_right_one() {
    let (mut a, _b, port) = pair();
    let mut stranger = enter(&mut a, port, hello(7, 99), &keys_of(8));
    assert_eq!(answer(&mut a, &mut stranger, 1), b"", "it is closed");
    let refused = LinkNews::Refused { peer: 2, reason: Reason::Proof, dialled: false };
    assert_eq!(a.news, [refused]);
}

#[test]
fn a_crowd_that_proves_nothing_is_bounded() {
    let (one, two) = (free_port(), free_port());
    let mut a = Node::start(1, hello(7, 1), &members(&[(1, one), (2, two)]));
    let mut first = enter(&mut a, one, hello(0, 1), &Keys::default());
    let _second = enter(&mut a, one, hello(0, 1), &Keys::default());
    assert_eq!(answer(&mut a, &mut first, 1), b"", "there is one of each number");
    assert!(a.news.is_empty(), "{:?}", a.news);
}

/// A process that listens at a member's address gets nothing that is meant for that member.
#[test]
fn an_unproven_server_is_sent_only_what_joining_takes() {
    let ports = [(1, free_port()), (2, free_port())];
    let mut a = Node::start(1, hello(7, 1), &members(&ports));
    let mut b = Node::with_keys(2, hello(0, 1), Keys { disk: 5, ..Keys::default() }, &members(&ports));
    until(&mut [&mut a, &mut b], "it is up", |nodes| nodes[0].links.is_up(2));
    a.links.send(2, b"secret");
    a.links.send_to_idle(&[b"secret".to_vec()]);
    a.links.send_unproven(2, b"welcome");
    until(&mut [&mut a, &mut b], "it is heard", |nodes| !nodes[1].unproven.is_empty());
    assert_eq!((&b.unproven[..], b.frames.len()), (&[(1, "welcome".into())][..], 0));
    // Claims in its name are compared with its proof at its address.
    assert!(a.links.vouches(2, 5) && !a.links.vouches(2, 6) && !a.links.vouches(3, 5));
    b.links.set_cluster(7, &key_of(7));
    until(&mut [&mut a, &mut b], "it has become a member", |nodes| {
        nodes[0].links.send(2, b"secret");
        !nodes[1].frames.is_empty()
    });
    assert!(a.links.vouches(2, 6), "a member is believed");
}

#[test]
fn servers_with_a_secret_talk_to_those_that_know_it() {
    let keys = |secret: &[u8], is_secret_required| Keys {
        secret: QuorumSecret::new(secret),
        is_secret_required,
        ..keys_of(7)
    };
    let (one, other) = (b"a secret of servers", b"another one's secret");
    for (keys, reason) in [
        ([keys(one, true), keys(one, true)], None),
        ([keys(one, true), keys(other, true)], Some(Reason::Proof)),
        ([keys(one, true), keys(b"", false)], Some(Reason::Secret)),
        // While the secret is being introduced, what both have counts.
        ([keys(one, false), keys(b"", false)], None),
        ([keys(one, false), keys(other, false)], Some(Reason::Proof)),
    ] {
        let ports = [(1, free_port()), (2, free_port())];
        let [first, second] = keys;
        let mut a = Node::with_keys(1, hello(7, 1), first, &members(&ports));
        let mut b = Node::with_keys(2, hello(7, 1), second, &members(&ports));
        until(&mut [&mut a, &mut b], "they know", |nodes| match reason {
            None => nodes[0].links.is_up(2) && nodes[1].links.is_up(1),
            Some(reason) => nodes.iter().all(|node| {
                node.news
                    .iter()
                    .any(|news| matches!(news, LinkNews::Refused { reason: told, .. } if *told == reason))
            }),
        });
        assert_eq!(a.ups().is_empty(), reason.is_some());
    }
}

#[test]
fn a_sender_of_malformed_frames_is_admitted_again_after_a_while() {
    let (mut a, _b, port) = pair();
    a.stop_the_clock();
    let sender = Sender { server: 2, is_proven: true };
    let mut peer = enter(&mut a, port, hello(7, 1), &keys_of(7));
    peer.write_all(&framed(b"nonsense")).unwrap();
    until(&mut [&mut a], "it is heard", |nodes| !nodes[0].frames.is_empty());
    a.links.hang_up(sender);
    assert_eq!(answer(&mut a, &mut peer, 1), b"", "it is closed");
    let mut again = enter(&mut a, port, hello(7, 1), &keys_of(7));
    assert_eq!(answer(&mut a, &mut again, 1), b"", "it connects too soon");
    a.clock_ms += limits::SHUN_MS + 1;
    let mut later = enter(&mut a, port, hello(7, 1), &keys_of(7));
    later.write_all(&framed(b"sense")).unwrap();
    until(&mut [&mut a], "it is heard again", |nodes| nodes[0].frames.len() == 2);
}
