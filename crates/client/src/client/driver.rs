//! The task that drives a session: it sends, receives, pings, and finds another server when the
//! connection is lost.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWrite};
use tokio::time::{Sleep, sleep, sleep_until};
use wire::frame::{self, Split};
use wire::jute::Reader;
use wire::record::ReplyHeader;
use wire::xid;

use super::Settings;
use super::event::{SessionEvent, SessionState};
use super::link::{Connected, Link, Wanted};
use super::state::{Fault, Shared, State};
use crate::connect::SessionIdentity;
use crate::connection::WatchEvent;
use crate::error::{ConnectError, Error, chain};

/// Shortest and longest pause between two rounds through the servers.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Bytes read from the socket at a time.
const READ_BYTES: usize = 64 << 10;

/// Why one connection has ended.
enum End {
    /// The session was closed by this client.
    Closed,
    /// Lost.
    Lost(String),
    /// The server refused credentials that another one had accepted.
    AuthFailed,
}

/// Why a round through the servers found none.
enum NotFound {
    /// One of them said that the session has expired.
    Expired,
    /// The reason of each.
    NoServer(Vec<(String, ConnectError)>),
}

/// The first connection of a session, and the number of its server.
///
/// # Errors
/// [`Error::NoServer`], or [`Error::SessionExpired`] of a session to resume.
pub(super) async fn first(
    settings: &Settings,
    servers: &[String],
    resume: Option<&SessionIdentity>,
    last_zxid: i64,
) -> Result<(Connected, usize), Error> {
    let wanted = wanted(settings, servers, resume, last_zxid);
    round(&wanted, servers, 0).await.map_err(|not_found| match not_found {
        NotFound::Expired => Error::SessionExpired,
        NotFound::NoServer(reasons) => Error::NoServer(reasons),
    })
}

/// What to ask each of the servers for. Each gets a share of the session timeout to answer.
fn wanted<'w>(
    settings: &'w Settings,
    servers: &[String],
    resume: Option<&'w SessionIdentity>,
    last_zxid: i64,
) -> Wanted<'w> {
    let Settings { timeout_ms, read_only, ref tls, .. } = *settings;
    let share_ms = timeout_ms.max(1) as u64 / servers.len() as u64;
    let patience = Duration::from_millis(share_ms.clamp(1_000, 10_000));
    Wanted { patience, timeout_ms, resume, last_zxid, read_only, tls: tls.as_ref() }
}

/// Tries every server once, beginning with `first`.
async fn round(
    wanted: &Wanted<'_>,
    servers: &[String],
    first: usize,
) -> Result<(Connected, usize), NotFound> {
    let mut reasons = Vec::new();
    for server in (0..servers.len()).map(|offset| (first + offset) % servers.len()) {
        let name = &servers[server];
        match wanted.connect(name).await {
            Ok(connected) => return Ok((connected, server)),
            Err(ConnectError::SessionExpired) if wanted.resume.is_some() => return Err(NotFound::Expired),
            Err(error) => reasons.push((name.clone(), error)),
        }
    }
    Err(NotFound::NoServer(reasons))
}

/// A connection that is the session's.
pub(super) struct Installed {
    link: Link,
    /// What has arrived behind the handshake.
    received: Vec<u8>,
    timeout: Duration,
}

/// Makes a connection the session's: requests go to it from now on. `None` if the session was
/// closed meanwhile.
pub(super) fn install(shared: &Shared, connected: Connected, server: usize) -> Option<Installed> {
    let Connected { link, identity, read_only, received } = connected;
    let timeout = Duration::from_millis(identity.timeout_ms.max(1) as u64);
    let mut state = shared.lock();
    if state.closing {
        state.end(SessionState::Closed);
        return None;
    }
    state.server = server;
    state.install(identity, read_only, &shared.servers.servers()[server]);
    Some(Installed { link, received, timeout })
}

/// Drives the session until it is over.
pub(super) async fn drive(shared: Arc<Shared>, first: Installed) {
    let mut next = Some(first);
    while let Some(installed) = next {
        let began = Instant::now();
        let end = converse(&shared, installed).await;
        if !let_go(&shared, end) {
            return;
        }
        // Servers that hang up at once must not keep this task busy.
        let found = reconnect(&shared, RETRY_MIN.saturating_sub(began.elapsed())).await;
        next = found.and_then(|(connected, server)| install(&shared, connected, server));
    }
}

/// Uses a connection until it ends.
async fn converse(shared: &Shared, installed: Installed) -> End {
    let Installed { link, received, timeout } = installed;
    let tick = (timeout / 6).clamp(Duration::from_millis(10), Duration::from_millis(500));
    let mut conversation = Conversation {
        shared,
        link,
        received,
        writing: Vec::new(),
        written: 0,
        is_flushed: true,
        last_heard: Instant::now(),
        timeout,
        tick,
        timer: Box::pin(sleep(tick)),
    };
    // The server may have sent more behind its answer to the handshake.
    if let Err(end) = conversation.take_frames() {
        return end;
    }
    std::future::poll_fn(|cx| conversation.poll(cx)).await
}

/// One connection.
struct Conversation<'s> {
    shared: &'s Shared,
    link: Link,
    /// Bytes of a frame that is not complete.
    received: Vec<u8>,
    /// Bytes to send, of which `written` are sent.
    writing: Vec<u8>,
    written: usize,
    /// Whether nothing is left in the buffers of TLS.
    is_flushed: bool,
    last_heard: Instant,
    timeout: Duration,
    /// How often the time is checked.
    tick: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Conversation<'_> {
    /// Sends and receives until neither is possible.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            match self.write(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(End::Closed),
                Err(error) => return Poll::Ready(End::Lost(chain(&error))),
            }
            match self.read(cx) {
                Poll::Ready(Ok(())) => match self.take_frames() {
                    Ok(()) => continue,
                    Err(end) => return Poll::Ready(end),
                },
                Poll::Ready(Err(error)) => return Poll::Ready(End::Lost(chain(&error))),
                Poll::Pending => {}
            }
            ready!(self.timer.as_mut().poll(cx));
            self.timer.as_mut().reset(tokio::time::Instant::now() + self.tick);
            if let Err(end) = self.check_time() {
                return Poll::Ready(end);
            }
        }
    }

    /// Writes what there is, as far as the socket takes it. Returns whether the session goes on.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        loop {
            if self.written == self.writing.len() {
                self.writing.clear();
                self.written = 0;
                if !self.shared.lock().take_out(&mut self.writing, cx.waker()) {
                    return Ok(false);
                }
                if self.writing.is_empty() {
                    break;
                }
            }
            match Pin::new(&mut self.link).poll_write(cx, &self.writing[self.written..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(taken) => self.written += taken?,
                Poll::Pending => return Ok(true),
            }
            self.is_flushed = false;
        }
        if !self.is_flushed {
            match Pin::new(&mut self.link).poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return Ok(true),
            }
            self.is_flushed = true;
        }
        Ok(true)
    }

    /// Reads once.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The buffer grows with the bytes received, not with the announced length, so that a wrong
        // length cannot exhaust memory.
        self.received.reserve(READ_BYTES.max(self.received.len()));
        let read = ready!(pin!(self.link.read_buf(&mut self.received)).poll(cx))?;
        if read == 0 {
            return Poll::Ready(Err(io::Error::other("the server closed the connection")));
        }
        self.last_heard = Instant::now();
        Poll::Ready(Ok(()))
    }

    /// Takes all complete frames.
    fn take_frames(&mut self) -> Result<(), End> {
        let mut taken = 0;
        let mut state = self.shared.lock();
        loop {
            match frame::split(&self.received[taken..], self.shared.settings.reply_bytes_max) {
                Split::Frame { start, end } => {
                    take(self.shared, &mut state, &self.received[taken + start..taken + end])?;
                    taken += end;
                }
                Split::TooLong(length) => {
                    return Err(End::Lost(format!("a reply of {length} bytes is not acceptable")));
                }
                Split::Incomplete => break,
            }
        }
        let is_closed = state.phase.is_over();
        let has_room = state.has_room(self.shared.settings.pending_bytes_max);
        drop(state);
        if taken > 0 {
            self.received.drain(..taken);
            if has_room {
                self.shared.room.notify_waiters();
            }
        }
        if is_closed { Err(End::Closed) } else { Ok(()) }
    }

    /// Pings, and notices silence.
    fn check_time(&self) -> Result<(), End> {
        // The last third of the timeout is left to find another server.
        if self.last_heard.elapsed() >= self.timeout * 2 / 3 {
            return Err(End::Lost("the server is silent".to_owned()));
        }
        let mut state = self.shared.lock();
        if state.phase.is_over() {
            return Err(End::Closed);
        }
        if state.last_sent.elapsed() >= self.timeout / 3 {
            state.ping();
        }
        Ok(())
    }
}

/// What to do with one frame.
fn take(shared: &Shared, state: &mut State, payload: &[u8]) -> Result<(), End> {
    let mut input = Reader::new(payload);
    let header = ReplyHeader::decode(&mut input)
        .map_err(|error| End::Lost(format!("a malformed reply header: {error}")))?;
    state.last_zxid = state.last_zxid.max(header.zxid);
    match header.xid {
        xid::NOTIFICATION => {
            let event = WatchEvent::decode(header, input.rest());
            let mut event = event.map_err(|error| End::Lost(format!("a malformed event: {error}")))?;
            state.watches.fired(event.event_type, &event.path);
            state.watchers.fired(&event);
            event.path = shared.servers.client_path(&event.path).to_owned();
            state.watchers.tell(&SessionEvent::Watch(event));
            Ok(())
        }
        xid::PING => {
            state.pong();
            Ok(())
        }
        xid::SET_WATCHES => Ok(()),
        number => state.reply(number, header.err, input.rest()).map_err(|fault| match fault {
            Fault::Unasked(what) => End::Lost(what),
            Fault::AuthFailed => End::AuthFailed,
        }),
    }
}

/// Takes the connection away from the callers, whose requests fail. Returns whether there is a
/// session to continue.
fn let_go(shared: &Shared, end: End) -> bool {
    let mut state = shared.lock();
    state.lose();
    shared.room.notify_waiters();
    if state.closing {
        state.end(SessionState::Closed);
        return false;
    }
    match end {
        End::Closed => {
            state.end(SessionState::Closed);
            false
        }
        End::Lost(reason) => {
            state.tell_lost(reason);
            true
        }
        End::AuthFailed => {
            state.watchers.tell(&SessionEvent::AuthFailed);
            state.end(SessionState::AuthFailed);
            false
        }
    }
}

/// Goes through the servers, the one after the lost one first, until one resumes the session or
/// says that it has expired. Begins after `pause`.
async fn reconnect(shared: &Shared, mut pause: Duration) -> Option<(Connected, usize)> {
    loop {
        let searching = search(shared, pause);
        tokio::pin!(searching);
        let found = loop {
            // When the oldest request that waits for a connection has waited long enough.
            let due = shared.lock().parked_since().map(|since| since + shared.patience());
            tokio::select! {
                found = &mut searching => break found,
                () = shared.stirred.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
            }
            let mut state = shared.lock();
            if state.closing {
                state.end(SessionState::Closed);
                return None;
            }
            state.give_up_parked(shared.patience());
        };
        match found {
            Ok(found) => return Some(found),
            Err(NotFound::Expired) => {
                let mut state = shared.lock();
                if !state.closing {
                    state.watchers.tell(&SessionEvent::Expired);
                }
                state.end(SessionState::Expired);
                return None;
            }
            Err(NotFound::NoServer(_)) => {}
        }
        pause = (pause * 2).clamp(RETRY_MIN, RETRY_MAX);
    }
}

/// One round through the servers, after `pause`.
async fn search(shared: &Shared, pause: Duration) -> Result<(Connected, usize), NotFound> {
    sleep(pause).await;
    let servers = shared.servers.servers();
    let (next, identity, last_zxid) = {
        let state = shared.lock();
        (state.server + 1, state.identity.clone(), state.last_zxid)
    };
    let wanted = wanted(&shared.settings, servers, Some(&identity), last_zxid);
    round(&wanted, servers, next % servers.len()).await
}
