//! Strangers that only hold connections keep no client out, and cost nothing that the server needs
//! for itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::process::{four_letter_word, free_port, ostler_binary};
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Session, create, get_data};
use tempfile::TempDir;

/// Generous, for machines that do other things as well.
const PATIENCE: Duration = Duration::from_secs(30);
const TIMEOUT_MS: i32 = 30_000;

/// A server, its ports and what it says.
struct Server {
    child: Child,
    clients: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
    _folder: TempDir,
}

impl Server {
    /// Starts one; `limit` file descriptors are all it may have.
    fn start(limit: Option<u32>, definitions: &[&str]) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("server.log");
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (clients, admin) = (local(free_port()), local(free_port()));
        let mut command = Command::new("sh");
        let limit = limit.map_or_else(String::new, |limit| format!("ulimit -n {limit}; "));
        command.arg("-c").arg(format!("{limit}exec \"$@\"")).arg("sh").arg(ostler_binary()).arg("serve");
        command.arg("--data-dir").arg(folder.path().join("data"));
        command.args(["--client-port", &clients.port().to_string(), "--client-port-address", "127.0.0.1"]);
        command.args([&format!("-Dadmin.serverPort={}", admin.port()), "-DmaxClientCnxns=0"]);
        command.args(definitions.iter().map(|definition| format!("-D{definition}")));
        let said = File::create(&log).expect("a file");
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("the file")).stderr(said);
        let child = command.spawn().expect("start the server");
        let mut server = Server { child, clients, admin, log, _folder: folder };
        server.until("it serves", |server| {
            four_letter_word(server.clients, "srvr").starts_with("Zookeeper version: ")
        });
        server
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Server) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let ended = self.child.try_wait().expect("the server");
            assert_eq!(ended, None, "the server has ended:\n{}", self.said());
            assert!(Instant::now() < deadline, "{what}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Time of the processor that the process has used.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("its figures");
        let (_, fields) = stat.rsplit_once(") ").expect("the name ends");
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(3)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Some(stream)
}

/// The answer to a request of the AdminServer, if there is one.
fn ask(address: SocketAddr, request: &str, headers: &str) -> Option<String> {
    let mut stream = connect(address)?;
    write!(stream, "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// 64 connections that sent a byte of a request now and then kept every probe out, for as long as
/// they went on.
#[test]
fn slow_requests_keep_no_probe_out() {
    let server = Server::start(None, &[]);
    let mut slow: Vec<TcpStream> = (0..200).map(|_| connect(server.admin).expect("a connection")).collect();
    for stream in &mut slow {
        // Those whose place was needed are closed already.
        let _ = stream.write_all(b"GET /commands/ruok HTTP/1.1\r\nHost: localhost\r\nX: ");
    }
    for path in ["/commands/ruok", "/metrics"] {
        let answer = ask(server.admin, &format!("GET {path}"), "").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

/// Requests whose replies are not taken have places of their own.
#[test]
fn unread_replies_keep_no_probe_out() {
    let server = Server::start(None, &[]);
    let unread: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = connect(server.admin).expect("a connection");
            for _ in 0..200 {
                // Many in one go: more than the two sockets hold.
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
            }
            stream
        })
        .collect();
    let answer = ask(server.admin, "GET /commands/ruok", "").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(unread);
}

/// A page that the operator's browser shows could reset the statistics, and one whose name was made
/// to lead to this machine could read everything.
#[test]
fn web_pages_neither_read_nor_change_anything() {
    let server = Server::start(None, &[]);
    let page = "Sec-Fetch-Site: cross-site\r\nUser-Agent: Mozilla/5.0\r\n";
    for command in ["stat_reset", "srst", "connection_stat_reset", "crst", "set_trace_mask?traceMask=1"] {
        let request = format!("GET /commands/{command}");
        let answer = ask(server.admin, &request, page).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{command}: {answer}");
        let answer = ask(server.admin, &request, "User-Agent: curl/8.5.0\r\n").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{command}: {answer}");
    }
    let mut stream = connect(server.admin).expect("a connection");
    stream
        .write_all(b"GET /commands/conf HTTP/1.1\r\nHost: evil.example:8080\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("ostler.adminHosts"), "{answer}");
}

/// A connection that ended with something left to read had ten seconds from the beginning of the
/// connection for it: a long answer over a slow line was cut in its midst, without a sign.
#[test]
fn a_word_arrives_whole_over_a_slow_line() {
    let server = Server::start(None, &["4lw.commands.whitelist=*", "nio.sessionlessCnxnTimeout=500"]);
    let mut client = Session::open(server.clients, TIMEOUT_MS).expect("a session");
    for number in 0..60_000 {
        let path =
            format!("/services/some-application/some-component/some-instance-with-a-long-name-{number}");
        client.send(&Request::Read { op: op::EXISTS, path, watch: true });
        if number % 1000 == 999 {
            (0..1000).for_each(|_| drop(client.reply().expect("a reply")));
        }
    }
    let read = |pause: Duration| {
        let mut stream = connect(server.clients).expect("a connection");
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 1 << 16).expect("a small buffer");
        stream.write_all(b"wchp").expect("sent");
        let (mut bytes, mut part) = (0, vec![0; 1 << 16]);
        loop {
            match stream.read(&mut part) {
                Ok(n) if n > 0 => bytes += n,
                _ => return bytes,
            }
            std::thread::sleep(pause);
        }
    };
    let quick = read(Duration::ZERO);
    let begun = Instant::now();
    let slow = read(Duration::from_millis(20));
    assert!(quick > 4_000_000, "{quick} bytes");
    assert_eq!(slow, quick, "in {:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(1), "the trial was too quick to show anything");
}

/// With no descriptor left the server spun on one core, wrote 30 MB of messages a second, and would
/// have ended when its log needed the next file.
#[test]
fn more_connections_than_descriptors_leave_the_server_what_it_needs() {
    let mut server = Server::start(Some(100), &["preAllocSize=4096"]);
    let mut client = Session::open(server.clients, TIMEOUT_MS).expect("a session");
    let crowd: Vec<TcpStream> = (0..150).filter_map(|_| connect(server.clients)).collect();
    assert!(crowd.len() > 100, "{} connections were accepted by the system", crowd.len());
    let monitors: Vec<TcpStream> = (0..150).filter_map(|_| connect(server.admin)).collect();
    server.until("it says what is the matter", |server| server.said().contains("file descriptors"));

    let (cpu, bytes) = (server.cpu(), server.said().len());
    std::thread::sleep(Duration::from_secs(2));
    let (used, said) = (server.cpu() - cpu, server.said().len() - bytes);
    assert!(used < Duration::from_millis(500), "{used:?} of a processor in 2 s");
    assert!(said < 50_000, "{said} bytes of messages in 2 s");

    // The log goes over to new files meanwhile.
    client.must(&create("/a", b"", 0));
    for number in 0..20 {
        client.must(&create(&format!("/a/{number}"), &vec![b'x'; 900_000], 0));
    }
    client.must(&get_data("/a/19"));
    drop((crowd, monitors));
    server.until("new clients are served", |server| Session::open(server.clients, TIMEOUT_MS).is_some());
}
