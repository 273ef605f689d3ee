//! Applies steps to the znodes and to everything derived from them. Nothing here can be refused.

use super::DataTree;
use super::plan::{NewNode, Step};
use crate::change::{Change, ChangeKind, ChangeSink};
use crate::grants::{GRANTS_ACL, GRANTS_PATH};
use crate::tree::{NodeId, Owner};

/// zxid and time of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) zxid: i64,
    /// Milliseconds since 1970, by the leader's clock.
    pub(crate) time_ms: i64,
}

impl DataTree {
    /// Performs a planned step, and returns the node whose new `Stat` the reply may contain.
    pub(super) fn perform(
        &mut self,
        step: &Step<'_>,
        stamp: Stamp,
        buffer: &mut String,
        changes: &mut dyn ChangeSink,
    ) -> Option<NodeId> {
        match step {
            Step::Create(node) => return Some(self.create_node(node, stamp, buffer, changes)),
            Step::Delete { id, path } => {
                let id = id.unwrap_or_else(|| self.planned(path));
                self.delete_node(id, path, stamp, changes);
            }
            Step::DeleteAll { path } => self.delete_all(path, stamp, buffer, changes),
            Step::SetData { id, path, data } => {
                let id = id.unwrap_or_else(|| self.planned(path));
                self.set_data(id, path, *data, stamp, changes);
                return Some(id);
            }
            Step::SetAcl { id, path, acl } => {
                let id = id.unwrap_or_else(|| self.planned(path));
                let former = self.znodes.node(id).acl();
                let acl = self.acls.acquire(acl);
                self.znodes.set_acl(id, acl);
                self.acls.release(former);
                return Some(id);
            }
            Step::Nothing { .. } => {}
        }
        None
    }

    /// The node of a step when it is performed.
    fn planned(&self, path: &str) -> NodeId {
        self.znodes.find(path).expect("a planned step's node exists when the step is performed")
    }

    fn create_node(
        &mut self,
        node: &NewNode<'_>,
        stamp: Stamp,
        buffer: &mut String,
        changes: &mut dyn ChangeSink,
    ) -> NodeId {
        let path = node.path.render(buffer);
        let parent = node.parent.unwrap_or_else(|| self.planned(wire::path::parent(path)));
        let acl = self.acls.acquire(&node.acl);
        let (name, owner) = (wire::path::name(path), node.owner.to_stored());
        let id = self.znodes.create(parent, name, node.data, acl, owner, stamp.zxid, stamp.time_ms);
        match node.owner {
            Owner::Persistent => {}
            Owner::Ephemeral(session) => self.ephemerals.insert(session, id),
            Owner::Container | Owner::Ttl { .. } => self.reapable.insert(id),
        }
        if self.quotas.concerns(path) {
            self.quota_created(path, id, node.data);
        }
        if path == GRANTS_PATH && *node.acl == *GRANTS_ACL {
            self.set_grants(id);
        }
        if changes.is_interested() {
            let (kind, grants) = (ChangeKind::Created, self.grants());
            let (acl, parent_acl) = (self.acls.bytes(acl), self.acl_of(parent));
            changes.change(&Change { kind, path, zxid: stamp.zxid, acl, parent_acl, grants });
        }
        id
    }

    #[cold]
    fn quota_created(&mut self, path: &str, id: NodeId, data: Option<&[u8]>) {
        // Taken out while the znodes are read.
        let mut quotas = std::mem::take(&mut self.quotas);
        quotas.created(path, id, data, |counted| self.recount(counted));
        self.quotas = quotas;
    }

    pub(super) fn set_data(
        &mut self,
        id: NodeId,
        path: &str,
        data: Option<&[u8]>,
        stamp: Stamp,
        changes: &mut dyn ChangeSink,
    ) {
        if self.quotas.concerns(path) {
            let old_bytes = self.znodes.node(id).data().unwrap_or_default().len();
            self.quotas.data_set(path, id, old_bytes, data);
        }
        self.znodes.set_data(id, data, stamp.zxid, stamp.time_ms);
        if self.is_of_grants(id) {
            self.set_grants(id);
        }
        if changes.is_interested() {
            let (acl, grants) = (self.acl_of(id), self.grants());
            let kind = ChangeKind::DataChanged;
            changes.change(&Change { kind, path, zxid: stamp.zxid, acl, parent_acl: &[], grants });
        }
    }

    /// Deletes a node and its descendants, each after its children, in time proportional to their
    /// number whatever their depth: each path is derived from that of the previous node.
    fn delete_all(&mut self, top: &str, stamp: Stamp, path: &mut String, changes: &mut dyn ChangeSink) {
        let mut nodes = Vec::new();
        self.walk(self.planned(top), &mut |id| nodes.push(id));
        let parent_of = |tree: &Self, id| tree.znodes.node(id).parent().expect("the root is never deleted");
        // `path` is that of `above`, an ancestor of all nodes still to be deleted or the previous
        // node.
        let mut above = parent_of(self, nodes[0]);
        path.clear();
        path.push_str(wire::path::parent(top).trim_end_matches('/'));
        let mut below = Vec::new();
        while let Some(id) = nodes.pop() {
            let parent = parent_of(self, id);
            let mut at = id;
            while at != above {
                below.push(at);
                at = parent_of(self, at);
            }
            for at in below.drain(..).rev() {
                path.push('/');
                path.push_str(self.znodes.node(at).name());
            }
            let name_at = path.len() - self.znodes.node(id).name().len() - 1;
            self.delete_node(id, path, stamp, changes);
            path.truncate(name_at);
            above = parent;
        }
    }

    /// Deletes a node without children.
    pub(super) fn delete_node(&mut self, id: NodeId, path: &str, stamp: Stamp, changes: &mut dyn ChangeSink) {
        let node = self.znodes.node(id);
        let parent = node.parent().expect("the root is never deleted");
        let (acl, owner) = (node.acl(), Owner::from_stored(node.owner()));
        if self.quotas.concerns(path) {
            let bytes = node.data().unwrap_or_default().len();
            self.quotas.deleted(path, id, bytes);
        }
        match owner {
            Owner::Persistent => {}
            Owner::Ephemeral(session) => self.ephemerals.remove(session, id),
            Owner::Container | Owner::Ttl { .. } => self.reapable.remove(id),
        }
        self.znodes.delete(id, stamp.zxid);
        if changes.is_interested() {
            let (kind, grants) = (ChangeKind::Deleted, self.grants());
            let (acl, parent_acl) = (self.acls.bytes(acl), self.acl_of(parent));
            changes.change(&Change { kind, path, zxid: stamp.zxid, acl, parent_acl, grants });
        }
        // Only now, so that they still decide who is told that their node is gone.
        if self.is_of_grants(id) {
            self.in_force = None;
        }
        self.acls.release(acl);
    }
}
