//! The replicated part of sessions: rules 27–33 of COMPATIBILITY.md.

use crate::world::World;
use state::command::{self, INITIALIZE};
use state::session::PasswordDerivation;
use wire::opcode::Opcode;

#[test]
fn rule_27_ids_that_are_not_session_ids_are_refused() {
    let mut world = World::new();
    let mut body = Vec::new();
    command::SessionTerms { timeout_ms: 5000, home: 0 }.put(&mut body);
    let create = Opcode::CreateSession as i32;
    for id in [0, i64::MIN, -1, (0xffu64 << 56).cast_signed()] {
        assert_eq!(world.internal(id, create, &body), "BadArguments", "{id:#x}");
    }
    assert_eq!(world.internal((0xfeu64 << 56).cast_signed(), create, &body), "ok");
    assert_eq!(world.internal(1, create, &body), "NodeExists", "a live session is not created again");
    assert_eq!(world.internal(9, create, b"x"), "MarshallingError");
    assert_eq!(world.machine.sessions_count(), 4);
}

#[test]
fn rule_28_passwords_are_a_function_of_replicated_state() {
    let mut world = World::new();
    assert_eq!(world.machine.session_password(1, PasswordDerivation::Keyed), None);
    assert_eq!(world.internal(0, INITIALIZE, &[1; 31]), "MarshallingError");
    assert_eq!(world.internal(0, INITIALIZE, &[1; 32]), "ok");
    let password = world.machine.session_password(1, PasswordDerivation::Keyed);
    assert!(password.is_some());
    assert_eq!(world.internal(0, INITIALIZE, &[2; 32]), "ok", "another leader also sent a key");
    assert_eq!(world.machine.session_password(1, PasswordDerivation::Keyed), password, "the first key stays");
    assert_ne!(world.machine.session_password(1, PasswordDerivation::ZooKeeper), password);
}

#[test]
fn rule_29_an_expired_session_can_do_nothing() {
    let mut world = World::new();
    world.play(
        "2: close                     => ok
         2: create /a                 => SessionExpired
         2: create -e /a              => SessionExpired
         2: multi create -e /a        => SessionExpired
         2: delete /zookeeper         => SessionExpired
         2: close                     => ok",
    );
    assert_eq!(world.machine.session(2), None);
    let session = world.machine.session(1).unwrap();
    assert_eq!((session.id, session.timeout_ms, session.home), (1, 10_000, 0));
}

#[test]
fn rule_33_closing_deletes_all_ephemerals_with_one_zxid() {
    let mut world = World::new();
    world.play(
        "1: create /p                 => /p
         2: create -e /p/b            => /p/b
         2: create -e /p/a            => /p/a
         3: create -e /p/c            => /p/c
         2: create /stays             => /stays
         1: add-watch -r /p           => ok
         1: ls -w /p                  => [a b c]",
    );
    assert_eq!(world.machine.ephemerals_count(), 3);
    let before = world.machine.last_zxid();
    world.play(
        "2: close                     => !1 NodeDeleted /p/a; !1 NodeChildrenChanged /p; !1 NodeDeleted /p/b; ok
         1: ls /p                     => [c]
         1: exists /stays             => z8/8/8 v0/0/0 o0 l0 n0",
    );
    assert_eq!(world.machine.last_zxid(), before + 1);
    assert_eq!(world.machine.ephemerals_count(), 1);
}

#[test]
fn the_digest_covers_timeout_and_home_of_a_session() {
    let mut world = World::new();
    let mut digests = vec![world.machine.digest()];
    for (timeout_ms, home) in [(10_000, 2), (10_000, 3), (5000, 3)] {
        let mut body = Vec::new();
        command::SessionTerms { timeout_ms, home }.put(&mut body);
        assert_eq!(world.internal(1, command::MOVE_SESSION, &body), "ok");
        digests.push(world.machine.digest());
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 4);
}

#[test]
fn rule_36_zxids_increase_by_one_and_terms_start_at_multiples() {
    let mut world = World::new();
    world.play("1: create /zookeeper => NodeExists");
    assert_eq!(world.last.zxid, 4, "a refused command also consumes a zxid");
    world.machine.begin_leadership();
    world.play("1: create /a => /a\n 1: exists /a => z4294967297/4294967297/4294967297 v0/0/0 o0 l0 n0");
    world.machine.begin_leadership();
    assert_eq!(world.machine.last_zxid(), 2 << 32);
}

#[test]
fn internal_operations_and_unknown_ones() {
    let mut world = World::new();
    for opcode in [0, 3, 13, 100, -1, 12345] {
        assert_eq!(world.internal(1, opcode, b""), "Unimplemented", "{opcode}");
    }
    assert_eq!(world.internal(1, 1, b""), "MarshallingError");
}

#[test]
fn a_machine_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<state::machine::Machine>();
    shared::<state::watch::WatchTable>();
    shared::<state::snapshot::SnapshotCursor>();
    shared::<state::read::Piece>();
}
