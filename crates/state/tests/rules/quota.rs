//! Quotas: rule 44 of COMPATIBILITY.md.

use crate::world::World;
use state::command::Features;

const SET_UP: &str = "
    1: create /a xx                                              => /a
    1: create /a/b yyy                                           => /a/b
    1: create /zookeeper/quota/a                                 => /zookeeper/quota/a";

#[test]
fn rule_44_stats_count_the_root_of_the_quota_too() {
    let mut world = World::new();
    world.play(SET_UP);
    world.play(
        "1: create /zookeeper/quota/a/zookeeper_limits count=9,bytes=99 => /zookeeper/quota/a/zookeeper_limits
         1: create /zookeeper/quota/a/zookeeper_stats count=0,bytes=0   => /zookeeper/quota/a/zookeeper_stats
         1: get /zookeeper/quota/a/zookeeper_stats  => count=2,bytes=5
         1: create /a/c zzzz                        => /a/c
         1: get /zookeeper/quota/a/zookeeper_stats  => count=3,bytes=9
         1: set /a/c z                              => v1
         1: get /zookeeper/quota/a/zookeeper_stats  => count=3,bytes=6
         1: multi delete /a/c; set /a null          => ok | v1
         1: get /zookeeper/quota/a/zookeeper_stats  => count=2,bytes=3
         2: create -e /a/e xx                       => /a/e
         1: get /zookeeper/quota/a/zookeeper_stats  => count=3,bytes=5
         2: close                                   => ok
         1: get /zookeeper/quota/a/zookeeper_stats  => count=2,bytes=3
         1: create /ab                              => /ab
         # only the text is new: neither version nor zxid of the node
         1: exists /zookeeper/quota/a/zookeeper_stats => z8/8/8 v0/0/0 o0 l15 n0",
    );
}

#[test]
fn rule_44_only_hard_limits_refuse() {
    let mut world = World::new();
    world.play(SET_UP);
    world.play(
        "1: create /zookeeper/quota/a/zookeeper_limits count=1,bytes=1=;byteHardLimit=10;countHardLimit=3 => \
                  /zookeeper/quota/a/zookeeper_limits
         1: create /a/free xxxxxxxxxxxx             => /a/free
         1: delete /a/free                          => ok
         # without stats there is nothing to compare with
         1: create /zookeeper/quota/a/zookeeper_stats count=0,bytes=0   => /zookeeper/quota/a/zookeeper_stats
         1: create /a/c xxxxxx                      => QuotaExceeded
         1: create /a/c xxx                         => /a/c
         1: create /a/d                             => QuotaExceeded
         1: create /a/b                             => NodeExists
         1: set /a/c xxxxxx 9                       => QuotaExceeded
         1: set /a/c xx 9                           => BadVersion
         1: multi set /a/c xxxxxxxx                 => QuotaExceeded
         1: set /zookeeper/quota/a/zookeeper_limits count=-1,bytes=-1 => v1
         1: create /a/d xxxxxxxxxxxx                => /a/d",
    );
    let mut world = World::new();
    world.features = Features::NONE;
    world.play(SET_UP);
    world.play(
        "1: create /zookeeper/quota/a/zookeeper_limits countHardLimit=1 => /zookeeper/quota/a/zookeeper_limits
         1: create /zookeeper/quota/a/zookeeper_stats               => /zookeeper/quota/a/zookeeper_stats
         1: create /a/c                                             => /a/c",
    );
}

#[test]
fn rule_44_only_the_deepest_quota_counts() {
    let mut world = World::new();
    world.play(SET_UP);
    world.play(
        "1: create /zookeeper/quota/a/b                             => /zookeeper/quota/a/b
         1: create /zookeeper/quota/a/zookeeper_limits count=1      => /zookeeper/quota/a/zookeeper_limits
         1: create /zookeeper/quota/a/zookeeper_stats               => /zookeeper/quota/a/zookeeper_stats
         1: create /zookeeper/quota/a/b/zookeeper_limits count=1    => /zookeeper/quota/a/b/zookeeper_limits
         1: create /zookeeper/quota/a/b/zookeeper_stats             => /zookeeper/quota/a/b/zookeeper_stats
         1: create /a/b/c                                           => /a/b/c
         1: get /zookeeper/quota/a/zookeeper_stats                  => count=2,bytes=5
         1: get /zookeeper/quota/a/b/zookeeper_stats                => count=2,bytes=3
         1: delete /zookeeper/quota/a/b/zookeeper_limits            => ok
         1: create /a/b/d                                           => /a/b/d
         1: get /zookeeper/quota/a/zookeeper_stats                  => count=3,bytes=5
         1: get /zookeeper/quota/a/b/zookeeper_stats                => count=2,bytes=3",
    );
}

#[test]
fn rule_44_stats_set_by_a_client_are_shown_until_the_next_change() {
    let mut world = World::new();
    world.play(SET_UP);
    world.play(
        "1: create /zookeeper/quota/a/zookeeper_limits count=1      => /zookeeper/quota/a/zookeeper_limits
         1: create /zookeeper/quota/a/zookeeper_stats               => /zookeeper/quota/a/zookeeper_stats
         1: set /zookeeper/quota/a/zookeeper_stats bytes=7,count=5  => v1
         1: get /zookeeper/quota/a/zookeeper_stats                  => bytes=7,count=5
         1: delete /a/b                                             => ok
         1: get /zookeeper/quota/a/zookeeper_stats                  => count=4,bytes=4",
    );
}

#[test]
fn rule_44_unreadable_quota_nodes_are_refused() {
    World::new().play(
        "1: create /zookeeper/quota/zookeeper_limits count=1        => BadArguments
         1: create /zookeeper/quota/a                               => /zookeeper/quota/a
         1: create /zookeeper/quota/a/zookeeper_limits garbage      => BadArguments
         1: create /zookeeper/quota/a/zookeeper_limits              => /zookeeper/quota/a/zookeeper_limits
         1: set /zookeeper/quota/a/zookeeper_limits count=many      => BadArguments",
    );
}

#[test]
fn rule_44_a_name_that_begins_like_the_quota_root_is_no_quota() {
    World::new().play(
        "1: create /s xx                                => /s
         1: create /zookeeper/quotas                    => /zookeeper/quotas
         1: create /zookeeper/quotas/zookeeper_limits garbage => /zookeeper/quotas/zookeeper_limits
         1: create /zookeeper/quotas/zookeeper_stats garbage  => /zookeeper/quotas/zookeeper_stats
         1: get /zookeeper/quotas/zookeeper_stats       => garbage
         1: set /zookeeper/quotas/zookeeper_stats count=1 => v1
         1: get /zookeeper/quotas/zookeeper_stats       => count=1
         1: multi delete /zookeeper/quotas/zookeeper_limits; delete /zookeeper/quotas/zookeeper_stats => ok | ok",
    );
}
