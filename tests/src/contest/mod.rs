//! Programs that hold something by turns, or work on the items of a queue, at three servers, while
//! programs, servers and the ways between them fail.
//!
//! What they do is in logs, which [`crate::contest_log`] and [`crate::recipe_log`] read.

mod holders;
mod users;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::contest_log::{Holds, Items};
use crate::ensemble::{Engine, Ensemble};
use crate::generate::Random;
use crate::links::{Entrance, Link};
use crate::process::{example, ostler_binary};
use crate::request::{Request, op};
use crate::session::Session;
use crate::waiting::await_that;

/// Only a test that fails waits for it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The session timeout of those that hold something; those of a queue ask for as much.
const TIMEOUT_MS: u64 = 3_000;

/// The log of those that work on a queue.
pub const QUEUE: &str = "queue";

/// What contenders hold by turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prize {
    /// The command of `ostler`.
    pub command: &'static str,
    /// Its options.
    pub options: &'static str,
    /// How many may hold it at a time.
    pub leases: usize,
}

/// Says when it begins, writes, and ends; while there is a file `linger-…` it goes on. A turn that
/// is asked to end says so, one that is killed does not.
const TURN: &str = "n=0; say() { echo $1 $PPID $OSTLER_TOKEN >> LOG; }; \
     trap 'say end; exit 1' TERM; say begin; \
     while test $n -lt 3 || test -e LINGER; do \
       say write; test -e LINGER && say lingering; sleep 0.01; n=$((n + 1)); done; say end";

/// A program that is started again and again until a file is there.
#[derive(Debug)]
struct Contender {
    shell: Child,
    /// The log that it writes, in the contest's folder.
    log: &'static str,
    /// The file at which it stops.
    stop: &'static str,
    /// The file with the process id of its program.
    pid: PathBuf,
    /// The file that lets it go on with its turn.
    linger: PathBuf,
    is_behind_entrances: bool,
}

impl Contender {
    fn pid(&self) -> Option<u32> {
        fs::read_to_string(&self.pid).ok()?.trim().parse().ok()
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        // Every contender has ended when a test passes.
        if let Ok(None) = self.shell.try_wait() {
            let _ = self.shell.kill();
            let _ = self.shell.wait();
            self.pid().into_iter().for_each(|pid| signal(pid, Signal::KILL));
        }
    }
}

/// It may have ended.
fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let _ = kill_process(pid, signal);
}

/// Contenders at three servers. Every second one connects by entrances that can be closed.
#[derive(Debug)]
pub struct Contest {
    /// First in the order of dropping: they end before their servers.
    contenders: Vec<Contender>,
    entrances: Vec<Entrance>,
    ensemble: Ensemble,
    random: Random,
    folder: TempDir,
}

impl Contest {
    /// Starts the servers and nobody else.
    pub fn start(engine: Engine) -> Contest {
        // So that sessions may be short, and end soon.
        let ensemble = Ensemble::start(engine, 3, &["tickTime=500"]);
        let entrances = ensemble.addresses().into_iter().map(Entrance::to).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        Contest { contenders: Vec::new(), entrances, ensemble, random: Random::new(7), folder }
    }

    /// Starts contenders for a prize, which end when there is a file `stop`.
    pub fn contend(&mut self, prize: Prize, count: usize) {
        let Prize { command, options, .. } = prize;
        for number in self.contenders.len()..self.contenders.len() + count {
            let turn = TURN.replace("LOG", command).replace("LINGER", &format!("linger-{number}"));
            let program = format!(
                "{} {command} {options} --timeout {TIMEOUT_MS} -s {} /{command} -- sh -c \"$TURN\"",
                ostler_binary().display(),
                self.servers(number),
            );
            self.enter(number, command, &program, &turn, "stop");
        }
    }

    /// Starts programs that put items or take them, until there is the file `stop`.
    pub fn work(&mut self, what: &str, count: usize, stop: &'static str) {
        for number in self.contenders.len()..self.contenders.len() + count {
            let worker = example("queue_worker");
            let servers = self.servers(number);
            let program =
                format!("{} {what} {servers} /queue queue {stop} linger-{number}", worker.display());
            self.enter(number, QUEUE, &program, "", stop);
        }
    }

    fn servers(&self, number: usize) -> String {
        let direct = self.ensemble.addresses();
        let entrances = self.entrances.iter().map(Entrance::address).collect();
        let addresses: Vec<_> = if number.is_multiple_of(2) { direct } else { entrances };
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    fn enter(&mut self, number: usize, log: &'static str, program: &str, turn: &str, stop: &'static str) {
        let script = format!(
            "while ! test -e {stop}; do {program} 2>>errors-{number} & echo $! > pid-{number}; \
             wait $!; echo over $! >> {log}; done"
        );
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).env("TURN", turn).current_dir(self.folder.path());
        let shell = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("start a shell");
        let [pid, linger] = ["pid", "linger"].map(|name| self.file(&format!("{name}-{number}")));
        let is_behind_entrances = !number.is_multiple_of(2);
        self.contenders.push(Contender { shell, log, stop, pid, linger, is_behind_entrances });
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Writes down what this test does to a program, at once: programs write to the same file.
    fn note(&self, log: &str, what: &str, pid: u32) {
        let mut file = File::options().append(true).create(true).open(self.file(log)).expect("a log");
        file.write_all(format!("{what} {pid}\n").as_bytes()).expect("write the log");
    }

    /// What the log of a prize shows.
    pub fn holds(&self, prize: Prize) -> Holds {
        Holds::read(&self.log(prize.command), prize.leases)
    }

    /// What the log of the queue shows.
    pub fn items(&self) -> Items {
        Items::read(&self.log(QUEUE))
    }

    /// Creates the file at which some contenders stop, and waits until they have ended.
    pub fn end(&mut self, stop: &str) {
        fs::write(self.file(stop), "").expect("write a file");
        for contender in self.contenders.iter_mut().filter(|contender| contender.stop == stop) {
            let what = format!("a shell of {} has ended", contender.log);
            await_that(PATIENCE, &what, || contender.shell.try_wait().expect("the shell"));
        }
    }

    /// How many items are in the queue.
    pub fn queue_length(&mut self) -> usize {
        let leader = self.ensemble.await_leader();
        let mut session = Session::open(self.ensemble.address(leader), 10_000).expect("a session");
        let path = "/queue/entries".to_owned();
        session.must(&Request::Read { op: op::GET_CHILDREN, path, watch: false }).count() as usize
    }

    /// One fault of a server, or the end of some programs.
    pub fn suffer(&mut self) {
        let Some(leader) = self.ensemble.leader() else { return };
        let pause = Duration::from_millis(200 + self.random.below(1_200));
        let ensemble = &mut self.ensemble;
        match self.random.below(5) {
            0 => kill_and_launch(ensemble, leader, pause),
            1 => {
                ensemble.pause(leader, true);
                std::thread::sleep(pause);
                ensemble.pause(leader, false);
            }
            2 => {
                ensemble.links.set_around(leader, Link::Hole);
                std::thread::sleep(pause);
                ensemble.links.heal();
            }
            3 => kill_and_launch(ensemble, 1 + leader % 3, pause),
            _ => {
                for _ in 0..6 {
                    let number = self.random.below(self.contenders.len() as u64) as usize;
                    if let Some(pid) = self.contenders[number].pid() {
                        signal(pid, Signal::KILL);
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        self.ensemble.await_serving();
    }
}

fn kill_and_launch(ensemble: &mut Ensemble, server: u8, pause: Duration) {
    ensemble.kill(server);
    std::thread::sleep(pause);
    ensemble.launch(server);
}
