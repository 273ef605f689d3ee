//! ClickHouse Keeper's operations 500–507 and the nodes that announce them.

use crate::world::{World, parse};
use state::auth::Identities;
use state::command::Features;
use state::read::{Dialect, Reader};
use wire::code::ErrorCode;
use wire::opcode::Opcode;
use wire::record::Reply;

fn nodes(world: &mut World) {
    world.play(
        "1: create /a xx              => /a
         1: create /a/b yy            => /a/b
         1: create /a/b/c             => /a/b/c
         2: create -e /a/e zz         => /a/e",
    );
}

#[test]
fn op_500_lists_by_kind() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: list /a                   => [b e] c2
         1: list -p /a                => [b] c2
         1: list -e -w /a             => [e] c2
         1: list /none                => NoNode
         2: delete /a/e               => !1 NodeChildrenChanged /a; ok",
    );
}

#[test]
fn op_501_requires_a_missing_node() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: check-missing /none       => ok
         1: check-missing /a          => NodeExists
         1: check-missing /a 0        => NodeExists
         1: check-missing /a 1        => ok
         1: check-missing /no/parent  => ok
         1: check-missing bad         => BadArguments
         1: multi create /x; check-missing /x => Ok | NodeExists
         1: multi check-missing /x; create /x => ok | /x",
    );
}

#[test]
fn op_502_leaves_an_existing_node_unchanged() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: create -n /a other        => /a
         1: get /a                    => xx
         1: create -n /new other      => /new
         1: get /new                  => other
         1: create -n -s /a           => BadArguments
         1: create -n /none/x         => NoNode
         1: multi create -n /a; create -n /y => /a | /y",
    );
}

#[test]
fn op_503_deletes_with_descendants_up_to_a_limit() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: remove-all /none 1        => ok
         1: remove-all / 100          => BadArguments
         1: remove-all /a 3           => NotEmpty
         3: add-watch -r /a           => ok
         1: multi create /a/d; remove-all /a/b 1 => Ok | NotEmpty
         1: multi create /a/b/d; delete /a/b/c; remove-all /a/b 2; create /a/b => \
                  !3 NodeCreated /a/b/d; !3 NodeDeleted /a/b/c; !3 NodeDeleted /a/b/d; !3 NodeDeleted /a/b; \
                  !3 NodeCreated /a/b; /a/b/d | ok | ok | /a/b
         1: remove-all /a 3           => !3 NodeDeleted /a/b; !3 NodeDeleted /a/e; !3 NodeDeleted /a; ok
         1: exists /a                 => NoNode
         1: auth u:p                  => ok
         1: create /p                 => /p
         1: create /p/q x auth::c     => /p/q
         2: remove-all /p 9           => NoAuth",
    );
}

#[test]
fn op_504_compares_the_given_fields() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: check-version-and-children /a -1 -1      => ok
         1: check-version-and-children /a 0 2        => ok
         1: check-version-and-children /a 0 3        => BadVersion
         1: check-version-and-children /none -1 -1   => NoNode
         1: multi create /a/x; check-version-and-children /a 0 3 => /a/x | ok",
    );
}

#[test]
fn op_505_removes_or_does_nothing() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: try-remove /none          => ok
         1: try-remove /no/parent     => ok
         1: try-remove /a             => ok
         1: try-remove /a/e 7         => ok
         1: ls /a                     => [b e]
         1: multi try-remove /a/e 0; try-remove /a => ok | ok
         1: ls /a                     => [b]
         1: auth u:p                  => ok
         1: create /p x auth::c       => /p
         1: create /p/q               => /p/q
         2: try-remove /p/q           => NoAuth",
    );
}

#[test]
fn op_506_lists_with_stats_and_data() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: list-all -s -d /a         => [b e] [\"v0\", \"v0\"] [\"yy\", \"zz\"]
         1: list-all -d -p /a         => [b] [] [\"yy\"]
         1: list-all /a               => [b e] [] []
         1: auth u:p                  => ok
         1: create /a/p secret auth::r => /a/p
         2: list-all -d /a            => [b e p] [] [\"yy\", \"zz\", \"null\"]",
    );
}

#[test]
fn op_507_lists_descendants_level_by_level() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: ls-r /a 99                => [/a/b /a/e /a/b/c]
         1: ls-r /a 2                 => [/a/b /a/e]
         1: ls-r /none 9              => NoNode
         1: auth u:p                  => ok
         1: setacl /a/b auth::rwcda   => a1
         2: ls-r /a 99                => [/a/e]
         2: ls-r / 3                  => [/a /zookeeper /a/e]",
    );
}

#[test]
fn a_multi_read_may_have_more_operations_and_watches() {
    let mut world = World::new();
    nodes(&mut world);
    world.play(
        "1: read exists -w /none; get -w /a; check /a 0; check-missing /a => NoNode | xx | ok | NodeExists
         2: set /a x                  => !1 NodeDataChanged /a; v1
         2: create /none              => !1 NodeCreated /none; /none",
    );
}

#[test]
fn disabled_extensions_are_unimplemented() {
    let mut world = World::new();
    nodes(&mut world);
    world.features = Features::NONE;
    for request in [
        "list /a",
        "check-missing /x",
        "create -n /x",
        "remove-all /a 9",
        "check-version-and-children /a -1 -1",
        "try-remove /a",
        "list-all /a",
        "ls-r /a 9",
    ] {
        assert_eq!(world.say(1, request), "Unimplemented", "{request}");
    }
    assert_eq!(world.say(1, "exists /keeper/feature_flags"), "NoNode");
}

#[test]
fn features_are_announced_by_virtual_nodes() {
    let mut world = World::new();
    let identities = Identities::new();
    let reader = world.reader(1, &identities);
    let mut reply = Vec::new();
    let request = parse("get /keeper/feature_flags");
    let code = world.machine.read_whole(&request, &reader, &mut reply, &mut |_| {});
    assert_eq!(code, ErrorCode::Ok);
    let Reply::GetData(body) = Reply::decode(Opcode::GetData, &reply).unwrap() else { panic!() };
    let flags = body.data.unwrap();
    let has = |flag: usize| flags.get(flag / 8).is_some_and(|byte| byte >> (7 - flag % 8) & 1 == 1);
    assert!((0..=10).chain([14]).all(has) && !(11..64).filter(|flag| *flag != 14).any(has));
    world.play(
        "1: get /keeper/api_version             => 6
         1: get /keeper/max_request_size        => 1048575
         1: exists /keeper/api_version          => z0/0/0 v0/0/0 o0 l1 n0
         1: ls /keeper/api_version              => []
         1: read get /keeper/api_version        => 6
         1: ls /                                => [zookeeper]
         1: ls /keeper                          => NoNode
         1: set /keeper/api_version 7           => NoNode
         1: create /keeper/api_version 7        => NoNode
         # real nodes take precedence over virtual ones
         1: create /keeper                      => /keeper
         1: create /keeper/api_version mine     => /keeper/api_version
         1: get /keeper/api_version             => mine",
    );
    assert_eq!(World::new().machine.znode_count(), 5);
}

#[test]
fn a_failed_part_of_a_multi_read_keeps_its_opcode_for_keepers_clients() {
    let mut world = World::new();
    world.play("1: create /a xx              => /a");
    let identities = Identities::new();
    let request = parse("read get /none; exists /none; get /a");
    let failures = |dialect| {
        let reader = Reader { dialect, ..world.reader(1, &identities) };
        let mut reply = Vec::new();
        assert_eq!(world.machine.read_whole(&request, &reader, &mut reply, &mut |_| {}), ErrorCode::Ok);
        let Reply::Multi(results) = Reply::decode(Opcode::MultiRead, &reply).unwrap() else { panic!() };
        results.iter().filter(|result| result.error().is_some()).map(|r| r.opcode()).collect::<Vec<_>>()
    };
    assert_eq!(failures(Dialect::ZooKeeper), [Opcode::Error, Opcode::Error]);
    assert_eq!(failures(Dialect::Keeper), [Opcode::GetData, Opcode::Exists]);
}

#[test]
fn a_client_is_keepers_once_it_sends_a_request_only_keeper_has() {
    let after = |text: &str| {
        let request = parse(text);
        let mut body = Vec::new();
        request.encode(&mut body);
        Dialect::ZooKeeper.after(request.opcode() as i32, &body)
    };
    for text in [
        "get /keeper/feature_flags",
        "exists /keeper/api_version",
        "list /a",
        "check-missing /a",
        "multi create /x; check-missing /x",
        "read get /a; exists /a",
    ] {
        assert_eq!(after(text), Dialect::Keeper, "{text}");
    }
    for text in [
        "get /keeper",
        "get /a",
        "ls /keeper/api_version",
        "multi create /x; delete /x",
        "read get /a; ls /a",
    ] {
        assert_eq!(after(text), Dialect::ZooKeeper, "{text}");
    }
    assert_eq!(Dialect::Keeper.after(Opcode::Ping as i32, &[]), Dialect::Keeper);
    assert_eq!(Dialect::ZooKeeper.after(Opcode::GetData as i32, b"\0\0"), Dialect::ZooKeeper);
}
