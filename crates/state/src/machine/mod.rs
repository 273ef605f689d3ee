//! The replicated state machine: commands in, replies and changes out.
//!
//! A write has two phases. It is *planned*: everything that could refuse it is checked in
//! ZooKeeper's order, and the result is a [`Step`](plan::Step), a value that can no longer fail.
//! Then the step is *performed*. A multi plans all its operations first, each on a view that
//! includes the steps planned before it, and performs them only if none was refused, so that a
//! refused one leaves no trace.
//!
//! | file         | what                                                            |
//! |--------------|-----------------------------------------------------------------|
//! | `apply`      | applying a command                                              |
//! | `view`       | what planning reads: the tree, or the tree with a multi's steps |
//! | `plan`       | create, delete, setData, setACL, check                          |
//! | `extensions` | planning of operations 501–505                                  |
//! | `reconfig`   | changes of the ensemble's members                               |
//! | `perform`    | steps become changes of the tree                                |
//! | `multi`      | atomic sequences of operations                                  |
//! | `check`      | verification of all invariants; the digest                      |

mod apply;
mod check;
#[cfg(test)]
mod deep;
mod extensions;
mod multi;
mod perform;
mod plan;
mod reconfig;
mod view;

pub use apply::Applied;
pub use check::Violation;
pub(crate) use extensions::{check_not_exists as plan_check_not_exists, check_stat as plan_check_stat};
pub(crate) use plan::plan_check;
pub(crate) use view::{Context, Direct};

use wire::acl::perms;

use crate::acl_table::{AclId, AclTable};
use crate::command::CLUSTER_KEY_BYTES;
use crate::containers::{Reapable, RemovalCandidate, RemovalScan, RemovalTerms};
use crate::members::Members;
use crate::quota::Quotas;
use crate::session::{self, PASSWORD_BYTES, PasswordDerivation, Session, Sessions};
use crate::tree::{NodeId, NodeImage, Tree};

/// Paths that can never be deleted.
pub(crate) const RESERVED: [&str; 4] = ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// The whole replicated state.
pub struct Machine {
    pub(crate) tree: Tree,
    pub(crate) acls: AclTable,
    pub(crate) sessions: Sessions,
    pub(crate) quotas: Quotas,
    /// Invariant: exactly the containers and TTL nodes of the tree.
    pub(crate) reapable: Reapable,
    /// The leader's time stamp of the last batch applied since the start. Not part of the state.
    pub(crate) last_batch_ms: Option<i64>,
    /// zxid of the last command applied, or of the start of the current leader's term.
    pub(crate) last_zxid: i64,
    /// Secret of the cluster, from which session passwords are derived; `None` until the first
    /// `initialize`.
    pub(crate) cluster_key: Option<[u8; CLUSTER_KEY_BYTES]>,
    pub(crate) members: Members,
    /// Buffer for building paths, kept to reuse its memory. Not part of the state.
    path_buffer: String,
}

impl Machine {
    /// The state of a new cluster: the initial nodes of ZooKeeper, with their `Stat`s there.
    /// `hash_seed` is secret and differs between members; it has no visible effect.
    pub fn new(hash_seed: u64) -> Self {
        let mut machine = Self::empty(hash_seed);
        let config_acl = machine.acls.acquire(&read_only_acl());
        let mut sketch = Tree::new(hash_seed);
        let zookeeper = sketch.create_builtin(NodeId::ROOT, "zookeeper", AclId::OPEN);
        sketch.create_builtin(zookeeper, "quota", AclId::OPEN);
        let config = sketch.create_builtin(zookeeper, "config", config_acl);
        let mut cursor = sketch.begin_snapshot();
        sketch.snapshot_slice(&mut cursor, usize::MAX, &mut |image| {
            assert!(machine.acls.retain(image.acl), "the ACL was just added");
            // ZooKeeper sets the config node's ACL with a `setACL`, which makes `aversion` -1.
            let aversion = if image.id == config { -1 } else { 0 };
            machine.tree.load(NodeImage { aversion, ..image }).expect("nodes of one tree fit another");
        });
        machine.acls.release(config_acl);
        machine
    }

    /// Only a root whose ACL is not counted, as the initial state of a loader.
    pub(crate) fn empty(hash_seed: u64) -> Self {
        Self {
            tree: Tree::new(hash_seed),
            acls: AclTable::new(hash_seed),
            sessions: Sessions::default(),
            quotas: Quotas::default(),
            reapable: Reapable::default(),
            last_batch_ms: None,
            last_zxid: 0,
            cluster_key: None,
            members: Members::default(),
            path_buffer: String::new(),
        }
    }

    /// Starts a new leader's term: the zxids of its commands begin after the next multiple of 2^32,
    /// so that they still read as epoch and counter. Every member does this at the same position in
    /// the log.
    pub fn begin_leadership(&mut self) {
        self.last_zxid = ((self.last_zxid >> 32).saturating_add(1)).saturating_mul(1 << 32);
    }

    /// zxid of the last command applied.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }

    /// Whether the cluster has its key, which keyed passwords require.
    pub fn is_initialized(&self) -> bool {
        self.cluster_key.is_some()
    }

    /// A live session.
    pub fn session(&self, id: i64) -> Option<Session> {
        self.sessions.get(id)
    }

    /// All live sessions, by id.
    pub fn sessions(&self) -> impl Iterator<Item = Session> {
        self.sessions.iter()
    }

    /// Number of live sessions.
    pub fn sessions_count(&self) -> usize {
        self.sessions.len()
    }

    /// The password of a session, live or not. `None` for a keyed one before the cluster has its
    /// key.
    pub fn session_password(&self, id: i64, derivation: PasswordDerivation) -> Option<[u8; PASSWORD_BYTES]> {
        match derivation {
            PasswordDerivation::Keyed => {
                self.cluster_key.as_ref().map(|key| session::keyed_password(key, id))
            }
            PasswordDerivation::ZooKeeper => Some(session::zookeeper_password(id)),
        }
    }

    /// Passes the paths of at most `max` ephemeral nodes of a session, after `after`, to `tell`.
    /// Returns the node to continue after, or `None` at the end. Builds one path at a time: all of
    /// them together may be many times larger than the tree.
    pub fn ephemerals_from(
        &self,
        session: i64,
        after: Option<NodeId>,
        max: usize,
        tell: &mut dyn FnMut(&str),
    ) -> Option<NodeId> {
        let mut path = String::new();
        let mut last = None;
        for id in self.sessions.ephemerals_after(session, after).take(max) {
            path.clear();
            self.tree.write_path(id, &mut path);
            tell(&path);
            last = Some(id);
        }
        last.filter(|last| self.sessions.ephemerals_after(session, Some(*last)).next().is_some())
    }

    /// Number of nodes, counted like ZooKeeper: the root has two entries there, so a new tree has
    /// 5.
    pub fn znode_count(&self) -> usize {
        self.tree.len() + 1
    }

    /// Number of ephemeral nodes of all sessions.
    pub fn ephemerals_count(&self) -> usize {
        self.sessions.ephemerals_count()
    }

    /// Number of containers and TTL nodes.
    pub fn reapable_count(&self) -> usize {
        self.reapable.len()
    }

    /// Bytes of all paths and data.
    pub fn data_bytes(&self) -> u64 {
        self.tree.data_bytes()
    }

    /// The leader's time stamp of the last batch applied since the start, in milliseconds since
    /// 1970.
    pub fn last_batch_ms(&self) -> Option<i64> {
        self.last_batch_ms
    }

    /// The data of the node at a path, if it exists and has data. No permissions are checked.
    pub fn stored_data(&self, path: &str) -> Option<&[u8]> {
        self.find(path).and_then(|id| self.tree.node(id).data())
    }

    /// Containers and TTL nodes that may be removed. Continues the scan from `scan`, examining a
    /// bounded number of nodes.
    pub fn removal_candidates(&self, terms: &RemovalTerms, scan: &mut RemovalScan) -> Vec<RemovalCandidate> {
        self.reapable.candidates(&self.tree, terms, scan)
    }

    pub(crate) fn path(&self, id: NodeId) -> String {
        let mut path = String::new();
        self.tree.write_path(id, &mut path);
        path
    }

    /// Raw bytes of a node's ACL.
    #[inline]
    pub(crate) fn acl_of(&self, id: NodeId) -> &[u8] {
        self.acls.bytes(self.tree.node(id).acl())
    }

    /// The node at a path sent by a client. Invalid paths have no nodes, except "", ZooKeeper's
    /// internal name of the root.
    #[inline]
    pub(crate) fn find(&self, path: &str) -> Option<NodeId> {
        match path {
            "" => Some(NodeId::ROOT),
            _ if wire::path::validate(path).is_ok() => self.tree.find(path),
            _ => None,
        }
    }

    /// Calls `visit` for a node and all its descendants, parents before children. Not recursive: a
    /// path can have half as many levels as bytes.
    pub(crate) fn walk(&self, top: NodeId, visit: &mut dyn FnMut(NodeId)) {
        let mut stack = vec![top];
        while let Some(id) = stack.pop() {
            visit(id);
            self.push_children(id, &mut stack);
        }
    }

    /// Appends the children of a node, ordered by name.
    pub(crate) fn push_children(&self, id: NodeId, to: &mut Vec<NodeId>) {
        let listing = self.tree.children(id);
        let children = listing.iter().map(|name| self.tree.child(id, name));
        to.extend(children.map(|child| child.expect("a listed child is in the tree")));
    }

    /// Number of nodes and bytes of data under a path, including itself; zeros if there is no node.
    pub(crate) fn recount(&self, path: &str) -> (i64, i64) {
        let (mut nodes, mut bytes) = (0, 0);
        if let Some(top) = self.tree.find(path) {
            let mut count = |id| {
                nodes += 1;
                bytes += self.tree.node(id).data().unwrap_or_default().len() as i64;
            };
            count(top);
            self.tree.visit_below(top, &mut count);
        }
        (nodes, bytes)
    }
}

fn read_only_acl() -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::acl::encode_list(&[wire::acl::Acl::new(perms::READ, "world", "anyone")], &mut bytes);
    bytes
}
