//! Containers and TTL nodes: nodes that are removed once they are no longer used.
//!
//! The leader periodically scans them and proposes removals as ordinary commands. Each command
//! identifies the exact node (see [`DeleteContainer`](crate::command::DeleteContainer)), so one
//! that was used again in the meantime stays.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::tree::{NodeId, Owner, Tree};

/// All containers and TTL nodes.
#[derive(Debug, Default)]
pub(crate) struct Reapable {
    nodes: BTreeSet<NodeId>,
}

impl Reapable {
    pub(crate) fn insert(&mut self, node: NodeId) {
        self.nodes.insert(node);
    }

    pub(crate) fn remove(&mut self, node: NodeId) {
        assert!(self.nodes.remove(&node), "containers and TTL nodes are listed");
    }

    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.nodes.contains(&node)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn candidates(
        &self,
        tree: &Tree,
        terms: &RemovalTerms,
        scan: &mut RemovalScan,
    ) -> Vec<RemovalCandidate> {
        let mut found = Vec::new();
        let start = scan.after.map_or(Bound::Unbounded, Bound::Excluded);
        for (looked_at, &id) in self.nodes.range((start, Bound::Unbounded)).enumerate() {
            if looked_at == terms.looked_at_max || found.len() == terms.found_max {
                return found;
            }
            scan.after = Some(id);
            let node = tree.node(id);
            if node.child_count() == 0 && terms.are_met(node.owner(), node.stored_cversion(), node.mtime()) {
                let mut path = String::new();
                tree.write_path(id, &mut path);
                found.push(RemovalCandidate { path, czxid: node.czxid(), mzxid: node.mzxid() });
            }
        }
        scan.done = true;
        found
    }
}

/// When a childless node may be removed, and how much work one scan may be.
#[derive(Clone, Copy, Debug)]
pub struct RemovalTerms {
    /// The leader's wall clock, milliseconds since 1970.
    pub now_ms: i64,
    /// A container that never had a child is removed after this many milliseconds; 0 keeps it
    /// forever (`znode.container.maxNeverUsedIntervalMs`).
    pub never_used_ms_max: i64,
    /// Maximum number of nodes examined per call.
    pub looked_at_max: usize,
    /// Maximum number of candidates per call (`znode.container.maxPerMinute` bounds their number
    /// over time).
    pub found_max: usize,
}

impl RemovalTerms {
    fn are_met(&self, owner: i64, children_ever: i32, mtime_ms: i64) -> bool {
        let age_ms = self.now_ms.saturating_sub(mtime_ms);
        match Owner::from_stored(owner) {
            // A new container is not removed before it could be used.
            Owner::Container if children_ever != 0 => true,
            Owner::Container => self.never_used_ms_max > 0 && age_ms > self.never_used_ms_max,
            Owner::Ttl { ttl_ms } => age_ms > ttl_ms,
            Owner::Persistent | Owner::Ephemeral(_) => false,
        }
    }
}

/// Progress of a scan through all of them. Start with the default; when it is done, start over.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemovalScan {
    after: Option<NodeId>,
    done: bool,
}

impl RemovalScan {
    /// Whether all nodes have been examined.
    pub fn is_done(&self) -> bool {
        self.done
    }
}

/// A node that may be removed: the fields of [`DeleteContainer`](crate::command::DeleteContainer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalCandidate {
    /// Its path.
    pub path: String,
    /// Its current `czxid`.
    pub czxid: i64,
    /// Its current `mzxid`.
    pub mzxid: i64,
}
