//! The health check of `ostler service register` by HTTPS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ostler_tests::certificates::Certificates;
use ostler_tests::process::{Kind, Server, free_port, have_tools, ostler_binary};
use ostler_tests::waiting::await_that;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers by HTTPS, until the test ends.
struct Service {
    address: SocketAddr,
    /// How many connections have ended.
    checks: Arc<AtomicUsize>,
}

impl Service {
    fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).expect("a port");
        let address = listener.local_addr().expect("an address");
        let checks = Arc::new(AtomicUsize::new(0));
        let ended = Arc::clone(&checks);
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                // A client that does not trust the certificate ends the connection.
                let _ = serve(tcp, &config);
                ended.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, checks }
    }

    /// Waits until this has been checked twice from now on.
    fn await_checks(&self) {
        let before = self.checks.load(Ordering::SeqCst);
        let enough = || (self.checks.load(Ordering::SeqCst) > before + 2).then_some(());
        await_that(PATIENCE, "it is checked", enough);
    }
}

fn serve(tcp: TcpStream, config: &Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let works = request.starts_with(b"GET /health HTTP/1.1\r\n");
    let status = if works { "204 No Content" } else { "500 Wrong" };
    write!(stream, "HTTP/1.1 {status}\r\n\r\n")?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// An instance that is registered until the test ends.
struct Registered(Child);

impl Registered {
    fn start(server: &Server, name: &str, address: &str, words: &[&str]) -> Self {
        let mut command = Command::new(ostler_binary());
        command.args(["service", "register", "-s", &server.address().to_string(), name, address]);
        command.args(["--interval", "0.1", "--fall", "1"]).args(words);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("run ostler"))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The health of the only instance of a service, once there is one.
fn health(server: &Server, name: &str) -> Option<String> {
    let mut command = Command::new(ostler_binary());
    command.args(["service", "list", "-s", &server.address().to_string(), "--json", name]);
    let output = command.output().expect("run ostler");
    let text = String::from_utf8(output.stdout).expect("text");
    let found: Value = serde_json::from_str(text.lines().next()?).expect("JSON");
    found["instances"][0]["health"].as_str().map(str::to_owned)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a printable path")
}

#[test]
fn an_instance_is_asked_by_https_and_has_to_prove_who_it_is() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let (own, other) = (Certificates::new(), Certificates::new());
    own.issue("right", "/CN=right", "subjectAltName=IP:127.0.0.1,DNS:localhost");
    own.issue("wrong", "/CN=wrong", "subjectAltName=DNS:elsewhere");
    let (ca, foreign) = (own.path("ca.pem"), other.path("ca.pem"));
    let (right, wrong) = (Service::start(own.server("right")), Service::start(own.server("wrong")));
    let named = format!("https://localhost:{}/health", right.address.port());
    let server = Server::start(Kind::Ostler).expect("the server");
    for (name, service, url, ca, expected) in [
        ("path", &right, "/health", &ca, "passing"),
        ("url", &right, &named, &ca, "passing"),
        ("status", &right, "/other", &ca, "failing"),
        ("host", &wrong, "/health", &ca, "failing"),
        ("authority", &right, "/health", &foreign, "failing"),
    ] {
        let words = ["--check-http", url, "--check-ca", text(ca)];
        let _registered = Registered::start(&server, name, &service.address.to_string(), &words);
        // It begins as failing, so that has to be so still after some checks.
        service.await_checks();
        await_that(PATIENCE, &format!("{name} is {expected}"), || {
            (health(&server, name)? == expected).then_some(())
        });
    }
}
