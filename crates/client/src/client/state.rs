//! What the callers of a session share with the task that drives it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use wire::record::Request;
use wire::{ErrorCode, Opcode, xid};

use super::Settings;
use super::event::{SessionEvent, SessionState};
use super::watchers::Watchers;
use super::watches::{WatchKind, Watches};
use crate::connect::SessionIdentity;
use crate::connect_string::ConnectString;
use crate::connection::{WatchEvent, encode};
use crate::error::Error;

/// Error code and body of a reply, or why the request was not sent.
pub(super) type RawReply = Result<(i32, Vec<u8>), Error>;

/// What a request changes about the session when it succeeds.
pub(super) enum Effect {
    /// Nothing.
    None,
    /// It sets a watch on this path of the server, whose event goes there.
    Watch(WatchKind, String, Option<oneshot::Sender<WatchEvent>>),
    /// It adds an identity: scheme and credentials.
    Credential(String, Vec<u8>),
}

/// A request whose reply has not come.
pub(super) struct Waiting {
    xid: i32,
    /// The length of its frame.
    length: usize,
    effect: Effect,
    /// Dropped without a reply when the connection is lost.
    reply: oneshot::Sender<RawReply>,
    /// When the caller made it.
    since: Instant,
}

/// A request that waits for a connection.
struct Parked {
    frame: Vec<u8>,
    waiting: Waiting,
}

/// An authentication whose reply has not come.
enum WaitingAuth {
    /// Sent again after a reconnect.
    Repeated,
    /// Sent by a caller.
    Asked(Waiting),
}

/// Why a reply makes the connection unusable.
pub(super) enum Fault {
    /// It is not what was asked for.
    Unasked(String),
    /// A server refused credentials that another one had accepted.
    AuthFailed,
}

/// Has no `Debug`, because it holds credentials.
pub(super) struct State {
    pub(super) phase: SessionState,
    /// Set before the request that ends the session is sent, so that the driver does not take the
    /// server's hanging up for a loss.
    pub(super) closing: bool,
    /// Set when the server has refused credentials: it hangs up after that.
    refused_auth: bool,
    has_connected: bool,
    pub(super) identity: SessionIdentity,
    /// Which of the servers the connection is, or was, with.
    pub(super) server: usize,
    /// Frames that the driver has yet to take.
    out: Vec<u8>,
    last_xid: i32,
    /// Oldest first: the server answers in this order. The frames of the last `untaken` are in
    /// `out`.
    requests: VecDeque<Waiting>,
    untaken: usize,
    /// Oldest first. The server answers them in this order, but not in that of the other requests.
    auths: VecDeque<WaitingAuth>,
    /// Requests that were made while there was no connection, oldest first.
    parked: VecDeque<Parked>,
    /// Bytes of all requests whose reply has not come.
    pending_bytes: usize,
    pub(super) watches: Watches,
    pub(super) watchers: Watchers,
    credentials: Vec<(String, Vec<u8>)>,
    pub(super) last_zxid: i64,
    pub(super) last_sent: Instant,
    /// When the ping was sent that has no answer yet.
    ping_sent: Option<Instant>,
    /// The server has heard from this client at this time or later.
    pub(super) confirmed: Instant,
    /// The extensions that the server announces, if it was asked on this connection.
    pub(super) extensions: Option<Vec<u8>>,
    /// Wakes the driver, which has nothing to write.
    driver: Option<Waker>,
}

impl State {
    pub(super) fn new(identity: SessionIdentity, server: usize, last_zxid: i64) -> Self {
        Self {
            phase: SessionState::Connecting,
            closing: false,
            refused_auth: false,
            has_connected: false,
            identity,
            server,
            out: Vec::new(),
            last_xid: 0,
            requests: VecDeque::new(),
            untaken: 0,
            auths: VecDeque::new(),
            parked: VecDeque::new(),
            pending_bytes: 0,
            watches: Watches::default(),
            watchers: Watchers::default(),
            credentials: Vec::new(),
            last_zxid,
            last_sent: Instant::now(),
            ping_sent: None,
            confirmed: Instant::now(),
            extensions: None,
            driver: None,
        }
    }

    /// The number for the next ordinary request.
    fn next_xid(&mut self) -> i32 {
        self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
        self.last_xid
    }

    pub(super) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Sends a request, or keeps it for the next connection. Its reply, or its loss, comes to the
    /// receiver.
    pub(super) fn submit(&mut self, request: &Request<'_>, effect: Effect) -> oneshot::Receiver<RawReply> {
        let (reply, answer) = oneshot::channel();
        let xid = if request.opcode() == Opcode::Auth { xid::AUTH } else { self.next_xid() };
        let since = Instant::now();
        if !self.phase.is_connected() {
            let mut frame = Vec::new();
            encode(request, xid, &mut frame);
            let length = frame.len();
            self.pending_bytes += length;
            self.parked.push_back(Parked { frame, waiting: Waiting { xid, length, effect, reply, since } });
            return answer;
        }
        let before = self.out.len();
        encode(request, xid, &mut self.out);
        let length = self.out.len() - before;
        self.pending_bytes += length;
        self.last_sent = since;
        self.enqueue(Waiting { xid, length, effect, reply, since });
        self.wake_driver();
        answer
    }

    /// Notes a request whose frame is at the end of `out`.
    fn enqueue(&mut self, waiting: Waiting) {
        if waiting.xid == xid::AUTH {
            self.auths.push_back(WaitingAuth::Asked(waiting));
        } else {
            self.requests.push_back(waiting);
            self.untaken += 1;
        }
    }

    /// Whether more requests may be made.
    pub(super) fn has_room(&self, bytes_max: usize) -> bool {
        self.pending_bytes < bytes_max
    }

    /// Swaps the frames that wait to be sent into the driver's empty buffer. If no frame waits, the
    /// next request wakes the driver. Returns whether the session goes on.
    pub(super) fn take_out(&mut self, buffer: &mut Vec<u8>, waker: &Waker) -> bool {
        std::mem::swap(&mut self.out, buffer);
        self.untaken = 0;
        if buffer.is_empty() {
            self.driver = Some(waker.clone());
        }
        !self.phase.is_over()
    }

    pub(super) fn ping(&mut self) {
        encode(&Request::Ping, xid::PING, &mut self.out);
        self.last_sent = Instant::now();
        self.ping_sent.get_or_insert(self.last_sent);
    }

    /// There is a connection: credentials and watches are sent again, then what waited for it.
    pub(super) fn install(&mut self, identity: SessionIdentity, read_only: bool, server: &str) {
        let is_first = !std::mem::replace(&mut self.has_connected, true);
        self.phase = if read_only { SessionState::ConnectedReadOnly } else { SessionState::Connected };
        (self.identity, self.ping_sent, self.extensions) = (identity, None, None);
        (self.confirmed, self.last_sent) = (Instant::now(), Instant::now());
        let credentials = std::mem::take(&mut self.credentials);
        for (scheme, auth) in &credentials {
            let auth = wire::record::Auth { auth_type: 0, scheme, auth: Some(auth) };
            encode(&Request::Auth(auth), xid::AUTH, &mut self.out);
            self.auths.push_back(WaitingAuth::Repeated);
        }
        self.credentials = credentials;
        let out = &mut self.out;
        self.watches
            .restore(self.last_zxid, |number, request| encode(&Request::SetWatches(*request), number, out));
        let after_refused_auth = std::mem::take(&mut self.refused_auth);
        if !is_first {
            self.watchers.tell(&SessionEvent::Reconnected { server: server.to_owned(), after_refused_auth });
            self.watchers.missed();
        }
        for parked in std::mem::take(&mut self.parked) {
            if parked.waiting.reply.is_closed() {
                self.pending_bytes -= parked.waiting.length;
                continue;
            }
            self.out.extend_from_slice(&parked.frame);
            self.enqueue(parked.waiting);
        }
    }

    /// Fails requests that have waited for a connection for longer than `patience`.
    pub(super) fn give_up_parked(&mut self, patience: Duration) {
        let waited_ms = patience.as_millis() as u64;
        while let Some(parked) = self.parked.pop_front_if(|p| p.waiting.since.elapsed() >= patience) {
            self.pending_bytes -= parked.waiting.length;
            // A caller that is gone needs no answer.
            let _ = parked.waiting.reply.send(Err(Error::Unreachable { waited_ms }));
        }
    }

    /// When the oldest request that waits for a connection was made.
    pub(super) fn parked_since(&self) -> Option<Instant> {
        self.parked.front().map(|parked| parked.waiting.since)
    }

    /// The answer to a ping has come.
    pub(super) fn pong(&mut self) {
        if let Some(sent) = self.ping_sent.take() {
            self.confirmed = self.confirmed.max(sent);
        }
    }

    /// A reply has come. Its caller learns of it after its effect is noted, because the event of a
    /// watch may be the very next frame.
    pub(super) fn reply(&mut self, xid: i32, err: i32, body: &[u8]) -> Result<(), Fault> {
        let unasked = || Fault::Unasked(format!("a reply to request {xid}, which was never sent"));
        let waiting = if xid == xid::AUTH {
            match self.auths.pop_front().ok_or_else(unasked)? {
                WaitingAuth::Repeated if err != 0 => return Err(Fault::AuthFailed),
                WaitingAuth::Repeated => return Ok(()),
                WaitingAuth::Asked(waiting) => waiting,
            }
        } else {
            let waiting = self.requests.pop_front().ok_or_else(unasked)?;
            if waiting.xid != xid {
                let due = waiting.xid;
                return Err(Fault::Unasked(format!("a reply to request {xid} instead of {due}")));
            }
            waiting
        };
        self.pending_bytes -= waiting.length;
        self.confirmed = self.confirmed.max(waiting.since);
        self.refused_auth = matches!(waiting.effect, Effect::Credential(..)) && err != 0;
        self.note(waiting.effect, err);
        // A caller that is gone needs no reply.
        let _ = waiting.reply.send(Ok((err, body.to_vec())));
        Ok(())
    }

    fn note(&mut self, effect: Effect, err: i32) {
        match effect {
            Effect::Watch(WatchKind::Exist, path, reply) if err == ErrorCode::NoNode as i32 => {
                self.watch(WatchKind::Exist, path, reply);
            }
            // Where `exists` found a znode its watch is one on data: set again as one on a place
            // without a znode, it would fire at once.
            Effect::Watch(WatchKind::Exist, path, reply) if err == 0 => {
                self.watch(WatchKind::Data, path, reply);
            }
            Effect::Watch(kind, path, reply) if err == 0 => self.watch(kind, path, reply),
            Effect::Credential(scheme, auth) if err == 0 => {
                let credential = (scheme, auth);
                if !self.credentials.contains(&credential) {
                    self.credentials.push(credential);
                }
            }
            _ => {}
        }
    }

    fn watch(&mut self, kind: WatchKind, path: String, reply: Option<oneshot::Sender<WatchEvent>>) {
        if let Some(reply) = reply {
            self.watchers.expect(&path, kind, reply);
        }
        self.watches.add(kind, path);
    }

    /// The connection is lost. Requests that were handed to it fail; the others wait for the next
    /// one.
    pub(super) fn lose(&mut self) {
        self.phase = SessionState::Connecting;
        let mut rest = std::mem::take(&mut self.out);
        let untaken = self.requests.split_off(self.requests.len() - std::mem::take(&mut self.untaken));
        // The frames of requests are behind those of the driver itself.
        let length: usize = untaken.iter().map(|waiting| waiting.length).sum();
        let auths = std::mem::take(&mut self.auths);
        for waiting in self.requests.drain(..) {
            self.pending_bytes -= waiting.length;
        }
        for auth in auths {
            if let WaitingAuth::Asked(waiting) = auth {
                self.pending_bytes -= waiting.length;
            }
        }
        if rest.len() != length {
            // There are frames of authentications or pings in between: which bytes belong to which
            // request is not known.
            for waiting in untaken {
                self.pending_bytes -= waiting.length;
            }
            return;
        }
        for waiting in untaken {
            let frame = rest.drain(..waiting.length).collect();
            self.parked.push_back(Parked { frame, waiting });
        }
    }

    /// The connection was lost, and the session looks for another one.
    pub(super) fn tell_lost(&mut self, reason: String) {
        let after_refused_auth = self.refused_auth;
        self.watchers.tell(&SessionEvent::Disconnected { reason, after_refused_auth });
    }

    /// Ends the session for this client, for good.
    pub(super) fn end(&mut self, phase: SessionState) {
        if !self.phase.is_over() {
            self.phase = phase;
        }
        self.requests.clear();
        self.auths.clear();
        for parked in std::mem::take(&mut self.parked) {
            // A caller that is gone needs no answer.
            let _ = parked.waiting.reply.send(Err(over(self.phase)));
        }
        (self.untaken, self.pending_bytes) = (0, 0);
        self.out.clear();
        self.watchers.end();
        self.wake_driver();
    }
}

/// Why a call on a session that is over fails.
pub(super) fn over(phase: SessionState) -> Error {
    match phase {
        SessionState::Expired => Error::SessionExpired,
        SessionState::AuthFailed => Error::AuthFailed,
        _ => Error::Closed,
    }
}

pub(super) struct Shared {
    pub(super) servers: ConnectString,
    pub(super) settings: Settings,
    state: Mutex<State>,
    /// Notified when `closing` is set, or a request begins to wait for a connection.
    pub(super) stirred: Notify,
    /// Notified when there is room for another request.
    pub(super) room: Notify,
}

impl Shared {
    pub(super) fn new(settings: Settings, servers: ConnectString, state: State) -> Self {
        Self { servers, settings, state: Mutex::new(state), stirred: Notify::new(), room: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request waits for a connection.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.settings.timeout_ms.max(1_000) as u64)
    }
}
