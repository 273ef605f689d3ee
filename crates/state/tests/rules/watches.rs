//! Ordering and watches: rules 2–11 of COMPATIBILITY.md.

use std::collections::BTreeSet;

use crate::world::World;
use state::acl_table::OPEN_BYTES;
use state::change::{Change, ChangeKind};
use state::watch::{WatchLimitReached, WatchLimits, WatchMode, WatchTable, WatcherId};
use wire::event::WatcherType;

#[test]
fn rule_02_an_event_precedes_any_reply_that_could_show_the_change() {
    // Answers start with the events: they are delivered while the command is applied, to the writer
    // too.
    World::new().play(
        "1: create /a                 => /a
         1: get -w /a                 => 
         2: get -w /a                 => 
         1: set /a x                  => !1 NodeDataChanged /a; !2 NodeDataChanged /a; v1",
    );
}

#[test]
fn rule_03_order_of_events_of_one_change() {
    World::new().play(
        "1: exists -w /a              => NoNode
         2: ls -w /                   => [zookeeper]
         3: create /a                 => !1 NodeCreated /a; !2 NodeChildrenChanged /; /a
         1: get -w /a                 => 
         2: ls -w /a                  => []
         3: ls -w /                   => [a zookeeper]
         3: delete /a                 => !1 NodeDeleted /a; !2 NodeDeleted /a; !3 NodeChildrenChanged /; ok
         3: create /a                 => /a
         1: get -w /a                 => 
         1: ls -w /a                  => []
         3: setacl /a world:anyone:rwcda => a1
         3: delete /a                 => !1 NodeDeleted /a; ok
         # the child watch was consumed together with the data watch
         3: create /a                 => /a
         3: create /a/b               => /a/b",
    );
}

#[test]
fn rule_04_one_event_per_watcher_and_trigger() {
    World::new().play(
        "1: create /a                 => /a
         1: get -w /a                 => 
         1: exists -w /a              => z4/4/4 v0/0/0 o0 l0 n0
         1: add-watch /a              => ok
         1: add-watch -r /a           => ok
         1: add-watch -r /            => ok
         2: set /a x                  => !1 NodeDataChanged /a; v1
         2: delete /a                 => !1 NodeDeleted /a; ok
         # two tables: the node is created for one, the list of children changed for the other
         1: add-watch /               => ok
         2: create /a                 => !1 NodeCreated /a; !1 NodeChildrenChanged /; /a",
    );
}

#[test]
fn rule_05_standard_watches_fire_once_and_belong_to_the_connection() {
    let mut world = World::new();
    world.play(
        "1: create /a                 => /a
         1: get -w /a                 => 
         1: get -w /a                 => 
         2: set /a x                  => !1 NodeDataChanged /a; v1
         2: set /a x                  => v2
         1: get -w /a                 => x
         1: add-watch -r /            => ok
         1: disconnect                => ok
         2: set /a x                  => v3",
    );
    assert!(world.watches.is_empty());
}

#[test]
fn rule_06_only_exists_watches_a_missing_node() {
    World::new().play(
        "1: get -w /a                 => NoNode
         1: ls -w /a                  => NoNode
         2: exists -w /a              => NoNode
         3: create /a                 => !2 NodeCreated /a; /a
         2: exists -w /a              => z4/4/4 v0/0/0 o0 l0 n0
         3: delete /a                 => !2 NodeDeleted /a; ok",
    );
}

#[test]
fn rule_07_events_carry_the_zxid_of_their_change() {
    // `World` compares the header's zxid with the event's; this test with the command's.
    let mut world = World::new();
    world.play("1: create /a => /a\n 1: get -w /a => ");
    let mut zxids = Vec::new();
    let change = state::change::Change {
        kind: state::change::ChangeKind::DataChanged,
        path: "/a",
        zxid: 77,
        acl: state::acl_table::OPEN_BYTES,
        parent_acl: state::acl_table::OPEN_BYTES,
        grants: None,
    };
    world.watches.change(&change, &mut |_, event| zxids.push(event.zxid));
    assert_eq!(zxids, [77]);
    // Events for changes that a reconnecting client missed have no zxid.
    let mut caught_up = Vec::new();
    let identities = state::auth::Identities::new();
    let reader = world.reader(1, &identities);
    let wire::record::Request::SetWatches(set) = crate::world::parse("set-watches 0 data:/gone") else {
        panic!()
    };
    let mut deliver = |_: WatcherId, event: &state::watch::EventOut| caught_up.push(event.zxid);
    world.watches.set_watches(WatcherId(1), &set, world.machine.tree(), &reader, &mut deliver).unwrap();
    assert_eq!(caught_up, [-1]);
}

#[test]
fn rule_08_without_read_permission_no_event_is_sent() {
    World::new().play(
        "1: auth u:p                           => ok
         1: create /mine x auth::rwcda         => /mine
         2: exists /mine                       => NoAuth
         2: exists -w /mine                    => NoAuth
         2: add-watch -r /                     => ok
         1: add-watch -r /                     => ok
         # the node's own ACL decides about its data, the parent's about the list of children
         1: set /mine y                        => !1 NodeDataChanged /mine; v1
         1: create /mine/open                  => !1 NodeCreated /mine/open; !2 NodeCreated /mine/open; /mine/open
         2: add-watch /mine                    => ok
         1: create /mine/x                     => !1 NodeCreated /mine/x; !2 NodeCreated /mine/x; /mine/x
         1: delete /mine/x                     => !1 NodeDeleted /mine/x; !2 NodeDeleted /mine/x; ok
         # a watch whose event was withheld has fired
         2: exists -w /later                   => NoNode
         2: remove-watches Any /               => true
         1: create /later x auth::r            => !1 NodeCreated /later; /later
         2: check-watches Data /later          => false
         2: auth u:p                           => ok
         1: set /mine z                        => !2 NodeDataChanged /mine; !1 NodeDataChanged /mine; v2",
    );
}

#[test]
fn rule_08_the_acl_at_the_time_of_the_change_counts() {
    World::new().play(
        "1: auth u:p                           => ok
         1: create /a x auth::rwcda            => /a
         2: add-watch -r /a                    => ok
         1: set /a y                           => v1
         1: setacl /a world:anyone:rwcda       => a1
         1: set /a y                           => !2 NodeDataChanged /a; v2
         1: setacl /a auth::rwcda              => a2
         1: delete /a                          => ok",
    );
}

#[test]
fn rule_09_persistent_watches_stay() {
    World::new().play(
        "1: add-watch /a              => ok
         2: create /a                 => !1 NodeCreated /a; /a
         2: create /a/b               => !1 NodeChildrenChanged /a; /a/b
         2: set /a/b x                => v1
         2: set /a x                  => !1 NodeDataChanged /a; v1
         2: delete /a/b               => !1 NodeChildrenChanged /a; ok
         2: delete /a                 => !1 NodeDeleted /a; ok
         2: create /a                 => !1 NodeCreated /a; /a",
    );
}

#[test]
fn rule_09_recursive_watches_cover_descendants_but_no_lists() {
    World::new().play(
        "1: add-watch -r /a           => ok
         2: create /a                 => !1 NodeCreated /a; /a
         2: create /a/b               => !1 NodeCreated /a/b; /a/b
         2: create /a/b/c             => !1 NodeCreated /a/b/c; /a/b/c
         2: set /a/b/c x              => !1 NodeDataChanged /a/b/c; v1
         2: delete /a/b/c             => !1 NodeDeleted /a/b/c; ok
         2: create /ab                => /ab
         # a separate child watch works independently
         1: ls -w /a                  => [b]
         2: delete /a/b               => !1 NodeDeleted /a/b; !1 NodeChildrenChanged /a; ok",
    );
}

#[test]
fn rule_10_watches_are_removed_by_type() {
    World::new().play(
        "1: create /a                               => /a
         1: check-watches Any /a                    => false
         1: remove-watches Any /a                   => false
         1: get -w /a                               => 
         1: ls -w /a                                => []
         1: add-watch /a                            => ok
         1: add-watch -r /a                         => ok
         1: check-watches Data /a                   => true
         2: check-watches Data /a                   => false
         1: remove-watches Data /a                  => true
         1: remove-watches Data /a                  => false
         1: check-watches Children /a               => true
         1: remove-watches PersistentRecursive /a   => true
         1: check-watches Persistent /a             => true
         1: remove-watches Children /a              => true
         2: create /a/x                             => !1 NodeChildrenChanged /a; /a/x
         1: remove-watches Any /a                   => true
         2: delete /a/x                             => ok
         2: delete /a                               => ok",
    );
}

#[test]
fn rule_11_a_reconnecting_client_catches_up() {
    World::new().play(
        "1: create /same              => /same
         1: create /set               => /set
         1: create /list              => /list
         2: set /set x                => v1
         2: create /list/x            => /list/x
         1: set-watches 6 data:/same data:/set data:/gone exist:/same exist:/none child:/same child:/list child:/gone \
                  persistent:/p recursive:/r => !1 NodeDataChanged /set; !1 NodeDeleted /gone; !1 NodeCreated /same; \
                  !1 NodeChildrenChanged /list; !1 NodeDeleted /gone; ok
         # watches that did not fire are registered again
         2: set /same x               => !1 NodeDataChanged /same; v1
         2: create /same/y            => !1 NodeChildrenChanged /same; /same/y
         2: create /none              => !1 NodeCreated /none; /none
         2: set /set x                => v2
         2: create /p                 => !1 NodeCreated /p; /p
         2: create /r                 => !1 NodeCreated /r; /r
         2: create /r/x               => !1 NodeCreated /r/x; /r/x",
    );
}

#[test]
fn rule_11_pzxid_reveals_the_deletion_of_a_child() {
    World::new().play(
        "1: create /a                 => /a
         1: create /a/b               => /a/b
         2: delete /a/b               => ok
         1: set-watches 5 child:/a    => !1 NodeChildrenChanged /a; ok",
    );
}

#[test]
fn rule_11_catching_up_withholds_events_of_unreadable_nodes() {
    World::new().play(
        "1: auth u:p                                        => ok
         1: create /a x auth::rwcda                         => /a
         2: set-watches 0 data:/a exist:/a child:/a         => ok
         2: check-watches Any /a                            => false",
    );
}

#[test]
fn watches_are_bounded() {
    let limits = WatchLimits { paths_per_watcher_max: 2, paths_max: 3 };
    let mut table = WatchTable::new(limits, 1);
    let (a, b) = (WatcherId(1), WatcherId(2));
    table.add("/1", WatchMode::Data, a).unwrap();
    table.add("/1", WatchMode::Children, a).unwrap();
    table.add("/2", WatchMode::Data, a).unwrap();
    assert_eq!(table.add("/3", WatchMode::Data, a), Err(WatchLimitReached::OfWatcher(2)));
    table.add("/2", WatchMode::PersistentRecursive, a).expect("the path is watched already");
    table.add("/3", WatchMode::Data, b).unwrap();
    assert_eq!(table.add("/4", WatchMode::Data, b), Err(WatchLimitReached::OfServer(3)));
    table.drop_watcher(a);
    table.add("/4", WatchMode::Data, b).expect("there is space again");
    table.check();
}

#[test]
fn many_watchers_of_one_path_share_one_frame() {
    let mut table = WatchTable::new(WatchLimits::NONE, 1);
    for watcher in 0..100 {
        table.add("/a", WatchMode::Data, WatcherId(watcher)).unwrap();
        table.add("/a", WatchMode::Children, WatcherId(watcher)).unwrap();
    }
    table.check();
    assert_eq!(table.watch_count(), 200);
    assert_eq!(table.summary(), state::watch::WatchSummary { watchers: 100, paths: 1, watches: 100 });
    let mut notified = Vec::new();
    let (kind, acl, parent_acl) = (ChangeKind::Deleted, OPEN_BYTES, OPEN_BYTES);
    let change = Change { kind, path: "/a", zxid: 1, acl, parent_acl, grants: None };
    table.change(&change, &mut |watcher, event| notified.push((watcher.0, event.frame.clone())));
    assert!(notified.iter().map(|(watcher, _)| *watcher).eq(0..100), "each once, in order");
    assert!(notified.iter().all(|(_, frame)| std::sync::Arc::ptr_eq(frame, &notified[0].1)));
    assert!(table.is_empty());
    table.check();
}

#[test]
fn watches_are_listed_piece_by_piece() {
    let mut table = WatchTable::new(WatchLimits::NONE, 1);
    for (path, watcher) in [("/b", 1), ("/a", 1), ("/a", 2)] {
        table.add(path, WatchMode::Data, WatcherId(watcher)).unwrap();
    }
    table.add("/only-children", WatchMode::Children, WatcherId(3)).unwrap();
    for paths_max in 1..5 {
        let (mut pairs, mut cursor, mut pieces) = (Vec::new(), Some(0), 0);
        while let Some(from) = cursor {
            cursor = table.pairs_from(from, paths_max, &mut |path, watcher| {
                pairs.push((path.to_owned(), watcher.0));
            });
            pieces += 1;
        }
        pairs.sort();
        assert_eq!(pairs, [("/a".to_owned(), 1), ("/a".to_owned(), 2), ("/b".to_owned(), 1)]);
        assert_eq!(pieces, 3usize.div_ceil(paths_max), "a piece has at most {paths_max} paths");
    }
    assert_eq!(table.paths_of(WatcherId(3)), 1);
}

/// `srvr`, `mntr` and every scrape read these numbers, and used to count and sort the whole table
/// for them, during which no client could be notified of a change. They are maintained now, so they
/// must be right after any history.
#[test]
fn the_counts_of_the_table_are_right_after_any_history() {
    const MODES: [WatchMode; 4] =
        [WatchMode::Data, WatchMode::Children, WatchMode::Persistent, WatchMode::PersistentRecursive];
    let mut random = 1u64;
    let mut below = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let mut table = WatchTable::new(WatchLimits::NONE, 1);
    for step in 0..20_000 {
        // One path with many watchers, which are stored differently, among paths with few.
        let path = format!("/{}", below(20).saturating_sub(12));
        let watcher = WatcherId(below(60));
        match below(20) {
            0..13 => table.add(&path, MODES[below(4) as usize], watcher).unwrap(),
            13..17 => drop(table.remove(&path, WatcherType::Any, watcher)),
            17 => table.drop_watcher(watcher),
            _ => {
                let kind = if below(4) == 0 { ChangeKind::Deleted } else { ChangeKind::DataChanged };
                let (acl, parent_acl) = (OPEN_BYTES, OPEN_BYTES);
                let change = Change { kind, path: &path, zxid: 1, acl, parent_acl, grants: None };
                table.change(&change, &mut |_, _| {});
            }
        }
        if step % 50 == 0 {
            table.check();
        }
    }
    let (mut paths, mut watchers) = (BTreeSet::new(), BTreeSet::new());
    table.pairs_from(0, usize::MAX, &mut |path, watcher| {
        paths.insert(path.to_owned());
        watchers.insert(watcher);
    });
    let summary = table.summary();
    assert_eq!((summary.paths, summary.watchers), (paths.len(), watchers.len()));
    assert!(summary.paths > 5 && summary.watchers > 20, "some watches remain");
}

/// Regression: a recursive watch anywhere made every change look up all ancestors of its path, each
/// from the start of the path. That took quadratic time in the depth, minutes for this path, during
/// which no client was served.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads the clock; the table does not")]
fn matching_a_deep_change_with_recursive_watches_takes_little_time() {
    let deep = "/d".repeat(1_000_000);
    let mut table = WatchTable::new(WatchLimits::NONE, 1);
    for path in ["/", "/d/d", "/d/e", "/e/d/d", &deep[..1000], &deep] {
        table.add(path, WatchMode::PersistentRecursive, WatcherId(path.len() as u64)).unwrap();
    }
    let mut notified = Vec::new();
    let begun = std::time::Instant::now();
    let (kind, acl, parent_acl) = (ChangeKind::DataChanged, OPEN_BYTES, OPEN_BYTES);
    let change = Change { kind, path: &deep, zxid: 1, acl, parent_acl, grants: None };
    table.change(&change, &mut |watcher, _| notified.push(watcher.0));
    let took = begun.elapsed();
    assert_eq!(notified, [2_000_000, 1000, 4, 1], "from the node upwards");
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
}
