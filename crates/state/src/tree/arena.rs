//! Storage of znodes, and the assignment of ids.

use super::node::Record;

/// Slots per chunk: 256 KiB of records. Fewer in tests, so that small trees have many chunks.
pub(super) const CHUNK_SLOTS: u32 = if cfg!(test) { 128 } else { 4096 };

/// Limit of ids. 2^31 znodes would need more than 128 GiB for records alone.
pub(super) const IDS_MAX: u32 = 1 << 31;

const WORDS: usize = CHUNK_SLOTS as usize / 64;

/// Records by id, in chunks that never move: growth copies only chunk pointers.
///
/// The id of a new znode is the smallest free one above its parent's. So a parent's id is always
/// below its child's, and a walk in id order visits parents first, whatever was deleted and created
/// in between. And the id depends only on which ids are taken, so that a member that loaded a
/// snapshot assigns the same ids as one that applied the whole history.
#[derive(Default)]
pub(super) struct Arena {
    /// `None` for a chunk without taken slots.
    chunks: Vec<Option<Box<Chunk>>>,
    /// One bit per chunk: all its slots are taken. Lets the search skip 64 full chunks (2^18
    /// znodes) at once.
    full: Vec<u64>,
    len: usize,
}

struct Chunk {
    /// One bit per slot: taken.
    taken: [u64; WORDS],
    taken_count: u32,
    /// Up to the highest slot taken since the chunk was created, with vacant records in between.
    records: Vec<Record>,
}

impl Chunk {
    fn new() -> Box<Chunk> {
        let records = Vec::with_capacity(CHUNK_SLOTS as usize);
        Box::new(Chunk { taken: [0; WORDS], taken_count: 0, records })
    }

    /// The smallest free slot from `from` on.
    fn free_slot(&self, from: u32) -> Option<u32> {
        let mut word = from as usize / 64;
        let mut mask = u64::MAX << (from % 64);
        while word < WORDS {
            let free = !self.taken[word] & mask;
            if free != 0 {
                return Some(word as u32 * 64 + free.trailing_zeros());
            }
            word += 1;
            mask = u64::MAX;
        }
        None
    }
}

impl Arena {
    /// Number of znodes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One above the highest slot that may be taken.
    pub(super) fn end(&self) -> u32 {
        self.chunks.len() as u32 * CHUNK_SLOTS
    }

    pub(super) fn get(&self, id: u32) -> Option<&Record> {
        let chunk = self.chunks.get((id / CHUNK_SLOTS) as usize)?.as_deref()?;
        chunk.records.get((id % CHUNK_SLOTS) as usize).filter(|record| !record.is_vacant())
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Record> {
        let chunk = self.chunks.get_mut((id / CHUNK_SLOTS) as usize)?.as_deref_mut()?;
        chunk.records.get_mut((id % CHUNK_SLOTS) as usize).filter(|record| !record.is_vacant())
    }

    /// Whether the chunk of `id` has no znode.
    pub(super) fn is_chunk_empty(&self, id: u32) -> bool {
        self.chunks.get((id / CHUNK_SLOTS) as usize).is_none_or(Option::is_none)
    }

    /// The smallest free id above `parent`.
    pub(super) fn free_id_above(&self, parent: u32) -> u32 {
        let from = parent + 1;
        let index = (from / CHUNK_SLOTS) as usize;
        match self.chunks.get(index) {
            None | Some(None) => return from,
            Some(Some(chunk)) => {
                if let Some(slot) = chunk.free_slot(from % CHUNK_SLOTS) {
                    return index as u32 * CHUNK_SLOTS + slot;
                }
            }
        }
        let index = self.chunk_not_full(index + 1);
        let slot = match self.chunks.get(index) {
            Some(Some(chunk)) => chunk.free_slot(0).expect("a chunk not marked full has a free slot"),
            None | Some(None) => 0,
        };
        let id = index as u32 * CHUNK_SLOTS + slot;
        assert!(id < IDS_MAX, "the tree is full");
        id
    }

    /// The first chunk from `from` on that is not full; it may not exist yet.
    fn chunk_not_full(&self, from: usize) -> usize {
        let mut word = from / 64;
        let mut mask = u64::MAX << (from % 64);
        while word < self.full.len() {
            let open = !self.full[word] & mask;
            if open != 0 {
                return word * 64 + open.trailing_zeros() as usize;
            }
            word += 1;
            mask = u64::MAX;
        }
        from.max(word * 64)
    }

    /// Stores a znode at a free id.
    pub(super) fn insert(&mut self, id: u32, record: Record) {
        assert!(id < IDS_MAX && !record.is_vacant());
        let index = (id / CHUNK_SLOTS) as usize;
        let slot = (id % CHUNK_SLOTS) as usize;
        if index >= self.chunks.len() {
            self.chunks.resize_with(index + 1, || None);
            self.full.resize(self.chunks.len().div_ceil(64), 0);
        }
        let chunk = self.chunks[index].get_or_insert_with(Chunk::new);
        assert!(chunk.taken[slot / 64] & 1 << (slot % 64) == 0, "id {id} is taken");
        chunk.taken[slot / 64] |= 1 << (slot % 64);
        chunk.taken_count += 1;
        while chunk.records.len() < slot {
            chunk.records.push(Record::vacant());
        }
        if chunk.records.len() == slot {
            chunk.records.push(record);
        } else {
            chunk.records[slot] = record;
        }
        if chunk.taken_count == CHUNK_SLOTS {
            self.full[index / 64] |= 1 << (index % 64);
        }
        self.len += 1;
    }

    /// Removes a znode. Its id is free at once; a chunk without znodes releases its memory.
    pub(super) fn remove(&mut self, id: u32) -> Record {
        let index = (id / CHUNK_SLOTS) as usize;
        let slot = (id % CHUNK_SLOTS) as usize;
        let entry = &mut self.chunks[index];
        let chunk = entry.as_deref_mut().expect("a taken id has a chunk");
        assert!(chunk.taken[slot / 64] & 1 << (slot % 64) != 0, "id {id} is free");
        chunk.taken[slot / 64] &= !(1 << (slot % 64));
        chunk.taken_count -= 1;
        let record = std::mem::replace(&mut chunk.records[slot], Record::vacant());
        if chunk.taken_count == 0 {
            *entry = None;
        }
        self.full[index / 64] &= !(1 << (index % 64));
        self.len -= 1;
        record
    }

    /// The ids taken, in ascending order.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        let with_chunk =
            self.chunks.iter().enumerate().filter_map(|(index, chunk)| Some((index as u32, chunk.as_ref()?)));
        let ids = with_chunk.flat_map(|(index, chunk)| {
            (0..chunk.records.len() as u32).map(move |slot| index * CHUNK_SLOTS + slot)
        });
        ids.filter(|&id| self.get(id).is_some())
    }
}
