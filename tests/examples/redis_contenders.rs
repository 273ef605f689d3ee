//! Contenders for the lock of one Redis, or for Redlock over five; `bench/locks.sh` compares them
//! with those for other locks.
//!
//! Each takes the lock and releases it at once, over and over, and asks again after a random pause
//! when somebody else holds it: Redis wakes nobody. Prints acquisitions, acquisitions a second, the
//! time from asking for the lock to having it (median and 99th percentile, in ms), and the commands
//! that Redis has executed for each acquisition.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use ostler_tests::redis::{Connection, Hold, Redis, Redlock, random_value};

const LOCK: &str = "lock";
const LEASE: Duration = Duration::from_secs(30);

/// Measures how fast contenders pass on a lock of Redis, which is started for it.
#[derive(Debug, Parser)]
struct Args {
    /// The lock.
    which: Which,
    /// How many contend.
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    contenders: u16,
    /// For how long, in seconds.
    seconds: u16,
    /// The longest pause before a contender asks again, in ms.
    #[arg(long, default_value_t = 2)]
    pause_ms: u16,
}

/// A lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Of one instance.
    Single,
    /// Of a majority of five.
    Redlock,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let instances = if args.which == Which::Single { 1 } else { 5 };
    let servers: Option<Vec<Redis>> = (0..instances).map(|_| Redis::start()).collect();
    let Some(servers) = servers else { return ExitCode::FAILURE };
    let addresses: Vec<SocketAddr> = servers.iter().map(Redis::address).collect();
    let before = commands(&servers);
    let began = Instant::now();
    let end = began + Duration::from_secs(args.seconds.into());
    let mut waits: Vec<Duration> = std::thread::scope(|scope| {
        let start = |_| scope.spawn(|| take_turns(Contender::new(&addresses), end, args.pause_ms));
        let works: Vec<_> = (0..args.contenders).map(start).collect();
        works.into_iter().flat_map(|work| work.join().expect("a contender")).collect()
    });
    let (elapsed, executed) = (began.elapsed().as_secs_f64(), commands(&servers) - before);
    waits.sort_unstable();
    let (count, last) = (waits.len() as f64, waits.len().saturating_sub(1));
    let percentile = |percent: usize| {
        let wait: Option<&Duration> = waits.get(last * percent / 100);
        wait.map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    };
    let (p50, p99) = (percentile(50), percentile(99));
    println!("{count} {:.1} {p50:.2} {p99:.2} {:.2}", count / elapsed, executed / count);
    ExitCode::SUCCESS
}

/// Commands that the servers have executed.
fn commands(servers: &[Redis]) -> f64 {
    servers.iter().map(|server| server.commands() as f64).sum()
}

/// A client of a lock.
enum Contender {
    Single(Connection),
    Redlock(Redlock),
}

/// What it needs to release it.
enum Held {
    Single(String),
    Redlock(Hold),
}

impl Contender {
    fn new(servers: &[SocketAddr]) -> Contender {
        match servers {
            [only] => Contender::Single(Connection::open(*only).expect("a connection")),
            _ => Contender::Redlock(Redlock::new(servers.iter().copied())),
        }
    }

    fn try_lock(&mut self) -> Option<Held> {
        match self {
            Contender::Single(redis) => {
                let value = random_value();
                redis.lock(LOCK, &value, LEASE).expect("an answer").then_some(Held::Single(value))
            }
            Contender::Redlock(client) => client.try_lock(LOCK, LEASE).map(Held::Redlock),
        }
    }

    fn unlock(&mut self, held: &Held) {
        match (self, held) {
            (Contender::Single(redis), Held::Single(value)) => {
                redis.unlock(LOCK, value).expect("an answer");
            }
            (Contender::Redlock(client), Held::Redlock(hold)) => client.unlock(LOCK, hold),
            _ => unreachable!("a contender has one kind of lock"),
        }
    }
}

/// How long each acquisition took until `end`; those that did not succeed until then do not count.
fn take_turns(mut contender: Contender, end: Instant, pause_ms: u16) -> Vec<Duration> {
    let mut waits = Vec::new();
    loop {
        let asked = Instant::now();
        let held = loop {
            if Instant::now() >= end {
                return waits;
            }
            match contender.try_lock() {
                Some(held) => break held,
                None => std::thread::sleep(pause(pause_ms)),
            }
        };
        waits.push(asked.elapsed());
        contender.unlock(&held);
    }
}

fn pause(longest_ms: u16) -> Duration {
    let random = u32::from_str_radix(&random_value()[..4], 16).expect("a hexadecimal number");
    Duration::from_millis(longest_ms.into()) * random / 0xffff
}
