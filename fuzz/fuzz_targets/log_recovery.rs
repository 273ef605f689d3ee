//! The files of a log after anything happened to them: damage, cuts, a crash, other files in their
//! place.
//!
//! A log that opens must keep what it showed, take more, and show both the next time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;
use storage::log::{Log, LogOptions, Record};
use storage::{Disk, SimDisk, inspect};

const DIR: &str = "/log";
/// Bytes of a segment; small, so that the fuzzer reaches every place of it.
const SEGMENT_BYTES: u64 = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((&way, input)) = input.split_first() else { return };
    let disk = match way % 3 {
        // The input is the file.
        0 => {
            let disk = SimDisk::new(0);
            disk.put(&file(1), input);
            disk
        }
        1 => damaged(input),
        _ => crashed(input),
    };
    let _ = inspect::records(&disk, Path::new(DIR), 1, &mut |_| ());
    let Ok((mut log, mut seen)) = open(&disk) else { return };
    let added = Record::Entry { group: 9, index: 9, term: 9, kind: 9, data: b"added" };
    log.append(&added).expect("the disk has space");
    log.flush().expect("the disk works");
    drop(log);
    disk.crash();
    let (_, again) = open(&disk).expect("a log that was opened once opens again");
    seen.push(format!("{added:?}"));
    // Hard states are written again after an opening; entries and resets never are.
    assert_eq!(in_order(&again), in_order(&seen));
});

fn file(sequence: u8) -> std::path::PathBuf {
    Path::new(DIR).join(format!("{sequence:016x}.seg"))
}

fn open(disk: &SimDisk) -> Result<(Log, Vec<String>), storage::OpenError> {
    let mut seen = Vec::new();
    let options = LogOptions { segment_bytes: SEGMENT_BYTES, fsync: true, recycle_max: 2, background: false };
    let visit = &mut |record: Record<'_>| seen.push(format!("{record:?}"));
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), options, visit)?;
    Ok((log, seen))
}

fn in_order(records: &[String]) -> Vec<&String> {
    records.iter().filter(|record| !record.starts_with("HardState")).collect()
}

/// A log of records whose lengths and flushes the input chooses.
fn filled(input: &[u8], seed: u64) -> (SimDisk, Log) {
    let disk = SimDisk::new(seed);
    disk.create_dir(Path::new(DIR)).expect("the disk works");
    let (mut log, _) = open(&disk).expect("an empty directory opens");
    for (index, byte) in input.iter().take(64).enumerate() {
        let data = vec![*byte; usize::from(byte >> 2) * 8];
        let index = index as u64 + 1;
        log.append(&Record::Entry { group: 1, index, term: 1, kind: 0, data: &data }).expect("the disk has space");
        if byte & 2 != 0 {
            log.append(&Record::HardState { group: 1, term: index, vote: 1, commit: 0 }).expect("the disk has space");
        }
        if byte % 32 == 30 {
            log.reset(1, index, 2).expect("the disk has space");
        }
        if byte & 1 != 0 {
            log.flush().expect("the disk works");
        }
    }
    (disk, log)
}

/// A good log with some bytes of it replaced: four bytes of input each, file, offset (two) and
/// value.
fn damaged(input: &[u8]) -> SimDisk {
    let (disk, mut log) = filled(&[41, 202, 13, 77, 255, 3, 120, 129, 66, 31, 254, 7], 0);
    log.flush().expect("the disk works");
    drop(log);
    for edit in input.chunks_exact(4).take(64) {
        let path = file(1 + edit[0] % 4);
        let Some(mut bytes) = disk.contents(&path) else { continue };
        let offset = usize::from(u16::from_le_bytes([edit[1], edit[2]]));
        match bytes.get_mut(offset) {
            Some(byte) => *byte = edit[3],
            None => bytes.truncate(offset % 8192),
        }
        disk.put(&path, &bytes);
    }
    disk
}

/// A log as a crash leaves it.
fn crashed(input: &[u8]) -> SimDisk {
    let (seed, input) = input.split_at(input.len().min(2));
    let (disk, mut log) = filled(input, seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)));
    // A sync that fails leaves everything written and nothing certain.
    disk.fault_at(disk.operations() + 1, storage::disk::Fault::Crash);
    let _ = log.flush();
    drop(log);
    disk.crash();
    disk
}
