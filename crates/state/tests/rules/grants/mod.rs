//! Grants: rules on paths that apply on top of ACLs, for every operation.

mod model;

use state::auth::SUPER;
use state::command::Features;
use state::grants::GRANTS_PATH;
use state::snapshot::LoadError;
use wire::acl::AclList;
use wire::opcode::Opcode;
use wire::record::{Create, Request, SetData};

use crate::snapshot::{load, write};
use crate::world::{ALL_FEATURES, World};

/// The digest identity of `u:p`.
const U: &str = "digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=";

/// The feature on, and sessions: 1 proves to be `u`, 2 proves nothing, 3 is the super user.
fn world() -> World {
    let mut world = World::new();
    world.features = ALL_FEATURES.with(Features::GRANTS);
    world.play(
        "1: auth u:p         => ok
         3: auth super:test  => ok",
    );
    world
}

/// Creates the node with the rules.
fn create_grants(world: &mut World, session: i64, text: &str) -> String {
    let create = Create {
        path: GRANTS_PATH,
        data: Some(text.as_bytes()),
        acl: AclList::OPEN,
        flags: 0,
        ttl: None,
        kind: Opcode::Create,
    };
    world.request(session, &Request::Create(create))
}

/// Sets the rules.
fn set_grants(world: &mut World, session: i64, text: &str) -> String {
    let set = SetData { path: GRANTS_PATH, data: Some(text.as_bytes()), version: -1 };
    world.request(session, &Request::SetData(set))
}

/// A world with these nodes and rules.
fn ruled(nodes: &[&str], text: &str) -> World {
    let mut world = world();
    for node in nodes {
        assert_eq!(world.say(3, &format!("create {node} x")), *node);
    }
    assert_eq!(create_grants(&mut world, 3, text), GRANTS_PATH);
    world
}

#[test]
fn grants_need_the_feature_and_the_super_user() {
    let mut off = World::new();
    assert_eq!(create_grants(&mut off, 2, "no rules"), GRANTS_PATH);
    off.features = ALL_FEATURES.with(Features::GRANTS);
    off.play(
        "2: set /zookeeper/grants x     => v1
         3: auth super:test             => ok
         3: set /zookeeper/grants x     => v2
         2: getacl /zookeeper/grants    => world:anyone:rwcda
         2: delete /zookeeper/grants    => ok",
    );
    let mut on = world();
    for session in [1, 2] {
        assert_eq!(create_grants(&mut on, session, "/p - auth:"), "NoAuth");
    }
    on.play(
        "3: create -e /zookeeper/grants                             => BadArguments
         3: create -c /zookeeper/grants                             => BadArguments
         3: create -t 9 /zookeeper/grants                           => BadArguments
         3: create /zookeeper/grants junk                           => BadArguments
         3: multi create /x; create /zookeeper/grants junk          => Ok | BadArguments
         3: create -s /zookeeper/grants junk                        => /zookeeper/grants0000000000
         3: create /zookeeper/grants null                           => /zookeeper/grants
         3: getacl /zookeeper/grants                                => super::rwcda",
    );
}

#[test]
fn the_rules_are_for_the_super_user_and_whom_a_rule_names() {
    let mut world = ruled(&[], "/ rwcda world:anyone");
    world.play(
        "1: get /zookeeper/grants                   => NoAuth
         1: exists /zookeeper/grants                => NoAuth
         1: getacl /zookeeper/grants                => NoAuth
         1: delete /zookeeper/grants                => NoAuth
         1: create /zookeeper/grants/x              => NoAuth
         1: remove-all /zookeeper/grants 9          => NoAuth
         1: ls-r /zookeeper 9                       => [/zookeeper/config /zookeeper/quota]
         1: list-all -d /zookeeper                  => [config grants quota] [] [\"\", \"null\", \"\"]",
    );
    assert_eq!(set_grants(&mut world, 1, ""), "NoAuth");
    let text = format!("/zookeeper/grants rwa {U}\n");
    assert_eq!(set_grants(&mut world, 3, &text), "v1");
    assert_eq!(world.say(1, "get /zookeeper/grants"), text);
    world.play(
        "2: get /zookeeper/grants                       => NoAuth
         1: getacl /zookeeper/grants                    => super::rwcda
         1: setacl /zookeeper/grants world:anyone:rwcda => BadArguments
         3: setacl /zookeeper/grants world:anyone:rwcda => BadArguments
         1: delete /zookeeper/grants                    => NoAuth",
    );
    assert_eq!(set_grants(&mut world, 1, ""), "v2");
    assert_eq!(set_grants(&mut world, 1, ""), "NoAuth");
}

#[test]
fn a_text_that_is_not_rules_is_refused_at_the_write() {
    let mut world = ruled(&["/p"], "/p r world:anyone");
    let too_long = "#".repeat(state::grants::TEXT_BYTES_MAX + 1);
    let too_many = "/p r auth:\n".repeat(state::grants::GRANTS_MAX + 1);
    for bad in ["/p", "p r auth:", "/p x auth:", "/p r super:", &too_long, &too_many] {
        assert_eq!(set_grants(&mut world, 3, bad), "BadArguments");
    }
    world.play(
        "3: multi create /x; set /zookeeper/grants junk         => Ok | BadArguments
         3: multi delete /zookeeper/grants; create /zookeeper/grants; set /zookeeper/grants junk => Ok | Ok | BadArguments
         2: get /p                                              => x
         2: set /p y                                            => NoAuth",
    );
}

#[test]
fn rules_end_with_their_node() {
    let mut world = ruled(&["/p"], "/p r world:anyone");
    world.play(
        "2: set /p y                                            => NoAuth
         3: multi delete /zookeeper/grants; create /zookeeper/grants junk => Ok | BadArguments
         2: set /p y                                            => NoAuth
         3: delete /zookeeper/grants                            => ok
         2: set /p y                                            => v1",
    );
    // Without the feature the node is like any other.
    assert_eq!(create_grants(&mut world, 3, "/p r world:anyone"), GRANTS_PATH);
    world.features = ALL_FEATURES;
    world.play(
        "2: set /p y                                            => NoAuth
         3: multi delete /zookeeper/grants; create /zookeeper/grants junk => ok | /zookeeper/grants
         2: set /p y                                            => v2",
    );
}

#[test]
fn every_operation_asks_the_rules() {
    let mut world =
        ruled(&["/p", "/p/x", "/p/x/y", "/p/r", "/o"], &format!("/p rwcda {U}\n/p/r r world:anyone"));
    for request in [
        "get /p",
        "exists /p",
        "getacl /p",
        "ls /p",
        "ls2 /p",
        "count /p",
        "list /p",
        "list -e /p",
        "list-all -s -d /p",
        "ls-r /p 99",
        "get /p/x/y",
        "set /p y",
        "set /p/x/y y",
        "setacl /p world:anyone:r",
        "create /p/new",
        "create -2 /p/new",
        "create -e /p/new",
        "create -s /p/new-",
        "create -c /p/new",
        "create -t 9 /p/new",
        "create -n /p/new",
        "create /p/r/new",
        "create /p",
        "delete /p/x/y",
        "delete /p/r",
        "delete /p",
        "try-remove /p/x/y",
        "remove-all /p 99",
        "remove-all /p/x 99",
        "remove-all /p/none 99",
        "multi create /n; check /p 0",
    ] {
        let expected = if request.starts_with("multi") { "Ok | NoAuth" } else { "NoAuth" };
        assert_eq!(world.say(2, request), expected, "{request}");
    }
    world.play(
        "2: multi check-missing /p/none                         => NoAuth
         2: multi check-version-and-children /p 0 2             => NoAuth
         2: multi set /o y; set /p y; set /o z                  => Ok | NoAuth | RuntimeInconsistency
         2: read get /p; ls /p; exists /p; get /o; check /p 0   => NoAuth | NoAuth | NoAuth | x | NoAuth
         2: read check-missing /p/none                          => NoAuth
         # What is not there is told, as by ACLs
         2: get /p/none                                         => NoNode
         2: create /p/none/new                                  => NoNode
         # The longest prefix decides: the rule for u is not on it
         2: get /p/r                                            => x
         1: get /p/r                                            => x
         1: set /p/r y                                          => NoAuth
         # those whom a rule names may
         1: get /p                                              => x
         1: list-all -s -d /p                                   => [r x] [\"v0\", \"v0\"] [\"x\", \"x\"]
         1: ls-r /p 99                                          => [/p/r /p/x /p/x/y]
         1: create /p/new                                       => /p/new
         1: set /p y                                            => v1
         1: setacl /p/new world:anyone:r                        => a1
         1: delete /p/x/y                                       => ok
         1: multi set /p z; create /p/q; check /p 2             => v2 | /p/q | ok
         # and the ACL has to permit it too
         1: set /p/new y                                        => NoAuth
         1: getacl /p/new                                       => world:anyone:r
         # removing a subtree needs every prefix in it
         1: remove-all /p 99                                    => NoAuth
         3: delete /p/r                                         => ok
         1: remove-all /p 99                                    => NoAuth
         3: setacl /p/new world:anyone:rd                       => a2
         1: remove-all /p 99                                    => ok
         2: create /p                                           => NoAuth
         1: create /p x                                         => /p",
    );
}

#[test]
fn what_both_permit_counts_not_what_either_does() {
    let mut world = ruled(&["/p"], "/p a world:anyone");
    world.play(
        "3: setacl /p world:anyone:r     => a1
         2: getacl /p                    => NoAuth
         3: setacl /p world:anyone:ra    => a2
         2: getacl /p                    => world:anyone:ra",
    );
}

#[test]
fn listings_from_above_leave_out_what_may_not_be_read() {
    let nodes = ["/a", "/a/p", "/a/p/deep", "/a/q", "/a/q/p", "/b"];
    let mut world = ruled(&nodes, "/a/p - world:anyone\n/a/q/p w world:anyone\n/a/gone - world:anyone");
    world.play(
        "2: ls /a                       => [p q]
         2: list-all -s -d /a           => [p q] [\"v0\", \"v0\"] [\"null\", \"x\"]
         2: ls-r /a 99                  => [/a/q]
         2: ls-r / 99                   => [/a /b /zookeeper /a/q /zookeeper/config /zookeeper/quota]
         2: ls-r '' 99                  => [/a /b /zookeeper /a/q /zookeeper/config /zookeeper/quota]",
    );
    assert_eq!(set_grants(&mut world, 3, "/ w world:anyone"), "v1");
    world.play(
        "2: ls /                        => NoAuth
         2: ls ''                       => NoAuth
         2: get /zookeeper/config       => NoAuth
         2: get /keeper/api_version     => NoAuth
         3: ls ''                       => [a b zookeeper]",
    );
}

#[test]
fn rules_hold_without_acl_checks_too() {
    let mut world = ruled(&["/p"], "/p r world:anyone");
    world.features = Features::SKIP_ACL;
    world.play(
        "2: get /p                      => x
         2: set /p y                    => NoAuth
         2: delete /zookeeper/grants    => NoAuth
         3: set /p y                    => v1",
    );
}

#[test]
fn a_sequential_node_is_judged_by_its_whole_path() {
    let mut world = ruled(&["/q"], "/q/n-0000000001 - world:anyone");
    world.play(
        "2: create -s /q/n-             => /q/n-0000000000
         2: create -s /q/n-             => NoAuth
         3: create -s /q/n-             => /q/n-0000000001
         2: create -s /q/n-             => /q/n-0000000002",
    );
}

#[test]
fn events_are_withheld_from_those_who_may_not_read() {
    let mut world = ruled(&["/p", "/p/c", "/o"], &format!("/p rwcda {U}"));
    world.play(
        "1: get -w /p                   => x
         1: ls -w /p                    => [c]
         2: add-watch -r /              => ok
         2: add-watch /p                => ok
         2: exists -w /p/new            => NoNode
         3: set /p y                    => !1 NodeDataChanged /p; v1
         3: create /p/new               => !1 NodeChildrenChanged /p; /p/new
         3: set /o y                    => !2 NodeDataChanged /o; v1
         3: delete /p/new               => ok",
    );
    // A reconnect does not circumvent it.
    world.play(
        "2: set-watches 0 data:/p exist:/p child:/p data:/p/gone => ok
         1: set-watches 0 data:/p exist:/p child:/p data:/p/gone => !1 NodeDataChanged /p; \
         !1 NodeDeleted /p/gone; !1 NodeCreated /p; !1 NodeChildrenChanged /p; ok",
    );
    // The rules decide who learns of their own end, and then end.
    world.play(
        "2: exists -w /zookeeper/none   => NoNode
         2: ls -w /zookeeper            => [config grants quota]
         3: delete /zookeeper/grants    => !2 NodeChildrenChanged /zookeeper; ok
         3: set /p z                    => !2 NodeDataChanged /p; v2",
    );
}

#[test]
fn ephemerals_and_containers_end_whatever_the_rules_say() {
    let mut world = ruled(&["/p"], &format!("/p rc {U}"));
    world.play(
        "1: create -e /p/e              => /p/e
         1: create -c /p/c              => /p/c z7/7/7 v0/0/0 o0 l0 n0
         1: create /p/c/x               => /p/c/x
         1: ephemerals /p               => [/p/e]
         1: delete /p/e                 => NoAuth
         3: delete /p/c/x               => ok
         1: close                       => ok
         3: ls /p                       => [c]",
    );
    assert_eq!(world.reap(), ["/p/c ok"]);
}

#[test]
fn rules_survive_a_snapshot_which_says_that_it_has_them() {
    let mut world = ruled(&["/p"], "/p r world:anyone");
    let bytes = write(&mut world.machine, 2, &mut |_| {});
    assert_eq!(bytes[9], 3, "a program that does not know grants must not load it");
    let loaded = load(&bytes, 64).unwrap();
    loaded.check().unwrap();
    assert_eq!(loaded.digest(), world.machine.digest());
    world.machine = loaded;
    world.play(
        "2: get /p                      => x
         2: set /p y                    => NoAuth
         3: delete /zookeeper/grants    => ok
         2: set /p y                    => v1",
    );
    let bytes = write(&mut world.machine, 2, &mut |_| {});
    assert_eq!(bytes[9], 2);
}

#[test]
fn a_snapshot_with_a_text_that_is_not_rules_is_refused() {
    let mut world = ruled(&[], "/p r auth:");
    let mut bytes = write(&mut world.machine, 99, &mut |_| {});
    let at = bytes.windows(10).position(|found| found == b"/p r auth:").expect("the text");
    bytes[at] = b'p';
    assert!(matches!(load(&bytes, 64), Err(LoadError::Tree(state::data_tree::LoadError::Grants(_)))));
}

#[test]
fn no_client_can_give_the_acl_of_the_rules_to_a_node() {
    let mut world = World::new();
    world.identities.get_mut(&3).unwrap().add(SUPER, "");
    world.play(
        "3: create /a x super::rwcda                        => InvalidACL
         3: create /a x auth::rwcda                         => InvalidACL
         3: create /a x super::rwcda,world:anyone:r         => InvalidACL
         3: create /zookeeper/grants x super::rwcda         => InvalidACL",
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads the clock; the machine does not")]
fn deep_paths_and_many_rules_take_little_time() {
    let deep = "/d".repeat(200_000);
    let rules: String =
        (1..=900).map(|depth| format!("{} rwcda world:anyone\n", "/d".repeat(depth % 30 + 1))).collect();
    let mut world = ruled(&[], &rules);
    let begun = std::time::Instant::now();
    assert_eq!(world.say(2, &format!("exists {deep}")), "NoNode");
    assert_eq!(world.say(2, &format!("get {deep}")), "NoNode");
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}
