//! Sessions opened and closed: TCP connection, TLS if the address says so, handshake, closeSession,
//! until the server has closed the connection.

use super::link_stream::LinkStream;
use super::measure::{Control, Tally};
use super::prepare::TLS_PREFIX;
use super::requests::{Pace, poll};
use super::template::Template;
use super::timer::Timer;
use client::Tls;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::Ordering;
use std::time::Duration;
use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::record::{ConnectRequest, ConnectResponse, PASSWORD_BYTES, ReplyHeader};
use wire::{ErrorCode, Opcode};

const TIMER: Token = Token(usize::MAX);
const EVENTS_PER_WAKE: usize = 1024;
const POLL: Duration = Duration::from_millis(20);
const ANSWER_BYTES_MAX: usize = 1024;
const SESSION_TIMEOUT_MS: i32 = 10_000;
const DRAIN_NS: u64 = 10_000_000_000;

/// Where sessions are opened.
#[derive(Clone)]
pub(super) struct Endpoint {
    address: SocketAddr,
    /// With `host:port`: the server has to prove to be that host.
    tls: Option<(Tls, String)>,
}

impl Endpoint {
    /// `None` if this is not the address of a server. `tls` is for one that begins with `tls://`.
    pub(super) fn of(server: &str, tls: Option<&Tls>) -> Option<Self> {
        let (server, tls) = match server.strip_prefix(TLS_PREFIX) {
            Some(server) => (server, tls.map(|tls| (tls.clone(), server.to_owned()))),
            None => (server, None),
        };
        Some(Self { address: server.to_socket_addrs().ok()?.next()?, tls })
    }

    fn open(&self) -> io::Result<LinkStream> {
        let tls = self.tls.as_ref().map(|(tls, server)| tls.begin(server)).transpose()?;
        Ok(LinkStream::new(TcpStream::connect(self.address)?, tls))
    }
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The TCP connection is being made,
    Connecting,
    /// the handshake was sent,
    Greeting,
    /// closeSession was sent,
    Closing,
    /// and the server is about to close the connection.
    Ending,
}

#[derive(Debug)]
struct Slot {
    stream: LinkStream,
    stage: Stage,
    start_ns: u64,
    received: Vec<u8>,
}

/// One thread that opens and closes sessions.
pub(super) struct Churn<'a> {
    control: &'a Control<'a>,
    endpoint: Endpoint,
    pace: Pace,
    poll: Poll,
    /// One per session that may be open at once.
    slots: Vec<Option<Slot>>,
    scheduled: u64,
    handshake: Vec<u8>,
    goodbye: Vec<u8>,
    tally: Tally,
}

impl<'a> Churn<'a> {
    /// Up to `slots` sessions at once; the depth of `pace` is ignored.
    pub(super) fn new(
        control: &'a Control<'a>,
        endpoint: Endpoint,
        pace: Pace,
        slots: usize,
    ) -> io::Result<Self> {
        let (mut handshake, mut goodbye) = (Vec::new(), Vec::new());
        let mark = frame::begin(&mut handshake);
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: SESSION_TIMEOUT_MS,
            session_id: 0,
            passwd: &[0; PASSWORD_BYTES],
            read_only: Some(false),
        }
        .encode(&mut handshake);
        frame::finish(&mut handshake, mark);
        Template::bare(Opcode::CloseSession).append(&mut goodbye, 1, || 0);
        Ok(Self {
            control,
            endpoint,
            pace,
            poll: Poll::new()?,
            slots: (0..slots).map(|_| None).collect(),
            scheduled: 0,
            handshake,
            goodbye,
            tally: Tally::default(),
        })
    }

    /// Runs the round to its end.
    pub(super) fn run(mut self) -> io::Result<Tally> {
        let timer = match self.pace {
            Pace::Closed { .. } => None,
            Pace::Open { interval_ns, .. } => {
                Some(Timer::every(Duration::from_nanos(interval_ns as u64), self.poll.registry(), TIMER)?)
            }
        };
        let mut events = Events::with_capacity(EVENTS_PER_WAKE);
        while self.dispatch()? {
            poll(&mut self.poll, &mut events, POLL)?;
            for event in &events {
                match (event.token(), &timer) {
                    (TIMER, Some(timer)) => timer.clear(),
                    (Token(index), _) => self.wake(index),
                }
            }
        }
        self.control.busy.fetch_sub(1, Ordering::Relaxed);
        let open = self.slots.iter().flatten().count();
        if open > 0 {
            self.tally.fail(ErrorCode::OperationTimeout.into(), open as u64);
        }
        Ok(self.tally)
    }

    /// Starts sessions in free slots as far as the pace allows; false when the round is over.
    fn dispatch(&mut self) -> io::Result<bool> {
        let window = self.control.window;
        let now = window.now_ns();
        let over = now >= window.end_ns || self.control.stopped();
        for index in 0..self.slots.len() {
            let start_ns = match self.pace {
                Pace::Closed { .. } => now,
                Pace::Open { interval_ns, first_ns, .. } => {
                    (first_ns + interval_ns * self.scheduled as f64) as u64
                }
            };
            if over || start_ns > now {
                break;
            }
            if self.slots[index].is_none() {
                self.scheduled += 1;
                let mut stream = self.endpoint.open()?;
                let interest = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(&mut stream, Token(index), interest)?;
                let received = Vec::new();
                self.slots[index] = Some(Slot { stream, stage: Stage::Connecting, start_ns, received });
            }
        }
        let open = self.slots.iter().any(Option::is_some);
        Ok(!over || open && now < window.end_ns.saturating_add(DRAIN_NS) && !self.control.stopped())
    }

    /// Takes one session as far as it goes.
    fn wake(&mut self, index: usize) {
        let Some(slot) = &mut self.slots[index] else { return };
        match advance(slot, &self.handshake, &self.goodbye) {
            Ok(false) => return,
            Ok(true) => {
                let now = self.control.window.now_ns();
                let counts = match self.pace {
                    Pace::Closed { .. } => now,
                    Pace::Open { .. } => slot.start_ns,
                };
                if self.control.window.contains(counts) {
                    self.tally.record(slot.start_ns, now);
                }
                self.control.done.fetch_add(1, Ordering::Relaxed);
            }
            Err(code) => self.tally.fail(code.into(), 1),
        }
        self.slots[index] = None;
    }
}

/// Takes a session as far as it goes; true when it has ended as it should.
fn advance(slot: &mut Slot, handshake: &[u8], goodbye: &[u8]) -> Result<bool, ErrorCode> {
    let lost = |_: io::Error| ErrorCode::ConnectionLoss;
    if slot.stage == Stage::Connecting {
        match slot.stream.tcp().peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                return slot
                    .stream
                    .tcp()
                    .take_error()
                    .map_err(lost)?
                    .map_or(Ok(false), |error| Err(lost(error)));
            }
            Err(error) => return Err(lost(error)),
        }
        slot.stream.tcp().set_nodelay(true).map_err(lost)?;
        say(&mut slot.stream, handshake)?;
        slot.stage = Stage::Greeting;
    }
    let mut bytes = [0; ANSWER_BYTES_MAX];
    loop {
        match slot.stream.read(&mut bytes) {
            Ok(0) if slot.stage == Stage::Ending => return Ok(true),
            Ok(0) => return Err(ErrorCode::ConnectionLoss),
            Ok(length) => slot.received.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return slot.stream.flush().map(|()| false).map_err(lost);
            }
            // Some servers reset the connection instead of closing it, once everything is sent.
            Err(_) if slot.stage == Stage::Ending => return Ok(true),
            Err(error) => return Err(lost(error)),
        }
        while let Split::Frame { start, end } = frame::split(&slot.received, ANSWER_BYTES_MAX) {
            let mut input = Reader::new(&slot.received[start..end]);
            let malformed = |_| ErrorCode::MarshallingError;
            if slot.stage == Stage::Greeting {
                if ConnectResponse::decode(&mut input).map_err(malformed)?.timeout_ms <= 0 {
                    return Err(ErrorCode::SessionExpired);
                }
                say(&mut slot.stream, goodbye)?;
                slot.stage = Stage::Closing;
            } else {
                let err = ReplyHeader::decode(&mut input).map_err(malformed)?.err;
                if err != 0 {
                    return Err(ErrorCode::from_i32(err).unwrap_or(ErrorCode::SystemError));
                }
                slot.stage = Stage::Ending;
            }
            slot.received.drain(..end);
        }
    }
}

/// Sends a few bytes, which a socket that has sent next to nothing takes at once.
fn say(stream: &mut LinkStream, bytes: &[u8]) -> Result<(), ErrorCode> {
    match stream.write(bytes) {
        Ok(length) if length == bytes.len() => Ok(()),
        _ => Err(ErrorCode::ConnectionLoss),
    }
}
