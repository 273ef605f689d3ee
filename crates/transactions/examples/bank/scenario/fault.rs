//! What is done to the bank.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::Told;
use super::cable::Lost;
use super::doubt::Doubt;
use super::teller::Teller;
use super::weakness::{Fall, PAUSE, Weakness};
use super::world::{Store, World};

/// How long a server stays stopped or down.
const OUTAGE: Duration = Duration::from_millis(1_200);
/// How long a store stays cut off: all that use it give up meanwhile.
const CUT: Duration = Duration::from_millis(3_000);
/// How long it may take to reach the step at which something happens. Only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The steps of a transaction that is committed.
const STEPS: [&str; 10] = [
    "prepare-postgres",
    "prepare-mariadb",
    "prepare-znodes",
    "prepare-service",
    "decide",
    "commit-postgres",
    "commit-mariadb",
    "commit-znodes",
    "commit-service",
    "forget",
];

/// One fault.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A teller falls at a step.
    Teller {
        /// The step.
        step: &'static str,
        /// Before or after it.
        before: bool,
        /// At which time of this step.
        at: usize,
        /// What becomes of it.
        fall: Fall,
    },
    /// A server is killed, and started again.
    Kill(Server),
    /// A server is stopped, and resumed.
    Stop(Server),
    /// Nothing reaches a store, nor comes from it, for a while. Then all of it arrives.
    CutOff(Store),
    /// All connections to a store are reset while one request is on its way.
    Break {
        /// The store.
        store: Store,
        /// What the request does.
        errand: Errand,
        /// What does not arrive.
        lost: Lost,
    },
}

/// What a request is sent for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Errand {
    /// To prepare a branch.
    Prepare,
    /// To commit a prepared one.
    Commit,
}

/// A server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Server {
    /// That of a store.
    Of(Store),
    /// The leader of the ensemble.
    Leader,
}

impl Fault {
    /// Each step, with the teller killed before and after it; each server killed and stopped once;
    /// each store cut off, and its connections broken at each errand. Some tellers are stopped
    /// or cut off.
    pub(crate) fn each() -> Vec<Fault> {
        let mut faults = Vec::new();
        for (index, step) in STEPS.into_iter().enumerate() {
            for before in [true, false] {
                faults.push(Fault::Teller { step, before, at: 2 + index, fall: Fall::Killed });
            }
        }
        for (step, before, fall) in [
            ("prepare-mariadb", false, Fall::Stopped),
            ("decide", false, Fall::Stopped),
            ("decide", true, Fall::CutOff),
            ("prepare-mariadb", true, Fall::CutOff),
        ] {
            faults.push(Fault::Teller { step, before, at: 3, fall });
        }
        let stores = [Store::Postgres, Store::MariaDb, Store::Service];
        for server in stores.map(Server::Of).into_iter().chain([Server::Leader]) {
            faults.extend([Fault::Kill(server), Fault::Stop(server)]);
        }
        for store in stores {
            faults.push(Fault::CutOff(store));
            for errand in [Errand::Prepare, Errand::Commit] {
                let broken = |lost| Fault::Break { store, errand, lost };
                faults.extend([Lost::Request, Lost::Answer].map(broken));
            }
        }
        faults
    }

    /// This many faults: [`Self::each`] again and again, at other times of their steps. In the
    /// second of three rounds tellers are cut off at every step, in the third stopped.
    pub(crate) fn many(count: usize) -> Vec<Fault> {
        let each = Fault::each();
        let again = |index: usize| match each[index % each.len()].clone() {
            Fault::Teller { step, before, at, fall } => {
                let round = index / each.len();
                let fall = [fall, Fall::CutOff, Fall::Stopped][round % 3];
                Fault::Teller { step, before, at: at + 3 * round, fall }
            }
            other => other,
        };
        (0..count).map(again).collect()
    }

    /// Does it, and waits until everything is back. What the teller has told that it is about.
    pub(super) async fn strike(&self, world: &mut World, doubt: &Doubt) -> BTreeMap<String, Told> {
        match self {
            Fault::Teller { step, before, at, fall } => {
                let weakness = Weakness { step: (*step).to_owned(), before: *before, at: *at, fall: *fall };
                fell(world, weakness).await
            }
            Fault::Kill(server) => outage(doubt, kill(world, *server)).await,
            Fault::Stop(server) => outage(doubt, stop(world, *server)).await,
            Fault::CutOff(store) => outage(doubt, cut_off(world, *store)).await,
            Fault::Break { store, errand, lost } => {
                outage(doubt, break_at(world, *store, *errand, *lost)).await
            }
        }
    }
}

/// Something that no teller is told of.
async fn outage(doubt: &Doubt, fault: impl Future<Output = ()>) -> BTreeMap<String, Told> {
    doubt.trouble();
    fault.await;
    doubt.healed().await;
    BTreeMap::new()
}

/// Lets a teller work until it falls.
async fn fell(world: &World, weakness: Weakness) -> BTreeMap<String, Told> {
    let fall = weakness.fall;
    let mut teller = Teller::start(world, Some(weakness));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let has_fallen = match fall {
            Fall::Killed => teller.has_ended(),
            Fall::Stopped => teller.is_stopped(),
            Fall::CutOff => teller.was_cut_off(),
        };
        if has_fallen {
            break;
        }
        assert!(Instant::now() < deadline, "the teller does not come to the step");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if fall != Fall::Killed {
        tokio::time::sleep(PAUSE).await;
    }
    if fall == Fall::Stopped {
        teller.resume();
    }
    teller.quit().await
}

async fn kill(world: &mut World, server: Server) {
    match server {
        Server::Of(Store::Postgres) => {
            world.postgres.kill();
            tokio::time::sleep(OUTAGE).await;
            world.postgres.launch();
        }
        Server::Of(Store::MariaDb) => {
            world.mariadb.kill();
            tokio::time::sleep(OUTAGE).await;
            world.mariadb.launch();
        }
        Server::Of(Store::Service) => {
            world.service.kill();
            tokio::time::sleep(OUTAGE).await;
            world.service.launch();
        }
        Server::Leader => {
            let leader = world.ensemble.await_leader();
            world.ensemble.kill(leader);
            tokio::time::sleep(OUTAGE).await;
            world.ensemble.launch(leader);
            world.ensemble.await_leader();
        }
    }
}

async fn stop(world: &World, server: Server) {
    let leader = world.ensemble.await_leader();
    match server {
        Server::Of(Store::Postgres) => world.postgres.stop(),
        Server::Of(Store::MariaDb) => world.mariadb.stop(),
        Server::Of(Store::Service) => world.service.stop(),
        Server::Leader => world.ensemble.stop(leader),
    }
    tokio::time::sleep(OUTAGE).await;
    match server {
        Server::Of(Store::Postgres) => world.postgres.resume(),
        Server::Of(Store::MariaDb) => world.mariadb.resume(),
        Server::Of(Store::Service) => world.service.resume(),
        Server::Leader => {
            world.ensemble.resume(leader);
            world.ensemble.await_leader();
        }
    }
}

async fn cut_off(world: &World, store: Store) {
    world.cable(store).cut(CUT);
    tokio::time::sleep(CUT).await;
}

async fn break_at(world: &World, store: Store, errand: Errand, lost: Lost) {
    let word = match (store, errand) {
        (Store::Postgres, Errand::Prepare) => "PREPARE TRANSACTION",
        (Store::Postgres, Errand::Commit) => "COMMIT PREPARED",
        (Store::MariaDb, Errand::Prepare) => "XA PREPARE",
        (Store::MariaDb, Errand::Commit) => "XA COMMIT",
        (Store::Service, Errand::Prepare) => "/prepare HTTP",
        (Store::Service, Errand::Commit) => "/commit HTTP",
    };
    let broken = tokio::time::timeout(PATIENCE, world.cable(store).break_at(word, lost)).await;
    broken.expect("a teller comes to the request");
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Teller { step, before, at, fall } => {
                let verb = match fall {
                    Fall::Killed => "killed",
                    Fall::Stopped => "stopped",
                    Fall::CutOff => "cut off",
                };
                let side = if *before { "before" } else { "after" };
                write!(f, "a teller is {verb} {side} {step} number {at}")
            }
            Fault::Kill(server) => write!(f, "{server} is killed and started again"),
            Fault::Stop(server) => write!(f, "{server} is stopped and resumed"),
            Fault::CutOff(store) => write!(f, "{store} is cut off, and everything arrives late"),
            Fault::Break { store, errand, lost } => {
                let lost = match lost {
                    Lost::Request => "a request",
                    Lost::Answer => "the answer to a request",
                };
                let errand = match errand {
                    Errand::Prepare => "prepare",
                    Errand::Commit => "commit",
                };
                write!(f, "all connections to {store} break, with {lost} to {errand} on its way")
            }
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Of(store) => store.fmt(f),
            Server::Leader => f.write_str("the leader of the ensemble"),
        }
    }
}
