//! Logins by DIGEST-MD5 before the greetings. Those by Kerberos need a Kerberos server: see
//! `tests/tests/quorum_sasl.rs`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use ::sasl::digest_md5::{Client, Server, Service, Step};
use mio::{Poll, Token, Waker};

use super::super::frame::{HEADER_BYTES, framed};
use super::super::greeting::GREETING_BYTES;
use super::super::limits::GREETING_TIMEOUT_MS;
use super::rough::answer;
use super::*;
use crate::config::{Mechanism, QuorumLogin, QuorumSasl, Secret};

const MAGIC: &[u8] = b"ostlsasl";

/// What a server with this password does: it knows the other's if both are the same.
fn settings(password: &str, is_dialled: bool, is_required: bool) -> QuorumSasl {
    let password = Secret::new(password);
    QuorumSasl {
        accepts: Mechanism::DigestMd5(vec![("zk".to_owned(), password.clone())]),
        login: QuorumLogin::DigestMd5 { user: "zk".to_owned(), password },
        is_dialled,
        is_required,
        threads_max: 1,
    }
}

fn authenticate(node: &mut Node, settings: &QuorumSasl) {
    // Nothing here has to wake a poll: no step is done by another thread.
    let poll = Poll::new().unwrap();
    let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
    node.links.authenticate(Sasl::new(settings, waker).unwrap());
}

/// Server 1 with these settings, alone, and its port.
fn alone(settings: Option<&QuorumSasl>) -> (Node, u16) {
    let (one, two) = (free_port(), free_port());
    let mut node = Node::start(1, hello(7, 1), &members(&[(1, one), (2, two)]));
    if let Some(settings) = settings {
        authenticate(&mut node, settings);
    }
    (node, one)
}

/// Two servers with these settings run until each has connected to the other, or has been told why
/// not.
fn meet(first: Option<QuorumSasl>, second: Option<QuorumSasl>) -> (Node, Node) {
    let (one, two) = (free_port(), free_port());
    let members = members(&[(1, one), (2, two)]);
    let mut nodes = [1, 2].map(|me| Node::start(me, hello(7, 1), &members));
    for (node, settings) in nodes.iter_mut().zip([first, second]) {
        if let Some(settings) = settings {
            authenticate(node, &settings);
        }
    }
    let [mut a, mut b] = nodes;
    let has_tried = |node: &Node| {
        let is_told =
            |news: &LinkNews| matches!(news, LinkNews::Up { .. } | LinkNews::Refused { dialled: true, .. });
        node.news.iter().any(is_told)
    };
    until(&mut [&mut a, &mut b], "both have tried", |nodes| nodes.iter().all(|node| has_tried(node)));
    (a, b)
}

fn is_refused(node: &Node) -> bool {
    let is_told =
        |news: &LinkNews| matches!(news, LinkNews::Refused { reason: Reason::Sasl, dialled: true, .. });
    node.news.iter().any(is_told)
}

#[test]
fn servers_with_the_same_password_talk_in_every_step_of_a_change() {
    let step = |number: u8| match number {
        0 => None,
        1 => Some(settings("right", false, false)),
        2 => Some(settings("right", true, false)),
        _ => Some(settings("right", true, true)),
    };
    for (older, newer) in [(0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3)] {
        let (mut a, mut b) = meet(step(older), step(newer));
        a.links.send(2, b"ping");
        b.links.send(1, b"pong");
        until(&mut [&mut a, &mut b], "both heard", |nodes| nodes.iter().all(|n| !n.frames.is_empty()));
        assert!(a.ups() == [2] && b.ups() == [1], "{older}, {newer}: {:?} {:?}", a.news, b.news);
    }
}

#[test]
fn servers_with_different_passwords_do_not_talk() {
    let (a, b) = meet(Some(settings("right", true, true)), Some(settings("wrong", true, true)));
    assert!(is_refused(&a) && is_refused(&b), "{:?} {:?}", a.news, b.news);
    assert!(a.ups().is_empty() && b.ups().is_empty());
}

/// A step of the change was left out.
#[test]
fn servers_that_are_two_steps_apart_do_not_talk() {
    let (a, b) = meet(Some(settings("right", true, true)), Some(settings("right", false, false)));
    assert!(is_refused(&b) && b.ups().is_empty(), "it does not log in, and must: {:?}", b.news);
    assert_eq!(a.ups(), [2], "where it dials itself it logs in");
    let (a, b) = meet(Some(settings("right", true, false)), None);
    assert!(is_refused(&a) && a.ups().is_empty(), "{:?}", a.news);
    assert_eq!(b.ups(), [1], "nobody needs a login");
}

/// What the node says to `stream` until it closes the connection.
fn said_to(node: &mut Node, stream: &mut TcpStream) -> Vec<u8> {
    answer(node, stream, 4096)
}

#[test]
fn a_server_that_does_not_log_in_gets_no_further_than_a_refusal() {
    let (mut node, port) = alone(Some(&settings("right", true, true)));
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let greeting = Greeting { from: 2, to: 1, hello: hello(7, 1), verdict: None };
    // A byte at a time: until the fifth it may become a login.
    for byte in greeting.encode() {
        stranger.write_all(&[byte]).unwrap();
        node.turn();
    }
    let said = said_to(&mut node, &mut stranger);
    let Ok(Heard::Greeting(Greeting { verdict, .. })) = Greeting::decode(&said) else { panic!("{said:?}") };
    assert_eq!(verdict, Some(Reason::Sasl));
    assert_eq!(node.links.counts().refused, 1);
}

/// The record that the node answers to this.
fn ask(node: &mut Node, stream: &mut TcpStream, record: &[u8]) -> Vec<u8> {
    stream.write_all(&framed(record)).unwrap();
    let header = answer(node, stream, HEADER_BYTES);
    let length = header.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length));
    answer(node, stream, length as usize)
}

#[test]
fn a_login_that_fails_is_answered_and_ends_the_connection() {
    let response = |password: &str, challenge: &[u8]| {
        let mut client = Client::new(Service::QUORUM, "zk", Secret::new(password), [3; 24]);
        [&[1], &client.step(&challenge[1..]).unwrap().unwrap()[..]].concat()
    };
    type Records = fn(&dyn Fn(&str, &[u8]) -> Vec<u8>, &[u8]) -> Vec<u8>;
    let cases: [(Option<&str>, Records, &[u8]); 5] = [
        (Some("right"), |response, challenge| response("wrong", challenge), &[255, 1]),
        (Some("right"), |_, _| b"\x01garbage".to_vec(), &[255, 1]),
        (Some("right"), |_, _| b"\x02a ticket".to_vec(), &[255, 2]),
        (Some("right"), |response, challenge| response("right", challenge), b"\x01rspauth="),
        (None, |_, _| Vec::new(), &[255, 3]),
    ];
    for (password, record, expected) in cases {
        let settings = password.map(|password| settings(password, true, true));
        let (mut node, port) = alone(settings.as_ref());
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(MAGIC).unwrap();
        let first = ask(&mut node, &mut stream, &[1]);
        let last = match password {
            None => first,
            Some(_) => {
                assert_eq!(first.first(), Some(&0), "{first:?}");
                ask(&mut node, &mut stream, &record(&response, &first))
            }
        };
        assert!(last.starts_with(expected), "{last:?} {expected:?}");
        if expected[0] == 255 {
            assert_eq!(said_to(&mut node, &mut stream), b"", "it is closed");
            assert_eq!(node.links.counts().refused, 1);
        }
    }
}

#[test]
fn one_that_speaks_out_of_turn_or_at_length_is_sent_away() {
    let settings = settings("right", true, true);
    let two_at_once = [framed(&[1]), framed(&[1])].concat();
    let too_long = [&(1u32 << 20).to_be_bytes()[..], &[0; 4]].concat();
    let altered = [&framed(&[1])[..7], &[1, 1]].concat();
    for bytes in [two_at_once, too_long, altered, vec![0; HEADER_BYTES]] {
        let (mut node, port) = alone(Some(&settings));
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(&[MAGIC, &bytes].concat()).unwrap();
        assert_eq!(said_to(&mut node, &mut stream), b"", "{bytes:?}");
        assert_eq!(node.links.counts().malformed, 1, "{bytes:?}");
    }
}

#[test]
fn half_a_login_ends_in_time() {
    let (mut node, port) = alone(Some(&settings("right", true, true)));
    node.stop_the_clock();
    let mut streams: Vec<TcpStream> = [&MAGIC[..3], MAGIC, &[MAGIC, &framed(&[1])].concat()]
        .map(|bytes| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(bytes).unwrap();
            stream
        })
        .into();
    (0..20).for_each(|_| node.turn());
    node.clock_ms += GREETING_TIMEOUT_MS + 1;
    node.turn();
    assert_eq!(node.links.counts().silent, 3);
    for stream in &mut streams {
        said_to(&mut node, stream);
    }
}

/// An attacker at the address of a server passes the tokens of two others on to each other. Both
/// believe the login, and neither the proof that follows.
#[test]
fn tokens_that_are_passed_on_lead_nowhere() {
    let (mut node, port) = alone(Some(&settings("right", true, true)));
    let mut client = Client::new(Service::QUORUM, "zk", Secret::new("right"), [3; 24]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(MAGIC).unwrap();
    let challenge = ask(&mut node, &mut stream, &[1]);
    let response = client.step(&challenge[1..]).unwrap().unwrap();
    let accepted = ask(&mut node, &mut stream, &[&[1], &response[..]].concat());
    assert_eq!(accepted.first(), Some(&1), "the login is complete");
    // From here on the attacker is on its own. It even has the key of the cluster.
    let ours = Greeting { from: 2, to: 1, hello: hello(7, 1), verdict: None }.encode();
    stream.write_all(&ours).unwrap();
    let theirs = answer(&mut node, &mut stream, GREETING_BYTES);
    assert!(matches!(Greeting::decode(&theirs), Ok(Heard::Greeting(Greeting { verdict: None, .. }))));
    let keys = keys_of(7);
    let challenge = keys.part().unwrap();
    let record = ask(&mut node, &mut stream, &challenge.encode());
    let Some(proof::Reply::Answer(said)) = proof::Reply::decode(&record) else { panic!("{record:?}") };
    let exchange =
        proof::Exchange { login: None, greetings: [ours, theirs].concat(), challenge, answer: said.part };
    assert!(keys.confirm(&exchange, &said).is_none(), "it cannot tell whether the answer is right");
    let mut without = keys.clone();
    without.cluster = None;
    let Some(confirm) = without.confirm(&exchange, &said) else { panic!("nothing to prove") };
    stream.write_all(&framed(&confirm)).unwrap();
    assert_eq!(said_to(&mut node, &mut stream), b"", "it is closed");
    assert!(node.news.contains(&LinkNews::Refused { peer: 2, reason: Reason::Proof, dialled: false }));
}

/// A server that is dialled and does not know the password, or skips what it has to prove.
#[test]
fn a_dialled_server_must_log_in_too() {
    for says_yes in [true, false] {
        let (one, two) = (free_port(), free_port());
        let listener = std::net::TcpListener::bind(("127.0.0.1", two)).unwrap();
        let mut node = Node::start(1, hello(7, 1), &members(&[(1, one), (2, two)]));
        authenticate(&mut node, &settings("right", true, true));
        listener.set_nonblocking(true).unwrap();
        let mut stream = loop {
            node.turn();
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock),
            }
        };
        stream.set_nonblocking(false).unwrap();
        for _ in 0..20 {
            node.turn();
        }
        let mut begun = [0; 8 + HEADER_BYTES + 1];
        stream.read_exact(&mut begun).unwrap();
        assert!(begun.starts_with(MAGIC), "{begun:?}");
        if says_yes {
            stream.write_all(&framed(&[1])).unwrap();
        } else {
            let mut server = Server::new(Service::QUORUM, [5; 24]);
            let Ok(Step::Challenge(challenge)) = server.step(b"", |_| None) else { panic!() };
            stream.write_all(&framed(&[&[0], &challenge[..]].concat())).unwrap();
            let header = answer(&mut node, &mut stream, HEADER_BYTES);
            assert_eq!(header.len(), HEADER_BYTES, "it answers the challenge");
            stream.write_all(&framed(&[&[1][..], b"rspauth=", &[b'0'; 32]].concat())).unwrap();
        }
        for _ in 0..200 {
            node.turn();
        }
        assert!(node.ups().is_empty() && is_refused(&node), "{says_yes}: {:?}", node.news);
    }
}
