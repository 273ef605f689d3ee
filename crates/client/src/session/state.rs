//! What the threads that use a session share with the thread that keeps it.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use wire::record::Request;
use wire::{ErrorCode, Opcode, xid};

use super::event::{SessionEvent, SessionState};
use super::watches::{WatchKind, Watches};
use crate::connect::SessionIdentity;
use crate::connect_string::ConnectString;
use crate::split::Sender;
use crate::stream::Tls;

/// Error code and body of a reply.
pub(super) type RawReply = (i32, Vec<u8>);

/// What a request changes about the session when it succeeds.
pub(super) enum Effect {
    /// Nothing.
    None,
    /// It sets a watch on this path of the server.
    Watch(WatchKind, String),
    /// It adds an identity: scheme and credentials.
    Credential(String, Vec<u8>),
}

/// A request whose reply has not come.
pub(super) struct Waiting {
    pub(super) xid: i32,
    pub(super) effect: Effect,
    /// Dropped without a reply when the connection is lost.
    pub(super) reply: SyncSender<RawReply>,
}

/// An authentication whose reply has not come.
pub(super) enum WaitingAuth {
    /// Sent again by the keeper after a reconnect.
    Repeated,
    /// Sent by a caller.
    Asked(Waiting),
}

/// Has no `Debug`, because it holds credentials.
pub(super) struct State {
    pub(super) phase: SessionState,
    /// Set before the request that ends the session is sent, so that the keeper does not take the
    /// server's hanging up for a loss.
    pub(super) closing: bool,
    /// Set when the server has refused credentials: it hangs up after that.
    pub(super) refused_auth: bool,
    /// Invariant: there is one while `phase` is connected.
    pub(super) sender: Option<Sender>,
    pub(super) identity: SessionIdentity,
    /// Which of the servers the connection is, or was, with.
    pub(super) server: usize,
    /// Oldest first: the server answers in this order.
    pub(super) requests: VecDeque<Waiting>,
    /// Oldest first. The server answers them in this order, but not in that of the other requests.
    pub(super) auths: VecDeque<WaitingAuth>,
    pub(super) last_sent: Instant,
    pub(super) watches: Watches,
    pub(super) credentials: Vec<(String, Vec<u8>)>,
    pub(super) last_zxid: i64,
    pub(super) subscribers: Vec<mpsc::Sender<SessionEvent>>,
}

impl State {
    /// Sends an event to all subscribers that still exist.
    pub(super) fn tell(&mut self, event: &SessionEvent) {
        self.subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
    }

    /// Sends a request on the connection; its reply, or its loss, will be received.
    pub(super) fn send(&mut self, request: &Request<'_>, effect: Effect) -> Receiver<RawReply> {
        let (reply, answer) = mpsc::sync_channel(1);
        let sender = self.sender.as_mut().expect("there is a connection");
        let is_auth = request.opcode() == Opcode::Auth;
        let xid = if is_auth { xid::AUTH } else { sender.next_xid() };
        sender.send(xid, request);
        self.last_sent = Instant::now();
        if sender.flush().is_err() {
            // A part may have been written, so nothing can follow it. The keeper finds the
            // connection closed, and goes to another server.
            sender.shut_down();
            self.phase = SessionState::Connecting;
            return answer;
        }
        let waiting = Waiting { xid, effect, reply };
        if is_auth {
            self.auths.push_back(WaitingAuth::Asked(waiting));
        } else {
            self.requests.push_back(waiting);
        }
        answer
    }

    /// Notes what a reply changes. The keeper calls this, not the thread that asked, because the
    /// event of a watch may be the very next frame.
    pub(super) fn note(&mut self, effect: Effect, err: i32) {
        match effect {
            Effect::Watch(WatchKind::Exist, path) if err == ErrorCode::NoNode as i32 => {
                self.watches.add(WatchKind::Exist, path);
            }
            // Where `exists` found a znode its watch is one on data: set again as one on a place
            // without a znode, it would fire at once.
            Effect::Watch(WatchKind::Exist, path) if err == 0 => self.watches.add(WatchKind::Data, path),
            Effect::Watch(kind, path) if err == 0 => self.watches.add(kind, path),
            Effect::Credential(scheme, auth) if err == 0 => {
                let credential = (scheme, auth);
                if !self.credentials.contains(&credential) {
                    self.credentials.push(credential);
                }
            }
            _ => {}
        }
    }

    /// Ends the session for this client, for good.
    pub(super) fn end(&mut self, phase: SessionState) {
        self.phase = phase;
        self.subscribers.clear();
    }
}

pub(super) struct Shared {
    pub(super) servers: ConnectString,
    /// The session timeout to ask for, in milliseconds.
    pub(super) timeout_ms: i32,
    pub(super) read_only: bool,
    pub(super) tls: Option<Tls>,
    pub(super) state: Mutex<State>,
    /// Signalled when `phase` or `closing` has changed.
    pub(super) changed: Condvar,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state of the session")
    }
}
