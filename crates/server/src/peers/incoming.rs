//! The connections on which other servers send to this one.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};

use bytes::Bytes;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use slab::Slab;

use super::frame::FrameReader;
use super::greeting::{self, GREETING_BYTES_MAX, Greeting, Heard, Hello, Reason};
use super::limits::{ACCEPTS_MAX, GREETING_TIMEOUT_MS, HALF_OPEN_MAX, READ_BYTES, READS_MAX};
use super::local::{LinkNews, Local};
use super::socket;
use crate::config::ServerId;
use crate::descriptors::{self, Use};

/// Whoever receives frames: from which server, and the frame.
pub(super) type Receive<'a> = &'a mut dyn FnMut(ServerId, Bytes);

/// One incoming connection.
#[derive(Debug)]
struct Incoming {
    stream: TcpStream,
    address: SocketAddr,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// A stranger, of whom not all of a greeting has come yet…
    Greeting { heard: Vec<u8>, since_ms: i64 },
    /// …then a server that sends frames.
    Open { from: ServerId, hello: Hello, input: FrameReader },
}

/// Why an incoming connection ends.
#[derive(Debug)]
enum End {
    /// The other side closed it, or the system did.
    Gone(String),
    /// What came makes no sense.
    Malformed(String),
    /// It was answered that it is not wanted.
    Refused,
    /// Somebody else took its place; nobody needs to know.
    Replaced,
}

/// All incoming connections, and where they come in.
#[derive(Debug)]
pub(super) struct Arrivals {
    listeners: Vec<TcpListener>,
    first_listener: usize,
    first_connection: usize,
    connections: Slab<Incoming>,
    /// Listeners that have to be looked at again at the next tick, because accepting failed and no event will tell when it works.
    stuck: bool,
    /// The last refusal that was told, by the server it was told about.
    told: Vec<(ServerId, Reason)>,
    buffer: Vec<u8>,
}

impl Arrivals {
    /// Opens the ports. Listeners have the tokens from `first_listener` on, connections those from `first_connection` on.
    pub(super) fn listen(
        local: &Local,
        addresses: &[SocketAddr],
        first_listener: usize,
        first_connection: usize,
    ) -> io::Result<Arrivals> {
        let mut listeners = Vec::with_capacity(addresses.len());
        for (number, address) in addresses.iter().enumerate() {
            let mut listener = socket::listen(*address)
                .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}")))?;
            local.registry.register(&mut listener, Token(first_listener + number), Interest::READABLE)?;
            listeners.push(listener);
        }
        Ok(Arrivals {
            listeners,
            first_listener,
            first_connection,
            connections: Slab::new(),
            stuck: false,
            told: Vec::new(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Accepts what waits at one listener.
    pub(super) fn accept(&mut self, local: &mut Local, number: usize) {
        for _ in 0..ACCEPTS_MAX {
            let Some(listener) = self.listeners.get(number) else { return };
            match listener.accept() {
                Ok((stream, address)) if !descriptors::leaves_room(&stream, Use::Server) => {
                    tracing::warn!(
                        "refused a connection of {address} for other servers: file descriptors are running out (ulimit -n)"
                    );
                }
                Ok((stream, address)) => self.admit(local, stream, address),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if descriptors::is_gone(&e) => {}
                Err(e) => {
                    if !std::mem::replace(&mut self.stuck, true) {
                        tracing::warn!("cannot accept connections of other servers: {e}");
                    }
                    return;
                }
            }
        }
        // More wait, and the poll has told its only event about them.
        self.listen_again(local, number);
    }

    fn listen_again(&mut self, local: &Local, number: usize) {
        let Some(listener) = self.listeners.get_mut(number) else { return };
        let token = Token(self.first_listener + number);
        if let Err(e) = local.registry.reregister(listener, token, Interest::READABLE) {
            tracing::error!("cannot go on listening for other servers: {e}");
        }
    }

    fn admit(&mut self, local: &mut Local, mut stream: TcpStream, address: SocketAddr) {
        self.make_room(local);
        let entry = self.connections.vacant_entry();
        let token = Token(self.first_connection + entry.key());
        let watched = socket::tune(&stream)
            .and_then(|()| local.registry.register(&mut stream, token, Interest::READABLE));
        match watched {
            Ok(()) => {
                let phase = Phase::Greeting { heard: Vec::new(), since_ms: local.now_ms };
                entry.insert(Incoming { stream, address, phase });
            }
            Err(e) => tracing::debug!("cannot take a connection of {address}: {e}"),
        }
    }

    /// Closes the oldest stranger if there are as many as there may be.
    fn make_room(&mut self, local: &mut Local) {
        let strangers = || {
            self.connections.iter().filter_map(|(slot, incoming)| match incoming.phase {
                Phase::Greeting { since_ms, .. } => Some((since_ms, slot)),
                Phase::Open { .. } => None,
            })
        };
        if strangers().count() >= HALF_OPEN_MAX
            && let Some((_, slot)) = strangers().min()
        {
            local.counts.silent += 1;
            self.end(local, slot, End::Replaced);
        }
    }

    /// Closes strangers that stayed too long, and accepts again after a failure.
    pub(super) fn tick(&mut self, local: &mut Local) {
        let is_overdue = |incoming: &Incoming| match incoming.phase {
            Phase::Greeting { since_ms, .. } => local.now_ms - since_ms > GREETING_TIMEOUT_MS,
            Phase::Open { .. } => false,
        };
        let overdue: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_overdue(c)).map(|(slot, _)| slot).collect();
        for slot in overdue {
            local.counts.silent += 1;
            self.end(local, slot, End::Replaced);
        }
        if std::mem::take(&mut self.stuck) {
            for number in 0..self.listeners.len() {
                self.listen_again(local, number);
            }
        }
    }

    /// Reads what a connection has, but for so long only that others have their turn.
    /// `has_end`: the stream ends behind the last bytes, and no event will say so again.
    pub(super) fn ready(&mut self, local: &mut Local, slot: usize, has_end: bool, receive: Receive) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let ended = self.read(local, slot, has_end, &mut buffer, receive);
        self.buffer = buffer;
        if let Err(end) = ended {
            self.end(local, slot, end);
        }
    }

    fn read(
        &mut self,
        local: &mut Local,
        slot: usize,
        has_end: bool,
        buffer: &mut [u8],
        receive: Receive,
    ) -> Result<(), End> {
        for _ in 0..READS_MAX {
            let Some(incoming) = self.connections.get_mut(slot) else { return Ok(()) };
            let n = match socket::read(&mut incoming.stream, buffer) {
                Ok(None) => return Ok(()),
                Ok(Some(0)) => return Err(End::Gone("it closed the connection".to_owned())),
                Ok(Some(n)) => n,
                Err(e) => return Err(End::Gone(e.to_string())),
            };
            local.counts.bytes_received += n as u64;
            match &mut incoming.phase {
                Phase::Greeting { heard, .. } => {
                    heard.extend_from_slice(&buffer[..n]);
                    self.greeted(local, slot)?;
                }
                Phase::Open { from, input, .. } => {
                    let received = take_frames(*from, input, &buffer[..n], receive)?;
                    local.counts.frames_received += received;
                }
            }
            // A short read has emptied the socket.
            if n < buffer.len() && !has_end {
                return Ok(());
            }
        }
        // The socket may hold more, and the poll has told its only event about it.
        let Some(incoming) = self.connections.get_mut(slot) else { return Ok(()) };
        let token = Token(self.first_connection + slot);
        local
            .registry
            .reregister(&mut incoming.stream, token, Interest::READABLE)
            .map_err(|e| End::Gone(e.to_string()))
    }

    /// More of a stranger's greeting has come.
    fn greeted(&mut self, local: &mut Local, slot: usize) -> Result<(), End> {
        let Some(incoming) = self.connections.get_mut(slot) else { return Ok(()) };
        let Phase::Greeting { heard, .. } = &incoming.phase else { return Ok(()) };
        match Greeting::decode(heard) {
            Ok(Heard::Incomplete) if heard.len() < GREETING_BYTES_MAX => Ok(()),
            Ok(Heard::Incomplete) => Err(End::Malformed("an endless greeting".to_owned())),
            Err(e) => Err(End::Malformed(e.to_string())),
            Ok(Heard::OtherVersion { version, from, .. }) => {
                incoming.answer(&local.greeting(from, Some(Reason::Version)))?;
                self.refused(local, from, Reason::Version, &greeting::explain_version(from, version));
                Err(End::Refused)
            }
            Ok(Heard::Greeting(theirs)) => {
                let reason = objection(local, &theirs);
                incoming.answer(&local.greeting(theirs.from, reason))?;
                let Some(reason) = reason else {
                    self.open(local, slot, &theirs);
                    return Ok(());
                };
                let ours = local.greeting(theirs.from, None);
                let text = greeting::explain(reason, false, &ours, &theirs);
                self.refused(local, theirs.from, reason, &text);
                Err(End::Refused)
            }
        }
    }

    /// Tells once that a server is refused.
    fn refused(&mut self, local: &mut Local, peer: ServerId, reason: Reason, text: &str) {
        local.counts.refused += 1;
        if self.told.contains(&(peer, reason)) {
            return;
        }
        self.told.retain(|(of, _)| *of != peer);
        self.told.push((peer, reason));
        tracing::error!("refused a connection: {text}");
        local.news.push(LinkNews::Refused { peer, reason, dialled: false });
    }

    /// A stranger turned out to be a member. If it has another connection, that is one it has lost.
    fn open(&mut self, local: &mut Local, slot: usize, theirs: &Greeting) {
        let (from, hello) = (theirs.from, theirs.hello);
        for (old, earlier) in self.of_server(from) {
            if earlier.boot != hello.boot {
                local.news.push(LinkNews::Down { peer: from });
            }
            self.end(local, old, End::Replaced);
        }
        self.told.retain(|(of, _)| *of != from);
        if let Some(incoming) = self.connections.get_mut(slot) {
            tracing::info!("server {from} is connected from {}", incoming.address);
            incoming.phase = Phase::Open { from, hello, input: FrameReader::default() };
            local.arrived.push(from);
        }
    }

    /// The open connections of one server: at most one.
    fn of_server(&self, peer: ServerId) -> Vec<(usize, Hello)> {
        let open = self.connections.iter().filter_map(|(slot, incoming)| match incoming.phase {
            Phase::Open { from, hello, .. } if from == peer => Some((slot, hello)),
            _ => None,
        });
        open.collect()
    }

    /// Closes the connections of a server that is no member any more.
    pub(super) fn forget(&mut self, local: &mut Local, peer: ServerId) {
        for (slot, _) in self.of_server(peer) {
            self.end(local, slot, End::Replaced);
        }
    }

    /// Closes the connections of servers which turn out to be of another cluster than `local`.
    pub(super) fn check_cluster(&mut self, local: &mut Local) {
        for peer in local.members.clone() {
            for (slot, hello) in self.of_server(peer) {
                if local.hello.is_of_another_cluster(hello.cluster) {
                    let ours = local.greeting(peer, None);
                    let theirs = Greeting { from: peer, to: local.me, hello, verdict: None };
                    let text = greeting::explain(Reason::Cluster, false, &ours, &theirs);
                    self.refused(local, peer, Reason::Cluster, &text);
                    self.end(local, slot, End::Refused);
                }
            }
        }
    }

    /// Closes a connection and tells whoever has to know.
    fn end(&mut self, local: &mut Local, slot: usize, end: End) {
        let Some(mut incoming) = self.connections.try_remove(slot) else { return };
        let _ = local.registry.deregister(&mut incoming.stream);
        let _ = incoming.stream.shutdown(Shutdown::Write);
        if let End::Malformed(_) = end {
            local.counts.malformed += 1;
        }
        let address = incoming.address;
        match (incoming.phase, end) {
            (_, End::Replaced) => {}
            (Phase::Open { from, .. }, end) => {
                if let End::Gone(why) | End::Malformed(why) = end {
                    tracing::warn!("the connection of server {from} from {address} has ended: {why}");
                }
                local.news.push(LinkNews::Down { peer: from });
            }
            // Anybody can open and close connections; that is counted and not worth a line each.
            (Phase::Greeting { .. }, End::Malformed(why)) => {
                tracing::debug!("closed a connection from {address}: {why}");
            }
            (Phase::Greeting { .. }, End::Gone(_) | End::Refused) => {}
        }
    }
}

impl Incoming {
    /// Answers the greeting. An empty socket takes the whole answer.
    fn answer(&mut self, answer: &Greeting) -> Result<(), End> {
        self.stream.write_all(&answer.encode()).map_err(|e| End::Gone(e.to_string()))
    }
}

/// Why this server does not talk to one that says `theirs`.
fn objection(local: &Local, theirs: &Greeting) -> Option<Reason> {
    if theirs.to != local.me {
        return Some(Reason::Addressee);
    }
    let is_stranger = !local.members.contains(&theirs.from) && !local.takes_guests;
    local.hello.objection(&theirs.hello).or(is_stranger.then_some(Reason::Stranger))
}

/// Gives out every whole frame, and says how many there were.
fn take_frames(from: ServerId, input: &mut FrameReader, bytes: &[u8], receive: Receive) -> Result<u64, End> {
    let mut count = 0;
    input.push(bytes);
    while let Some(frame) = input.next_frame().map_err(|e| End::Malformed(e.to_string()))? {
        receive(from, frame);
        count += 1;
    }
    input.shrink();
    Ok(count)
}
