//! What a slow follower costs clients that write through the other two servers: nothing should be
//! waited for but a majority.
//!
//! ```sh
//! cargo run --release -p ostler-tests --example slow_minority -- --engine raft --slowness disk --rounds 7
//! ```
//!
//! A round is the same load twice, once with the follower as it is and once with it made slow. The
//! load is `ostler bench` at the leader and the follower that is never slowed. Build the server
//! first, as a release: it is looked for beside this program, or where `OSTLER_BIN` says.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ostler_tests::ensemble::{Engine, Ensemble, Layout};
use ostler_tests::links::Link;
use ostler_tests::measure::{Spread, run_folder};
use ostler_tests::process::ostler_binary;
use serde_json::Value;

/// The delay of each flush on a slow disk.
const FLUSH_DELAY: Duration = Duration::from_millis(50);

/// How much later everything arrives on slow links.
const LINK_DELAY: Duration = Duration::from_millis(20);

/// Measures what a slow follower costs clients that write through the other two of three servers.
#[derive(Debug, Parser)]
struct Args {
    /// The consensus engine: raft, paxos. Default: both.
    #[arg(long = "engine", value_delimiter = ',', default_values = ["raft", "paxos"])]
    engines: Vec<Engine>,
    /// What makes the follower slow. Default: all of them.
    #[arg(long = "slowness", value_enum, value_delimiter = ',', default_values = ["disk", "stop", "links", "absent"])]
    slownesses: Vec<Slowness>,
    /// Rounds of each.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Measured time of either half of a round, after a second that does not count.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Writes a second on schedule, instead of as many as 32 connections make that each wait for
    /// their reply.
    #[arg(long)]
    rate: Option<u64>,
    /// Where the data of all servers are while this runs: a disk, for a file system in memory
    /// flushes nothing.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
}

/// What makes a follower slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Slowness {
    /// Each flush takes 50 ms longer.
    Disk,
    /// Its process is stopped, with all connections open.
    Stop,
    /// Its messages, in both directions, take 20 ms longer.
    Links,
    /// It does not run at all, for comparison: without it a write has to wait for the one other
    /// follower, and not for the quicker of two.
    Absent,
}

impl Slowness {
    fn name(self) -> &'static str {
        match self {
            Slowness::Disk => "disk",
            Slowness::Stop => "stop",
            Slowness::Links => "links",
            Slowness::Absent => "absent",
        }
    }

    /// Proxies use processor time that servers and load could use, so there are none unless needed.
    fn layout(self) -> Layout {
        let (slow_disks, direct) = (self == Slowness::Disk, self != Slowness::Links);
        Layout { slow_disks, direct, ..Layout::voters(3) }
    }

    fn set(self, ensemble: &mut Ensemble, follower: u8, slow: bool) {
        let or_not = |delay: Duration| if slow { delay } else { Duration::ZERO };
        match self {
            Slowness::Disk => ensemble.slow_down(follower, or_not(FLUSH_DELAY)),
            Slowness::Stop => ensemble.pause(follower, slow),
            Slowness::Links if slow => ensemble.links.set_around(follower, Link::Slow(LINK_DELAY)),
            Slowness::Links => ensemble.links.heal(),
            Slowness::Absent if slow => ensemble.kill(follower),
            Slowness::Absent => ensemble.launch(follower),
        }
    }
}

/// What the load measured.
#[derive(Clone, Copy, Debug)]
struct Figures {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Both halves of a round.
struct Round {
    plain: Figures,
    slow: Figures,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let folder = match run_folder(&args.dir, "slow-minority") {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("{}: {error}", args.dir.display());
            return ExitCode::FAILURE;
        }
    };
    let mut summary = Vec::new();
    for engine in &args.engines {
        for slowness in &args.slownesses {
            let mut ensemble = Ensemble::start_as(*engine, slowness.layout(), &[]);
            let rounds = (1..=args.rounds).map(|number| run(&mut ensemble, *slowness, number, &args));
            let rounds: Vec<Round> = rounds.collect();
            summary.extend(row(*engine, *slowness, &rounds));
        }
    }
    println!("\nmedian [least–most]; the ratios are of the halves of each round");
    println!("{:<6} {:<6} {:>24} {:>24} {:>20} {:>20}", "", "", "p99 ms", "slow", "p50 ratio", "p99 ratio");
    summary.iter().for_each(|row| println!("{row}"));
    drop(folder);
    ExitCode::SUCCESS
}

/// Either half comes first every other round: what grows with time, such as the log, affects both.
fn run(ensemble: &mut Ensemble, slowness: Slowness, number: usize, args: &Args) -> Round {
    let slow_first = number.is_multiple_of(2);
    let [first, second] = [slow_first, !slow_first].map(|slow| half(ensemble, slowness, slow, args));
    let (plain, slow) = if slow_first { (second, first) } else { (first, second) };
    let name = ensemble.engine().name();
    println!(
        "{name:<6} {:<6} {number:>2}: p50 {:.2} ms, slow {:.2}; p99 {:.2} ms, slow {:.2}; {:.0} op/s, slow {:.0}",
        slowness.name(),
        plain.p50_ms,
        slow.p50_ms,
        plain.p99_ms,
        slow.p99_ms,
        plain.per_second,
        slow.per_second
    );
    Round { plain, slow }
}

/// The load, with a follower that is slow or is not. All three are in step before and after it.
fn half(ensemble: &mut Ensemble, slowness: Slowness, slow: bool, args: &Args) -> Figures {
    ensemble.await_in_step();
    let leader = ensemble.await_leader();
    let mut servers = ensemble.servers();
    let place = servers.iter().rposition(|server| *server != leader).expect("two followers");
    let follower = servers.remove(place);
    if slow {
        slowness.set(ensemble, follower, true);
    }
    let figures = load(ensemble, &servers, args);
    if ensemble.leader() != Some(leader) {
        println!("server.{leader} has led before, and does not any more");
    }
    if slow {
        slowness.set(ensemble, follower, false);
    }
    ensemble.await_in_step();
    figures
}

/// Writes of 32 connections.
fn load(ensemble: &Ensemble, servers: &[u8], args: &Args) -> Figures {
    let addresses: Vec<String> = servers.iter().map(|server| ensemble.address(*server).to_string()).collect();
    let mut bench = Command::new(ostler_binary());
    bench.args(["bench", "set", "--connections", "32", "--json", "--server", &addresses.join(",")]);
    bench.args(["--seconds", &args.seconds.to_string()]);
    match args.rate {
        Some(rate) => bench.args(["--rate", &rate.to_string()]),
        None => bench.args(["--depth", "1"]),
    };
    let output = bench.output().expect("ostler bench");
    assert!(output.status.success(), "ostler bench: {}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let median = |figure: &str| {
        report["sides"][0]["summary"][figure]["median"].as_f64().unwrap_or_else(|| panic!("no {figure}"))
    };
    Figures {
        per_second: median("operations_per_second"),
        p50_ms: median("latency_p50_us") / 1e3,
        p99_ms: median("latency_p99_us") / 1e3,
    }
}

fn row(engine: Engine, slowness: Slowness, rounds: &[Round]) -> Option<String> {
    let of = |figure: fn(&Round) -> f64| Some(format!("{:.2}", Spread::of(rounds.iter().map(figure))?));
    let plain = of(|round| round.plain.p99_ms)?;
    let slow = of(|round| round.slow.p99_ms)?;
    let p50_ratio = of(|round| round.slow.p50_ms / round.plain.p50_ms)?;
    let p99_ratio = of(|round| round.slow.p99_ms / round.plain.p99_ms)?;
    let (engine, slowness) = (engine.name(), slowness.name());
    Some(format!("{engine:<6} {slowness:<6} {plain:>24} {slow:>24} {p50_ratio:>20} {p99_ratio:>20}"))
}
