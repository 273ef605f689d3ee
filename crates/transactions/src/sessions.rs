//! Sessions of a database: idle ones, and those that belong to a branch.

use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::BranchId;

/// Idle sessions kept for later branches. More are closed.
const IDLE_MAX: usize = 64;

/// What is known about the transaction of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It is under way, or the session has no transaction.
    Working,
    /// It is prepared. In PostgreSQL it is no longer the session's.
    Prepared,
    /// It may be prepared, now or later.
    Doubtful,
}

/// The sessions of one participant.
pub(crate) struct Sessions<S> {
    table: Mutex<Table<S>>,
}

struct Table<S> {
    idle: Vec<S>,
    branches: HashMap<BranchId, Arc<Place<S>>>,
}

/// Where the session of a branch is while nobody uses it.
struct Place<S> {
    session: Mutex<Option<S>>,
}

/// A session that belongs to a branch, in the hands of the program. It goes back when this is
/// dropped; until then the branch cannot be prepared.
pub struct Lent<S> {
    /// `None` only while it is dropped.
    session: Option<S>,
    place: Arc<Place<S>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Sessions<S> {
    pub(crate) fn new() -> Self {
        Self { table: Mutex::new(Table { idle: Vec::new(), branches: HashMap::new() }) }
    }

    /// An idle session that `is_usable`.
    pub(crate) fn idle(&self, is_usable: impl Fn(&S) -> bool) -> Option<S> {
        let mut table = lock(&self.table);
        table.idle.retain(is_usable);
        table.idle.pop()
    }

    /// Closes all idle sessions: one of them did not answer, and to wait for each of the others
    /// would take as many times as long.
    pub(crate) fn close_idle(&self) {
        lock(&self.table).idle.clear();
    }

    /// Keeps a session that belongs to no branch.
    pub(crate) fn keep(&self, session: S) {
        let mut table = lock(&self.table);
        if table.idle.len() < IDLE_MAX {
            table.idle.push(session);
        }
    }

    /// Gives a session to a new branch, and lends it.
    pub(crate) fn assign(&self, branch: &BranchId, session: S) -> Lent<S> {
        let place = Arc::new(Place { session: Mutex::new(None) });
        lock(&self.table).branches.insert(branch.clone(), Arc::clone(&place));
        Lent { session: Some(session), place }
    }

    /// Puts back the session of a branch that has been taken.
    pub(crate) fn put(&self, branch: &BranchId, session: S) {
        let place = Arc::new(Place { session: Mutex::new(Some(session)) });
        lock(&self.table).branches.insert(branch.clone(), place);
    }

    /// Lends the session of a branch again; `None` if it is lent, or there is no such branch.
    pub(crate) fn lend(&self, branch: &BranchId) -> Option<Lent<S>> {
        let place = lock(&self.table).branches.get(branch).cloned()?;
        let session = lock(&place.session).take()?;
        Some(Lent { session: Some(session), place })
    }

    /// Takes the session of a branch away from it.
    pub(crate) fn take(&self, branch: &BranchId) -> Taken<S> {
        let mut table = lock(&self.table);
        let Some(place) = table.branches.get(branch) else { return Taken::Unknown };
        let session = lock(&place.session).take();
        match session {
            Some(session) => {
                table.branches.remove(branch);
                Taken::Session(session)
            }
            None => Taken::Lent,
        }
    }

    /// Forgets a branch whose session is lent: it is closed when it comes back.
    pub(crate) fn forget(&self, branch: &BranchId) {
        lock(&self.table).branches.remove(branch);
    }
}

/// What there is for a branch.
pub(crate) enum Taken<S> {
    /// Its session, which belongs to no branch any more.
    Session(S),
    /// The program still has it.
    Lent,
    /// This process has no session of it.
    Unknown,
}

impl<S> Deref for Lent<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.session.as_ref().expect("a session until it is dropped")
    }
}

impl<S> DerefMut for Lent<S> {
    fn deref_mut(&mut self) -> &mut S {
        self.session.as_mut().expect("a session until it is dropped")
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        *lock(&self.place.session) = self.session.take();
    }
}

impl<S> fmt::Debug for Lent<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Branch, Cluster, ResourceName, TransactionId};

    use super::*;

    fn branch(number: u64) -> BranchId {
        let transaction = TransactionId { cluster: Cluster(1), coordinator: 2, number };
        BranchId { transaction, branch: Branch { resource: ResourceName::new("a").unwrap(), session: None } }
    }

    #[test]
    fn a_session_that_is_lent_cannot_be_taken() {
        let sessions = Sessions::new();
        let mut lent = sessions.assign(&branch(1), 7);
        *lent += 1;
        assert!(matches!(sessions.take(&branch(1)), Taken::Lent));
        assert!(sessions.lend(&branch(1)).is_none());
        drop(lent);
        assert_eq!(*sessions.lend(&branch(1)).unwrap(), 8);
        assert!(matches!(sessions.take(&branch(1)), Taken::Session(8)));
        assert!(matches!(sessions.take(&branch(1)), Taken::Unknown));
    }

    #[test]
    fn a_forgotten_branchs_session_does_not_come_back() {
        let sessions = Sessions::new();
        let session = Arc::new(());
        let lent = sessions.assign(&branch(1), Arc::clone(&session));
        sessions.forget(&branch(1));
        drop(lent);
        assert!(matches!(sessions.take(&branch(1)), Taken::Unknown));
        assert_eq!(Arc::strong_count(&session), 1);
        assert!(sessions.idle(|_| true).is_none());
    }
}
