//! Storage of ACLs, each distinct one once.
//!
//! A tree of a million znodes has a handful of ACLs. A znode holds an [`AclId`]; the table holds
//! the bytes in the form of requests and replies: a jute `vector<ACL>`.

use std::hash::Hasher as _;
use std::sync::Arc;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;

/// Identifies an ACL in an [`AclTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclId(u32);

impl AclId {
    /// `world:anyone` with all permissions: always present, whether used or not.
    pub const OPEN: AclId = AclId(0);

    /// The number, as stored in snapshots.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// From the number, which need not be in the table.
    pub const fn from_u32(id: u32) -> AclId {
        AclId(id)
    }
}

/// The bytes of [`AclId::OPEN`].
pub const OPEN_BYTES: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

/// ACLs per chunk of the copy-on-write store.
const CHUNK_ACLS: usize = 256;

/// Limit of ids, so that an id in a damaged snapshot cannot exhaust memory.
const IDS_MAX: u32 = 1 << 24;

type Chunk = Vec<Option<Arc<[u8]>>>;

/// ACLs by id and by bytes, with counts of the znodes that use them.
///
/// A new ACL gets the smallest free id. Like the ids of znodes it depends only on which ids are
/// taken, so that it is the same on a member that loaded a snapshot.
pub struct AclTable {
    chunks: Vec<Arc<Chunk>>,
    /// Use counts by id. Not in `chunks`: they change with every create, which would copy a chunk
    /// whenever a snapshot holds it.
    uses: Vec<u64>,
    by_bytes: HashTable<u32>,
    /// Ids below this are taken.
    free_from: u32,
    seed: u64,
    shared_seed: SharedSeed,
}

/// Why an ACL of a snapshot cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AclLoadError {
    /// The id exceeds the limit of a table.
    #[error("ACL id {0} is too large")]
    IdTooLarge(u32),
    /// The id is already taken by other bytes.
    #[error("ACL id {0} is a duplicate")]
    DuplicateId(u32),
    /// Another id already has the same bytes.
    #[error("ACL ids {0} and {1} have equal bytes")]
    DuplicateBytes(u32, u32),
}

impl AclTable {
    /// A table with only [`AclId::OPEN`]. `hash_seed` is secret and not part of the state.
    pub fn new(hash_seed: u64) -> AclTable {
        let mut table = AclTable {
            chunks: Vec::new(),
            uses: Vec::new(),
            by_bytes: HashTable::new(),
            free_from: 0,
            seed: hash_seed,
            shared_seed: SharedSeed::from_u64(hash_seed),
        };
        table.put(0, OPEN_BYTES, hash(&table, OPEN_BYTES));
        table
    }

    /// The id of the ACL with these bytes, added if new; counts one use.
    ///
    /// # Panics
    /// When 2^24 distinct ACLs are in use.
    pub fn acquire(&mut self, bytes: &[u8]) -> AclId {
        let hash = hash(self, bytes);
        let id = self.find_hashed(hash, bytes).unwrap_or_else(|| {
            let id = self.smallest_free();
            assert!(id < IDS_MAX, "too many distinct ACLs");
            self.put(id, bytes, hash);
            id
        });
        self.uses[id as usize] += 1;
        AclId(id)
    }

    /// The id of the ACL with these bytes, if it is in use.
    pub fn find(&self, bytes: &[u8]) -> Option<AclId> {
        self.find_hashed(hash(self, bytes), bytes).map(AclId)
    }

    /// Counts one more use; false if the ACL does not exist, which is possible in a damaged
    /// snapshot.
    #[must_use]
    pub fn retain(&mut self, id: AclId) -> bool {
        let known = self.get(id).is_some();
        if known {
            self.uses[id.0 as usize] += 1;
        }
        known
    }

    /// Removes one use; the last one drops the ACL, except [`AclId::OPEN`].
    pub fn release(&mut self, id: AclId) {
        let uses = &mut self.uses[id.0 as usize];
        *uses = uses.checked_sub(1).expect("an ACL is released as often as acquired");
        if *uses == 0 && id != AclId::OPEN {
            self.drop_entry(id.0);
        }
    }

    /// The raw jute `vector<ACL>`; `None` if the ACL does not exist.
    pub fn get(&self, id: AclId) -> Option<&[u8]> {
        let chunk = self.chunks.get(id.0 as usize / CHUNK_ACLS)?;
        chunk.get(id.0 as usize % CHUNK_ACLS)?.as_deref()
    }

    /// The raw jute `vector<ACL>` of an ACL that is in use.
    ///
    /// # Panics
    /// If the ACL does not exist.
    pub fn bytes(&self, id: AclId) -> &[u8] {
        self.get(id).expect("an id in use has an ACL")
    }

    /// Number of znodes that use the ACL.
    pub fn use_count(&self, id: AclId) -> u64 {
        self.uses.get(id.0 as usize).copied().unwrap_or(0)
    }

    /// Number of distinct ACLs.
    pub fn len(&self) -> usize {
        self.by_bytes.len()
    }

    /// Always false: [`AclId::OPEN`] is always present.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The current table, in time proportional to a 256th of its size; later changes do not affect
    /// it.
    pub fn snapshot(&self) -> AclSnapshot {
        AclSnapshot { chunks: self.chunks.clone() }
    }

    /// Restores an ACL of a snapshot without uses: call [`AclTable::retain`] for each znode that
    /// names it, and [`AclTable::drop_unused`] at the end.
    pub fn load(&mut self, id: AclId, bytes: &[u8]) -> Result<(), AclLoadError> {
        if id.0 >= IDS_MAX {
            return Err(AclLoadError::IdTooLarge(id.0));
        }
        let hash = hash(self, bytes);
        match self.find_hashed(hash, bytes) {
            Some(known) if known == id.0 => Ok(()),
            Some(known) => Err(AclLoadError::DuplicateBytes(known, id.0)),
            None if self.get(id).is_some() => Err(AclLoadError::DuplicateId(id.0)),
            None => {
                self.put(id.0, bytes, hash);
                Ok(())
            }
        }
    }

    /// Drops loaded ACLs that no znode uses.
    pub fn drop_unused(&mut self) {
        for id in 1..self.uses.len() as u32 {
            if self.uses[id as usize] == 0 && self.get(AclId(id)).is_some() {
                self.drop_entry(id);
            }
        }
    }

    fn find_hashed(&self, hash: u64, bytes: &[u8]) -> Option<u32> {
        self.by_bytes.find(hash, |&id| self.get(AclId(id)) == Some(bytes)).copied()
    }

    fn smallest_free(&mut self) -> u32 {
        while self.get(AclId(self.free_from)).is_some() {
            self.free_from += 1;
        }
        self.free_from
    }

    fn put(&mut self, id: u32, bytes: &[u8], hash: u64) {
        let index = id as usize;
        if self.uses.len() <= index {
            self.uses.resize(index + 1, 0);
        }
        while self.chunks.len() <= index / CHUNK_ACLS {
            self.chunks.push(Arc::default());
        }
        let chunk = Arc::make_mut(&mut self.chunks[index / CHUNK_ACLS]);
        if chunk.len() <= index % CHUNK_ACLS {
            chunk.resize(index % CHUNK_ACLS + 1, None);
        }
        chunk[index % CHUNK_ACLS] = Some(bytes.into());
        let (chunks, seeds) = (&self.chunks, (self.seed, &self.shared_seed));
        self.by_bytes.insert_unique(hash, id, |&other| {
            let entry = &chunks[other as usize / CHUNK_ACLS][other as usize % CHUNK_ACLS];
            hash_with(seeds, entry.as_deref().expect("an indexed ACL exists"))
        });
    }

    fn drop_entry(&mut self, id: u32) {
        let hash = hash(self, self.bytes(AclId(id)));
        match self.by_bytes.find_entry(hash, |&other| other == id) {
            Ok(entry) => entry.remove(),
            Err(_) => panic!("ACL {id} is not in the index"),
        };
        let chunk = Arc::make_mut(&mut self.chunks[id as usize / CHUNK_ACLS]);
        chunk[id as usize % CHUNK_ACLS] = None;
        self.free_from = self.free_from.min(id);
    }
}

fn hash(table: &AclTable, bytes: &[u8]) -> u64 {
    hash_with((table.seed, &table.shared_seed), bytes)
}

fn hash_with((seed, shared_seed): (u64, &SharedSeed), bytes: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(seed, shared_seed);
    hasher.write(bytes);
    hasher.finish()
}

/// The ACLs of an [`AclTable`] at one point in time.
pub struct AclSnapshot {
    chunks: Vec<Arc<Chunk>>,
}

impl AclSnapshot {
    /// Ids and raw bytes, in ascending order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (AclId, &[u8])> {
        self.chunks.iter().enumerate().flat_map(|(above, chunk)| {
            chunk.iter().enumerate().filter_map(move |(below, entry)| {
                Some((AclId((above * CHUNK_ACLS + below) as u32), entry.as_deref()?))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_acls_are_stored_once_and_dropped_with_their_last_use() {
        let mut table = AclTable::new(1);
        let a = table.acquire(b"a");
        let b = table.acquire(b"b");
        assert_eq!((a, table.acquire(b"a"), b), (AclId(1), AclId(1), AclId(2)));
        table.release(a);
        assert_eq!((table.get(a), table.len()), (Some(&b"a"[..]), 3));
        table.release(a);
        assert_eq!((table.get(a), table.find(b"a"), table.len()), (None, None, 2));
        assert_eq!(table.acquire(b"c"), AclId(1), "the smallest free id");
        assert_eq!(table.acquire(b"a"), AclId(3));
    }

    #[test]
    fn the_open_acl_is_always_present() {
        let mut table = AclTable::new(1);
        assert_eq!(table.acquire(OPEN_BYTES), AclId::OPEN);
        table.release(AclId::OPEN);
        assert_eq!(table.bytes(AclId::OPEN), OPEN_BYTES);
        let mut open = Vec::new();
        wire::acl::encode_list(&wire::acl::open_acl(), &mut open);
        assert_eq!(open, OPEN_BYTES);
    }

    #[test]
    #[should_panic(expected = "released as often as acquired")]
    fn a_use_cannot_be_released_twice() {
        let mut table = AclTable::new(1);
        let a = table.acquire(b"a");
        table.acquire(b"b");
        table.release(a);
        table.release(a);
    }

    /// A snapshot keeps the earlier state, and a table loaded from it assigns the same ids as the
    /// original.
    #[test]
    fn a_loaded_table_assigns_the_same_ids() {
        let mut table = AclTable::new(1);
        let ids: Vec<AclId> = (0..1000u32).map(|i| table.acquire(&i.to_be_bytes())).collect();
        for id in ids.iter().step_by(3) {
            table.release(*id);
        }
        let snapshot = table.snapshot();
        let mut loaded = AclTable::new(2);
        for (id, bytes) in snapshot.iter() {
            loaded.load(id, bytes).expect("it fits");
            assert!(id == AclId(8) || loaded.retain(id));
        }
        loaded.drop_unused();
        assert_eq!(loaded.get(AclId(8)), None, "no znode uses it");
        table.release(AclId(8));
        for i in 5000..5800u32 {
            assert_eq!(loaded.acquire(&i.to_be_bytes()), table.acquire(&i.to_be_bytes()));
        }
        assert!(table.snapshot().iter().eq(loaded.snapshot().iter()));
        assert_eq!(snapshot.iter().count(), 1 + 666, "later changes do not affect a snapshot");
    }

    #[test]
    fn loading_refuses_inconsistent_entries() {
        let mut table = AclTable::new(1);
        table.load(AclId(5), b"a").expect("it fits");
        assert_eq!(table.load(AclId(5), b"b"), Err(AclLoadError::DuplicateId(5)));
        assert_eq!(table.load(AclId(6), b"a"), Err(AclLoadError::DuplicateBytes(5, 6)));
        assert_eq!(table.load(AclId(0), b"a"), Err(AclLoadError::DuplicateBytes(5, 0)));
        assert_eq!(table.load(AclId(u32::MAX), b"c"), Err(AclLoadError::IdTooLarge(u32::MAX)));
        assert!(!table.retain(AclId(6)) && !table.retain(AclId(u32::MAX)));
    }
}
