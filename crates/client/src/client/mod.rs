//! The asynchronous client: a session that is kept alive over its connections.
//!
//! A task, the [`driver`], owns the connection. Callers encode their requests into a buffer that
//! they share with it, and wait for their replies; the driver writes what has gathered, hands
//! replies and events on, pings, and when the connection is lost goes to the next server, resumes
//! the session there, and sets credentials and watches again.

mod cache;
mod calls;
mod credentials;
mod driver;
mod event;
mod extensions;
mod link;
mod multi;
mod state;
mod watch;
mod watchers;
mod watches;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use wire::event::{KeeperState, WatcherType};
use wire::record::{Auth, Reply, Request};
use wire::{Acl, ErrorCode, Opcode, acl};

use crate::connect::SessionIdentity;
use crate::connect_string::ConnectString;
use crate::connection::WatchEvent;
use crate::error::Error;
use crate::stream::Tls;
pub use cache::{CacheChange, CachedNode, TreeCache};
pub use credentials::Credentials;
pub use event::{SessionEvent, SessionState};
pub(crate) use link::accepted;
pub use multi::{Operation, OperationResult, ReadOperation, ReadResult, Transaction};
use state::{Effect, RawReply, Shared, State};
pub use watch::{Watch, WatchStream};
pub(crate) use watchers::Sink;
pub use watchers::WatchUpdate;

/// How to open a [`Client`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Session timeout to ask for, in milliseconds; the server grants one within its own limits,
    /// see [`Client::identity`]. At least 1. A third of it without requests brings a ping, two
    /// thirds of silence count as a lost connection.
    pub timeout_ms: i32,
    /// Whether to accept a server that can only read.
    pub read_only: bool,
    /// `Some`: the servers speak TLS.
    pub tls: Option<Tls>,
    /// The identities of the client, as [`Client::add_auth`] would add them.
    pub credentials: Vec<Credentials>,
    /// The ACL of the znodes that recipes create with the session, see [`Client::acl`].
    pub acl: Vec<Acl>,
    /// Bytes of requests without a reply after which further requests wait; the last one may
    /// exceed it.
    pub pending_bytes_max: usize,
    /// Longest reply accepted, in bytes. A longer one ends the connection.
    pub reply_bytes_max: usize,
}

impl Default for Settings {
    /// A timeout of 30 s, no read-only server, no TLS, no identity, the open ACL, 16 MiB of
    /// requests, replies of 256 MiB: enough for a million children with long names, and a bound on
    /// the memory that a faulty server can make the client use.
    fn default() -> Self {
        Self {
            timeout_ms: 30_000,
            read_only: false,
            tls: None,
            credentials: Vec::new(),
            acl: acl::open_acl(),
            pending_bytes_max: 16 << 20,
            reply_bytes_max: 256 << 20,
        }
    }
}

/// A session with an ensemble, which outlives its connections.
///
/// When the connection is lost, the session goes through its servers until one resumes it; the
/// identities given by [`Self::add_auth`] and all watches are set again there. It looks for a
/// server until it has one, however long that takes: only a server can say that a session has
/// expired.
///
/// Clones are handles on the same session, for any number of tasks. Requests are pipelined, and
/// executed in the order in which their futures are first polled, unless more bytes than
/// [`Settings::pending_bytes_max`] wait for replies. Dropping such a future is always safe: a
/// request that was already sent is executed, and its reply is discarded.
///
/// [`Self::close`] ends the session. So does dropping the last handle, but that does not wait for
/// the server. Paths begin with a slash and are below the chroot of the connect string.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
    /// Below what the paths of this handle are.
    servers: ConnectString,
    /// Whether each read of this handle is preceded by a `sync`.
    linearizable: bool,
}

/// Ends the session with the last [`Client`]. The driver has none.
struct Handle {
    shared: Arc<Shared>,
}

impl fmt::Debug for Client {
    /// Omits password and credentials, with which anyone could act for this client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if !state.closing {
            if state.phase.is_connected() {
                // The driver takes the answer, and ends when the server hangs up.
                drop(state.submit(&Request::CloseSession, Effect::None));
            }
            state.closing = true;
            self.shared.stirred.notify_one();
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

impl Client {
    /// Opens a session at the first server that accepts it, in the order of the connect string, and
    /// drives it in a task of the current Tokio runtime.
    ///
    /// Each server gets a share of the timeout to answer, between 1 and 10 s, and again for the
    /// handshake.
    ///
    /// # Errors
    /// [`Error::NoServer`] with the reason of every server, after each was tried once. Those of
    /// [`Self::add_auth`] if the settings name an identity.
    ///
    /// # Panics
    /// Outside of a Tokio runtime with I/O and time.
    pub async fn open(servers: &ConnectString, settings: Settings) -> Result<Self, Error> {
        Self::enter(servers, settings, None, 0).await
    }

    /// Takes over a session that another client has opened, perhaps in another process: its
    /// ephemeral znodes stay. `last_zxid` is what [`Self::last_zxid`] returned there, or 0. The
    /// other client loses its connection; it must not come back. Watches are not taken over.
    ///
    /// # Errors
    /// [`Error::SessionExpired`] if no server knows the session, or its password is wrong;
    /// [`Error::NoServer`].
    ///
    /// # Panics
    /// As [`Self::open`].
    pub async fn resume(
        servers: &ConnectString,
        settings: Settings,
        identity: &SessionIdentity,
        last_zxid: i64,
    ) -> Result<Self, Error> {
        Self::enter(servers, settings, Some(identity), last_zxid).await
    }

    async fn enter(
        servers: &ConnectString,
        settings: Settings,
        resume: Option<&SessionIdentity>,
        last_zxid: i64,
    ) -> Result<Self, Error> {
        let (client, drive) = Self::prepare(servers, settings, resume, last_zxid).await?;
        tokio::spawn(drive);
        client.identify().await?;
        Ok(client)
    }

    /// Adds the identities of the settings.
    async fn identify(&self) -> Result<(), Error> {
        for credentials in &self.shared().settings.credentials {
            self.add_auth(credentials.scheme(), credentials.auth()).await?;
        }
        Ok(())
    }

    /// The ACL that [`Settings::acl`] names. Whatever creates znodes on behalf of the program, as
    /// recipes do, gives them this one.
    pub fn acl(&self) -> &[Acl] {
        &self.shared().settings.acl
    }

    /// A client, and the future that drives its session until that is over.
    pub(crate) async fn prepare(
        servers: &ConnectString,
        settings: Settings,
        resume: Option<&SessionIdentity>,
        last_zxid: i64,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), Error> {
        let (connected, server) = driver::first(&settings, servers.servers(), resume, last_zxid).await?;
        let state = State::new(connected.identity.clone(), server, last_zxid);
        let shared = Arc::new(Shared::new(settings, servers.clone(), state));
        let installed = driver::install(&shared, connected, server).ok_or(Error::Closed)?;
        let drive = driver::drive(Arc::clone(&shared), installed);
        let handle = Arc::new(Handle { shared });
        Ok((Self { handle, servers: servers.clone(), linearizable: false }, drive))
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

    /// Id, password and granted timeout of the session, which [`Self::resume`] takes. Another
    /// connection that resumes the session takes it away from this client.
    pub fn identity(&self) -> SessionIdentity {
        self.shared().lock().identity.clone()
    }

    /// The newest zxid that this client has seen.
    pub fn last_zxid(&self) -> i64 {
        self.shared().lock().last_zxid
    }

    /// Until when the session cannot have expired, by what the servers have answered: the granted
    /// timeout after the last request, or ping, that has an answer was made. A server counts from
    /// when it receives a request, so this is early by as long as that takes.
    ///
    /// A process that was stopped learns from this that it may have lost what it holds, before it
    /// has heard from a server. The clock does not advance while the machine is suspended.
    pub fn alive_until(&self) -> Instant {
        let state = self.shared().lock();
        match state.phase.is_over() {
            true => state.confirmed,
            false => state.confirmed + Duration::from_millis(state.identity.timeout_ms.max(0) as u64),
        }
    }

    /// The servers, and the chroot of this handle.
    pub fn connect_string(&self) -> &ConnectString {
        &self.servers
    }

    /// A handle on the same session whose paths are those of the server. Paths of session events
    /// still are those of the handle that [`Self::open`] returned.
    #[must_use]
    pub fn without_chroot(&self) -> Self {
        Self { servers: self.servers.without_chroot(), ..self.clone() }
    }

    /// A handle on the same session whose reads are linearizable: each returns what was the newest
    /// committed state at some moment between its call and its return. It costs a `sync` before
    /// each read, pipelined with it, which the leader has to answer.
    ///
    /// Without it a read is sequentially consistent: it may be of a state that is behind the
    /// newest, but never behind what this session has seen or written. In Apache ZooKeeper a `sync`
    /// to a leader that does not know yet that it is deposed returns at once, so there a read is
    /// linearizable only while the leader is not replaced.
    #[must_use]
    pub fn linearizable(&self) -> Self {
        Self { linearizable: true, ..self.clone() }
    }

    /// A receiver of all events from now on. It ends with the session, after
    /// [`SessionEvent::Expired`] or [`SessionEvent::AuthFailed`] if the session ends in that way.
    ///
    /// Each receiver gets every event. An event arrives before the reply to any request that was
    /// executed after the change. Events that are not received pile up in memory.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<SessionEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.subscribe_with(Box::new(sender));
        receiver
    }

    pub(crate) fn subscribe_with(&self, subscriber: Box<dyn Sink<SessionEvent>>) {
        let mut state = self.shared().lock();
        if !state.phase.is_over() {
            state.watchers.subscribe(subscriber);
        }
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
            state.watchers.tell(&SessionEvent::Watch(WatchEvent {
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
    pub async fn add_auth(&self, scheme: &str, auth: &[u8]) -> Result<(), Error> {
        let request = Request::Auth(Auth { auth_type: 0, scheme, auth: Some(auth) });
        let effect = Effect::Credential(scheme.to_owned(), auth.to_vec());
        self.request(&request, None, effect).await.map(drop)
    }

    /// Ends the session: its ephemeral znodes go. Calls that other tasks begin after this fail with
    /// [`Error::Closed`].
    ///
    /// # Errors
    /// The server did not confirm it; the session ends with its timeout.
    pub async fn close(&self) -> Result<(), Error> {
        let answer = {
            let mut state = self.shared().lock();
            if state.closing {
                return Ok(());
            }
            state.closing = true;
            self.shared().stirred.notify_one();
            match state.phase {
                SessionState::Connected | SessionState::ConnectedReadOnly => {
                    Some(state.submit(&Request::CloseSession, Effect::None))
                }
                SessionState::Connecting => None,
                SessionState::Expired | SessionState::AuthFailed | SessionState::Closed => return Ok(()),
            }
        };
        let result = match answer {
            None => Err(Error::Unreachable { waited_ms: 0 }),
            Some(answer) => match answer.await {
                Ok(Ok((0, _))) => Ok(()),
                Ok(Ok((code, _))) => Err(Error::Refused { code, path: None }),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Error::ConnectionLoss { operation: Opcode::CloseSession.name() }),
            },
        };
        self.shared().lock().end(SessionState::Closed);
        self.shared().room.notify_waiters();
        result
    }

    /// Leaves the session to whom [`Self::resume`]s it, here or in another process: this client
    /// ends, and the session lives on for its timeout. Returns what `resume` takes.
    pub fn detach(self) -> (SessionIdentity, i64) {
        let mut state = self.shared().lock();
        state.closing = true;
        state.end(SessionState::Closed);
        self.shared().stirred.notify_one();
        self.shared().room.notify_waiters();
        (state.identity.clone(), state.last_zxid)
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
    async fn request(
        &self,
        request: &Request<'_>,
        path: Option<&str>,
        effect: Effect,
    ) -> Result<OwnedReply, Error> {
        let answer = self.submit(|state| state.submit(request, effect)).await?;
        self.answer(answer, request.opcode(), path).await
    }

    /// As [`Self::request`] for a read, which may have to be linearizable. `full` is the path as
    /// the server knows it.
    async fn read(
        &self,
        request: &Request<'_>,
        full: &str,
        path: &str,
        effect: Effect,
    ) -> Result<OwnedReply, Error> {
        if !self.linearizable {
            return self.request(request, Some(path), effect).await;
        }
        let sync = Request::Sync(wire::record::Sync { path: full });
        // Under one lock, so that both go to the same connection. The receivers live as long as
        // this call: the request of a caller that is gone is not sent.
        let both = |state: &mut State| (state.submit(&sync, Effect::None), state.submit(request, effect));
        let (synced, answer) = self.submit(both).await?;
        let reply = self.answer(answer, request.opcode(), Some(path)).await;
        self.answer(synced, Opcode::Sync, Some(path)).await?;
        reply
    }

    /// Makes a request, after waiting while too many bytes wait for replies.
    async fn submit<T>(&self, submit: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let shared = self.shared();
        loop {
            let room = shared.room.notified();
            {
                let mut state = shared.lock();
                if state.phase.is_over() {
                    return Err(state::over(state.phase));
                }
                if state.closing {
                    return Err(Error::Closed);
                }
                if state.has_room(shared.settings.pending_bytes_max) {
                    let submitted = submit(&mut state);
                    if state.phase == SessionState::Connecting {
                        shared.stirred.notify_one();
                    }
                    return Ok(submitted);
                }
            }
            room.await;
        }
    }

    async fn answer(
        &self,
        answer: oneshot::Receiver<RawReply>,
        opcode: Opcode,
        path: Option<&str>,
    ) -> Result<OwnedReply, Error> {
        match answer.await {
            Ok(Ok((0, body))) => Ok(OwnedReply { opcode, body }),
            Ok(Ok((code, _))) => Err(Error::Refused { code, path: path.map(str::to_owned) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::ConnectionLoss { operation: opcode.name() }),
        }
    }
}
