//! Snapshots: they restore everything as of their beginning, and damaged ones do no harm.

use crate::world::World;
use proptest::prelude::*;
use state::machine::Machine;
use state::snapshot::{LoadError, Loader};
use wire::jute::Put as _;

/// A snapshot in slices of `max_nodes` nodes; `between` is called after each slice.
pub(crate) fn write(
    machine: &mut Machine,
    max_nodes: usize,
    between: &mut dyn FnMut(&mut Machine),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut cursor = machine.begin_snapshot();
    while !machine.snapshot_slice(&mut cursor, max_nodes, &mut bytes) {
        between(machine);
    }
    drop(machine.end_snapshot());
    bytes
}

pub(crate) fn load(bytes: &[u8], piece: usize) -> Result<Machine, LoadError> {
    let mut loader = Loader::new(99);
    for piece in bytes.chunks(piece) {
        loader.feed(piece)?;
    }
    loader.finish()
}

fn populated() -> World {
    let mut world = World::new();
    world.play(
        "1: auth u:p                           => ok
         1: create /a x auth::rwcda,world:anyone:rc => /a
         1: create -s /a/n- null               => /a/n-0000000000
         2: create -e /a/e                     => /a/e
         1: create -c /c                       => /c z7/7/7 v0/0/0 o0 l0 n0
         1: create -t 9 /t                     => /t z8/8/8 v0/0/0 o0 l0 n0
         1: set /a y                           => v1
         1: delete /a/n-0000000000             => ok
         1: create /zookeeper/quota/a          => /zookeeper/quota/a
         1: create /zookeeper/quota/a/zookeeper_limits countHardLimit=3 => /zookeeper/quota/a/zookeeper_limits
         1: create /zookeeper/quota/a/zookeeper_stats => /zookeeper/quota/a/zookeeper_stats
         1: create /a/q                        => /a/q",
    );
    assert_eq!(world.internal(0, state::command::INITIALIZE, &[5; 32]), "ok");
    world.machine.member_changed(0x103);
    let mut text = Vec::new();
    text.put_str("server.1=a:1:2:participant;0.0.0.0:3\n");
    assert_eq!(world.internal(0, state::command::SET_MEMBERS, &text), "ok");
    world
}

#[test]
fn everything_is_restored() {
    let mut world = populated();
    let bytes = write(&mut world.machine, 2, &mut |_| {});
    for piece in [1, 7, 1000] {
        let loaded = load(&bytes, piece).unwrap();
        loaded.check().unwrap();
        assert_eq!(loaded.digest(), world.machine.digest());
        assert_eq!(loaded.last_zxid(), world.machine.last_zxid());
    }
    world.machine = load(&bytes, 64).unwrap();
    world.play(
        "1: create /a/r                        => QuotaExceeded
         1: get /zookeeper/quota/a/zookeeper_stats => count=3,bytes=1
         1: create -s /c/x                     => /c/x0000000000
         2: close                              => ok
         1: ls /a                              => [q]
         1: create -s /a/n-                    => /a/n-0000000003",
    );
    assert_eq!(world.machine.reapable_count(), 2);
}

#[test]
fn a_snapshot_has_the_state_at_its_beginning() {
    let mut world = populated();
    let digest = world.machine.digest();
    let mut number = 0;
    let mut other = World::new();
    std::mem::swap(&mut other.machine, &mut world.machine);
    let mut cursor = other.machine.begin_snapshot();
    let mut bytes = Vec::new();
    while !other.machine.snapshot_slice(&mut cursor, 1, &mut bytes) {
        number += 1;
        other.say(1, &format!("create /new{number}"));
        other.say(3, "set /c changed");
        other.say(3, "delete /t");
        other.say(2, "close");
    }
    drop(other.machine.end_snapshot());
    other.machine.check().unwrap();
    assert!(number > 5);
    assert_eq!(load(&bytes, 100).unwrap().digest(), digest);
    assert_ne!(other.machine.digest(), digest);
}

#[test]
fn every_truncated_snapshot_is_refused() {
    let mut world = populated();
    let bytes = write(&mut world.machine, 3, &mut |_| {});
    for cut in 0..bytes.len() {
        assert!(load(&bytes[..cut], 64).is_err(), "cut at {cut}");
    }
    let longer = [bytes.as_slice(), b"\0\0\0\0\x05"].concat();
    assert!(matches!(load(&longer, 64), Err(LoadError::Excess)));
    assert!(matches!(load(b"\0\0\0\x04\x01NOPE", 64), Err(LoadError::Magic)));
    for version in [0, 4] {
        let later = [b"\0\0\0\x05\x01OSTS".as_slice(), &[version]].concat();
        assert!(matches!(load(&later, 64), Err(LoadError::Version(found)) if found == version));
    }
}

#[test]
fn golden_heads_of_both_versions() {
    let bytes = write(&mut Machine::new(1), 100, &mut |_| {});
    let head = b"\0\0\0\x10\x01OSTS\x02\0\0\0\0\0\0\0\0\0\0\0";
    let sessions = b"\0\0\0\0\x02";
    assert_eq!(bytes[..head.len()], *head);
    assert_eq!(bytes[head.len()..head.len() + sessions.len()], *sessions);
    assert!(bytes.ends_with(b"\0\0\0\x08\x06\0\0\0\0\0\0\0\x04"));
    let former = b"\0\0\0\x0e\x01OSTS\x01\0\0\0\0\0\0\0\0\0";
    let of_version_1 = load(&[former, &bytes[head.len()..]].concat(), 64).unwrap();
    assert_eq!(of_version_1.digest(), Machine::new(1).digest());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Damaged bytes are refused or give a consistent machine, and never panic.
    #[test]
    fn damage_never_panics(places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut world = populated();
        let mut bytes = write(&mut world.machine, 3, &mut |_| {});
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(machine) = load(&bytes, 50) {
            machine.check().unwrap();
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(load(&bytes, 13).is_err());
    }
}
