//! The thread that keeps a session: receives, pings, and finds another server when the connection
//! is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wire::record::{Auth, ReplyHeader, Request};
use wire::xid;

use super::event::{SessionEvent, SessionState};
use super::state::{Effect, Shared, WaitingAuth};
use crate::connect::{Options, SessionIdentity};
use crate::connect_string::ConnectString;
use crate::connection::{Connection, WatchEvent};
use crate::error::{ConnectError, Error, RequestError, chain};
use crate::split::Receiver;
use crate::stream::Tls;

/// Shortest and longest pause between two rounds through the servers.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Why one connection has ended.
enum End {
    /// Closed by this client.
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

/// What a server has to fit.
pub(super) struct Search<'a> {
    pub(super) servers: &'a ConnectString,
    pub(super) timeout_ms: i32,
    pub(super) read_only: bool,
    pub(super) tls: Option<&'a Tls>,
}

impl Search<'_> {
    /// The first connection of a new session, and the number of its server.
    pub(super) fn first(&self) -> Result<(Connection, usize), Error> {
        self.round(0, None, 0, || false).map_err(|not_found| match not_found {
            NotFound::Expired => Error::SessionExpired,
            NotFound::NoServer(reasons) => Error::NoServer(reasons),
        })
    }

    /// Tries every server once, beginning with `first`.
    fn round(
        &self,
        first: usize,
        resume: Option<&SessionIdentity>,
        last_zxid_seen: i64,
        closed: impl Fn() -> bool,
    ) -> Result<(Connection, usize), NotFound> {
        let servers = self.servers.servers();
        let count = servers.len();
        let options = self.options(resume, last_zxid_seen);
        let mut reasons = Vec::new();
        for server in (0..count).map(|offset| (first + offset) % count) {
            if closed() {
                break;
            }
            let name = &servers[server];
            match Connection::connect(name.as_str(), &options) {
                Ok(connection) => return Ok((connection, server)),
                Err(ConnectError::SessionExpired) if resume.is_some() => return Err(NotFound::Expired),
                Err(error) => reasons.push((name.clone(), error)),
            }
        }
        Err(NotFound::NoServer(reasons))
    }

    fn options(&self, resume: Option<&SessionIdentity>, last_zxid_seen: i64) -> Options {
        let timeout_ms = self.timeout_ms.max(1) as u64;
        let share_ms = timeout_ms / self.servers.servers().len() as u64;
        Options {
            connect_timeout: Duration::from_millis(share_ms.clamp(1_000, 10_000)),
            // How often the keeper checks the time, not how long a reply may take.
            reply_timeout: Some(Duration::from_millis((timeout_ms / 6).clamp(10, 500))),
            // A server that takes no requests must not stop the keeper, which waits for the thread
            // that sends one.
            write_timeout: Some(Duration::from_millis((timeout_ms * 2 / 3).max(1))),
            session_timeout_ms: self.timeout_ms,
            resume: resume.cloned(),
            last_zxid_seen,
            read_only: self.read_only,
            tls: self.tls.cloned(),
            ..Options::default()
        }
    }
}

/// Starts the thread.
///
/// # Errors
/// The connection is lost already, or the system has no thread.
pub(super) fn start(shared: Arc<Shared>, connection: Connection) -> Result<(), Error> {
    let first =
        install(&shared, connection).map_err(|_| Error::ConnectionLoss { operation: "createSession" })?;
    std::thread::Builder::new()
        .name("session".into())
        .spawn(move || keep(&shared, first))
        .map(drop)
        .map_err(Error::Thread)
}

fn keep(shared: &Shared, first: Receiver) {
    let mut receiver = first;
    loop {
        let began = Instant::now();
        let end = converse(shared, &mut receiver);
        if !let_go(shared, end) {
            return;
        }
        // Servers that hang up at once must not keep this thread busy.
        let mut pause = RETRY_MIN.saturating_sub(began.elapsed());
        receiver = loop {
            let Some(connection) = reconnect(shared, pause) else { return };
            // One that is lost at once counts as one that could not be reached.
            if let Ok(receiver) = install(shared, connection) {
                break receiver;
            }
            pause = RETRY_MIN;
        };
        let mut state = shared.lock();
        let server = shared.servers.servers()[state.server].clone();
        let after_refused_auth = std::mem::take(&mut state.refused_auth);
        state.tell(&SessionEvent::Reconnected { server, after_refused_auth });
    }
}

/// Makes a connection the session's, after credentials and watches have been sent on it.
fn install(shared: &Shared, connection: Connection) -> Result<Receiver, RequestError> {
    let phase = match connection.is_read_only() {
        true => SessionState::ConnectedReadOnly,
        false => SessionState::Connected,
    };
    let identity = connection.session().clone();
    let (mut sender, receiver) = connection.split()?;
    let mut state = shared.lock();
    if state.closing {
        return Err(RequestError::Closed);
    }
    for (scheme, auth) in &state.credentials {
        sender.send(xid::AUTH, &Request::Auth(Auth { auth_type: 0, scheme, auth: Some(auth) }));
    }
    state
        .watches
        .restore(state.last_zxid, |number, request| sender.send(number, &Request::SetWatches(*request)));
    sender.flush()?;
    state.auths = state.credentials.iter().map(|_| WaitingAuth::Repeated).collect();
    state.sender = Some(sender);
    state.identity = identity;
    state.last_sent = Instant::now();
    state.phase = phase;
    shared.changed.notify_all();
    Ok(receiver)
}

/// Receives until the connection ends.
fn converse(shared: &Shared, receiver: &mut Receiver) -> End {
    let timeout = Duration::from_millis(shared.lock().identity.timeout_ms.max(1) as u64);
    let mut last_heard = Instant::now();
    loop {
        match receiver.receive() {
            Ok(incoming) => {
                last_heard = Instant::now();
                if let Err(end) = take(shared, incoming.header, incoming.body) {
                    return end;
                }
            }
            // The last third of the timeout is left to find another server.
            Err(RequestError::Timeout) if last_heard.elapsed() < timeout * 2 / 3 => {}
            Err(RequestError::Timeout) => return End::Lost("the server is silent".to_owned()),
            Err(error) => return End::Lost(chain(&error)),
        }
        let mut state = shared.lock();
        let state = &mut *state;
        let Some(sender) = &mut state.sender else { return End::Closed };
        if state.last_sent.elapsed() >= timeout / 3 {
            sender.send(xid::PING, &Request::Ping);
            state.last_sent = Instant::now();
            if let Err(error) = sender.flush() {
                return End::Lost(chain(&error));
            }
        }
    }
}

/// What to do with one frame.
fn take(shared: &Shared, header: ReplyHeader, body: &[u8]) -> Result<(), End> {
    let mut state = shared.lock();
    state.last_zxid = state.last_zxid.max(header.zxid);
    let unasked = || End::Lost(format!("a reply to request {}, which was never sent", header.xid));
    let waiting = match header.xid {
        xid::NOTIFICATION => {
            let event = WatchEvent::decode(header, body);
            let mut event = event.map_err(|error| End::Lost(format!("a malformed event: {error}")))?;
            state.watches.fired(event.event_type, &event.path);
            event.path = shared.servers.client_path(&event.path).to_owned();
            state.tell(&SessionEvent::Watch(event));
            return Ok(());
        }
        xid::PING | xid::SET_WATCHES => return Ok(()),
        xid::AUTH => match state.auths.pop_front().ok_or_else(unasked)? {
            WaitingAuth::Repeated if header.err != 0 => return Err(End::AuthFailed),
            WaitingAuth::Repeated => return Ok(()),
            WaitingAuth::Asked(waiting) => waiting,
        },
        number => {
            let waiting = state.requests.pop_front().ok_or_else(unasked)?;
            if waiting.xid != number {
                let due = waiting.xid;
                return Err(End::Lost(format!("a reply to request {number} instead of {due}")));
            }
            waiting
        }
    };
    state.refused_auth = matches!(waiting.effect, Effect::Credential(..)) && header.err != 0;
    state.note(waiting.effect, header.err);
    // A caller that is gone needs no reply.
    let _ = waiting.reply.send((header.err, body.to_vec()));
    Ok(())
}

/// Takes the connection away from the callers, whose requests fail. Returns whether there is a
/// session to continue.
fn let_go(shared: &Shared, end: End) -> bool {
    let mut state = shared.lock();
    state.sender = None;
    state.requests.clear();
    state.auths.clear();
    let continues = match end {
        _ if state.closing => {
            state.end(SessionState::Closed);
            false
        }
        End::Closed => false,
        End::Lost(reason) => {
            state.phase = SessionState::Connecting;
            let after_refused_auth = state.refused_auth;
            state.tell(&SessionEvent::Disconnected { reason, after_refused_auth });
            true
        }
        End::AuthFailed => {
            state.tell(&SessionEvent::AuthFailed);
            state.end(SessionState::AuthFailed);
            false
        }
    };
    shared.changed.notify_all();
    continues
}

/// Goes through the servers, the one after the lost one first, until one resumes the session or
/// says that it has expired. Begins after `pause`.
fn reconnect(shared: &Shared, mut pause: Duration) -> Option<Connection> {
    let Shared { servers, timeout_ms, read_only, tls, .. } = shared;
    let (timeout_ms, read_only, tls) = (*timeout_ms, *read_only, tls.as_ref());
    let search = Search { servers, timeout_ms, read_only, tls };
    loop {
        let (next, identity, last_zxid) = {
            let waited = shared.changed.wait_timeout_while(shared.lock(), pause, |state| !state.closing);
            let (state, _) = waited.expect("no thread panics while it holds the state of the session");
            (state.server + 1, state.identity.clone(), state.last_zxid)
        };
        let found = search.round(next, Some(&identity), last_zxid, || shared.lock().closing);
        let mut state = shared.lock();
        if state.closing {
            return None;
        }
        match found {
            Ok((connection, server)) => {
                state.server = server;
                return Some(connection);
            }
            Err(NotFound::Expired) => {
                state.tell(&SessionEvent::Expired);
                state.end(SessionState::Expired);
                shared.changed.notify_all();
                return None;
            }
            Err(NotFound::NoServer(_)) => {}
        }
        pause = (pause * 2).clamp(RETRY_MIN, RETRY_MAX);
    }
}
