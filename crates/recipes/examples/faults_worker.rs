//! Uses one recipe again and again, and writes down what happens:
//! `faults_worker KIND SERVERS NUMBER LOG STOP LINGER`. `tests/tests/recipe_faults.rs` kills it,
//! stops it and cuts it off.
//!
//! What each KIND does, and its lines:
//! - `count` counts up: `adding`, then `added SUM`, or `unsure` if it may have been added, or
//!   `failed`.
//! - `join` is the member NUMBER of a group: `joined`, and `unlisted` if the group lacks it.
//! - `rounds` meets two others in a double barrier, a new one for each round: `entering ROUND`,
//!   `entered ROUND`, `leaving ROUND`, `left ROUND`.
//! - `gate` closes and opens a barrier: `closed`, `opening`.
//! - `pass` waits for that barrier: `waiting`, `passed`.
//! - `lease` has a lease by turns: `begin TOKEN`, `write TOKEN`, `end`.
//!
//! The id of this process is the second word of each line. Ends when there is a file STOP, or with
//! an error. While there is a file LINGER, one that is inside a double barrier or has a lease stays
//! there, and the line `lingering` says so.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use client::{Client, Settings};
use recipes::{Barrier, Counter, DoubleBarrier, Error, Granted, Group, Lease, Mutex, Obtained};

type Failure = Box<dyn std::error::Error>;

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the gate is closed, and then open.
const STANDING: Duration = Duration::from_millis(60);
/// Short, so that a test need not wait long for the end of a session.
const TIMEOUT_MS: i32 = 3_000;
/// Those who meet in a double barrier.
const PARTICIPANTS: usize = 3;
/// Cut to a whole second.
const LEASE: Duration = Duration::from_secs(3);
/// A lease that ends sooner is renewed; one that ends sooner still is not used any more.
const RENEWAL: Duration = Duration::from_millis(1_500);
const MARGIN: Duration = Duration::from_millis(500);

struct Worker {
    client: Client,
    number: String,
    log: File,
    stop: PathBuf,
    linger: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, servers, number, log, stop, linger] = arguments.as_slice() else {
        return Err("usage: faults_worker KIND SERVERS NUMBER LOG STOP LINGER".into());
    };
    let settings = Settings { timeout_ms: TIMEOUT_MS, ..Settings::default() };
    let client = Client::open(&servers.parse()?, settings).await?;
    let log = File::options().append(true).create(true).open(log)?;
    let (number, stop, linger) = (number.clone(), stop.into(), linger.into());
    let mut worker = Worker { client: client.clone(), number, log, stop, linger };
    match kind.as_str() {
        "count" => worker.count().await?,
        "join" => worker.join().await?,
        "rounds" => worker.rounds().await?,
        "gate" => worker.gate().await?,
        "pass" => worker.pass().await?,
        "lease" => worker.lease().await?,
        _ => return Err(format!("no such kind: {kind}").into()),
    }
    client.close().await?;
    Ok(())
}

impl Worker {
    /// One write for each line: several processes share the file.
    fn note(&mut self, word: &str, about: &dyn std::fmt::Display) -> std::io::Result<()> {
        let line = format!("{word} {} {about}", std::process::id());
        self.log.write_all(format!("{}\n", line.trim_end()).as_bytes())
    }

    fn say(&mut self, word: &str) -> std::io::Result<()> {
        self.note(word, &"")
    }

    async fn pause(&self) -> bool {
        tokio::time::sleep(PAUSE).await;
        !self.stop.exists()
    }

    async fn count(&mut self) -> Result<(), Failure> {
        let counter = Counter::new(&self.client, "/count");
        while self.pause().await {
            self.say("adding")?;
            match counter.add(1).await {
                Ok(sum) => self.note("added", &sum)?,
                Err(Error::Client(error)) if error.may_have_been_executed() => self.say("unsure")?,
                Err(_) => self.say("failed")?,
            }
            if self.client.state().is_over() {
                return Err("the session is over".into());
            }
        }
        Ok(())
    }

    async fn join(&mut self) -> Result<(), Failure> {
        let group = Group::new(&self.client, "/group");
        let own = std::process::id().to_string();
        let membership = group.join(&self.number, own.as_bytes()).await?;
        self.say("joined")?;
        while self.pause().await {
            // An answer means that the session lives, and the member with it.
            if !group.members().await?.iter().any(|member| member.data == own.as_bytes()) {
                self.say("unlisted")?;
            }
        }
        Ok(membership.leave().await?)
    }

    /// The round of each worker is in a file, so that one that was killed finds the others again.
    async fn rounds(&mut self) -> Result<(), Failure> {
        let mut round = 0;
        while self.pause().await {
            round = round.max(latest_round());
            let path = format!("/rounds/{round}");
            let barrier = DoubleBarrier::new(&self.client, &path, PARTICIPANTS)?;
            self.note("entering", &round)?;
            let has_entered = tokio::select! {
                entered = barrier.enter() => entered.map(|()| true)?,
                // The others have met without this one, or they have gone home.
                () = until(|| latest_round() > round || self.stop.exists()) => false,
            };
            if has_entered {
                self.note("entered", &round)?;
                self.linger().await?;
            }
            self.note("leaving", &round)?;
            barrier.leave().await?;
            if has_entered {
                self.note("left", &round)?;
            }
            round += 1;
            fs::write(format!("round-{}.new", self.number), round.to_string())?;
            fs::rename(format!("round-{}.new", self.number), format!("round-{}", self.number))?;
        }
        Ok(())
    }

    async fn linger(&mut self) -> Result<(), Failure> {
        if self.linger.exists() {
            self.say("lingering")?;
        }
        until(|| !self.linger.exists()).await;
        Ok(())
    }

    /// The lock waits for the end of the session of a predecessor that was killed, whose last
    /// request may be under way.
    async fn gate(&mut self) -> Result<(), Failure> {
        let keeper = Mutex::new(&self.client, "/keeper").lock().await?;
        let gate = Barrier::new(&self.client, "/gate");
        while self.pause().await {
            gate.close().await?;
            self.say("closed")?;
            tokio::time::sleep(STANDING).await;
            self.say("opening")?;
            gate.open().await?;
            tokio::time::sleep(STANDING).await;
        }
        Ok(keeper.release().await?)
    }

    async fn pass(&mut self) -> Result<(), Failure> {
        let gate = Barrier::new(&self.client, "/gate");
        while self.pause().await {
            self.say("waiting")?;
            tokio::select! {
                passed = gate.wait() => passed?,
                () = until(|| self.stop.exists()) => return Ok(()),
            }
            self.say("passed")?;
        }
        Ok(())
    }

    async fn lease(&mut self) -> Result<(), Failure> {
        let lease = Lease::new(&self.client, "/lease", &self.number);
        while self.pause().await {
            // Its time runs while it is waited for.
            if let Obtained::Granted(granted) = lease.obtain(LEASE).await?
                && left(&granted) > MARGIN
            {
                self.note("begin", &granted.token)?;
                self.turn(&lease, granted).await?;
                self.say("end")?;
                lease.give_back().await?;
            }
        }
        Ok(())
    }

    /// Works with what the lease protects until it is done, or the lease is about to end.
    async fn turn(&mut self, lease: &Lease, mut granted: Granted) -> Result<(), Failure> {
        let mut writes = 0;
        while writes < 3 || self.linger.exists() {
            // Without a look before: what it protects refuses a token that is too low.
            self.note("write", &granted.token)?;
            writes += 1;
            if self.linger.exists() {
                self.say("lingering")?;
            }
            if left(&granted) < RENEWAL {
                let renewed =
                    tokio::time::timeout(left(&granted).saturating_sub(MARGIN), lease.obtain(LEASE));
                match renewed.await {
                    Ok(Ok(Obtained::Granted(longer))) => granted = longer,
                    // Another one has it, or will have it soon.
                    _ => {
                        self.say("end")?;
                        return Err("the lease has ended".into());
                    }
                }
            }
            tokio::time::sleep(PAUSE / 2).await;
        }
        Ok(())
    }
}

fn left(granted: &Granted) -> Duration {
    granted.until.duration_since(SystemTime::now()).unwrap_or_default()
}

/// The round that any worker has come to.
fn latest_round() -> u64 {
    let files = fs::read_dir(Path::new(".")).into_iter().flatten().flatten();
    let rounds = files.filter(|file| file.file_name().to_string_lossy().starts_with("round-"));
    let numbers = rounds.filter_map(|file| fs::read_to_string(file.path()).ok()?.parse().ok());
    numbers.max().unwrap_or(0)
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(PAUSE).await;
    }
}
