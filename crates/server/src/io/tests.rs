//! What connection threads and the replication thread do to each other.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mio::{Poll, Registry};
use storage::disk::SimDisk;

use super::connection::Phase;
use super::{IoThread, Socket};
use crate::clock::Clock;
use crate::config::{self, CommandLine};
use crate::mailbox::Mailbox;
use crate::replication::recovery::{Files, recover};
use crate::serve::{Place, features};
use crate::shared::Shared;

/// A client that says nothing.
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

impl Socket for Silent {
    fn watch(&mut self, _: &Registry, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self, _: &Registry) {}
}

fn server() -> Arc<Shared> {
    let command_line = CommandLine { data_dir: Some(PathBuf::from("/data")), ..CommandLine::default() };
    let config = config::load(&command_line).expect("a valid configuration").config;
    let files = Files { disk: Arc::new(SimDisk::new(1)), background: false };
    let machine = recover(files, &config, features(&config.requests)).expect("an empty disk").machine;
    let place = Place { me: 1, client_port: 0, hash_seed: 0, waker: None };
    Arc::new(Shared::new(config, Clock::start(), machine, vec![Mailbox::new(None)], place))
}

/// A connection that was told to go while it waited for its session got it all the same, and lived on.
#[test]
fn a_connection_that_was_told_to_go_gets_no_session() {
    let shared = server();
    shared.sessions.opened(7, 10_000, 0);
    let poll = Poll::new().expect("a poll");
    let mut thread = IoThread::new(0, Arc::clone(&shared), None, poll, None).expect("there is no listener");
    for told in [Phase::Closing, Phase::Closed] {
        let slot = thread.take_on(Box::new(Silent), SocketAddr::from(([127, 0, 0, 1], 1))).expect("a slot");
        thread.connections[slot].phase = told;
        let token = thread.connections[slot].token;
        shared.sessions.set_owner(7, Some(token));
        thread.opened(slot, 7);
        assert_eq!((thread.connections[slot].phase, thread.connections[slot].session), (told, 0));
        assert!(shared.sessions.seen_by(7, token).is_none(), "nobody is on the session");
    }
}

/// A connection thread that served a read held the machine, found in its letterbox that a session had been agreed, and asked for the
/// machine again to answer its client. If the replication thread had come to write in between, each of the two waited for the other, and the
/// server stood still for ever.
#[test]
fn a_session_is_opened_while_its_thread_holds_the_machine_and_a_writer_waits_for_it() {
    let shared = server();
    shared.sessions.opened(7, 10_000, 0);
    let poll = Poll::new().expect("a poll");
    let mut thread = IoThread::new(0, Arc::clone(&shared), None, poll, None).expect("there is no listener");
    let slot = thread.take_on(Box::new(Silent), SocketAddr::from(([127, 0, 0, 1], 1))).expect("a slot");
    thread.connections[slot].phase = Phase::Opening;
    shared.sessions.set_owner(7, Some(thread.connections[slot].token));
    let held = shared.machine.read();
    let writer = std::thread::spawn({
        let shared = Arc::clone(&shared);
        move || drop(shared.machine.write())
    });
    while shared.machine.try_read().is_some() {
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
