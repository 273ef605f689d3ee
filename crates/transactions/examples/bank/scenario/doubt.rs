//! Watches for how long branches stay prepared while everything works.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use transactions::{
    BranchId, Cluster, Http, MariaDb, Options, Participant, Postgres, Resources, Transactions, Znodes,
};

use super::DOUBT_MAX;
use super::world::{STEP, TRANSACTIONS, World};

/// How often the stores are asked.
const PAUSE: Duration = Duration::from_millis(40);
/// From which time on a branch in doubt is told.
const WORTH_TELLING: Duration = Duration::from_millis(1_500);
/// How long all must be finished after the last transfer. Only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Doubt {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Since when everything works; `None` while something does not.
    healthy_since: Option<Instant>,
    /// When each branch that is prepared was first seen.
    prepared: BTreeMap<BranchId, Instant>,
    longest: Duration,
    /// Rounds in which all stores have answered.
    rounds: u64,
}

impl Doubt {
    pub(super) async fn watch(world: &World) -> Doubt {
        let client = world.client().await;
        let options = Options { is_without_recovery: true, ..Options::default() };
        let opened = Transactions::open(&client, TRANSACTIONS, Resources::new(), options).await;
        let cluster = opened.expect("the znodes of the transactions").cluster();
        let state: Arc<Mutex<State>> =
            Arc::new(Mutex::new(State { healthy_since: Some(Instant::now()), ..State::default() }));
        let (watched, postgres) = (Arc::clone(&state), Postgres::new(&world.postgres.connection(), STEP));
        let (postgres, mariadb) = (postgres.expect("PostgreSQL"), MariaDb::new(&world.mariadb.url(), STEP));
        let (mariadb, addresses) = (mariadb.expect("MariaDB"), world.ensemble.addresses());
        let service = Http::new(&world.service.url(), STEP).expect("a URL");
        tokio::spawn(async move {
            let mut client = client;
            loop {
                if client.state().is_over() {
                    client = super::world::open_client(&addresses).await;
                }
                let znodes = Znodes::new(&client, "/bank/staged", STEP);
                let participants: [&dyn Participant; 4] = [&postgres, &mariadb, &znodes, &service];
                if let Some(prepared) = listed(&participants, cluster).await {
                    watched.lock().expect("no panic").seen(prepared);
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        Doubt { state }
    }

    /// Something does not work from now on.
    pub(super) fn trouble(&self) {
        self.state.lock().expect("no panic").healthy_since = None;
    }

    /// Everything works again. Waits until all is finished that was prepared before.
    ///
    /// # Panics
    /// If it stays prepared.
    pub(super) async fn healed(&self) {
        let healed = Instant::now();
        self.state.lock().expect("no panic").healthy_since = Some(healed);
        self.seen_until(|state| state.prepared.values().all(|since| *since > healed)).await;
    }

    /// Waits until nothing is prepared; the longest time for which something was.
    ///
    /// # Panics
    /// If something stays prepared, or was for too long.
    pub(super) async fn settle(&self) -> Duration {
        self.seen_until(|state| state.prepared.is_empty()).await;
        let longest = self.state.lock().expect("no panic").longest;
        assert!(longest <= DOUBT_MAX, "in doubt for {longest:?}");
        longest
    }

    async fn seen_until(&self, is_so: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let round = self.state.lock().expect("no panic").rounds;
        loop {
            {
                let state = self.state.lock().expect("no panic");
                // The first of two rounds may have begun before.
                if state.rounds >= round + 2 && is_so(&state) {
                    return;
                }
                assert!(Instant::now() < deadline, "these stay prepared: {:?}", state.prepared);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl State {
    fn seen(&mut self, prepared: Vec<BranchId>) {
        let now = Instant::now();
        let known = std::mem::take(&mut self.prepared);
        for (branch, since) in known.iter().filter(|(branch, _)| !prepared.contains(branch)) {
            let doubt = self.healthy_since.map(|healthy_since| now - (*since).max(healthy_since));
            if let Some(doubt) = doubt.filter(|doubt| *doubt > WORTH_TELLING) {
                println!(
                    "          {} was in doubt for {:.2} s",
                    branch.branch.resource,
                    doubt.as_secs_f64()
                );
            }
        }
        for branch in prepared {
            let since = known.get(&branch).copied().unwrap_or(now);
            if let Some(healthy_since) = self.healthy_since {
                self.longest = self.longest.max(now - since.max(healthy_since));
            }
            self.prepared.insert(branch, since);
        }
        self.rounds += 1;
    }
}

/// What is prepared; `None` if a store does not answer.
async fn listed(participants: &[&dyn Participant], cluster: Cluster) -> Option<Vec<BranchId>> {
    let mut branches = Vec::new();
    for participant in participants {
        let prepared = participant.prepared(cluster).await.ok()?;
        branches.extend(prepared.into_iter().map(|prepared| prepared.branch));
    }
    Some(branches)
}
