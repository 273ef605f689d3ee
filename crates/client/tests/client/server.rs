//! A real server in this process, and what the tests wait for.

use client::{ConnectString, Session, SessionEvent, SessionOptions};
use server::config::{self, CommandLine};
use server::serve::{Server, StartError};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crate::scripted;

/// How long something may take to happen. Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with a port and data of its own.
pub(crate) struct TestServer {
    running: Option<Server>,
    port: u16,
    folder: tempfile::TempDir,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self { running: None, port: free_port(), folder };
        while !server.try_resume() {
            // Another process was faster to take the port.
            server.port = free_port();
        }
        server
    }

    /// Starts the server again, with its data.
    pub(crate) fn resume(&mut self) {
        assert!(self.try_resume(), "the port of the server was taken while it was down");
    }

    /// Starts the server; `false` if its port is taken.
    fn try_resume(&mut self) -> bool {
        let command_line = CommandLine {
            config: None,
            data_dir: Some(self.folder.path().to_owned()),
            client_port: Some(self.port),
            client_port_address: Some("127.0.0.1".to_owned()),
            definitions: vec!["admin.enableServer=false".to_owned()],
        };
        let config = config::load(&command_line).expect("a configuration").config;
        match Server::start(config) {
            Ok(server) => self.running = Some(server),
            Err(StartError::Listen { .. }) => return false,
            Err(error) => panic!("the server does not start: {error}"),
        }
        true
    }

    /// Stops the server, which closes its connections and keeps its sessions.
    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.running.take() {
            server.stopper().stop();
            server.wait().expect("the server stops");
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A session below a chroot, which may be empty.
    pub(crate) fn session(&self, chroot: &str) -> Session {
        open(&format!("{}{chroot}", self.address()))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    scripted::listen().local_addr().unwrap().port()
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
