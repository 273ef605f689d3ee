//! One call at a time for each branch: an abort must not overtake a preparation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::BranchId;

/// Who has the turn for each branch.
#[derive(Default)]
pub(crate) struct Turns {
    branches: Mutex<HashMap<BranchId, Arc<tokio::sync::Mutex<()>>>>,
}

/// The turn for a branch, until it is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    branch: BranchId,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, HashMap<BranchId, Arc<tokio::sync::Mutex<()>>>> {
        self.branches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other call is under way for the branch.
    pub(crate) async fn turn(&self, branch: &BranchId) -> Turn<'_> {
        let mutex = Arc::clone(self.lock().entry(branch.clone()).or_default());
        // Made before the wait, so that a caller that goes while it waits leaves nothing behind.
        let mut turn = Turn { turns: self, branch: branch.clone(), guard: None };
        turn.guard = Some(mutex.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut branches = self.turns.lock();
        // Only the table has it: nobody waits.
        if branches.get(&self.branch).is_some_and(|mutex| Arc::strong_count(mutex) == 1) {
            branches.remove(&self.branch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Branch, Cluster, ResourceName, TransactionId};

    #[tokio::test]
    async fn calls_for_a_branch_wait_for_each_other_and_leave_nothing_behind() {
        let transaction = TransactionId { cluster: Cluster(1), coordinator: 2, number: 3 };
        let branch = Branch { resource: ResourceName::new("a").unwrap(), session: None };
        let one = BranchId { transaction, branch };
        let other = BranchId { transaction: TransactionId { number: 4, ..transaction }, ..one.clone() };
        let turns = Turns::default();
        let first = turns.turn(&one).await;
        let _independent = turns.turn(&other).await;
        let mut second = Box::pin(turns.turn(&one));
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx))).await.is_pending()
        );
        drop(first);
        drop(second.await);
        // One that gives up while it waits.
        let first = turns.turn(&one).await;
        let mut second = Box::pin(turns.turn(&one));
        assert!(
            std::future::poll_fn(|cx| std::task::Poll::Ready(second.as_mut().poll(cx))).await.is_pending()
        );
        drop(second);
        drop(first);
        drop(_independent);
        assert!(turns.lock().is_empty());
    }
}
