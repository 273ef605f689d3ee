//! The data tree's part of a snapshot: ACLs, counts of quotas, nodes.

use wire::jute::{Malformed, Put as _, Reader};

use super::{ACLS, LoadError};
use crate::acl_table::{AclId, AclSnapshot};
use crate::data_tree::{self, DataTree};
use crate::quota::Count;
use crate::tree::{self, NodeId, NodeImage};

/// What is written of the data tree: a copy of all but the nodes, and how far the nodes are.
pub(super) struct TreePart {
    acls: AclSnapshot,
    quotas: Vec<(String, Count)>,
    nodes: tree::SnapshotCursor,
    /// Number of nodes written.
    written: u64,
}

impl TreePart {
    pub(super) fn begin(tree: &mut DataTree) -> Self {
        Self {
            acls: tree.acl_snapshot(),
            quotas: tree.quota_counts().map(|(path, count)| (path.to_owned(), count)).collect(),
            nodes: tree.begin_snapshot(),
            written: 0,
        }
    }

    pub(super) fn put_acls(&self, out: &mut Vec<u8>) {
        for (id, bytes) in self.acls.iter() {
            out.extend_from_slice(&id.as_u32().to_be_bytes());
            out.put_buffer(Some(bytes));
        }
    }

    pub(super) fn put_quotas(&self, out: &mut Vec<u8>) {
        for (path, count) in &self.quotas {
            out.put_str(path);
            out.put_i64(count.count);
            out.put_i64(count.bytes);
            out.put_bool(count.hides_data);
        }
    }

    /// Appends at most `max` nodes, and returns whether they were the last.
    pub(super) fn put_nodes(&mut self, tree: &DataTree, max: usize, out: &mut Vec<u8>) -> bool {
        let written = &mut self.written;
        tree.znodes().snapshot_slice(&mut self.nodes, max, &mut |image| {
            *written += 1;
            image.encode(out);
        })
    }

    pub(super) fn put_end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.written.to_be_bytes());
    }
}

/// A data tree while it is loaded.
pub(super) struct TreeLoader {
    tree: DataTree,
    nodes: u64,
    /// Counts of quotas, whose nodes come later: path, nodes, bytes, whether they hide data.
    quotas: Vec<(String, i64, i64, bool)>,
}

impl TreeLoader {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self { tree: DataTree::empty(hash_seed), nodes: 0, quotas: Vec::new() }
    }

    /// Number of nodes loaded so far.
    pub(super) fn nodes(&self) -> u64 {
        self.nodes
    }

    pub(super) fn acls(&mut self, input: &mut Reader<'_>) -> Result<(), LoadError> {
        let malformed = |cause| LoadError::Block { kind: ACLS, cause };
        while !input.is_empty() {
            let id = input.i32().map_err(malformed)?.cast_unsigned();
            let bytes = input.buffer().map_err(malformed)?.ok_or(Malformed::Null).map_err(malformed)?;
            wire::acl::AclList::from_raw(bytes).map_err(malformed)?;
            self.tree.load_acl(AclId::from_u32(id), bytes)?;
        }
        Ok(())
    }

    pub(super) fn quotas(&mut self, input: &mut Reader<'_>) -> Result<(), Malformed> {
        while !input.is_empty() {
            self.quotas.push((input.str()?.to_owned(), input.i64()?, input.i64()?, input.bool()?));
        }
        Ok(())
    }

    /// Loads the nodes of a block. `is_live` says whether a session exists.
    pub(super) fn nodes_of(
        &mut self,
        mut payload: &[u8],
        is_live: impl Fn(i64) -> bool,
    ) -> Result<(), LoadError> {
        while !payload.is_empty() {
            let image = NodeImage::decode(&mut payload)
                .map_err(|cause| LoadError::Image { number: self.nodes, cause })?;
            if (self.nodes == 0) != (image.id == NodeId::ROOT) {
                let order = tree::LoadError::Order { id: image.id, after: NodeId::ROOT };
                return Err(data_tree::LoadError::from(order).into());
            }
            self.tree.load_node(image, &is_live)?;
            self.nodes += 1;
        }
        Ok(())
    }

    /// The tree, after its last node.
    pub(super) fn finish(mut self) -> Result<DataTree, LoadError> {
        self.tree.finish_nodes()?;
        for (path, count, bytes, hides_data) in self.quotas {
            self.tree.load_count(&path, count, bytes, hides_data)?;
        }
        Ok(self.tree)
    }
}
