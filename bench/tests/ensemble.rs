//! The ensemble baseline from the outside: processes, clients over sockets, and the resulting logs.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(10);
const SET_DATA: i32 = 5;
const GET_DATA: i32 = 4;
/// A setData frame without its length: header, path `/a`, 100 bytes of data, version.
const SET_BYTES: usize = 8 + 6 + 104 + 4;

/// Unused addresses, below the system's port range for outgoing connections.
fn free_addresses(count: usize) -> Vec<String> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 12_000 + (std::process::id() % 10_000) as u16;
    let mut found = Vec::new();
    while found.len() < count {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_768, "no free port");
        let address = format!("127.0.0.1:{port}");
        if TcpListener::bind(&address).is_ok() {
            found.push(address);
        }
    }
    found
}

/// Retries `attempt` until it has a result.
fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The member processes; dropping it stops them and removes their files.
struct Ensemble {
    processes: Vec<Child>,
    addresses: Vec<String>,
    folder: PathBuf,
}

impl Ensemble {
    fn start(name: &str, members: usize, flush: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ostler-floor-{name}-{flush}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let addresses = free_addresses(2 * members);
        let mut ensemble = Self { processes: Vec::new(), addresses, folder };
        // The leader starts last: the others have to wait for it.
        for member in (1..=members).rev() {
            let process = ensemble.spawn(member, members, flush);
            ensemble.processes.insert(0, process);
            std::thread::sleep(Duration::from_millis(50));
        }
        ensemble
    }

    fn spawn(&self, member: usize, members: usize, flush: &str) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ostler-floor"));
        command.args(["--listen", &self.addresses[member - 1]]);
        command.args(["--members", &self.addresses[members..].join(","), "--member", &member.to_string()]);
        command.args(["--flush", flush, "--log-mib", "1", "--log"]).arg(self.log(member));
        command.stderr(Stdio::piped()).spawn().unwrap()
    }

    fn log(&self, member: usize) -> PathBuf {
        self.folder.join(member.to_string())
    }

    /// A session on a member.
    fn client(&self, member: usize) -> Client {
        let address = &self.addresses[member - 1];
        let stream = eventually("a connection", || TcpStream::connect(address).ok());
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Client(stream);
        let mut handshake = [0; 44];
        handshake[27] = 16;
        client.send(&handshake);
        assert_eq!(client.receive().unwrap().len(), 36);
        client
    }

    /// Sends a signal: STOP simulates a hanging machine, CONT its recovery.
    fn signal(&self, member: usize, signal: &str) {
        let command = format!("kill -{signal} {}", self.processes[member - 1].id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Waits until a member has ended by itself, and returns its standard error.
    fn stderr_at_end(&mut self, member: usize) -> String {
        let process = &mut self.processes[member - 1];
        let status = eventually("the end of a member", || process.try_wait().unwrap());
        assert!(!status.success());
        io::read_to_string(process.stderr.take().unwrap()).unwrap()
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, frame: &[u8]) {
        let length = (frame.len() as i32).to_be_bytes();
        self.0.write_all(&[&length, frame].concat()).unwrap();
    }

    fn set(&mut self, xid: i32, letter: u8) {
        let mut frame = [xid, SET_DATA, 2].map(i32::to_be_bytes).concat();
        frame.extend_from_slice(b"/a");
        frame.extend_from_slice(&100i32.to_be_bytes());
        frame.extend_from_slice(&[letter; 100]);
        frame.extend_from_slice(&(-1i32).to_be_bytes());
        assert_eq!(frame.len(), SET_BYTES);
        self.send(&frame);
    }

    fn get(&mut self, xid: i32) {
        let header = [xid, GET_DATA, 2].map(i32::to_be_bytes).concat();
        self.send(&[&header, &b"/a\0"[..]].concat());
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// The xid of the next reply.
    fn answered(&mut self) -> io::Result<i32> {
        Ok(number(&self.receive()?))
    }

    /// Whether nothing arrives for 300 ms.
    fn receives_nothing(&mut self) -> bool {
        self.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let silent = self.0.peek(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.0.set_read_timeout(Some(DEADLINE)).unwrap();
        silent
    }
}

fn number(bytes: &[u8]) -> i32 {
    i32::from_be_bytes(bytes[..4].try_into().unwrap())
}

#[test]
fn replies_come_in_order_and_all_logs_hold_the_same_writes() {
    order_and_logs("inline");
    order_and_logs("thread");
}

/// Sends `count` requests, every third one a read and thirty at a time, and expects the replies in
/// order.
fn send_requests(mut client: Client, letter: u8, count: i32) {
    let xids: Vec<_> = (1..=count).collect();
    for xids in xids.chunks(30) {
        for xid in xids {
            if xid % 3 == 2 { client.get(*xid) } else { client.set(*xid, letter) }
        }
        for xid in xids {
            assert_eq!(client.answered().unwrap(), *xid, "to client {}", char::from(letter));
        }
    }
}

fn order_and_logs(flush: &str) {
    const REQUESTS: i32 = 900;
    let ensemble = Ensemble::start("order", 3, flush);
    let members = [(1, b'a'), (2, b'b'), (3, b'c'), (3, b'd')];
    std::thread::scope(|scope| {
        for (member, letter) in members {
            let client = ensemble.client(member);
            scope.spawn(move || send_requests(client, letter, REQUESTS));
        }
    });
    let log = eventually("the same bytes in all logs", || {
        let logs: Vec<_> = (1..=3).map(|member| fs::read(ensemble.log(member)).unwrap()).collect();
        logs.iter().all(|log| *log == logs[0]).then(|| logs[0].clone())
    });
    let (writes, rest) = log.split_at(members.len() * REQUESTS as usize / 3 * 2 * SET_BYTES);
    assert!(rest.iter().all(|byte| *byte == 0), "the log has more than the writes");
    for (_, letter) in members {
        // The data begins after the header, the path and its own length.
        let own = writes.chunks(SET_BYTES).filter(|frame| frame[18..118] == [letter; 100]);
        let xids: Vec<_> = own.map(number).collect();
        let sent: Vec<_> = (1..=REQUESTS).filter(|xid| xid % 3 != 2).collect();
        assert_eq!(xids, sent, "writes of {}", char::from(letter));
    }
}

#[test]
fn a_write_waits_for_a_majority_and_a_read_does_not() {
    majority("inline");
    majority("thread");
}

fn majority(flush: &str) {
    let ensemble = Ensemble::start("majority", 5, flush);
    let mut writers = [ensemble.client(1), ensemble.client(2)];
    ensemble.signal(4, "STOP");
    ensemble.signal(5, "STOP");
    for client in &mut writers {
        client.set(1, b'x');
        assert_eq!(client.answered().unwrap(), 1, "with three of five");
    }
    ensemble.signal(3, "STOP");
    for client in &mut writers {
        client.set(2, b'x');
        assert!(client.receives_nothing(), "two of five are not a majority");
    }
    for member in [1, 2] {
        let mut reader = ensemble.client(member);
        reader.get(1);
        assert_eq!(reader.answered().unwrap(), 1);
    }
    ensemble.signal(4, "CONT");
    for client in &mut writers {
        assert_eq!(client.answered().unwrap(), 2);
    }
}

#[test]
fn when_one_member_ends_the_others_end_with_a_reason() {
    let mut ensemble = Ensemble::start("end", 3, "thread");
    // All three answer, so they are connected.
    for member in 1..=3 {
        ensemble.client(member);
    }
    ensemble.processes[1].kill().unwrap();
    let words = ensemble.stderr_at_end(1);
    assert!(words.contains("the connection to member 2 "), "{words}");
    let words = ensemble.stderr_at_end(3);
    assert!(
        words.contains(&format!("the connection to the leader at {} ", ensemble.addresses[3])),
        "{words}"
    );
}

#[test]
fn a_member_with_an_unknown_number_is_refused() {
    let mut ensemble = Ensemble::start("number", 0, "inline");
    ensemble.addresses = free_addresses(4);
    ensemble.processes.push(ensemble.spawn(3, 2, "inline"));
    let words = ensemble.stderr_at_end(1);
    assert!(words.contains("there is no member 3 of 2"), "{words}");
}
