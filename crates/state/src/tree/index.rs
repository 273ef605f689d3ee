//! The index from a parent and a name to the child.

use std::hash::Hasher as _;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;

/// Independent tables. They grow one at a time, moving a thousandth of the entries: no stall at any
/// size.
///
/// Deliberately not a power of two: tables double in size, so that all of them would be half empty
/// just above a power of two; with this number, round millions of znodes fill them to 0.8.
const SHARDS: usize = 1200;

/// Ids by (parent id, name). Holds no names: candidates are compared with the znodes themselves.
///
/// The order of the entries depends on the seed and on history, so they are never iterated.
pub(super) struct Index {
    shards: Vec<HashTable<Entry>>,
    seed: u64,
    /// Secret, like `seed`. With foldhash's fixed constants instead, names could be constructed
    /// that collide under every seed, by making one factor of its multiplication zero.
    shared_seed: SharedSeed,
}

/// The hash of a parent and a name.
#[derive(Clone, Copy)]
pub(super) struct NameHash(u64);

struct Entry {
    id: u32,
    /// The part of the hash that a table needs. These four bytes save a growing table from visiting
    /// each of its znodes, at two cache misses each.
    reduced: u32,
}

impl NameHash {
    /// Bits 25 to 57 select the shard; the table uses the others for position and tag.
    fn shard(self) -> usize {
        ((self.0 >> 25 & 0xffff_ffff) as usize * SHARDS) >> 32
    }

    fn reduced(self) -> u32 {
        (self.0 & 0x1ff_ffff) as u32 | ((self.0 >> 57) as u32) << 25
    }
}

/// The hash passed to a table, always computed from the stored bits alone, so that it stays the
/// same when the table grows. The bits are placed as hashbrown reads them: the lowest for the
/// position, the highest 7 for the tag.
fn table_hash(reduced: u32) -> u64 {
    u64::from(reduced & 0x1ff_ffff) | u64::from(reduced >> 25) << 57
}

impl Index {
    pub(super) fn new(seed: u64) -> Index {
        let shared_seed = SharedSeed::from_u64(seed);
        Index { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), seed, shared_seed }
    }

    pub(super) fn hash(&self, parent: u32, name: &[u8]) -> NameHash {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write_u32(parent);
        hasher.write(name);
        NameHash(hasher.finish())
    }

    /// The id with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: NameHash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let reduced = hash.reduced();
        let is_same = |entry: &Entry| entry.reduced == reduced && is_it(entry.id);
        self.shards[hash.shard()].find(table_hash(reduced), is_same).map(|entry| entry.id)
    }

    /// Adds `id`; no equal entry may exist.
    pub(super) fn insert(&mut self, hash: NameHash, id: u32) {
        let reduced = hash.reduced();
        let table = &mut self.shards[hash.shard()];
        table.insert_unique(table_hash(reduced), Entry { id, reduced }, |other| table_hash(other.reduced));
    }

    /// Removes `id`, which must exist.
    pub(super) fn remove(&mut self, hash: NameHash, id: u32) {
        match self.shards[hash.shard()].find_entry(table_hash(hash.reduced()), |other| other.id == id) {
            Ok(entry) => {
                entry.remove();
            }
            Err(_) => panic!("id {id} is not in the index"),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(HashTable::len).sum()
    }
}
