//! Interaction of connection threads and the replication thread.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use group::{GroupId, Token};
use storage::disk::SimDisk;
use wire::frame;
use wire::record::{ReplyHeader, RequestHeader};

use super::IoThread;
use super::connection::Phase;
use super::session_queue::{Kind, Unanswered};
use crate::clock::{Clock, ManualTime};
use crate::config::{self, CommandLine};
use crate::host::recovery::{Files, recover};
use crate::inbox::Submissions;
use crate::mailbox::{Delivery, Mailbox, Note};
use crate::shared::{ServerParams, Shared, features};
use crate::stream::{Readiness, Stream};

/// A client that sends nothing.
struct Silent;

impl Read for Silent {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Silent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Silent {
    fn close(&mut self) {}
}

fn server(clock: Clock) -> Arc<Shared> {
    let command_line = CommandLine { data_dir: Some(PathBuf::from("/data")), ..CommandLine::default() };
    let config = config::load(&command_line).expect("a valid configuration").config;
    let files = Files { disk: Arc::new(SimDisk::new(1)), background: false };
    let machines = recover(files, &config, features(&config.requests)).expect("an empty disk").machines;
    let params = ServerParams {
        me: 1,
        client_port: 0,
        secure_port: None,
        #[cfg(feature = "net")]
        tls: None,
        #[cfg(feature = "net")]
        peer_tls: None,
        #[cfg(feature = "net")]
        admin_tls: None,
        #[cfg(feature = "net")]
        metrics_tls: None,
        hash_seed: 0,
        nonce_secret: [0; 32],
        kerberos: None,
        handler: None,
        audit: None,
        waker: None,
    };
    Arc::new(Shared::new(config, clock, machines, vec![Mailbox::new(None)], params))
}

/// A connection that was told to close while it waited for its session got it all the same, and
/// lived on.
#[test]
fn a_connection_that_was_told_to_close_gets_no_session() {
    let shared = server(Clock::start());
    shared.root().sessions.opened(7, 10_000, 0);
    let mut thread = IoThread::new(0, Arc::clone(&shared));
    for told in [Phase::Closing, Phase::Closed] {
        let slot = thread
            .take_on(Box::new(Silent), SocketAddr::from(([127, 0, 0, 1], 1)), GroupId::ROOT)
            .expect("a slot");
        thread.connections[slot].phase = told;
        let token = thread.connections[slot].token;
        shared.root().sessions.set_owner(7, Some(token));
        thread.opened(slot, 7);
        assert_eq!((thread.connections[slot].phase, thread.connections[slot].session), (told, 0));
        assert!(shared.root().sessions.seen_by(7, token).is_none(), "the session has no connection");
    }
}

/// A connection thread that held the machine to serve a read found in its mailbox that a session
/// had been committed, and asked for the machine again to answer its client. If the replication
/// thread had queued for writing in between, each waited for the other, and the server hung for
/// ever.
#[test]
fn a_session_is_opened_while_its_thread_holds_the_machine_and_a_writer_waits_for_it() {
    let shared = server(Clock::start());
    shared.root().sessions.opened(7, 10_000, 0);
    let mut thread = IoThread::new(0, Arc::clone(&shared));
    let slot = thread
        .take_on(Box::new(Silent), SocketAddr::from(([127, 0, 0, 1], 1)), GroupId::ROOT)
        .expect("a slot");
    thread.connections[slot].phase = Phase::Opening;
    shared.root().sessions.set_owner(7, Some(thread.connections[slot].token));
    let held = shared.root().machine.read();
    let writer = std::thread::spawn({
        let shared = Arc::clone(&shared);
        move || drop(shared.root().machine.write())
    });
    while shared.root().machine.try_read().is_some() {
        std::thread::yield_now();
    }
    let (done, opened) = mpsc::channel();
    let opener = std::thread::spawn(move || {
        thread.opened(slot, 7);
        done.send(thread.connections[slot].session).expect("the test waits");
    });
    assert_eq!(opened.recv_timeout(Duration::from_secs(10)), Ok(7), "neither waits for the other");
    drop(held);
    opener.join().expect("it opens a session");
    writer.join().expect("it writes");
}

/// A client that sends what a test puts in, and reads nothing.
#[derive(Clone, Default)]
struct Sender(Arc<Mutex<VecDeque<u8>>>);

impl Sender {
    fn send(&self, opcode: i32) {
        let frame = [8_i32, -2, opcode].map(i32::to_be_bytes);
        self.0.lock().unwrap().extend(frame.as_flattened());
    }
}

impl Read for Sender {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.lock().unwrap().read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Sender {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Sender {
    fn close(&mut self) {}
}

const PING: i32 = 11;

/// One client with session 7 and a timeout of 10 s, on a thread whose clock the test controls.
struct One {
    time: Arc<ManualTime>,
    shared: Arc<Shared>,
    thread: IoThread,
    slot: usize,
    sender: Sender,
}

impl One {
    fn new() -> One {
        let time = ManualTime::new(0);
        let shared = server(Clock::manual(Arc::clone(&time)));
        shared.root().sessions.opened(7, 10_000, 0);
        let mut thread = IoThread::new(0, Arc::clone(&shared));
        let sender = Sender::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let slot = thread.take_on(Box::new(sender.clone()), address, GroupId::ROOT).expect("a slot");
        thread.connections[slot].timeout_ms = 10_000;
        thread.connections[slot].phase = Phase::Opening;
        shared.root().sessions.set_owner(7, Some(thread.connections[slot].token));
        thread.opened(slot, 7);
        thread.turn(&[]);
        One { time, shared, thread, slot, sender }
    }

    /// Advances the clock, and serves the client.
    fn turn_after(&mut self, ms: u64) {
        self.time.advance_us(ms * 1000);
        self.thread.turn(&[(self.slot, Readiness { readable: true, writable: false, read_closed: false })]);
    }

    /// Leaves a read of the client unanswered, behind which `places` are taken; returns its number.
    fn unanswered(&mut self, places: usize) -> u64 {
        let since_us = self.shared.clock.elapsed_us();
        let request = Unanswered { opcode: 5, kind: Kind::Client, since_us, large_bytes: 0 };
        self.thread.connections[self.slot].requests.push_read(request, places)
    }

    /// The replication thread delivers this.
    fn deliver(&mut self, mut delivery: Delivery) {
        let answers = delivery.notes.iter().filter(|(_, note)| matches!(note, Note::Reply { .. })).count();
        self.shared.inbox.put(&mut Submissions::new(1), answers);
        self.shared.mailboxes[0].post(&mut delivery);
        self.thread.turn(&[]);
    }

    fn seen_ms(&self) -> i64 {
        self.thread.connections[self.slot].seen_ms.load(Relaxed)
    }

    fn backlog(&self) -> usize {
        self.thread.connections[self.slot].backlog()
    }
}

/// Above 1 MiB of replies nothing more was read, so a client behind a slow link that pinged all the
/// time seemed silent. What is read from it meanwhile is bounded.
#[test]
fn a_client_that_has_to_read_first_is_not_silent() {
    let mut one = One::new();
    one.thread.connections[one.slot].output().resize(2 << 20, 0);
    for second in 1..=3 {
        one.sender.send(PING);
        one.turn_after(1_000);
        assert_eq!(one.seen_ms(), second * 1000);
    }
    assert!(one.thread.connections[one.slot].paused, "it is not served");
    for second in 4..=6 {
        (0..10_000).for_each(|_| one.sender.send(PING));
        one.turn_after(1_000);
        assert_eq!(one.seen_ms(), second * 1000, "more has arrived, though there is no room for it");
        assert!(one.thread.connections[one.slot].input.len() <= 17 << 10);
    }
    one.time.advance_us(1_000_000);
    one.thread.turn(&[]);
    assert_eq!(one.seen_ms(), 6_000, "it neither sends nor reads");
}

/// The same for a client whose requests wait for the server: once it can send nothing more, its
/// silence is the server's doing.
#[test]
fn a_client_that_is_not_read_for_reasons_of_the_server_is_not_silent() {
    let mut one = One::new();
    one.unanswered(1_000);
    (0..10_000).for_each(|_| one.sender.send(5));
    one.turn_after(10);
    one.time.advance_us(20_000_000);
    one.shared.ask_to_look();
    assert!(one.thread.is_busy());
    one.thread.turn(&[]);
    assert_eq!((one.seen_ms(), one.shared.read_progress.until_ms()), (20_010, 20_010));
    one.thread.connections[one.slot].output().resize(2 << 20, 0);
    one.time.advance_us(20_000_000);
    one.thread.turn(&[]);
    assert_eq!(
        (one.seen_ms(), one.shared.read_progress.until_ms()),
        (20_010, 40_010),
        "it has to read first"
    );
}

/// A client whose write hangs with the disk may conclude that its server is dead: its pings are
/// answered all the same, even those behind requests that have to wait. While the server is quick
/// they are answered in turn.
#[test]
fn pings_overtake_requests_that_have_waited_for_long() {
    let mut one = One::new();
    one.unanswered(0);
    let before = one.backlog();
    one.sender.send(PING);
    one.turn_after(249);
    assert_eq!(one.backlog(), before, "it is answered in turn");
    assert!(!one.shared.inbox.is_empty());
    one.sender.send(PING);
    one.turn_after(1);
    assert_eq!(one.backlog(), before + 20, "a header is the whole answer");
    let output = one.thread.connections[one.slot].output();
    assert_eq!(output[output.len() - 12..], [0; 12], "its client may be setting its watches again");

    one.unanswered(1_000);
    [4, PING, 4, PING].into_iter().for_each(|opcode| one.sender.send(opcode));
    one.turn_after(10);
    assert_eq!(one.backlog(), before + 3 * 20);
    assert_eq!(one.thread.connections[one.slot].input.len(), 2 * 12, "the reads wait");
}

/// A delivery of watch events and of answers. Each frame is 20 bytes and has this xid and zxid.
struct Post(Token, Delivery);

impl Post {
    fn event(mut self, xid: i32, zxid: i64) -> Post {
        self.1.frame(self.0, |len| Note::Event { len }, |out| put_header(out, xid, zxid));
        self
    }

    /// The answer to a request, behind `events` events.
    fn answer(mut self, number: u64, xid: i32, zxid: i64, events: i32) -> Post {
        let note = |len| Note::Reply { number, len, events: len - 20 };
        self.1.frame(self.0, note, |out| {
            (0..events).for_each(|event| put_header(out, -event, zxid));
            put_header(out, xid, zxid);
        });
        self
    }
}

fn put_header(out: &mut Vec<u8>, xid: i32, zxid: i64) {
    let mark = frame::begin(out);
    ReplyHeader { xid, zxid, err: 0 }.encode(out);
    frame::finish(out, mark);
}

/// The xid and zxid of each frame that a client has been sent behind `from`.
fn sent(one: &mut One, from: usize) -> Vec<(i32, i64)> {
    let frames = one.thread.connections[one.slot].output()[from..].chunks_exact(20);
    let header = |frame: &[u8]| ReplyHeader::decode(&mut wire::jute::Reader::new(&frame[4..]));
    frames.map(|frame| header(frame).expect("a header")).map(|header| (header.xid, header.zxid)).collect()
}

/// A refusal comes as soon as it is decided, while what the client sent before it is in flight.
#[test]
fn an_answer_that_comes_early_waits_for_its_turn_and_an_event_does_not() {
    let mut one = One::new();
    let from = one.backlog();
    let token = one.thread.connections[one.slot].token;
    let post = || Post(token, Delivery::default());
    let [first, second, third] = std::array::from_fn(|_| one.unanswered(0));
    one.deliver(post().answer(third, 3, 40, 2).1);
    one.deliver(post().answer(second, 2, 41, 0).event(-9, 42).1);
    assert_eq!(sent(&mut one, from), [(0, 40), (-1, 40), (-9, 42)], "events wait for no reply");
    let connection = &one.thread.connections[one.slot];
    assert_eq!((connection.backlog() - from, connection.held_bytes() - from), (60, 100));
    assert_eq!(one.shared.counts.output_bytes.load(Relaxed), connection.held_bytes() as u64);
    assert!(connection.is_over(99) && !connection.is_over(200), "what is held counts as unread");
    one.deliver(post().event(-8, 43).answer(first, 1, 43, 0).1);
    assert_eq!(sent(&mut one, from + 60), [(-8, 43), (1, 43), (2, 43), (3, 43)]);
    let connection = &one.thread.connections[one.slot];
    assert!(connection.requests.is_empty());
    assert_eq!(connection.held_bytes(), connection.backlog());
    one.deliver(post().answer(first, 1, 43, 0).1);
    assert_eq!(one.backlog(), from + 140, "nothing is answered twice");
}

#[test]
fn a_throttled_request_is_answered_in_its_turn() {
    let mut one = One::new();
    let from = one.backlog();
    let token = one.thread.connections[one.slot].token;
    let shared = Arc::clone(&one.shared);
    let turn_away = |one: &mut One, xid| {
        let header = RequestHeader { xid, opcode_raw: 4 };
        one.thread.turn_away(one.slot, &header, &shared, &mut None);
    };
    turn_away(&mut one, 1);
    let first = one.unanswered(0);
    turn_away(&mut one, 3);
    let last = one.unanswered(0);
    assert_eq!(sent(&mut one, from), [(1, 0)], "nothing is before it");
    one.deliver(Post(token, Delivery::default()).answer(first, 2, 9, 0).answer(last, 4, 10, 0).1);
    assert_eq!(sent(&mut one, from), [(1, 0), (2, 9), (3, 0), (4, 10)]);
}

/// A read-only server ends no session, and a client that has moved to another server may say
/// nothing.
#[test]
fn a_silent_client_of_a_read_only_server_is_disconnected() {
    let mut one = One::new();
    one.thread.connections[one.slot].read_only = true;
    one.thread.connections[one.slot].seen_ms.store(1_000, Relaxed);
    one.time.advance_us(11_000_000);
    one.thread.turn(&[]);
    assert!(one.thread.connections.contains(one.slot));
    one.time.advance_us(1_000_000);
    one.thread.turn(&[]);
    assert!(!one.thread.connections.contains(one.slot));
}

/// The end of the stream is handled after the requests before it.
#[test]
fn what_a_client_sent_before_it_closed_is_served() {
    /// Ends after what is in it.
    struct Ending(Sender);

    impl Read for Ending {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.0.lock().unwrap().read(buffer)
        }
    }

    impl Write for Ending {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Ending {
        fn close(&mut self) {}
    }

    let mut one = One::new();
    one.thread.connections[one.slot].stream = Box::new(Ending(one.sender.clone()));
    one.unanswered(1_000);
    one.sender.send(5);
    one.turn_after(1);
    one.turn_after(1);
    let connection = &mut one.thread.connections[one.slot];
    assert_eq!((connection.phase, connection.input.len()), (Phase::Open, 12), "its request waits");
    connection.requests.clear();
    one.thread.resumed.push(one.slot);
    one.thread.turn(&[]);
    assert!(one.thread.connections.is_empty(), "it was served, and then it closed");
    assert_eq!(one.thread.shared.threads[0].received.load(Relaxed), 1);
}

/// A client that sends nothing, and reads as many bytes as a test lets it.
#[derive(Clone, Default)]
struct Reader(Arc<AtomicUsize>);

impl Read for Reader {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.len().min(self.0.load(Relaxed)) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => {
                self.0.fetch_sub(taken, Relaxed);
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Reader {
    fn close(&mut self) {}
}

/// A long reply over a slow link was cut off ten seconds after the connection had begun. A reader
/// that takes almost nothing, only to keep the connection and its resources, must be disconnected
/// all the same.
#[test]
fn a_closing_connection_lasts_as_long_as_its_client_reads() {
    for (bytes_per_second, gets_all) in [(1_000, true), (100, false), (0, false)] {
        let time = ManualTime::new(0);
        let shared = server(Clock::manual(Arc::clone(&time)));
        let mut thread = IoThread::new(0, shared);
        let reader = Reader::default();
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let slot = thread.take_on(Box::new(reader.clone()), peer, GroupId::ROOT).expect("a slot");
        thread.connections[slot].output().extend_from_slice(&[b'x'; 200_000]);
        thread.connections[slot].phase = Phase::Closing;
        thread.list(slot);
        for _ in 0..100 {
            reader.0.store(bytes_per_second, Relaxed);
            time.advance_us(1_000_000);
            thread.turn(&[]);
        }
        assert_eq!(thread.connections.contains(slot), gets_all, "{bytes_per_second} bytes a second");
        if gets_all {
            assert_eq!(thread.connections[slot].backlog(), 100_000);
            reader.0.store(100_000, Relaxed);
            time.advance_us(1_000_000);
            thread.turn(&[]);
            assert!(!thread.connections.contains(slot), "it has got all");
        }
    }
}
