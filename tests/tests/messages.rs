//! A server lives on whatever becomes of the messages it writes, and strangers cannot make it write
//! many.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::process::{four_letter_word, free_port, serve_command};
use tempfile::TempDir;

/// Generous, for machines that do other things as well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A frame that is longer than any: the server closes the connection and says so.
const NONSENSE: &[u8] = b"\x7f\0\0\0x";

/// A server whose messages go where the test wants them.
struct Talker {
    child: Child,
    address: SocketAddr,
    _data: TempDir,
}

impl Talker {
    fn start(messages: Stdio, announcement: Stdio) -> Talker {
        let data = tempfile::tempdir().expect("a folder");
        let port = free_port();
        let mut command: Command = serve_command();
        command.arg("--data-dir").arg(data.path()).arg("--client-port").arg(port.to_string());
        command.args(["--client-port-address", "127.0.0.1", "-Dadmin.enableServer=false"]);
        let child =
            command.stdin(Stdio::null()).stdout(announcement).stderr(messages).spawn().expect("start");
        Talker { child, address: SocketAddr::from(([127, 0, 0, 1], port)), _data: data }
    }

    fn wait_until_serving(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !four_letter_word(self.address, "srvr").starts_with("Zookeeper version: ") {
            self.must_live();
            assert!(Instant::now() < deadline, "it does not serve");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn must_live(&mut self) {
        assert_eq!(self.child.try_wait().expect("the server"), None, "the server has ended");
    }

    /// Gives the server a reason for a message, this many times.
    fn provoke(&mut self, times: usize) {
        for _ in 0..times {
            if let Ok(mut stream) = TcpStream::connect(self.address) {
                let _ = stream.write_all(NONSENSE);
                // Its end says that the server has had its say.
                let _ = stream.read(&mut [0; 16]);
            }
        }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ostler serve 2>&1 | logger`, and the logger restarts. The first message that could not be
/// written ended the server, by a panic within the code that reports messages.
#[test]
fn a_server_outlives_the_reader_of_its_messages() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut server = Talker::start(writer.try_clone().expect("the pipe").into(), writer.into());
    server.wait_until_serving();
    drop(reader);
    server.provoke(20);
    server.wait_until_serving();
}

/// The disk for messages is full from the start, so that even the announcement cannot be written.
#[test]
fn a_server_starts_and_lives_though_its_messages_find_no_room() {
    let full = || OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let mut server = Talker::start(full().into(), full().into());
    server.wait_until_serving();
    server.provoke(20);
    server.wait_until_serving();
}

/// A reader that stops reading and stays: a pager, a terminal that was halted, a container's log
/// driver that hangs. The pipe is full at the start, and no thread waits for it.
#[test]
fn a_server_does_not_wait_for_a_reader_that_has_stopped() {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    rustix::io::ioctl_fionbio(&writer, true).expect("non-blocking");
    while writer.write(&[b'.'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).expect("blocking");
    let mut server = Talker::start(writer.try_clone().expect("the pipe").into(), writer.into());
    server.wait_until_serving();
    server.provoke(20);
    server.wait_until_serving();
    // What was said meanwhile is there when the reader goes on.
    let mut said = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while !String::from_utf8_lossy(&said).contains("is ready") {
        assert!(Instant::now() < deadline, "the announcement comes late, but comes");
        let mut part = [0; 4096];
        let n = reader.read(&mut part).expect("the server's messages");
        said.extend_from_slice(&part[..n]);
    }
}

/// Strangers had the server write a line for each connection of theirs, 10,900 in a second.
#[test]
fn strangers_cannot_fill_the_disk_with_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let log = File::create(&path).expect("a file");
    let mut server = Talker::start(log.into(), Stdio::null());
    server.wait_until_serving();
    let times = 2_000;
    server.provoke(times);
    let text = || std::fs::read_to_string(&path).expect("the log");
    let deadline = Instant::now() + PATIENCE;
    while !text().contains("more messages of") {
        assert!(Instant::now() < deadline, "what was held back is summed up:\n{}", text());
        std::thread::sleep(Duration::from_millis(100));
    }
    let lines = text().lines().count();
    assert!(lines < times / 4, "{lines} lines for {times} connections");
    server.must_live();
}
