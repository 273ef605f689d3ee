//! The state of the simulated disk: bytes and names, each as programs see them and as a crash would
//! leave them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes a disk writes atomically; a crash between two sectors tears a write.
const SECTOR_BYTES: usize = 512;

/// A name removed, a name set, or both atomically.
#[derive(Clone)]
pub(super) struct NameChange {
    pub(super) removed: Option<PathBuf>,
    pub(super) set: Option<(PathBuf, u64)>,
}

/// The bytes of a file.
#[derive(Clone, Default)]
pub(super) struct Contents {
    pub(super) seen: Vec<u8>,
    pub(super) synced: Vec<u8>,
    /// Unsynced writes, in order. Growth by allocation is an empty write at the new end.
    pub(super) writes: Vec<(usize, Vec<u8>)>,
    /// A failed sync dropped some writes: `writes` alone no longer leads from `synced` to `seen`.
    pub(super) differs: bool,
}

impl NameChange {
    pub(super) fn apply(self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(path) = self.removed {
            names.remove(&path);
        }
        if let Some((path, id)) = self.set {
            names.insert(path, id);
        }
    }

    pub(super) fn is_in(&self, dir: &Path) -> bool {
        let set = self.set.as_ref().map(|(path, _)| path);
        [self.removed.as_ref(), set].into_iter().flatten().any(|path| path.parent() == Some(dir))
    }
}

impl Contents {
    /// Decides which parts of the unsynced writes reached the medium.
    pub(super) fn settle(&mut self, random: &mut Random) {
        self.differs |= !self.writes.is_empty();
        for (offset, bytes) in std::mem::take(&mut self.writes) {
            match random.below(4) {
                0 => {}
                1 => put(&mut self.synced, offset, &bytes),
                _ => tear(&mut self.synced, offset, &bytes, random),
            }
        }
    }

    /// Makes everything that programs see durable.
    pub(super) fn sync(&mut self) {
        let writes = std::mem::take(&mut self.writes);
        if std::mem::take(&mut self.differs) {
            self.synced.clone_from(&self.seen);
            return;
        }
        for (offset, bytes) in writes {
            put(&mut self.synced, offset, &bytes);
        }
    }
}

/// Writes each sector's part of `bytes` completely, not at all, or only its beginning or end.
fn tear(medium: &mut Vec<u8>, offset: usize, bytes: &[u8], random: &mut Random) {
    let mut start = 0;
    while start < bytes.len() {
        let sector_end = (offset + start) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
        let end = bytes.len().min(sector_end - offset);
        let cut = start + random.below((end - start) as u64 + 1) as usize;
        match random.below(8) {
            0..=2 => put(medium, offset + start, &bytes[start..end]),
            3..=5 => {}
            6 => put(medium, offset + start, &bytes[start..cut]),
            _ => put(medium, offset + cut, &bytes[cut..end]),
        }
        start = end;
    }
}

pub(super) fn put(medium: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if medium.len() < end {
        medium.resize(end, 0);
    }
    medium[offset..end].copy_from_slice(bytes);
}

/// SplitMix64: small, and identical on every machine.
#[derive(Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(super) fn chance(&mut self, wins: u64, of: u64) -> bool {
        self.below(of) < wins
    }
}
