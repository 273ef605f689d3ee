//! Snapshots of the tree, written while it changes.
//!
//! Beginning a snapshot records one number, which takes constant time. After that, a change or
//! deletion of a znode not yet written first keeps its old image, and taking a free id records that
//! it was free. The writer goes through the ids in ascending order and prefers what was kept to
//! what is in the tree.
//!
//! The writer publishes its progress ([`Snapshot::written`]), although it has only a shared
//! reference: otherwise, each first change of a znode after it was written would keep an image that
//! is never used, on average half of all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::arena::CHUNK_SLOTS;
use super::node::{Record, Text};
use super::{NodeId, NodeImage, Tree};

/// Progress of writing a snapshot. Created by [`Tree::begin_snapshot`]; there is one per snapshot,
/// since the tree does not keep images of what this cursor has passed.
#[derive(Debug)]
pub struct SnapshotCursor {
    next: u32,
}

/// The snapshot being written.
pub(super) struct Snapshot {
    /// Ids from here on were free at the beginning.
    end: u32,
    /// Ids below this are written. Mutators have exclusive access to the tree, so the lock around
    /// it orders their reads after the writer's stores; the number itself needs no ordering.
    written: AtomicU32,
    kept: KeptImages,
}

/// Images kept for a snapshot. Dropping a large one takes time: do it where no request waits.
#[derive(Default)]
pub struct KeptImages {
    /// By chunk of ids, so that none of the maps grows large enough to stall.
    chunks: Vec<BTreeMap<u32, Kept>>,
    len: usize,
}

/// The content of an id when the snapshot began.
enum Kept {
    Nothing,
    Image(Box<KeptImage>),
}

struct KeptImage {
    /// Without name and data, which are in `text` and `blob`.
    fields: NodeImage<'static>,
    text: Text,
    blob: Option<Arc<[u8]>>,
}

impl KeptImages {
    /// Number of ids for which something is kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing changed since the snapshot began.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn chunk(&self, id: u32) -> Option<&BTreeMap<u32, Kept>> {
        self.chunks.get((id / CHUNK_SLOTS) as usize).filter(|chunk| !chunk.is_empty())
    }

    fn get(&self, id: u32) -> Option<&Kept> {
        self.chunk(id)?.get(&id)
    }

    fn insert(&mut self, id: u32, kept: Kept) {
        let index = (id / CHUNK_SLOTS) as usize;
        if self.chunks.len() <= index {
            self.chunks.resize_with(index + 1, BTreeMap::new);
        }
        let before = self.chunks[index].insert(id, kept);
        assert!(before.is_none(), "the image of {id} is kept twice");
        self.len += 1;
    }
}

impl Snapshot {
    /// Whether the writer still needs the old content of `id`.
    fn lacks(&self, id: u32) -> bool {
        id < self.end && id >= self.written.load(Ordering::Relaxed) && self.kept.get(id).is_none()
    }
}

impl Tree {
    /// Begins a snapshot of the current tree, in constant time.
    ///
    /// # Panics
    /// When another snapshot is being written.
    pub fn begin_snapshot(&mut self) -> SnapshotCursor {
        assert!(self.snapshot.is_none(), "one snapshot at a time");
        self.snapshot =
            Some(Snapshot { end: self.arena.end(), written: AtomicU32::new(0), kept: KeptImages::default() });
        SnapshotCursor { next: 0 }
    }

    /// Whether a snapshot is being written.
    pub fn is_snapshot_active(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Passes the next znodes of the snapshot to `sink`, parents before children; returns true if
    /// these were the last.
    ///
    /// Examines at most `max_nodes` ids, which bounds the time: the lock can be released between
    /// two slices.
    ///
    /// # Panics
    /// When no snapshot is in progress.
    pub fn snapshot_slice(
        &self,
        cursor: &mut SnapshotCursor,
        max_nodes: usize,
        sink: &mut dyn FnMut(NodeImage<'_>),
    ) -> bool {
        let snapshot = self.snapshot.as_ref().expect("a snapshot was begun");
        let mut budget = max_nodes.max(1);
        while cursor.next < snapshot.end && budget > 0 {
            budget -= 1;
            let id = cursor.next;
            if self.arena.is_chunk_empty(id) && snapshot.kept.chunk(id).is_none() {
                cursor.next = (id / CHUNK_SLOTS + 1) * CHUNK_SLOTS;
                continue;
            }
            match snapshot.kept.get(id) {
                Some(Kept::Nothing) => {}
                Some(Kept::Image(image)) => sink(image.view()),
                None => {
                    if let Some(record) = self.arena.get(id) {
                        sink(self.image(id, record));
                    }
                }
            }
            cursor.next = id + 1;
        }
        snapshot.written.store(cursor.next, Ordering::Relaxed);
        cursor.next >= snapshot.end
    }

    /// Ends the snapshot, completely written or not. The returned images only need to be dropped.
    ///
    /// # Panics
    /// When no snapshot is in progress.
    pub fn end_snapshot(&mut self) -> KeptImages {
        self.snapshot.take().expect("a snapshot was begun").kept
    }

    /// Must be called before the znode `id` changes or is deleted.
    pub(super) fn keep_image(&mut self, id: u32) {
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.lacks(id)) {
            let record = self.arena.get(id).expect("only an existing znode changes");
            let fields = NodeImage { name: "", data: None, ..self.image(id, record) };
            let (text, blob) = (record.text().to_owned(), self.blob(record).cloned());
            let kept = KeptImage { fields: fields.without_text(), text, blob };
            let snapshot = self.snapshot.as_mut().expect("checked above");
            snapshot.kept.insert(id, Kept::Image(Box::new(kept)));
        }
    }

    /// Must be called before a znode is stored at the free id `id`.
    pub(super) fn keep_absence(&mut self, id: u32) {
        if let Some(snapshot) = self.snapshot.as_mut().filter(|snapshot| snapshot.lacks(id)) {
            snapshot.kept.insert(id, Kept::Nothing);
        }
    }

    pub(super) fn image<'a>(&'a self, id: u32, record: &'a Record) -> NodeImage<'a> {
        let changes = self.changes_of(record);
        let directory = self.directory_of(record);
        NodeImage {
            id: NodeId(id),
            parent: NodeId(record.parent),
            name: record.name(),
            data: self.data(record),
            acl: record.acl,
            owner: record.owner,
            czxid: record.czxid,
            mzxid: changes.mzxid,
            pzxid: directory.map_or(record.czxid, |d| d.pzxid),
            ctime: record.ctime,
            mtime: changes.mtime,
            version: changes.version,
            cversion: directory.map_or(0, |d| d.cversion),
            aversion: changes.aversion,
        }
    }
}

impl KeptImage {
    fn view(&self) -> NodeImage<'_> {
        NodeImage { name: self.text.name(), data: self.blob.as_deref().or(self.text.data()), ..self.fields }
    }
}
