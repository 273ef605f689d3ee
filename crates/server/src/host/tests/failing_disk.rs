//! A full disk causes writes to be refused and nothing else; a failing disk stops the server before
//! it can acknowledge what it has not stored.

use std::path::Path;

use storage::disk::Disk as _;

use super::*;

fn fill(world: &mut World, life: &mut Life) -> (usize, usize) {
    let (mut served, mut refused) = (0, 0);
    for _ in 0..60 {
        let before = world.durable;
        assert!(world.cycle(life, "a full disk"), "a full disk does not stop the server");
        if world.durable > before { served += 1 } else { refused += 1 }
    }
    (served, refused)
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_room_and_loses_nothing() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        let mut life = world.launch("first").expect("a sound disk");
        for _ in 0..10 {
            assert!(world.cycle(&mut life, "room"));
        }
        world.disk.set_capacity_bytes(6_000 + seed * 150);
        let (_, refused) = fill(&mut world, &mut life);
        assert!(refused > 10, "seed {seed}: the disk is full: {refused}");
        let refused_counted =
            life.shared.root().counts.writes_refused.load(std::sync::atomic::Ordering::Relaxed);
        assert!(refused_counted >= refused as u64, "the refusals are counted: {refused_counted}");
        // Reads go on, and return only what was acknowledged.
        let shown = Picture::of(&life.shared, &life.shared.root().machine.read());
        assert_eq!(shown, Picture::of(&life.shared, &life.replay.machine), "seed {seed}");
        match seed % 3 {
            // A server that was not stopped recovers by itself.
            0 => {}
            // A server killed while the disk is full starts with all its data once there is room,
            1 => {
                drop(life.host);
                world.lose_power();
                world.disk.set_capacity_bytes(u64::MAX);
                life = world.launch(&format!("seed {seed}, room again")).expect("a sound disk");
            }
            // and so does one that was stopped in order.
            _ => {
                life.host.end().expect("what was acknowledged has its space");
                world.disk.set_capacity_bytes(u64::MAX);
                life = world.launch(&format!("seed {seed}, room again")).expect("a sound disk");
            }
        }
        world.disk.set_capacity_bytes(u64::MAX);
        let before = world.durable;
        assert!(world.cycle(&mut life, "room again"));
        assert_eq!(world.durable, before + 1, "seed {seed}: writes resume at once");
        fill(&mut world, &mut life);
        drop(life.host);
        world.lose_power();
        world.launch(&format!("seed {seed}, at last")).expect("a sound disk");
    }
}

#[test]
fn no_single_full_or_failed_operation_loses_what_was_acknowledged() {
    for fault in [Fault::Full, Fault::Io] {
        for seed in 0..3 {
            for operation in (20..).step_by(3) {
                let context = format!("{fault:?} at operation {operation}, seed {seed}");
                let mut world = World::new(seed);
                let mut life = world.launch(&context).expect("a sound disk");
                let at = world.disk.operations() + operation;
                world.disk.fault_at(at, fault);
                let stopped = !(0..24).all(|_| world.cycle(&mut life, &context));
                if world.disk.operations() <= at {
                    break;
                }
                drop(life);
                if stopped || operation % 2 == 0 {
                    world.lose_power();
                }
                world.launch(&context).expect("a sound disk");
            }
        }
    }
}

#[test]
fn a_failed_sync_stops_the_server_before_anything_of_it_is_acknowledged() {
    let mut stops = 0;
    for operation in 0..12 {
        let mut world = World::new(operation);
        let mut life = world.launch("first").expect("a sound disk");
        assert!(world.cycle(&mut life, "sound"));
        world.disk.fault_at(world.disk.operations() + operation, Fault::Io);
        // `cycle` asserts that no request was answered.
        let stopped = !(0..10).all(|_| world.cycle(&mut life, "failing"));
        stops += usize::from(stopped);
        if stopped {
            submit(&life.shared, &world.workload.batch(|_| true));
            let again = life.host.cycle().expect_err("a failed log never serves again");
            assert!(matches!(again, Fatal::Flush(_) | Fatal::Append(_)), "{again}");
            assert!(again.to_string().contains("/data/log/"), "it names the file: {again}");
        }
    }
    assert!(stops >= 8, "most operations of the log are writes and syncs: {stops}");
}

/// A stopped world with several snapshots, and the files of those, oldest first.
fn with_snapshots(seed: u64) -> (World, Vec<PathBuf>) {
    let mut world = World::new(seed);
    let mut life = world.launch("first").expect("a sound disk");
    for _ in 0..60 {
        assert!(world.cycle(&mut life, "sound"));
    }
    life.host.end().expect("a sound disk");
    let dir = PathBuf::from(DATA_DIR).join("snapshot");
    let names = world.disk.list(&dir).expect("the directory");
    let files: Vec<PathBuf> = names.iter().map(|name| dir.join(name)).collect();
    assert!(files.len() >= 2, "seed {seed}: {files:?}");
    (world, files)
}

fn damage(world: &mut World, file: &Path) {
    let len = world.disk.contents(file).expect("the snapshot").len() as u64;
    let (offset, bit) = (world.workload.below(len), world.workload.below(8) as u8);
    assert!(world.disk.flip_bit(file, offset, bit));
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_nothing_is_lost() {
    for seed in 0..24 {
        let (mut world, files) = with_snapshots(seed);
        // All but the oldest in half of the worlds, only the newest in the others.
        let damaged = if seed % 2 == 0 { &files[1..] } else { &files[files.len() - 1..] };
        for file in damaged {
            damage(&mut world, file);
        }
        let context = format!("seed {seed}, {} of {} snapshots damaged", damaged.len(), files.len());
        let mut life = world.launch(&context).expect("a sound disk");
        for _ in 0..30 {
            assert!(world.cycle(&mut life, &context));
        }
        drop(life);
        world.lose_power();
        world.launch(&format!("{context}, later")).expect("a sound disk");
    }
}

#[test]
fn without_any_usable_snapshot_the_start_is_refused_and_says_which() {
    let (mut world, files) = with_snapshots(1);
    for file in &files {
        damage(&mut world, file);
    }
    let files_of = Files { disk: Arc::new(world.disk.clone()), background: false };
    let refused = recover(files_of, &world.config, features(&world.config.requests)).err().expect("no state");
    assert!(refused.to_string().contains(&files.last().expect("some").display().to_string()), "{refused}");
}
