//! `ostler service`: instances that are registered while a command runs, and the proxy in front of
//! them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ostler_tests::process::{Kind, Server, Signal, free_port, ostler_binary};
use ostler_tests::waiting::await_that;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest session timeout that the servers of these tests grant.
const TIMEOUT_MS: &str = "4000";

fn server() -> Server {
    Server::start(Kind::Ostler).expect("the server")
}

fn ostler(server: &Server, subcommand: &str, words: &[&str]) -> Command {
    let mut command = Command::new(ostler_binary());
    command.args(["service", subcommand, "-s", &server.address().to_string(), "--timeout", TIMEOUT_MS]);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(server: &Server, subcommand: &str, words: &[&str]) -> Output {
    ostler(server, subcommand, words).output().expect("run ostler")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

/// A process that ends with the test.
struct Running(Child);

impl Running {
    fn start(server: &Server, subcommand: &str, words: &[&str]) -> Self {
        let mut command = ostler(server, subcommand, words);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run ostler"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("send a signal");
    }

    fn code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("the process") {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "it ends in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The instances of a service, as (address, health).
fn listed(server: &Server, name: &str) -> Vec<(String, String)> {
    let listed = output(server, "list", &["--json", name]);
    assert_eq!(code(&listed), 0, "{listed:?}");
    let json: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let instances = json["instances"].as_array().expect("instances");
    instances.iter().map(|one| (text(&one["address"]), text(&one["health"]))).collect()
}

fn until_listed(server: &Server, name: &str, expected: &[(&str, &str)]) {
    await_that(PATIENCE, &format!("{expected:?}"), || {
        let listed = listed(server, name);
        let listed: Vec<_> = listed.iter().map(|(address, health)| (&**address, &**health)).collect();
        (listed == expected).then_some(())
    });
}

/// What a server says to each client, until this ends.
struct Echo {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Says its name, then what it receives until the client has ended, and then `bye`.
    fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).expect("a port");
        let address = listener.local_addr().expect("an address");
        let ends = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::spawn(move || echo(stream.expect("a connection"), name));
            }
        });
        Self { address, ends, thread: Some(thread) }
    }

    fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Wakes the thread, which then closes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the echo server");
        }
    }
}

fn echo(mut stream: TcpStream, name: &str) {
    // The client may be gone at any time.
    let _ = (|| {
        writeln!(stream, "{name}")?;
        let mut buffer = [0; 65_536];
        loop {
            match stream.read(&mut buffer)? {
                0 => return stream.write_all(b"bye"),
                read => stream.write_all(&buffer[..read])?,
            }
        }
    })();
}

/// A connection through a proxy, and the first line that it has received.
struct Conversation {
    stream: BufReader<TcpStream>,
    name: String,
}

impl Conversation {
    fn open(proxy: &str) -> Option<Self> {
        let stream = TcpStream::connect(proxy).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut stream = BufReader::new(stream);
        let mut name = String::new();
        stream.read_line(&mut name).ok()?;
        (!name.is_empty()).then(|| Self { stream, name: name.trim_end().to_owned() })
    }

    fn must(proxy: &str) -> Self {
        await_that(PATIENCE, "a connection through the proxy", || Self::open(proxy))
    }

    /// Sends this, ends its direction, and reads to the end.
    fn finish(mut self, said: &[u8]) -> Vec<u8> {
        let mut writing = self.stream.get_ref().try_clone().expect("a socket");
        let said = said.to_vec();
        let writer = std::thread::spawn(move || {
            writing.write_all(&said).expect("send");
            writing.shutdown(Shutdown::Write).expect("end");
        });
        let mut heard = Vec::new();
        self.stream.read_to_end(&mut heard).expect("receive");
        writer.join().expect("the writer");
        heard
    }
}

fn metric(address: &str, wanted: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix(wanted));
    line.map(|value| value.trim().parse().expect("a number"))
}

fn local_port() -> String {
    format!("127.0.0.1:{}", free_port())
}

#[test]
fn a_registration_lives_and_dies_with_its_command() {
    let server = server();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().display();
    let script = format!(
        "trap 'exit 5' TERM; cd {path}; touch ready; while ! test -e end; do sleep 0.05; done; exit 3"
    );
    let words = ["web", "10.0.0.7:80", "--id", "a", "--weight", "3", "--zone", "north", "--meta", "k=v=w"];
    let words = [&words[..], &["--", "sh", "-c", &script]].concat();
    let mut running = Running::start(&server, "register", &words);
    until_listed(&server, "web", &[("10.0.0.7:80", "passing")]);
    let resolved = output(&server, "resolve", &["web"]);
    assert_eq!((code(&resolved), &*resolved.stdout), (0, &b"10.0.0.7:80\n"[..]), "{resolved:?}");
    let by_key = output(&server, "resolve", &["--json", "--strategy", "ring", "--hash-key", "k", "web"]);
    let json: Value = serde_json::from_slice(&by_key.stdout).expect("JSON");
    assert_eq!(
        (&json["weight"], &json["zone"], &json["metadata"]["k"]),
        (&3.into(), &"north".into(), &"v=w".into())
    );
    let services = output(&server, "list", &[]);
    assert_eq!(services.stdout, b"web\n");
    fs::write(folder.path().join("end"), "").expect("write a file");
    assert_eq!(running.code(), Some(3));
    assert!(listed(&server, "web").is_empty(), "it is deregistered at once");
    assert_eq!(code(&output(&server, "resolve", &["web"])), 1);

    // TERM goes to the command. It is listed before the shell has set its trap.
    for name in ["end", "ready"] {
        fs::remove_file(folder.path().join(name)).expect("remove a file");
    }
    let mut running = Running::start(&server, "register", &words);
    let ready = folder.path().join("ready");
    await_that(PATIENCE, "the command runs", || ready.exists().then_some(()));
    until_listed(&server, "web", &[("10.0.0.7:80", "passing")]);
    running.signal(Signal::TERM);
    assert_eq!(running.code(), Some(5));
    assert!(listed(&server, "web").is_empty());

    // Killed, it is listed until its session expires.
    let running = Running::start(&server, "register", &["web", "[::1]:80"]);
    until_listed(&server, "web", &[("[::1]:80", "passing")]);
    running.signal(Signal::KILL);
    until_listed(&server, "web", &[]);
}

/// Somebody else takes the id: the command is stopped, since nobody would find it any more.
#[test]
fn a_command_whose_registration_is_taken_over_is_stopped() {
    let server = server();
    let words = ["web", "10.0.0.7:80", "--id", "a", "--", "sleep", "600"];
    let mut first = Running::start(&server, "register", &words);
    until_listed(&server, "web", &[("10.0.0.7:80", "passing")]);
    let _second = Running::start(&server, "register", &["web", "10.0.0.8:80", "--id", "a"]);
    assert_eq!(first.code(), Some(124));
    until_listed(&server, "web", &[("10.0.0.8:80", "passing")]);
}

#[test]
fn a_check_that_fails_takes_an_instance_out_and_one_that_passes_brings_it_back() {
    let server = server();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let works = folder.path().join("works");
    let check = format!("test -e {}", works.display());
    let words = ["web", "10.0.0.7:80", "--check-command", &check, "--interval", "0.1", "--fall", "2"];
    let _running = Running::start(&server, "register", &words);
    until_listed(&server, "web", &[("10.0.0.7:80", "failing")]);
    assert_eq!(code(&output(&server, "resolve", &["web"])), 1);
    for _ in 0..2 {
        fs::write(&works, "").expect("write a file");
        until_listed(&server, "web", &[("10.0.0.7:80", "passing")]);
        assert_eq!(code(&output(&server, "resolve", &["web"])), 0);
        fs::remove_file(&works).expect("remove a file");
        until_listed(&server, "web", &[("10.0.0.7:80", "failing")]);
    }
    // The same by connecting to its own address.
    let echo = Echo::start("it");
    let words = ["tcp", &echo.address(), "--check-tcp", "--interval", "0.1", "--fall", "1"];
    let _other = Running::start(&server, "register", &words);
    until_listed(&server, "tcp", &[(&echo.address(), "passing")]);
    let address = echo.address();
    drop(echo);
    until_listed(&server, "tcp", &[(&address, "failing")]);
}

#[test]
fn a_registration_survives_the_end_of_its_session() {
    let server = server();
    let running =
        Running::start(&server, "register", &["web", "10.0.0.7:80", "--id", "a", "--", "sleep", "600"]);
    until_listed(&server, "web", &[("10.0.0.7:80", "passing")]);
    running.signal(Signal::STOP);
    until_listed(&server, "web", &[]);
    running.signal(Signal::CONT);
    until_listed(&server, "web", &[("10.0.0.7:80", "passing")]);
}

#[test]
fn a_watcher_prints_each_change() {
    let server = server();
    let mut watcher = ostler(&server, "watch", &["--json", "web"]);
    let mut watcher = Running(watcher.stderr(Stdio::null()).spawn().expect("run ostler"));
    let mut lines = BufReader::new(watcher.0.stdout.take().expect("its output")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("a text");
        serde_json::from_str(&line).expect("JSON")
    };
    assert_eq!(next()["instances"], Value::Array(Vec::new()));
    let running = Running::start(&server, "register", &["web", "10.0.0.7:80"]);
    assert_eq!(next()["instances"][0]["address"], "10.0.0.7:80");
    running.signal(Signal::INT);
    assert_eq!(next()["instances"], Value::Array(Vec::new()));
}

#[test]
fn a_proxy_goes_around_an_instance_that_died() {
    let server = server();
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let _first = Running::start(&server, "register", &["echo", &one.address(), "--id", "1"]);
    let _second = Running::start(&server, "register", &["echo", &two.address(), "--id", "2"]);
    until_listed(&server, "echo", &[(&one.address(), "passing"), (&two.address(), "passing")]);
    let (listen, metrics) = (local_port(), local_port());
    let words =
        ["--listen", &listen, "--metrics", &metrics, "--strategy", "round-robin", "--avoid", "600", "echo"];
    let _proxy = Running::start(&server, "proxy", &words);
    let names: Vec<_> = (0..4).map(|_| Conversation::must(&listen).name).collect();
    assert!(names[0] != names[1] && names[..2] == names[2..], "{names:?}");

    // What is said comes back, and the end of one direction is not that of the other.
    let said: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
    let heard = Conversation::must(&listen).finish(&said);
    assert_eq!(heard.len(), said.len() + 3);
    assert!(heard.starts_with(&said) && heard.ends_with(b"bye"));

    drop(one);
    for _ in 0..6 {
        let conversation = Conversation::open(&listen).expect("another instance is tried at once");
        assert_eq!(conversation.name, "two");
    }
    let of = |name: &str, labels: &str| {
        metric(&metrics, &format!("ostler_proxy_{name}{{service=\"echo\"{labels}}}"))
    };
    assert_eq!(of("connect_failures_total", ",instance=\"1\""), Some(1), "it is avoided then");
    assert_eq!(of("instances", ""), Some(2));
    assert_eq!(of("set_live", ""), Some(1));
    assert_eq!(of("unserved_total", ""), Some(0));
    let total: u64 =
        ["1", "2"].iter().filter_map(|id| of("connections_total", &format!(",instance=\"{id}\""))).sum();
    assert_eq!(total, 11);
    let bytes = |direction: &str| -> u64 {
        let labels = |id: &str| format!(",instance=\"{id}\",direction=\"{direction}\"");
        ["1", "2"].iter().filter_map(|id| of("bytes_total", &labels(id))).sum()
    };
    assert_eq!(bytes("to_instance"), said.len() as u64);
    // A client that has gone may be sent its `bye`, too.
    assert!(bytes("to_client") >= said.len() as u64 + 3 + 11 * 4);

    // Nobody is left: the connection is closed, and counted.
    drop(two);
    assert!(Conversation::open(&listen).is_none());
    assert_eq!(of("unserved_total", ""), Some(1));
}

/// Clients do not notice that the servers of the ensemble are gone.
#[test]
fn a_proxy_serves_on_without_a_server() {
    let mut server = server();
    let echo = Echo::start("it");
    let _registered = Running::start(&server, "register", &["echo", &echo.address()]);
    until_listed(&server, "echo", &[(&echo.address(), "passing")]);
    let (listen, metrics) = (local_port(), local_port());
    let _proxy = Running::start(&server, "proxy", &["--listen", &listen, "--metrics", &metrics, "echo"]);
    assert_eq!(Conversation::must(&listen).name, "it");
    server.kill();
    let live = "ostler_proxy_set_live{service=\"echo\"}";
    await_that(PATIENCE, "the proxy notices", || (metric(&metrics, live) == Some(0)).then_some(()));
    assert_eq!(Conversation::must(&listen).name, "it");
    server.launch();
    await_that(PATIENCE, "the proxy comes back", || (metric(&metrics, live) == Some(1)).then_some(()));
}

#[test]
fn a_proxy_drains_its_connections() {
    let server = server();
    let echo = Echo::start("it");
    let _registered = Running::start(&server, "register", &["echo", &echo.address()]);
    until_listed(&server, "echo", &[(&echo.address(), "passing")]);
    let listen = local_port();
    let mut proxy = Running::start(&server, "proxy", &["--listen", &listen, "--drain", "600", "echo"]);
    let conversation = Conversation::must(&listen);
    proxy.signal(Signal::TERM);
    await_that(PATIENCE, "no more connections are taken", || {
        TcpStream::connect(&listen).is_err().then_some(())
    });
    assert_eq!(conversation.finish(b"on and on"), b"on and onbye");
    assert_eq!(proxy.code(), Some(0));

    // What does not end in time is cut off.
    let mut proxy = Running::start(&server, "proxy", &["--listen", &listen, "--drain", "0.1", "echo"]);
    let conversation = Conversation::must(&listen);
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.code(), Some(124));
    drop(conversation);
}

#[test]
fn a_proxy_takes_as_many_connections_as_it_may() {
    let server = server();
    let echo = Echo::start("it");
    let _registered = Running::start(&server, "register", &["echo", &echo.address()]);
    until_listed(&server, "echo", &[(&echo.address(), "passing")]);
    let (listen, metrics) = (local_port(), local_port());
    let words = ["--listen", &listen, "--metrics", &metrics, "--max-connections", "2", "echo"];
    let _proxy = Running::start(&server, "proxy", &words);
    let (first, _second) = (Conversation::must(&listen), Conversation::must(&listen));
    // The system has it in its queue, and the proxy takes it when there is room.
    let mut third = BufReader::new(TcpStream::connect(&listen).expect("a connection"));
    third.get_ref().set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let mut name = String::new();
    assert!(third.read_line(&mut name).is_err(), "it waits: {name}");
    drop(first);
    third.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
    third.read_line(&mut name).expect("its turn");
    assert_eq!(name, "it\n");
}

#[test]
fn what_makes_no_sense_is_refused_with_what_is_allowed() {
    let server = server();
    let other = Echo::start("it");
    let taken = other.address();
    for (subcommand, words, expected, said) in [
        ("register", &["web", "10.0.0.7"][..], 2, "ADDRESS:PORT"),
        ("register", &["web", "10.0.0.7:0"], 2, "1 to 65535"),
        ("register", &["web", "h:1", "--weight", "0"], 2, "1 to 256"),
        ("register", &["web", "h:1", "--meta", "x"], 2, "KEY=VALUE"),
        ("register", &["web", "h:1", "--check-tcp", "--check-http", "/"], 2, "cannot be used with"),
        ("register", &["a/b", "h:1"], 125, "without slashes"),
        ("register", &["web", "h:1", "--check-http", "https://h/"], 125, "needs --check-ca"),
        ("register", &["web", "h:1", "--check-http", "ftp://h/"], 125, "http[s]://host[:port][/path]"),
        ("register", &["web", "h:1", "--check-tcp", "--interval", "0"], 125, "100 ms to 1 h"),
        ("register", &["web", "h:1", "--check-tcp", "--rise", "0"], 125, "1 to 100"),
        ("register", &["web", "h:1", "--", "/no/such/program"], 127, "/no/such/program"),
        ("register", &["web", "h:1", "--", "/etc/passwd"], 126, "/etc/passwd"),
        ("list", &["--base", "x"], 125, "begins with a slash"),
        ("resolve", &["web", "--strategy", "best"], 2, "rendezvous"),
        ("resolve", &["web", "--strategy", "ring"], 125, "needs --hash-key"),
        ("resolve", &["web", "--strategy", "zone-first"], 125, "zone"),
        ("proxy", &["web"], 2, "--listen"),
        ("proxy", &["web", "--listen", "nowhere"], 2, "--listen"),
        ("proxy", &["web", "--listen", &taken], 125, "cannot listen"),
    ] {
        let refused = output(&server, subcommand, words);
        assert_eq!(code(&refused), expected, "{subcommand} {words:?}: {refused:?}");
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(text.contains(said), "{subcommand} {words:?}: {text}");
    }
    let mut away = Command::new(ostler_binary());
    let away = away.args(["service", "list", "-s", &local_port()]).output().expect("run ostler");
    assert_eq!(code(&away), 125, "{away:?}");
}
