//! Sessions at a real server in this process, and what the tests wait for.

use client::{Client, ConnectString, Session, SessionEvent, SessionOptions, Settings};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
pub(crate) use testing::TestServer;

/// How long something may take to happen. Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How tests reach the server.
pub(crate) trait Reach {
    /// A session below a chroot, which may be empty.
    fn session(&self, chroot: &str) -> Session;

    /// An asynchronous client with a timeout that no test reaches.
    fn client(&self) -> impl Future<Output = Client>;
}

impl Reach for TestServer {
    fn session(&self, chroot: &str) -> Session {
        open(&format!("{}{chroot}", self.address()))
    }

    async fn client(&self) -> Client {
        let servers = self.address().parse().expect("a connect string");
        Client::open(&servers, Settings::default()).await.expect("a session")
    }
}

/// A session with a timeout that no test reaches.
pub(crate) fn open(servers: &str) -> Session {
    let servers: ConnectString = servers.parse().expect("a connect string");
    Session::open(&servers, SessionOptions::default()).expect("a session")
}

/// Takes events up to the first that fits, and returns that one.
pub(crate) fn wait_for(
    events: &Receiver<SessionEvent>,
    fits: impl Fn(&SessionEvent) -> bool,
) -> SessionEvent {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = events.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let event = event.expect("the event comes in time");
        if fits(&event) {
            return event;
        }
    }
}

/// All events up to the end of the session.
pub(crate) fn until_the_end(events: &Receiver<SessionEvent>) -> Vec<SessionEvent> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while let Ok(event) = events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        seen.push(event);
    }
    assert!(Instant::now() < deadline, "the session ends in time");
    seen
}

/// Takes events up to the next of a watch, and returns its kind and path.
pub(crate) fn wait_for_watch(events: &Receiver<SessionEvent>) -> (client::EventType, String) {
    match wait_for(events, |event| matches!(event, SessionEvent::Watch(_))) {
        SessionEvent::Watch(event) => (event.event_type, event.path),
        other => unreachable!("{other:?} was not asked for"),
    }
}
