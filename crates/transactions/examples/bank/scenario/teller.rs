//! A teller: a process that transfers money.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use transactions::{Http, MariaDb, Observer, Options, Postgres, Resources, Settings, Transactions, Znodes};

use super::Told;
use super::cable::Cable;
use super::desk::Desk;
use super::places::Places;
use super::weakness::{CUT_OFF, Failpoint, Weakness};
use super::world::{STEP, TRANSACTIONS, World, open_client};

/// What makes a process a teller.
const VARIABLE: &str = "OSTLER_BANK_TELLER";
/// Transfers of a teller at once.
const DESKS: u64 = 3;
/// How long a teller may take to end when it is told to. Only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a teller is told.
#[derive(Serialize, Deserialize)]
struct Orders {
    places: Places,
    weakness: Option<Weakness>,
}

/// Makes this process a teller if it was started as one, and returns otherwise.
pub(crate) fn teller_if_asked() {
    let Ok(orders) = std::env::var(VARIABLE) else { return };
    let orders: Orders = serde_json::from_str(&orders).expect("orders");
    // The harness of tests has begun a line.
    println!();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let is_closing = Arc::new(AtomicBool::new(false));
    let closing = Arc::clone(&is_closing);
    std::thread::spawn(move || {
        // Ends with a line, or with the bank.
        let _line = std::io::stdin().lock().read_line(&mut String::new());
        closing.store(true, SeqCst);
    });
    runtime.block_on(work(&orders, &is_closing));
    std::process::exit(0);
}

/// Settings under which nothing waits for long.
fn settings() -> Settings {
    Settings {
        prepare_timeout_ms: 2_000,
        log_timeout_ms: 1_000,
        finish_timeout_ms: 2_000,
        decide_patience_ms: 2_500,
        finish_patience_ms: 1_000,
        retry_first_ms: 50,
        retry_max_ms: 500,
        // MariaDB prepares again at its start what it has rolled back just before it was killed.
        // The recovery sees that up to 2 s later, and waits for this before it rolls it back again.
        abandon_after_ms: 2_000,
        orphan_grace_ms: 200,
        watch_ms: 200,
    }
}

async fn work(orders: &Orders, is_closing: &AtomicBool) {
    let cable = Cable::new();
    let places = &orders.places.through(&cable).await;
    let failpoint = orders.weakness.clone().map(|weakness| Failpoint::new(weakness, &cable));
    let observer: Option<Arc<dyn Observer>> = failpoint.map(|it| Arc::new(it) as _);
    while !is_closing.load(SeqCst) {
        let client = open_client(&places.ensemble).await;
        let options = Options { settings: settings(), observer: observer.clone(), ..Options::default() };
        // The ensemble may be without a leader just now.
        let Ok(transactions) =
            Transactions::open(&client, TRANSACTIONS, resources(places, &client), options).await
        else {
            continue;
        };
        let desk = |number| Desk::new(&transactions, &client, &places.service, number);
        join((0..DESKS).map(|number| desk(number).serve(is_closing)).collect()).await;
        transactions.close().await;
    }
}

/// Waits for all of several futures.
async fn join(futures: Vec<impl Future<Output = ()>>) {
    let mut pending: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        pending.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

fn resources(places: &Places, client: &Client) -> Resources {
    let postgres = Postgres::new(&places.postgres, STEP).expect("a connection string");
    let mariadb = MariaDb::new(&places.mariadb, STEP).expect("a URL");
    let znodes = Znodes::new(client, "/bank/staged", STEP);
    let resources = Resources::new().postgres("postgres", postgres);
    let resources = resources.and_then(|resources| resources.mariadb("mariadb", mariadb));
    let resources = resources.and_then(|resources| resources.znodes("znodes", znodes));
    let service = Http::new(&places.service, STEP).expect("a URL");
    resources.and_then(|resources| resources.http("service", service)).expect("four names")
}

/// Takes part as a teller does that transfers nothing.
pub(super) async fn recovery(world: &World) -> (Client, Transactions) {
    let client = world.client().await;
    let options = Options { settings: settings(), ..Options::default() };
    let opened = Transactions::open(&client, TRANSACTIONS, resources(&world.places, &client), options).await;
    (client, opened.expect("the znodes of the transactions"))
}

/// A teller, as the bank sees it.
pub(super) struct Teller {
    child: Child,
    /// Closed, it ends the teller.
    input: Option<ChildStdin>,
    told: Arc<Mutex<BTreeMap<String, Told>>>,
    is_cut_off: Arc<AtomicBool>,
}

impl Teller {
    pub(super) fn start(world: &World, weakness: Option<Weakness>) -> Teller {
        let orders = Orders { places: world.places.clone(), weakness };
        let orders = serde_json::to_string(&orders).expect("orders");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(world.arguments).env(VARIABLE, orders);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start a teller");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let told: Arc<Mutex<BTreeMap<String, Told>>> = Arc::default();
        let is_cut_off = Arc::new(AtomicBool::new(false));
        let (heard, cut_off) = (Arc::clone(&told), Arc::clone(&is_cut_off));
        // Ends with the teller.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line == CUT_OFF {
                    cut_off.store(true, SeqCst);
                }
                let mut words = line.split(' ');
                let (Some("transfer"), Some(id), Some(word)) = (words.next(), words.next(), words.next())
                else {
                    continue;
                };
                let outcome = match word {
                    "Committed" => Told::Committed,
                    "Aborted" => Told::Aborted,
                    _ => Told::Unknown,
                };
                heard.lock().expect("no panic").insert(id.to_owned(), outcome);
            }
        });
        Teller { child, input, told, is_cut_off }
    }

    /// How many transfers it has told to be committed.
    pub(super) fn committed(&self) -> usize {
        self.told.lock().expect("no panic").values().filter(|told| **told == Told::Committed).count()
    }

    fn process(&self) -> Pid {
        let id = i32::try_from(self.child.id()).expect("a number of a process");
        Pid::from_raw(id).expect("a number of a process")
    }

    /// Whether it has stopped itself.
    pub(super) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Whether it has said that it is cut off, now or earlier.
    pub(super) fn was_cut_off(&self) -> bool {
        self.is_cut_off.load(SeqCst)
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    pub(super) fn resume(&self) {
        kill_process(self.process(), Signal::CONT).expect("resume a teller");
    }

    /// # Panics
    /// If it has ended. A teller without a weakness does not by itself.
    pub(super) fn assert_alive(&mut self) {
        assert!(!self.has_ended(), "the teller has ended by itself");
    }

    /// Ends it in order; what it has told.
    pub(super) async fn quit(mut self) -> BTreeMap<String, Told> {
        if let Some(mut input) = self.input.take() {
            // It may have fallen.
            let _fallen = input.write_all(b"\n");
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "the teller does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let told = self.told.lock().expect("no panic");
        told.clone()
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
