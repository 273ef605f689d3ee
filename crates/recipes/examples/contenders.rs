//! Contenders for one lock, each with a session of its own:
//! `contenders SERVER PATH CONTENDERS SECONDS`.
//!
//! Each takes the lock and releases it at once, over and over. Prints `READY` when all are
//! connected and begins at the next line of standard input; prints acquisitions, acquisitions a
//! second and the time from asking for the lock to having it, and ends the sessions at the line
//! after that. So a script can read the server's counters before and after: see `bench/locks.sh`.

use std::io::{BufRead as _, stdin};
use std::time::{Duration, Instant};

use client::{Client, Settings};
use recipes::Mutex;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, path, contenders, seconds] = arguments.as_slice() else {
        return Err("usage: contenders SERVER PATH CONTENDERS SECONDS".into());
    };
    let (contenders, length) = (contenders.parse()?, Duration::try_from_secs_f64(seconds.parse()?)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(contend(server, path, contenders, length))
}

async fn contend(server: &str, path: &str, contenders: usize, length: Duration) -> Result<(), Failure> {
    let mut clients = Vec::with_capacity(contenders);
    for _ in 0..contenders {
        clients.push(Client::open(&server.parse()?, Settings::default()).await?);
    }
    println!("READY");
    await_line().await?;
    let began = Instant::now();
    let works: Vec<_> = clients
        .iter()
        .map(|client| tokio::spawn(take_turns(Mutex::new(client, path), began + length)))
        .collect();
    let mut waits = Vec::new();
    for work in works {
        waits.extend(work.await??);
    }
    report(waits, began.elapsed());
    await_line().await?;
    for client in clients {
        client.close().await?;
    }
    Ok(())
}

/// Waits for a line without holding up the sessions.
async fn await_line() -> Result<(), Failure> {
    tokio::task::spawn_blocking(|| stdin().lock().lines().next().transpose()).await??;
    Ok(())
}

/// How long each acquisition took until `end`.
async fn take_turns(mutex: Mutex, end: Instant) -> Result<Vec<Duration>, recipes::Error> {
    let mut waits = Vec::new();
    while Instant::now() < end {
        let asked = Instant::now();
        let guard = mutex.lock().await?;
        waits.push(asked.elapsed());
        guard.release().await?;
    }
    Ok(waits)
}

fn report(mut waits: Vec<Duration>, elapsed: Duration) {
    waits.sort_unstable();
    let percentile = |percent: usize| {
        let last = waits.len().saturating_sub(1);
        waits.get(last * percent / 100).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
    };
    println!(
        "{} {:.1} {:.2} {:.2}",
        waits.len(),
        waits.len() as f64 / elapsed.as_secs_f64(),
        percentile(50),
        percentile(99)
    );
}
