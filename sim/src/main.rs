//! `sim`: explores seeds, or replays one.

use std::cell::Cell;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use clap::Parser;
use server::config::EngineKind;
use sim::plan::Plan;
use sim::shrink::shrink;
use sim::world;

/// Runs whole ensembles in one thread, each from one seed.
#[derive(Parser)]
struct Options {
    /// Explore for this many seconds, on all processors.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The consensus engine: raft, paxos, or both in turn.
    #[arg(long)]
    engine: Option<String>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Replay only this seed, and print what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: first leave out everything the failure does not need.
    #[arg(long)]
    shrink: bool,
    /// With --seed: print the members' log messages, too.
    #[arg(long)]
    log: bool,
    /// Number of threads; 0 means one per processor.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Continue after a failure, and count failures.
    #[arg(long)]
    keep_going: bool,
}

/// A run allocates and frees small pieces all the time, which takes a tenth less time than with the
/// system's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

thread_local! {
    /// What this thread runs, for the message of a panic.
    static RUNNING: Cell<Option<(u64, EngineKind)>> = const { Cell::new(None) };
}

fn main() -> ExitCode {
    let options = Options::parse();
    let engines = match options.engine.as_deref() {
        None => vec![EngineKind::Raft, EngineKind::Paxos],
        Some("raft") => vec![EngineKind::Raft],
        Some("paxos") => vec![EngineKind::Paxos],
        Some(other) => {
            eprintln!("unknown engine {other}: raft or paxos");
            return ExitCode::FAILURE;
        }
    };
    if options.log {
        tracing_subscriber::fmt().without_time().with_writer(std::io::stdout).with_ansi(false).init();
    }
    print_seed_on_panic();
    match options.seed {
        Some(seed) => replay(seed, &engines, options.shrink),
        None => explore(&options, &engines),
    }
}

/// A failed assertion in a member is a finding too.
fn print_seed_on_panic() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Some((seed, engine)) = RUNNING.get() {
            println!("seed {seed} {engine}: a member panics: {panic}");
        }
        default_hook(panic);
    }));
}

fn replay(seed: u64, engines: &[EngineKind], shrinks: bool) -> ExitCode {
    let mut failed = false;
    for engine in engines {
        RUNNING.set(Some((seed, *engine)));
        let whole = Plan::new(seed, *engine);
        let plan = if shrinks { shrink(&whole) } else { whole };
        println!("{plan:?}");
        let outcome = world::run(&plan, true);
        println!("{engine}: {outcome:?}");
        failed |= outcome.violation.is_some();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Progress is printed after this many runs.
const RUNS_PER_LINE: u64 = 10_000;

/// Counters shared by all threads.
struct Tally {
    next: AtomicU64,
    runs: AtomicU64,
    replies: AtomicU64,
    entries: AtomicU64,
    failures: AtomicU64,
    stopped: AtomicBool,
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
        stopped: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < end && !tally.stopped.load(Relaxed) {
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
            tally.stopped.store(true, Relaxed);
        }
    }
}
