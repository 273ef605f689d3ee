//! A bank with accounts in PostgreSQL, MariaDB, znodes and a service, and everything that can
//! happen to it.
//!
//! Tellers are processes that transfer money between the four, each transfer in one transaction.
//! Meanwhile tellers are killed, stopped and cut off at every step of a transaction; databases, the
//! service and the leader of the ensemble are killed and stopped; databases and the service are cut
//! off, and their connections break while a request to prepare or to commit is on its way. At the
//! end the stores themselves are asked.

mod audit;
mod cable;
mod desk;
mod doubt;
mod fault;
mod places;
mod service;
mod teller;
mod weakness;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) use fault::Fault;
pub(crate) use service::service_if_asked;
pub(crate) use teller::teller_if_asked;

use audit::audit;
use doubt::Doubt;
use teller::Teller;
use world::World;

/// Longest time for which a transaction may be in doubt while everything works.
pub(crate) const DOUBT_MAX: Duration = Duration::from_secs(5);

/// What is to happen.
pub(crate) struct Plan {
    /// Transfers that are committed at least.
    pub(crate) transfers: usize,
    /// What is done to the bank, one after the other.
    pub(crate) faults: Vec<Fault>,
    /// With what the program is started to be a teller or a server.
    pub(crate) arguments: &'static [&'static str],
}

/// What has happened.
pub(crate) struct Summary {
    /// Transfers that were committed.
    pub(crate) committed: usize,
    /// Transfers that were aborted.
    pub(crate) aborted: usize,
    /// Transfers of whose outcome the teller was not told, or which it was not able to tell.
    pub(crate) untold: usize,
    /// Longest time for which a transaction was in doubt while everything worked.
    pub(crate) longest_doubt: Duration,
    /// Money in PostgreSQL, MariaDB, the znodes and the service.
    pub(crate) balances: [i64; 4],
    /// How long it took.
    pub(crate) took: Duration,
}

/// How a transfer ended, as its teller has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Committed,
    Aborted,
    Unknown,
}

/// Runs the bank; `None` where the databases cannot be had.
///
/// # Panics
/// If money is lost or made, if a transfer is done in part, if one is in doubt for too long, if
/// anything stays prepared, or if a teller was told what is not so.
pub(crate) fn run(plan: Plan) -> Option<Summary> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut world = runtime.block_on(World::start(plan.arguments))?;
    runtime.block_on(world.open_accounts());
    let summary = runtime.block_on(play(&mut world, plan));
    Some(summary)
}

async fn play(world: &mut World, plan: Plan) -> Summary {
    let began = Instant::now();
    let doubt = Doubt::watch(world).await;
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    let mut steady = Teller::start(world, None);
    for fault in &plan.faults {
        println!("{:6.2} s  {fault}", began.elapsed().as_secs_f64());
        told.extend(fault.strike(world, &doubt).await);
        steady.assert_alive();
    }
    while steady.committed() + told.values().filter(|told| **told == Told::Committed).count() < plan.transfers
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
        steady.assert_alive();
    }
    // What the last tellers leave has to be finished by somebody.
    let (client, recovery) = teller::recovery(world).await;
    told.extend(steady.quit().await);
    let longest_doubt = doubt.settle().await;
    let count = |which: Told| told.values().filter(|told| **told == which).count();
    let (committed, aborted, untold) = (count(Told::Committed), count(Told::Aborted), count(Told::Unknown));
    let balances = audit(world, &told).await;
    recovery.close().await;
    drop(client);
    Summary { committed, aborted, untold, longest_doubt, balances, took: began.elapsed() }
}
