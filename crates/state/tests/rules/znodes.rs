//! Znodes, their `Stat`s and counters: rules 13–24 of COMPATIBILITY.md.

use crate::world::World;
use state::command::Features;

#[test]
fn a_new_machine_matches_a_new_zookeeper() {
    let mut world = World::new();
    world.play(
        "1: exists /                  => z0/0/0 v0/-1/0 o0 l0 n1
         1: exists /zookeeper         => z0/0/0 v0/-2/0 o0 l0 n2
         1: exists /zookeeper/quota   => z0/0/0 v0/0/0 o0 l0 n0
         1: exists /zookeeper/config  => z0/0/0 v0/0/-1 o0 l0 n0
         1: getacl /zookeeper/config  => world:anyone:r
         1: getacl /zookeeper/quota   => world:anyone:rwcda
         1: ls /                      => [zookeeper]
         1: create -s /s              => /s0000000000",
    );
    assert_eq!(World::new().machine.znode_count(), 5);
    assert_eq!(World::new().machine.data_bytes(), 44);
}

#[test]
fn rule_13_sequence_is_the_count_of_creates_in_ten_digits() {
    World::new().play(
        "1: create /q                 => /q
         1: create /q/plain           => /q/plain
         1: create -s /q/n-           => /q/n-0000000001
         1: delete /q/plain           => ok
         1: create -s -e /q/          => /q/0000000002
         1: create -s /q/..           => /q/..0000000003
         # the number is a suffix, so the name may already exist
         1: create /q/x0000000005     => /q/x0000000005
         1: create -s /q/x            => NodeExists",
    );
}

#[test]
fn rule_14_failed_create_consumes_no_number() {
    World::new().play(
        "1: create /q                                       => /q
         1: create -s /q/a- x world:me:r                    => InvalidACL
         1: multi create -s /q/a-; delete /none             => Ok | NoNode
         1: create -s /q/a-                                 => /q/a-0000000000
         1: multi create -s /q/a-; create -s /q/b-          => /q/a-0000000001 | /q/b-0000000002
         1: multi create -s /q/a-; delete /q/a-0000000003; create -s /q/a- => \
                  /q/a-0000000003 | ok | /q/a-0000000004",
    );
}

#[test]
fn rule_15_cversion_counts_creates_and_deletes() {
    World::new().play(
        "1: create /a                 => /a
         1: create /a/b               => /a/b
         1: create /a/c               => /a/c
         1: ls2 /a                    => [b c] c2
         1: delete /a/b               => ok
         1: ls2 /a                    => [c] c3
         1: set /a x                  => v1
         1: ls2 /a                    => [c] c3",
    );
}

#[test]
fn rule_16_pzxid_follows_children_and_setacl_changes_only_aversion() {
    World::new().play(
        "1: create /a                 => /a
         1: create /a/b               => /a/b
         1: exists /a                 => z4/4/5 v0/1/0 o0 l0 n1
         1: set /a/b x                => v1
         1: exists /a                 => z4/4/5 v0/1/0 o0 l0 n1
         1: setacl /a world:anyone:rwcda => a1
         1: exists /a                 => z4/4/5 v0/1/1 o0 l0 n1
         1: delete /a/b               => ok
         1: exists /a                 => z4/4/8 v0/2/1 o0 l0 n0
         2: create -e /a/e            => /a/e
         2: close                     => ok
         1: exists /a                 => z4/4/10 v0/4/1 o0 l0 n0",
    );
}

#[test]
fn rule_17_only_sessions_are_shown_as_owners() {
    World::new().play(
        "2: create -e /e              => /e
         1: exists /e                 => z4/4/4 v0/0/0 o2 l0 n0
         1: create -c /c              => /c z5/5/5 v0/0/0 o0 l0 n0
         1: create -t 5 /t            => /t z6/6/6 v0/0/0 o0 l0 n0",
    );
}

#[test]
fn rule_18_null_is_not_empty() {
    World::new().play(
        "1: create /n null            => /n
         1: get /n                    => null
         1: exists /n                 => z4/4/4 v0/0/0 o0 l0 n0
         1: set /n                    => v1
         1: get /n                    => 
         1: multi set /n null         => v2
         1: get /n                    => null",
    );
}

#[test]
fn rule_19_order_of_checks_of_create() {
    let mut world = World::new();
    world.play(
        "1: auth u:p                           => ok
         1: create /closed x auth::rda         => /closed
         2: create -e /e                       => /e
         # flags, then the slash, then the ACL, then the parent, its permission, the whole path, the node itself
         1: create -f 7 noslash x none         => BadArguments
         1: create -f -1 /x                    => BadArguments
         1: create noslash x none              => BadArguments
         1: create /none/x x none              => InvalidACL
         1: create /none/x                     => NoNode
         1: create /none//x                    => NoNode
         1: create a/b                         => NoNode
         1: create /closed/.                   => NoAuth
         1: create /closed/x                   => NoAuth
         1: create /.                          => BadArguments
         1: create /e/                         => BadArguments
         1: create /e                          => NodeExists
         1: create /e/x                        => NoChildrenForEphemerals
         1: create /                           => NodeExists",
    );
}

#[test]
fn rule_19_order_of_checks_of_delete_and_set() {
    World::new().play(
        "1: auth u:p                           => ok
         1: create /p x auth::rwca             => /p
         1: create /p/c                        => /p/c
         1: create /q                          => /q
         1: create /q/c                        => /q/c
         1: create /q/c/d                      => /q/c/d
         1: delete noslash                     => BadArguments
         1: delete /none/x                     => NoNode
         1: delete /p/none                     => NoAuth
         1: delete /p/c 7                      => NoAuth
         1: delete /q/none 7                   => NoNode
         1: delete /q/c 7                      => BadVersion
         1: delete /q/c 0                      => NotEmpty
         1: delete /q/                         => NoNode
         1: delete /q/c/d 0                    => ok
         1: set /q//c x                        => BadArguments
         1: set /none x                        => NoNode
         2: setacl /p world:anyone:r 9         => NoAuth
         1: setacl /p none 9                   => InvalidACL
         1: setacl /p world:anyone:r 9         => BadVersion
         1: setacl /none world:anyone:r        => NoNode
         1: setacl none/ none                  => BadArguments
         1: set /q x 1                         => BadVersion
         1: set /q x 0                         => v1
         1: set /q x -1                        => v2",
    );
}

#[test]
fn rule_20_invalid_paths() {
    let mut world = World::new();
    for path in ["/a/", "/./a", "/a/..", "/\u{1}", "/\u{7f}", "/\u{e000}", "/\u{fff0}", "/\u{1f600}"] {
        let answer = world.say(1, &format!("set {path} x"));
        assert_eq!(answer, "BadArguments", "{path:?}");
        assert_eq!(world.say(1, &format!("get {path}")), "NoNode", "reads find nothing under {path:?}");
    }
    assert_eq!(world.say(1, "create /é\u{f900}"), "/é\u{f900}");
    assert_eq!(world.say(1, "exists /a\0b"), "BadArguments");
    assert_eq!(world.say(1, "create /a\0b"), "BadArguments");
}

#[test]
fn rule_21_reserved_nodes_cannot_be_deleted() {
    World::new().play(
        "1: auth super:test           => ok
         1: delete /                  => BadArguments
         1: delete /zookeeper         => BadArguments
         1: delete /zookeeper/quota   => BadArguments
         1: delete /zookeeper/config  => BadArguments
         1: try-remove /zookeeper     => BadArguments
         1: remove-all /zookeeper 99  => BadArguments
         1: multi delete /zookeeper   => BadArguments",
    );
}

#[test]
fn rule_22_containers_are_removed_when_used_and_empty() {
    let mut world = World::new();
    world.play(
        "1: create -c /c              => /c z4/4/4 v0/0/0 o0 l0 n0
         1: create -c /never          => /never z5/5/5 v0/0/0 o0 l0 n0
         1: create /c/x               => /c/x",
    );
    assert!(world.reap().is_empty(), "one has a child, the other never had one");
    world.play("1: delete /c/x => ok");
    assert_eq!(world.reap(), ["/c ok"]);
    world.play("1: exists /c => NoNode");
}

#[test]
fn rule_22_ttl_nodes_are_removed_when_childless_and_unchanged() {
    let mut world = World::new();
    world.play(
        "1: create -t 1000 /t         => /t z4/4/4 v0/0/0 o0 l0 n0
         1: create /t/child           => /t/child
         1: wait 1001                 => ok",
    );
    assert!(world.reap().is_empty(), "it has a child");
    world.play("1: delete /t/child => ok\n 1: set /t x => v1\n 1: wait 1000 => ok");
    assert!(world.reap().is_empty(), "its data were set, which restarted its TTL");
    world.play("1: wait 1 => ok");
    assert_eq!(world.reap(), ["/t ok"]);
}

#[test]
fn rule_22_a_container_used_again_stays() {
    let mut world = World::new();
    world.play("1: create -t 1 /t => /t z4/4/4 v0/0/0 o0 l0 n0");
    let mut body = Vec::new();
    state::command::DeleteContainer { path: "/t", czxid: 4, mzxid: 4 }.put(&mut body);
    world.play("1: set /t x => v1");
    assert_eq!(world.internal(0, 20, &body), "BadVersion", "it was set after it was found");
    body.clear();
    state::command::DeleteContainer { path: "/t", czxid: 4, mzxid: 5 }.put(&mut body);
    world.play("1: create /t/x => /t/x");
    assert_eq!(world.internal(0, 20, &body), "NotEmpty");
    world.play("1: delete /t/x => ok\n1: delete /t => ok\n1: create -c /t => /t z11/11/11 v0/0/0 o0 l0 n0");
    assert_eq!(world.internal(0, 20, &body), "BadVersion", "this is another node");
    assert_eq!(world.internal(0, 20, b"x"), "MarshallingError");
}

#[test]
fn rule_23_ttl_nodes_must_be_enabled() {
    let mut world = World::new();
    let longest = (1i64 << 40) - 1;
    world.play(&format!(
        "1: create -t 0 /t            => BadArguments
         1: create -t -1 /t           => BadArguments
         1: create -t {}  /t          => BadArguments
         # the flag without a ttl, and a ttl without the flag
         1: create -f 5 /t            => BadArguments
         1: create -f 0 -t 5 /t       => BadArguments
         1: create -s -t {longest} /t => /t0000000000 z9/9/9 v0/0/0 o0 l0 n0",
        longest + 1
    ));
    world.features = Features::NONE;
    world.play(
        "1: create -t 5 /t            => Unimplemented
         1: create -t 0 /t            => Unimplemented
         1: create -f 6 /t            => Unimplemented",
    );
}

#[test]
fn rule_24_descendants_and_ephemerals() {
    World::new().play(
        "1: create /a                 => /a
         1: create /a/b               => /a/b
         1: create -e /a/b/e          => /a/b/e
         1: create -e /ab             => /ab
         2: create -e /a/other        => /a/other
         1: count /a                  => 3
         1: count /                   => 8
         1: count /a/b/e              => 0
         1: count /none               => NoNode
         1: ephemerals /              => [/a/b/e /ab]
         1: ephemerals ''             => [/a/b/e /ab]
         1: ephemerals /a             => [/a/b/e /ab]
         1: ephemerals /a/            => [/a/b/e]
         3: ephemerals /              => []",
    );
}

#[test]
fn flags_are_an_enumeration_and_the_operation_decides_on_a_container() {
    let mut world = World::new();
    // Flag 4 with the operation create: ZooKeeper creates a persistent node.
    world.play("1: create -f 4 /p => /p\n 1: create /p/x => /p/x\n 1: delete /p/x => ok");
    assert!(world.reap().is_empty());
    world.play(
        "1: create -c -f 2 /c         => /c0000000001 z7/7/7 v0/0/0 o0 l0 n0
         1: create -f 8 /x            => BadArguments",
    );
}
