//! A full disk rejects records and recovers, a failed sync is final, and damage is reported with
//! its file and offset.

mod support;

use std::path::Path;
use storage::disk::{Fault, SimDisk};
use storage::inspect;
use storage::log::{AppendError, LogOptions, OpenError, Record};
use support::{DIR, Dice, Model, Owned, new_disk, open, options};

fn entry(index: u64, data: &[u8]) -> Record<'_> {
    Record::Entry { group: 1, index, term: 1, kind: 0, data }
}

#[test]
fn a_full_disk_rejects_records_until_space_returns() {
    let disk = new_disk(1);
    let (mut log, _) = open(&disk, options()).unwrap();
    disk.set_capacity_bytes(10_000);
    let mut index = 0;
    let refused = loop {
        match log.append(&entry(index + 1, &[7; 100])) {
            Ok(()) => index += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, AppendError::NoSpace { bytes: 4096, .. }), "{refused}");
    assert!(index > 40, "two segments fit: {index}");
    log.flush().expect("accepted records have their space");
    assert!(matches!(log.append(&entry(index + 1, &[7; 100])), Err(AppendError::NoSpace { .. })));
    log.append(&entry(index + 1, &[])).expect("a record that fits into the remaining space is accepted");
    log.flush().unwrap();
    index += 1;
    disk.set_capacity_bytes(u64::MAX);
    log.append(&entry(index + 1, &[7; 100])).expect("space is available again");
    log.flush().unwrap();
    disk.crash();
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen.len() as u64, index + 1);
}

#[test]
fn compaction_frees_space_on_a_full_disk() {
    let disk = new_disk(2);
    let (mut log, _) = open(&disk, options()).unwrap();
    disk.set_capacity_bytes(14_000);
    let mut index = 0;
    for _ in 0..2000 {
        match log.append(&entry(index + 1, &[9; 200])) {
            Ok(()) => index += 1,
            Err(AppendError::NoSpace { .. }) => {
                log.flush().unwrap();
                log.compact(1, index + 1).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(index > 1900, "compaction frees the space: {index}");
}

#[test]
fn a_failed_sync_is_final() {
    let disk = new_disk(3);
    let (mut log, _) = open(&disk, options()).unwrap();
    log.append(&entry(1, b"safe")).unwrap();
    log.flush().unwrap();
    log.append(&entry(2, b"lost")).unwrap();
    disk.fault_at(disk.operations() + 1, Fault::Io);
    let failure = log.flush().unwrap_err();
    assert!(
        failure.to_string().contains("/data/log/0000000000000001.seg: cannot sync the log from byte"),
        "{failure}"
    );
    assert_eq!(log.flush().unwrap_err().to_string(), failure.to_string());
    match log.append(&entry(3, b"")) {
        Err(AppendError::Failed(again)) => assert_eq!(again.to_string(), failure.to_string()),
        other => panic!("{other:?}"),
    }
    disk.crash();
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen[0], Owned::of(entry(1, b"safe")));
}

#[test]
fn a_record_longer_than_a_segment_gets_a_segment_of_its_own() {
    let disk = new_disk(4);
    let (mut log, _) = open(&disk, options()).unwrap();
    let long = vec![5; 50_000];
    for (index, data) in [(1, &b"before"[..]), (2, &long), (3, b"after")] {
        while !log.prepare(4096).unwrap() {}
        log.append(&entry(index, data)).unwrap();
        log.flush().unwrap();
    }
    drop(log);
    disk.crash();
    let (mut log, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen[1], Owned::of(entry(2, &long)));
    assert_eq!(seen.len(), 3);
    log.append(&entry(4, b"x")).unwrap();
    log.flush().unwrap();
    log.compact(1, 4).unwrap();
    assert_eq!(log.segments(), 1, "the long segment is freed");
}

/// The records of the log in order: segment number, start and end.
fn layout(disk: &SimDisk) -> Vec<(u32, u32, u32)> {
    let mut records = Vec::new();
    for segment in inspect::segments(disk, Path::new(DIR)).unwrap() {
        inspect::records(disk, Path::new(DIR), segment.sequence, &mut |record| {
            let start = record.position.offset;
            records.push((segment.sequence, start, start + record.len as u32));
        })
        .unwrap();
    }
    records
}

#[test]
fn a_flipped_bit_before_the_last_flush_is_located_and_prevents_opening() {
    for seed in 0..6 {
        let disk = new_disk(seed);
        let (mut model, mut dice) = (Model::default(), Dice::new(seed));
        let (mut log, _) = open(&disk, options()).unwrap();
        for _ in 0..60 {
            model.append(&mut log, &mut dice).unwrap();
            if dice.below(3) == 0 {
                log.flush().unwrap();
            }
        }
        // The mark that `close` appends vouches for all records. The short record ensures that
        // there is room for the mark: a segment created for a single long entry is full.
        log.append(&entry(1000, b"")).unwrap();
        model.appended.push(Owned::of(entry(1000, b"")));
        log.close().unwrap();
        let records = layout(&disk);
        let (mark, vouched) = records.split_last().unwrap();
        for (segment, start, end) in vouched {
            for _ in 0..3 {
                let disk = disk.fork(0);
                let offset = *start + dice.below(u64::from(end - start)) as u32;
                let path = Path::new(DIR).join(format!("{segment:016x}.seg"));
                assert!(disk.flip_bit(&path, u64::from(offset), dice.below(8) as u8));
                let before = disk.contents(&path);
                match open(&disk, options()) {
                    Err(OpenError::Damaged { path: named, offset: named_offset, .. }) => {
                        assert_eq!((&named, named_offset), (&path, *start), "seed {seed}, flip at {offset}");
                    }
                    other => panic!("seed {seed}, flip at {segment}:{offset}: {:?}", other.map(|_| ())),
                }
                assert_eq!(disk.contents(&path), before, "the damaged file is left unchanged");
            }
        }
        let path = Path::new(DIR).join(format!("{:016x}.seg", mark.0));
        for unused in [mark.2 + 1, mark.2 + 17, 100] {
            let disk = disk.fork(0);
            disk.flip_bit(&path, u64::from(unused), 3);
            let (_, seen) = open(&disk, options()).expect("nothing is stored there");
            model.clone().check(&seen, "flip in unused bytes");
        }
        disk.flip_bit(&path, 20, 0);
        let error = open(&disk, options()).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Header { .. }), "{error}");
    }
}

#[test]
fn a_missing_segment_prevents_opening() {
    for lost in [1, 2, 3] {
        let disk = new_disk(5);
        let (mut log, _) = open(&disk, options()).unwrap();
        for index in 1..60 {
            log.append(&entry(index, &[1; 150])).unwrap();
        }
        log.flush().unwrap();
        assert_eq!(log.segments(), 4);
        drop(log);
        let path = Path::new(DIR).join(format!("{:016x}.seg", lost + 1));
        storage::Disk::remove(&disk, &path).unwrap();
        match open(&disk, options()) {
            Err(OpenError::Missing { path: named }) => assert_eq!(named, path),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn compaction_keeps_hard_states_and_recycles_files() {
    let disk = new_disk(6);
    let (mut log, _) = open(&disk, options()).unwrap();
    let state = Record::HardState { group: 1, term: 7, vote: 3, commit: 9 };
    log.append(&state).unwrap();
    for index in 1..=500 {
        log.append(&entry(index, &[3; 150])).unwrap();
        log.flush().unwrap();
        log.compact(1, index.saturating_sub(20)).unwrap();
        assert!(log.segments() <= 3, "at {index}: {} segments", log.segments());
    }
    drop(log);
    let files = storage::Disk::list(&disk, Path::new(DIR)).unwrap();
    assert!(files.len() <= 6, "{files:?}");
    assert!(files.iter().any(|name| name.ends_with(".spare")), "{files:?}");
    let (log, seen) = open(&disk, options()).unwrap();
    assert_eq!(log.recovered().repaired, None, "records from an earlier use of a file are not a torn tail");
    assert!(seen.contains(&Owned::of(state)));
    assert_eq!(seen.last(), Some(&Owned::of(entry(500, &[3; 150]))));
}

#[test]
fn a_torn_tail_is_reported() {
    let disk = new_disk(7);
    let (mut log, _) = open(&disk, options()).unwrap();
    log.append(&entry(1, b"kept")).unwrap();
    log.flush().unwrap();
    for index in 2..6 {
        log.append(&entry(index, b"unfinished")).unwrap();
    }
    log.flush().unwrap();
    drop(log);
    let path = Path::new(DIR).join("0000000000000001.seg");
    // The second record of the last flush, as if its sector had not been written.
    let start = layout(&disk)[2].1;
    assert!(disk.flip_bit(&path, u64::from(start) + 30, 0));
    let (log, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen.len(), 2);
    let repaired = log.recovered().repaired.clone().unwrap();
    assert_eq!((repaired.path.as_path(), repaired.offset, repaired.dropped), (path.as_path(), start, 3));
    drop(log);
    let (log, seen) = open(&disk, options()).unwrap();
    assert_eq!((seen.len(), log.recovered().repaired.clone()), (2, None), "the repair is permanent");
}

#[test]
fn segment_sizes_are_checked() {
    let disk = new_disk(8);
    let error = open(&disk, LogOptions { segment_bytes: 100, ..options() }).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "segment size 100 is outside 4096 to 1073741824 bytes");
}

#[test]
fn a_torn_tail_over_two_segments_leaves_no_records_in_the_second() {
    let disk = new_disk(9);
    let (mut log, _) = open(&disk, options()).unwrap();
    log.append(&entry(1, b"kept")).unwrap();
    log.flush().unwrap();
    for index in 2..25 {
        log.append(&entry(index, &[1; 150])).unwrap();
    }
    log.flush().unwrap();
    assert_eq!(log.segments(), 2);
    drop(log);
    let start = layout(&disk)[1].1;
    assert!(disk.flip_bit(&Path::new(DIR).join("0000000000000001.seg"), u64::from(start) + 30, 0));
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(layout(&disk).len(), 1, "no segment holds records of the unfinished flush");
    assert!(disk.contents(&Path::new(DIR).join("0000000000000002.seg")).is_none());
}

#[test]
fn a_record_counts_only_where_it_was_written() {
    let disk = new_disk(10);
    let (mut log, _) = open(&disk, options()).unwrap();
    log.append(&entry(1, b"once")).unwrap();
    log.flush().unwrap();
    drop(log);
    let path = Path::new(DIR).join("0000000000000001.seg");
    let mut bytes = disk.contents(&path).unwrap();
    let (_, start, end) = layout(&disk)[0];
    bytes.copy_within(start as usize..end as usize, end as usize);
    disk.put(&path, &bytes);
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen.len(), 1);
}
