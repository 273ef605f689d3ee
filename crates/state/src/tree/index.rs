//! From a parent and a name to the child.

use std::hash::Hasher as _;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;

use super::arena::Arena;

/// Independent tables. One grows at a time, and moves a thousandth of the entries: no stall at any size.
///
/// Not a power of two on purpose: tables double, so that all of them would be half empty just above a power of
/// two; with this number a round million of znodes fills them to 0.8.
const SHARDS: usize = 1200;

/// Ids by (parent id, name). Holds no names: candidates are compared with the znodes themselves.
///
/// The order of the entries depends on the seed and on history, so nothing here ever iterates.
pub(super) struct Index {
    shards: Vec<HashTable<u32>>,
    seed: u64,
    /// Secret like `seed`. With foldhash's fixed constants in its place, names could be made that collide under
    /// every seed, by making one factor of its multiplication zero.
    shared_seed: SharedSeed,
}

impl Index {
    pub(super) fn new(seed: u64) -> Index {
        let shared_seed = SharedSeed::from_u64(seed);
        Index { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), seed, shared_seed }
    }

    pub(super) fn hash(&self, parent: u32, name: &[u8]) -> u64 {
        hash_with(self.seed, &self.shared_seed, parent, name)
    }

    /// The id with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.shards[shard(hash)].find(hash, |&id| is_it(id)).copied()
    }

    /// Adds `id`, which is in the arena, and for which nothing equal may be in.
    pub(super) fn insert(&mut self, arena: &Arena, hash: u64, id: u32) {
        let Index { shards, seed, shared_seed } = self;
        shards[shard(hash)].insert_unique(hash, id, |&other| {
            let record = arena.get(other).expect("an indexed id has a znode");
            hash_with(*seed, shared_seed, record.parent, record.name_bytes())
        });
    }

    /// Takes out `id`, which must be in.
    pub(super) fn remove(&mut self, hash: u64, id: u32) {
        match self.shards[shard(hash)].find_entry(hash, |&other| other == id) {
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

fn hash_with(seed: u64, shared_seed: &SharedSeed, parent: u32, name: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(seed, shared_seed);
    hasher.write_u32(parent);
    hasher.write(name);
    hasher.finish()
}

/// Bits 25 to 57 choose the shard: the table within takes its place from the bits below and its tag from those above.
fn shard(hash: u64) -> usize {
    ((hash >> 25 & 0xffff_ffff) as usize * SHARDS) >> 32
}
