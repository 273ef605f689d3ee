//! Writing a snapshot while commands are applied.

use wire::jute::Put as _;

use super::{ACLS, END, HEAD, MAGIC, NODES, QUOTAS, SESSIONS, VERSION};
use crate::acl_table::AclSnapshot;
use crate::command::{CLUSTER_KEY_BYTES, SessionTerms};
use crate::machine::Machine;
use crate::members::Members;
use crate::quota::Count;
use crate::tree::{self, KeptImages};

/// Progress of writing a snapshot, and everything except the nodes, which is small enough to be
/// copied at the start: 16 bytes per session, a pointer per 256 ACLs.
pub struct SnapshotCursor {
    /// zxid of the snapshot's state.
    last_zxid: i64,
    cluster_key: Option<[u8; CLUSTER_KEY_BYTES]>,
    members: Members,
    sessions: Vec<(i64, SessionTerms)>,
    acls: AclSnapshot,
    quotas: Vec<(String, Count)>,
    tree: tree::SnapshotCursor,
    part: Part,
    nodes: u64,
}

/// The next part to write.
enum Part {
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
            last_zxid: self.last_zxid,
            cluster_key: self.cluster_key,
            members: self.members.clone(),
            sessions: self.sessions.iter().map(|session| (session.id, session.terms())).collect(),
            acls: self.acls.snapshot(),
            quotas: self.quotas.counts().map(|(path, count)| (path.to_owned(), count)).collect(),
            tree: self.tree.begin_snapshot(),
            part: Part::Head,
            nodes: 0,
        }
    }

    /// Appends the next slice, with about `max_nodes` nodes or fewer sessions, and returns whether
    /// it was the last. Needs only a shared reference, so reads continue.
    pub fn snapshot_slice(&self, cursor: &mut SnapshotCursor, max_nodes: usize, out: &mut Vec<u8>) -> bool {
        cursor.part = match cursor.part {
            Part::Head => {
                block(HEAD, out, |out| put_head(cursor, out));
                Part::Sessions(0)
            }
            Part::Sessions(from) => {
                let until = cursor.sessions.len().min(from.saturating_add(max_nodes.max(1)));
                block(SESSIONS, out, |out| {
                    for (id, terms) in &cursor.sessions[from..until] {
                        out.put_i64(*id);
                        terms.put(out);
                    }
                });
                if until < cursor.sessions.len() { Part::Sessions(until) } else { Part::AclsAndQuotas }
            }
            Part::AclsAndQuotas => {
                block(ACLS, out, |out| put_acls(&cursor.acls, out));
                block(QUOTAS, out, |out| put_quotas(&cursor.quotas, out));
                Part::Nodes
            }
            Part::Nodes => {
                let nodes = &mut cursor.nodes;
                let mut is_last = false;
                block(NODES, out, |out| {
                    is_last = self.tree.snapshot_slice(&mut cursor.tree, max_nodes, &mut |image| {
                        *nodes += 1;
                        image.encode(out);
                    });
                });
                if is_last {
                    block(END, out, |out| out.extend_from_slice(&nodes.to_be_bytes()));
                    Part::Done
                } else {
                    Part::Nodes
                }
            }
            Part::Done => Part::Done,
        };
        matches!(cursor.part, Part::Done)
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
        self.tree.is_snapshot_active()
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

fn put_head(cursor: &SnapshotCursor, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    out.put_u8(VERSION);
    out.put_i64(cursor.last_zxid);
    out.put_bool(cursor.cluster_key.is_some());
    out.extend_from_slice(cursor.cluster_key.as_ref().map_or(&[], |key| key.as_slice()));
    cursor.members.put(out);
}

fn put_acls(acls: &AclSnapshot, out: &mut Vec<u8>) {
    for (id, bytes) in acls.iter() {
        out.extend_from_slice(&id.as_u32().to_be_bytes());
        out.put_buffer(Some(bytes));
    }
}

fn put_quotas(quotas: &[(String, Count)], out: &mut Vec<u8>) {
    for (path, count) in quotas {
        out.put_str(path);
        out.put_i64(count.count);
        out.put_i64(count.bytes);
        out.put_bool(count.hides_data);
    }
}
