//! The tree as it was, written while it changes.
//!
//! To begin is to remember one number, so it takes no time whatever the size. After that, whoever changes or deletes a znode
//! which is not written yet puts its old image aside first, and whoever takes a free id notes that nothing was
//! there. The writer walks the ids upwards and prefers what was put aside to what is in the tree.
//!
//! The writer tells how far it is ([`Snapshot::written`]), although it has only a shared reference: without that, each
//! first change of a znode after it was written would put aside an image for nobody, on average half of all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::arena::CHUNK_SLOTS;
use super::node::{Record, Text};
use super::{NodeId, NodeImage, Tree};

/// How far a snapshot is written. Made by [`Tree::begin_snapshot`]; there is one per snapshot, as the tree
/// stops keeping images of what this cursor has passed.
#[derive(Debug)]
pub struct SnapshotCursor {
    next: u32,
}

/// The snapshot that is being written.
pub(super) struct Snapshot {
    /// Ids from here on were free at the beginning.
    end: u32,
    /// Ids below are written. Mutators have the tree to themselves, so the lock around it orders their reads after the
    /// writer's stores; the number itself needs no ordering.
    written: AtomicU32,
    kept: KeptImages,
}

/// Images put aside for a snapshot. To drop a large one takes time: do it where nobody waits.
#[derive(Default)]
pub struct KeptImages {
    /// By chunk of ids, so that none of these grows large enough to stall.
    chunks: Vec<BTreeMap<u32, Kept>>,
    len: usize,
}

/// What was at an id when the snapshot began.
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
    /// Ids for which something is kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing changed since the snapshot began.
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
    /// True when the writer still needs to be told what was at `id`.
    fn lacks(&self, id: u32) -> bool {
        id < self.end && id >= self.written.load(Ordering::Relaxed) && self.kept.get(id).is_none()
    }
}

impl Tree {
    /// Begins a snapshot of the tree as it is now, in constant time.
    ///
    /// # Panics
    /// When one is being written already.
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

    /// Hands the next znodes of the snapshot to `sink`, parents before children; true when these were the last.
    ///
    /// Looks at `max_nodes` ids at most, which bounds the time: the lock can be let go between two slices.
    ///
    /// # Panics
    /// When no snapshot was begun.
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

    /// Ends the snapshot, whether written to its end or not. What is returned is only to be dropped.
    ///
    /// # Panics
    /// When no snapshot was begun.
    pub fn end_snapshot(&mut self) -> KeptImages {
        self.snapshot.take().expect("a snapshot was begun").kept
    }

    /// To be called before the znode `id` changes or goes.
    pub(super) fn keep_image(&mut self, id: u32) {
        if self.snapshot.as_ref().is_some_and(|snapshot| snapshot.lacks(id)) {
            let record = self.arena.get(id).expect("only what is there changes");
            let fields = NodeImage { name: "", data: None, ..self.image(id, record) };
            let (text, blob) = (record.text().to_owned(), self.blob(record).cloned());
            let kept = KeptImage { fields: fields.without_text(), text, blob };
            let snapshot = self.snapshot.as_mut().expect("checked above");
            snapshot.kept.insert(id, Kept::Image(Box::new(kept)));
        }
    }

    /// To be called before a znode is put at the free id `id`.
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
