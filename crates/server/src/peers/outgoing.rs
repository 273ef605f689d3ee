//! The connection on which this server sends to one peer.

mod login;

use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;

use mio::Token;
use mio::net::TcpStream;

use super::frame::{self, FrameReader};
use super::greeting::{self, Greeting, Heard, Hello, Reason};
use super::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, GREETING_TIMEOUT_MS, HURRY_MS};
use super::local::{LinkNews, Local};
use super::output::Output;
use super::proof::{Exchange, LoginKey, PROOF_BYTES, Part, RECORD_BYTES_MAX, Reply};
use super::sasl::{Dialling, Sasl};
use super::{resolve, socket};
use crate::config::ServerId;
use crate::stream::Stream;

/// The phases of an outgoing connection.
#[derive(Debug)]
enum Phase {
    /// The next attempt is not due yet.
    Waiting { until_ms: i64 },
    /// The peer's host names are being looked up.
    Resolving,
    /// The peer was dialled and has not answered…
    Connecting { until_ms: i64 },
    /// …then this server authenticates, with SASL between servers…
    Login { until_ms: i64, login: Box<Dialling> },
    /// …then this server's greeting was sent and the peer's is incomplete…
    Greeting { until_ms: i64, heard: Vec<u8>, login: Option<LoginKey> },
    /// …then both prove what they can…
    Proving(Proving),
    /// …and then it takes frames.
    Up { theirs: Hello, proof: Proof },
}

/// Both servers prove what they can.
#[derive(Debug)]
struct Proving {
    until_ms: i64,
    theirs: Greeting,
    greetings: Vec<u8>,
    login: Option<LoginKey>,
    challenge: Part,
    input: FrameReader,
}

/// What is known of the server that was dialled.
#[derive(Debug)]
enum Proof {
    /// It has proven that it is a member of this server's cluster.
    Member,
    /// It has not: this is its proof about its disk.
    Disk(Box<Exchange>, [u8; PROOF_BYTES]),
}

/// Why there is no connection, as finely as the log distinguishes it: a line is written when this
/// changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Unreachable,
    Silent,
    Foreign,
    /// Its certificate is that of another host.
    Other,
    Refused(Reason),
    Lost,
}

/// The sending side of the link to one peer.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) peer: ServerId,
    /// Distinguishes this link from an earlier one to the same peer at other addresses.
    pub(super) link: u64,
    pub(super) hosts: Vec<(String, u16)>,
    token: Token,
    phase: Phase,
    /// `Some` exactly when the phase is `Connecting`, `Login`, `Greeting`, `Proving` or `Up`.
    stream: Option<Box<dyn Stream>>,
    /// The addresses of `hosts` as of the last lookup, and the index of the next one to dial. After
    /// the last one they are looked up again: servers may come back under new addresses, with only
    /// the name unchanged.
    addresses: Vec<SocketAddr>,
    next: usize,
    backoff_ms: i64,
    /// When it was last dialled.
    dialled_ms: i64,
    /// The trouble last logged.
    logged: Option<Trouble>,
    output: Output,
}

impl Outgoing {
    /// The first attempt is due at the next tick.
    pub(super) fn new(peer: ServerId, link: u64, hosts: Vec<(String, u16)>, token: Token) -> Outgoing {
        Outgoing {
            peer,
            link,
            hosts,
            token,
            phase: Phase::Waiting { until_ms: i64::MIN },
            stream: None,
            addresses: Vec::new(),
            next: 0,
            backoff_ms: BACKOFF_MS_MIN,
            dialled_ms: i64::MIN / 2,
            logged: None,
            output: Output::default(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up { .. })
    }

    /// Whether the peer has proven that it is a member of this server's cluster.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self.phase, Phase::Up { proof: Proof::Member, .. })
    }

    /// Whether the server at the peer's address has proven that it is a member, or that its disk
    /// has that nonce.
    pub(super) fn vouches(&self, disk: u64) -> bool {
        match &self.phase {
            Phase::Up { proof: Proof::Member, .. } => true,
            Phase::Up { proof: Proof::Disk(exchange, shown), .. } => exchange.is_disk(disk, shown),
            _ => false,
        }
    }

    /// This server has become a member: a peer that is one as well is dialled again, to prove it.
    pub(super) fn ask_for_proof(&mut self) {
        let is_to_go = match &self.phase {
            Phase::Proving(_) => true,
            Phase::Up { proof: Proof::Disk(exchange, _), .. } => exchange.answer.is_of_member(),
            _ => false,
        };
        if is_to_go {
            self.close();
            self.phase = Phase::Waiting { until_ms: i64::MIN };
        }
    }

    /// Bytes queued and not yet taken by the socket.
    pub(super) fn queued(&self) -> usize {
        self.output.queued()
    }

    pub(super) fn send(&mut self, local: &mut Local, parts: &[&[u8]]) {
        if !self.is_up() {
            local.counts.frames_dropped_down += 1;
        } else if self.output.push(parts) {
            local.counts.frames_sent += 1;
        } else {
            local.counts.frames_dropped_full += 1;
        }
    }

    /// Does what is due by time.
    pub(super) fn tick(&mut self, local: &mut Local) {
        match self.phase {
            Phase::Waiting { until_ms } if until_ms <= local.now_ms => self.dial(local),
            Phase::Connecting { until_ms, .. } if until_ms <= local.now_ms => {
                self.fail(local, Trouble::Unreachable, "it does not answer");
            }
            Phase::Greeting { until_ms, .. } if until_ms <= local.now_ms => {
                self.fail(local, Trouble::Silent, "it accepted the connection but sends no greeting");
            }
            Phase::Login { until_ms, .. } if until_ms <= local.now_ms => {
                self.fail(local, Trouble::Silent, "the login by SASL takes too long");
            }
            Phase::Proving(Proving { until_ms, .. }) if until_ms <= local.now_ms => {
                self.fail(local, Trouble::Silent, "it sends a greeting but no proof");
            }
            _ => {}
        }
    }

    /// The peer is reachable: the next attempt need not wait any longer.
    pub(super) fn hurry(&mut self) {
        if let Phase::Waiting { until_ms } = &mut self.phase {
            *until_ms = (*until_ms).min(self.dialled_ms + HURRY_MS);
        }
    }

    fn dial(&mut self, local: &mut Local) {
        self.dialled_ms = local.now_ms;
        if let Some(&address) = self.addresses.get(self.next) {
            self.next += 1;
            return self.connect(local, address);
        }
        if let Some(addresses) = resolve::numbers(&self.hosts) {
            return self.found(local, addresses);
        }
        self.phase = Phase::Resolving;
        if let Err(e) = local.resolver.start(self.link, self.hosts.clone()) {
            self.fail(local, Trouble::Unreachable, &format!("its host name cannot be looked up: {e}"));
        }
    }

    /// A lookup has ended.
    pub(super) fn resolved(&mut self, local: &mut Local, found: std::io::Result<Vec<SocketAddr>>) {
        if !matches!(self.phase, Phase::Resolving) {
            return;
        }
        match found {
            Ok(addresses) => self.found(local, addresses),
            Err(e) => {
                self.fail(local, Trouble::Unreachable, &format!("its host name cannot be looked up: {e}"))
            }
        }
    }

    fn found(&mut self, local: &mut Local, addresses: Vec<SocketAddr>) {
        self.addresses = addresses;
        match self.addresses.first().copied() {
            Some(first) => {
                self.next = 1;
                self.connect(local, first);
            }
            None => self.fail(local, Trouble::Unreachable, "it has no address"),
        }
    }

    fn connect(&mut self, local: &mut Local, address: SocketAddr) {
        let dialled = TcpStream::connect(address).and_then(|socket| {
            socket::tune(&socket)?;
            let hosts = self.hosts.iter().map(|(host, _)| host);
            let mut stream = local.streams.dialled(socket, address, hosts)?;
            stream.register(&local.registry, self.token)?;
            Ok(stream)
        });
        match dialled {
            Ok(stream) => {
                self.stream = Some(stream);
                self.phase = Phase::Connecting { until_ms: local.now_ms + GREETING_TIMEOUT_MS };
            }
            Err(e) => self.fail(local, Trouble::Unreachable, &format!("{address}: {e}")),
        }
    }

    /// Handles an event of the socket.
    pub(super) fn ready(&mut self, local: &mut Local) {
        match self.phase {
            Phase::Waiting { .. } | Phase::Resolving => {}
            Phase::Connecting { until_ms } => self.connected(local, until_ms),
            Phase::Login { .. } => {
                self.write_login(local);
                self.read_handshake(local);
            }
            Phase::Greeting { .. } | Phase::Proving(_) => self.read_handshake(local),
            Phase::Up { .. } => self.check_stream(local),
        }
    }

    /// The socket is connected, or failed to.
    fn connected(&mut self, local: &mut Local, until_ms: i64) {
        let Some(stream) = &mut self.stream else { return };
        match stream.check_connected() {
            // An event of the previous socket with this token.
            Ok(false) => {}
            Ok(true) if local.sasl.as_ref().is_some_and(Sasl::is_dialled) => self.log_in(local),
            Ok(true) => self.greet(local, until_ms, None),
            Err(e) => self.fail_unreachable(local, &e),
        }
    }

    /// Sends the greeting, after a login if there is a key.
    fn greet(&mut self, local: &mut Local, until_ms: i64, login: Option<LoginKey>) {
        let Some(stream) = &mut self.stream else { return };
        // An empty stream takes a whole greeting.
        match stream.write_all(&local.greeting(self.peer, None).encode()) {
            Ok(()) => {
                self.phase = Phase::Greeting { until_ms, heard: Vec::new(), login };
                // The peer may already have sent something unasked, and the poll has reported its
                // only event about it.
                self.read_handshake(local);
            }
            Err(e) => self.fail_unreachable(local, &e),
        }
    }

    fn fail_unreachable(&mut self, local: &mut Local, error: &std::io::Error) {
        let address = self.address();
        self.fail(local, Trouble::Unreachable, &format!("{address}: {error}"));
    }

    /// Reads what the peer says in a login, its greeting and its proof.
    fn read_handshake(&mut self, local: &mut Local) {
        let mut buffer = [0; 1024];
        while matches!(self.phase, Phase::Login { .. } | Phase::Greeting { .. } | Phase::Proving(_)) {
            let Some(stream) = &mut self.stream else { return };
            let n = match stream.try_read(&mut buffer) {
                Ok(None) => return,
                Ok(Some(0)) => {
                    return self.fail(local, Trouble::Silent, "it closed the connection without a greeting");
                }
                Ok(Some(n)) => n,
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                    return self.fail(local, Trouble::Other, &e.to_string());
                }
                Err(e) => return self.fail(local, Trouble::Silent, &e.to_string()),
            };
            local.counts.bytes_received += n as u64;
            match &mut self.phase {
                Phase::Login { .. } => self.hear_login(local, &buffer[..n]),
                Phase::Greeting { heard, .. } => {
                    heard.extend_from_slice(&buffer[..n]);
                    self.greeted(local);
                }
                Phase::Proving(Proving { input, .. }) => {
                    input.push(&buffer[..n]);
                    self.proven(local);
                }
                _ => return,
            }
        }
    }

    /// More of the peer's greeting has arrived.
    fn greeted(&mut self, local: &mut Local) {
        let Phase::Greeting { heard, .. } = &self.phase else { return };
        match Greeting::decode(heard) {
            Ok(Heard::Incomplete) => {}
            Ok(Heard::Greeting(theirs)) => self.answered(local, &theirs),
            Ok(Heard::OtherVersion { version, .. }) => {
                let text = greeting::explain_version(self.peer, version);
                self.refuse(local, Reason::Version, &text);
            }
            Err(e) => self.fail_malformed(local, &e.to_string()),
        }
    }

    /// The peer's greeting is complete. The peer has made the same checks; they are repeated here,
    /// since it may be wrong.
    fn answered(&mut self, local: &mut Local, theirs: &Greeting) {
        let Phase::Greeting { until_ms, login, .. } = self.phase else { return };
        let ours = local.greeting(self.peer, None);
        let is_other = theirs.from != self.peer || theirs.to != local.me;
        let reason = theirs.verdict.or(is_other.then_some(Reason::Addressee));
        if let Some(reason) = reason.or_else(|| ours.hello.objection(&theirs.hello)) {
            let text = greeting::explain(reason, true, &ours, theirs);
            return self.refuse(local, reason, &text);
        }
        let greetings = [ours.encode(), theirs.encode()].concat();
        let challenge = match local.keys.part() {
            Ok(challenge) => challenge,
            Err(e) => {
                return self.fail(local, Trouble::Silent, &format!("the system gives no random bytes: {e}"));
            }
        };
        let input = FrameReader::bounded(RECORD_BYTES_MAX);
        let theirs = *theirs;
        self.phase = Phase::Proving(Proving { until_ms, theirs, greetings, login, challenge, input });
        self.write_record(local, &challenge.encode());
    }

    /// More of the peer's answer to the challenge has arrived.
    fn proven(&mut self, local: &mut Local) {
        let Phase::Proving(proving) = &mut self.phase else { return };
        let Proving { theirs, greetings, login, challenge, input, .. } = proving;
        let record = match input.next_frame() {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(e) => return self.fail_malformed(local, &e.to_string()),
        };
        let (theirs, challenge, greetings) = (*theirs, *challenge, std::mem::take(greetings));
        let login = *login;
        let refuse = |link: &mut Self, local: &mut Local, reason| {
            let text = greeting::explain(reason, true, &local.greeting(link.peer, None), &theirs);
            link.refuse(local, reason, &text);
        };
        let answer = match Reply::decode(&record) {
            Some(Reply::Answer(answer)) => answer,
            Some(Reply::Refusal(reason)) => return refuse(self, local, reason),
            None => return self.fail_malformed(local, "its proof has a wrong length"),
        };
        if !local.keys.admit(answer.part) {
            return refuse(self, local, Reason::Secret);
        }
        let exchange = Exchange { login, greetings, challenge, answer: answer.part };
        let Some(confirm) = local.keys.confirm(&exchange, &answer) else {
            return refuse(self, local, Reason::Proof);
        };
        if self.write_record(local, &confirm) {
            let is_member = exchange.is_of_members();
            let proof = if is_member { Proof::Member } else { Proof::Disk(Box::new(exchange), answer.disk) };
            self.up(local, theirs.hello, proof);
        }
    }

    fn up(&mut self, local: &mut Local, theirs: Hello, proof: Proof) {
        self.phase = Phase::Up { theirs, proof };
        self.backoff_ms = BACKOFF_MS_MIN;
        self.logged = None;
        if self.is_proven() {
            tracing::info!("connected to server {} at {}", self.peer, self.address());
        } else {
            tracing::debug!(
                "connected to server {} at {}, which is not yet a member",
                self.peer,
                self.address()
            );
        }
        local.news.push(LinkNews::Up { peer: self.peer, hello: theirs });
        // The end of the stream may have arrived with the answer, in one event.
        self.check_stream(local);
    }

    /// Writes a record. An empty stream takes all of it.
    fn write_record(&mut self, local: &mut Local, record: &[u8]) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let written = stream.write_all(&frame::framed(record));
        if let Err(e) = &written {
            self.fail(local, Trouble::Silent, &e.to_string());
        }
        written.is_ok()
    }

    fn fail_malformed(&mut self, local: &mut Local, why: &str) {
        local.counts.malformed += 1;
        self.fail(local, Trouble::Foreign, why);
    }

    fn refuse(&mut self, local: &mut Local, reason: Reason, text: &str) {
        if self.logged != Some(Trouble::Refused(reason)) {
            local.news.push(LinkNews::Refused { peer: self.peer, reason, dialled: true });
        }
        self.fail(local, Trouble::Refused(reason), text);
    }

    /// While frames go out, the peer sends nothing but the end of the stream.
    fn check_stream(&mut self, local: &mut Local) {
        let Some(stream) = &mut self.stream else { return };
        match stream.try_read(&mut [0; 1]) {
            Ok(None) => self.flush(local),
            Ok(Some(0)) => self.fail(local, Trouble::Lost, "it closed the connection"),
            Ok(Some(_)) => {
                local.counts.malformed += 1;
                self.fail(
                    local,
                    Trouble::Foreign,
                    "it sends on a connection on which it should only receive",
                );
            }
            Err(e) => self.fail(local, Trouble::Lost, &e.to_string()),
        }
    }

    /// Writes what is queued to the socket.
    pub(super) fn flush(&mut self, local: &mut Local) {
        let (Some(stream), Phase::Up { .. }) = (&mut self.stream, &self.phase) else { return };
        if self.output.queued() == 0 {
            return;
        }
        match self.output.write_to(stream) {
            Ok(taken) => {
                local.counts.bytes_sent += taken as u64;
                if stream.has_buffered() {
                    self.check_stream(local);
                }
            }
            Err(e) => self.fail(local, Trouble::Lost, &e.to_string()),
        }
    }

    /// Closes a connection whose peer turns out to belong to another cluster than `local`.
    pub(super) fn check_cluster(&mut self, local: &mut Local) {
        let Phase::Up { theirs, .. } = &self.phase else { return };
        if local.hello.is_of_another_cluster(theirs.cluster) {
            let ours = local.greeting(self.peer, None);
            let theirs = Greeting { from: self.peer, to: local.me, hello: *theirs, verdict: None };
            let text = greeting::explain(Reason::Cluster, true, &ours, &theirs);
            self.refuse(local, Reason::Cluster, &text);
        }
    }

    /// Closes the connection and waits before the next attempt.
    fn fail(&mut self, local: &mut Local, trouble: Trouble, why: &str) {
        self.close();
        self.phase = Phase::Waiting { until_ms: local.now_ms + self.backoff_ms };
        self.backoff_ms = (2 * self.backoff_ms).min(BACKOFF_MS_MAX);
        if self.logged == Some(trouble) {
            return;
        }
        self.logged = Some(trouble);
        match trouble {
            Trouble::Lost => tracing::warn!("lost the connection to server {}: {why}", self.peer),
            Trouble::Refused(_) => tracing::error!("no connection to server {}: {why}", self.peer),
            _ => tracing::warn!("cannot connect to server {}: {why}; retrying until it works", self.peer),
        }
    }

    /// Closes the connection, if there is one, and drops what was queued for it.
    pub(super) fn close(&mut self) {
        self.output.clear();
        if let Some(mut stream) = self.stream.take() {
            stream.close();
        }
    }

    /// The address it was last dialled at.
    fn address(&self) -> String {
        self.addresses.get(self.next.wrapping_sub(1)).map(ToString::to_string).unwrap_or_default()
    }
}
