//! One session, kept alive over its connections.
//!
//! The commands run on the main thread and ask one thing at a time. A second thread, the
//! [`keeper`], owns the receiving half of the connection: it takes answers and events off it,
//! pings, and when the connection is lost goes to the next server, resumes the session there, and
//! sets credentials and watches again.

mod calls;
mod keeper;
mod watches;

pub(crate) use calls::create_request;
pub(crate) use watches::Kind as WatchKind;

use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use client::Sender;
use wire::event::{EventType, WatcherType};
use wire::record::{Reply, Request};
use wire::{ErrorCode, Opcode, xid};

use super::failure::Failure;
use super::target::Target;
use watches::Watches;

/// How to connect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Session timeout to ask for.
    pub(crate) timeout_ms: i32,
    /// Whether a read-only server is accepted.
    pub(crate) read_only: bool,
}

/// Something that arrived without a request.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    /// A watch fired.
    Event {
        /// What happened.
        event_type: EventType,
        /// Where, as the user knows the path.
        path: String,
        /// The zxid of the change; -1 if the server does not say.
        zxid: i64,
    },
    /// The connection is lost, and why.
    Lost(String),
    /// The session continues at this server.
    Resumed(String),
    /// The server says that the session is over.
    Expired,
    /// The credentials given earlier are refused by the new server.
    AuthFailed,
}

/// State of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is a connection.
    Connected,
    /// As `Connected`, to a server that can only read.
    ConnectedReadOnly,
    /// The keeper looks for a server.
    Connecting,
    /// The session has expired.
    Expired,
    /// The session was closed by us.
    Closed,
}

impl Phase {
    fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::ConnectedReadOnly)
    }

    /// ZooKeeper's word for it, for the prompt.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connected => "CONNECTED",
            Self::ConnectedReadOnly => "CONNECTEDREADONLY",
            Self::Connecting => "CONNECTING",
            Self::Expired => "EXPIRED",
            Self::Closed => "CLOSED",
        }
    }
}

/// The answer that the main thread waits for.
#[derive(Debug)]
enum Turn {
    /// No request is waiting.
    Idle,
    /// The request of this number was sent. When it succeeds, or finds no znode, the session has
    /// this watch.
    Waiting(i32, Option<(WatchKind, String)>),
    /// Its answer came: error code and body.
    Answered(i32, Vec<u8>),
    /// The connection was lost first; whether the request was executed is unknown.
    Lost,
}

struct State {
    phase: Phase,
    /// Set before the request that ends the session is sent, so that the keeper does not take the
    /// server's hanging up for a loss.
    closing: bool,
    /// Set when the server has refused credentials: it hangs up after that, which is not reported.
    refused_auth: bool,
    /// Invariant: there is one in the connected phases.
    sender: Option<Sender>,
    /// Which of the hosts the connection is, or was, with.
    host: usize,
    turn: Turn,
    last_sent: Instant,
    /// Answers to credentials sent again by the keeper, which come before any to the main thread's.
    repeated_auths: usize,
    watches: Watches,
    credentials: Vec<(String, Vec<u8>)>,
    last_zxid: i64,
}

struct Shared {
    target: Target,
    settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
    notices: mpsc::Sender<Notice>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state of the session")
    }

    fn tell(&self, notice: Notice) {
        // The receiver is gone when the shell is about to end.
        let _ = self.notices.send(notice);
    }
}

/// A handle on the session; clones mean the same one.
#[derive(Clone)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    /// What the paths of this handle are put below.
    target: Target,
}

/// The body of a reply without error.
pub(crate) struct Answer {
    opcode: Opcode,
    body: Vec<u8>,
}

impl Answer {
    /// The body decoded.
    ///
    /// # Errors
    /// [`Failure::Connection`] if it is not a body of that operation.
    pub(crate) fn reply(&self) -> Result<Reply<'_>, Failure> {
        Reply::decode(self.opcode, &self.body).map_err(|error| {
            Failure::Connection(format!("the reply to {} is malformed: {error}", self.opcode))
        })
    }
}

impl Session {
    /// Opens a session at the first server that accepts it.
    ///
    /// # Errors
    /// [`Failure::Connection`] with the answer of every server.
    pub(crate) fn open(
        target: &Target,
        settings: Settings,
        notices: mpsc::Sender<Notice>,
    ) -> Result<Self, Failure> {
        let (connection, host) = keeper::find_server(target, settings, 0, None, 0, || false)?;
        let shared = Arc::new(Shared {
            target: target.clone(),
            settings,
            state: Mutex::new(State {
                phase: Phase::Connecting,
                closing: false,
                refused_auth: false,
                sender: None,
                host,
                turn: Turn::Idle,
                last_sent: Instant::now(),
                repeated_auths: 0,
                watches: Watches::default(),
                credentials: Vec::new(),
                last_zxid: 0,
            }),
            changed: Condvar::new(),
            notices,
        });
        keeper::start(Arc::clone(&shared), connection)?;
        Ok(Self { shared, target: target.clone() })
    }

    /// The server and the state of the connection.
    pub(crate) fn standing(&self) -> (String, Phase) {
        let state = self.shared.lock();
        (self.shared.target.hosts[state.host].clone(), state.phase)
    }

    /// Which servers, and below which znode.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The same session with the paths of the server.
    pub(crate) fn without_chroot(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), target: self.target.without_chroot() }
    }

    /// Whether any watch may still fire.
    pub(crate) fn has_watches(&self) -> bool {
        !self.shared.lock().watches.is_empty()
    }

    /// Sends a request and waits for its answer. While the session looks for a server, that is
    /// waited for as well, but not longer than the session could live.
    ///
    /// # Errors
    /// A refusal names `path`; anything else is [`Failure::Connection`].
    pub(crate) fn request(&self, request: &Request<'_>, path: Option<&str>) -> Result<Answer, Failure> {
        self.request_with_watch(request, path, None)
    }

    /// As [`Self::request`]; the watch is noted when the server has set it.
    pub(crate) fn request_with_watch(
        &self,
        request: &Request<'_>,
        path: Option<&str>,
        watch: Option<(WatchKind, String)>,
    ) -> Result<Answer, Failure> {
        let mut state = self.wait_for_server()?;
        let number = match request.opcode() {
            Opcode::Auth => xid::AUTH,
            _ => state.sender.as_mut().expect("connected").next_xid(),
        };
        state.turn = Turn::Waiting(number, watch);
        state.last_sent = Instant::now();
        let sender = state.sender.as_mut().expect("connected");
        sender.send(number, request);
        if sender.flush().is_err() {
            // The keeper will find the same; its reason serves as well.
            state.turn = Turn::Lost;
        }
        let mut state = self
            .shared
            .changed
            .wait_while(state, |state| matches!(state.turn, Turn::Waiting(..)))
            .expect("no thread panics while it holds the state of the session");
        match std::mem::replace(&mut state.turn, Turn::Idle) {
            Turn::Answered(0, body) => Ok(Answer { opcode: request.opcode(), body }),
            Turn::Answered(code, _) => {
                Err(Failure::Refused { code, path: path.map(str::to_owned), message: None })
            }
            _ => {
                let name = request.opcode().name();
                Err(Failure::Connection(format!("the connection was lost before the answer to {name} came")))
            }
        }
    }

    fn wait_for_server(&self) -> Result<MutexGuard<'_, State>, Failure> {
        let patience = Duration::from_millis(self.shared.settings.timeout_ms.max(1_000) as u64);
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), patience, |state| state.phase == Phase::Connecting)
            .expect("no thread panics while it holds the state of the session");
        match state.phase {
            Phase::Connected | Phase::ConnectedReadOnly => Ok(state),
            Phase::Connecting => Err(Failure::Connection(format!(
                "no server could be reached for {} ms",
                patience.as_millis()
            ))),
            Phase::Expired => Err(Failure::refused(ErrorCode::SessionExpired, None)),
            Phase::Closed => Err(Failure::Connection("not connected".to_owned())),
        }
    }

    /// Adds an identity, now and after each reconnect.
    pub(crate) fn add_auth(&self, scheme: &str, auth: &[u8]) -> Result<(), Failure> {
        let request = Request::Auth(wire::record::Auth { auth_type: 0, scheme, auth: Some(auth) });
        self.request(&request, None)?;
        self.shared.lock().credentials.push((scheme.to_owned(), auth.to_vec()));
        Ok(())
    }

    /// Forgets watches and tells the user which, as ZooKeeper's client does. Returns whether there
    /// were any.
    pub(crate) fn forget_watches(&self, path: &str, watcher_type: WatcherType) -> bool {
        let kinds = self.shared.lock().watches.remove(&self.target.full(path), watcher_type);
        for kind in &kinds {
            let path = path.to_owned();
            self.shared.tell(Notice::Event { event_type: kind.removal(), path, zxid: -1 });
        }
        !kinds.is_empty()
    }

    /// Whether there is a connection at this moment.
    pub(crate) fn is_connected(&self) -> bool {
        self.shared.lock().phase.is_connected()
    }

    /// Ends the session: its ephemeral znodes go.
    ///
    /// # Errors
    /// The server did not confirm it; the session will end with its timeout.
    pub(crate) fn close(&self) -> Result<(), Failure> {
        let connected = {
            let mut state = self.shared.lock();
            state.closing = true;
            state.phase.is_connected()
        };
        let result = if connected { self.request(&Request::CloseSession, None).map(drop) } else { Ok(()) };
        let mut state = self.shared.lock();
        state.phase = Phase::Closed;
        state.sender = None;
        self.shared.changed.notify_all();
        result
    }
}
