//! `ostler bench`: a load generator for any server of the ZooKeeper protocol.
//!
//! It is made to cost little, because it usually runs on the machine of the server: one thread,
//! requests that are encoded once ([`template`]), replies of which only the header is read
//! ([`link`]), one write for each wake-up ([`requests`]). [`round`] runs one round on one server;
//! this module prepares the servers, alternates the rounds and cleans up.

mod args;
mod churn;
mod error;
mod fanout;
mod generator;
mod link;
mod link_stream;
mod measure;
mod prepare;
mod process;
mod progress;
mod report;
mod requests;
mod round;
mod start;
mod summary;
mod template;
mod timer;
mod workload;

#[cfg(test)]
mod tests;

pub(crate) use args::BenchArgs;

use error::BenchError;
use generator::{Layout, Plan};
use prepare::Ground;
use progress::Progress;
use report::Report;
use round::{Setting, Side};
use serde_json::json;
use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use summary::Series;
use workload::{Mix, Operation, Workload};

/// Runs the benchmark and prints its result. The status is 0 without errors, 1 with some, 130 after
/// Ctrl-C.
pub(crate) fn run(args: &BenchArgs) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    // The first Ctrl-C ends the run and cleans up, a second one ends the process.
    let signal = signal_hook::consts::SIGINT;
    let registered = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
        .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
    if let Err(error) = registered {
        eprintln!("ostler bench: Ctrl-C will leave znodes behind: {error}");
    }
    match measure(args, &stop) {
        Ok(report) => {
            if args.json {
                println!("{:#}", report.json());
            } else {
                println!("{}", report.table());
            }
            if report.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            eprintln!("ostler bench: {}", chain(&error));
            if matches!(error, BenchError::Interrupted) { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

fn measure(args: &BenchArgs, stop: &AtomicBool) -> Result<Report, BenchError> {
    args.check().map_err(BenchError::Args)?;
    let progress = Progress::new();
    let (setting, sides) = (setting(args)?, sides(args));
    let grounds: Vec<_> = distinct_namespaces(&sides)
        .into_iter()
        .map(|server| Ground {
            server,
            plan: &setting.plan,
            tls: setting.tls.as_ref(),
            stop,
            progress: &progress,
        })
        .collect();
    let measured = if args.workload == Workload::Start {
        alternate(args, &sides, &mut |side| {
            progress.note(&format!("{}: starting", side.label));
            start::run(side, stop)
        })
    } else {
        let measured = prepare(args, &setting, &sides, &grounds).and_then(|()| {
            alternate(args, &sides, &mut |side| {
                let of_side = |ground: &&Ground<'_>| side.namespaces().any(|part| part == ground.server);
                let grounds: Vec<_> = grounds.iter().filter(of_side).collect();
                one_round(&setting, side, &grounds)
            })
        });
        // Also after an error or Ctrl-C, because the znodes exist all the same.
        let cleaned = if args.keep { Ok(()) } else { grounds.iter().try_for_each(Ground::clean_up) };
        if args.keep && measured.is_ok() {
            progress.clear();
            eprintln!("the znodes are under {}", setting.plan.layout.root);
        }
        measured.and_then(|sides| cleaned.map(|()| sides))
    };
    progress.clear();
    Ok(Report { settings: settings(args), sides: measured? })
}

/// Runs the rounds of all sides in turn.
fn alternate(
    args: &BenchArgs,
    sides: &[Side],
    round: &mut dyn FnMut(&Side) -> Result<round::Outcome, BenchError>,
) -> Result<Vec<(String, Series)>, BenchError> {
    let mut measured: Vec<_> = sides.iter().map(|side| (side.label.clone(), Series::default())).collect();
    for number in 0..args.rounds() as usize {
        // Every other time in reverse order, so that no side always follows the same neighbour.
        let order =
            (0..sides.len()).map(|index| if number % 2 == 0 { index } else { sides.len() - 1 - index });
        for index in order {
            measured[index].1.push(&round(&sides[index])?, args.threads);
        }
    }
    Ok(measured)
}

/// How many of the znodes to read and set are in each namespace of a side.
fn paths_in_each(paths: u64, side: &Side) -> u64 {
    (paths / side.namespaces().count() as u64).max(1)
}

fn prepare(
    args: &BenchArgs,
    setting: &Setting,
    sides: &[Side],
    grounds: &[Ground<'_>],
) -> Result<(), BenchError> {
    let layout = &setting.plan.layout;
    let mix = mix(&args.workload);
    let works_on_nodes = [Operation::Get, Operation::Exists, Operation::Set, Operation::Multi];
    for ground in grounds {
        ground.create_parents()?;
        if works_on_nodes.iter().any(|operation| mix.has(*operation)) {
            let of_side = sides.iter().find(|side| side.namespaces().any(|part| part == ground.server));
            ground.fill(&layout.nodes, of_side.map_or(args.paths, |side| paths_in_each(args.paths, side)))?;
        }
        if mix.has(Operation::List) {
            ground.fill(&layout.listed, args.children)?;
        }
        ground.fill(&layout.preload, args.preload)?;
    }
    Ok(())
}

fn one_round(setting: &Setting, side: &Side, grounds: &[&Ground<'_>]) -> Result<round::Outcome, BenchError> {
    let layout = &setting.plan.layout;
    let mix = mix(&setting.workload);
    if mix.has(Operation::Delete) {
        grounds.iter().try_for_each(|ground| ground.fill(&layout.stock, setting.plan.stock))?;
    }
    let first = grounds.first().expect("each side has its namespaces prepared");
    let mut of_side = setting.clone();
    of_side.plan.nodes = paths_in_each(setting.plan.nodes, side);
    let outcome = round::run(&of_side, side, first.stop, first.progress)?;
    for ground in grounds {
        if mix.has(Operation::Create) {
            ground.empty_again(&layout.created.parent)?;
        }
        if mix.has(Operation::Delete) {
            ground.empty_again(&layout.stock.parent)?;
        }
    }
    Ok(outcome)
}

/// The requests of a workload; of one without any, reads that never happen.
fn mix(workload: &Workload) -> Mix {
    match workload {
        Workload::Requests(mix) => mix.clone(),
        Workload::Fanout | Workload::Churn | Workload::Start => Mix::none(),
    }
}

fn setting(args: &BenchArgs) -> Result<Setting, BenchError> {
    let random = RandomState::new().build_hasher().finish();
    let layout = Layout::new(&format!("/ostler-bench-{random:016x}"), args.name_bytes as usize);
    let mix = mix(&args.workload);
    // The znodes to delete are limited, and a warm-up would use some of them.
    let tls = args.tls.read().map_err(BenchError::Tls)?;
    if tls.is_none() && args.has_tls_address() {
        let text = "an address that begins with tls:// needs zookeeper.client.secure=true in the --client-configuration";
        return Err(BenchError::Args(text.into()));
    }
    let warmup = if mix.has(Operation::Delete) { 0.0 } else { args.warmup };
    Ok(Setting {
        workload: args.workload.clone(),
        plan: Plan {
            mix,
            layout,
            nodes: args.paths,
            stock: args.stock,
            data_bytes: args.data_bytes,
            multi_ops: args.multi_ops as usize,
        },
        tls,
        connections: args.connections,
        depth: args.depth(),
        rate: args.rate,
        threads: args.threads,
        warmup: Duration::from_secs_f64(warmup),
        measured: Duration::from_secs_f64(args.seconds),
    })
}

/// What is compared with what.
fn sides(args: &BenchArgs) -> Vec<Side> {
    let first = Side {
        label: label_of(&args.server),
        server: args.server.clone(),
        pids: args.server_pid.clone(),
        during: None,
        start: args.start_command.clone(),
    };
    let mut sides = vec![first.clone()];
    if let Some(server) = &args.against {
        let (pids, start) = (args.against_pid.clone(), args.against_start_command.clone());
        let label = label_of(server);
        sides.push(Side { label, server: server.clone(), pids, start, during: None });
    }
    if let Some(during) = &args.during {
        sides.insert(0, Side { label: "during".into(), during: Some(during.clone()), ..first });
    }
    sides
}

/// What the table calls these servers.
fn label_of(servers: &str) -> String {
    match servers.split_once(';') {
        None => servers.to_owned(),
        Some((first, others)) => format!("{first} and {} more", others.split(';').count()),
    }
}

/// The namespaces in which znodes are created, each once.
fn distinct_namespaces(sides: &[Side]) -> Vec<&str> {
    let mut namespaces: Vec<&str> = Vec::new();
    for namespace in sides.iter().flat_map(Side::namespaces) {
        if !namespaces.contains(&namespace) {
            namespaces.push(namespace);
        }
    }
    namespaces
}

fn settings(args: &BenchArgs) -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("workload", json!(args.workload.to_string())),
        ("connections", json!(args.connections)),
        ("depth", json!(args.depth())),
        ("rate_per_second", json!(args.rate)),
        ("threads", json!(args.threads)),
        ("seconds", json!(args.seconds)),
        ("warmup_seconds", json!(args.warmup)),
        ("data_bytes", json!(args.data_bytes)),
        ("paths", json!(args.paths)),
        ("preload", json!(args.preload)),
        ("name_bytes", json!(args.name_bytes)),
    ]
}
