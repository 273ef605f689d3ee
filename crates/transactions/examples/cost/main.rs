//! What a decision in Ostler costs: transfers between PostgreSQL and MariaDB by hand-written
//! PREPARE and COMMIT without any log of decisions, by this library with three Ostler servers, by a
//! coordinator whose log is a local file, and by Atomikos and Narayana if `TRANSACTIONS_JAVA` names
//! the folder that `tests/clients/transactions/install` has filled, round by round in one run.
//!
//! ```text
//! bench/transactions.sh
//! ```

mod accounts;
mod by_hand;
mod file_log;
mod java;

use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, Settings};
use mysql_async::prelude::Queryable as _;
use transactions::{MariaDb, Options, Postgres, Resources, Transactions};

use accounts::{Accounts, update};
use by_hand::Hand;
use file_log::FileLog;
use java::Java;

/// Who coordinates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Hand,
    Ours,
    File,
    /// This one of the coordinators in Java.
    Java(usize),
}

struct Bench {
    postgres: String,
    mariadb: String,
    transactions: Arc<Transactions>,
    log: FileLog,
    java: Vec<Java>,
    accounts: Accounts,
    /// Transfers of all runs.
    done: usize,
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    testing::serve_if_asked();
    let (Some(postgres), Some(mariadb)) = (testing::Postgres::start_flushing(), testing::MariaDb::start())
    else {
        return;
    };
    let ensemble = testing::Ensemble::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (rounds, seconds) = (number("ROUNDS", 5), number("SECONDS_EACH", 4));
        let clients = number("CLIENTS", 16) as usize;
        let mut bench = Bench::open(&postgres, &mariadb, &ensemble, folder.path(), clients).await;
        let length = Duration::from_secs(seconds);
        let mut steps = [(0.0, 0.0); 2];
        for clients in [1, clients] {
            bench.measure(clients, rounds, length).await;
            bench.print_steps(&mut steps);
        }
    });
}

/// What several rounds of one way measured.
#[derive(Default)]
struct Measured {
    latencies: Vec<Duration>,
    rates: Vec<f64>,
}

impl Measured {
    /// The median and the 99th percentile of latency in milliseconds, and the median rate.
    fn summary(&mut self) -> (f64, f64, f64) {
        self.latencies.sort();
        let last = (self.latencies.len() - 1) as f64;
        let at = |part: f64| self.latencies[(last * part) as usize].as_secs_f64() * 1e3;
        (at(0.5), at(0.99), median(&mut self.rates))
    }
}

impl Bench {
    async fn open(
        postgres: &testing::Postgres,
        mariadb: &testing::MariaDb,
        ensemble: &testing::Ensemble,
        folder: &std::path::Path,
        clients: usize,
    ) -> Bench {
        let (postgres, mariadb, step) = (postgres.connection(), mariadb.url(), Duration::from_secs(10));
        let mut accounts = Accounts::create(&postgres, &mariadb).await;
        let servers = ensemble.addresses().parse().expect("a connect string");
        let client = Client::open(&servers, Settings::default()).await.expect("a session");
        let resources = Resources::new()
            .postgres("postgres", Postgres::new(&postgres, step).expect("a connection string"))
            .and_then(|resources| resources.mariadb("mariadb", MariaDb::new(&mariadb, step).expect("a URL")))
            .expect("two names");
        let opened = Transactions::open(&client, "/transactions", resources, Options::default()).await;
        let transactions = Arc::new(opened.expect("the znodes of the transactions"));
        let log = FileLog::open(&folder.join("log"));
        let java = Java::start_all(&postgres, &mariadb, clients, folder);
        let done = accounts.moved().await as usize;
        Bench { postgres, mariadb, transactions, log, java, accounts, done }
    }

    fn ways(&self) -> Vec<Way> {
        let java = (0..self.java.len()).map(Way::Java);
        [Way::Hand, Way::Ours, Way::File].into_iter().chain(java).collect()
    }

    fn name(&self, way: Way) -> &'static str {
        match way {
            Way::Hand => "by hand, no log",
            Way::Ours => "ours, 3 Ostler servers",
            Way::File => "by hand, log in a file",
            Way::Java(index) => self.java[index].name(),
        }
    }

    /// Prints the medians of several rounds.
    async fn measure(&mut self, clients: usize, rounds: u64, length: Duration) {
        let mut measured: Vec<_> = self.ways().into_iter().map(|way| (way, Measured::default())).collect();
        for round in 0..=rounds {
            for (way, measured) in &mut measured {
                let took = self.run(*way, clients, length).await;
                self.done += took.len();
                assert_eq!(self.accounts.moved().await, self.done as i64, "{}", self.name(*way));
                // The first round fills connections and caches.
                if round > 0 {
                    measured.rates.push(took.len() as f64 / length.as_secs_f64());
                    measured.latencies.extend(took);
                }
            }
        }
        println!("{clients} clients, {rounds} rounds of {length:?} each");
        println!("{:<24} {:>9} {:>9} {:>9} {:>9}", "", "p50 ms", "p99 ms", "tx/s", "of hand");
        let base = median(&mut measured[0].1.rates);
        for (way, measured) in &mut measured {
            let (p50, p99, rate) = measured.summary();
            let (name, of_hand) = (self.name(*way), rate / base);
            println!("{name:<24} {p50:>9.2} {p99:>9.2} {rate:>9.1} {of_hand:>9.2}");
        }
    }

    /// Prints how long the steps of the library have taken since the last call.
    fn print_steps(&self, before: &mut [(f64, f64); 2]) {
        let text = self.transactions.metrics().prometheus();
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).expect("a metric")
        };
        for (step, before) in ["prepare", "decide"].iter().zip(before) {
            let name = |part| format!("ostler_transactions_{step}_seconds_{part}");
            let now = (number(&name("sum")), number(&name("count")));
            let mean_ms = (now.0 - before.0) / (now.1 - before.1) * 1e3;
            println!("ours, mean of each {step}: {mean_ms:.2} ms");
            *before = now;
        }
    }

    /// Lets clients transfer for a time; how long each transfer took.
    async fn run(&mut self, way: Way, clients: usize, length: Duration) -> Vec<Duration> {
        if let Way::Java(index) = way {
            return self.java[index].transfer(clients, length);
        }
        let mut running = Vec::new();
        for account in 0..clients {
            let hand = Hand::open(&self.postgres, &self.mariadb, account as u64).await;
            let (transactions, log) = (Arc::clone(&self.transactions), self.log.clone());
            running.push(tokio::spawn(async move {
                let (mut hand, until, mut took) = (hand, Instant::now() + length, Vec::new());
                while Instant::now() < until {
                    let began = Instant::now();
                    match way {
                        Way::Hand => hand.transfer(None, account).await,
                        Way::File => hand.transfer(Some(&log), account).await,
                        // Those in Java have transferred by themselves.
                        Way::Ours | Way::Java(_) => ours(&transactions, account).await,
                    }
                    took.push(began.elapsed());
                }
                took
            }));
        }
        let mut took = Vec::new();
        for client in running {
            took.extend(client.await.expect("a client"));
        }
        took
    }
}

async fn ours(transactions: &Transactions, account: usize) {
    let mut transaction = transactions.begin();
    let session = transaction.postgres("postgres").await.expect("PostgreSQL");
    session.batch_execute(&update(-1, account)).await.expect("a transfer");
    drop(session);
    let mut session = transaction.mariadb("mariadb").await.expect("MariaDB");
    session.query_drop(update(1, account)).await.expect("a transfer");
    drop(session);
    let committed = transaction.commit().await.expect("a commit");
    assert!(committed.unfinished.is_empty());
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
