//! Helpers for snapshot tests: a disk with the directory, a name, and content.

use super::Dice;
use std::path::Path;
use storage::SnapshotName;
use storage::disk::{Disk, SimDisk};

pub const DIR: &str = "/data/snapshot";

pub fn name(index: u64) -> SnapshotName {
    SnapshotName { group: 1, index, term: 3, zxid: -5 }
}

pub fn new_disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir(Path::new(DIR)).unwrap();
    disk
}

/// Bytes that compress a little.
pub fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..len).map(|i| if i % 3 == 0 { dice.below(256) as u8 } else { i as u8 }).collect()
}
