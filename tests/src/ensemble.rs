//! An ensemble of real servers, each a process of its own, with ways between them that a test can
//! break.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::change::{Change, operator};
use crate::links::Links;
use crate::process::{four_letter_word, free_port, serve_command, zookeeper_command};
use crate::slow_disk::SlowDisks;

/// How long anything may take that must come at last. Generous: nothing here says that a server is
/// fast.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The consensus engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// `ostler.consensus=raft`.
    Raft,
    /// `ostler.consensus=paxos`.
    Paxos,
    /// As Apache ZooKeeper does: the members are its servers, for comparison, and always `direct`.
    ZooKeeper,
}

impl Engine {
    /// Its name, in zoo.cfg too.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Raft => "raft",
            Engine::Paxos => "paxos",
            Engine::ZooKeeper => "zookeeper",
        }
    }
}

/// The members of an ensemble, and their disks and links.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Servers with a vote; the first ones.
    pub voters: u8,
    /// Servers without; the next ones.
    pub observers: u8,
    /// Servers that are not in it and do not run; the last ones. There is a way to them.
    pub spares: u8,
    /// Whether disks can be made slow.
    pub slow_disks: bool,
    /// Whether servers dial each other without a proxy between them: then no way can be broken, and
    /// none costs anything.
    pub direct: bool,
    /// Data directories that are not in the ensemble's own folder.
    pub data_dirs: BTreeMap<u8, PathBuf>,
    /// Variables that the servers have in their environment, besides those of the test.
    pub environment: Vec<(String, String)>,
}

impl Layout {
    fn role(&self, server: u8) -> Role {
        match server {
            _ if server <= self.voters => Role::Voter,
            _ if server <= self.voters + self.observers => Role::Observer,
            _ => Role::Outside,
        }
    }

    /// This many voters and nothing else.
    pub fn voters(voters: u8) -> Layout {
        let (data_dirs, environment) = (BTreeMap::new(), Vec::new());
        Layout { voters, observers: 0, spares: 0, slow_disks: false, direct: false, data_dirs, environment }
    }
}

/// The role of a server in an ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It does not belong to it. It may run all the same, and ask to be taken in.
    Outside,
    /// A member without a vote.
    Observer,
    /// A member with one.
    Voter,
}

/// Servers of one ensemble, numbered from 1. Dropping it kills them and removes their data.
#[derive(Debug)]
pub struct Ensemble {
    members: BTreeMap<u8, Process>,
    /// The ways between them.
    pub links: Links,
    engine: Engine,
    layout: Layout,
    settings: Vec<String>,
    slow_disks: Option<SlowDisks>,
    /// Last in the order of dropping: the processes end first.
    folder: TempDir,
}

#[derive(Debug)]
struct Process {
    client: SocketAddr,
    /// Where it listens for the others, behind its door.
    peer: SocketAddr,
    /// Where it would listen for elections; only ZooKeeper does.
    election_port: u16,
    role: Role,
    child: Option<Child>,
    paused: bool,
}

impl Ensemble {
    /// Starts an ensemble and waits until all its members serve clients. `settings` are further
    /// lines of zoo.cfg.
    pub fn start(engine: Engine, count: u8, settings: &[&str]) -> Ensemble {
        Ensemble::start_as(engine, Layout::voters(count), settings)
    }

    /// The same for other ensembles than some equal servers.
    pub fn start_as(engine: Engine, layout: Layout, settings: &[&str]) -> Ensemble {
        let layout = Layout { direct: layout.direct || engine == Engine::ZooKeeper, ..layout };
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = |server| {
            let (client, peer, role) = (address(), address(), layout.role(server));
            // Ostler does not use this port, and Curator wants to see one.
            let election_port = if engine == Engine::ZooKeeper { free_port() } else { peer.port() + 30_000 };
            (server, Process { client, peer, election_port, role, child: None, paused: false })
        };
        let members: BTreeMap<_, _> =
            (1..=layout.voters + layout.observers + layout.spares).map(process).collect();
        let doors = members.iter().filter(|_| !layout.direct);
        let peers = doors.map(|(server, member)| (*server, member.peer)).collect();
        let mut ensemble = Ensemble {
            members,
            links: Links::new(&peers),
            engine,
            slow_disks: layout.slow_disks.then(SlowDisks::build),
            layout,
            settings: settings.iter().map(|line| (*line).to_owned()).collect(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        ensemble.all().into_iter().for_each(|server| ensemble.write_myid(server));
        ensemble.servers().into_iter().for_each(|server| ensemble.launch(server));
        ensemble.await_serving();
        ensemble
    }

    /// Writes the zoo.cfg of a server that is to start: the members there are, and itself.
    fn configure(&self, server: u8) {
        let member = &self.members[&server];
        let mut text = format!(
            "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n",
            self.data_dir(server).display(),
            member.client.port(),
        );
        if self.engine != Engine::ZooKeeper {
            text += &format!("ostler.consensus={}\n", self.engine.name());
        }
        let others = self.servers().into_iter().filter(|other| *other != server);
        others.for_each(|other| text += &format!("{}\n", self.entry(other)));
        text += &format!("{}\n", self.entry_at(server, member.peer, member.role));
        self.settings.iter().for_each(|line| text += &format!("{line}\n"));
        fs::write(self.home(server).join("zoo.cfg"), text).expect("write zoo.cfg");
    }

    /// The line of a server, with the address of its door.
    pub fn entry(&self, server: u8) -> String {
        self.entry_as(server, self.members[&server].role)
    }

    /// The same for another role than it has.
    pub fn entry_as(&self, server: u8, role: Role) -> String {
        let direct = self.layout.direct.then(|| self.members[&server].peer);
        let door = direct.unwrap_or_else(|| self.links.address(server));
        self.entry_at(server, door, role)
    }

    fn entry_at(&self, server: u8, peer: SocketAddr, role: Role) -> String {
        let role = if role == Role::Observer { "observer" } else { "participant" };
        let (port, Process { client, election_port, .. }) = (peer.port(), &self.members[&server]);
        format!("server.{server}=127.0.0.1:{port}:{election_port}:{role};{client}")
    }

    /// Commits the proxy addresses as those of the members: the leader that founded the ensemble
    /// published its own without a proxy.
    pub fn settle(&mut self) {
        let leader = self.await_leader();
        let roles: Vec<_> = self.servers().into_iter().map(|server| (server, self.role(server))).collect();
        operator(self.address(leader)).expect("a session").must(&Change::of(self, &roles).request(-1));
        self.await_serving();
    }

    /// Its consensus engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Starts the servers that are no members.
    pub fn launch_spares(&mut self) {
        self.those(|role| role == Role::Outside).into_iter().for_each(|server| self.launch(server));
    }

    /// The role of a server in the ensemble.
    pub fn role(&self, server: u8) -> Role {
        self.members[&server].role
    }

    /// Records the role of a server from now on: it is in the zoo.cfg of servers that start.
    pub fn set_role(&mut self, server: u8, role: Role) {
        self.member(server).role = role;
    }

    fn write_myid(&self, server: u8) {
        fs::create_dir_all(self.home(server)).expect("a home");
        fs::create_dir_all(self.data_dir(server)).expect("a data directory");
        fs::write(self.data_dir(server).join("myid"), server.to_string()).expect("write myid");
    }

    /// The numbers of all servers, members or not.
    pub fn all(&self) -> Vec<u8> {
        self.members.keys().copied().collect()
    }

    /// The numbers of all members.
    pub fn servers(&self) -> Vec<u8> {
        self.those(|role| role != Role::Outside)
    }

    /// The numbers of those that have a vote.
    pub fn voters(&self) -> Vec<u8> {
        self.those(|role| role == Role::Voter)
    }

    /// The numbers of those that have none.
    pub fn observers(&self) -> Vec<u8> {
        self.those(|role| role == Role::Observer)
    }

    fn those(&self, wanted: impl Fn(Role) -> bool) -> Vec<u8> {
        self.members.iter().filter(|(_, member)| wanted(member.role)).map(|(server, _)| *server).collect()
    }

    /// Lets each flush of a member take so much longer, from now on.
    ///
    /// Panics if the layout has no slow disks.
    pub fn slow_down(&self, server: u8, flush: Duration) {
        self.slow_disks.as_ref().expect("slow disks").set(server, flush);
    }

    /// Where clients of a member connect.
    pub fn address(&self, server: u8) -> SocketAddr {
        self.members[&server].client
    }

    /// Where clients of the members connect, in their order.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers().into_iter().map(|server| self.address(server)).collect()
    }

    /// Where clients connect that know every server, members or not.
    pub fn all_addresses(&self) -> Vec<SocketAddr> {
        self.members.values().map(|server| server.client).collect()
    }

    /// The servers whose process runs and is not paused.
    pub fn awake(&self) -> Vec<u8> {
        let awake = |member: &Process| member.child.is_some() && !member.paused;
        self.members.iter().filter(|(_, member)| awake(member)).map(|(server, _)| *server).collect()
    }

    /// The role that a member reports: `leader`, `follower` and so on; `None` while it serves no
    /// clients.
    pub fn mode(&self, server: u8) -> Option<String> {
        self.told(server, "Mode: ")
    }

    /// The zxid of the last change that a member has; `None` while it serves no clients.
    pub fn zxid(&self, server: u8) -> Option<u64> {
        u64::from_str_radix(self.told(server, "Zxid: 0x")?.as_str(), 16).ok()
    }

    /// The rest of the line of `srvr` that begins so.
    fn told(&self, server: u8, begin: &str) -> Option<String> {
        let text = four_letter_word(self.address(server), "srvr");
        text.lines().find_map(|line| line.strip_prefix(begin)).map(str::to_owned)
    }

    /// A member's counter of this name in `mntr`; `None` while it serves no clients.
    pub fn count(&self, server: u8, name: &str) -> Option<u64> {
        let text = four_letter_word(self.address(server), "mntr");
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        lines.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
    }

    /// The highest term, or ballot, that a member reports.
    pub fn term(&self) -> Option<u64> {
        self.awake().into_iter().filter_map(|server| self.count(server, "zk_ostler_term")).max()
    }

    /// The process of a member.
    pub fn process_id(&self, server: u8) -> u32 {
        self.members[&server].child.as_ref().expect("it runs").id()
    }

    /// A member that reports that it leads, if one does.
    pub fn leader(&self) -> Option<u8> {
        self.awake().into_iter().find(|server| self.mode(*server).as_deref() == Some("leader"))
    }

    /// Waits for a leader.
    pub fn await_leader(&mut self) -> u8 {
        self.await_that("there is a leader", |ensemble| ensemble.leader())
    }

    /// Waits until every member that is awake serves clients and there is a leader: it may be a
    /// server that is only about to become a member for the test, or about to go.
    pub fn await_serving(&mut self) {
        self.await_that("all members serve and there is a leader", |ensemble| {
            let awake = ensemble.awake();
            let mut members = awake.iter().filter(|server| ensemble.role(**server) != Role::Outside);
            (members.all(|server| ensemble.mode(*server).is_some()) && ensemble.leader().is_some())
                .then_some(())
        });
    }

    /// Waits until every member has a vote: one whose disk was lost gets it back when it has caught
    /// up, and until then the ensemble can do without fewer others.
    pub fn await_votes(&mut self) {
        self.await_that("all members vote", |ensemble| {
            let voters = ensemble.told(ensemble.leader()?, "Voters: ")?;
            let mut voters: Vec<u8> = voters.split(',').filter_map(|server| server.parse().ok()).collect();
            voters.sort_unstable();
            (voters == ensemble.voters()).then_some(())
        });
    }

    /// Waits until every member serves, follows the leader and has all that it has. Nobody may
    /// write meanwhile.
    pub fn await_in_step(&mut self) {
        self.await_serving();
        if self.engine != Engine::ZooKeeper {
            self.await_votes();
        }
        self.await_that("all members have what the leader has", |ensemble| {
            let followers = ensemble.voters().len() as u64 - 1;
            let zxid = ensemble.zxid(ensemble.leader()?)?;
            (ensemble.count(ensemble.leader()?, "zk_synced_followers") == Some(followers)
                && ensemble.servers().into_iter().all(|server| ensemble.zxid(server) == Some(zxid)))
            .then_some(())
        });
    }

    /// Waits until `what` answers something; panics with every log if it does not, or if a process
    /// ends by itself.
    pub fn await_that<T>(&mut self, what: &str, mut look: impl FnMut(&Ensemble) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.assert_alive();
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "after {PATIENCE:?} it is not so that {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Panics if the process of a member has ended without being asked to.
    pub fn assert_alive(&mut self) {
        for (server, member) in &mut self.members {
            let ended = member.child.as_mut().and_then(|child| child.try_wait().expect("a member"));
            assert_eq!(ended, None, "server.{server} has ended by itself");
        }
    }

    /// Starts the process of a member, without waiting for it.
    pub fn launch(&mut self, server: u8) {
        self.configure(server);
        let log = File::options().create(true).append(true).open(self.home(server).join("log"));
        let log = log.expect("a member's log");
        let mut command = self.command(&self.home(server).join("zoo.cfg"));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a member's log")).stderr(log);
        if let Some(disks) = &self.slow_disks {
            disks.give(server, &mut command);
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let member = self.member(server);
        assert!(member.child.is_none(), "server.{server} runs already");
        member.child = Some(child);
    }

    fn command(&self, config: &Path) -> Command {
        if self.engine == Engine::ZooKeeper {
            // Java's default takes a quarter of the machine for each of them.
            return zookeeper_command(["-Xmx512m".to_owned()], config);
        }
        let mut command = serve_command();
        command.arg("--config").arg(config).envs(self.layout.environment.iter().cloned());
        command
    }

    /// Ends the process of a member as a power switch would.
    pub fn kill(&mut self, server: u8) {
        let member = self.member(server);
        let mut child = member.child.take().expect("it runs");
        member.paused = false;
        child.kill().expect("kill a member");
        child.wait().expect("the killed member");
    }

    /// Asks the process of a member to end and waits until it has.
    pub fn stop(&mut self, server: u8) -> ExitStatus {
        let child = self.member(server).child.as_mut().expect("it runs");
        rustix::process::kill_process(Pid::from_child(child), Signal::TERM).expect("signal a member");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let child = self.member(server).child.as_mut().expect("it runs");
            if let Some(status) = child.try_wait().expect("the stopped member") {
                self.member(server).child = None;
                return status;
            }
            assert!(Instant::now() < deadline, "server.{server} does not stop when asked");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops a process with all its connections open, or lets it continue.
    pub fn pause(&mut self, server: u8, paused: bool) {
        let member = self.member(server);
        member.paused = paused;
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        let pid = Pid::from_child(member.child.as_ref().expect("it runs"));
        rustix::process::kill_process(pid, signal).expect("signal a member");
    }

    /// Empties the disk of a member that does not run.
    pub fn wipe(&mut self, server: u8) {
        assert!(self.member(server).child.is_none(), "server.{server} runs");
        fs::remove_dir_all(self.data_dir(server)).expect("wipe a disk");
        self.write_myid(server);
    }

    /// Inverts one bit of the first record of the oldest segment of the log of a member that does
    /// not run. What it has set aside for such a reason before is removed, as its operator would.
    pub fn damage(&mut self, server: u8) {
        assert!(self.member(server).child.is_none(), "server.{server} runs");
        let mut segments = Vec::new();
        for dir in ["log", "snapshot"] {
            for entry in fs::read_dir(self.data_dir(server).join(dir)).expect("its data") {
                let path = entry.expect("a file").path();
                match path.extension().and_then(OsStr::to_str) {
                    Some("damaged") => fs::remove_file(path).expect("remove a file"),
                    Some("seg") => segments.push(path),
                    _ => {}
                }
            }
        }
        let path = segments.into_iter().min().expect("a segment");
        let mut bytes = fs::read(&path).expect("a segment");
        // Behind the header. Further on, a segment that is used again has bytes of its earlier
        // life, which mean nothing any more.
        bytes[512 + 20] ^= 4;
        fs::write(&path, bytes).expect("write a segment");
    }

    /// What a member wrote to its standard output and error, over all its starts. A running member
    /// writes its messages a little later than it does what they report: [`Ensemble::await_log`]
    /// waits.
    pub fn log(&self, server: u8) -> String {
        fs::read_to_string(self.home(server).join("log")).unwrap_or_default()
    }

    /// Waits until the log of a member contains this.
    pub fn await_log(&mut self, server: u8, text: &str) {
        self.await_that(&format!("server.{server} writes {text:?} to its log"), |ensemble| {
            ensemble.log(server).contains(text).then_some(())
        });
    }

    fn member(&mut self, server: u8) -> &mut Process {
        self.members.get_mut(&server).expect("a member of that number")
    }

    fn home(&self, server: u8) -> PathBuf {
        self.folder.path().join(server.to_string())
    }

    /// Where a member listens for the others.
    pub fn peer_address(&self, server: u8) -> SocketAddr {
        self.members[&server].peer
    }

    /// Further lines of zoo.cfg from the next start of each server on.
    pub fn set_settings(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|line| (*line).to_owned()).collect();
    }

    /// Where a member keeps its data.
    pub fn data_dir(&self, server: u8) -> PathBuf {
        self.layout.data_dirs.get(&server).cloned().unwrap_or_else(|| self.home(server).join("data"))
    }
}

impl Drop for Ensemble {
    fn drop(&mut self) {
        for server in self.all() {
            if let Some(mut child) = self.member(server).child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
            if std::thread::panicking() {
                eprintln!("--- log of server.{server}\n{}", self.log(server));
            }
        }
    }
}
