//! A znode: its layout in memory, and its public view.

use std::sync::Arc;

use wire::stat::Stat;

use super::{NodeId, Tree};
use crate::acl_table::AclId;
use crate::tree::listing::Names;

/// The stored owner of a container znode (`EphemeralType.CONTAINER` in ZooKeeper).
pub const CONTAINER_OWNER: i64 = i64::MIN;

/// Top byte of the stored owner of a TTL znode; the lower 40 bits are the TTL in milliseconds.
const TTL_TAG: i64 = 0xff << 56;

/// The longest TTL in milliseconds, 2^40 - 1.
pub const TTL_MS_MAX: i64 = (1 << 40) - 1;

/// The meaning of a znode's stored owner.
///
/// The top byte of a session id is never 0xff, which would mark a TTL: see
/// [`Session::may_have`](crate::session::Session::may_have).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Until it is deleted.
    Persistent,
    /// As long as this session lives; it never has children.
    Ephemeral(i64),
    /// Deleted some time after its last child.
    Container,
    /// Deleted when it has been childless and unchanged for this many milliseconds.
    Ttl {
        /// 1 to [`TTL_MS_MAX`].
        ttl_ms: i64,
    },
}

impl Owner {
    /// Parses the stored form.
    pub fn from_stored(owner: i64) -> Owner {
        match owner {
            0 => Owner::Persistent,
            CONTAINER_OWNER => Owner::Container,
            // The top byte as a signed number: 0xff is -1.
            ttl if ttl >> 56 == -1 => Owner::Ttl { ttl_ms: ttl & TTL_MS_MAX },
            session => Owner::Ephemeral(session),
        }
    }

    /// The stored form.
    pub fn to_stored(self) -> i64 {
        match self {
            Owner::Persistent => 0,
            Owner::Ephemeral(session) => session,
            Owner::Container => CONTAINER_OWNER,
            Owner::Ttl { ttl_ms } => TTL_TAG | ttl_ms,
        }
    }

    /// The session id in `Stat.ephemeralOwner`; 0 unless ephemeral.
    pub fn session(self) -> i64 {
        match self {
            Owner::Ephemeral(session) => session,
            Owner::Persistent | Owner::Container | Owner::Ttl { .. } => 0,
        }
    }
}

/// A znode in the arena: 64 bytes, one cache line, with the fields that every znode has. Other
/// fields are stored separately: in [`Changes`] for znodes ever changed, in [`Directory`] for those
/// that ever had a child. Most znodes are written once and have no children, so that a tree of them
/// is a third smaller than with all fields in place.
pub(super) struct Record {
    /// The name followed by the data, in one allocation. Data of [`BLOB_BYTES_MIN`] or more bytes
    /// are stored elsewhere.
    text: Box<[u8]>,
    pub(super) czxid: i64,
    pub(super) ctime: i64,
    /// Stored form, see [`Owner`].
    pub(super) owner: i64,
    /// Invariant: smaller than its own id, except for the root, which is its own parent. [`VACANT`]
    /// in a free slot.
    pub(super) parent: u32,
    pub(super) acl: AclId,
    /// Length of the name in `text`; the top bit is set if the data are null, which differs from
    /// empty.
    name_len: u32,
    /// Position in `Tree::changes`, or [`NOWHERE`].
    pub(super) changes: u32,
    /// Position in `Tree::directories`, or [`NOWHERE`].
    pub(super) directory: u32,
    /// Position in `Tree::blobs` of data that are not in `text`, or [`NOWHERE`].
    pub(super) blob: u32,
}

const _: () = assert!(size_of::<Record>() == 64);

/// Not a position in a pool.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Length from which data are stored apart from the name and can be shared: a reply references them
/// instead of copying, so that no request waits for a copy, however many clients read them. Small
/// in tests, so that small trees have such data.
pub(super) const BLOB_BYTES_MIN: usize = if cfg!(test) { 16 } else { 1024 };

/// Parent of a slot without a znode. Not an id: ids are below it.
pub(super) const VACANT: u32 = u32::MAX;

const NULL_DATA: u32 = 1 << 31;

/// Fields that change after a znode's creation. If absent: mzxid = czxid, mtime = ctime, versions
/// 0.
#[derive(Clone, Copy)]
pub(super) struct Changes {
    pub(super) mzxid: i64,
    pub(super) mtime: i64,
    pub(super) version: i32,
    pub(super) aversion: i32,
}

/// Fields of a znode with children. If absent: never had a child, pzxid = czxid, cversion 0.
pub(super) struct Directory {
    pub(super) pzxid: i64,
    /// Number of children ever created, wrapping as in ZooKeeper.
    pub(super) cversion: i32,
    /// Length of its own path, with 0 for the root: a child's path is longer by one plus the
    /// child's name.
    pub(super) path_len: u32,
    pub(super) names: Names,
}

impl Record {
    pub(super) fn vacant() -> Record {
        Record {
            text: Box::default(),
            czxid: 0,
            ctime: 0,
            owner: 0,
            parent: VACANT,
            acl: AclId::OPEN,
            name_len: 0,
            changes: NOWHERE,
            directory: NOWHERE,
            blob: NOWHERE,
        }
    }

    pub(super) fn new(parent: u32, text: Text, acl: AclId, owner: i64, czxid: i64, ctime: i64) -> Record {
        let Text { bytes, name_len, blob } = text;
        Record { text: bytes, name_len, blob, czxid, ctime, owner, parent, acl, ..Record::vacant() }
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.parent == VACANT
    }

    pub(super) fn name_bytes(&self) -> &[u8] {
        &self.text[..(self.name_len & !NULL_DATA) as usize]
    }

    pub(super) fn name(&self) -> &str {
        name_str(self.name_bytes())
    }

    /// The data in the record; empty if they are stored elsewhere. [`Tree::data`] returns them in
    /// either case.
    pub(super) fn short_data(&self) -> Option<&[u8]> {
        data_of(&self.text, self.name_len)
    }

    pub(super) fn text(&self) -> TextRef<'_> {
        TextRef { bytes: &self.text, name_len: self.name_len }
    }

    /// Replaces the data in the record. Data of the same length are written in place, without an
    /// allocation.
    pub(super) fn set_short_data(&mut self, data: Option<&[u8]>) {
        let name_len = (self.name_len & !NULL_DATA) as usize;
        let new = data.unwrap_or_default();
        if self.text.len() - name_len == new.len() {
            self.text[name_len..].copy_from_slice(new);
            self.name_len = packed_name_len(name_len, data);
        } else {
            let Text { bytes, name_len, .. } = Text::new(self.name(), data);
            self.text = bytes;
            self.name_len = name_len;
        }
    }
}

/// A name and data in one allocation, or the position of data stored elsewhere.
pub(super) struct Text {
    bytes: Box<[u8]>,
    name_len: u32,
    blob: u32,
}

/// A borrowed [`Text`].
#[derive(Clone, Copy)]
pub(super) struct TextRef<'a> {
    bytes: &'a [u8],
    name_len: u32,
}

impl Text {
    pub(super) fn new(name: &str, data: Option<&[u8]>) -> Text {
        let content = data.unwrap_or_default();
        let mut bytes = Vec::with_capacity(name.len() + content.len());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(content);
        let name_len = packed_name_len(name.len(), data);
        Text { bytes: bytes.into_boxed_slice(), name_len, blob: NOWHERE }
    }

    pub(super) fn with_blob(name: &str, blob: u32) -> Text {
        Text { blob, ..Text::new(name, Some(&[])) }
    }

    pub(super) fn name(&self) -> &str {
        name_str(&self.bytes[..(self.name_len & !NULL_DATA) as usize])
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        data_of(&self.bytes, self.name_len)
    }
}

impl TextRef<'_> {
    pub(super) fn to_owned(self) -> Text {
        Text { bytes: self.bytes.into(), name_len: self.name_len, blob: NOWHERE }
    }
}

fn packed_name_len(name_len: usize, data: Option<&[u8]>) -> u32 {
    assert!(name_len < NULL_DATA as usize, "a name of {name_len} bytes");
    name_len as u32 | if data.is_none() { NULL_DATA } else { 0 }
}

fn data_of(text: &[u8], name_len: u32) -> Option<&[u8]> {
    (name_len & NULL_DATA == 0).then(|| &text[name_len as usize..])
}

fn name_str(name: &[u8]) -> &str {
    // Validated again rather than trusted: it takes nanoseconds, and only paths and images are
    // built from it.
    std::str::from_utf8(name).expect("a name was stored from a &str")
}

/// A read-only view of a znode.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tree: &'a Tree,
    id: NodeId,
    record: &'a Record,
}

impl<'a> Node<'a> {
    pub(super) fn new(tree: &'a Tree, id: NodeId, record: &'a Record) -> Node<'a> {
        Node { tree, id, record }
    }

    /// Its id.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The parent; `None` for the root.
    pub fn parent(&self) -> Option<NodeId> {
        (self.id != NodeId::ROOT).then_some(NodeId(self.record.parent))
    }

    /// Last segment of the path; empty for the root.
    pub fn name(&self) -> &'a str {
        self.record.name()
    }

    /// The data; `None` is null, which `getData` answers with length -1.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.tree.data(self.record)
    }

    /// The data if they are long enough to be shared rather than copied.
    pub fn shared_data(&self) -> Option<&'a Arc<[u8]>> {
        self.tree.blob(self.record)
    }

    /// Id in the machine's [`AclTable`](crate::acl_table::AclTable).
    pub fn acl(&self) -> AclId {
        self.record.acl
    }

    /// Stored form: 0, a session id, the container tag, or the TTL tag with the TTL. See [`Owner`].
    pub fn owner(&self) -> i64 {
        self.record.owner
    }

    /// The zxid of the creation.
    pub fn czxid(&self) -> i64 {
        self.record.czxid
    }

    /// The data version. It is never -1 after a client's `setData`, since -1 means any version in a
    /// request.
    pub fn version(&self) -> i32 {
        self.changes().version
    }

    /// The ACL version.
    pub fn aversion(&self) -> i32 {
        self.changes().aversion
    }

    /// Time of the last change of the data, in milliseconds since 1970.
    pub fn mtime(&self) -> i64 {
        self.changes().mtime
    }

    /// The zxid of the last change of the data.
    pub fn mzxid(&self) -> i64 {
        self.changes().mzxid
    }

    /// The zxid of the last creation or deletion of a child, or of its own creation.
    pub fn pzxid(&self) -> i64 {
        self.directory().map_or(self.record.czxid, |d| d.pzxid)
    }

    /// Number of children ever created, which is the next sequential child's number. Clients see
    /// another number, see [`Node::stat`].
    pub fn stored_cversion(&self) -> i32 {
        self.directory().map_or(0, |d| d.cversion)
    }

    /// Number of children.
    pub fn child_count(&self) -> u32 {
        self.directory().map_or(0, |d| d.names.len())
    }

    /// The `Stat` that clients see: cversion counts creations and deletions, and containers and TTL
    /// znodes show no owner.
    pub fn stat(&self) -> Stat {
        let changes = self.changes();
        let child_count = self.child_count() as i32;
        Stat {
            czxid: self.record.czxid,
            mzxid: changes.mzxid,
            ctime: self.record.ctime,
            mtime: changes.mtime,
            version: changes.version,
            // Deletions are creations minus the remaining children, hence the sum of both:
            cversion: self.stored_cversion().wrapping_mul(2).wrapping_sub(child_count),
            aversion: changes.aversion,
            ephemeral_owner: Owner::from_stored(self.record.owner).session(),
            data_length: self.data().unwrap_or_default().len() as i32,
            num_children: child_count,
            pzxid: self.pzxid(),
        }
    }

    pub(super) fn changes(&self) -> Changes {
        self.tree.changes_of(self.record)
    }

    pub(super) fn directory(&self) -> Option<&'a Directory> {
        self.tree.directory_of(self.record)
    }
}
