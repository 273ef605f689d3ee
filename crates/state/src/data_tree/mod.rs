//! The data tree of one consensus group: the znodes, and everything that is kept of them besides.
//!
//! It is ZooKeeper's `DataTree` without the watches: the znodes with their ACLs, quotas, containers
//! and TTL nodes, and the ephemerals of each session. It knows nothing of the ensemble; a session
//! is a number to it, and whether that session lives is decided before.
//!
//! A write has two phases. It is *planned*: everything that could refuse it is checked in
//! ZooKeeper's order, and the result is a [`Step`](plan::Step), a value that can no longer fail.
//! Then the step is *performed*. A multi plans all its operations first, each on a view that
//! includes the steps planned before it, and performs them only if none was refused, so that a
//! refused one leaves no trace.
//!
//! | file         | what                                                              |
//! |--------------|-------------------------------------------------------------------|
//! | `write`      | what changes the tree: clients' writes and the machine's own      |
//! | `view`       | what planning reads: the tree, or the tree with a multi's steps   |
//! | `access`     | whether grants and ACLs permit something; the rules in force      |
//! | `plan`       | create, delete, setData, setACL, check                            |
//! | `extensions` | planning of operations 501–505                                    |
//! | `perform`    | steps become changes of the tree                                  |
//! | `multi`      | atomic sequences of operations                                    |
//! | `ephemerals` | the ephemerals of each session                                    |
//! | `load`       | building a tree from a snapshot                                   |
//! | `check`      | verification of all invariants; the hash                          |

mod access;
mod check;
#[cfg(test)]
mod deep;
mod ephemerals;
mod extensions;
mod load;
mod multi;
mod perform;
mod plan;
mod view;
mod write;

pub use check::Violation;
pub(crate) use extensions::{check_not_exists as plan_check_not_exists, check_stat as plan_check_stat};
pub use load::LoadError;
pub(crate) use perform::Stamp;
pub(crate) use plan::plan_check;
pub(crate) use view::{Context, Direct};

use wire::acl::perms;

use crate::acl_table::{AclId, AclSnapshot, AclTable};
use crate::containers::{Reapable, RemovalCandidate, RemovalScan, RemovalTerms};
use crate::quota::{Count, Quotas};
use crate::tree::{KeptImages, NodeId, NodeImage, SnapshotCursor, Tree};
use access::InForce;
use ephemerals::Ephemerals;

/// Paths that can never be deleted.
const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", CONFIG_PATH];

/// The node with the configuration of the ensemble.
pub(crate) const CONFIG_PATH: &str = "/zookeeper/config";

/// The znodes of one group and everything derived from them.
pub struct DataTree {
    znodes: Tree,
    acls: AclTable,
    quotas: Quotas,
    /// Invariant: exactly the containers and TTL nodes of the tree.
    reapable: Reapable,
    ephemerals: Ephemerals,
    /// Invariant: the rules of the node at `GRANTS_PATH`, if it has `GRANTS_ACL`.
    in_force: Option<Box<InForce>>,
}

impl DataTree {
    /// The initial nodes of ZooKeeper, with their `Stat`s there. `hash_seed` as for
    /// [`Machine::new`](crate::machine::Machine::new).
    pub(crate) fn new(hash_seed: u64) -> Self {
        let mut tree = Self::empty(hash_seed);
        let config_acl = tree.acls.acquire(&read_only_acl());
        let mut sketch = Tree::new(hash_seed);
        let zookeeper = sketch.create_builtin(NodeId::ROOT, "zookeeper", AclId::OPEN);
        sketch.create_builtin(zookeeper, "quota", AclId::OPEN);
        let config = sketch.create_builtin(zookeeper, "config", config_acl);
        let mut cursor = sketch.begin_snapshot();
        sketch.snapshot_slice(&mut cursor, usize::MAX, &mut |image| {
            assert!(tree.acls.retain(image.acl), "the ACL was just added");
            // ZooKeeper sets the config node's ACL with a `setACL`, which makes `aversion` -1.
            let aversion = if image.id == config { -1 } else { 0 };
            tree.znodes.load(NodeImage { aversion, ..image }).expect("nodes of one tree fit another");
        });
        tree.acls.release(config_acl);
        tree
    }

    /// Only a root whose ACL is not counted, as the initial state of a loader.
    pub(crate) fn empty(hash_seed: u64) -> Self {
        Self {
            znodes: Tree::new(hash_seed),
            acls: AclTable::new(hash_seed),
            quotas: Quotas::default(),
            reapable: Reapable::default(),
            ephemerals: Ephemerals::default(),
            in_force: None,
        }
    }

    /// The znodes, to be read.
    #[inline]
    pub(crate) fn znodes(&self) -> &Tree {
        &self.znodes
    }

    /// Raw bytes of an ACL that is in use.
    #[inline]
    pub(crate) fn acl_bytes(&self, id: AclId) -> &[u8] {
        self.acls.bytes(id)
    }

    /// Raw bytes of a node's ACL.
    #[inline]
    pub(crate) fn acl_of(&self, id: NodeId) -> &[u8] {
        self.acls.bytes(self.znodes.node(id).acl())
    }

    /// The text that replaces the node's data, if it has the count of a quota.
    #[inline]
    pub(crate) fn shown_count(&self, id: NodeId) -> Option<String> {
        self.quotas.shown(id)
    }

    /// The node at a path sent by a client. Invalid paths have no nodes, except "", ZooKeeper's
    /// internal name of the root.
    #[inline]
    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        match path {
            "" => Some(NodeId::ROOT),
            _ if wire::path::validate(path).is_ok() => self.znodes.find(path),
            _ => None,
        }
    }

    /// The data of the node at a path, if it exists and has data.
    pub(crate) fn stored_data(&self, path: &str) -> Option<&[u8]> {
        self.find(path).and_then(|id| self.znodes.node(id).data())
    }

    /// As [`Machine::ephemerals_from`](crate::machine::Machine::ephemerals_from).
    pub(crate) fn ephemerals_from(
        &self,
        session: i64,
        after: Option<NodeId>,
        max: usize,
        tell: &mut dyn FnMut(&str),
    ) -> Option<NodeId> {
        let mut path = String::new();
        let mut last = None;
        for id in self.ephemerals.after(session, after).take(max) {
            path.clear();
            self.znodes.write_path(id, &mut path);
            tell(&path);
            last = Some(id);
        }
        last.filter(|last| self.ephemerals.after(session, Some(*last)).next().is_some())
    }

    /// Number of ephemeral nodes of all sessions.
    pub(crate) fn ephemerals_count(&self) -> usize {
        self.ephemerals.len()
    }

    /// Number of containers and TTL nodes.
    pub(crate) fn reapable_count(&self) -> usize {
        self.reapable.len()
    }

    /// Containers and TTL nodes that may be removed. Continues the scan from `scan`, examining a
    /// bounded number of nodes.
    pub(crate) fn removal_candidates(
        &self,
        terms: &RemovalTerms,
        scan: &mut RemovalScan,
    ) -> Vec<RemovalCandidate> {
        self.reapable.candidates(&self.znodes, terms, scan)
    }

    /// Begins a snapshot of the znodes, in constant time. One at a time.
    pub(crate) fn begin_snapshot(&mut self) -> SnapshotCursor {
        self.znodes.begin_snapshot()
    }

    /// Ends the snapshot, complete or not.
    pub(crate) fn end_snapshot(&mut self) -> KeptImages {
        self.znodes.end_snapshot()
    }

    /// The ACLs as they are now.
    pub(crate) fn acl_snapshot(&self) -> AclSnapshot {
        self.acls.snapshot()
    }

    /// The counts of the quotas, by the counted path.
    pub(crate) fn quota_counts(&self) -> impl Iterator<Item = (&str, Count)> {
        self.quotas.counts()
    }

    fn path(&self, id: NodeId) -> String {
        let mut path = String::new();
        self.znodes.write_path(id, &mut path);
        path
    }

    /// Calls `visit` for a node and all its descendants, parents before children. Not recursive: a
    /// path can have half as many levels as bytes.
    fn walk(&self, top: NodeId, visit: &mut dyn FnMut(NodeId)) {
        let mut stack = vec![top];
        while let Some(id) = stack.pop() {
            visit(id);
            self.push_children(id, &mut stack);
        }
    }

    /// Appends the children of a node, ordered by name.
    fn push_children(&self, id: NodeId, to: &mut Vec<NodeId>) {
        let listing = self.znodes.children(id);
        let children = listing.iter().map(|name| self.znodes.child(id, name));
        to.extend(children.map(|child| child.expect("a listed child is in the tree")));
    }

    /// Number of nodes and bytes of data under a path, including itself; zeros if there is no node.
    fn recount(&self, path: &str) -> (i64, i64) {
        let (mut nodes, mut bytes) = (0, 0);
        if let Some(top) = self.znodes.find(path) {
            let mut count = |id| {
                nodes += 1;
                bytes += self.znodes.node(id).data().unwrap_or_default().len() as i64;
            };
            count(top);
            self.znodes.visit_below(top, &mut count);
        }
        (nodes, bytes)
    }
}

fn read_only_acl() -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::acl::encode_list(&[wire::acl::Acl::new(perms::READ, "world", "anyone")], &mut bytes);
    bytes
}
