//! Tests on the operating system's files, with the background thread.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::data_dir::{DataDir, DataDirError};
use storage::log::{Log, LogOptions, Record};
use storage::{Disk, RealDisk, SimDisk, inspect};
use support::{Dice, Model, Owned};

#[test]
fn a_log_on_real_files_is_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() };
    let open = || {
        let mut seen = Vec::new();
        let visit = &mut |record: Record<'_>| seen.push(Owned::of(record));
        let log = Log::open(Arc::new(RealDisk), dir.path(), options.clone(), visit).unwrap();
        (log, seen)
    };
    let (mut model, mut dice) = (Model::default(), Dice::new(1));
    for life in 0..5 {
        let (mut log, seen) = open();
        model.check(&seen, &format!("life {life}"));
        for _ in 0..400 {
            model.append(&mut log, &mut dice).unwrap();
            if dice.below(4) == 0 {
                log.flush().unwrap();
                model.flushed = model.appended.len();
            }
            if dice.below(50) == 0 {
                assert!(model.compact(&mut log, &mut dice));
            }
        }
        assert!(log.take_background_error().is_none());
        log.flush().unwrap();
        model.flushed = model.appended.len();
    }
    assert!(inspect::segments(&RealDisk, dir.path()).unwrap().iter().all(|segment| segment.header.is_ok()));
}

#[test]
fn the_background_thread_prepares_the_next_segment() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 8 << 20, ..LogOptions::default() };
    let log = Log::open(Arc::new(RealDisk), dir.path(), options, &mut |_| ()).unwrap();
    let next = dir.path().join("0000000000000002.seg");
    let start = Instant::now();
    while !next.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "the next segment does not appear");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(std::fs::metadata(&next).unwrap().len(), 8 << 20);
    drop(log);
}

/// Log and snapshots hold what clients store: an ACL protects nothing from a user of the machine
/// who can read the files.
#[test]
fn other_users_of_the_machine_cannot_read_the_files() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data/version");
    RealDisk.create_dir(&dir).unwrap();
    let log = Log::open(Arc::new(RealDisk), &dir, LogOptions::default(), &mut |_| ()).unwrap();
    let mut pending = vec![parent.path().join("data")];
    let mut checked = 0;
    while let Some(path) = pending.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        assert_eq!(mode & 0o027, 0, "{}: {mode:o}", path.display());
        checked += 1;
        if metadata.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(checked > 2, "two directories and a segment");
    drop(log);
}

#[test]
fn a_data_directory_has_one_holder() {
    let parent = tempfile::tempdir().unwrap();
    let (data, log) = (parent.path().join("deep/data"), parent.path().join("log-dir"));
    let held = DataDir::open(&RealDisk, &data, Some(&log)).unwrap();
    assert!(!held.log().exists() && !held.snapshot().exists(), "existing content can be inspected first");
    held.create(&RealDisk).unwrap();
    assert!(held.log().starts_with(&log) && held.log().is_dir());
    assert!(held.snapshot().starts_with(&data) && held.snapshot().is_dir());
    let error = DataDir::open(&RealDisk, &data, None).map(|_| ()).unwrap_err();
    let text = format!("another ostler server (pid {}) is using {};", std::process::id(), data.display());
    assert!(error.to_string().starts_with(&text), "{error}");
    let error = DataDir::open(&RealDisk, &parent.path().join("other"), Some(&log)).map(|_| ()).unwrap_err();
    assert!(matches!(error, DataDirError::InUse { path, .. } if path == log));
    drop(held);
    DataDir::open(&RealDisk, &data, Some(&log)).unwrap();
}

/// Regression: the server reported another process using the directory, and named itself.
#[test]
fn one_directory_under_two_names_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let (data, log) = (parent.path().join("data"), parent.path().join("log"));
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&data, &log).unwrap();
    let error = DataDir::open(&RealDisk, &data, Some(&log)).map(|_| ()).unwrap_err();
    assert!(matches!(error, DataDirError::Twice { .. }), "{error}");
}

#[test]
fn a_foreign_directory_is_refused() {
    let disk = SimDisk::new(1);
    disk.put(Path::new("/newer/ostler.format"), b"ostler data format 2\n");
    let error = DataDir::open(&disk, Path::new("/newer"), None).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("/newer/ostler.format: holds data of an unknown format"), "{error}");
    disk.create_dir(Path::new("/zookeeper/version-2")).unwrap();
    let error = DataDir::open(&disk, Path::new("/zookeeper"), None).map(|_| ()).unwrap_err();
    assert!(matches!(error, DataDirError::ZooKeeper { .. }), "{error}");
}

#[test]
fn a_crash_during_the_creation_of_a_data_directory_leaves_it_usable() {
    use storage::disk::Fault;
    for operation in 0.. {
        let disk = SimDisk::new(operation);
        disk.fault_at(operation, Fault::Crash);
        let made = DataDir::open(&disk, Path::new("/data"), None).is_ok();
        if !disk.is_off() {
            assert!(made);
            break;
        }
        for fate in 0..4 {
            let disk = disk.fork(fate);
            disk.crash();
            DataDir::open(&disk, Path::new("/data"), None)
                .unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
    }
}
