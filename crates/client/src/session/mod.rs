//! A session that is kept alive over its connections.
//!
//! A thread of the session, the [`keeper`], owns the receiving half of the connection: it takes
//! replies and events off it, pings, and when the connection is lost goes to the next server,
//! resumes the session there, and sends credentials and watches again. Callers send on the other
//! half, from any thread, and wait for the keeper to hand them their replies.

mod calls;
mod event;
mod keeper;
mod multi;
mod state;
mod watches;

pub use event::{SessionEvent, SessionState};
pub use multi::{Operation, OperationResult, ReadOperation, ReadResult};

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use wire::event::{KeeperState, WatcherType};
use wire::record::{Auth, Reply, Request};
use wire::{ErrorCode, Opcode};

use crate::connect::SessionIdentity;
use crate::connect_string::ConnectString;
use crate::connection::WatchEvent;
use crate::error::Error;
use crate::stream::Tls;
use state::{Effect, Shared, State};
use watches::Watches;

/// How to open a [`Session`].
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Session timeout to ask for, in milliseconds; the server grants one within its own limits,
    /// see [`Session::identity`]. At least 1. A third of it without requests brings a ping, two
    /// thirds of silence count as a lost connection.
    pub timeout_ms: i32,
    /// Whether to accept a server that can only read.
    pub read_only: bool,
    /// `Some`: the servers speak TLS.
    pub tls: Option<Tls>,
    /// Where events go from the first one on. [`Session::subscribe`] adds more receivers later.
    pub events: Option<mpsc::Sender<SessionEvent>>,
}

impl Default for SessionOptions {
    /// A timeout of 30 s, no read-only server, no events.
    fn default() -> Self {
        Self { timeout_ms: 30_000, read_only: false, tls: None, events: None }
    }
}

/// A session with an ensemble, which outlives its connections.
///
/// When the connection is lost, the session goes through its servers until one resumes it; the
/// identities given by [`Self::add_auth`] and all watches are set again there. It looks for a
/// server until it has one, however long that takes: only a server can say that a session has
/// expired.
///
/// Clones are handles on the same session, and any number of threads may use them at the same time:
/// requests are pipelined, and executed in the order in which they were sent. [`Self::close`] ends
/// the session. So does dropping the last handle, but that does not wait for the server.
///
/// Paths begin with a slash and are below the chroot of the connect string.
#[derive(Clone)]
pub struct Session {
    handle: Arc<Handle>,
    /// Below what the paths of this handle are.
    servers: ConnectString,
}

/// Ends the session with the last [`Session`]. The keeper has none.
struct Handle {
    shared: Arc<Shared>,
}

impl fmt::Debug for Session {
    /// Omits password and credentials, with which anyone could act for this client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.state.lock() {
            if !state.closing && state.phase.is_connected() {
                // The keeper takes the answer, and ends when the server hangs up.
                drop(state.send(&Request::CloseSession, Effect::None));
            }
            state.closing = true;
            self.shared.changed.notify_all();
        }
    }
}

/// The body of a reply without error.
struct OwnedReply {
    opcode: Opcode,
    body: Vec<u8>,
}

impl OwnedReply {
    fn decode(&self) -> Result<Reply<'_>, Error> {
        let operation = self.opcode.name();
        Reply::decode(self.opcode, &self.body).map_err(|error| Error::Malformed { operation, error })
    }
}

impl Session {
    /// Opens a session at the first server that accepts it, in the order of the connect string.
    ///
    /// Each server gets a share of the timeout to answer, between 1 and 10 s, and again for the
    /// handshake.
    ///
    /// # Errors
    /// [`Error::NoServer`] with the reason of every server, after each was tried once;
    /// [`Error::Thread`].
    pub fn open(servers: &ConnectString, options: SessionOptions) -> Result<Self, Error> {
        let SessionOptions { timeout_ms, read_only, tls, events } = options;
        let search = keeper::Search { servers, timeout_ms, read_only, tls: tls.as_ref() };
        let (connection, server) = search.first()?;
        let shared = Arc::new(Shared {
            servers: servers.clone(),
            timeout_ms,
            read_only,
            tls,
            state: Mutex::new(State {
                phase: SessionState::Connecting,
                closing: false,
                refused_auth: false,
                sender: None,
                identity: connection.session().clone(),
                server,
                requests: VecDeque::new(),
                auths: VecDeque::new(),
                last_sent: Instant::now(),
                watches: Watches::default(),
                credentials: Vec::new(),
                last_zxid: 0,
                subscribers: events.into_iter().collect(),
            }),
            changed: Condvar::new(),
        });
        keeper::start(Arc::clone(&shared), connection)?;
        Ok(Self { handle: Arc::new(Handle { shared }), servers: servers.clone() })
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// The state at this moment.
    pub fn state(&self) -> SessionState {
        self.shared().lock().phase
    }

    /// The server that the connection is with, or was with last, as `host:port`.
    pub fn server(&self) -> String {
        let server = self.shared().lock().server;
        self.servers.servers()[server].clone()
    }

    /// Id, password and granted timeout of the session, which
    /// [`Options::resume`](crate::Options::resume) takes. Another connection that resumes the
    /// session takes it away from this client.
    pub fn identity(&self) -> SessionIdentity {
        self.shared().lock().identity.clone()
    }

    /// The servers, and the chroot of this handle.
    pub fn connect_string(&self) -> &ConnectString {
        &self.servers
    }

    /// A handle on the same session whose paths are those of the server. Paths of events still are
    /// those of the handle that [`Self::open`] returned.
    pub fn without_chroot(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), servers: self.servers.without_chroot() }
    }

    /// A receiver of all events from now on. It is disconnected when the session ends, after
    /// [`SessionEvent::Expired`] or [`SessionEvent::AuthFailed`] if it ends in that way.
    ///
    /// Each receiver gets every event. An event arrives before the reply to any request that was
    /// executed after the change. Events that are not received pile up in memory.
    pub fn subscribe(&self) -> Receiver<SessionEvent> {
        let (sender, receiver) = mpsc::channel();
        let mut state = self.shared().lock();
        let is_over =
            matches!(state.phase, SessionState::Expired | SessionState::AuthFailed | SessionState::Closed);
        if !is_over {
            state.subscribers.push(sender);
        }
        receiver
    }

    /// Whether any watch may still fire.
    pub fn has_watches(&self) -> bool {
        !self.shared().lock().watches.is_empty()
    }

    /// Forgets watches of this client without asking the server, and reports each as removed, as
    /// ZooKeeper's client does. Returns whether there were any.
    pub fn forget_watches(&self, path: &str, watcher_type: WatcherType) -> bool {
        let mut state = self.shared().lock();
        let kinds = state.watches.remove(&self.servers.server_path(path), watcher_type);
        for kind in &kinds {
            state.tell(&SessionEvent::Watch(WatchEvent {
                zxid: -1,
                event_type: kind.removal(),
                state: KeeperState::SyncConnected,
                path: path.to_owned(),
            }));
        }
        !kinds.is_empty()
    }

    /// Adds an identity, now and after each reconnect: `auth` is `user:password` for the scheme
    /// `digest`.
    ///
    /// # Errors
    /// Any [`Error`]. A refusal has the code [`ErrorCode::AuthFailed`]; the server hangs up after
    /// it, and the session reconnects without this identity.
    pub fn add_auth(&self, scheme: &str, auth: &[u8]) -> Result<(), Error> {
        let request = Request::Auth(Auth { auth_type: 0, scheme, auth: Some(auth) });
        let effect = Effect::Credential(scheme.to_owned(), auth.to_vec());
        self.request(&request, None, effect).map(drop)
    }

    /// Ends the session: its ephemeral znodes go. Calls that other threads begin after this fail
    /// with [`Error::Closed`].
    ///
    /// # Errors
    /// The server did not confirm it; the session ends with its timeout.
    pub fn close(&self) -> Result<(), Error> {
        let answer = {
            let mut state = self.shared().lock();
            if state.closing {
                return Ok(());
            }
            state.closing = true;
            self.shared().changed.notify_all();
            state.phase.is_connected().then(|| state.send(&Request::CloseSession, Effect::None))
        };
        let result = match answer.map(|answer| answer.recv()) {
            None | Some(Ok((0, _))) => Ok(()),
            Some(Ok((code, _))) => Err(Error::Refused { code, path: None }),
            Some(Err(_)) => Err(Error::ConnectionLoss { operation: Opcode::CloseSession.name() }),
        };
        let mut state = self.shared().lock();
        state.end(SessionState::Closed);
        state.sender = None;
        result
    }

    /// A path of this handle as the server knows it. One without a slash is refused here: below a
    /// chroot it would name another znode.
    fn server_path<'p>(&self, path: &'p str) -> Result<Cow<'p, str>, Error> {
        if !path.starts_with('/') {
            let code = ErrorCode::BadArguments as i32;
            return Err(Error::Refused { code, path: Some(path.to_owned()) });
        }
        Ok(self.servers.server_path(path))
    }

    /// Sends a request and waits for its answer. `path` is what a refusal names.
    fn request(
        &self,
        request: &Request<'_>,
        path: Option<&str>,
        effect: Effect,
    ) -> Result<OwnedReply, Error> {
        let answer = self.wait_for_server()?.send(request, effect);
        match answer.recv() {
            Ok((0, body)) => Ok(OwnedReply { opcode: request.opcode(), body }),
            Ok((code, _)) => Err(Error::Refused { code, path: path.map(str::to_owned) }),
            Err(_) => Err(Error::ConnectionLoss { operation: request.opcode().name() }),
        }
    }

    /// Waits while the session looks for a server, but not longer than the session could live.
    fn wait_for_server(&self) -> Result<MutexGuard<'_, State>, Error> {
        let waited_ms = self.shared().timeout_ms.max(1_000) as u64;
        let connecting = |state: &mut State| state.phase == SessionState::Connecting && !state.closing;
        let (state, _) = self
            .shared()
            .changed
            .wait_timeout_while(self.shared().lock(), Duration::from_millis(waited_ms), connecting)
            .expect("no thread panics while it holds the state of the session");
        match state.phase {
            SessionState::Expired => Err(Error::SessionExpired),
            SessionState::AuthFailed => Err(Error::AuthFailed),
            _ if state.closing => Err(Error::Closed),
            SessionState::Connected | SessionState::ConnectedReadOnly => Ok(state),
            SessionState::Connecting => Err(Error::Unreachable { waited_ms }),
            SessionState::Closed => Err(Error::Closed),
        }
    }
}
