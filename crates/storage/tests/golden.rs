//! Files of every released format version stay readable, and the current format's bytes do not
//! change unnoticed.
//!
//! `OSTLER_REGENERATE_GOLDEN=1 cargo test -p ostler-storage --test golden` rewrites them, which is
//! right only before a format version is released.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::disk::SimDisk;
use storage::log::Record;
use storage::{Disk, SnapshotName, SnapshotReader, SnapshotWriter};
use support::{DIR, Owned, new_disk, open, options};

const SNAPSHOT: SnapshotName = SnapshotName { group: 1, index: 0x20, term: 2, zxid: 0x1_0000_0003 };

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden").join(name)
}

/// The stored file; on request, `made` is stored first.
fn stored(name: &str, made: &[u8]) -> Vec<u8> {
    if std::env::var_os("OSTLER_REGENERATE_GOLDEN").is_some() {
        fs::write(golden(name), made).unwrap();
    }
    fs::read(golden(name)).unwrap()
}

fn records() -> [Record<'static>; 3] {
    [
        Record::HardState { group: 1, term: 2, vote: 3, commit: 4 },
        Record::Entry { group: 1, index: 5, term: 2, kind: 6, data: b"the first entry" },
        Record::Entry { group: 0x0102_0304_0506_0708, index: u64::MAX, term: 9, kind: 255, data: b"" },
    ]
}

#[test]
fn log_of_version_1() {
    let disk = new_disk(1);
    let path = Path::new(DIR).join("0000000000000001.seg");
    let (mut log, _) = open(&disk, options()).unwrap();
    for record in &records() {
        log.append(record).unwrap();
        log.flush().unwrap();
    }
    log.close().unwrap();
    let made = disk.contents(&path).unwrap();
    let stored = stored("log-v1.seg", &made);
    assert!(made == stored, "the log's bytes changed: that needs a new format version");

    let disk = new_disk(2);
    disk.put(&path, &stored);
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen, records().map(Owned::of));
}

#[test]
fn log_with_a_reset_of_version_1() {
    let disk = new_disk(3);
    let path = Path::new(DIR).join("0000000000000001.seg");
    let (mut log, _) = open(&disk, options()).unwrap();
    let records = [
        Record::Entry { group: 1, index: 5, term: 2, kind: 6, data: b"void" },
        Record::Reset { group: 1, index: 0x0102_0304_0506_0708, term: 3 },
    ];
    for record in &records {
        log.append(record).unwrap();
        log.flush().unwrap();
    }
    log.close().unwrap();
    let made = disk.contents(&path).unwrap();
    let stored = stored("log-v1-reset.seg", &made);
    assert!(made == stored, "the log's bytes changed: that needs a new format version");

    let disk = new_disk(4);
    disk.put(&path, &stored);
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen, records.map(Owned::of));
}

#[test]
fn snapshot_of_version_1() {
    let dir = Path::new("/data/snapshot");
    let content = b"sixteen bytes... ".repeat(20_000);
    let disk = SimDisk::new(1);
    disk.create_dir(dir).unwrap();
    let mut writer = SnapshotWriter::create(Arc::new(disk.clone()), dir, SNAPSHOT).unwrap();
    writer.write(&content).unwrap();
    writer.finish().unwrap();
    let made = disk.contents(&SNAPSHOT.path(dir)).unwrap();
    let stored = stored("snapshot-v1", &made);
    // Another version of zstd may compress differently, so only Ostler's own bytes are compared.
    assert_eq!(made[..48], stored[..48], "the header changed: that needs a new format version");
    assert_eq!(made[made.len() - 28..], stored[stored.len() - 28..], "the trailer changed");

    disk.put(&SNAPSHOT.path(dir), &stored);
    let mut reader = SnapshotReader::open(&disk, dir, SNAPSHOT).unwrap();
    let mut seen = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        seen.extend_from_slice(block);
    }
    assert!(seen == content);
}
