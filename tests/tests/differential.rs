//! Random conversations with Ostler and with Apache ZooKeeper: every reply and every watch event
//! must be the same.
//!
//! `OSTLER_DIFF_SEEDS=N` speaks N conversations instead of the short form's; `OSTLER_DIFF_FIRST` is
//! the first seed, to repeat a reported one. What this test has found is kept in
//! DIFFERENCES.md beside it.

use std::net::SocketAddr;

use ostler_tests::certificates::{Certificates, Store};
use ostler_tests::compare::{Who, compare};
use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::jaas::Jaas;
use ostler_tests::process::{Kind, SUPER_DIGEST, Server, have_tools};

/// The short form's size, chosen to end within a minute.
const SEEDS: u64 = 10;
const STEPS: usize = 200;

/// With an ensemble, by each engine.
const SEEDS_OF_ENSEMBLE: u64 = 4;

/// About names: a failed login costs a pause and a connection.
const SEEDS_OF_NAMES: u64 = 4;

/// Ends both servers' own clockwork for the length of a test: containers go when a scan finds them
/// empty.
const PROPERTIES: [(&str, &str); 1] = [("znode.container.checkIntervalMs", "86400000")];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

fn all_seeds_agree(kinds: [Kind; 2], properties: &[(&str, &str)]) {
    let [Some(first), Some(second)] = kinds.map(|kind| Server::start_with(kind, properties)) else { return };
    let servers: [&[SocketAddr]; 2] = [&[first.address()], &[second.address()]];
    seeds_agree(SEEDS, servers, &Who::Anyone, &format!("{kinds:?}"));
}

fn seeds_agree(count: u64, servers: [&[SocketAddr]; 2], who: &Who, subjects: &str) {
    let start = number("OSTLER_DIFF_FIRST", 0);
    for seed in start..start + number("OSTLER_DIFF_SEEDS", count) {
        if let Some(difference) = compare(seed, STEPS, servers, who) {
            panic!("{subjects}, {difference}");
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

/// Two servers with users of SASL and with TLS, and clients with certificates.
fn named_seeds_agree(kinds: [Kind; 2]) {
    if !have_tools(&["openssl"]) {
        return;
    }
    let (jaas, certificates) = (Jaas::write(), Certificates::new());
    let server = "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n";
    certificates.issue("server", "/O=Ostler/CN=localhost", server);
    for name in ["ann", "bob"] {
        certificates.issue(name, &format!("/O=Ostler/CN={name}"), "extendedKeyUsage=clientAuth\n");
    }
    let tls = certificates.server_settings("server", Store::Pem);
    let tls = tls.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    // Ostler's own limit of failed logins.
    let settings: Vec<_> = tls.chain(PROPERTIES).chain([("ostler.failedLoginsPerMinute", "0")]).collect();
    let [Some(first), Some(second)] = kinds.map(|kind| jaas.start(kind, &settings)) else { return };
    let servers: [&[SocketAddr]; 2] = [&[first.address()], &[second.address()]];
    let who = Who::Named(["ann", "bob"].map(|name| certificates.client(name)).to_vec());
    seeds_agree(SEEDS_OF_NAMES, servers, &who, &format!("{kinds:?} with names"));
}

/// Identities of SASL and of certificates, in ACLs, in whoAmI and in what `auth` stands for.
#[test]
fn ostler_knows_names_as_zookeeper_does() {
    named_seeds_agree([Kind::ZooKeeper, Kind::Ostler]);
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
        let subjects = format!("ZooKeeper and three members by {engine:?}");
        let servers: [&[SocketAddr]; 2] = [&[zookeeper.address()], &ensemble.addresses()];
        seeds_agree(SEEDS_OF_ENSEMBLE, servers, &Who::Anyone, &subjects);
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
    named_seeds_agree([Kind::ZooKeeper, Kind::ZooKeeper]);
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
    let servers: [&[SocketAddr]; 2] = [&[first.address()], &[second.address()]];
    let difference = compare(0, STEPS, servers, &Who::Anyone).expect("a difference").to_string();
    println!("{difference}");
    assert!(difference.contains("op: 21"), "{difference}");
    assert!(difference.lines().count() < 12, "not made small:\n{difference}");
}
