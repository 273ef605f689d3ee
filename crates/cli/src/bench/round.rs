//! One round on one server.

use super::churn::{Churn, Endpoint};
use super::error::BenchError;
use super::fanout::Fanout;
use super::generator::{Generator, Plan};
use super::measure::{Control, Tally, Window};
use super::prepare::links;
use super::process::Usage;
use super::progress::Progress;
use super::requests::{Pace, Worker};
use super::workload::Workload;
use client::Tls;
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Settings of a round.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) workload: Workload,
    pub(super) plan: Plan,
    pub(super) tls: Option<Tls>,
    pub(super) connections: u32,
    pub(super) depth: usize,
    /// Operations a second of all threads, in an open loop.
    pub(super) rate: Option<f64>,
    pub(super) threads: u32,
    pub(super) warmup: Duration,
    pub(super) measured: Duration,
}

/// One of the things compared.
#[derive(Debug, Clone)]
pub(super) struct Side {
    /// What the table calls it.
    pub(super) label: String,
    pub(super) server: String,
    /// Its processes, if they are on this machine.
    pub(super) pids: Vec<u32>,
    /// A shell command run at the start of the measured time.
    pub(super) during: Option<String>,
    /// The shell command that starts the server, for the workload that measures this.
    pub(super) start: Option<String>,
}

impl Side {
    /// The addresses of its servers.
    pub(super) fn servers(&self) -> impl Iterator<Item = &str> {
        self.server.split([',', ';'])
    }

    /// The same, in one part for each namespace.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.server.split(';')
    }
}

/// What a round has measured.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// Length of the measured time.
    pub(super) seconds: f64,
    /// Used by the server in that time.
    pub(super) server: Option<Usage>,
    /// Used by this process in that time.
    pub(super) generator: Usage,
}

/// Runs one round.
pub(super) fn run(
    setting: &Setting,
    side: &Side,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Outcome, BenchError> {
    let threads =
        if setting.workload == Workload::Fanout { 1 } else { setting.threads.min(setting.connections) };
    let mut crews = crews(setting, side, threads as usize)?;
    let warm_ns = setting.warmup.as_nanos() as u64;
    let end_ns = warm_ns + setting.measured.as_nanos() as u64;
    let window = Window { origin: Instant::now(), warm_ns, end_ns };
    let control = Control::new(window, stop, crews.len());
    let mut outcome = std::thread::scope(|scope| {
        let threads: Vec<_> = crews
            .drain(..)
            .enumerate()
            .map(|(number, crew)| {
                let control = &control;
                scope.spawn(move || work(setting, control, number, threads as usize, crew))
            })
            .collect();
        let watched = watch(side, &control, progress);
        let mut tally = Tally::default();
        for thread in threads {
            tally.merge(
                &thread.join().expect("the load generator does not panic").map_err(BenchError::Generator)?,
            );
        }
        let (server, generator) = watched?;
        Ok(Outcome { tally, seconds: 0.0, server, generator })
    })?;
    if control.stopped() {
        return Err(BenchError::Interrupted);
    }
    // A round that ran out of work is as long as the work.
    let ran_out = setting.rate.is_none() && outcome.tally.last_ns < end_ns.saturating_sub(end_ns / 10);
    let last_ns = if ran_out && outcome.tally.done() > 0 { outcome.tally.last_ns } else { end_ns };
    outcome.seconds = last_ns.saturating_sub(warm_ns) as f64 / 1e9;
    Ok(outcome)
}

/// What one thread starts with.
enum Crew {
    Links(Vec<super::link::Link>),
    Slots(Endpoint, usize),
}

/// Deals the connections out to the threads.
fn crews(setting: &Setting, side: &Side, threads: usize) -> Result<Vec<Crew>, BenchError> {
    let connections = setting.connections as usize;
    let share = |thread: usize| connections / threads + usize::from(thread < connections % threads);
    if setting.workload == Workload::Churn {
        let endpoint = Endpoint::of(side.servers().next().unwrap_or_default(), setting.tls.as_ref())
            .ok_or_else(|| BenchError::Args(format!("{} is not an address", side.server)))?;
        return Ok((0..threads).map(|thread| Crew::Slots(endpoint.clone(), share(thread))).collect());
    }
    // The writer of a fan-out is added to the watchers.
    let writers = u32::from(setting.workload == Workload::Fanout);
    let mut links = links(&side.server, setting.connections + writers, setting.tls.as_ref())?;
    if threads == 1 {
        return Ok(vec![Crew::Links(links)]);
    }
    Ok((0..threads).map(|thread| Crew::Links(links.drain(..share(thread)).collect())).collect())
}

fn work(
    setting: &Setting,
    control: &Control<'_>,
    thread: usize,
    threads: usize,
    crew: Crew,
) -> io::Result<Tally> {
    let depth = setting.depth;
    let pace = match setting.rate {
        None => Pace::Closed { depth },
        Some(rate) => {
            // The threads take turns, so that together they keep an even rate.
            let beat_ns = 1e9 / rate;
            Pace::Open { interval_ns: beat_ns * threads as f64, first_ns: beat_ns * thread as f64, depth }
        }
    };
    match (crew, &setting.workload) {
        (Crew::Slots(endpoint, slots), _) => Churn::new(control, endpoint, pace, slots)?.run(),
        (Crew::Links(links), Workload::Fanout) => {
            let data = vec![b'x'; setting.plan.data_bytes];
            Fanout::new(control, &setting.plan.layout.watched, &data, setting.rate, links)?.run()
        }
        (Crew::Links(links), _) => {
            Worker::new(control, pace, Generator::new(&setting.plan, thread, threads), links)?.run()
        }
    }
}

/// Waits for the round to end, shows its progress, and takes the figures of the processes at both
/// ends of the window.
fn watch(
    side: &Side,
    control: &Control<'_>,
    progress: &Progress,
) -> Result<(Option<Usage>, Usage), BenchError> {
    let mut last = (0, 0);
    let mut wait = |until_ns: u64| {
        loop {
            let now = control.window.now_ns();
            if now >= until_ns || control.busy.load(Ordering::Relaxed) == 0 || control.stopped() {
                break;
            }
            std::thread::sleep(Duration::from_nanos(until_ns - now).min(Progress::TICK));
            let (now, done) = (control.window.now_ns(), control.done.load(Ordering::Relaxed));
            progress.measuring(&side.label, control, (done - last.1) as f64 / ((now - last.0) as f64 / 1e9));
            last = (now, done);
        }
    };
    let result = (|| {
        wait(control.window.warm_ns);
        let before = usages(side)?;
        let command = side.during.as_deref().map(spawn).transpose()?;
        wait(control.window.end_ns);
        let after = usages(side)?;
        if let Some(mut command) = command {
            // It only had to run meanwhile; its own result does not matter.
            let _ = command.wait();
        }
        let server = after.0.zip(before.0).map(|(after, before)| after.since(&before));
        Ok((server, after.1.since(&before.1)))
    })();
    if result.is_err() {
        control.stop.store(true, Ordering::Relaxed);
    }
    result
}

fn usages(side: &Side) -> Result<(Option<Usage>, Usage), BenchError> {
    let of = |pid: u32| Usage::of(pid).map_err(|source| BenchError::Process { pid, source });
    let servers = side.pids.iter().map(|pid| of(*pid)).collect::<Result<Vec<_>, _>>()?;
    Ok((servers.into_iter().reduce(|all, one| all.plus(&one)), of(std::process::id())?))
}

/// Starts a shell command without input or output. `exec` makes the command itself the child, so
/// that it can be measured and ended.
pub(super) fn spawn(command: &str) -> Result<Child, BenchError> {
    Command::new("sh")
        .args(["-c", &format!("exec {command}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| BenchError::Command { command: command.into(), source })
}
