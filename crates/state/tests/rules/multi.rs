//! Multi and multiRead: rules 25 and 26 of COMPATIBILITY.md.

use crate::world::World;
use state::command::Features;

#[test]
fn rule_25_all_or_none_with_one_zxid() {
    let mut world = World::new();
    world.play(
        "1: multi create /a x; set /a y 0; create /a/b; check /a 1; create -2 /a/c => \
                  /a | v1 | /a/b | ok | /a/c z4/4/4 v0/0/0 o0 l0 n0
         1: exists /a                 => z4/4/4 v1/2/0 o0 l1 n2
         1: multi                     => 
         1: multi create /x; check /a 0; delete /a/b; create /y => Ok | BadVersion | RuntimeInconsistency | RuntimeInconsistency
         1: exists /x                 => NoNode
         1: get /a                    => y",
    );
    assert_eq!(world.last.code, wire::ErrorCode::Ok, "a failed multi is not an error of the request");
    assert_eq!(world.machine.last_zxid(), 6);
}

#[test]
fn rule_25_operations_see_earlier_ones() {
    World::new().play(
        "1: create /a x                                     => /a
         1: create /a/b                                     => /a/b
         1: multi delete /a/b; delete /a; create /a y; check /a 0; create /a/c => ok | ok | /a | ok | /a/c
         1: multi delete /a/c; delete /a/c                  => Ok | NoNode
         1: multi create /a/d; delete /a                    => Ok | NotEmpty
         1: multi delete /a/c; delete /a; create /a/x       => Ok | Ok | NoNode
         1: multi create -e /e; create /e/x                 => Ok | NoChildrenForEphemerals
         1: multi create /a/c                               => NodeExists
         1: multi set /a z 0; set /a z 0                    => Ok | BadVersion
         1: multi set /a z 0; set /a zz 1; check /a 2       => v1 | v2 | ok
         1: get /a                                          => zz",
    );
}

#[test]
fn rule_25_permissions_of_nodes_created_in_the_multi() {
    World::new().play(
        "1: auth u:p                                        => ok
         2: multi create /a x world:anyone:rw; create /a/b  => Ok | NoAuth
         1: multi create /a x auth::c; create /a/b          => /a | /a/b
         1: multi create /b x auth::c; check /b 0           => Ok | NoAuth
         2: multi create /a/c                               => NoAuth",
    );
}

#[test]
fn rule_25_containers_and_ttl_answer_like_create2() {
    World::new().play(
        "1: multi create -c /c; create -t 5 /t; set /c x    => \
                  /c z4/4/4 v0/0/0 o0 l0 n0 | /t z4/4/4 v0/0/0 o0 l0 n0 | v1",
    );
}

#[test]
fn rule_25_undecodable_and_mixed_multis_are_refused() {
    let mut world = World::new();
    world.play(
        "1: multi create /a; get /   => MarshallingError
         1: read get /; delete /a    => MarshallingError
         1: multi get /              => MarshallingError",
    );
    assert_eq!(world.internal(1, 14, b"\0\0\0\x01"), "MarshallingError");
    world.features = Features::NONE;
    world.play(
        "1: multi create /a; try-remove /a => MarshallingError
         1: read exists /             => MarshallingError
         1: exists /a                 => NoNode",
    );
}

#[test]
fn rule_26_reads_have_their_own_errors_and_no_watches() {
    let mut world = World::new();
    world.features = Features::NONE;
    world.play(
        "1: auth u:p                           => ok
         1: create /a x                        => /a
         1: create /mine x auth::r             => /mine
         2: read get -w /a; get /none; ls -w /; get /mine => x | NoNode | [a mine zookeeper] | NoAuth
         2: read                               => ",
    );
    assert!(world.watches.is_empty());
}

#[test]
fn rule_26_watches_fire_in_the_order_of_operations() {
    World::new().play(
        "1: add-watch -r /            => ok
         1: add-watch /               => ok
         2: multi create /b; create /a; set /b x; delete /a => \
                  !1 NodeCreated /b; !1 NodeChildrenChanged /; !1 NodeCreated /a; !1 NodeChildrenChanged /; \
                  !1 NodeDataChanged /b; !1 NodeDeleted /a; !1 NodeChildrenChanged /; /b | /a | v1 | ok
         2: multi set /b y; delete /none => Ok | NoNode",
    );
}
