//! A server as a process: Ostler, or Apache ZooKeeper as the oracle.
//!
//! Each server has its own data directory and port, listens on 127.0.0.1, and ends with the value
//! that holds it.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
pub use rustix::process::Signal;
use tempfile::TempDir;

use crate::slow_disk::SlowDisks;

/// The digest of `super:test`, which the test suites of other people's clients configure too.
pub const SUPER_DIGEST: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

/// The name of a server's own disk, if it can be made slow.
pub const DISK: u8 = 1;

/// How long a server may take to answer `srvr` after its start. Generous: a JVM on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a server may take to write what it reports to its log.
const LOG_TIMEOUT: Duration = Duration::from_secs(20);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apache ZooKeeper, standalone, as `tests/oracle/fetch` gets it.
    ZooKeeper,
    /// `ostler serve`.
    Ostler,
}

impl Kind {
    /// The server under test: Ostler, unless `OSTLER_TEST_SERVER=zookeeper` asks for a check of the
    /// tests themselves.
    pub fn under_test() -> Kind {
        match std::env::var("OSTLER_TEST_SERVER").as_deref() {
            Ok("zookeeper") => Kind::ZooKeeper,
            Ok("ostler") | Err(_) => Kind::Ostler,
            Ok(other) => panic!("OSTLER_TEST_SERVER is {other}; it may be ostler or zookeeper"),
        }
    }
}

/// A running server. Dropping it kills the process and removes its data.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    port: u16,
    folder: TempDir,
    data_dir: PathBuf,
    properties: Vec<(String, String)>,
    environment: Vec<(String, PathBuf)>,
    /// Further lines of zoo.cfg.
    lines: String,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with an empty data directory, or says why this machine cannot and answers
    /// `None`.
    ///
    /// Panics when the server does not come up: that is a failure, not a missing tool.
    pub fn start(kind: Kind) -> Option<Server> {
        Server::start_with(kind, &[])
    }

    /// As [`Server::start`], with further `zookeeper.*` properties.
    pub fn start_with(kind: Kind, properties: &[(&str, &str)]) -> Option<Server> {
        if kind == Kind::ZooKeeper && oracle_jars().is_none() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = folder.path().join("data");
        Some(Server::start_in(kind, folder, data_dir, properties))
    }

    /// As [`Server::start_with`], for Ostler with these variables in its environment.
    pub fn start_in_environment(environment: Vec<(String, String)>, properties: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = folder.path().join("data");
        let mut server = Server::configured(Kind::Ostler, folder, data_dir, properties);
        let values = environment.into_iter().map(|(name, value)| (name, PathBuf::from(value)));
        server.environment = values.collect();
        server.launch_on_a_free_port();
        server
    }

    /// As [`Server::start`], with further lines of zoo.cfg. Server 1, if they name servers.
    pub fn start_with_lines(kind: Kind, lines: &str) -> Option<Server> {
        if kind == Kind::ZooKeeper && oracle_jars().is_none() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = folder.path().join("data");
        fs::create_dir(&data_dir).and_then(|()| fs::write(data_dir.join("myid"), "1")).expect("write myid");
        let mut server = Server::configured(kind, folder, data_dir, &[]);
        server.lines = lines.to_owned();
        server.launch_on_a_free_port();
        Some(server)
    }

    /// Starts Ostler with its data in a directory of the caller's.
    pub fn start_on(data_dir: &Path, properties: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Server::start_in(Kind::Ostler, folder, data_dir.to_owned(), properties)
    }

    /// Starts Ostler on a disk that can be made slow, as [`DISK`] of these.
    pub fn start_with_disk(disks: &SlowDisks, properties: &[(&str, &str)]) -> Server {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data_dir = folder.path().join("data");
        disks.set(DISK, Duration::ZERO);
        let mut server = Server::configured(Kind::Ostler, folder, data_dir, properties);
        disks.give_to(DISK, |name, value| server.environment.push((name.to_owned(), value)));
        server.launch_on_a_free_port();
        server
    }

    fn start_in(kind: Kind, folder: TempDir, data_dir: PathBuf, properties: &[(&str, &str)]) -> Server {
        let mut server = Server::configured(kind, folder, data_dir, properties);
        server.launch_on_a_free_port();
        server
    }

    fn configured(kind: Kind, folder: TempDir, data_dir: PathBuf, properties: &[(&str, &str)]) -> Server {
        let mut all = vec![
            ("zookeeper.4lw.commands.whitelist".to_owned(), "*".to_owned()),
            ("zookeeper.extendedTypesEnabled".to_owned(), "true".to_owned()),
            ("zookeeper.DigestAuthenticationProvider.superDigest".to_owned(), SUPER_DIGEST.to_owned()),
        ];
        all.extend(properties.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
        Server {
            kind,
            port: free_port(),
            folder,
            data_dir,
            properties: all,
            environment: Vec::new(),
            lines: String::new(),
            child: None,
        }
    }

    fn launch_on_a_free_port(&mut self) {
        // Another process may have taken the port since the check.
        for _ in 0..5 {
            match self.try_launch() {
                Err(why) if why.contains("Address already in use") => self.port = free_port(),
                Err(why) => panic!("{why}"),
                Ok(()) => return,
            }
        }
        panic!("every free port is taken at once")
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Which server this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Ends the process as a power switch would, without a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill the server");
            child.wait().expect("the killed server");
        }
    }

    /// Where the server keeps its data.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    /// The most memory that the process has had, in bytes.
    pub fn memory_bytes_max(&self) -> u64 {
        let child = self.child.as_ref().expect("the server runs");
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its memory");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    /// Asks the process to end and waits until it has.
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        let pid = Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).expect("signal the server");
        child.wait().expect("the stopped server")
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        rustix::process::kill_process(Pid::from_child(child), signal).expect("signal the server");
    }

    /// Starts the process again and kills it after `moment`, wherever it then is.
    pub fn launch_and_kill(&mut self, moment: Duration) {
        assert!(self.child.is_none(), "the server runs already");
        let mut command = self.ostler_command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("start the server"));
        std::thread::sleep(moment);
        self.kill();
    }

    /// Starts the process on data it must not start on; answers how it ended and what it said
    /// meanwhile.
    ///
    /// Panics if it serves.
    pub fn launch_refused(&mut self) -> (ExitStatus, String) {
        assert!(self.child.is_none(), "the server runs already");
        refused(&mut self.ostler_command())
    }

    /// Starts the process again on the same data and port, after [`Server::kill`].
    pub fn launch(&mut self) {
        self.try_launch().unwrap_or_else(|why| panic!("{why}"));
    }

    fn try_launch(&mut self) -> Result<(), String> {
        assert!(self.child.is_none(), "the server runs already");
        let mut command = match self.kind {
            Kind::ZooKeeper => self.zookeeper_command(),
            Kind::Ostler => self.ostler_command(),
        };
        let log = File::options().create(true).append(true).open(self.log_path()).expect("the server's log");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the server's log")).stderr(log);
        self.child = Some(command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}")));
        self.wait_until_serving()
    }

    /// Kills and launches.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// What the server wrote to its standard output and error, over all its starts. A running
    /// server writes its messages a little later than it does what they report:
    /// [`Server::await_log`] waits.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the log contains this; panics with the log if it does not within 20 s.
    pub fn await_log(&self, text: &str) {
        let deadline = Instant::now() + LOG_TIMEOUT;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "the log does not contain {text:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The answer to a four-letter word, or what was received before the connection broke.
    pub fn four_letter_word(&self, word: &str) -> String {
        four_letter_word(self.address(), word)
    }

    fn wait_until_serving(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let serves = self.four_letter_word("srvr").starts_with("Zookeeper version: ");
            // Looked at in this order: the answer may be that of another server, on whose port this
            // one has ended.
            if let Some(ended) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                self.child = None;
                return Err(format!("{:?} ended at its start: {ended:?}\n{}", self.kind, self.log()));
            }
            if serves {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{:?} does not answer srvr\n{}", self.kind, self.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// A zoo.cfg for either server.
    fn write_config(&self) -> PathBuf {
        let config = self.folder.path().join("zoo.cfg");
        let text = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\ntickTime=2000\nmaxClientCnxns=0\nadmin.enableServer=false\n{}",
            self.data_dir.display(),
            self.port,
            self.lines
        );
        fs::write(&config, text).expect("write zoo.cfg");
        config
    }

    fn zookeeper_command(&self) -> Command {
        let config = self.write_config();
        // Small and quick to start; these tests never load it.
        let options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned);
        let quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".to_owned();
        let properties = self.properties.iter().map(|(key, value)| format!("-D{key}={value}"));
        zookeeper_command(options.into_iter().chain([quiet]).chain(properties), &config)
    }

    fn ostler_command(&self) -> Command {
        let mut command = serve_command();
        if self.lines.is_empty() {
            command.arg("--data-dir").arg(&self.data_dir).arg("--client-port").arg(self.port.to_string());
            command.args(["--client-port-address", "127.0.0.1", "-DmaxClientCnxns=0", "-DtickTime=2000"]);
        } else {
            command.arg("--config").arg(self.write_config());
        }
        command.args(self.properties.iter().map(|(key, value)| format!("-D{key}={value}")));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of {:?}\n{}", self.kind, self.log());
        }
    }
}

/// A server's answer to a four-letter word, or what was received before the connection broke.
pub fn four_letter_word(address: SocketAddr, word: &str) -> String {
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = stream.write_all(word.as_bytes());
        let _ = stream.read_to_end(&mut answer);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// `ostler serve`, without options.
pub fn serve_command() -> Command {
    let mut command = Command::new(ostler_binary());
    command.arg("serve");
    command
}

/// Apache ZooKeeper with this zoo.cfg, and with further options of Java.
///
/// Panics if this machine does not have what it takes; see [`has_zookeeper`].
pub fn zookeeper_command(options: impl IntoIterator<Item = String>, config: &Path) -> Command {
    let mut command = Command::new("java");
    let jars = oracle_jars().expect("the oracle's jars").join("*");
    command.args(options).arg("-cp").arg(jars);
    command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(config);
    command
}

/// Whether this machine can run Apache ZooKeeper; it is fetched on first use.
pub fn has_zookeeper() -> bool {
    oracle_jars().is_some()
}

/// A temporary folder for keys, which only the user of the test can enter.
pub fn private_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).expect("chmod 700");
    folder
}

/// Runs a server that must refuse to start; answers how it ended and what it said.
///
/// Panics if it has not ended after [`START_TIMEOUT`], which means that it serves.
pub fn refused(command: &mut Command) -> (ExitStatus, String) {
    let mut said = tempfile::tempfile().expect("a temporary file");
    let both = |file: &File| Stdio::from(file.try_clone().expect("the temporary file"));
    let mut child =
        command.stdin(Stdio::null()).stdout(both(&said)).stderr(both(&said)).spawn().expect("start");
    let deadline = Instant::now() + START_TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the server") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the server started: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut text = String::new();
    said.rewind().and_then(|()| said.read_to_string(&mut text)).expect("what the server said");
    (status, text)
}

/// The top of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository")
}

/// Where tests keep what the package clients fetched; git does not see it.
pub fn cache() -> PathBuf {
    repository().join(".cache")
}

/// Whether a program can be found on the search path.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Whether a missing tool is a failure and not a reason to skip: `CI=true` or
/// `OSTLER_REQUIRE_CLIENTS` set.
pub fn tools_required() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
        || std::env::var_os("OSTLER_REQUIRE_CLIENTS").is_some()
}

/// Answers whether all programs are there. Without one it prints `skipped: no …`, or panics where
/// tools are required.
pub fn have_tools(names: &[&str]) -> bool {
    match names.iter().find(|name| !has_program(name)) {
        None => true,
        Some(name) => {
            assert!(!tools_required(), "{name} is missing and this run requires it");
            println!("skipped: no {name}");
            false
        }
    }
}

/// The folder of the oracle's jars, fetched on first use.
fn oracle_jars() -> Option<&'static Path> {
    static JARS: OnceLock<Option<PathBuf>> = OnceLock::new();
    JARS.get_or_init(|| {
        if !have_tools(&["java", "mvn"]) {
            return None;
        }
        let _lock = lock_cache("oracle");
        let fetch =
            Command::new(repository().join("tests/oracle/fetch")).output().expect("run tests/oracle/fetch");
        assert!(fetch.status.success(), "tests/oracle/fetch: {}", String::from_utf8_lossy(&fetch.stderr));
        Some(PathBuf::from(String::from_utf8_lossy(&fetch.stdout).trim()))
    })
    .as_deref()
}

/// Held while one test process fills a folder of the cache; others wait.
pub fn lock_cache(name: &str) -> File {
    fs::create_dir_all(cache()).expect("the cache folder");
    let lock = File::create(cache().join(format!("{name}.lock"))).expect("the cache's lock");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("lock the cache");
    lock
}

/// `OSTLER_BIN`, or the binary beside this test in the target folder.
pub fn ostler_binary() -> PathBuf {
    if let Some(path) = std::env::var_os("OSTLER_BIN") {
        return PathBuf::from(path);
    }
    let binary = target_folder().join("ostler");
    assert!(
        binary.is_file(),
        "{} is not built: cargo build -p ostler-cli, or set OSTLER_BIN",
        binary.display()
    );
    binary
}

/// An example of one of the crates, which `cargo test` has built.
pub fn example(name: &str) -> PathBuf {
    let program = target_folder().join("examples").join(name);
    assert!(program.is_file(), "{} is not built: cargo build --workspace --examples", program.display());
    program
}

/// Where the build of this test puts its programs.
fn target_folder() -> PathBuf {
    // target/<profile>/deps/<test> → target/<profile>
    let test = std::env::current_exe().expect("this test's own path");
    test.parent().and_then(Path::parent).expect("the target folder").to_owned()
}

/// A port on which no process listens, below the range from which the system serves outgoing
/// connections. Between this check and the server's start another process could take it; tests of
/// one machine start from different offsets so that it does not happen among themselves.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % 400) as u16 * 50;
    for _ in 0..COUNT {
        let port = FIRST + offset.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT)
}
