//! Three servers as processes: the program of the test starts itself again for each of them.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use server::config::{self, CommandLine};
use server::serve::Server;
use tempfile::TempDir;

use crate::free_port;

/// Names the zoo.cfg of the server that the process becomes.
const CONFIG_VARIABLE: &str = "OSTLER_TESTING_SERVER";
/// How long the servers may take to have a leader. Generous: only a failure waits for it.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes this process a server of an [`Ensemble`] if it was started as one, and returns otherwise.
///
/// A program calls it first in `main`. A test program of the usual harness has a test whose body it
/// is, and names that test when it starts an ensemble.
///
/// # Panics
/// If the server does not start, or ends.
pub fn serve_if_asked() {
    let Some(path) = std::env::var_os(CONFIG_VARIABLE) else { return };
    let command_line = CommandLine { config: Some(path.into()), ..CommandLine::default() };
    let config = config::load(&command_line).expect("a configuration").config;
    let server = Server::start(config).expect("the server starts");
    let ended = server.wait();
    panic!("the server has ended: {ended:?}");
}

/// An ensemble of three servers. They end with this value.
pub struct Ensemble {
    folder: TempDir,
    arguments: Vec<String>,
    members: Vec<Member>,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    election_port: u16,
    child: Option<Child>,
}

impl Ensemble {
    /// Starts the servers and waits until one leads. Each is this program with these arguments,
    /// which make it call [`serve_if_asked`]. Sessions may be as short as 1 s.
    ///
    /// # Panics
    /// If they do not start.
    pub fn start(arguments: &[&str]) -> Self {
        let member = || Member {
            client_port: free_port(),
            peer_port: free_port(),
            election_port: free_port(),
            child: None,
        };
        let members = [member(), member(), member()].into();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut ensemble = Self { folder, arguments, members };
        for number in 0..ensemble.members.len() {
            ensemble.configure(number);
            ensemble.launch(number);
        }
        ensemble.await_leader();
        ensemble
    }

    /// The connect string.
    pub fn addresses(&self) -> String {
        let addresses = self.members.iter().map(|member| format!("127.0.0.1:{}", member.client_port));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// How many servers there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Waits until a server leads and returns its number, counted from 0.
    ///
    /// # Panics
    /// If none leads for a minute.
    pub fn await_leader(&self) -> usize {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(leader) = (0..self.members.len()).find(|&number| self.leads(number)) {
                return leader;
            }
            assert!(Instant::now() < deadline, "no server leads");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn leads(&self, number: usize) -> bool {
        let member = &self.members[number];
        member.child.is_some() && four_letter_word(member.client_port, "srvr").contains("Mode: leader")
    }

    /// Ends a server as a power switch would.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self, number: usize) {
        let mut child = self.members[number].child.take().expect("a server that runs");
        child.kill().and_then(|()| child.wait()).expect("kill a server");
    }

    /// Starts a server, with its data.
    ///
    /// # Panics
    /// If the system starts no process.
    pub fn launch(&mut self, number: usize) {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.args(&self.arguments).env(CONFIG_VARIABLE, self.home(number).join("zoo.cfg"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.members[number].child = Some(command.spawn().expect("start a server"));
    }

    /// Stops a server, until [`Self::resume`].
    pub fn stop(&self, number: usize) {
        self.signal(number, Signal::STOP);
    }

    /// Lets a stopped server go on.
    pub fn resume(&self, number: usize) {
        self.signal(number, Signal::CONT);
    }

    fn signal(&self, number: usize, signal: Signal) {
        let id = self.members[number].child.as_ref().map(Child::id);
        let process = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(process.expect("a server that runs"), signal).expect("signal a server");
    }

    fn home(&self, number: usize) -> PathBuf {
        self.folder.path().join((number + 1).to_string())
    }

    fn configure(&self, number: usize) {
        let home = self.home(number);
        let data = home.join("data");
        let mut text = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\ntickTime=500\ninitLimit=20\nsyncLimit=10\n",
            data.display(),
            self.members[number].client_port,
        );
        for (index, member) in self.members.iter().enumerate() {
            let Member { peer_port, election_port, client_port, .. } = member;
            let id = index + 1;
            text += &format!(
                "server.{id}=127.0.0.1:{peer_port}:{election_port}:participant;127.0.0.1:{client_port}\n"
            );
        }
        std::fs::create_dir_all(&data).expect("a data folder");
        std::fs::write(data.join("myid"), (number + 1).to_string()).expect("write myid");
        std::fs::write(home.join("zoo.cfg"), text).expect("write zoo.cfg");
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for member in &mut self.members {
            if let Some(child) = &mut member.child {
                let _ended = child.kill().and_then(|()| child.wait());
            }
        }
    }
}

/// Asks a server; without an answer, an empty text.
fn four_letter_word(port: u16, word: &str) -> String {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(word.as_bytes())?;
        std::io::read_to_string(stream)
    };
    ask().unwrap_or_default()
}
