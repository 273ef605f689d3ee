//! Other projects' clients, as programs that get the server's address.
//!
//! A program prints what it has passed, `RESTART 0x<session>` when it wants the server of that
//! session killed and started again on its data (it is answered `RESTARTED`), `RESTART LEADER` when
//! the leader is to be killed, `SPARE` when it wants a server that it can add to the ensemble (it
//! is answered the line of an observer, or `NONE` where there is no ensemble), and `PASSED` as its
//! last line. Everything else it has to say is for people.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::change::SETTINGS;
use crate::ensemble::{Engine, Ensemble, Layout, Role};
use crate::process::{Kind, Server, cache, four_letter_word, have_tools, lock_cache, repository};

/// How long one client program may take in all.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(300);

/// The folder of a client's program in this repository.
pub fn source(name: &str) -> PathBuf {
    repository().join("tests/clients").join(name)
}

/// A class of `clients/java/src/main/java`; `None`, with a line saying why, without Java.
pub fn java_class(name: &str) -> Option<Command> {
    let folder = install("java", &["java", "javac", "mvn"])?;
    let class_path = format!("{0}/classes:{0}/lib/*", folder.display());
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", &class_path, name]);
    Some(command)
}

/// A program of `clients/python`; `None`, with a line saying why, without Python.
pub fn python_program(name: &str) -> Option<Command> {
    let mut command = Command::new(install("python", &["python3"])?);
    command.arg(source("python").join(name));
    Some(command)
}

/// Runs `clients/<name>/install`, which fetches what the client needs with its language's ordinary
/// package client into the folder given to it, and answers the path that the script prints. `None`,
/// with a line saying why, without the tools.
///
/// It is done once in a process: another run would remove files under a running client that it has
/// not loaded yet.
pub fn install(name: &'static str, tools: &[&str]) -> Option<PathBuf> {
    static INSTALLED: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
    if !have_tools(tools) {
        return None;
    }
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    Some(installed.entry(name).or_insert_with(|| run_install(name)).clone())
}

/// A Python with the packages of a requirements file, in a virtual environment of this name.
/// `None`, with a line saying why, without Python.
pub fn requirements(name: &str, file: &Path) -> Option<PathBuf> {
    have_tools(&["python3"]).then(|| {
        let _lock = lock_cache(name);
        path_printed_by(Command::new(source("virtual-env")).arg(file).arg(cache().join(name)))
    })
}

fn run_install(name: &str) -> PathBuf {
    let _lock = lock_cache(name);
    path_printed_by(Command::new(source(name).join("install")).arg(cache().join(name)))
}

fn path_printed_by(script: &mut Command) -> PathBuf {
    let output = script.stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("run {script:?}: {error}"));
    assert!(output.status.success(), "{script:?} failed: {}", output.status);
    let printed = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(printed.lines().last().expect("a path").trim())
}

/// What a client talks to.
#[derive(Debug)]
pub enum Subject {
    /// The server under test.
    One(Server),
    /// Three members, and which of them is down.
    Three(Ensemble, Option<u8>),
}

impl Subject {
    /// The server under test; `None` without what it needs.
    pub fn one() -> Option<Subject> {
        Server::start(Kind::under_test()).map(Subject::One)
    }

    /// An ensemble of Ostler; `None` where Apache ZooKeeper is under test.
    ///
    /// Its reads are linearizable: the programs read at one member what they know to be written at
    /// another.
    pub fn three() -> Option<Subject> {
        if Kind::under_test() != Kind::Ostler {
            return None;
        }
        let settings =
            [&SETTINGS[..], &["extendedTypesEnabled=true", "ostler.linearizableReads=true"]].concat();
        let layout = Layout { spares: 1, ..Layout::voters(3) };
        Some(Subject::Three(Ensemble::start_as(Engine::Raft, layout, &settings), None))
    }

    /// The connect string: one address, or several separated by commas.
    pub fn connect_string(&self) -> String {
        match self {
            Subject::One(server) => server.address().to_string(),
            Subject::Three(ensemble, _) => {
                ensemble.addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
        }
    }

    /// `kill -9` of the server that a session is connected to.
    pub fn kill(&mut self, session: i64) {
        match self {
            Subject::One(server) => server.kill(),
            Subject::Three(ensemble, down) => {
                let listed = format!(",sid=0x{session:x},");
                let server = ensemble.await_that("a member has the session", |ensemble| {
                    let holds =
                        |server: &u8| four_letter_word(ensemble.address(*server), "cons").contains(&listed);
                    ensemble.servers().into_iter().find(holds)
                });
                println!("server.{server} of session {session:#x} is killed");
                ensemble.kill(server);
                *down = Some(server);
            }
        }
    }

    /// `kill -9` of the leader.
    pub fn kill_leader(&mut self) {
        match self {
            Subject::One(server) => server.kill(),
            Subject::Three(ensemble, down) => {
                let leader = ensemble.await_leader();
                println!("server.{leader}, the leader, is killed");
                ensemble.kill(leader);
                *down = Some(leader);
            }
        }
    }

    /// Starts a server that is no member; answers the line that makes it an observer.
    pub fn spare(&mut self) -> String {
        match self {
            Subject::One(_) => "NONE".to_owned(),
            Subject::Three(ensemble, _) => {
                ensemble.launch_spares();
                ensemble.entry_as(4, Role::Observer)
            }
        }
    }

    /// Starts the killed server again.
    pub fn launch(&mut self) {
        match self {
            Subject::One(server) => server.launch(),
            Subject::Three(ensemble, down) => {
                ensemble.launch(down.take().expect("one was killed"));
                ensemble.await_serving();
            }
        }
    }
}

/// Starts the program with the subject's addresses as its last argument; plays its part in the
/// conversation described above and panics unless the program passes.
pub fn run(program: &Path, arguments: &[&str], mut subject: Subject) {
    let mut command = Command::new(program);
    let mut program = Program::start(command.args(arguments).arg(subject.connect_string()));
    let deadline = Instant::now() + PROGRAM_TIMEOUT;
    let mut passed = false;
    while let Some(line) = program.next_line(deadline) {
        println!("{line}");
        if let Some(session) = line.strip_prefix("RESTART 0x") {
            subject.kill(i64::from_str_radix(session, 16).expect("a session"));
            subject.launch();
            program.tell("RESTARTED");
        }
        if line == "RESTART LEADER" {
            subject.kill_leader();
            subject.launch();
            program.tell("RESTARTED");
        }
        if line == "SPARE" {
            program.tell(&subject.spare());
        }
        passed |= line == "PASSED";
    }
    let status = program.child.wait().expect("the client program");
    assert!(passed && status.success(), "the client did not pass ({status})");
}

/// A running client program, which speaks in lines. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Starts a program.
    pub fn start(command: &mut Command) -> Program {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Program::new(command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}")))
    }

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

    /// Writes a line to it.
    pub fn tell(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("a pipe to the program");
        writeln!(input, "{line}").expect("a line to the program");
    }

    /// The next line that it writes. Panics if it ends instead.
    pub fn told(&mut self) -> String {
        self.next_line(Instant::now() + PROGRAM_TIMEOUT).expect("the program goes on")
    }

    /// Whether it has written nothing since the last line that was read.
    pub fn is_silent(&self) -> bool {
        matches!(self.lines.try_recv(), Err(TryRecvError::Empty))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
