//! The names of a znode's children, ready to be sent.

use std::sync::Arc;

/// Bytes of names per chunk. Smaller chunks make listings of large directories more expensive (one
/// pointer per chunk to clone), larger ones make creates and deletes in them more expensive (a
/// chunk is scanned, and copied once after each listing).
const CHUNK_BYTES: usize = 4096;

/// Length prefix of a jute string.
const PREFIX: usize = 4;

/// The names of the children in byte order, so that a listing is a function of the state and equal
/// on all members.
///
/// They are stored as in a reply, as consecutive jute strings, in chunks that a [`Listing`] shares:
/// listing a million names clones 4400 pointers under the lock, and copies the chunks after it.
#[derive(Default)]
pub(super) struct Names {
    /// Invariant: no chunk is empty, and names ascend within and across chunks.
    chunks: Vec<Arc<Chunk>>,
    len: u32,
}

#[derive(Clone, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Offset of the last name: names mostly arrive in ascending order, and are then appended
    /// without a scan.
    last: usize,
}

impl Chunk {
    fn of(name: &[u8]) -> Chunk {
        let mut chunk = Chunk::default();
        chunk.insert(0, name);
        chunk
    }

    fn name_at(&self, offset: usize) -> &[u8] {
        let start = offset + PREFIX;
        let prefix = self.bytes[offset..start].try_into().expect("a prefix of four bytes");
        &self.bytes[start..start + u32::from_be_bytes(prefix) as usize]
    }

    fn after(&self, offset: usize) -> usize {
        offset + PREFIX + self.name_at(offset).len()
    }

    fn first_name(&self) -> &[u8] {
        self.name_at(0)
    }

    fn last_name(&self) -> &[u8] {
        self.name_at(self.last)
    }

    /// Offset of the first name not below `name`, or the end; and that of the name before it, or 0.
    fn position(&self, name: &[u8]) -> (usize, usize) {
        if self.last_name() < name {
            return (self.bytes.len(), self.last);
        }
        let (mut offset, mut before) = (0, 0);
        while self.name_at(offset) < name {
            before = offset;
            offset = self.after(offset);
        }
        (offset, before)
    }

    fn insert(&mut self, offset: usize, name: &[u8]) {
        let size = PREFIX + name.len();
        self.grow_for(size);
        let end = self.bytes.len();
        self.last = if offset == end { offset } else { self.last + size };
        self.bytes.resize(end + size, 0);
        self.bytes.copy_within(offset..end, offset + size);
        self.bytes[offset..offset + PREFIX].copy_from_slice(&(name.len() as u32).to_be_bytes());
        self.bytes[offset + PREFIX..offset + size].copy_from_slice(name);
    }

    /// Doubles like a `Vec`, but stops at the size of a chunk: most directories are small, and a
    /// full chunk should not reserve space that it will never fill.
    fn grow_for(&mut self, size: usize) {
        let (len, capacity) = (self.bytes.len(), self.bytes.capacity());
        if len + size > capacity {
            let target = (capacity * 2).min(CHUNK_BYTES).max(len + size);
            self.bytes.reserve_exact(target - len);
        }
    }

    fn remove(&mut self, offset: usize, before: usize) {
        let end = self.after(offset);
        if offset == self.last {
            self.last = before;
        } else {
            self.last -= end - offset;
        }
        self.bytes.drain(offset..end);
        if self.bytes.len() < self.bytes.capacity() / 2 {
            self.bytes.shrink_to_fit();
        }
    }

    /// Splits off the upper half. The chunk must have at least two names.
    fn split(&mut self) -> Chunk {
        let mut middle = self.after(0);
        let mut before = 0;
        while middle < self.last && middle < self.bytes.len() / 2 {
            before = middle;
            middle = self.after(middle);
        }
        let upper = Chunk { bytes: self.bytes[middle..].to_vec(), last: self.last - middle };
        self.bytes.truncate(middle);
        self.bytes.shrink_to_fit();
        self.last = before;
        upper
    }

    fn append(&mut self, upper: &Chunk) {
        self.grow_for(upper.bytes.len());
        self.last = self.bytes.len() + upper.last;
        self.bytes.extend_from_slice(&upper.bytes);
    }

    fn names(&self) -> impl Iterator<Item = &[u8]> {
        let mut offset = 0;
        std::iter::from_fn(move || {
            (offset < self.bytes.len()).then(|| {
                let name = self.name_at(offset);
                offset += PREFIX + name.len();
                name
            })
        })
    }
}

impl Names {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn listing(&self) -> Listing {
        Listing { chunks: self.chunks.clone(), len: self.len }
    }

    /// Adds a name that is not present.
    pub(super) fn insert(&mut self, name: &str) {
        let name = name.as_bytes();
        self.len += 1;
        if self.chunks.is_empty() {
            self.chunks.push(Arc::new(Chunk::of(name)));
            return;
        }
        let at = self.chunk_of(name);
        let (offset, _) = self.chunks[at].position(name);
        let end = self.chunks[at].bytes.len();
        if end + PREFIX + name.len() <= CHUNK_BYTES {
            Arc::make_mut(&mut self.chunks[at]).insert(offset, name);
        } else if offset == end {
            // Ascending names, from one writer or from each of several, fill their chunks to the
            // end.
            self.chunks.insert(at + 1, Arc::new(Chunk::of(name)));
        } else if offset == 0 {
            self.chunks.insert(at, Arc::new(Chunk::of(name)));
        } else {
            let mut upper = Arc::make_mut(&mut self.chunks[at]).split();
            let lower = Arc::make_mut(&mut self.chunks[at]);
            let target = if upper.first_name() < name { &mut upper } else { lower };
            let (offset, _) = target.position(name);
            target.insert(offset, name);
            self.chunks.insert(at + 1, Arc::new(upper));
        }
    }

    /// Removes a name that is present.
    pub(super) fn remove(&mut self, name: &str) {
        let name = name.as_bytes();
        let at = self.chunk_of(name);
        let (offset, before) = self.chunks[at].position(name);
        assert!(self.chunks[at].name_at(offset) == name, "a child is in the listing of its parent");
        Arc::make_mut(&mut self.chunks[at]).remove(offset, before);
        self.len -= 1;
        let left = self.chunks[at].bytes.len();
        if left == 0 {
            self.chunks.remove(at);
            self.trim();
        } else if left < CHUNK_BYTES / 4 && self.chunks.len() > 1 {
            self.merge(at);
        }
    }

    /// Joins the chunk at `at` with its smaller neighbour if both together fill at most half a
    /// chunk, so that after any deletions the chunks are a quarter full on average, and the next
    /// create cannot undo a merge.
    fn merge(&mut self, at: usize) {
        let size = |i: usize| self.chunks.get(i).map_or(usize::MAX, |chunk| chunk.bytes.len());
        let lower = match at.checked_sub(1) {
            Some(below) if size(below) <= size(at + 1) => below,
            _ => at,
        };
        if size(lower).saturating_add(size(lower + 1)) <= CHUNK_BYTES / 2 {
            let upper = self.chunks.remove(lower + 1);
            Arc::make_mut(&mut self.chunks[lower]).append(&upper);
            self.trim();
        }
    }

    fn trim(&mut self) {
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
    }

    /// The chunk that contains or would contain `name`. There must be at least one chunk.
    fn chunk_of(&self, name: &[u8]) -> usize {
        let last = self.chunks.len() - 1;
        if self.chunks[last].first_name() <= name {
            return last;
        }
        self.chunks.partition_point(|chunk| chunk.first_name() <= name).saturating_sub(1)
    }
}

/// The names of a znode's children at one point in time, in byte order. Later changes do not affect
/// it.
#[derive(Clone, Default)]
pub struct Listing {
    chunks: Vec<Arc<Chunk>>,
    len: u32,
}

impl Listing {
    /// Number of names.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of bytes that [`Listing::write_names`] writes.
    pub fn names_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.len()).sum()
    }

    /// The bytes that [`Listing::write_names`] writes, in parts counted from 0; `None` after the
    /// last one.
    pub fn part(&self, number: usize) -> Option<&[u8]> {
        self.chunks.get(number).map(|chunk| &*chunk.bytes)
    }

    /// Bytes of memory it uses beyond those it shares with the tree.
    pub fn own_bytes(&self) -> usize {
        self.chunks.len() * size_of::<Arc<Chunk>>()
    }

    /// Appends the names as jute strings, without the count.
    pub fn write_names(&self, out: &mut Vec<u8>) {
        out.reserve(self.names_bytes());
        for chunk in &self.chunks {
            out.extend_from_slice(&chunk.bytes);
        }
    }

    /// Appends the jute `vector<ustring>` of a reply: the count, then the names.
    pub fn write_vector(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.len.to_be_bytes());
        self.write_names(out);
    }

    /// The names in byte order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let names = self.chunks.iter().flat_map(|chunk| chunk.names());
        names.map(|name| std::str::from_utf8(name).expect("a name was stored from a &str"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tree::testing::Random;

    fn assert_equal(names: &Names, model: &BTreeSet<String>) {
        let listing = names.listing();
        assert_eq!(listing.iter().collect::<Vec<_>>(), model.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(listing.len(), model.len());
        for chunk in &names.chunks {
            assert!(!chunk.bytes.is_empty());
            assert_eq!(chunk.names().last(), Some(chunk.last_name()));
        }
    }

    /// Adds and removes names of very different lengths, some longer than a chunk, and compares
    /// with a set.
    #[test]
    fn agrees_with_a_set() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let (mut names, mut model) = (Names::default(), BTreeSet::<String>::new());
            for step in 0..4000 {
                let length = match random.below(100) {
                    0 => 3000 + random.below(4000),
                    1..10 => 200,
                    _ => random.below(20),
                };
                let name = format!("{:03}{}", random.below(900), "x".repeat(length as usize));
                let shrinking = step / 1000 % 2 == 1;
                let known = model.iter().nth(random.below(model.len().max(1) as u64) as usize).cloned();
                match known {
                    Some(known) if random.below(4) < 1 + 2 * u64::from(shrinking) => {
                        names.remove(&known);
                        model.remove(&known);
                    }
                    _ if model.insert(name.clone()) => names.insert(&name),
                    _ => {}
                }
                if step % 97 == 0 {
                    assert_equal(&names, &model);
                }
            }
            assert_equal(&names, &model);
        }
    }

    #[test]
    fn later_changes_do_not_affect_a_listing() {
        let mut names = Names::default();
        for i in 0..1000 {
            names.insert(&format!("{i:05}"));
        }
        let before = names.listing();
        for i in 0..1000 {
            names.remove(&format!("{i:05}"));
            names.insert(&format!("{i:05}b"));
        }
        assert_eq!(before.len(), 1000);
        assert!(before.iter().enumerate().all(|(i, name)| name == format!("{i:05}")));
        assert!(names.listing().iter().enumerate().all(|(i, name)| name == format!("{i:05}b")));
    }

    #[test]
    fn ascending_names_fill_their_chunks_and_deletions_merge_them() {
        let mut names = Names::default();
        for i in 0..100_000 {
            names.insert(&format!("{i:010}"));
        }
        let full = 100_000 * 14 / CHUNK_BYTES;
        assert!(names.chunks.len() <= full + full / 50, "{} chunks", names.chunks.len());
        for i in (0..100_000).filter(|i| i % 100 != 0) {
            names.remove(&format!("{i:010}"));
        }
        assert!(names.chunks.len() <= full / 20, "{} chunks for 1000 names", names.chunks.len());
    }

    #[test]
    fn is_written_as_a_jute_vector() {
        let mut names = Names::default();
        names.insert("b");
        names.insert("ab");
        let mut out = Vec::new();
        names.listing().write_vector(&mut out);
        assert_eq!(out, b"\0\0\0\x02\0\0\0\x02ab\0\0\0\x01b");
    }
}
