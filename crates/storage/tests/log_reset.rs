//! A reset permanently voids the entries before it: also after a crash, and while the segments
//! before it are being freed.

mod support;

use std::path::Path;
use storage::disk::{Fault, SimDisk};
use storage::inspect;
use storage::log::{AppendError, Log, Record};
use support::{DIR, Owned, live, new_disk, open, options};

const STATE: Record<'static> = Record::HardState { group: 1, term: 7, vote: 3, commit: 9 };

fn entry(group: u64, index: u64, term: u64) -> Record<'static> {
    Record::Entry { group, index, term, kind: 0, data: &[5; 150] }
}

/// Indexes of the live entries of `group`.
fn indexes(seen: &[Owned], group: u64) -> Vec<u64> {
    let of_group = |record: &&Owned| match record {
        Owned::Entry { group: of, index, .. } if *of == group => Some(*index),
        _ => None,
    };
    live(seen).iter().filter_map(of_group).collect()
}

/// A log of several segments: a hard state and entries 1 to 100 of group 1, flushed.
fn filled(disk: &SimDisk) -> Log {
    let (mut log, _) = open(disk, options()).unwrap();
    log.append(&STATE).unwrap();
    for index in 1..=100 {
        log.append(&entry(1, index, 1)).unwrap();
    }
    log.flush().unwrap();
    assert_eq!(log.segments(), 6);
    log
}

#[test]
fn a_reset_frees_all_segments_before_it_whatever_they_hold() {
    for reopen in [false, true] {
        let disk = new_disk(1);
        let mut log = filled(&disk);
        // In the middle of the entries: those up to 100 are void too, though their indexes follow
        // the snapshot.
        log.reset(1, 60, 4).unwrap();
        log.append(&entry(1, 61, 4)).unwrap();
        log.flush().unwrap();
        if reopen {
            drop(log);
            log = open(&disk, options()).unwrap().0;
            // Hard states are rewritten before anything is freed.
            log.append(&entry(1, 62, 4)).unwrap();
            log.flush().unwrap();
        }
        log.compact(1, 61).unwrap();
        assert_eq!(log.segments(), 1, "reopened: {reopen}");
        drop(log);
        disk.crash();
        let (_, seen) = open(&disk, options()).unwrap();
        assert_eq!(indexes(&seen, 1), if reopen { vec![61, 62] } else { vec![61] });
        assert!(seen.contains(&Owned::of(STATE)), "the vote survives the reset");
    }
}

#[test]
fn a_reset_that_was_not_flushed_has_no_effect_after_a_crash() {
    let disk = new_disk(2);
    let mut log = filled(&disk);
    log.reset(1, 500, 4).unwrap();
    log.compact(1, 501).unwrap();
    assert_eq!(log.segments(), 6, "the entries count until the reset is on disk");
    drop(log);
    disk.crash();
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(indexes(&seen, 1), (1..=100).collect::<Vec<_>>());
}

#[test]
fn void_entries_stay_void_after_a_crash_at_every_operation_of_freeing_them() {
    let mut left = Vec::new();
    for operation in 0.. {
        let disk = new_disk(operation);
        let mut log = filled(&disk);
        log.reset(1, 60, 4).unwrap();
        for index in 61..=90 {
            log.append(&entry(1, index, 4)).unwrap();
        }
        log.flush().unwrap();
        disk.fault_at(disk.operations() + operation, Fault::Crash);
        // Some of the new entries may be freed as well, and with them the segment that holds the
        // reset.
        let _ = log.compact(1, 85);
        drop(log);
        let done = !disk.is_off();
        for fate in 0..8 {
            let disk = disk.fork(fate);
            disk.crash();
            let (log, seen) = open(&disk, options()).unwrap();
            let indexes = indexes(&seen, 1);
            assert!(indexes.ends_with(&[85, 86, 87, 88, 89, 90]), "operation {operation}: {indexes:?}");
            assert!(indexes[0] > 60 && indexes.is_sorted(), "operation {operation}: {indexes:?}");
            assert!(seen.contains(&Owned::of(STATE)), "operation {operation}");
            left.push((log.segments(), seen.iter().any(|record| matches!(record, Owned::Reset { .. }))));
        }
        if done {
            break;
        }
    }
    assert!((3..=8).all(|segments| left.contains(&(segments, true))), "a crash at each step: {left:?}");
    assert!(left.contains(&(2, false)), "finally the reset is freed too: {left:?}");
}

#[test]
fn a_reset_affects_only_its_own_group() {
    let disk = new_disk(3);
    let mut log = filled(&disk);
    for index in 1..=30 {
        log.append(&entry(2, index, 1)).unwrap();
    }
    log.reset(1, 200, 4).unwrap();
    log.append(&entry(1, 201, 4)).unwrap();
    log.flush().unwrap();
    log.compact(1, 201).unwrap();
    assert_eq!(log.segments(), 3, "the other group's entries are kept");
    drop(log);
    disk.crash();
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(indexes(&seen, 1), [201]);
    assert_eq!(indexes(&seen, 2), (1..=30).collect::<Vec<_>>());
}

#[test]
fn a_log_reset_to_an_earlier_index_keeps_what_follows() {
    let disk = new_disk(4);
    let mut log = filled(&disk);
    log.compact(1, 95).unwrap();
    log.reset(1, 10, 4).unwrap();
    for index in 11..=60 {
        log.append(&entry(1, index, 4)).unwrap();
    }
    log.flush().unwrap();
    log.compact(1, 11).unwrap();
    log.compact(2, 1).unwrap();
    drop(log);
    disk.crash();
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(indexes(&seen, 1), (11..=60).collect::<Vec<_>>());
}

#[test]
fn a_reset_without_space_changes_nothing() {
    let disk = new_disk(5);
    let mut log = filled(&disk);
    disk.set_capacity_bytes(0);
    let refused = loop {
        match log.reset(1, 200, 4) {
            Ok(()) => log.flush().unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::NoSpace { .. }), "{refused}");
    assert_eq!(log.buffered_bytes(), 0);
    log.compact(1, 201).unwrap();
    assert_eq!(log.segments(), 1, "a rejected reset does not block compaction");
    log.reset(1, 300, 4).expect("the freed space is available");
    log.flush().unwrap();
}

#[test]
fn inspection_shows_a_reset() {
    let disk = new_disk(6);
    let (mut log, _) = open(&disk, options()).unwrap();
    log.append(&entry(1, 1, 1)).unwrap();
    log.reset(1, 8, 4).unwrap();
    log.flush().unwrap();
    let mut reports = Vec::new();
    inspect::records(&disk, Path::new(DIR), 1, &mut |report| {
        reports.push((report.tag, report.len, report.record.map(Owned::of)));
    })
    .unwrap();
    let reset = Owned::Reset { group: 1, index: 8, term: 4 };
    assert_eq!(reports, [(1, 196, Some(Owned::of(entry(1, 1, 1)))), (5, 45, Some(reset))]);
}
