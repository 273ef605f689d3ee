//! The simulated disk loses, tears and keeps data as documented; otherwise the crash tests would
//! prove nothing.

use std::collections::BTreeSet;
use std::path::Path;
use storage::disk::{Disk, Fault, Mode, SimDisk};

const FILE: &str = "/d/file";

fn outcomes(prepare: impl Fn(&SimDisk)) -> BTreeSet<Option<Vec<u8>>> {
    let outcome = |seed| {
        let disk = SimDisk::new(seed);
        disk.create_dir(Path::new("/d")).unwrap();
        prepare(&disk);
        disk.crash();
        disk.contents(Path::new(FILE))
    };
    (0..300)
        .map(|seed| {
            assert_eq!(outcome(seed), outcome(seed), "the same seed gives the same outcome");
            outcome(seed)
        })
        .collect()
}

#[test]
fn synced_bytes_and_names_stay() {
    let seen = outcomes(|disk| {
        let file = disk.open(Path::new(FILE), Mode::Create).unwrap();
        file.write_at(b"safe", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
    });
    assert_eq!(seen, BTreeSet::from([Some(b"safe".to_vec())]));
}

#[test]
fn unsynced_names_are_kept_or_lost() {
    let seen = outcomes(|disk| {
        disk.open(Path::new("/d/other"), Mode::Create).unwrap().sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        disk.rename(Path::new("/d/other"), Path::new(FILE)).unwrap();
    });
    assert_eq!(seen, BTreeSet::from([None, Some(Vec::new())]));
}

#[test]
fn unsynced_bytes_are_kept_lost_torn_and_reordered() {
    let seen = outcomes(|disk| {
        disk.put(Path::new(FILE), &[0; 1024]);
        let file = disk.open(Path::new(FILE), Mode::Write).unwrap();
        file.write_at(&[1; 1024], 0).unwrap();
        file.write_at(&[2; 512], 512).unwrap();
    });
    let sectors = |first: u8, second: u8| Some([[first; 512], [second; 512]].concat());
    assert!(seen.contains(&sectors(0, 0)), "all lost");
    assert!(seen.contains(&sectors(1, 2)), "all kept");
    assert!(seen.contains(&sectors(0, 2)), "the later write without the earlier one");
    assert!(seen.contains(&sectors(0, 1)), "half a write");
    let torn = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_some_and(|bytes| bytes[0] != bytes[511]);
    assert!(seen.iter().any(torn), "a torn sector");
}

#[test]
fn faults_hit_the_chosen_operation_once() {
    let disk = SimDisk::new(1);
    disk.put(Path::new(FILE), b"x");
    let file = disk.open(Path::new(FILE), Mode::Write).unwrap();
    disk.fault_at(disk.operations() + 1, Fault::Full);
    file.write_at(b"y", 0).unwrap();
    assert_eq!(file.write_at(b"z", 0).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    file.write_at(b"w", 0).unwrap();
    disk.fault_at(disk.operations(), Fault::Crash);
    assert!(file.sync_data().is_err() && disk.is_off());
    assert!(disk.open(Path::new(FILE), Mode::Read).is_err(), "everything fails without power");
    disk.crash();
    assert!(file.write_at(b"v", 0).is_err(), "a file opened before a crash is unusable");
    disk.open(Path::new(FILE), Mode::Read).unwrap();
}
