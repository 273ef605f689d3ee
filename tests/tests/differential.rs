//! Random conversations with Ostler and with Apache ZooKeeper: every reply and every watch event
//! must be the same.
//!
//! `OSTLER_DIFF_SEEDS=N` speaks N conversations instead of the short form's; `OSTLER_DIFF_FIRST` is
//! the first seed, to repeat a reported one. What this test has found is kept in
//! DIFFERENCES.md beside it.

use std::net::SocketAddr;

use ostler_tests::compare::compare;
use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::process::{Kind, SUPER_DIGEST, Server};

/// The short form's size, chosen to end within a minute.
const SEEDS: u64 = 20;
const STEPS: usize = 200;

/// With an ensemble, by each engine.
const SEEDS_OF_ENSEMBLE: u64 = 4;

/// Ends both servers' own clockwork for the length of a test: containers go when a scan finds them
/// empty.
const PROPERTIES: [(&str, &str); 1] = [("znode.container.checkIntervalMs", "86400000")];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

fn all_seeds_agree(kinds: [Kind; 2], properties: &[(&str, &str)]) {
    let [Some(first), Some(second)] = kinds.map(|kind| Server::start_with(kind, properties)) else { return };
    seeds_agree(SEEDS, [&[first.address()], &[second.address()]], &format!("{kinds:?}"));
}

fn seeds_agree(count: u64, servers: [&[SocketAddr]; 2], who: &str) {
    let start = number("OSTLER_DIFF_FIRST", 0);
    for seed in start..start + number("OSTLER_DIFF_SEEDS", count) {
        if let Some(difference) = compare(seed, STEPS, servers) {
            panic!("{who}, {difference}");
        }
    }
}

#[test]
fn ostler_answers_as_zookeeper_does() {
    all_seeds_agree([Kind::ZooKeeper, Kind::Ostler], &PROPERTIES);
}

#[test]
fn ostler_refuses_over_quota_as_zookeeper_does() {
    let mut properties = PROPERTIES.to_vec();
    properties.push(("zookeeper.enforceQuota", "true"));
    all_seeds_agree([Kind::ZooKeeper, Kind::Ostler], &properties);
}

/// Sessions on three members are as sessions on one server.
#[test]
fn an_ensemble_answers_as_zookeeper_does() {
    let settings = PROPERTIES.map(|(key, value)| format!("{key}={value}"));
    let digest = format!("DigestAuthenticationProvider.superDigest={SUPER_DIGEST}");
    let settings = ["extendedTypesEnabled=true", &digest, &settings[0]];
    for engine in [Engine::Raft, Engine::Paxos] {
        // Both begin empty: earlier conversations have left their folders in the root.
        let Some(zookeeper) = Server::start_with(Kind::ZooKeeper, &PROPERTIES) else { return };
        let ensemble = Ensemble::start(engine, 3, &settings);
        let who = format!("ZooKeeper and three members by {engine:?}");
        seeds_agree(SEEDS_OF_ENSEMBLE, [&[zookeeper.address()], &ensemble.addresses()], &who);
    }
}

/// The harness's own check: whatever differs between two ZooKeepers is nothing that Ostler could be
/// held to.
#[test]
#[ignore = "checks the harness, not Ostler"]
fn zookeeper_agrees_with_itself() {
    let mut properties = PROPERTIES.to_vec();
    properties.push(("zookeeper.enforceQuota", "true"));
    all_seeds_agree([Kind::ZooKeeper, Kind::ZooKeeper], &PROPERTIES);
    all_seeds_agree([Kind::ZooKeeper, Kind::ZooKeeper], &properties);
}

/// The harness can fail: it tells a ZooKeeper that refuses TTL nodes from one that has them.
#[test]
#[ignore = "checks the harness, not Ostler"]
fn another_setting_is_noticed() {
    let without = [PROPERTIES[0], ("zookeeper.extendedTypesEnabled", "false")];
    let kinds = [(Kind::ZooKeeper, &PROPERTIES[..]), (Kind::ZooKeeper, &without[..])];
    let [Some(first), Some(second)] = kinds.map(|(kind, properties)| Server::start_with(kind, properties))
    else {
        return;
    };
    let difference =
        compare(0, STEPS, [&[first.address()], &[second.address()]]).expect("a difference").to_string();
    println!("{difference}");
    assert!(difference.contains("op: 21"), "{difference}");
    assert!(difference.lines().count() < 12, "not made small:\n{difference}");
}
