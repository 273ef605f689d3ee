//! Flushed records survive a crash at any operation, and no other records appear.
//!
//! Each test runs the same seeded work repeatedly, loses power at a different operation each time,
//! lets the disk keep, lose, tear and reorder unsynced data in several ways, and compares the log's
//! records with a simple model.

mod support;

use std::path::Path;
use storage::disk::{Disk, Fault, SimDisk};
use support::{DIR, Dice, Model, new_disk, open, options};

const FATES_PER_CRASH: u64 = 4;

/// Opens, works for `steps` steps and closes; stops at the first disk failure.
fn work(disk: &SimDisk, model: &mut Model, dice: &mut Dice, steps: usize) {
    let Ok((mut log, seen)) = open(disk, options()) else { return };
    model.check(&seen, "opened");
    for _ in 0..steps {
        if model.step(&mut log, dice).is_err() {
            return;
        }
    }
    if dice.below(2) == 0 && log.close().is_ok() {
        model.flushed = model.appended.len();
    }
}

/// Opens after a crash, which must succeed, and compares with the model.
fn check_after_crash(disk: &SimDisk, model: &mut Model, context: &str) {
    match open(disk, options()) {
        Ok((_, seen)) => model.check(&seen, context),
        Err(error) => panic!("{context}: {error:?}: {error}"),
    }
}

#[test]
fn flushed_records_survive_a_crash_at_every_operation() {
    for seed in 0..6 {
        for operation in 0.. {
            let disk = new_disk(seed);
            let (mut model, mut dice) = (Model::new(seed), Dice::new(seed));
            disk.fault_at(disk.operations() + operation, Fault::Crash);
            for _ in 0..3 {
                work(&disk, &mut model, &mut dice, 40);
            }
            if !disk.is_off() {
                break;
            }
            for fate in 0..FATES_PER_CRASH {
                let context = format!("seed {seed}, crash at operation {operation}, fate {fate}");
                let (disk, mut model) = (disk.fork(fate * 1_000_003 + operation), model.clone());
                disk.crash();
                check_after_crash(&disk, &mut model, &context);
                // Records shown once are shown again, even if power is lost right after.
                model.flushed = model.appended.len();
                disk.crash();
                check_after_crash(&disk, &mut model, &format!("{context}, again"));
                work(&disk, &mut model, &mut Dice::new(fate), 20);
                disk.crash();
                check_after_crash(&disk, &mut model, &format!("{context}, after more work"));
            }
        }
    }
}

#[test]
fn a_crash_at_every_operation_of_recovery_loses_nothing() {
    for seed in 0..60 {
        let disk = new_disk(seed);
        let (mut model, mut dice) = (Model::new(seed), Dice::new(seed));
        // Somewhere in the second half of the work.
        disk.fault_at(60 + seed * 3, Fault::Crash);
        work(&disk, &mut model, &mut dice, 200);
        disk.crash();
        for operation in 0.. {
            let (disk, mut model) = (disk.fork(operation), model.clone());
            disk.fault_at(disk.operations() + operation, Fault::Crash);
            let opened = open(&disk, options()).is_ok();
            if opened && !disk.is_off() {
                break;
            }
            disk.crash();
            let context = format!("seed {seed}, crash at operation {operation} of recovery");
            check_after_crash(&disk, &mut model, &context);
            work(&disk, &mut model, &mut Dice::new(operation), 30);
            disk.crash();
            check_after_crash(&disk, &mut model, &format!("{context}, after more work"));
        }
    }
}

#[test]
fn repeated_crashes_lose_nothing() {
    for seed in 0..150 {
        let disk = new_disk(seed);
        let (mut model, mut dice) = (Model::new(seed), Dice::new(seed));
        for life in 0..12 {
            let operation = disk.operations() + 5 + dice.below(90);
            disk.fault_at(operation, Fault::Crash);
            work(&disk, &mut model, &mut dice, 60);
            disk.crash();
            check_after_crash(&disk, &mut model, &format!("seed {seed}, life {life}"));
        }
        let files = disk.list(Path::new(DIR)).unwrap();
        assert!(files.len() < 200, "seed {seed}: unused files remain: {files:?}");
    }
}

#[test]
fn a_failure_of_any_operation_loses_nothing() {
    for fault in [Fault::Io, Fault::Full] {
        for seed in 0..4 {
            for operation in 0.. {
                let disk = new_disk(seed);
                let (mut model, mut dice) = (Model::new(seed), Dice::new(seed));
                let last = disk.operations() + operation;
                disk.fault_at(last, fault);
                for _ in 0..3 {
                    work(&disk, &mut model, &mut dice, 40);
                }
                if disk.operations() <= last {
                    break;
                }
                let context = format!("{fault:?} at operation {operation}, seed {seed}");
                let mut after_stop = model.clone();
                check_after_crash(&disk.fork(1), &mut after_stop, &format!("{context}, process stopped"));
                disk.crash();
                check_after_crash(&disk, &mut model, &context);
            }
        }
    }
}

#[test]
fn without_fsync_a_process_crash_loses_nothing_and_a_power_loss_leaves_a_prefix() {
    for seed in 0..60 {
        let disk = new_disk(seed);
        let (mut model, mut dice) = (Model::new(seed), Dice::new(seed));
        let no_fsync = || storage::log::LogOptions { fsync: false, ..options() };
        let (mut log, _) = open(&disk, no_fsync()).unwrap();
        for _ in 0..80 {
            model.append(&mut log, &mut dice).unwrap();
            if dice.below(3) == 0 {
                log.flush().unwrap();
                model.flushed = model.appended.len();
            }
        }
        drop(log);
        let (_, seen) = open(&disk.fork(seed), no_fsync()).unwrap();
        model.clone().check(&seen, "stopped");
        disk.crash();
        model.flushed = 0;
        let (_, seen) = open(&disk, no_fsync()).unwrap();
        model.check(&seen, "power lost");
    }
}
