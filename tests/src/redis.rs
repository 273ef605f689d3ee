//! Redis, as Debian has it, and the two locks that its documentation describes: of one instance,
//! and of a majority of several ("Redlock").

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::install;
use crate::process::free_port;

/// How long a server may take to answer after its start. Generous: only a failure waits for it.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client waits for one instance before it asks the next one. Generous for an instance
/// on this machine; one that is down refuses the connection at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Deletes a key only if it has this value: a lock that somebody else holds by now stays.
const COMPARE_AND_DELETE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

/// A Redis server that keeps nothing on disk. Dropping it ends it.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    port: u16,
    environment: Vec<(String, String)>,
    folder: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// Starts a server; `None`, with a line that says why, without the tools to get one.
    pub fn start() -> Option<Redis> {
        Redis::start_in_environment(Vec::new())
    }

    /// The same with further variables in its environment.
    pub fn start_in_environment(environment: Vec<(String, String)>) -> Option<Redis> {
        let program = install("redis", &["apt-get", "dpkg-deb"])?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Redis { program, port: free_port(), environment, folder, child: None };
        server.launch();
        Some(server)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Ends the process as a power switch would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill Redis");
            child.wait().expect("the killed Redis");
        }
    }

    /// Starts the process, and waits until it answers. It has forgotten everything.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "Redis runs already");
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = Command::new(&self.program);
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no", "--dir"]).arg(self.folder.path());
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("the log")).stdout(log);
        self.child = Some(command.spawn().expect("start redis-server"));
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.answers() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "redis-server does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn answers(&self) -> bool {
        Connection::open(self.address())
            .and_then(|mut redis| redis.ask(&["PING"]))
            .is_ok_and(|reply| reply == Reply::Text("PONG".to_owned()))
    }

    /// Commands that the server has executed since its start.
    pub fn commands(&self) -> u64 {
        let info = Connection::open(self.address()).and_then(|mut redis| redis.ask(&["INFO", "stats"]));
        let Ok(Reply::Text(info)) = info else { panic!("no statistics: {info:?}") };
        let told = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        told.and_then(|count| count.trim().parse().ok()).expect("a number of commands")
    }

    /// Kills and launches: the server forgets everything.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a server answers to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status or a string.
    Text(String),
    /// A number.
    Integer(i64),
    /// Nothing: no such key, or a condition that was not met.
    Nil,
}

/// A connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// No server is there.
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Sends one command and reads its answer.
    ///
    /// # Errors
    /// The connection is lost, no answer comes in time, or the answer is an error.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut command = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| command += &format!("${}\r\n{word}\r\n", word.len()));
        self.stream.get_mut().write_all(command.as_bytes())?;
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
        let number = || rest.parse::<i64>().map_err(|_| io::Error::other(line.clone()));
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            ":" => Ok(Reply::Integer(number()?)),
            "$" if rest == "-1" => Ok(Reply::Nil),
            "$" => {
                let length = usize::try_from(number()?).map_err(io::Error::other)?;
                let mut text = vec![0; length + 2];
                self.stream.read_exact(&mut text)?;
                text.truncate(length);
                String::from_utf8(text).map(Reply::Text).map_err(io::Error::other)
            }
            _ => Err(io::Error::other(line)),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// The lock of one instance: sets the key if it does not exist. Answers whether it did.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn lock(&mut self, name: &str, value: &str, lease: Duration) -> io::Result<bool> {
        let lease_ms = lease.as_millis().to_string();
        Ok(self.ask(&["SET", name, value, "NX", "PX", &lease_ms])? != Reply::Nil)
    }

    /// Releases the lock of one instance. Answers whether it was still this holder's.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn unlock(&mut self, name: &str, value: &str) -> io::Result<bool> {
        Ok(self.ask(&["EVAL", COMPARE_AND_DELETE, "1", name, value])? == Reply::Integer(1))
    }
}

/// A value that no other holder has.
///
/// # Panics
/// If the machine has no random numbers.
pub fn random_value() -> String {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).expect("random");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A client of the lock of a majority of instances.
#[derive(Debug)]
pub struct Redlock {
    servers: Vec<(SocketAddr, Option<Connection>)>,
}

/// The lock of a majority, held.
#[derive(Clone, Debug)]
pub struct Hold {
    value: String,
    /// Until when it is held, as its holder reckons: the lease, less the time that locking took,
    /// and less an allowance for clocks that go at different speeds.
    pub valid_until: Instant,
    /// How many instances have granted it.
    pub granted_by: usize,
}

impl Redlock {
    /// A client of these instances. It connects when it first asks one, and again when a connection
    /// is lost.
    pub fn new(servers: impl IntoIterator<Item = SocketAddr>) -> Redlock {
        Redlock { servers: servers.into_iter().map(|address| (address, None)).collect() }
    }

    /// Tries once: asks each instance in turn; without a majority in time it releases what it has
    /// got.
    pub fn try_lock(&mut self, name: &str, lease: Duration) -> Option<Hold> {
        let (value, began) = (random_value(), Instant::now());
        let granted = self.each(|redis| redis.lock(name, &value, lease));
        let drift = lease / 100 + Duration::from_millis(2);
        let valid_until = began + lease.saturating_sub(drift);
        let hold = Hold { value, valid_until, granted_by: granted };
        if granted > self.servers.len() / 2 && Instant::now() < valid_until {
            return Some(hold);
        }
        self.unlock(name, &hold);
        None
    }

    /// Releases the lock at every instance.
    pub fn unlock(&mut self, name: &str, hold: &Hold) {
        self.each(|redis| redis.unlock(name, &hold.value));
    }

    /// Asks every instance; answers how many have said yes. One that fails has not.
    fn each(&mut self, mut ask: impl FnMut(&mut Connection) -> io::Result<bool>) -> usize {
        let mut count = 0;
        for (address, connection) in &mut self.servers {
            let opened = match connection.take() {
                Some(open) => Ok(open),
                None => Connection::open(*address),
            };
            let Ok(mut open) = opened else { continue };
            if let Ok(said) = ask(&mut open) {
                count += usize::from(said);
                *connection = Some(open);
            }
        }
        count
    }
}
