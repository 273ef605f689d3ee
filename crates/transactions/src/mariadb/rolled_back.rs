//! The branches that were rolled back last, because MariaDB may undo that.
//!
//! MariaDB answers the rollback of a prepared branch before it flushes it, and flushes its log once
//! in a second: if it dies meanwhile, the branch is prepared again when the server is back.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::BranchId;

/// Branches that are remembered. A branch that was rolled back and is not remembered is found by
/// the recovery.
const KEPT_MAX: usize = 1024;

/// The branches that were rolled back last.
#[derive(Default)]
pub(super) struct RolledBack {
    /// Oldest first.
    branches: Mutex<VecDeque<BranchId>>,
}

impl RolledBack {
    /// Remembers a branch whose rollback was answered.
    pub(super) fn add(&self, branch: &BranchId) {
        let mut branches = self.branches.lock().unwrap_or_else(PoisonError::into_inner);
        if branches.len() == KEPT_MAX {
            branches.pop_front();
        }
        branches.push_back(branch.clone());
    }

    /// Those that are among the prepared branches again.
    pub(super) fn undone(&self, prepared: Vec<BranchId>) -> Vec<BranchId> {
        let branches = self.branches.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.into_iter().filter(|branch| branches.contains(branch)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Branch, Cluster, ResourceName, TransactionId};

    fn branch(number: u64) -> BranchId {
        let transaction = TransactionId { cluster: Cluster(7), coordinator: 1, number };
        BranchId {
            transaction,
            branch: Branch { resource: ResourceName::new("orders").unwrap(), session: None },
        }
    }

    #[test]
    fn the_last_branches_are_remembered() {
        let rolled_back = RolledBack::default();
        (0..=KEPT_MAX as u64).for_each(|number| rolled_back.add(&branch(number)));
        let prepared = [0, 1, KEPT_MAX as u64, 5_000].map(branch).to_vec();
        assert_eq!(rolled_back.undone(prepared), [branch(1), branch(KEPT_MAX as u64)]);
    }
}
