//! Reserved space is available however full the disk becomes, and a rejected reservation changes
//! nothing.

mod support;

use storage::log::{AppendError, DATA_BYTES_MAX, Log, Record};
use support::{Dice, Owned, new_disk, open, options};

fn entry(index: u64, data: &[u8]) -> Record<'_> {
    Record::Entry { group: 1, index, term: 1, kind: 0, data }
}

fn state(commit: u64) -> Record<'static> {
    Record::HardState { group: 1, term: 1, vote: 1, commit }
}

/// Appends everything that was reserved: a reset and the entries, with two changes of the hard
/// state.
fn append_reserved(log: &mut Log, index: &mut u64, lengths: &[usize]) -> Vec<Owned> {
    let mut appended = Vec::new();
    let mut append = |log: &mut Log, record: Record<'_>| {
        log.append(&record).expect("the space was reserved");
        appended.push(Owned::of(record));
    };
    append(log, Record::Reset { group: 1, index: *index, term: 1 });
    append(log, state(*index));
    for len in lengths {
        *index += 1;
        append(log, entry(*index, &vec![*index as u8; *len]));
    }
    append(log, state(*index));
    appended
}

#[test]
fn reserved_records_fit_on_a_disk_that_becomes_full() {
    for seed in 0..200 {
        let (disk, mut dice) = (new_disk(seed), Dice::new(seed));
        let (mut log, _) = open(&disk, options()).unwrap();
        let mut index = 0;
        let mut flushed = Vec::new();
        let mut refused = 0;
        for _ in 0..60 {
            let lengths: Vec<usize> = (0..=dice.below(4)).map(|_| dice.below(1500) as usize).collect();
            disk.set_capacity_bytes(if dice.below(3) == 0 { 0 } else { u64::MAX });
            match log.reserve(lengths.iter().copied()) {
                Ok(()) => {
                    disk.set_capacity_bytes(0);
                    flushed.extend(append_reserved(&mut log, &mut index, &lengths));
                    log.flush().expect("the space was reserved");
                }
                Err(AppendError::NoSpace { .. }) => refused += 1,
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        assert!(refused > 0 && !flushed.is_empty(), "seed {seed}: {refused} of 60 refused");
        disk.set_capacity_bytes(u64::MAX);
        disk.crash();
        let (_, seen) = open(&disk, options()).unwrap();
        let in_order = |records: &[Owned]| -> Vec<Owned> {
            records.iter().filter(|record| !matches!(record, Owned::HardState { .. })).cloned().collect()
        };
        assert_eq!(in_order(&seen), in_order(&flushed), "seed {seed}");
    }
}

#[test]
fn a_rejected_reservation_changes_nothing() {
    let disk = new_disk(1);
    let (mut log, _) = open(&disk, options()).unwrap();
    log.append(&entry(1, b"before")).unwrap();
    disk.set_capacity_bytes(0);
    let (segments, buffered) = (log.segments(), log.buffered_bytes());
    for _ in 0..3 {
        let refused = log.reserve([3000, 3000].into_iter()).unwrap_err();
        assert!(matches!(refused, AppendError::NoSpace { .. }), "{refused}");
    }
    assert_eq!((log.segments(), log.buffered_bytes()), (segments, buffered));
    log.reserve([100].into_iter()).expect("records that fit into the current segment need no more space");
    log.append(&entry(2, &[7; 100])).unwrap();
    log.flush().unwrap();
    disk.set_capacity_bytes(u64::MAX);
    log.reserve([3000, 3000].into_iter()).expect("space is available again");
    disk.crash();
    let (_, seen) = open(&disk, options()).unwrap();
    assert_eq!(seen, [Owned::of(entry(1, b"before")), Owned::of(entry(2, &[7; 100]))]);
}

#[test]
fn entries_that_do_not_fit_together_go_to_the_next_segment_together() {
    let disk = new_disk(2);
    let (mut log, _) = open(&disk, options()).unwrap();
    log.append(&entry(1, &[1; 2000])).unwrap();
    assert_eq!(log.segments(), 1);
    log.reserve([1000, 1000].into_iter()).unwrap();
    assert_eq!(log.segments(), 2, "the second would not have fitted after the first");
    let mut index = 1;
    append_reserved(&mut log, &mut index, &[1000, 1000]);
    assert_eq!(log.segments(), 2);
    log.reserve(std::iter::empty()).expect("an empty reservation succeeds");
    log.reserve([3500, 3500, 3500].into_iter()).unwrap();
    append_reserved(&mut log, &mut index, &[3500, 3500, 3500]);
    assert_eq!(log.segments(), 3, "together they get a segment as long as they need");
}

#[test]
fn an_entry_over_the_length_limit_is_rejected() {
    let disk = new_disk(3);
    let (mut log, _) = open(&disk, options()).unwrap();
    let refused = log.reserve([10, DATA_BYTES_MAX + 1].into_iter()).unwrap_err();
    assert!(matches!(refused, AppendError::TooLong { bytes } if bytes == DATA_BYTES_MAX + 1), "{refused}");
    assert_eq!(log.segments(), 1);
}

#[test]
fn a_failed_log_rejects_reservations() {
    let disk = new_disk(4);
    let (mut log, _) = open(&disk, options()).unwrap();
    log.append(&entry(1, b"x")).unwrap();
    disk.fault_at(disk.operations(), storage::disk::Fault::Io);
    log.flush().unwrap_err();
    assert!(matches!(log.reserve([1].into_iter()), Err(AppendError::Failed(_))));
}
