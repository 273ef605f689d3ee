//! Programs that hold something by turns, or work on the items of a queue, at three servers, while
//! programs, servers and the ways between them fail.
//!
//! What they do is in logs, which [`crate::contest_log`] reads.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
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

    /// Stops one that holds each of these for longer than its session lives.
    pub fn stop_holders(&mut self, logs: &[&str]) {
        let holders = self.let_linger(logs, |_| true);
        for (log, pid) in &holders {
            let mut file = File::options().append(true).open(self.file(log)).expect("a log");
            writeln!(file, "stopped {pid}").expect("write the log");
            signal(*pid, Signal::STOP);
        }
        self.await_successors(&holders);
        self.await_late_writes(&holders);
        holders.iter().for_each(|(_, pid)| signal(*pid, Signal::CONT));
        self.await_over(&holders);
    }

    /// Cuts one that holds each of these off, with all others behind the entrances, until its
    /// session is over. It has to notice in time.
    pub fn cut_holders_off(&mut self, logs: &[&str]) {
        let holders = self.let_linger(logs, |contender| contender.is_behind_entrances);
        self.entrances.iter().for_each(|entrance| entrance.set(Link::Hole));
        self.await_successors(&holders);
        self.entrances.iter().for_each(|entrance| entrance.set(Link::Open));
        self.await_over(&holders);
    }

    /// Waits for a contender in each log that stays in its turn; answers the process ids.
    fn let_linger<'l>(&self, logs: &[&'l str], is_meant: impl Fn(&Contender) -> bool) -> Vec<(&'l str, u32)> {
        let find = |log: &&'l str| {
            let those: Vec<_> =
                self.contenders.iter().filter(|one| one.log == *log && is_meant(one)).collect();
            let before = self.log(log).len();
            those.iter().for_each(|one| fs::write(&one.linger, "").expect("write a file"));
            let pid =
                await_that(PATIENCE, &format!("one lingers at {log}"), || lingerer(&self.log(log)[before..]));
            let others = those.iter().filter(|one| one.pid() != Some(pid));
            others.for_each(|one| remove(&one.linger));
            (*log, pid)
        };
        logs.iter().map(find).collect()
    }

    /// Waits until another program works with what each of these held.
    fn await_successors(&self, holders: &[(&str, u32)]) {
        let before: Vec<_> = holders.iter().map(|(log, _)| self.log(log)).collect();
        for ((log, pid), before) in holders.iter().zip(before) {
            let (begin, own) = match last_taken(&before, *pid) {
                Some(item) => (format!("taken {item} "), format!("taken {item} {pid}")),
                None => ("write ".to_owned(), format!("write {pid} ")),
            };
            let is_next = |line: &str| line.starts_with(&begin) && !line.starts_with(&own);
            self.await_line(log, before.len(), is_next, &format!("one comes after {pid}"));
        }
    }

    /// Waits until these have written once more, each behind its successor.
    fn await_late_writes(&self, holders: &[(&str, u32)]) {
        for (log, pid) in holders.iter().filter(|(log, _)| *log != QUEUE) {
            let late = format!("write {pid} ");
            self.await_line(log, self.log(log).len(), |line| line.starts_with(&late), &late);
        }
    }

    /// Waits for a line of a log behind these bytes.
    fn await_line(&self, log: &str, behind: usize, is_meant: impl Fn(&str) -> bool, what: &str) {
        let is_there = || self.log(log)[behind..].lines().any(&is_meant).then_some(());
        await_that(PATIENCE, &format!("{log} has the line: {what}"), is_there);
    }

    /// Lets these go on, and waits until they have ended: their sessions are over.
    fn await_over(&self, holders: &[(&str, u32)]) {
        self.contenders.iter().for_each(|contender| remove(&contender.linger));
        for (log, pid) in holders {
            let over = format!("over {pid}");
            self.await_line(log, 0, |line| line == over, &over);
        }
    }
}

fn kill_and_launch(ensemble: &mut Ensemble, server: u8, pause: Duration) {
    ensemble.kill(server);
    std::thread::sleep(pause);
    ensemble.launch(server);
}

/// The last that lingers in a piece of a log. Its last line may be incomplete.
fn lingerer(log: &str) -> Option<u32> {
    let complete = &log[..log.rfind('\n')?];
    let line = complete.lines().rfind(|line| line.starts_with("lingering "))?;
    line.split(' ').filter_map(|word| word.parse().ok()).next()
}

/// What a worker has last taken, in the log of a queue.
fn last_taken(log: &str, pid: u32) -> Option<&str> {
    let end = format!(" {pid}");
    let mut taken = log.lines().filter_map(|line| line.strip_prefix("taken ")?.strip_suffix(&end));
    taken.next_back()
}

fn remove(file: &Path) {
    // It may not be there.
    let _ = fs::remove_file(file);
}
