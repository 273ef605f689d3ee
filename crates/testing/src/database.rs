//! What the database servers of tests have in common: programs, a user, a folder, a process.

use std::fs::File;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::{Certificate, free_port};

/// The user and group `nobody` of Debian, as which servers run that refuse root.
const NOBODY: (u32, u32) = (65_534, 65_534);
/// How long a server may take to come up. Generous: only a failure waits for it.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A server's folder and process. Dropping it ends the process and removes the folder.
pub(crate) struct Process {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Process {
    /// An empty folder, which the server's user owns, and a free port.
    pub(crate) fn new() -> Process {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let process = Process { folder, port: free_port(), child: None };
        process.own(process.folder.path());
        process
    }

    /// Gives a folder or a file to the server's user.
    pub(crate) fn own(&self, path: &Path) {
        if runs_as_root() {
            chown(path, Some(NOBODY.0), Some(NOBODY.1)).expect("give something to nobody");
        }
    }

    /// Writes a certificate and its key into the folder, where only the server's user reads them.
    pub(crate) fn keep(&self, certificate: &Certificate) {
        let (certificate_path, key_path) = self.certificate();
        for (path, pem) in [(certificate_path, &certificate.chain), (key_path, &certificate.key)] {
            let file = File::options().create_new(true).write(true).mode(0o600).open(&path);
            file.and_then(|mut file| file.write_all(pem.as_bytes())).expect("a file of a certificate");
            self.own(&path);
        }
    }

    /// Where [`Self::keep`] has written the certificate and the key.
    pub(crate) fn certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("certificate.pem"), self.folder.path().join("key.pem"))
    }

    /// Runs a command that prepares the folder, with this input, to its end.
    ///
    /// # Panics
    /// If it fails, with what the log has.
    pub(crate) fn prepare(&self, command: &mut Command, input: &[u8]) {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("run a server's program");
        let written = child.stdin.take().expect("a pipe").write_all(input);
        let status = child.wait().expect("a server's program");
        assert!(status.success(), "{command:?}: {status}\n{}", self.log());
        written.expect("a program that reads all of its input");
    }

    /// Starts the program, unless it runs, and waits until it takes connections and `is_ready`.
    pub(crate) fn launch(&mut self, command: &mut Command, is_ready: impl Fn() -> bool) {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if self.child.is_none() {
                self.child = Some(command.spawn().expect("start a server"));
            }
            if self.takes_connections() && is_ready() {
                return;
            }
            assert!(Instant::now() < deadline, "the server does not start: {}", self.log());
            // Its predecessor may still be about to end, as PostgreSQL's other processes are.
            let ended = self.child.as_mut().is_some_and(|child| child.try_wait().expect("a child").is_some());
            if ended {
                self.child = None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn takes_connections(&self) -> bool {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    }

    /// Ends the process as a power switch would, even if it is stopped.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            family(child.id()).into_iter().for_each(|process| signal(process, Signal::KILL));
            child.wait().expect("the killed server");
        }
    }

    /// Stops the server with its children, until [`Self::resume`]. It does nothing more when this
    /// returns.
    pub(crate) fn stop(&self) {
        self.members().into_iter().for_each(|process| signal(process, Signal::STOP));
        // The signal is sent, and each thread stops when it is about to run next.
        while !self.members().into_iter().all(is_stopped) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a stopped server go on.
    pub(crate) fn resume(&self) {
        self.members().into_iter().for_each(|process| signal(process, Signal::CONT));
    }

    fn members(&self) -> Vec<u32> {
        self.child.as_ref().map(|child| family(child.id())).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// A command as the server's user, that writes to the log.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = as_server(program);
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log");
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("the log")).stdout(log);
        command
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn runs_as_root() -> bool {
    geteuid().is_root()
}

/// A command that runs as `nobody` where the test runs as root.
fn as_server(program: &Path) -> Command {
    let mut command = Command::new(program);
    if runs_as_root() {
        command.uid(NOBODY.0).gid(NOBODY.1);
    }
    command
}

/// A process and its children.
fn family(parent: u32) -> Vec<u32> {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(children).unwrap_or_default();
    [parent].into_iter().chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect()
}

/// Whether all threads of a process are stopped, or it has ended.
fn is_stopped(process: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
    })
}

/// Sends a signal to a process that may have ended meanwhile.
fn signal(process: u32, signal: Signal) {
    if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ended = kill_process(process, signal);
    }
}

/// Runs the script that gets a server, once in a process, and answers the path that it prints.
/// `None`, with a line that says why, without the tools.
pub(crate) fn install(name: &str) -> Option<PathBuf> {
    // Two threads must not unpack the same package at once.
    static INSTALLS: Mutex<()> = Mutex::new(());
    let _turn = INSTALLS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = here.join("../../.cache");
    let lock =
        std::fs::create_dir_all(&cache).and_then(|()| File::create(cache.join(format!("{name}.lock"))));
    let lock = lock.expect("a cache folder");
    // Nor two processes.
    lock.lock().expect("the lock of the cache");
    let output = Command::new(here.join("servers").join(name).join("install"))
        .arg(cache.join(name))
        .stderr(Stdio::inherit())
        .output()
        .expect("run the install script");
    if !output.status.success() {
        let required = std::env::var("CI").is_ok_and(|value| value == "true")
            || std::env::var_os("OSTLER_REQUIRE_CLIENTS").is_some();
        assert!(!required, "{name} cannot be had here, and this run requires it");
        println!("skipped: {name} cannot be had here");
        return None;
    }
    let printed = String::from_utf8(output.stdout).expect("a path");
    Some(PathBuf::from(printed.lines().last().expect("a path").trim()))
}

/// The folder of libraries below a root that packages were unpacked into, if there is one.
pub(crate) fn libraries(root: &Path) -> PathBuf {
    root.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH))
}
