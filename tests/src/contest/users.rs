//! Programs that use recipes without a command of `ostler`: counters, groups, barriers, double
//! barriers and leases.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Contender, Contest, PATIENCE, TIMEOUT_MS, signal};
use crate::contest_log::Holds;
use crate::jute::Reader;
use crate::links::Link;
use crate::process::example;
use crate::recipe_log::{Counts, Gate, Rounds, unlisted};
use crate::request::{Request, op};
use crate::session::{Session, get_data};
use crate::waiting::await_that;

/// The logs.
const COUNT: &str = "count";
const GROUP: &str = "group";
const ROUNDS: &str = "rounds";
const GATE: &str = "gate";
const LEASE: &str = "lease";

/// Those who meet in a double barrier: as many as `faults_worker` says.
const PARTICIPANTS: usize = 3;

/// How much later than after its session timeout a member that was killed may be listed. Generous:
/// a busy machine.
const SLACK: Duration = Duration::from_secs(15);

impl Contest {
    /// Starts programs of all kinds, which end when there is the file `stop`.
    pub fn use_recipes(&mut self) {
        let kinds = [("count", COUNT, 3), ("join", GROUP, 4), ("rounds", ROUNDS, PARTICIPANTS)];
        for (kind, log, count) in
            kinds.into_iter().chain([("gate", GATE, 1), ("pass", GATE, 2), ("lease", LEASE, 3)])
        {
            for number in self.contenders.len()..self.contenders.len() + count {
                let (worker, servers) = (example("faults_worker"), self.servers(number));
                let program =
                    format!("{} {kind} {servers} {number} {log} stop linger-{number}", worker.display());
                self.enter(number, log, &program, "", "stop");
            }
        }
    }

    /// What the log of the counter shows.
    pub fn counts(&self) -> Counts {
        Counts::read(&self.log(COUNT))
    }

    /// What the log of the double barriers shows.
    pub fn rounds(&self) -> Rounds {
        Rounds::read(&self.log(ROUNDS), PARTICIPANTS)
    }

    /// What the log of the barrier shows.
    pub fn gate(&self) -> Gate {
        Gate::read(&self.log(GATE))
    }

    /// What the log of the lease shows.
    pub fn leases(&self) -> Holds {
        Holds::read(&self.log(LEASE), 1)
    }

    /// What members of the group have seen and must not see.
    pub fn unlisted(&self) -> Vec<String> {
        unlisted(&self.log(GROUP))
    }

    /// The number of the counter.
    pub fn number(&mut self) -> u64 {
        let number = self.session().must(&get_data("/count"));
        std::str::from_utf8(number.buffer()).expect("text").parse().expect("a number")
    }

    /// Stops one of each kind for longer than its session lives.
    pub fn stop_some(&mut self) {
        let mut victims = self.let_linger(&[ROUNDS, LEASE], |_| true);
        let member = self.await_members()[0];
        victims.push((GROUP, member));
        let ended = victims.clone();
        victims.extend([COUNT, GATE].into_iter().filter_map(|log| Some((log, self.one_of(log)?))));
        for (log, pid) in &victims {
            self.note(log, "stopped", *pid);
            signal(*pid, Signal::STOP);
        }
        self.await_others(&ended, &[member]);
        victims.iter().for_each(|(_, pid)| signal(*pid, Signal::CONT));
        self.await_over(&ended);
    }

    /// Cuts all behind the entrances off until their sessions are over. One that has the lease has
    /// to notice in time.
    pub fn cut_some_off(&mut self) {
        let mut ended = self.let_linger(&[ROUNDS, LEASE], |contender| contender.is_behind_entrances);
        self.await_members();
        let cut = self.contenders.iter().filter(|one| one.is_behind_entrances && one.log != LEASE);
        let cut: Vec<_> = cut.filter_map(|one| Some((one.log, one.pid()?))).collect();
        cut.iter().for_each(|(log, pid)| self.note(log, "cut", *pid));
        let members: Vec<u32> = cut.iter().filter(|(log, _)| *log == GROUP).map(|(_, pid)| *pid).collect();
        self.entrances.iter().for_each(|entrance| entrance.set(Link::Hole));
        self.await_others(&ended, &members);
        self.entrances.iter().for_each(|entrance| entrance.set(Link::Open));
        ended.extend(members.iter().map(|pid| (GROUP, *pid)));
        self.await_over(&ended);
    }

    /// Kills half of the group. The others are listed all the time, and those that were killed no
    /// longer than their sessions live.
    pub fn kill_members(&mut self) {
        let mut members = self.await_members();
        let killed = members.split_off(members.len() / 2);
        killed.iter().for_each(|pid| signal(*pid, Signal::KILL));
        let begun = Instant::now();
        while self.listed().iter().any(|pid| killed.contains(pid)) {
            let limit = Duration::from_millis(TIMEOUT_MS) + SLACK;
            assert!(begun.elapsed() < limit, "{killed:?} are listed {limit:?} after their ends");
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("members are listed {:?} after their ends", begun.elapsed());
        let listed = self.await_members();
        assert!(members.iter().all(|pid| listed.contains(pid)), "{members:?} have lived: {listed:?}");
    }

    /// Waits until the group lists those that run and nobody else.
    fn await_members(&mut self) -> Vec<u32> {
        await_that(PATIENCE, "the group lists those that run", || {
            let running = self.contenders.iter().filter(|one| one.log == GROUP).map(Contender::pid);
            let running: Option<BTreeSet<u32>> = running.collect();
            running.filter(|running| *running == self.listed()).map(|pids| pids.into_iter().collect())
        })
    }

    /// The members of the group, by their process ids.
    fn listed(&mut self) -> BTreeSet<u32> {
        let mut session = self.session();
        let path = "/group".to_owned();
        let children = session.call(&Request::Read { op: op::GET_CHILDREN, path, watch: false });
        let mut reader = Reader::new(&children.body);
        let count = if children.err == 0 { reader.int().expect("a count") } else { 0 };
        let mut pids = BTreeSet::new();
        for _ in 0..count {
            let name = reader.buffer().expect("a name").expect("not null");
            let member = session.call(&get_data(&format!("/group/{}", String::from_utf8_lossy(name))));
            // It may have left meanwhile.
            if member.err == 0 {
                pids.extend(
                    std::str::from_utf8(member.buffer()).ok().and_then(|pid| pid.parse::<u32>().ok()),
                );
            }
        }
        pids
    }

    fn session(&mut self) -> Session {
        let leader = self.ensemble.await_leader();
        Session::open(self.ensemble.address(leader), 10_000).expect("a session")
    }

    /// One that runs.
    fn one_of(&mut self, log: &str) -> Option<u32> {
        let pids = self.contenders.iter().filter(|one| one.log == log).filter_map(Contender::pid);
        let pids: Vec<u32> = pids.collect();
        pids.get(self.random.below(pids.len().max(1) as u64) as usize).copied()
    }

    /// Waits until another one has what each of these has had, and the group does not list its
    /// members.
    fn await_others(&mut self, victims: &[(&str, u32)], members: &[u32]) {
        for (log, pid) in victims.iter().filter(|(log, _)| *log != GROUP) {
            let word = if *log == LEASE { "write" } else { "left" };
            let own = format!("{word} {pid} ");
            let is_other = |line: &str| line.starts_with(&format!("{word} ")) && !line.starts_with(&own);
            self.await_line(log, self.log(log).len(), is_other, &format!("one goes on without {pid}"));
        }
        await_that(PATIENCE, "those who are away are not listed", || {
            let listed = self.listed();
            members.iter().all(|pid| !listed.contains(pid)).then_some(())
        });
    }
}
