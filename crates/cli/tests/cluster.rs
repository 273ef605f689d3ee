//! `ostler cluster` and `ostler status` as a user runs them: an ensemble is started, written to,
//! loses a server, continues, stops, and is there again the next time.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use client::{Connection, CreateMode, Options};
use rustix::process::{Pid, Signal, kill_process};
use wire::AclList;

const OSTLER: &str = env!("CARGO_BIN_EXE_ostler");

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often other ports are tried.
const ATTEMPTS: u32 = 5;

/// A running `ostler cluster`; stopped as by Ctrl-C when it is dropped, since it stops its servers.
struct Cluster {
    process: Child,
    dir: PathBuf,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    servers: Vec<Server>,
    /// The command that it says to try.
    command: String,
}

/// A server as `ostler cluster` announces it.
struct Server {
    address: String,
    pid: i32,
    role: String,
}

impl Cluster {
    /// A new one. Another process may take a port between the search for it and its use; then
    /// others are tried.
    fn start_new(dir: &Path, arguments: &[&str]) -> Cluster {
        for attempt in 0..ATTEMPTS {
            let (dir, port) = (dir.join(attempt.to_string()), free_ports().to_string());
            let arguments: Vec<&str> = [arguments, &["--client-port", &port]].concat();
            if let Some(cluster) = Cluster::start(&dir, &arguments) {
                return cluster;
            }
        }
        panic!("ostler cluster does not start; see above");
    }

    /// `None` if it ends before it serves.
    fn start(dir: &Path, arguments: &[&str]) -> Option<Cluster> {
        let mut process = Command::new(OSTLER)
            .args(["cluster", "--data-dir"])
            .arg(dir)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ostler cluster starts");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let (servers, command) = (Vec::new(), String::new());
        let mut cluster = Cluster { process, dir: dir.to_owned(), lines, servers, command };
        loop {
            let line = cluster.lines.next()?.expect("a line of text");
            if line.contains("stop:") {
                return Some(cluster);
            }
            if let Some(command) = line.trim().strip_prefix("try:") {
                cluster.command = command.trim().to_owned();
            }
            cluster.servers.extend(server(&line));
        }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("ostler cluster goes on").expect("a line of text")
    }

    /// The line that says so.
    fn wait_for(&mut self, part: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(part) {
                return line;
            }
        }
    }

    fn addresses(&self) -> String {
        self.servers.iter().map(|server| server.address.as_str()).collect::<Vec<_>>().join(",")
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.process), Signal::INT).expect("it can be interrupted");
    }

    /// Stops as by Ctrl-C; whether it says that all went well.
    fn stop(mut self) -> bool {
        self.interrupt();
        self.wait_for("all data is in");
        self.process.wait().expect("it ends").success()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|status| status.is_none()) {
            self.interrupt();
            let _ = self.process.wait();
        }
    }
}

/// `  server 1:  127.0.0.1:2181, process 17, leader`.
fn server(line: &str) -> Option<Server> {
    let (_, facts) = line.trim().strip_prefix("server ")?.split_once(": ")?;
    let [address, process, role] = facts.split(',').map(str::trim).collect::<Vec<_>>().try_into().ok()?;
    let pid = process.strip_prefix("process ")?.parse().ok()?;
    Some(Server { address: address.to_owned(), pid, role: role.to_owned() })
}

/// The first of three ports in a row that are free, below the range the system gives to outgoing
/// connections.
fn free_ports() -> u16 {
    // The tests of this process run at the same time and must not find the same ones.
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = 20_000 + (std::process::id() % 4_000) as u16 * 3 + TAKEN.fetch_add(30, Ordering::Relaxed);
    let row = (start..32_760).step_by(3).find(|first| (*first..first + 3).all(is_free));
    row.expect("three free ports")
}

fn connect(server: &str) -> Connection {
    Connection::connect(server, &Options::default()).expect("a session")
}

/// The data of a znode there, as soon as there are any: a server may lag a little behind the one
/// that was written to.
fn read(server: &str, path: &str) -> Vec<u8> {
    let begun = Instant::now();
    loop {
        let found = Connection::connect(server, &Options::default()).ok().and_then(|mut connection| {
            let (data, _) = connection.get_data(path, false).ok()?;
            data
        });
        if let Some(data) = found {
            return data;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} does not appear at {server}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Retries the write until a leader accepts it: during an election no server leads.
fn write(server: &str, path: &str, data: &[u8]) {
    let begun = Instant::now();
    loop {
        let written = Connection::connect(server, &Options::default()).ok().is_some_and(|mut connection| {
            connection.create(path, Some(data), AclList::OPEN, CreateMode::Persistent).is_ok()
                || connection.get_data(path, false).is_ok()
        });
        if written {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} cannot be written at {server}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn status(servers: &str, options: &[&str]) -> Output {
    let output = Command::new(OSTLER).args(["status", "-s", servers]).args(options).output();
    output.expect("ostler status runs")
}

/// Asks until it is so: a server that has just ended counts as heard for a moment longer.
fn wait_for_status(servers: &str, code: i32, part: &str) -> String {
    let begun = Instant::now();
    loop {
        let output = status(servers, &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.code() == Some(code) && text.contains(part) {
            return text;
        }
        assert!(begun.elapsed() < PATIENCE, "not {code} with {part}: {:?} with\n{text}", output.status);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_ensemble_outlives_one_of_its_servers_and_a_restart() {
    for engine in ["raft", "paxos"] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut cluster = Cluster::start_new(dir.path(), &["--consensus", engine]);
        let kept = cluster.dir.clone();
        let servers = cluster.addresses();
        let leader = cluster.servers.iter().position(|server| server.role == "leader").expect("one leads");
        let (other, third) = ((leader + 1) % 3, (leader + 2) % 3);
        assert_eq!(cluster.servers[other].role, "follower", "{engine}");

        let mut connection = connect(&cluster.servers[other].address);
        connection.create("/kept", Some(b"before"), AclList::OPEN, CreateMode::Persistent).expect("a znode");
        assert_eq!(read(&cluster.servers[third].address, "/kept"), b"before", "{engine}");
        let text = wait_for_status(&servers, 0, "can lose 1 server");
        assert!(text.contains(if engine == "raft" { "term" } else { "ballot" }), "{text}");

        let killed = Pid::from_raw(cluster.servers[leader].pid).expect("a process id");
        kill_process(killed, Signal::KILL).expect("the leader can be killed");
        cluster.wait_for("has ended: signal: 9");
        write(&cluster.servers[other].address, "/after", b"a kill");
        assert_eq!(read(&cluster.servers[third].address, "/after"), b"a kill", "{engine}");
        let text = wait_for_status(&servers, 1, "must not lose another server");
        assert!(text.contains(&format!("Missing: server {}", leader + 1)), "{text}");
        assert!(cluster.stop(), "{engine}");
        let all = String::from_utf8_lossy(&status(&servers, &[]).stdout).into_owned();
        assert!(all.contains("None of the 3 servers can be reached."), "{all}");

        let cluster = Cluster::start(&kept, &[]).expect("it starts again");
        assert_eq!(cluster.addresses(), servers);
        for server in &cluster.servers {
            assert_eq!(read(&server.address, "/after"), b"a kill", "{engine}");
        }
        let output = status(&servers, &["--json"]);
        let facts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        assert_eq!(
            (&facts["consensus"], facts["servers"].as_array().map(Vec::len)),
            (&engine.into(), Some(3))
        );
        assert!(cluster.stop(), "{engine}");
    }
}

#[test]
fn a_server_that_ended_is_started_again_if_that_is_wanted() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = Cluster::start_new(dir.path(), &["--restart"]);
    let killed = Pid::from_raw(cluster.servers[1].pid).expect("a process id");
    kill_process(killed, Signal::KILL).expect("a server can be killed");
    cluster.wait_for("it is started again");
    let line = cluster.wait_for("server 2 is process");
    assert!(!line.contains(&format!("server 2 is process {},", killed.as_raw_nonzero())), "{line}");
    wait_for_status(&cluster.addresses(), 0, "can lose 1 server");
    assert!(cluster.stop());
}

/// What a command line that was printed does in a shell, with another last word; and its exit code.
fn try_out(command: &str, last: &str) -> (Option<i32>, String) {
    let (command, _) = command.rsplit_once(" ls ").expect("it lists a znode");
    let own = Path::new(OSTLER).parent().expect("the target folder").display().to_string();
    let line = format!("PATH={own}:$PATH; {command} {last}");
    let output = Command::new("sh").args(["-c", &line]).output().expect("a shell");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// With certificates of its own; without one there is no way in.
#[test]
fn an_ensemble_with_tls_is_reached_by_the_command_that_it_prints() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let cluster = Cluster::start_new(&dir.path().join("it's a folder"), &["--tls"]);
    let (kept, servers) = (cluster.dir.clone(), cluster.addresses());
    assert!(cluster.command.starts_with(&format!("ostler shell -s {servers} --ca ")), "{}", cluster.command);
    assert_eq!(try_out(&cluster.command, "create /by-tls x"), (Some(0), "Created /by-tls\n".to_owned()));
    let (code, shown) = try_out(&cluster.command, "whoAmI");
    assert!(code == Some(0) && shown.contains("CN=client,O=ostler cluster"), "{shown}");
    let config = std::fs::read_to_string(kept.join("server.2/zoo.cfg")).expect("a zoo.cfg");
    assert!(config.contains("sslQuorum=true") && !config.contains("portUnification"), "{config}");
    let (without, _) = cluster.command.split_once(" --ca").expect("its options");
    assert_eq!(try_out(&format!("{without} ls /"), "ls /").0, Some(3), "without TLS");
    let (without, _) = cluster.command.split_once(" --cert").expect("its options");
    let (code, refused) = try_out(&format!("{without} ls /"), "ls /");
    assert!(code == Some(3) && refused.contains("CertificateRequired"), "{refused}");
    assert!(cluster.stop());

    let cluster = Cluster::start(&kept, &[]).expect("it starts again, with TLS");
    assert_eq!(cluster.addresses(), servers);
    assert_eq!(try_out(&cluster.command, "get /by-tls"), (Some(0), "x\n".to_owned()));
    assert!(cluster.stop());
}

#[test]
fn a_status_without_any_server_is_no_quorum() {
    let output = status("127.0.0.1:1", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("cannot be reached"));
}
