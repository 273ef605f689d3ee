//! What changes the data tree: the writes of clients, and the machine's own.

use std::collections::BTreeMap;

use wire::code::ErrorCode;
use wire::jute::Put as _;
use wire::opcode::Opcode;
use wire::record::Request;

use super::perform::Stamp;
use super::plan::{Step, plan};
use super::view::{Context, Direct};
use super::{CONFIG_PATH, DataTree};
use crate::change::ChangeSink;
use crate::command::DeleteContainer;
use crate::tree::{Node, NodeId, Owner};

/// Version of the config node's data, however often they were set.
const CONFIG_VERSION: i32 = -1;

impl DataTree {
    /// Executes a write of a live session: plans it, performs it and appends the body of its reply.
    /// `buffer` is space for a path.
    pub(crate) fn write(
        &mut self,
        request: &Request<'_>,
        context: &Context<'_>,
        stamp: Stamp,
        buffer: &mut String,
        reply: &mut Vec<u8>,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        if let Request::Multi(multi) = request {
            return self.multi(multi, context, stamp, buffer, reply, changes);
        }
        let step = plan(&Direct(self), context, request, buffer)?;
        let node = self.perform(&step, stamp, buffer, changes);
        self.put_result(request.opcode(), &step, node, buffer, reply);
        Ok(())
    }

    /// Appends the reply body of an operation whose step was performed on `node`.
    pub(super) fn put_result(
        &self,
        opcode: Opcode,
        step: &Step<'_>,
        node: Option<NodeId>,
        buffer: &mut String,
        reply: &mut Vec<u8>,
    ) {
        if opcode.is_create() {
            match step {
                Step::Create(node) => reply.put_str(node.path.render(buffer)),
                Step::Nothing { path } => reply.put_str(path),
                _ => unreachable!("a create creates or does nothing"),
            }
        }
        // create and createIfNotExists answer with the path only.
        if let Some(node) = node
            && !matches!(opcode, Opcode::Create | Opcode::CreateIfNotExists)
        {
            self.znodes.node(node).stat().encode(reply);
        }
    }

    /// Deletes the ephemerals of a session that ends, parent by parent and by name: ZooKeeper
    /// defines no order, but members must use the same.
    pub(crate) fn end_session(&mut self, session: i64, stamp: Stamp, changes: &mut dyn ChangeSink) {
        let Some(owned) = self.ephemerals.of(session) else { return };
        let mut parents: BTreeMap<NodeId, Vec<(String, NodeId)>> = BTreeMap::new();
        for &id in owned {
            let node = self.znodes.node(id);
            let parent = node.parent().expect("the root is not ephemeral");
            parents.entry(parent).or_default().push((node.name().to_owned(), id));
        }
        for (parent, mut ephemerals) in parents {
            ephemerals.sort_unstable();
            // One path at a time: all of them together may be many times larger than the tree.
            let (above, mut path) = (self.path(parent), String::new());
            for (name, id) in ephemerals {
                path.clear();
                wire::path::join(&above, &name, &mut path);
                self.delete_node(id, &path, stamp, changes);
            }
        }
        self.ephemerals.forget(session);
    }

    /// Deletes a container or TTL node that the leader found unused, unless it was used since.
    pub(crate) fn delete_container(
        &mut self,
        meant: &DeleteContainer<'_>,
        stamp: Stamp,
        changes: &mut dyn ChangeSink,
    ) -> Result<(), ErrorCode> {
        let id = self.find(meant.path).ok_or(ErrorCode::NoNode)?;
        let node = self.znodes.node(id);
        if !matches!(Owner::from_stored(node.owner()), Owner::Container | Owner::Ttl { .. })
            || (node.czxid(), node.mzxid()) != (meant.czxid, meant.mzxid)
        {
            return Err(ErrorCode::BadVersion);
        }
        if node.child_count() > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.delete_node(id, meant.path, stamp, changes);
        Ok(())
    }

    /// Sets the data of the node with the ensemble's configuration.
    pub(crate) fn set_config(&mut self, data: &[u8], stamp: Stamp, changes: &mut dyn ChangeSink) {
        let id = self.config_id();
        self.set_data(id, CONFIG_PATH, Some(data), stamp, changes);
        self.znodes.set_version(id, CONFIG_VERSION);
    }

    /// The node with the ensemble's configuration.
    pub(crate) fn config(&self) -> Node<'_> {
        self.znodes.node(self.config_id())
    }

    /// Raw bytes of its ACL.
    pub(crate) fn config_acl(&self) -> &[u8] {
        self.acl_of(self.config_id())
    }

    fn config_id(&self) -> NodeId {
        self.znodes.find(CONFIG_PATH).expect("it cannot be deleted")
    }
}
