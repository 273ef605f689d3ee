//! The main baseline: non-blocking sockets, one poll loop per thread, and at most one log with
//! group flushes.

mod flusher;

use crate::answer::Canned;
use crate::connection::{Connection, READ_BYTES, State};
use crate::log::Log;
use flusher::{Answer, Flusher, Inbox};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::sync::{Arc, Mutex};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;
const EVENTS_PER_WAKE: usize = 256;

/// Which thread flushes the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Flush {
    /// The poll loop, after every wake-up: no hand-off, but reads wait for the disk too
    Inline,
    /// A dedicated thread, which takes all waiting writes: reads continue meanwhile, at the cost of
    /// two hand-offs
    Thread,
}

/// How writes are made durable by the poll loops of one server.
enum Durable {
    /// Answered without being stored.
    Not,
    Inline(Mutex<Log>),
    Thread(Flusher),
}

struct Shared {
    canned: Canned,
    durable: Durable,
    inboxes: Vec<Inbox>,
}

/// Serves connections of `listener` on `threads` poll loops until the process ends, writing to
/// `log` if there is one.
///
/// # Errors
/// When a socket operation other than on a client's connection fails, or the log cannot be flushed.
pub fn serve(
    listener: std::net::TcpListener,
    threads: usize,
    data_bytes: usize,
    log: Option<(Log, Flush)>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let polls = (0..threads.max(1)).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    let inboxes = polls
        .iter()
        .map(|poll| Ok(Inbox::new(Waker::new(poll.registry(), WAKER)?)))
        .collect::<io::Result<Vec<_>>>()?;
    let (durable, flushing) = match log {
        None => (Durable::Not, None),
        Some((log, Flush::Inline)) => (Durable::Inline(Mutex::new(log)), None),
        Some((log, Flush::Thread)) => (Durable::Thread(Flusher::default()), Some(log)),
    };
    let shared = Arc::new(Shared { canned: Canned::new(data_bytes), durable, inboxes });
    let mut threads = Vec::new();
    if let Some(mut log) = flushing {
        let shared = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || match &shared.durable {
            Durable::Thread(flusher) => flusher.run(&mut log, &shared.inboxes),
            Durable::Not | Durable::Inline(_) => unreachable!("only a flusher leaves the log"),
        }));
    }
    let mut listener = Some(TcpListener::from_std(listener));
    for (number, poll) in polls.into_iter().enumerate() {
        let worker = Worker::new(number, poll, listener.take(), Arc::clone(&shared))?;
        threads.push(std::thread::spawn(move || worker.run()));
    }
    // A thread ends only by an error, and without it the server is useless: report the first
    // failure.
    loop {
        if let Some(at) = threads.iter().position(|thread| thread.is_finished()) {
            return threads
                .swap_remove(at)
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

struct Worker {
    number: usize,
    poll: Poll,
    /// Only the first worker listens; it distributes the connections round-robin.
    listener: Option<TcpListener>,
    accepted: usize,
    /// Slots are never reused, so that a late flush cannot answer another client.
    connections: Vec<Option<Box<Connection>>>,
    shared: Arc<Shared>,
    /// Frames of writes received in this wake-up.
    log: Vec<u8>,
    /// Connections with replies that wait for this loop to flush those frames.
    held: Vec<usize>,
    input: Vec<u8>,
}

impl Worker {
    fn new(
        number: usize,
        poll: Poll,
        mut listener: Option<TcpListener>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        if let Some(listener) = &mut listener {
            poll.registry().register(listener, LISTENER, Interest::READABLE)?;
        }
        Ok(Self {
            number,
            poll,
            listener,
            accepted: 0,
            connections: Vec::new(),
            shared,
            log: Vec::new(),
            held: Vec::new(),
            input: vec![0; READ_BYTES],
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_WAKE);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    WAKER => self.collect()?,
                    Token(token) => self.ready(token - FIRST_CONNECTION),
                }
            }
            self.flush()?;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(listener) = &self.listener {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let worker = self.accepted % self.shared.inboxes.len();
            self.accepted += 1;
            if worker == self.number {
                self.register(stream)?;
            } else {
                self.shared.inboxes[worker].hand_over(stream)?;
            }
        }
        Ok(())
    }

    fn register(&mut self, mut stream: TcpStream) -> io::Result<()> {
        let token = Token(self.connections.len() + FIRST_CONNECTION);
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.connections.push(Some(Box::new(Connection::new(stream))));
        Ok(())
    }

    /// Takes what other threads left: new connections, and replies whose writes are on disk.
    fn collect(&mut self) -> io::Result<()> {
        let (streams, answers) = self.shared.inboxes[self.number].take();
        for stream in streams {
            self.register(stream)?;
        }
        for answer in answers {
            if let Some(connection) = &mut self.connections[answer.connection] {
                connection.release();
                let state = connection.write();
                self.keep(answer.connection, state);
            }
        }
        Ok(())
    }

    fn ready(&mut self, index: usize) {
        let Some(connection) = &mut self.connections[index] else { return };
        let (logged, start) = (self.log.len(), connection.made());
        let mut state = connection.read(&self.shared.canned, &mut self.input, &mut self.log);
        if state == State::Open {
            let wrote = self.log.len() > logged;
            match &self.shared.durable {
                Durable::Inline(_) if wrote => {
                    connection.hold(start);
                    self.held.push(index);
                }
                Durable::Thread(flusher) if wrote => {
                    connection.hold(start);
                    flusher.add(&self.log[logged..], Answer { worker: self.number, connection: index });
                    self.log.truncate(logged);
                }
                Durable::Not => self.log.truncate(logged),
                Durable::Inline(_) | Durable::Thread(_) => {}
            }
            state = connection.write();
        } else {
            // No client waits for its last writes.
            self.log.truncate(logged);
        }
        self.keep(index, state);
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Durable::Inline(log) = &self.shared.durable
            && !self.log.is_empty()
        {
            log.lock().expect("no thread panics while it holds the log's lock").flush(&self.log)?;
            self.log.clear();
            for index in std::mem::take(&mut self.held) {
                if let Some(connection) = &mut self.connections[index] {
                    connection.release();
                    let state = connection.write();
                    self.keep(index, state);
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, index: usize, state: State) {
        if state == State::Gone {
            self.connections[index] = None;
        }
    }
}
