//! Building a data tree from a snapshot: first the ACLs, then the znodes, finally the counts.

use super::{DataTree, RESERVED};
use crate::acl_table::{AclId, AclLoadError};
use crate::grants::{BadGrants, GRANTS_PATH};
use crate::quota::{Count, LIMITS_NAME, QUOTA_ROOT};
use crate::tree::{self, NodeId, NodeImage, Owner};

/// Why the content of a snapshot does not make a data tree.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An inconsistent ACL.
    #[error(transparent)]
    Acl(#[from] AclLoadError),
    /// A node that does not fit the earlier nodes.
    #[error(transparent)]
    Node(#[from] tree::LoadError),
    /// A node whose ACL is not in the snapshot.
    #[error("node {0} has an unknown ACL")]
    UnknownAcl(NodeId),
    /// An ephemeral node whose session is not in the snapshot.
    #[error("the owner {owner:#x} of node {id} is not a session")]
    UnknownOwner {
        /// The node.
        id: NodeId,
        /// The session it names.
        owner: i64,
    },
    /// A quota's count without its node, or duplicated.
    #[error("the quota on {0:?} has no stats node")]
    Quota(String),
    /// Grants in force that are not rules.
    #[error("{GRANTS_PATH}: {0}")]
    Grants(#[from] BadGrants),
    /// A node that every tree has is missing.
    #[error("{0} is missing")]
    Reserved(&'static str),
}

impl DataTree {
    /// Adds an ACL.
    pub(crate) fn load_acl(&mut self, id: AclId, bytes: &[u8]) -> Result<(), LoadError> {
        Ok(self.acls.load(id, bytes)?)
    }

    /// Adds a node; the root comes first, and parents before children. `is_live` says whether a
    /// session exists.
    pub(crate) fn load_node(
        &mut self,
        image: NodeImage<'_>,
        is_live: impl FnOnce(i64) -> bool,
    ) -> Result<(), LoadError> {
        self.znodes.load(image)?;
        if !self.acls.retain(image.acl) {
            return Err(LoadError::UnknownAcl(image.id));
        }
        match Owner::from_stored(image.owner) {
            Owner::Persistent => {}
            Owner::Ephemeral(owner) => {
                if image.id == NodeId::ROOT || !is_live(owner) {
                    return Err(LoadError::UnknownOwner { id: image.id, owner });
                }
                self.ephemerals.insert(owner, image.id);
            }
            Owner::Container | Owner::Ttl { .. } => self.reapable.insert(image.id),
        }
        Ok(())
    }

    /// Completes the tree after its last node with what follows from the nodes.
    pub(crate) fn finish_nodes(&mut self) -> Result<(), LoadError> {
        for path in RESERVED {
            self.znodes.find(path).ok_or(LoadError::Reserved(path))?;
        }
        let root = self.znodes.find(QUOTA_ROOT).expect("reserved nodes were checked");
        let mut nodes = Vec::new();
        self.walk(root, &mut |id| nodes.push(id));
        // Only the paths of limits are built: paths may be deep, and the other nodes are many.
        for id in nodes.into_iter().filter(|id| self.znodes.node(*id).name() == LIMITS_NAME) {
            let path = self.path(id);
            self.quotas.load_limits(&path, self.znodes.node(id).data());
        }
        self.load_grants()?;
        self.acls.drop_unused();
        Ok(())
    }

    /// Adds the count of the quota on `path`, after the last node.
    pub(crate) fn load_count(
        &mut self,
        path: &str,
        count: i64,
        bytes: i64,
        hides_data: bool,
    ) -> Result<(), LoadError> {
        let stats = format!("{QUOTA_ROOT}{path}/zookeeper_stats");
        let is_loaded = self
            .find(&stats)
            .is_some_and(|node| self.quotas.load_count(&stats, Count { node, count, bytes, hides_data }));
        if is_loaded { Ok(()) } else { Err(LoadError::Quota(path.to_owned())) }
    }
}
