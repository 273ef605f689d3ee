//! The connections on which other servers send to this one.

mod login;

use std::io::{self, Write as _};
use std::net::SocketAddr;

use bytes::Bytes;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use slab::Slab;

use super::admission::{self, Admission, Entrant, Step};
use super::frame::FrameReader;
use super::greeting::{self, Greeting, Hello, Reason};
use super::limits::{
    ACCEPTS_MAX, HALF_OPEN_MAX, HANDSHAKE_PAUSE_MS, HANDSHAKE_STEPS_MAX, READ_BYTES, READS_MAX, SHUN_MS,
    UNPROVEN_MAX,
};
use super::local::{LinkNews, Local};
use super::socket;
use crate::config::ServerId;
use crate::descriptors::{self, Use};
use crate::stream::Stream;
use crate::transport::Sender;

/// Called with each received frame and its sender.
pub(super) type Receive<'a> = &'a mut dyn FnMut(Sender, Bytes);

/// Refusals that are remembered, so that each is reported once.
const REPORTED_MAX: usize = 64;

/// One incoming connection.
#[derive(Debug)]
struct Incoming {
    stream: Box<dyn Stream>,
    address: SocketAddr,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// A stranger, which has not yet greeted and proven its identity…
    Stranger { admission: Admission, since_ms: i64 },
    /// …then a server that sends frames.
    Open(Open),
}

#[derive(Debug)]
struct Open {
    sender: Sender,
    hello: Hello,
    since_ms: i64,
    input: FrameReader,
}

/// Why an incoming connection ends.
#[derive(Debug)]
enum End {
    /// The other side closed it, or the system did.
    Gone(String),
    /// It sent something malformed.
    Malformed(String),
    /// It was refused.
    Refused,
    /// Another connection took its place; not reported.
    Replaced,
}

/// All incoming connections and the listeners.
#[derive(Debug)]
pub(super) struct Arrivals {
    listeners: Vec<TcpListener>,
    first_listener: usize,
    first_connection: usize,
    connections: Slab<Incoming>,
    /// Accepting has failed, so the listeners must be tried again at the next tick: no event will
    /// tell when it works.
    stuck: bool,
    /// The last refusal reported for each server, newest first.
    reported: Vec<(ServerId, Reason)>,
    /// Senders of malformed frames, and until when they are not admitted again.
    shunned: Vec<(Sender, i64)>,
    /// Steps of transports' handshakes that may still be taken before more are granted.
    handshake_steps: usize,
    /// When these were granted.
    granted_ms: i64,
    /// Connections whose next step has to wait for that.
    postponed: Vec<usize>,
    buffer: Vec<u8>,
    /// When a failed login was last reported.
    rejected_ms: Option<i64>,
}

impl Arrivals {
    /// Opens the ports. Listeners have the tokens from `first_listener` on, connections those from
    /// `first_connection` on.
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
            reported: Vec::new(),
            shunned: Vec::new(),
            handshake_steps: HANDSHAKE_STEPS_MAX,
            granted_ms: local.now_ms,
            postponed: Vec::new(),
            buffer: vec![0; READ_BYTES],
            rejected_ms: None,
        })
    }

    /// Accepts the connections that wait at one listener.
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
        // More wait, and the poll has reported its only event about them.
        self.listen_again(local, number);
    }

    fn listen_again(&mut self, local: &Local, number: usize) {
        let Some(listener) = self.listeners.get_mut(number) else { return };
        let token = Token(self.first_listener + number);
        if let Err(e) = local.registry.reregister(listener, token, Interest::READABLE) {
            tracing::error!("cannot listen for other servers any longer: {e}");
        }
    }

    fn admit(&mut self, local: &mut Local, socket: TcpStream, address: SocketAddr) {
        self.make_room(local);
        let entry = self.connections.vacant_entry();
        let token = Token(self.first_connection + entry.key());
        let stream = socket::tune(&socket).and_then(|()| {
            let mut stream = local.streams.accepted(socket, address)?;
            stream.register(&local.registry, token).map(|()| stream)
        });
        match stream {
            Ok(stream) => {
                let phase = Phase::Stranger { admission: Admission::default(), since_ms: local.now_ms };
                entry.insert(Incoming { stream, address, phase });
            }
            Err(e) => tracing::debug!("cannot take a connection of {address}: {e}"),
        }
    }

    /// Closes the oldest stranger if the limit is reached.
    fn make_room(&mut self, local: &mut Local) {
        self.end_oldest(local, HALF_OPEN_MAX, |phase| match phase {
            Phase::Stranger { since_ms, .. } => Some(*since_ms),
            Phase::Open(_) => None,
        });
    }

    /// The same for servers that have not proven that they are members.
    fn make_room_for_unproven(&mut self, local: &mut Local) {
        self.end_oldest(local, UNPROVEN_MAX, |phase| match phase {
            Phase::Open(open) if !open.sender.is_proven => Some(open.since_ms),
            _ => None,
        });
    }

    fn end_oldest(&mut self, local: &mut Local, count_max: usize, since_ms: impl Fn(&Phase) -> Option<i64>) {
        let all = || self.connections.iter().filter_map(|(slot, c)| Some((since_ms(&c.phase)?, slot)));
        if all().count() >= count_max
            && let Some((_, slot)) = all().min()
        {
            local.counts.silent += 1;
            self.end(local, slot, End::Replaced);
        }
    }

    /// Closes strangers that stayed too long, and goes on with what had to wait.
    pub(super) fn tick(&mut self, local: &mut Local) {
        let is_overdue = |incoming: &Incoming| match incoming.phase {
            Phase::Stranger { ref admission, since_ms } => local.now_ms - since_ms > admission.time_ms(local),
            Phase::Open(_) => false,
        };
        let overdue: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_overdue(c)).map(|(slot, _)| slot).collect();
        for slot in overdue {
            local.counts.silent += 1;
            self.end(local, slot, End::Replaced);
        }
        self.resume_handshakes(local);
        if std::mem::take(&mut self.stuck) {
            for number in 0..self.listeners.len() {
                self.listen_again(local, number);
            }
        }
    }

    /// Reads what a connection holds, up to a limit, so that others are served too. `has_end`: the
    /// end of the stream follows the last bytes, and no event will announce it again.
    pub(super) fn ready(&mut self, local: &mut Local, slot: usize, has_end: bool, receive: Receive) {
        if self.is_postponed(slot) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let ended = self.read(local, slot, has_end, &mut buffer, receive);
        self.buffer = buffer;
        if let Err(end) = ended {
            self.end(local, slot, end);
        }
    }

    /// Whether the connection has to wait: the steps of a transport's handshake cost much time, and
    /// any host can ask for them.
    fn is_postponed(&mut self, slot: usize) -> bool {
        if !self.connections.get(slot).is_some_and(|incoming| incoming.stream.is_handshaking()) {
            return false;
        }
        let is_postponed = self.handshake_steps == 0;
        if !is_postponed {
            self.handshake_steps -= 1;
        } else if !self.postponed.contains(&slot) {
            self.postponed.push(slot);
        }
        is_postponed
    }

    /// Lets the poll announce again what had to wait.
    fn resume_handshakes(&mut self, local: &mut Local) {
        if local.now_ms < self.granted_ms + HANDSHAKE_PAUSE_MS {
            return;
        }
        (self.granted_ms, self.handshake_steps) = (local.now_ms, HANDSHAKE_STEPS_MAX);
        for slot in std::mem::take(&mut self.postponed) {
            if let Err(e) = self.read_later(local, slot) {
                self.end(local, slot, End::Gone(e.to_string()));
            }
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
            let n = match incoming.stream.try_read(buffer) {
                Ok(None) => return Ok(()),
                Ok(Some(0)) => return Err(End::Gone("it closed the connection".to_owned())),
                Ok(Some(n)) => n,
                Err(e) => return Err(End::Gone(e.to_string())),
            };
            local.counts.bytes_received += n as u64;
            match &mut incoming.phase {
                Phase::Stranger { admission, .. } => {
                    let identity = incoming.stream.peer_identity();
                    let step = admission.take(local, identity, &buffer[..n]).map_err(End::Malformed)?;
                    self.go(local, slot, step, receive)?;
                }
                Phase::Open(open) => {
                    open.input.push(&buffer[..n]);
                    local.counts.frames_received += take_frames(open, receive)?;
                }
            }
            let may_hold_more = |c: &Incoming| c.stream.may_hold_more(n, buffer.len());
            if !has_end && !self.connections.get(slot).is_some_and(may_hold_more) {
                return Ok(());
            }
        }
        self.read_later(local, slot).map_err(|e| End::Gone(e.to_string()))
    }

    /// The socket or the stream may hold more, and the poll has reported its only event about it.
    /// It reports the socket again at once if that is writable, although only the stream may hold
    /// more, and otherwise once it is.
    fn read_later(&mut self, local: &Local, slot: usize) -> io::Result<()> {
        let Some(incoming) = self.connections.get_mut(slot) else { return Ok(()) };
        incoming.stream.reregister(&local.registry, Token(self.first_connection + slot))
    }

    /// Carries out a step of a stranger's admission.
    fn go(&mut self, local: &mut Local, slot: usize, step: Step, receive: Receive) -> Result<(), End> {
        match step {
            Step::Wait => Ok(()),
            Step::Say(bytes) => self.write(slot, &bytes),
            Step::Reject { say, why } => {
                self.write(slot, &say)?;
                self.rejected(local, slot, &why);
                Err(End::Refused)
            }
            Step::Refuse { say, peer, reason, text } => {
                self.write(slot, &say)?;
                self.refused(local, peer, reason, &text);
                Err(End::Refused)
            }
            Step::Enter(entrant) => {
                self.open(local, slot, entrant)?;
                let Some(Incoming { phase: Phase::Open(open), .. }) = self.connections.get_mut(slot) else {
                    return Ok(());
                };
                local.counts.frames_received += take_frames(open, receive)?;
                Ok(())
            }
        }
    }

    /// Writes to a stranger. An empty socket takes the whole record.
    fn write(&mut self, slot: usize, bytes: &[u8]) -> Result<(), End> {
        let Some(incoming) = self.connections.get_mut(slot) else { return Ok(()) };
        incoming.stream.write_all(bytes).map_err(|e| End::Gone(e.to_string()))
    }

    /// Reports once that a server is refused.
    fn refused(&mut self, local: &mut Local, peer: ServerId, reason: Reason, text: &str) {
        local.counts.refused += 1;
        if self.reported.contains(&(peer, reason)) {
            return;
        }
        self.reported.retain(|(of, _)| *of != peer);
        self.reported.truncate(REPORTED_MAX - 1);
        self.reported.insert(0, (peer, reason));
        tracing::error!("refused a connection: {text}");
        local.news.push(LinkNews::Refused { peer, reason, dialled: false });
    }

    /// A stranger is admitted. If it is proven, it replaces the server's other connections, which
    /// the server must have lost; if not, only other unproven ones.
    fn open(&mut self, local: &mut Local, slot: usize, entrant: Entrant) -> Result<(), End> {
        let Greeting { from, hello, .. } = entrant.theirs;
        let sender = Sender { server: from, is_proven: entrant.is_proven };
        self.shunned.retain(|(_, until_ms)| *until_ms > local.now_ms);
        let is_shunned = self.shunned.iter().any(|(shunned, _)| *shunned == sender);
        // The members may have changed since it was greeted.
        if is_shunned || admission::objection(local, &entrant.theirs).is_some() {
            return Err(End::Refused);
        }
        let Entrant { is_proven, input, .. } = entrant;
        for (old, earlier, was_proven) in self.of_server(from) {
            if was_proven && !is_proven {
                continue;
            }
            if was_proven && earlier.boot != hello.boot {
                local.news.push(LinkNews::Down { peer: from });
            }
            self.end(local, old, End::Replaced);
        }
        if is_proven {
            self.reported.retain(|(of, _)| *of != from);
        } else {
            self.make_room_for_unproven(local);
        }
        if let Some(incoming) = self.connections.get_mut(slot) {
            let address = incoming.address;
            if is_proven {
                tracing::info!("server {from} is connected from {address}");
            } else {
                tracing::debug!("server {from} has connected from {address} and is not yet a member");
            }
            let since_ms = local.now_ms;
            incoming.phase = Phase::Open(Open { sender, hello, since_ms, input });
            local.arrived.push(from);
        }
        Ok(())
    }

    /// The open connections of one server, and whether they are proven: at most one of each kind.
    fn of_server(&self, peer: ServerId) -> Vec<(usize, Hello, bool)> {
        let open = self.connections.iter().filter_map(|(slot, incoming)| match &incoming.phase {
            Phase::Open(open) if open.sender.server == peer => {
                Some((slot, open.hello, open.sender.is_proven))
            }
            _ => None,
        });
        open.collect()
    }

    /// Closes the connection of a sender of malformed frames, and does not admit it again at once.
    pub(super) fn hang_up(&mut self, local: &mut Local, sender: Sender) {
        for (slot, _, is_proven) in self.of_server(sender.server) {
            if is_proven == sender.is_proven {
                self.end(local, slot, End::Malformed("it sent a malformed frame".to_owned()));
                self.shunned.push((sender, local.now_ms + SHUN_MS));
            }
        }
    }

    /// This server has become a member: other members, perhaps also new, have to prove that they
    /// are. The rest may connect again.
    pub(super) fn ask_for_proofs(&mut self, local: &mut Local) {
        let is_to_go = |incoming: &Incoming| match &incoming.phase {
            Phase::Stranger { admission, .. } => matches!(admission, Admission::Proving(_)),
            Phase::Open(open) => !open.sender.is_proven,
        };
        let gone: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_to_go(c)).map(|(slot, _)| slot).collect();
        gone.into_iter().for_each(|slot| self.end(local, slot, End::Replaced));
    }

    /// Closes the connections of a server that is no longer a member.
    pub(super) fn forget(&mut self, local: &mut Local, peer: ServerId) {
        for (slot, ..) in self.of_server(peer) {
            self.end(local, slot, End::Replaced);
        }
    }

    /// Closes the connections of servers that turn out to belong to another cluster than `local`.
    pub(super) fn check_cluster(&mut self, local: &mut Local) {
        for peer in local.members.keys().copied().collect::<Vec<_>>() {
            for (slot, hello, _) in self.of_server(peer) {
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

    /// Closes a connection and reports it if necessary.
    fn end(&mut self, local: &mut Local, slot: usize, end: End) {
        let Some(mut incoming) = self.connections.try_remove(slot) else { return };
        incoming.stream.close();
        if let End::Malformed(_) = end {
            local.counts.malformed += 1;
        }
        let address = incoming.address;
        match (incoming.phase, end) {
            (_, End::Replaced) => {}
            (Phase::Open(Open { sender: Sender { server: from, is_proven: true }, .. }), end) => {
                if let End::Gone(why) | End::Malformed(why) = end {
                    tracing::warn!("the connection of server {from} from {address} has ended: {why}");
                }
                local.news.push(LinkNews::Down { peer: from });
            }
            // Any host can open and close connections; that is counted and not worth a line each.
            (_, End::Malformed(why)) => {
                tracing::debug!("closed a connection from {address}: {why}");
            }
            (_, End::Gone(why)) => tracing::debug!("a connection from {address} has ended: {why}"),
            (_, End::Refused) => {}
        }
    }
}

/// Passes on every whole frame, and returns their number.
fn take_frames(open: &mut Open, receive: Receive) -> Result<u64, End> {
    let mut count = 0;
    while let Some(frame) = open.input.next_frame().map_err(|e| End::Malformed(e.to_string()))? {
        receive(open.sender, frame);
        count += 1;
    }
    open.input.shrink();
    Ok(count)
}
