//! Other people's clients, as programs that are told where the server is.
//!
//! A program prints what it has passed, `RESTART` when it wants the server killed and started again on its data (it is
//! answered `RESTARTED`), and `PASSED` as its last line. Everything else it has to say is for people.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::process::{Kind, Server, cache, have_tools, lock_cache, repository};

/// How long one client program may take in all.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(300);

/// The folder of a client's program in this repository.
pub fn source(name: &str) -> PathBuf {
    repository().join("tests/clients").join(name)
}

/// Runs `clients/<name>/install`, which fetches what the client needs with its language's ordinary package client into
/// the folder given to it, and answers the path that the script prints. `None`, with a line saying why, without the tools.
pub fn install(name: &str, tools: &[&str]) -> Option<PathBuf> {
    if !have_tools(tools) {
        return None;
    }
    let _lock = lock_cache(name);
    let script = source(name).join("install");
    let output = Command::new(&script).arg(cache().join(name)).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("run {}: {error}", script.display()));
    assert!(output.status.success(), "{} failed: {}", script.display(), output.status);
    let printed = String::from_utf8(output.stdout).expect("a path");
    Some(PathBuf::from(printed.lines().last().expect("a path").trim()))
}

/// Starts the server under test and the program with the server's address as its last argument; plays its part in the
/// conversation described above and panics unless the program passes.
pub fn run(program: &Path, arguments: &[&str]) {
    let Some(mut server) = Server::start(Kind::under_test()) else { return };
    let mut command = Command::new(program);
    command.args(arguments).arg(server.address().to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let mut program = Program::new(child);
    let deadline = Instant::now() + PROGRAM_TIMEOUT;
    let mut passed = false;
    while let Some(line) = program.next_line(deadline) {
        println!("{line}");
        match line.as_str() {
            "RESTART" => {
                server.restart();
                program.answer("RESTARTED");
            }
            "PASSED" => passed = true,
            _ => {}
        }
    }
    let status = program.child.wait().expect("the client program");
    assert!(passed && status.success(), "the client did not pass ({status}); server: {:?}", server.kind());
}

/// A running client program. Dropping it kills it.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn new(mut child: Child) -> Program {
        let output = child.stdout.take().expect("a pipe from the program");
        let (sender, lines) = channel();
        // Ends with the program, whose exit closes the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Program { child, lines }
    }

    /// The next line, or `None` when the program has ended its output.
    fn next_line(&mut self, deadline: Instant) -> Option<String> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the client program takes longer than {PROGRAM_TIMEOUT:?}")
            }
        }
    }

    fn answer(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("a pipe to the program");
        writeln!(input, "{line}").expect("answer the program");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
