//! Servers for the tests of the libraries that stand on the client: Ostler inside the process of a
//! test or as processes, PostgreSQL and MariaDB.

mod certificate;
mod database;
mod ensemble;
mod mariadb;
mod postgres;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use server::config::{self, CommandLine};
use server::serve::{Server, StartError};

pub use certificate::{Authority, Certificate};
pub use ensemble::{Ensemble, serve_if_asked};
pub use mariadb::MariaDb;
pub use postgres::Postgres;

/// A server with a port and data of its own. It ends with this value.
pub struct TestServer {
    running: Option<Server>,
    definitions: Vec<String>,
    port: u16,
    folder: tempfile::TempDir,
}

impl TestServer {
    /// Starts a server without data.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`Self::start`], with settings of zoo.cfg, as `key=value`.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start_with(definitions: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let definitions = [&["admin.enableServer=false"], definitions].concat();
        let definitions = definitions.iter().map(|&definition| definition.to_owned()).collect();
        let mut server = Self { running: None, definitions, port: free_port(), folder };
        while !server.try_resume() {
            // Another process was faster to take the port.
            server.port = free_port();
        }
        server
    }

    /// Starts the server again, with its data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn resume(&mut self) {
        assert!(self.try_resume(), "the port of the server was taken while it was down");
    }

    /// Starts the server; `false` if its port is taken.
    fn try_resume(&mut self) -> bool {
        let command_line = CommandLine {
            config: None,
            data_dir: Some(self.folder.path().to_owned()),
            client_port: Some(self.port),
            client_port_address: Some("127.0.0.1".to_owned()),
            definitions: self.definitions.clone(),
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
    ///
    /// # Panics
    /// If it does not stop in order.
    pub fn stop(&mut self) {
        if let Some(server) = self.running.take() {
            server.stopper().stop();
            server.wait().expect("the server stops");
        }
    }

    /// Where the server listens, as `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that was free a moment ago, below the system's range for outgoing connections.
pub fn free_port() -> u16 {
    listen().local_addr().expect("the address of a listener").port()
}

/// A listener on a free port below the system's range for outgoing connections, one of which might
/// otherwise take the port when it is free for a moment.
///
/// # Panics
/// If there is no free port.
pub fn listen() -> TcpListener {
    // The tests of this process run at the same time and must not find the same one.
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + std::process::id() as u16 % 5_000 + TAKEN.fetch_add(100, Ordering::Relaxed) % 7_000;
    (start..32_768).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).expect("a free port")
}
