//! The replicated state machine: commands in, replies and changes out.
//!
//! A machine applies the log of one consensus group. Its state is two values side by side: the
//! [data tree](crate::data_tree) of the group, and the ensemble, which is what all servers agree on
//! besides the znodes (`ensemble.rs`). Neither knows the other; a command that concerns both, such
//! as `closeSession` or `reconfig`, is applied to one after the other here.
//!
//! What could belong to either has one owner:
//!
//! - The last zxid is the machine's. It numbers the commands of the group's log, also those that
//!   change only one of the two values, and both get it in the stamp of a command.
//! - A session's ephemerals are the data tree's. They are deleted with it, node by node, and each
//!   data tree has its own. That the session lives is checked here before each write.
//! - The configuration of the ensemble is the ensemble's. `/zookeeper/config` is an ordinary node
//!   that shows it, with an ACL of its own.
//!
//! | file         | what                                       |
//! |--------------|--------------------------------------------|
//! | `apply`      | applying a command                         |
//! | `reconfig`   | changes of the ensemble's members          |
//! | `check`      | verification of all invariants; the digest |

mod apply;
mod check;
mod reconfig;

pub use apply::Applied;
pub use check::Violation;

use wire::code::ErrorCode;
use wire::record::Request;

use crate::acl::Asker;
use crate::containers::{RemovalCandidate, RemovalScan, RemovalTerms};
use crate::data_tree::DataTree;
use crate::ensemble::Ensemble;
use crate::members::Members;
use crate::read::{Body, Reader, WatchSink};
use crate::session::{PASSWORD_BYTES, PasswordDerivation, Session};
use crate::tree::NodeId;

/// The whole replicated state.
pub struct Machine {
    pub(crate) tree: DataTree,
    pub(crate) ensemble: Ensemble,
    /// zxid of the last command applied, or of the start of the current leader's term.
    last_zxid: i64,
    /// The leader's time stamp of the last batch applied since the start. Not part of the state.
    last_batch_ms: Option<i64>,
    /// Buffer for building paths, kept to reuse its memory. Not part of the state.
    path_buffer: String,
}

impl Machine {
    /// The state of a new cluster: the initial nodes of ZooKeeper, with their `Stat`s there.
    /// `hash_seed` is secret and differs between members; it has no visible effect.
    pub fn new(hash_seed: u64) -> Self {
        Self::loaded(DataTree::new(hash_seed), Ensemble::default(), 0)
    }

    /// The machine of a snapshot.
    pub(crate) fn loaded(tree: DataTree, ensemble: Ensemble, last_zxid: i64) -> Self {
        Self { tree, ensemble, last_zxid, last_batch_ms: None, path_buffer: String::new() }
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

    /// The leader's time stamp of the last batch applied since the start, in milliseconds since
    /// 1970.
    pub fn last_batch_ms(&self) -> Option<i64> {
        self.last_batch_ms
    }

    /// The data tree, for reads and watches.
    pub fn tree(&self) -> &DataTree {
        &self.tree
    }

    /// Whether the cluster has its key, which keyed passwords require.
    pub fn is_initialized(&self) -> bool {
        self.ensemble.is_initialized()
    }

    /// The replicated membership.
    pub fn members(&self) -> &Members {
        self.ensemble.members()
    }

    /// A live session.
    pub fn session(&self, id: i64) -> Option<Session> {
        self.ensemble.session(id)
    }

    /// All live sessions, by id.
    pub fn sessions(&self) -> impl Iterator<Item = Session> {
        self.ensemble.sessions()
    }

    /// Number of live sessions.
    pub fn sessions_count(&self) -> usize {
        self.ensemble.sessions_count()
    }

    /// The password of a session, live or not. `None` for a keyed one before the cluster has its
    /// key.
    pub fn session_password(&self, id: i64, derivation: PasswordDerivation) -> Option<[u8; PASSWORD_BYTES]> {
        self.ensemble.session_password(id, derivation)
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
        self.tree.ephemerals_from(session, after, max, tell)
    }

    /// Number of nodes, counted like ZooKeeper: the root has two entries there, so a new tree has
    /// 5.
    pub fn znode_count(&self) -> usize {
        self.tree.znodes().len() + 1
    }

    /// Number of ephemeral nodes of all sessions.
    pub fn ephemerals_count(&self) -> usize {
        self.tree.ephemerals_count()
    }

    /// Number of containers and TTL nodes.
    pub fn reapable_count(&self) -> usize {
        self.tree.reapable_count()
    }

    /// Bytes of all paths and data.
    pub fn data_bytes(&self) -> u64 {
        self.tree.znodes().data_bytes()
    }

    /// The data of the node at a path, if it exists and has data. No permissions are checked.
    pub fn stored_data(&self, path: &str) -> Option<&[u8]> {
        self.tree.stored_data(path)
    }

    /// Whether a client may have a copy of the whole state. The ACL of `/` has to grant every
    /// permission to an identity of the client: what it grants to `world:anyone` does not count.
    /// With grants in force, only the super user may.
    pub fn may_copy(&self, asker: &Asker<'_>) -> bool {
        self.tree.may_copy(asker)
    }

    /// Containers and TTL nodes that may be removed. Continues the scan from `scan`, examining a
    /// bounded number of nodes.
    pub fn removal_candidates(&self, terms: &RemovalTerms, scan: &mut RemovalScan) -> Vec<RemovalCandidate> {
        self.tree.removal_candidates(terms, scan)
    }

    /// As [`DataTree::read`].
    #[inline]
    pub fn read(
        &self,
        request: &Request<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> ErrorCode {
        self.tree.read(request, reader, body, watch)
    }

    /// As [`DataTree::read_whole`].
    pub fn read_whole(
        &self,
        request: &Request<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
        watch: &mut WatchSink<'_>,
    ) -> ErrorCode {
        self.tree.read_whole(request, reader, reply, watch)
    }
}
