//! After a power loss at any disk operation, everything acknowledged is there, and nothing that was
//! not requested.

use storage::disk::Disk as _;

use super::*;

/// Runs of the server in one simulated world, and cycles in each run.
const LIVES: usize = 3;
const CYCLES: usize = 24;

/// Starts, works and stops several times, in one of the three ways a server stops, until the disk
/// makes it stop.
fn live(world: &mut World, lives: usize, cycles: usize, context: &str) {
    for _ in 0..lives {
        let Some(mut life) = world.launch(context) else { return };
        for _ in 0..cycles {
            if world.workload.below(3) == 0 {
                life.prepare_log();
            }
            if !world.cycle(&mut life, context) {
                assert!(world.disk.is_off(), "{context}: the server gave up on a sound disk");
                return;
            }
        }
        match world.workload.below(3) {
            0 => drop(life.host),
            1 => {
                drop(life.host);
                if !world.disk.is_off() {
                    world.lose_power();
                }
            }
            _ => {
                let ended = life.host.end();
                assert!(ended.is_ok() || world.disk.is_off(), "{context}: {ended:?}");
            }
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_every_operation() {
    let mut crashes = 0;
    for seed in 0..2 {
        for operation in 0.. {
            let mut world = World::new(seed);
            if seed == 1 {
                world.config.storage.log_dir = "/log".into();
            }
            world.crash_at(operation);
            live(&mut world, LIVES, CYCLES, "before the crash");
            if !world.disk.is_off() {
                break;
            }
            let context = format!("seed {seed}, crash at operation {operation}");
            world.lose_power();
            live(&mut world, 1, 3, &context);
            if !world.disk.is_off() {
                world.lose_power();
            }
            world.launch(&format!("{context}, again")).expect("nothing fails any more");
            crashes += 1;
        }
    }
    println!("{crashes} crashes");
    assert!(crashes > 1000, "only {crashes} crashes");
}

#[test]
fn a_crash_at_every_operation_of_the_start_loses_nothing() {
    for seed in 0..12 {
        let mut world = World::new(seed);
        world.crash_at(150 + seed * 37);
        live(&mut world, 8, CYCLES, "before the crash");
        assert!(world.disk.is_off(), "seed {seed}: the work ends too early");
        world.lose_power();
        for operation in 0.. {
            let context = format!("seed {seed}, crash at operation {operation} of the start");
            let mut world = world.fork(operation);
            world.crash_at(world.disk.operations() + operation);
            if world.launch(&context).is_some() && !world.disk.is_off() {
                break;
            }
            world.lose_power();
            live(&mut world, 1, 4, &context);
            if !world.disk.is_off() {
                world.lose_power();
            }
            world.launch(&format!("{context}, again")).expect("nothing fails any more");
        }
    }
}

#[test]
fn many_crashes_in_a_row_lose_nothing_and_leave_no_litter() {
    for seed in 100..130 {
        let mut world = World::new(seed);
        for life in 0..12 {
            let context = format!("seed {seed}, life {life}");
            let operation = world.disk.operations() + 20 + world.workload.below(250);
            world.crash_at(operation);
            live(&mut world, 2, CYCLES, &context);
            world.lose_power();
        }
        world.launch(&format!("seed {seed}, at last")).expect("nothing fails any more");
        let snapshots = world.disk.list(&PathBuf::from("/data/snapshot")).expect("the directory");
        let log = world.disk.list(&PathBuf::from("/data/log")).expect("the directory");
        assert!(snapshots.len() <= 5 && log.len() < 60, "seed {seed}: {snapshots:?} {log:?}");
    }
}

/// Checks that the tests above exercise what they are about: snapshots and removal of old log.
#[test]
fn the_work_takes_snapshots_and_forgets_old_log() {
    let mut world = World::new(1);
    live(&mut world, 6, CYCLES, "calm");
    let snapshots = world.disk.list(&PathBuf::from("/data/snapshot")).expect("the directory");
    let log = world.disk.list(&PathBuf::from("/data/log")).expect("the directory");
    // The newest may have been written when the server stopped, before it could remove the oldest.
    let kept = world.config.storage.snapshots_kept as usize;
    assert!((kept..=kept + 1).contains(&snapshots.len()), "{snapshots:?}");
    assert!(!log.contains(&"0000000000000001.seg".to_owned()), "the first segment is forgotten: {log:?}");
    assert!(log.iter().any(|name| name.ends_with(".spare")), "an old segment is kept for later: {log:?}");
}

/// With `forceSync=no` a power loss may take acknowledged writes, but what remains is an earlier
/// state of the server as a whole, and the server starts on it.
#[test]
fn without_fsync_a_power_loss_leaves_a_whole_past() {
    for seed in 0..6 {
        let mut world = World::new(seed);
        world.config.storage.force_sync = false;
        for life in 0..3 {
            live(&mut world, 1, CYCLES, &format!("seed {seed}, life {life}"));
            world.lose_power();
        }
        world.launch(&format!("seed {seed}, at last")).expect("a sound disk");
    }
}
