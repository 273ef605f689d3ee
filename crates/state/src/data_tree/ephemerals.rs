//! The ephemeral nodes of each session.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::tree::NodeId;

/// All ephemeral nodes of a data tree, by session.
#[derive(Debug, Default)]
pub(super) struct Ephemerals {
    /// Invariant: exactly the nodes of the tree whose owner is the session. A set that has become
    /// empty stays until the session ends: a session that takes a lock again and again does not
    /// allocate one each time.
    by_session: BTreeMap<i64, BTreeSet<NodeId>>,
    /// Invariant: the number of nodes in all sets.
    count: usize,
}

impl Ephemerals {
    pub(super) fn insert(&mut self, session: i64, node: NodeId) {
        self.count += usize::from(self.by_session.entry(session).or_default().insert(node));
    }

    pub(super) fn remove(&mut self, session: i64, node: NodeId) {
        let nodes = self.by_session.get_mut(&session).expect("the owner of an ephemeral is listed");
        assert!(nodes.remove(&node), "an ephemeral is listed with its owner");
        self.count -= 1;
    }

    /// Forgets a session whose ephemerals were already removed.
    pub(super) fn forget(&mut self, session: i64) {
        let nodes = self.by_session.remove(&session);
        assert!(nodes.is_none_or(|nodes| nodes.is_empty()), "an ended session has no ephemerals");
    }

    /// The nodes of a session; `None` if it never had any.
    pub(super) fn of(&self, session: i64) -> Option<&BTreeSet<NodeId>> {
        self.by_session.get(&session)
    }

    /// The nodes of a session with an id above `after`.
    pub(super) fn after(&self, session: i64, after: Option<NodeId>) -> impl Iterator<Item = NodeId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.of(session).into_iter().flat_map(move |nodes| nodes.range((from, Bound::Unbounded)).copied())
    }

    /// The sessions that have ephemerals or had some.
    pub(super) fn sessions(&self) -> impl Iterator<Item = i64> {
        self.by_session.keys().copied()
    }

    /// Number of ephemeral nodes of all sessions.
    pub(super) fn len(&self) -> usize {
        self.count
    }
}
