//! The clients of one member, and the replies waiting for a commit.

use crate::answer::Canned;
use crate::connection::{Connection, READ_BYTES, State};
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::io;

pub(super) struct Clients {
    listener: TcpListener,
    registry: Registry,
    /// The token of the first connection; the others follow.
    first_token: usize,
    canned: Canned,
    /// Slots are never reused, so that a late commit cannot answer another client.
    connections: Vec<Option<Box<Connection>>>,
    /// Marks of writes and the connections waiting for them, in the order of the marks.
    waiting: VecDeque<(u64, usize)>,
    input: Vec<u8>,
    /// Frames of writes received but not yet in a message or batch. The role takes them.
    pub(super) writes: Vec<u8>,
}

impl Clients {
    pub(super) fn new(
        listener: std::net::TcpListener,
        registry: Registry,
        token: Token,
        first_token: usize,
        data_bytes: usize,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self {
            listener,
            registry,
            first_token,
            canned: Canned::new(data_bytes),
            connections: Vec::new(),
            waiting: VecDeque::new(),
            input: vec![0; READ_BYTES],
            writes: Vec::new(),
        })
    }

    pub(super) fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.first_token + self.connections.len());
            self.registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            self.connections.push(Some(Box::new(Connection::new(stream))));
        }
    }

    /// Processes what a client has sent. Reads are answered at once; writes wait for
    /// [`Self::release`] of `mark`.
    pub(super) fn ready(&mut self, index: usize, mark: u64) {
        let Some(connection) = &mut self.connections[index] else { return };
        let (before, start) = (self.writes.len(), connection.made());
        let state = connection.read(&self.canned, &mut self.input, &mut self.writes);
        if state == State::Gone {
            // No client waits for its last writes.
            self.writes.truncate(before);
            self.connections[index] = None;
            return;
        }
        if self.writes.len() > before {
            connection.hold(start);
            self.waiting.push_back((mark, index));
        }
        self.write(index);
    }

    /// Sends the replies to all writes with a mark of at most `mark`. All are released before any
    /// is sent, so that a client waiting for several writes gets them in one piece.
    pub(super) fn release(&mut self, mark: u64) {
        let count = self.waiting.iter().take_while(|(at, _)| *at <= mark).count();
        for (_, index) in self.waiting.iter().take(count) {
            if let Some(connection) = &mut self.connections[*index] {
                connection.release();
            }
        }
        for _ in 0..count {
            if let Some((_, index)) = self.waiting.pop_front() {
                self.write(index);
            }
        }
    }

    fn write(&mut self, index: usize) {
        if let Some(connection) = &mut self.connections[index]
            && connection.write() == State::Gone
        {
            self.connections[index] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    /// Length of the replies to the handshake and the delete of [`session`].
    const REPLY_BYTES: usize = 40 + 20;

    /// A session that sends one delete with its handshake, so that the replies to both are held.
    fn session(address: std::net::SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut input = vec![0; 4 + 44];
        input[3] = 44;
        input.extend([8, 1, 2].map(i32::to_be_bytes).concat());
        stream.write_all(&input).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        stream
    }

    /// Sent bytes do not always arrive at once, even on one machine.
    fn until(mut done: impl FnMut() -> bool) {
        for _ in 0..5_000 {
            if done() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("not within five seconds");
    }

    #[test]
    fn a_mark_releases_its_writes_and_earlier_ones_only() {
        // Below the ports that the system gives to outgoing connections.
        let listener =
            (22_000..32_768).find_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok());
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let poll = mio::Poll::new().unwrap();
        let registry = poll.registry().try_clone().unwrap();
        let mut clients = Clients::new(listener, registry, Token(0), 1, 100).unwrap();
        let mut sessions = Vec::new();
        for (index, mark) in [5, 5, 6].into_iter().enumerate() {
            sessions.push(session(address));
            until(|| {
                clients.accept().unwrap();
                clients.connections.len() > index
            });
            until(|| {
                clients.ready(index, mark);
                clients.waiting.len() > index
            });
        }
        let mut answered = |clients: &mut Clients, mark| {
            clients.release(mark);
            let reply = &mut [0; REPLY_BYTES];
            sessions.iter_mut().map(|session| session.read_exact(reply).is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(answered(&mut clients, 4), [false, false, false]);
        assert_eq!(answered(&mut clients, 5), [true, true, false]);
        assert_eq!(answered(&mut clients, 6), [false, false, true]);
    }
}
