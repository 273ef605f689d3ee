//! The thread that keeps a session: receives, pings, and finds another server when the connection
//! is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{ConnectError, Connection, Options, Receiver, RequestError, Session as Identity};
use wire::event::WatcherEvent;
use wire::jute::Reader;
use wire::record::{Auth, Request};
use wire::{ErrorCode, xid};

use super::{Notice, Phase, Settings, Shared, State, Turn, WatchKind};
use crate::shell::failure::Failure;
use crate::shell::target::Target;

/// Longest pause between two rounds through the servers.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Why one connection has ended.
enum End {
    /// Closed by us.
    Closed,
    /// Lost.
    Lost(String),
    /// The server refused credentials that another one had accepted.
    AuthFailed,
}

/// Starts the thread.
///
/// # Errors
/// The system gives us no thread.
pub(super) fn start(shared: Arc<Shared>, connection: Connection) -> Result<(), Failure> {
    let identity = connection.session().clone();
    let first = install(&shared, connection).map_err(|error| Failure::Connection(chain(&error)))?;
    std::thread::Builder::new()
        .name("session".into())
        .spawn(move || keep(&shared, identity, first))
        .map(drop)
        .map_err(|error| Failure::Connection(format!("cannot start a thread: {error}")))
}

/// Tries every server once, starting with `first`.
///
/// # Errors
/// [`Failure::Connection`] with the answer of each; a refusal if the session to resume has expired.
pub(super) fn find_server(
    target: &Target,
    settings: Settings,
    first: usize,
    resume: Option<&Identity>,
    last_zxid_seen: i64,
    closed: impl Fn() -> bool,
) -> Result<(Connection, usize), Failure> {
    let count = target.hosts.len();
    let timeout_ms = settings.timeout_ms.max(1) as u64;
    let options = Options {
        connect_timeout: Duration::from_millis((timeout_ms / count as u64).clamp(1_000, 10_000)),
        // How often the keeper checks the time, not how long a reply may take.
        reply_timeout: Some(Duration::from_millis((timeout_ms / 6).clamp(10, 500))),
        session_timeout_ms: settings.timeout_ms,
        resume: resume.cloned(),
        last_zxid_seen,
        read_only: settings.read_only,
        ..Options::default()
    };
    let mut reasons = Vec::new();
    for host in (0..count).map(|offset| (first + offset) % count) {
        if closed() {
            break;
        }
        let name = &target.hosts[host];
        match Connection::connect(name.as_str(), &options) {
            Ok(connection) => return Ok((connection, host)),
            Err(ConnectError::SessionExpired) if resume.is_some() => {
                return Err(Failure::refused(ErrorCode::SessionExpired, None));
            }
            Err(error) => reasons.push(format!("{name}: {}", chain(&error))),
        }
    }
    Err(Failure::Connection(reasons.join("; ")))
}

fn keep(shared: &Shared, identity: Identity, first: Receiver) {
    let mut identity = identity;
    let mut receiver = first;
    loop {
        let end = converse(shared, &mut receiver, &identity);
        if !let_go(shared, end) {
            return;
        }
        receiver = loop {
            let Some(connection) = reconnect(shared, &identity) else { return };
            identity = connection.session().clone();
            // One that is lost at once counts as one that could not be reached.
            if let Ok(receiver) = install(shared, connection) {
                break receiver;
            }
        };
        let mut state = shared.lock();
        if !std::mem::take(&mut state.refused_auth) {
            shared.tell(Notice::Resumed(shared.target.hosts[state.host].clone()));
        }
    }
}

/// Takes the sending half to where the main thread finds it, after credentials and watches have
/// been sent on it.
fn install(shared: &Shared, mut connection: Connection) -> Result<Receiver, RequestError> {
    let phase = if connection.is_read_only() { Phase::ConnectedReadOnly } else { Phase::Connected };
    while let Some(event) = connection.next_event(Duration::ZERO)? {
        note_event(shared, &mut shared.lock(), event.event_type, event.path, event.zxid);
    }
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
    state.repeated_auths = state.credentials.len();
    state.sender = Some(sender);
    state.last_sent = Instant::now();
    state.phase = phase;
    shared.changed.notify_all();
    Ok(receiver)
}

fn converse(shared: &Shared, receiver: &mut Receiver, identity: &Identity) -> End {
    let timeout = Duration::from_millis(identity.timeout_ms.max(1) as u64);
    let mut last_heard = Instant::now();
    loop {
        match receiver.receive() {
            Ok(incoming) => {
                last_heard = Instant::now();
                if let Err(end) = take(shared, incoming.header, incoming.body) {
                    return end;
                }
            }
            // A server that is silent for two thirds of the timeout leaves us the last third to
            // find another.
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
fn take(shared: &Shared, header: wire::record::ReplyHeader, body: &[u8]) -> Result<(), End> {
    let mut state = shared.lock();
    state.last_zxid = state.last_zxid.max(header.zxid);
    match header.xid {
        xid::NOTIFICATION => {
            let event = WatcherEvent::decode(&mut Reader::new(body));
            let event = event.map_err(|error| End::Lost(format!("a malformed event: {error}")))?;
            note_event(shared, &mut state, event.event_type, event.path.to_owned(), header.zxid);
        }
        xid::PING | xid::SET_WATCHES => {}
        xid::AUTH if state.repeated_auths > 0 => {
            state.repeated_auths -= 1;
            if header.err != 0 {
                return Err(End::AuthFailed);
            }
        }
        number => {
            let Turn::Waiting(expected, watch) = &mut state.turn else {
                return Err(End::Lost(format!("a reply to request {number}, which was never sent")));
            };
            if *expected != number {
                return Err(End::Lost(format!("a reply to request {number} instead of {expected}")));
            }
            let watch = watch.take();
            note_watch(&mut state, watch, header.err);
            state.refused_auth = number == xid::AUTH && header.err != 0;
            state.turn = Turn::Answered(header.err, body.to_vec());
            shared.changed.notify_all();
        }
    }
    Ok(())
}

/// Notes the watch of a request that was answered. This thread does it, and not the one that asked,
/// because the event may be the very next frame.
fn note_watch(state: &mut State, watch: Option<(WatchKind, String)>, err: i32) {
    match watch {
        // Where `exists` found a znode its watch is one on data, as the server would take a place
        // where there was none and now is one for a creation.
        Some((WatchKind::Exist, path)) if err == 0 => state.watches.add(WatchKind::Data, path),
        Some((kind, path)) if err == 0 => state.watches.add(kind, path),
        Some((WatchKind::Exist, path)) if err == ErrorCode::NoNode as i32 => {
            state.watches.add(WatchKind::Exist, path);
        }
        _ => {}
    }
}

fn note_event(
    shared: &Shared,
    state: &mut State,
    event_type: wire::event::EventType,
    path: String,
    zxid: i64,
) {
    state.watches.fired(event_type, &path);
    let path = shared.target.shown(&path).to_owned();
    shared.tell(Notice::Event { event_type, path, zxid });
}

/// Takes the connection away from the main thread. Returns whether there is a session to continue.
fn let_go(shared: &Shared, end: End) -> bool {
    let mut state = shared.lock();
    state.sender = None;
    if matches!(state.turn, Turn::Waiting(..)) {
        state.turn = Turn::Lost;
    }
    let go_on = match end {
        _ if state.closing => false,
        End::Closed => false,
        End::Lost(reason) => {
            state.phase = Phase::Connecting;
            if !state.refused_auth {
                shared.tell(Notice::Lost(reason));
            }
            true
        }
        End::AuthFailed => {
            state.phase = Phase::Expired;
            shared.tell(Notice::AuthFailed);
            false
        }
    };
    shared.changed.notify_all();
    go_on
}

/// Goes round the servers, the one after the lost one first, until one resumes the session or says
/// that it has expired.
fn reconnect(shared: &Shared, identity: &Identity) -> Option<Connection> {
    let mut pause = Duration::from_millis(100);
    loop {
        let (next, last_zxid) = {
            let state = shared.lock();
            (state.host + 1, state.last_zxid)
        };
        let closed = || shared.lock().closing;
        let found = find_server(&shared.target, shared.settings, next, Some(identity), last_zxid, closed);
        let mut state = shared.lock();
        if state.closing {
            return None;
        }
        match found {
            Ok((connection, host)) => {
                state.host = host;
                return Some(connection);
            }
            Err(Failure::Refused { .. }) => {
                state.phase = Phase::Expired;
                shared.changed.notify_all();
                shared.tell(Notice::Expired);
                return None;
            }
            Err(_) => {}
        }
        let waiting = |state: &mut State| !state.closing;
        let waited = shared.changed.wait_timeout_while(state, pause, waiting);
        drop(waited.expect("no thread panics while it holds the state of the session"));
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
