//! Writing a snapshot while commands are applied.

use wire::jute::Put as _;

use super::ensemble::EnsemblePart;
use super::tree::TreePart;
use super::{ACLS, END, HEAD, MAGIC, NODES, QUOTAS, SESSIONS, VERSION, WITH_GRANTS};
use crate::machine::Machine;
use crate::tree::KeptImages;

/// Progress of writing a snapshot, and everything except the nodes, which is small enough to be
/// copied at the start: 16 bytes per session, a pointer per 256 ACLs.
pub struct SnapshotCursor {
    /// zxid of the snapshot's state.
    last_zxid: i64,
    version: u8,
    ensemble: EnsemblePart,
    tree: TreePart,
    next: Block,
}

/// The next block to write.
#[derive(Clone, Copy)]
enum Block {
    Head,
    /// Sessions from this index on.
    Sessions(usize),
    AclsAndQuotas,
    Nodes,
    Done,
}

impl SnapshotCursor {
    /// zxid of the snapshot's state.
    pub fn last_zxid(&self) -> i64 {
        self.last_zxid
    }
}

impl Machine {
    /// Begins a snapshot of the current state. Takes well below a millisecond, whatever the size of
    /// the tree; from then on commands may be applied between the slices.
    ///
    /// # Panics
    /// When another snapshot is in progress.
    pub fn begin_snapshot(&mut self) -> SnapshotCursor {
        SnapshotCursor {
            last_zxid: self.last_zxid(),
            version: if self.tree.grants().is_some() { WITH_GRANTS } else { VERSION },
            ensemble: EnsemblePart::of(&self.ensemble),
            tree: TreePart::begin(&mut self.tree),
            next: Block::Head,
        }
    }

    /// Appends the next slice, with about `max_nodes` nodes or fewer sessions, and returns whether
    /// it was the last. Needs only a shared reference, so reads continue.
    pub fn snapshot_slice(&self, cursor: &mut SnapshotCursor, max_nodes: usize, out: &mut Vec<u8>) -> bool {
        let SnapshotCursor { last_zxid, version, ensemble, tree, next } = cursor;
        *next = match *next {
            Block::Head => {
                block(HEAD, out, |out| {
                    out.extend_from_slice(MAGIC);
                    out.put_u8(*version);
                    out.put_i64(*last_zxid);
                    ensemble.put_head(out);
                });
                Block::Sessions(0)
            }
            Block::Sessions(from) => {
                let mut until = None;
                block(SESSIONS, out, |out| until = ensemble.put_sessions(from, max_nodes, out));
                until.map_or(Block::AclsAndQuotas, Block::Sessions)
            }
            Block::AclsAndQuotas => {
                block(ACLS, out, |out| tree.put_acls(out));
                block(QUOTAS, out, |out| tree.put_quotas(out));
                Block::Nodes
            }
            Block::Nodes => {
                let mut is_last = false;
                block(NODES, out, |out| is_last = tree.put_nodes(&self.tree, max_nodes, out));
                if is_last {
                    block(END, out, |out| tree.put_end(out));
                    Block::Done
                } else {
                    Block::Nodes
                }
            }
            Block::Done => Block::Done,
        };
        matches!(next, Block::Done)
    }

    /// Ends a snapshot, complete or not. Returns the images it kept: freeing them may take longer
    /// than applying a command, so drop them where no request waits.
    ///
    /// # Panics
    /// When no snapshot is in progress.
    pub fn end_snapshot(&mut self) -> KeptImages {
        self.tree.end_snapshot()
    }

    /// Whether a snapshot is in progress.
    pub fn is_snapshot_active(&self) -> bool {
        self.tree.znodes().is_snapshot_active()
    }
}

/// Appends a block with the payload that `fill` appends.
fn block(kind: u8, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mark = wire::frame::begin(out);
    out.put_u8(kind);
    let start = out.len();
    fill(out);
    let length =
        u32::try_from(out.len() - start).expect("a block of a bounded number of nodes is below 4 GiB");
    out[mark..mark + 4].copy_from_slice(&length.to_be_bytes());
}
