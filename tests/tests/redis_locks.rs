//! When two hold one lock, and what that does to a file: the lock of one Redis, Redlock over five
//! of them, and `ostler lock`, through the same events.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::clock::Clock;
use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::process::{Kind, Server, Signal, ostler_binary};
use ostler_tests::redis::{Connection, Hold, Redis, Redlock, Reply, random_value};
use ostler_tests::waiting::await_that;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

/// Only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
const LOCK: &str = "lock";
/// A lease that ends while its holder is paused. Locking five instances takes less, even on a busy
/// machine.
const SHORT_LEASE: Duration = Duration::from_secs(2);
/// A lease that outlasts a test, so that all its holders are right to believe that they have it.
const LONG_LEASE: Duration = Duration::from_secs(600);

/// What the lock protects: a file with a line for each write, and one that refuses writes with a
/// lower token than it has seen.
struct Shared {
    folder: TempDir,
    highest: i64,
}

impl Shared {
    fn new() -> Shared {
        Shared { folder: tempfile::tempdir().expect("a temporary folder"), highest: 0 }
    }

    fn write(&mut self, holder: &str, token: i64) {
        self.append("all", holder);
        if token >= self.highest {
            self.highest = token;
            self.append("fenced", holder);
        }
    }

    fn append(&self, name: &str, holder: &str) {
        let text = self.read(name) + holder + "\n";
        fs::write(self.folder.path().join(name), text).expect("write the file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// How many writes of a holder came after one of the next holder.
    fn late(&self, name: &str) -> usize {
        let text = self.read(name);
        let mut holders: Vec<&str> = Vec::new();
        let mut late = 0;
        for line in text.lines() {
            if !holders.contains(&line) {
                holders.push(line);
            }
            late += usize::from(holders.last() != Some(&line));
        }
        late
    }
}

#[test]
fn late_writes_are_counted() {
    let mut shared = Shared::new();
    for (holder, token) in [("a", 1), ("a", 1), ("b", 2), ("a", 1), ("b", 2), ("a", 1), ("c", 3)] {
        shared.write(holder, token);
    }
    assert_eq!((shared.late("all"), shared.late("fenced")), (2, 0));
}

/// The lock of one instance, with a token from a counter in the same instance.
struct Single {
    redis: Connection,
    lease: Duration,
}

impl Single {
    fn lock(address: SocketAddr, lease: Duration) -> (Single, i64) {
        let mut redis = Connection::open(address).expect("a connection");
        await_that(PATIENCE, "the lock is free", || {
            redis.lock(LOCK, &random_value(), lease).expect("an answer").then_some(())
        });
        let Reply::Integer(token) = redis.ask(&["INCR", "token"]).expect("an answer") else {
            panic!("a counter is a number")
        };
        (Single { redis, lease }, token)
    }

    /// Whether another client gets the lock at this moment; it keeps it.
    fn is_free(&mut self) -> bool {
        self.redis.lock(LOCK, &random_value(), self.lease).expect("an answer")
    }
}

#[test]
fn a_paused_holder_of_one_redis_writes_late_and_only_a_counter_tells() {
    let Some(redis) = Redis::start() else { return };
    let mut shared = Shared::new();
    let (_, first) = Single::lock(redis.address(), SHORT_LEASE);
    shared.write("first", first);
    // Here the first one is paused, between looking at its watch and its next write.
    let (_, second) = Single::lock(redis.address(), LONG_LEASE);
    shared.write("second", second);
    shared.write("first", first);
    assert_eq!((shared.late("all"), shared.late("fenced")), (1, 0), "tokens {first} and {second}");
}

#[test]
fn one_redis_that_forgets_has_two_holders_and_its_counter_refuses_the_wrong_one() {
    let Some(mut redis) = Redis::start() else { return };
    let mut shared = Shared::new();
    // Earlier holders have counted.
    Connection::open(redis.address()).and_then(|mut redis| redis.ask(&["SET", "token", "7"])).expect("OK");
    let (mut holder, first) = Single::lock(redis.address(), LONG_LEASE);
    shared.write("first", first);
    assert!(!holder.is_free(), "the lock excludes");
    redis.restart();
    let (_, second) = Single::lock(redis.address(), LONG_LEASE);
    shared.write("second", second);
    shared.write("first", first);
    assert_eq!(shared.late("all"), 1);
    assert!(second < first && shared.read("fenced") == "first\nfirst\n", "tokens {first} and {second}");
}

#[test]
fn a_clock_that_jumps_gives_the_lock_of_one_redis_to_two_and_only_a_counter_tells() {
    let clock = Clock::build();
    let Some(redis) = Redis::start_in_environment(clock.environment()) else { return };
    let mut shared = Shared::new();
    let (mut holder, first) = Single::lock(redis.address(), LONG_LEASE);
    shared.write("first", first);
    assert!(!holder.is_free(), "the lock excludes");
    clock.jump(LONG_LEASE.as_secs() as i64 + 1);
    let (_, second) = Single::lock(redis.address(), LONG_LEASE);
    shared.write("second", second);
    shared.write("first", first);
    assert_eq!((shared.late("all"), shared.late("fenced")), (1, 0), "tokens {first} and {second}");
}

/// Five instances; one has a clock of its own.
fn five(clock: Option<&Clock>) -> Option<Vec<Redis>> {
    let environment = |number| clock.filter(|_| number == JUMPER).map(Clock::environment).unwrap_or_default();
    (0..5).map(|number| Redis::start_in_environment(environment(number))).collect()
}

/// The instance that forgets, or whose clock jumps: it belongs to two majorities.
const JUMPER: usize = 2;

fn client(servers: &[Redis]) -> Redlock {
    Redlock::new(servers.iter().map(Redis::address))
}

fn redlock(servers: &[Redis], lease: Duration) -> Hold {
    let mut client = client(servers);
    await_that(PATIENCE, "the lock is free", || client.try_lock(LOCK, lease))
}

/// Redlock gives no token, so nothing can tell writes apart: both have 0.
fn write_in_turn(shared: &mut Shared) {
    ["first", "second", "first"].into_iter().for_each(|holder| shared.write(holder, 0));
}

#[test]
fn redlock_excludes_and_is_released() {
    let Some(servers) = five(None) else { return };
    let hold = redlock(&servers, LONG_LEASE);
    let mut other = client(&servers);
    assert_eq!(hold.granted_by, 5);
    assert!(other.try_lock(LOCK, LONG_LEASE).is_none());
    client(&servers).unlock(LOCK, &hold);
    assert!(other.try_lock(LOCK, LONG_LEASE).is_some());
}

#[test]
fn a_paused_holder_of_redlock_writes_late_and_nothing_tells() {
    let Some(servers) = five(None) else { return };
    let mut shared = Shared::new();
    redlock(&servers, SHORT_LEASE);
    // Here the first one is paused, between looking at its watch and its next write.
    redlock(&servers, LONG_LEASE);
    write_in_turn(&mut shared);
    assert_eq!((shared.late("all"), shared.late("fenced")), (1, 1));
}

/// The first holder gets three of five, because two are down; then `happens` to one of the three.
fn two_majorities(clock: Option<&Clock>, happens: impl FnOnce(&mut Redis)) {
    let Some(mut servers) = five(clock) else { return };
    servers[3..].iter_mut().for_each(Redis::kill);
    let first = redlock(&servers, LONG_LEASE);
    assert_eq!(first.granted_by, 3);
    servers[3..].iter_mut().for_each(Redis::launch);
    assert!(client(&servers).try_lock(LOCK, LONG_LEASE).is_none(), "two of five are no majority");
    happens(&mut servers[JUMPER]);
    let second = redlock(&servers, LONG_LEASE);
    assert_eq!(second.granted_by, 3);
    let now = Instant::now();
    assert!(now < first.valid_until && now < second.valid_until, "both hold the lock, nobody was paused");
    let mut shared = Shared::new();
    write_in_turn(&mut shared);
    assert_eq!((shared.late("all"), shared.late("fenced")), (1, 1));
}

#[test]
fn one_instance_that_forgets_gives_redlock_two_majorities() {
    two_majorities(None, Redis::restart);
}

#[test]
fn one_clock_that_jumps_gives_redlock_two_majorities() {
    let clock = Clock::build();
    two_majorities(Some(&clock), |_| clock.jump(LONG_LEASE.as_secs() as i64 + 1));
}

/// `ostler lock` with a command in the folder of the file; `write NAME` writes to it as
/// [`Shared::write`] does.
fn ostler(servers: &[SocketAddr], options: &[&str], shared: &Shared, script: &str) -> Command {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let write = "write() { echo $1 >> all; if test $OSTLER_TOKEN -ge $(cat highest 2>/dev/null || echo 0); \
                 then echo $OSTLER_TOKEN > highest; echo $1 >> fenced; fi; }";
    let mut command = Command::new(ostler_binary());
    command.arg("lock").args(["-s", &servers.join(",")]).args(options).args(["/lock", "--", "sh", "-c"]);
    command.arg(format!("{write}; {script}")).current_dir(shared.folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A process that is killed if the test fails.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Process {
        Process(command.spawn().expect("run ostler"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("send a signal");
    }

    fn code(&mut self) -> Option<i32> {
        await_that(PATIENCE, "ostler ends", || self.0.try_wait().expect("ostler")).code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn await_lines(shared: &Shared, more_than: usize) {
    await_that(PATIENCE, "writes", || (shared.read("all").lines().count() > more_than).then_some(()));
}

fn is_refused(servers: &[SocketAddr], shared: &Shared) -> bool {
    let tried: Output = ostler(servers, &["--nonblock"], shared, "exit 0").output().expect("run ostler");
    match tried.status.code() {
        Some(1) => true,
        Some(0) => false,
        _ => panic!("{tried:?}"),
    }
}

fn touch(shared: &Shared, name: &str) {
    fs::write(shared.folder.path().join(name), "").expect("write a file");
}

const AWAIT_GO: &str = "while ! test -e go; do sleep 0.05; done";

#[test]
fn a_stopped_holder_of_ostler_writes_late_and_its_token_is_refused() {
    let server = Server::start(Kind::Ostler).expect("the server");
    let (shared, servers) = (Shared::new(), [server.address()]);
    let script = format!("write first; {AWAIT_GO}; write first; sleep 600");
    let mut first = Process::start(ostler(&servers, &["--timeout", "4000"], &shared, &script));
    await_lines(&shared, 0);
    first.signal(Signal::STOP);
    let mut second = Process::start(ostler(&servers, &[], &shared, "write second"));
    assert_eq!(second.code(), Some(0));
    // The command of the first one is not stopped, only what would end it.
    touch(&shared, "go");
    await_lines(&shared, 2);
    assert_eq!(shared.read("all"), "first\nsecond\nfirst\n");
    assert_eq!((shared.late("all"), shared.late("fenced")), (1, 0));
    first.signal(Signal::CONT);
    assert_eq!(first.code(), Some(124), "the holder learns that it has lost the lock");
}

/// Leaders that are killed, and a member that loses its disk.
fn faults_leave_one_holder(engine: Engine) {
    let mut ensemble = Ensemble::start(engine, 3, &[]);
    let (shared, servers) = (Shared::new(), ensemble.addresses());
    let script = "while ! test -e go; do write first; sleep 0.05; done";
    let options = ["--timeout", "40000", "--grace", "1"];
    let mut first = Process::start(ostler(&servers, &options, &shared, script));
    await_lines(&shared, 0);
    let mut second = Process::start(ostler(&servers, &options, &shared, "write second; write second"));
    ensemble.await_that("both are in the queue", |ensemble| {
        (ensemble.count(ensemble.leader()?, "zk_ephemerals_count") == Some(2)).then_some(())
    });
    for is_wiped in [false, true, false] {
        let leader = ensemble.await_leader();
        let victim = if is_wiped { leader % 3 + 1 } else { leader };
        ensemble.kill(victim);
        ensemble.await_serving();
        await_lines(&shared, shared.read("all").lines().count());
        if is_wiped {
            ensemble.wipe(victim);
        }
        ensemble.launch(victim);
        ensemble.await_serving();
        ensemble.await_votes();
    }
    for server in &servers {
        assert!(is_refused(&[*server], &shared), "{server} gives the lock to another");
    }
    touch(&shared, "go");
    assert_eq!((first.code(), second.code()), (Some(0), Some(0)));
    assert!(shared.read("all").ends_with("first\nsecond\nsecond\n"), "{}", shared.read("all"));
    assert_eq!((shared.late("all"), shared.late("fenced")), (0, 0));
}

#[test]
fn killed_leaders_and_a_lost_disk_leave_one_holder_of_ostler_by_raft() {
    faults_leave_one_holder(Engine::Raft);
}

#[test]
fn killed_leaders_and_a_lost_disk_leave_one_holder_of_ostler_by_paxos() {
    faults_leave_one_holder(Engine::Paxos);
}

/// The time of the last change of a znode, as its server tells it.
fn changed(server: SocketAddr, path: &Path) -> String {
    let shell = |words: &[&str]| {
        let mut command = Command::new(ostler_binary());
        command.args(["shell", "-s", &server.to_string()]).args(words).arg(path).stdin(Stdio::null());
        let done = command.output().expect("run ostler");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("text")
    };
    shell(&["create"]);
    let told = shell(&["stat"]);
    told.lines().find(|line| line.starts_with("ctime")).expect("its ctime").to_owned()
}

#[test]
fn a_clock_that_jumps_leaves_one_holder_of_ostler() {
    let clock = Clock::build();
    let server = Server::start_in_environment(clock.environment(), &[]);
    let (shared, servers) = (Shared::new(), [server.address()]);
    let script = format!("write first; {AWAIT_GO}; write first");
    let mut first = Process::start(ostler(&servers, &["--timeout", "4000"], &shared, &script));
    await_lines(&shared, 0);
    let year = |text: &str| text.split_whitespace().last().and_then(|word| word.parse::<u32>().ok());
    let before = changed(server.address(), Path::new("/before"));
    clock.jump(2 * 366 * 24 * 3600);
    let after = changed(server.address(), Path::new("/after"));
    assert!(year(&after) > year(&before).map(|year| year + 1), "the server's clock jumps: {before} {after}");
    // For longer than the session timeout.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        assert!(is_refused(&servers, &shared), "a second holder");
    }
    let mut second = Process::start(ostler(&servers, &[], &shared, "write second"));
    touch(&shared, "go");
    assert_eq!((first.code(), second.code()), (Some(0), Some(0)));
    assert_eq!(shared.read("all"), "first\nfirst\nsecond\n");
}
