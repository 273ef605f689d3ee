//! The server under test.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::OSTLER;

/// `ostler serve` on a port and data of its own.
pub(crate) struct Server {
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
    /// Further arguments.
    arguments: &'static [&'static str],
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self { child: None, port: free_port(), folder, arguments };
        while !server.try_launch() {
            // Another process was faster to take the port.
            server.port = free_port();
        }
        server
    }

    pub(crate) fn launch(&mut self) {
        assert!(self.try_launch(), "the port of the server was taken while it was down");
    }

    /// Starts the server; `false` if it ended because its port is taken.
    fn try_launch(&mut self) -> bool {
        let child = Command::new(OSTLER)
            .args(["serve", "--client-port-address", "127.0.0.1", "--client-port", &self.port.to_string()])
            .args(["-Dzookeeper.extendedTypesEnabled=true", "-Dzookeeper.enforceQuota=true"])
            .args(self.arguments)
            .args(["-Dadmin.enableServer=false", "--data-dir"])
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let child = self.child.insert(child.expect("ostler serve starts"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() || !is_running(child) {
            if !is_running(child) {
                let mut said = String::new();
                let stderr = child.stderr.as_mut().expect("it is piped");
                stderr.read_to_string(&mut said).expect("what the server said");
                assert!(said.contains("Address already in use"), "ostler serve ended: {said}");
                self.child = None;
                return false;
            }
            assert!(Instant::now() < deadline, "ostler serve does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Another process may have answered; the one that cannot have the port ends at once.
        std::thread::sleep(Duration::from_millis(100));
        is_running(child)
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().expect("the state of the server").is_none()
}

/// Below the range the system gives to outgoing connections, one of which might otherwise take the
/// port.
fn free_port() -> u16 {
    // The tests of this process run at the same time and must not find the same one.
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let start = 20_000 + (std::process::id() % 10_000) as u16 + TAKEN.fetch_add(100, Ordering::Relaxed);
    let free = (start..32_768).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a free port")
}
