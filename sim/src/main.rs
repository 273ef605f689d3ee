//! `sim`: explores seeds, or runs one again.

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Parser;
use server::config::EngineKind;
use sim::plan::Plan;
use sim::shrink::shrink;
use sim::world;

/// Whole ensembles in one thread, from one seed.
#[derive(Parser)]
struct Options {
    /// Explore for this many seconds, on all processors.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How members agree: raft, paxos, or both in turn.
    #[arg(long)]
    engine: Option<String>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Run only this seed, and tell what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: leave out whatever the failure does not need, first.
    #[arg(long)]
    shrink: bool,
    /// With --seed: show what the members log, too.
    #[arg(long)]
    log: bool,
    /// Threads; 0 stands for as many as there are processors.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Go on after a failure, and count.
    #[arg(long)]
    keep_going: bool,
}

thread_local! {
    /// What this thread runs, for when it panics.
    static RUNNING: Cell<Option<(u64, EngineKind)>> = const { Cell::new(None) };
}

fn main() -> ExitCode {
    let options = Options::parse();
    let engines = match options.engine.as_deref() {
        None => vec![EngineKind::Raft, EngineKind::Paxos],
        Some("raft") => vec![EngineKind::Raft],
        Some("paxos") => vec![EngineKind::Paxos],
        Some(other) => {
            eprintln!("no engine is called {other}");
            return ExitCode::FAILURE;
        }
    };
    if options.log {
        tracing_subscriber::fmt().without_time().with_writer(std::io::stdout).with_ansi(false).init();
    }
    name_the_seed_of_a_panic();
    match options.seed {
        Some(seed) => replay(seed, &engines, options.shrink),
        None => explore(&options, &engines),
    }
}

/// An assertion of a member is a finding too.
fn name_the_seed_of_a_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some((seed, engine)) = RUNNING.get() {
            println!("seed {seed} {engine}: a member stops by an assertion: {panic}");
        }
        usual(panic);
    }));
}

fn replay(seed: u64, engines: &[EngineKind], smaller: bool) -> ExitCode {
    let mut failed = false;
    for engine in engines {
        RUNNING.set(Some((seed, *engine)));
        let whole = Plan::new(seed, *engine);
        let plan = if smaller { shrink(&whole) } else { whole };
        println!("{plan:?}");
        let outcome = world::run(&plan, true);
        println!("{engine}: {outcome:?}");
        failed |= outcome.violation.is_some();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whoever waits is told after so many runs.
const RUNS_PER_LINE: u64 = 10_000;

/// What all threads count.
struct Tally {
    next: AtomicU64,
    runs: AtomicU64,
    replies: AtomicU64,
    entries: AtomicU64,
    failures: AtomicU64,
    enough: AtomicBool,
}

fn explore(options: &Options, engines: &[EngineKind]) -> ExitCode {
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let tally = Tally {
        next: AtomicU64::new(options.first_seed),
        runs: AtomicU64::new(0),
        replies: AtomicU64::new(0),
        entries: AtomicU64::new(0),
        failures: AtomicU64::new(0),
        enough: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end && !tally.enough.load(Relaxed) {
                    let seed = tally.next.fetch_add(1, Relaxed);
                    engines.iter().for_each(|engine| try_one(seed, *engine, options.keep_going, &tally));
                }
            });
        }
    });
    let failures = tally.failures.load(Relaxed);
    println!(
        "{} runs, seeds {} to {}, {} entries, {} replies, {failures} failures",
        tally.runs.load(Relaxed),
        options.first_seed,
        tally.next.load(Relaxed) - 1,
        tally.entries.load(Relaxed),
        tally.replies.load(Relaxed),
    );
    if failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn try_one(seed: u64, engine: EngineKind, keep_going: bool, tally: &Tally) {
    RUNNING.set(Some((seed, engine)));
    let outcome = world::run(&Plan::new(seed, engine), false);
    let runs = tally.runs.fetch_add(1, Relaxed) + 1;
    if runs.is_multiple_of(RUNS_PER_LINE) {
        eprintln!("{runs} runs, at seed {seed}, {} failures", tally.failures.load(Relaxed));
    }
    tally.replies.fetch_add(outcome.replies as u64, Relaxed);
    tally.entries.fetch_add(outcome.entries as u64, Relaxed);
    if let Some(violation) = outcome.violation {
        tally.failures.fetch_add(1, Relaxed);
        println!("seed {seed} {engine}: {violation}");
        if !keep_going {
            tally.enough.store(true, Relaxed);
        }
    }
}
