//! `sim-transactions`: explores seeds, or replays one.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sim_transactions::plan::{Plan, Protocol};
use sim_transactions::run;

/// Runs distributed transactions in one thread, each run from one seed.
#[derive(Parser)]
struct Options {
    /// two-phase, two-phase-unreplicated, three-phase, or three-phase-partitions.
    protocol: Protocol,
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Replay only this seed, and print what happens.
    #[arg(long)]
    seed: Option<u64>,
    /// Take the plans that the seeds have for this protocol.
    #[arg(long)]
    plan_of: Option<Protocol>,
    /// Continue after a failure, and count failures.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.seed {
        Some(seed) => replay(seed, &options),
        None => explore(&options),
    }
}

/// What a seed does.
fn plan(seed: u64, options: &Options) -> Plan {
    let protocol = options.protocol;
    Plan { protocol, ..Plan::new(seed, options.plan_of.unwrap_or(protocol)) }
}

fn replay(seed: u64, options: &Options) -> ExitCode {
    let plan = plan(seed, options);
    println!("{plan:#?}");
    let outcome = run(&plan, true);
    println!("{outcome:?}");
    match outcome.violation {
        Some(violation) => {
            println!("seed {seed} {}: {violation}", plan.protocol.name());
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// Failures of one guarantee that are printed.
const PRINTED: usize = 5;

fn explore(options: &Options) -> ExitCode {
    let begin = Instant::now();
    let mut broken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut sums = [0usize; 5];
    let (mut runs, mut events, mut longest) = (0u64, 0u64, (0, 0));
    for seed in options.first_seed..options.first_seed + options.seeds {
        let outcome = run(&plan(seed, options), false);
        runs += 1;
        events += outcome.events;
        longest = longest.max((outcome.longest_ms, seed));
        let counts = [outcome.begun, outcome.committed, outcome.aborted, outcome.unknown, outcome.unanswered];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        if let Some(violation) = outcome.violation {
            let count = broken.entry(violation.guarantee).or_default();
            *count += 1;
            if *count <= PRINTED {
                println!("seed {seed} {}: {violation}", options.protocol.name());
            }
            if !options.keep_going {
                break;
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{} runs of {} in {seconds:.1} s, {events} events", runs, options.protocol.name());
    let [begun, committed, aborted, unknown, unanswered] = sums;
    println!(
        "{begun} transactions: {committed} committed, {aborted} aborted, {unknown} unknown to their caller, \
         {unanswered} whose coordinator was gone before it answered"
    );
    let (longest_ms, seed) = longest;
    println!(
        "{longest_ms} ms: the longest that a branch stayed prepared though it could be finished (seed {seed})"
    );
    for (guarantee, count) in &broken {
        println!("{count} runs in which this is not so: {guarantee}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
