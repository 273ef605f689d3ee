//! Peers and strangers that misbehave.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::super::frame::framed;
use super::stranger::{enter, take};
use super::*;

/// A server 1 that knows a server 2, which the test plays.
fn server_one() -> (Node, u16, u16) {
    let (one, two) = (free_port(), free_port());
    (Node::start(1, hello(7, 1), &members(&[(1, one), (2, two)])), one, two)
}

/// A connection to `node` on which server 2 was accepted.
fn greeted(node: &mut Node, port: u16) -> TcpStream {
    enter(node, port, hello(7, 1), &keys_of(7))
}

/// The next `bytes` bytes of what `node` answers, or fewer if it closes before.
pub(super) fn answer(node: &mut Node, stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut heard = Vec::new();
    until(&mut [node], "an answer", |_| {
        let mut buffer = vec![0; bytes - heard.len()];
        match stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(n) => {
                heard.extend_from_slice(&buffer[..n]);
                heard.len() == bytes
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(_) => true,
        }
    });
    heard
}

#[test]
fn bytes_that_are_no_frames_end_the_connection() {
    let too_long = [&(limits::FRAME_BYTES_MAX as u32 + 1).to_be_bytes()[..], &[0; 4]].concat();
    let mut damaged = framed(b"damaged");
    *damaged.last_mut().unwrap() ^= 1;
    for bad in [vec![0; 100], too_long, damaged, b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let (mut a, port, _) = server_one();
        let mut peer = greeted(&mut a, port);
        // Whole frames before that are not lost.
        peer.write_all(&[framed(b"good"), bad, framed(b"after")].concat()).unwrap();
        assert_eq!(answer(&mut a, &mut peer, 1), b"", "the connection is closed");
        assert_eq!(a.frames, [(2, "good".into())]);
        assert_eq!(a.links.counts().malformed, 1);
        assert!(a.news.contains(&LinkNews::Down { peer: 2 }));
        // And the peer may connect again.
        drop(greeted(&mut a, port));
    }
}

#[test]
fn bytes_that_are_no_greeting_end_the_connection() {
    let mut damaged = Greeting { from: 2, to: 1, hello: hello(7, 1), verdict: None }.encode();
    damaged[20] ^= 1;
    let (mut a, port, _) = server_one();
    for (count, bad) in
        [b"ruok".to_vec(), damaged, b"ostlpeer\0\x01\x02\x01\xff\xff".to_vec()].iter().enumerate()
    {
        let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stranger.write_all(bad).unwrap();
        assert_eq!(answer(&mut a, &mut stranger, 1), b"", "{bad:?}");
        assert_eq!(a.links.counts().malformed, count as u64 + 1, "{bad:?}");
    }
    // A greeting that never ends, of a version that could have a long one.
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stranger.write_all(b"ostlpeer\0\x09\x02\x01\xff\xff").unwrap();
    stranger.write_all(&[0; 70_000]).unwrap();
    until(&mut [&mut a], "it is closed", |nodes| nodes[0].links.counts().malformed == 4);
    assert!(a.news.is_empty(), "strangers are not reported: {:?}", a.news);
}

#[test]
fn a_dialled_process_of_another_kind_is_counted_and_dialled_again() {
    let (mut a, _, two) = server_one();
    let listener = TcpListener::bind(("127.0.0.1", two)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut kept = Vec::new();
    until(&mut [&mut a], "two attempts have failed", |nodes| {
        if let Ok((mut stream, _)) = listener.accept() {
            stream.write_all(b"imok, and who are you, who asks like that?").unwrap();
            kept.push(stream);
        }
        nodes[0].links.counts().malformed >= 2
    });
    assert!(!a.links.is_up(2) && a.news.is_empty());
}

#[test]
fn silent_strangers_are_closed_after_a_while() {
    let (mut a, port, _) = server_one();
    a.stop_the_clock();
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stranger.write_all(b"ostl").unwrap();
    until(&mut [&mut a], "it came", |nodes| nodes[0].links.counts().bytes_received == 4);
    a.clock_ms += limits::GREETING_TIMEOUT_MS;
    a.turn();
    assert_eq!(a.links.counts().silent, 0, "it has time until then");
    a.clock_ms += 1;
    a.turn();
    assert_eq!(a.links.counts().silent, 1);
    assert_eq!(answer(&mut a, &mut stranger, 1), b"");
}

#[test]
fn a_crowd_of_strangers_keeps_no_member_out() {
    let (mut a, port, _) = server_one();
    a.stop_the_clock();
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let crowd: Vec<TcpStream> = (0..limits::HALF_OPEN_MAX + 5).map(|_| connect()).collect();
    until(&mut [&mut a], "the first of them had to go", |nodes| nodes[0].links.counts().silent == 5);
    let mut member = greeted(&mut a, port);
    assert_eq!(a.links.counts().silent, 6, "one more made room for the member");
    // Strangers come and go; the member stays.
    let _more: Vec<TcpStream> = (0..2 * limits::HALF_OPEN_MAX).map(|_| connect()).collect();
    member.write_all(&framed(b"still here")).unwrap();
    until(&mut [&mut a], "the member is heard", |nodes| !nodes[0].frames.is_empty());
    assert!(!a.news.contains(&LinkNews::Down { peer: 2 }));
    drop(crowd);
}

#[test]
fn a_newer_connection_of_a_server_replaces_the_older() {
    let (mut a, port, _) = server_one();
    let mut first = greeted(&mut a, port);
    let mut second = greeted(&mut a, port);
    assert_eq!(answer(&mut a, &mut first, 1), b"", "the older is closed");
    second.write_all(&framed(b"new")).unwrap();
    until(&mut [&mut a], "the newer is heard", |nodes| !nodes[0].frames.is_empty());
    assert!(a.news.is_empty(), "it was never gone: {:?}", a.news);
    // A server that has restarted was gone, though its host did not say so.
    let _third = enter(&mut a, port, hello(7, 2), &keys_of(7));
    until(&mut [&mut a], "it is reported", |nodes| nodes[0].news == [LinkNews::Down { peer: 2 }]);
}

#[test]
fn a_peer_that_does_not_read_has_a_bounded_queue() {
    const FRAME: usize = 1 << 20;
    let (mut a, _, two) = server_one();
    let listener = TcpListener::bind(("127.0.0.1", two)).unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        take(&mut stream, hello(7, 1), &keys_of(7));
        stream
    });
    until(&mut [&mut a], "it is up", |nodes| nodes[0].links.is_up(2));
    let mut peer = peer.join().unwrap();
    let mut sent = 0_u32;
    let mut frame = vec![0; FRAME];
    while a.links.counts().frames_dropped_full < 20 {
        frame[..4].copy_from_slice(&sent.to_be_bytes());
        a.links.send(2, &frame);
        a.links.flush();
        assert!(a.links.queued_bytes(2) <= limits::QUEUED_BYTES_MAX);
        sent += 1;
    }
    assert!(a.links.is_up(2), "a slow reader is not cut off by this");
    let taken = a.links.counts().frames_sent;
    assert_eq!(u64::from(sent), taken + 20);
    let reader = std::thread::spawn(move || {
        let mut reader = FrameReader::default();
        let (mut buffer, mut numbers) = (vec![0; 1 << 20], Vec::new());
        while numbers.len() < taken as usize {
            let n = peer.read(&mut buffer).unwrap();
            reader.push(&buffer[..n]);
            while let Some(frame) = reader.next_frame().unwrap() {
                numbers.push(u32::from_be_bytes(*frame.first_chunk().unwrap()));
            }
        }
        numbers
    });
    until(&mut [&mut a], "it has read all", |_| reader.is_finished());
    let numbers = reader.join().unwrap();
    assert!(numbers.is_sorted() && numbers.len() == taken as usize, "what was not dropped came in order");
    assert_eq!(a.links.queued_bytes(2), 0);
}

#[test]
fn one_peer_that_floods_does_not_hold_the_thread() {
    let (mut a, port, _) = server_one();
    let peer = greeted(&mut a, port);
    let one_event = (limits::READS_MAX * limits::READ_BYTES) as u64;
    let flood = std::thread::spawn(move || {
        let mut peer = peer;
        let frame = framed(&vec![1; 100_000]);
        let mut sent = 0;
        // Until the other side closes.
        while peer.write_all(&frame).is_ok() {
            sent += 1;
        }
        sent
    });
    let mut received = a.links.counts().bytes_received;
    let enough = received + 8 * one_event;
    while received < enough {
        a.turn();
        let now = a.links.counts().bytes_received;
        assert!(now - received <= one_event, "{} bytes at one event", now - received);
        received = now;
        a.frames.clear();
    }
    drop(a);
    assert!(flood.join().unwrap() > 0);
}
