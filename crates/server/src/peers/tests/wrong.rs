//! Servers that do not belong together, and the reasons they report.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;

/// Runs two servers with these member lists until both know that they do not belong together, and
/// returns what they report.
fn refusal(hellos: [Hello; 2], told: [&[(ServerId, u16)]; 2]) -> [Vec<LinkNews>; 2] {
    let mut a = Node::start(told[0][0].0, hellos[0], &members(told[0]));
    let mut b = Node::start(told[1][0].0, hellos[1], &members(told[1]));
    let knows = |node: &Node, of_dialled| {
        node.news
            .iter()
            .any(|news| matches!(news, LinkNews::Refused { dialled, .. } if *dialled == of_dialled))
    };
    let both_know = |nodes: &mut [&mut Node]| {
        // The one that was dialled knows first; of the two, at least one was.
        (knows(nodes[0], true) && knows(nodes[1], false)) || (knows(nodes[1], true) && knows(nodes[0], false))
    };
    until(&mut [&mut a, &mut b], "both know", both_know);
    assert!(a.ups().is_empty() && b.ups().is_empty());
    [a.news, b.news]
}

fn refused(peer: ServerId, reason: Reason, dialled: bool) -> LinkNews {
    LinkNews::Refused { peer, reason, dialled }
}

#[test]
fn servers_of_two_clusters_do_not_talk() {
    let ports = [(1, free_port()), (2, free_port())];
    let swapped = [ports[1], ports[0]];
    for (hellos, reason) in [
        ([hello(7, 1), hello(8, 1)], Reason::Cluster),
        ([hello(7, 1), Hello { engine: EngineKind::Paxos, ..hello(7, 1) }], Reason::Engine),
        // A server without a cluster may join, but not with another engine.
        ([hello(0, 1), Hello { engine: EngineKind::Paxos, ..hello(7, 1) }], Reason::Engine),
    ] {
        let [a, b] = refusal(hellos, [&ports, &swapped]);
        let expected = |peer| [refused(peer, reason, true), refused(peer, reason, false)];
        assert!(a.iter().all(|news| expected(2).contains(news)), "{a:?}");
        assert!(b.iter().all(|news| expected(1).contains(news)), "{b:?}");
    }
}

#[test]
fn a_server_under_a_wrong_number_is_refused() {
    let (one, two) = (free_port(), free_port());
    // Server 1 believes that server 2 is where server 3 is.
    let [a, b] = refusal([hello(7, 1), hello(7, 1)], [&[(1, one), (2, two)], &[(3, two), (1, one)]]);
    assert!(a.contains(&refused(2, Reason::Addressee, true)), "{a:?}");
    assert!(b.contains(&refused(1, Reason::Addressee, false)), "{b:?}");
    // And server 1 does not know server 3.
    let [a, b] = refusal([hello(7, 1), hello(7, 1)], [&[(1, one)], &[(3, two), (1, one)]]);
    assert_eq!((a, b), (vec![refused(3, Reason::Stranger, false)], vec![refused(1, Reason::Stranger, true)]));
}

#[test]
fn a_refusal_is_reported_once_and_again_when_it_changes() {
    let ports = [(1, free_port()), (2, free_port())];
    let swapped = [ports[1], ports[0]];
    let mut a = Node::start(1, hello(7, 1), &members(&ports));
    let mut b = Node::start(2, hello(8, 1), &members(&swapped));
    until(&mut [&mut a, &mut b], "several attempts", |nodes| nodes[0].links.counts().refused >= 4);
    let told = |node: &Node, news| node.news.iter().filter(|other| **other == news).count();
    assert_eq!(told(&a, refused(2, Reason::Cluster, false)), 1);
    assert_eq!(told(&b, refused(1, Reason::Cluster, true)), 1);
    drop(b);
    let mut b = Node::start(2, hello(7, 2), &members(&swapped));
    until(&mut [&mut a, &mut b], "they talk", |nodes| nodes[0].links.is_up(2) && nodes[1].links.is_up(1));
    drop(b);
    let mut b = Node::start(2, hello(8, 3), &members(&swapped));
    until(&mut [&mut a, &mut b], "it is reported again", |nodes| {
        told(nodes[0], refused(2, Reason::Cluster, false)) == 2
    });
}

#[test]
fn a_server_that_learns_its_cluster_leaves_the_others() {
    let ports = [(1, free_port()), (2, free_port()), (3, free_port())];
    let members = members(&ports);
    let mut a = Node::start(1, hello(0, 1), &members);
    let mut b = Node::start(2, hello(7, 1), &members);
    let mut c = Node::start(3, hello(8, 1), &members);
    until(&mut [&mut a, &mut b, &mut c], "the first talks to both", |nodes| {
        nodes[0].ups().len() == 2 && nodes[1].links.is_up(1) && nodes[2].links.is_up(1)
    });
    a.news.clear();
    a.links.set_cluster(7, &key_of(7));
    assert!(!a.links.is_up(3));
    until(&mut [&mut a, &mut b, &mut c], "the third is out and the second is a member", |nodes| {
        !nodes[2].links.is_up(1) && nodes[0].links.is_up(2) && nodes[1].links.is_up(1)
    });
    a.links.send(2, b"of a member");
    until(&mut [&mut a, &mut b, &mut c], "they talk as members", |nodes| !nodes[1].frames.is_empty());
    assert!(a.news.contains(&refused(3, Reason::Cluster, true)), "{:?}", a.news);
}

/// A greeting of version 9, whose body is longer.
fn greeting_of_the_future(from: u8, to: u8) -> Vec<u8> {
    let fixed = [&b"ostlpeer"[..], &[0, 9, from, to, 0, 40]].concat();
    let start = [&fixed[..], &[0x55; 40]].concat();
    [&start[..], &crc32c::crc32c(&start).to_be_bytes()].concat()
}

#[test]
fn a_server_of_another_version_is_told_this_version() {
    let (one, two) = (free_port(), free_port());
    let mut a = Node::start(1, hello(7, 1), &members(&[(1, one), (2, two)]));
    let mut stranger = TcpStream::connect(("127.0.0.1", one)).unwrap();
    stranger.write_all(&greeting_of_the_future(2, 1)).unwrap();
    until(&mut [&mut a], "it is refused", |nodes| {
        nodes[0].news.contains(&refused(2, Reason::Version, false))
    });
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).unwrap();
    let expected = Greeting { from: 1, to: 2, hello: hello(7, 1), verdict: Some(Reason::Version) };
    assert_eq!(Greeting::decode(&answer), Ok(Heard::Greeting(expected)));
}

#[test]
fn a_server_that_reaches_one_of_another_version_says_so() {
    let (one, two) = (free_port(), free_port());
    let listener = TcpListener::bind(("127.0.0.1", two)).unwrap();
    let future = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut greeting = [0; super::super::greeting::GREETING_BYTES];
        stream.read_exact(&mut greeting).unwrap();
        stream.write_all(&greeting_of_the_future(2, 1)).unwrap();
        greeting
    });
    let mut a = Node::start(1, hello(7, 1), &members(&[(1, one), (2, two)]));
    until(&mut [&mut a], "it is refused", |nodes| nodes[0].news.contains(&refused(2, Reason::Version, true)));
    let said = Greeting { from: 1, to: 2, hello: hello(7, 1), verdict: None };
    assert_eq!(Greeting::decode(&future.join().unwrap()), Ok(Heard::Greeting(said)));
}

#[test]
fn both_sides_explain_every_reason() {
    use super::super::greeting::{explain, explain_version};
    let ours = Greeting { from: 1, to: 2, hello: hello(7, 1), verdict: None };
    let theirs = Hello { engine: EngineKind::Paxos, ..hello(8, 1) };
    let dialler = |reason| Greeting { from: 2, to: 1, hello: theirs, verdict: Some(reason) };
    for (reason, expected) in [
        (
            Reason::Cluster,
            "server 2 belongs to another cluster (0x0000000000000008; this server's is 0x0000000000000007)",
        ),
        (
            Reason::Engine,
            "server 2 runs the engine paxos, this server raft: ostler.consensus must be the same on all",
        ),
        (Reason::Stranger, "server 2 does not know this server, server 1"),
        (Reason::Other, "server 2 refuses this server for a reason of a later version"),
    ] {
        assert_eq!(explain(reason, true, &ours, &dialler(reason)), expected);
    }
    let meant = Greeting { from: 3, ..dialler(Reason::Addressee) };
    let expected = "the server at the address of server 2 is server 3: server.N and myid do not match";
    assert_eq!(explain(Reason::Addressee, true, &ours, &meant), expected);
    let answer = Greeting { from: 3, to: 1, hello: hello(7, 1), verdict: None };
    let wrong = Greeting { from: 1, to: 2, hello: hello(7, 1), verdict: None };
    assert_eq!(explain(Reason::Addressee, false, &answer, &wrong), expected);
    assert_eq!(explain(Reason::Stranger, false, &answer, &wrong), "server 1 is not known as a member");
    let versions = "server 2 speaks version 9 of the protocol between servers, this server version 1";
    assert_eq!(explain_version(2, 9), versions);
}
