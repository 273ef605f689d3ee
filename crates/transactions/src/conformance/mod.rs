//! What every participant must do, as checks that anyone's own can be run against.
//!
//! An implementation of [`Subject`] says how its participant begins a branch that changes
//! something, how the change is looked at, and how the processes that use it are lost.
//!
//! ```no_run
//! # async fn example(subject: &impl transactions::conformance::Subject) {
//! transactions::conformance::check_all(subject).await;
//! # }
//! ```

mod branches;
mod losses;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::participant::{Participant, Prepared};
use crate::{BranchId, Cluster, TransactionId};

/// A participant under test, and the world around it.
#[async_trait]
pub trait Subject: Sync {
    /// A participant as another process has it: what this one returns shares nothing with earlier
    /// ones but the database behind them.
    async fn participant(&self) -> Arc<dyn Participant>;

    /// Begins a branch that adds `value` to what [`Self::has`] tells, by a participant that
    /// [`Self::participant`] has returned last.
    async fn work(&self, transaction: &TransactionId, value: u64) -> BranchId;

    /// Begins a branch that changes nothing, in the same way; `None` if the participant cannot tell
    /// such a branch.
    async fn read(&self, transaction: &TransactionId) -> Option<BranchId>;

    /// Begins a branch that cannot be prepared, in the same way; `None` if there is no such branch.
    async fn spoiled(&self, transaction: &TransactionId) -> Option<BranchId>;

    /// Whether `value` was added, as a reader sees it who takes no part.
    async fn has(&self, value: u64) -> bool;

    /// Loses what is behind the participant as by a power switch, and gets it back; `false` if that
    /// cannot be done.
    async fn lose_power(&self) -> bool;
}

/// Runs all checks.
///
/// # Panics
/// If the participant does not conform.
pub async fn check_all(subject: &impl Subject) {
    step("a branch is committed after it was prepared", branches::commits(subject)).await;
    step("a branch is undone after it was prepared", branches::aborts(subject)).await;
    step("a branch that is not prepared is undone", branches::aborts_unprepared(subject)).await;
    step("a branch is committed at once", branches::commits_at_once(subject)).await;
    step("commit and abort can be repeated", branches::repeats(subject)).await;
    step("a branch that nobody knows is not found", branches::finds_nothing(subject)).await;
    step("a branch that only reads is left out", branches::leaves_readers_out(subject)).await;
    step("a branch that cannot be prepared is refused", branches::refuses(subject)).await;
    step("clusters do not see each other's branches", branches::separates_clusters(subject)).await;
    step("many branches are prepared at once", branches::runs_many(subject)).await;
    step("another process commits while the first lives", losses::commits_elsewhere(subject)).await;
    step("another process aborts while the first lives", losses::aborts_elsewhere(subject)).await;
    step("a prepared branch survives its process", losses::survives_its_process(subject)).await;
    step("an unprepared branch ends with its process", losses::ends_with_its_process(subject)).await;
    step("a prepared branch survives a power cut", losses::survives_a_power_cut(subject)).await;
}

async fn step(name: &str, check: impl Future<Output = ()>) {
    println!("conformance: {name}");
    check.await;
}

/// Clusters that no other run has.
fn new_cluster() -> Cluster {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("random numbers");
    Cluster(u64::from_le_bytes(bytes))
}

/// Transactions and values that no other has.
fn new_transaction(cluster: Cluster) -> (TransactionId, u64) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (TransactionId { cluster, coordinator: 1, number }, number)
}

async fn prepared(participant: &Arc<dyn Participant>, cluster: Cluster) -> Vec<BranchId> {
    let prepared = participant.prepared(cluster).await.expect("a list");
    prepared.into_iter().map(|Prepared { branch, .. }| branch).collect()
}
