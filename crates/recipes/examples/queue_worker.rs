//! Puts items into a queue, or takes them out, and writes down what happens:
//! `queue_worker put|take SERVERS PATH LOG STOP LINGER`. `tests/tests/hold_faults.rs` kills it,
//! stops it and cuts it off.
//!
//! Each line has a word, an item and the id of this process: `putting` and `put`; `taken`,
//! `acknowledging`, and `acknowledged`, or `refused` if the item was not this worker's any more.
//! Ends when there is a file STOP, or with an error. While there is a file LINGER, an item that was
//! taken is not acknowledged, and the line `lingering` says so.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::{Client, Settings};
use recipes::Queue;

type Failure = Box<dyn std::error::Error>;

/// Between two items of one that puts, and for how long one that takes works on an item.
const PUT_PAUSE: Duration = Duration::from_millis(40);
const WORK: Duration = Duration::from_millis(5);
/// Short, so that a test need not wait long for the end of a session.
const TIMEOUT_MS: i32 = 3_000;

struct Worker {
    queue: Queue,
    log: File,
    stop: PathBuf,
    linger: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, servers, path, log, stop, linger] = arguments.as_slice() else {
        return Err("usage: queue_worker put|take SERVERS PATH LOG STOP LINGER".into());
    };
    let settings = Settings { timeout_ms: TIMEOUT_MS, ..Settings::default() };
    let client = Client::open(&servers.parse()?, settings).await?;
    let log = File::options().append(true).create(true).open(log)?;
    let mut worker =
        Worker { queue: Queue::new(&client, path), log, stop: stop.into(), linger: linger.into() };
    match what.as_str() {
        "put" => worker.put().await?,
        "take" => worker.take().await?,
        _ => return Err("put or take".into()),
    }
    client.close().await?;
    Ok(())
}

impl Worker {
    /// One write for each line: several processes share the file.
    fn note(&mut self, what: &str, item: &str) -> std::io::Result<()> {
        self.log.write_all(format!("{what} {item} {}\n", std::process::id()).as_bytes())
    }

    async fn put(&mut self) -> Result<(), Failure> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        for number in 0.. {
            if self.stop.exists() {
                break;
            }
            // An item whose put fails may be there: it is not put again.
            let item = format!("{since}-{number}");
            self.note("putting", &item)?;
            self.queue.put(item.as_bytes(), 100).await?;
            self.note("put", &item)?;
            tokio::time::sleep(PUT_PAUSE).await;
        }
        Ok(())
    }

    async fn take(&mut self) -> Result<(), Failure> {
        loop {
            let item = tokio::select! {
                item = self.queue.take() => item?,
                () = exists(&self.stop) => return Ok(()),
            };
            let name = String::from_utf8(item.data.clone())?;
            self.note("taken", &name)?;
            tokio::time::sleep(WORK).await;
            if self.linger.exists() {
                self.note("lingering", &name)?;
            }
            while self.linger.exists() {
                tokio::time::sleep(WORK).await;
            }
            self.note("acknowledging", &name)?;
            let what = if item.acknowledge().await? { "acknowledged" } else { "refused" };
            self.note(what, &name)?;
        }
    }
}

async fn exists(path: &std::path::Path) {
    while !path.exists() {
        tokio::time::sleep(PUT_PAUSE).await;
    }
}
