//! How long no client can write when the leader of three servers fails.
//!
//! ```sh
//! cargo run --release -p ostler-tests --example failover -- --engine raft --rounds 20 --fault kill
//! ```
//!
//! Prints every round, then the medians. Rounds of all that is measured follow each other in turn,
//! so that other load of the machine affects all of them alike. Build the server first, as a
//! release: it is looked for beside this program, or where `OSTLER_BIN` says.

mod clients;
mod round;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use ostler_tests::ensemble::{Engine, Ensemble, Layout};
use ostler_tests::generate::Random;
use ostler_tests::measure::{Spread, run_folder};
use ostler_tests::process::has_zookeeper;

use round::{Fault, Round};

/// Measures how long no client can write when the leader of three servers fails.
#[derive(Debug, Parser)]
struct Args {
    /// Ostler's consensus engine: raft, paxos. Default: both.
    #[arg(long = "engine", value_delimiter = ',', default_values = ["raft", "paxos"])]
    engines: Vec<Engine>,
    /// The leader's fault. Default: all of them.
    #[arg(long = "fault", value_enum, value_delimiter = ',', default_values = ["kill", "stop", "partition", "handover"])]
    faults: Vec<Fault>,
    /// Rounds of each fault for each ensemble.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Measure Apache ZooKeeper too, round by round in turn with Ostler. It takes java and mvn, and
    /// can not be partitioned here.
    #[arg(long)]
    against_zookeeper: bool,
    /// Where the data of all servers are while this runs: a disk, for a file system in memory
    /// flushes nothing.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
    /// Print what the servers logged in a round in which the first write took longer than this many
    /// milliseconds.
    #[arg(long)]
    logs_above_ms: Option<f64>,
}

/// An ensemble and what was measured of it.
struct Subject {
    ensemble: Ensemble,
    rounds: Vec<Round>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.against_zookeeper && !has_zookeeper() {
        return ExitCode::FAILURE;
    }
    let folder = match run_folder(&args.dir, "failover") {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("{}: {error}", args.dir.display());
            return ExitCode::FAILURE;
        }
    };
    measure(&args);
    drop(folder);
    ExitCode::SUCCESS
}

fn measure(args: &Args) {
    let mut engines = args.engines.clone();
    engines.extend(args.against_zookeeper.then_some(Engine::ZooKeeper));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let mut random = Random::new(now.as_nanos() as u64);
    let mut summary = Vec::new();
    for fault in &args.faults {
        let concerned = engines.iter().filter(|engine| fault.can_befall(**engine));
        let mut subjects: Vec<Subject> = concerned.map(|engine| start(*engine, *fault)).collect();
        for number in 1..=args.rounds {
            subjects.iter_mut().for_each(|subject| measure_round(subject, *fault, number, &mut random, args));
        }
        summary.extend(subjects.iter().filter_map(|subject| row(subject, *fault)));
    }
    println!("\nmilliseconds from the fault, median [least–most]");
    let columns = ["first write", "longest stall", "the leader's client", "silence"];
    let columns = columns.map(|column| format!("{column:>26}")).join(" ");
    println!("{:<9} {:<9} {columns} connections closed", "", "");
    summary.iter().for_each(|row| println!("{row}"));
}

/// Three servers, and a znode to write.
fn start(engine: Engine, fault: Fault) -> Subject {
    let layout = Layout { direct: fault != Fault::Partition, ..Layout::voters(3) };
    let ensemble = Ensemble::start_as(engine, layout, &[]);
    clients::prepare(ensemble.address(1));
    Subject { ensemble, rounds: Vec::new() }
}

fn measure_round(subject: &mut Subject, fault: Fault, number: usize, random: &mut Random, args: &Args) {
    let Subject { ensemble, rounds } = subject;
    let begun = logged(ensemble);
    let round = round::run(ensemble, fault, random);
    println!("{:<9} {:<9} {number:>3}: {round}", ensemble.engine().name(), fault.name());
    if args.logs_above_ms.is_some_and(|limit| round.first_ms > limit) {
        println!("the fault was at {}", time_of_day(round.at));
        print_logs(ensemble, &begun);
    }
    rounds.push(round);
}

/// How much each server has logged so far.
fn logged(ensemble: &Ensemble) -> Vec<usize> {
    ensemble.servers().into_iter().map(|server| ensemble.log(server).len()).collect()
}

/// As it is in the logs of servers that tell the time in UTC.
fn time_of_day(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seconds = since.as_secs() % 86_400;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, since.subsec_micros())
}

fn print_logs(ensemble: &Ensemble, begun: &[usize]) {
    for (server, begun) in ensemble.servers().into_iter().zip(begun) {
        println!("--- log of server.{server}\n{}", ensemble.log(server).get(*begun..).unwrap_or_default());
    }
}

fn row(subject: &Subject, fault: Fault) -> Option<String> {
    let of = |figure: fn(&Round) -> f64| Some(Spread::of(subject.rounds.iter().map(figure))?.to_string());
    let first = of(|round| round.first_ms)?;
    let stall = of(|round| round.stall_ms)?;
    let moved = of(|round| round.moved_ms)?;
    let silence = of(|round| round.silence_ms)?;
    let closed: usize = subject.rounds.iter().map(|round| round.closed).sum();
    let (engine, fault) = (subject.ensemble.engine().name(), fault.name());
    Some(format!("{engine:<9} {fault:<9} {first:>26} {stall:>26} {moved:>26} {silence:>26} {closed:>18}"))
}
