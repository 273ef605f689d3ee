//! The znode tree.
//!
//! A znode has an id, under which it is stored in an arena, and knows its parent and its own name,
//! by which it is found. Full paths are stored nowhere: the last name is a fifth of the path in
//! real trees. The children's names are stored as they are sent. Nothing here checks permissions,
//! versions or quotas, and nothing is refused: that is the machine's responsibility.
//!
//! | file      | what                                                       |
//! |-----------|------------------------------------------------------------|
//! | `arena`   | storage of znodes and assignment of ids                    |
//! | `pool`    | storage of fields that only some znodes have               |
//! | `node`    | one znode in memory and its view from outside              |
//! | `index`   | (parent, name) → id                                        |
//! | `listing` | the names of the children                                  |
//! | `below`   | traversal of all descendants                               |
//! | `snapshot`| a past state, written while the tree changes               |
//! | `image`   | one znode as bytes of a snapshot                           |
//! | `load`    | building a tree from images                                |
//! | `check`   | verification of all invariants; digest                     |

mod arena;
mod below;
pub mod check;
mod image;
mod index;
mod listing;
mod load;
#[cfg(test)]
mod model;
mod node;
mod pool;
mod snapshot;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arena::Arena;
use index::{Index, NameHash};
use listing::Names;
use node::{BLOB_BYTES_MIN, Changes, Directory, NOWHERE, Record, Text};
use pool::Pool;
use snapshot::Snapshot;

pub use image::{ImageError, NodeImage};
pub use listing::Listing;
pub use load::LoadError;
pub use node::{CONTAINER_OWNER, Node, Owner, TTL_MS_MAX};
pub use snapshot::{KeptImages, SnapshotCursor};

use crate::acl_table::AclId;

/// Identifies a znode while it exists. The id of a deleted znode is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The znode `/`, which always exists.
    pub const ROOT: NodeId = NodeId(0);

    /// The number, as stored in snapshots.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Length of the root's path in [`Tree::data_bytes`].
const ROOT_PATH_BYTES: u64 = 1;

/// The znodes by id and by path.
///
/// Functions that take a [`NodeId`] panic if the znode does not exist: keeping an id after a delete
/// is a bug.
pub struct Tree {
    arena: Arena,
    changes: Pool<Changes>,
    directories: Pool<Directory>,
    /// Long data. `None` at free positions.
    blobs: Pool<Option<Arc<[u8]>>>,
    index: Index,
    /// See [`Tree::data_bytes`]. Invariant: the sum over all znodes; `check` recounts it.
    data_bytes: u64,
    snapshot: Option<Snapshot>,
    /// The last id loaded by [`Tree::load`].
    loaded: NodeId,
}

impl Tree {
    /// Only `/`, with empty data, an open ACL and zxid 0. `hash_seed` is secret, so that names
    /// cannot be chosen to collide, and not part of the state: members may differ in it.
    pub fn new(hash_seed: u64) -> Tree {
        let mut arena = Arena::default();
        arena.insert(0, Record::new(0, Text::new("", Some(&[])), AclId::OPEN, 0, 0, 0));
        Tree {
            arena,
            changes: Pool::new(),
            directories: Pool::new(),
            blobs: Pool::new(),
            index: Index::new(hash_seed),
            data_bytes: ROOT_PATH_BYTES,
            snapshot: None,
            loaded: NodeId::ROOT,
        }
    }

    /// Number of znodes, including the root.
    pub fn len(&self) -> usize {
        self.arena.len()
    }

    /// Always false: the root always exists.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Bytes of all paths and data, ZooKeeper's approximate data size (but paths in bytes where
    /// Java counts UTF-16 units).
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The znode at an absolute, valid path.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let names = path.split('/').filter(|name| !name.is_empty());
        let mut id = NodeId::ROOT;
        for name in names {
            id = self.child(id, name)?;
        }
        Some(id)
    }

    /// The child with this name.
    pub fn child(&self, parent: NodeId, name: &str) -> Option<NodeId> {
        self.child_hashed(self.index.hash(parent.0, name.as_bytes()), parent, name)
    }

    /// A view of the znode.
    pub fn node(&self, id: NodeId) -> Node<'_> {
        Node::new(self, id, self.record(id.0))
    }

    /// Whether a znode with this id exists.
    pub fn contains(&self, id: NodeId) -> bool {
        self.arena.get(id.0).is_some()
    }

    /// The current names of the children; can be kept and written after the tree is unlocked.
    pub fn children(&self, id: NodeId) -> Listing {
        self.directory_of(self.record(id.0)).map_or_else(Listing::default, |d| d.names.listing())
    }

    /// Appends the path of the znode.
    pub fn write_path(&self, id: NodeId, out: &mut String) {
        if id == NodeId::ROOT {
            out.push('/');
        } else {
            self.write_path_above(id.0, out);
        }
    }

    /// The path without the root's single slash. Not recursive: with jute.maxbuffer at 1 MiB a path
    /// can have 2^19 levels.
    fn write_path_above(&self, id: u32, out: &mut String) {
        let mut names = Vec::new();
        let mut at = id;
        while at != NodeId::ROOT.0 {
            let record = self.record(at);
            names.push(record.name());
            at = record.parent;
        }
        for name in names.iter().rev() {
            out.push('/');
            out.push_str(name);
        }
    }

    /// Creates a child as a command does: increments the parent's cversion and sets its pzxid to
    /// `zxid`.
    ///
    /// `owner` is in stored form, see [`Owner`]; `time_ms` is milliseconds since 1970. The use of
    /// `acl` must have been counted.
    ///
    /// # Panics
    /// When the parent already has this child.
    #[expect(clippy::too_many_arguments, reason = "the fields of a znode, once each")]
    pub fn create(
        &mut self,
        parent: NodeId,
        name: &str,
        data: Option<&[u8]>,
        acl: AclId,
        owner: i64,
        zxid: i64,
        time_ms: i64,
    ) -> NodeId {
        self.keep_image(parent.0);
        let text = self.store(name, data);
        let record = Record::new(parent.0, text, acl, owner, zxid, time_ms);
        let id = self.insert(record);
        let directory = self.directory_mut(parent.0);
        directory.cversion = directory.cversion.wrapping_add(1);
        directory.pzxid = zxid;
        id
    }

    /// Creates a built-in child such as `/zookeeper`, with empty data and without counting it at
    /// the parent. (That is why clients read a cversion of -1 from the root of a new ZooKeeper.)
    ///
    /// # Panics
    /// When the parent already has this child.
    pub fn create_builtin(&mut self, parent: NodeId, name: &str, acl: AclId) -> NodeId {
        self.insert(Record::new(parent.0, Text::new(name, Some(&[])), acl, 0, 0, 0))
    }

    /// Deletes a znode without children and sets the parent's pzxid to `zxid`. The caller must
    /// release its use of the ACL.
    ///
    /// # Panics
    /// When it is the root or has children.
    pub fn delete(&mut self, id: NodeId, zxid: i64) {
        assert!(id != NodeId::ROOT, "the root is never deleted");
        assert!(self.node(id).child_count() == 0, "only a znode without children is deleted");
        let parent = self.record(id.0).parent;
        self.keep_image(id.0);
        self.keep_image(parent);
        let data_bytes = self.node(id).data().unwrap_or_default().len();
        let record = self.arena.remove(id.0);
        self.index.remove(self.index.hash(parent, record.name_bytes()), id.0);
        if record.changes != NOWHERE {
            let emptied = Changes { mzxid: 0, mtime: 0, version: 0, aversion: 0 };
            self.changes.remove(record.changes, emptied);
        }
        if record.directory != NOWHERE {
            let emptied = Directory { pzxid: 0, cversion: 0, path_len: 0, names: Names::default() };
            self.directories.remove(record.directory, emptied);
        }
        if record.blob != NOWHERE {
            self.blobs.remove(record.blob, None);
        }
        let directory = self.directory_mut(parent);
        directory.names.remove(record.name());
        directory.pzxid = zxid;
        let path_len = directory.path_len;
        self.data_bytes -= weight(path_len, &record, data_bytes);
    }

    /// Replaces the data and increments the version.
    pub fn set_data(&mut self, id: NodeId, data: Option<&[u8]>, zxid: i64, time_ms: i64) {
        self.keep_image(id.0);
        let before = self.node(id).data().unwrap_or_default().len() as u64;
        self.replace_data(id.0, data);
        self.data_bytes = self.data_bytes - before + data.unwrap_or_default().len() as u64;
        let changes = self.changes_mut(id.0);
        changes.mzxid = zxid;
        changes.mtime = time_ms;
        changes.version = next_version(changes.version);
    }

    /// Overrides the version of data that were just set.
    pub fn set_version(&mut self, id: NodeId, version: i32) {
        self.changes_mut(id.0).version = version;
    }

    /// Replaces the ACL and increments the ACL version. The caller must count the uses of both
    /// ACLs.
    pub fn set_acl(&mut self, id: NodeId, acl: AclId) {
        self.keep_image(id.0);
        self.record_mut(id.0).acl = acl;
        let changes = self.changes_mut(id.0);
        changes.aversion = next_version(changes.aversion);
    }

    /// The data of a znode, wherever they are stored.
    fn data<'a>(&'a self, record: &'a Record) -> Option<&'a [u8]> {
        self.blob(record).map(|blob| &**blob).or(record.short_data())
    }

    fn blob(&self, record: &Record) -> Option<&Arc<[u8]>> {
        (record.blob != NOWHERE).then(|| self.blobs[record.blob].as_ref().expect("a znode's blob exists"))
    }

    /// Stores the data of a new znode: in the returned text, or among the blobs.
    fn store(&mut self, name: &str, data: Option<&[u8]>) -> Text {
        match data {
            Some(long) if long.len() >= BLOB_BYTES_MIN => {
                Text::with_blob(name, self.blobs.insert(Some(Arc::from(long))))
            }
            short => Text::new(name, short),
        }
    }

    fn replace_data(&mut self, id: u32, data: Option<&[u8]>) {
        let long = data.filter(|data| data.len() >= BLOB_BYTES_MIN);
        let blob = match (self.record(id).blob, long) {
            (NOWHERE, None) => NOWHERE,
            (NOWHERE, Some(long)) => self.blobs.insert(Some(Arc::from(long))),
            (at, None) => {
                self.blobs.remove(at, None);
                NOWHERE
            }
            (at, Some(long)) => {
                // Written in place if the length is the same and no reply shares them.
                match self.blobs[at].as_mut().and_then(Arc::get_mut) {
                    Some(bytes) if bytes.len() == long.len() => bytes.copy_from_slice(long),
                    _ => self.blobs[at] = Some(Arc::from(long)),
                }
                at
            }
        };
        let record = self.record_mut(id);
        record.blob = blob;
        record.set_short_data(if long.is_some() { Some(&[]) } else { data });
    }

    fn insert(&mut self, record: Record) -> NodeId {
        let hash = self.index.hash(record.parent, record.name_bytes());
        let id = self.arena.free_id_above(record.parent);
        self.keep_absence(id);
        self.attach(hash, id, record);
        NodeId(id)
    }

    /// Adds a znode to arena, index and its parent's listing.
    fn attach(&mut self, hash: NameHash, id: u32, record: Record) {
        let (parent, name) = (NodeId(record.parent), record.name());
        assert!(self.child_hashed(hash, parent, name).is_none(), "{parent} has a child {name:?}");
        let directory = self.directory_mut(parent.0);
        directory.names.insert(name);
        let path_len = directory.path_len;
        self.data_bytes += weight(path_len, &record, self.data(&record).unwrap_or_default().len());
        self.arena.insert(id, record);
        self.index.insert(hash, id);
    }

    fn child_hashed(&self, hash: NameHash, parent: NodeId, name: &str) -> Option<NodeId> {
        let is_it = |id| {
            let record = self.record(id);
            record.parent == parent.0 && record.name_bytes() == name.as_bytes()
        };
        self.index.find(hash, is_it).map(NodeId)
    }

    fn record(&self, id: u32) -> &Record {
        self.arena.get(id).unwrap_or_else(|| panic!("no znode has the id {id}"))
    }

    fn record_mut(&mut self, id: u32) -> &mut Record {
        self.arena.get_mut(id).unwrap_or_else(|| panic!("no znode has the id {id}"))
    }

    fn changes_of(&self, record: &Record) -> Changes {
        if record.changes != NOWHERE {
            return self.changes[record.changes];
        }
        Changes { mzxid: record.czxid, mtime: record.ctime, version: 0, aversion: 0 }
    }

    fn changes_mut(&mut self, id: u32) -> &mut Changes {
        let mut at = self.record(id).changes;
        if at == NOWHERE {
            at = self.changes.insert(self.changes_of(self.record(id)));
            self.record_mut(id).changes = at;
        }
        &mut self.changes[at]
    }

    fn directory_of(&self, record: &Record) -> Option<&Directory> {
        (record.directory != NOWHERE).then(|| &self.directories[record.directory])
    }

    fn directory_mut(&mut self, id: u32) -> &mut Directory {
        let mut at = self.record(id).directory;
        if at == NOWHERE {
            let directory = self.new_directory(id);
            at = self.directories.insert(directory);
            self.record_mut(id).directory = at;
        }
        &mut self.directories[at]
    }

    fn new_directory(&self, id: u32) -> Directory {
        let record = self.record(id);
        let path_len = if id == NodeId::ROOT.0 {
            0
        } else {
            let parent = self.directory_of(self.record(record.parent)).expect("a parent is a directory");
            parent.path_len + 1 + record.name_bytes().len() as u32
        };
        Directory { pzxid: record.czxid, cversion: 0, path_len, names: Names::default() }
    }
}

/// Wraps at the maximum, and skips -1, which means any version in a request (ZOOKEEPER-4743).
fn next_version(version: i32) -> i32 {
    match version.wrapping_add(1) {
        -1 => 0,
        next => next,
    }
}

/// A znode's contribution to [`Tree::data_bytes`]: its path and its data.
fn weight(parent_path_len: u32, record: &Record, data_bytes: usize) -> u64 {
    u64::from(parent_path_len) + 1 + record.name_bytes().len() as u64 + data_bytes as u64
}
