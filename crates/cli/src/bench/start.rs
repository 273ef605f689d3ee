//! A server process started: how long until it answers its first request.

use super::error::BenchError;
use super::measure::Tally;
use super::process::Usage;
use super::round::{Outcome, Side, spawn};
use client::{Connection, Options};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A server that needs longer does not count as started.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long it may take to stop when it is asked to, before it is killed.
const STOP: Duration = Duration::from_secs(60);
const ATTEMPT_EVERY: Duration = Duration::from_millis(1);

/// Starts the server of `side`, waits for its first answer, and stops it. The time is the one
/// latency of the outcome.
pub(super) fn run(side: &Side, stop: &AtomicBool) -> Result<Outcome, BenchError> {
    if answers(&side.server) {
        return Err(BenchError::AlreadyStarted(side.server.clone()));
    }
    let start = Instant::now();
    let command = side.start.as_deref().ok_or_else(|| BenchError::Args("no start command".into()))?;
    let mut server = spawn(command)?;
    let outcome = wait(side, &mut server, start, stop);
    end(&mut server);
    outcome
}

fn wait(side: &Side, server: &mut Child, start: Instant, stop: &AtomicBool) -> Result<Outcome, BenchError> {
    while !answers(&side.server) {
        if stop.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        let ended = !matches!(server.try_wait(), Ok(None));
        if ended || start.elapsed() > PATIENCE {
            return Err(BenchError::NotStarted(side.server.clone()));
        }
        std::thread::sleep(ATTEMPT_EVERY);
    }
    let elapsed = start.elapsed();
    let pid = server.id();
    let usage = Usage::of(pid).map_err(|source| BenchError::Process { pid, source })?;
    let mut tally = Tally::default();
    tally.record(0, elapsed.as_nanos() as u64);
    Ok(Outcome { tally, seconds: elapsed.as_secs_f64(), server: Some(usage), generator: Usage::default() })
}

/// Whether the server answers a read.
fn answers(server: &str) -> bool {
    let second = Duration::from_secs(1);
    let options = Options { connect_timeout: second, reply_timeout: Some(second), ..Options::default() };
    let Ok(mut connection) = Connection::connect(server, &options) else { return false };
    let answered = connection.exists("/", false).is_ok();
    // An unclosed session would be extra work for the server, but its end does not matter.
    let _ = connection.close();
    answered
}

/// Asks the server to stop, and kills it if it does not.
fn end(server: &mut Child) {
    let _ = kill_process(Pid::from_child(server), Signal::TERM);
    let asked = Instant::now();
    while matches!(server.try_wait(), Ok(None)) {
        if asked.elapsed() > STOP {
            let _ = server.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
