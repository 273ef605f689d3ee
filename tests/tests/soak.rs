//! No election without a cause: under full load, for any length of time, the leader keeps leading.
//!
//! Three members and the load generator share the machine, which is what makes threads wait for
//! their turn; snapshots are written all the while. Nothing else happens, so there is no reason for
//! an election, however long it takes.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::process::ostler_binary;

/// How long each engine is under load, unless `OSTLER_SOAK_SECONDS` says otherwise.
const SECONDS: u64 = 4;

/// Writes until the next snapshot; so few that they follow each other.
const SETTINGS: [&str; 1] = ["snapCount=20000"];

/// One engine at a time has the machine.
static MACHINE: Mutex<()> = Mutex::new(());

fn nobody_stands_for_election(engine: Engine) {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds = std::env::var("OSTLER_SOAK_SECONDS").ok();
    let seconds: u64 = seconds.map_or(SECONDS, |text| text.parse().expect("OSTLER_SOAK_SECONDS is a number"));
    let mut ensemble = Ensemble::start(engine, 3, &SETTINGS);
    let leader = ensemble.await_leader();
    let term = ensemble.term().expect("a term");
    let addresses: Vec<String> = ensemble.addresses().iter().map(ToString::to_string).collect();
    let mut bench = Command::new(ostler_binary());
    bench.args(["bench", "set", "--depth", "16", "--warmup", "1", "--server", &addresses.join(",")]);
    bench.args(["--seconds", &seconds.to_string()]);
    let mut load = bench.stdout(Stdio::piped()).spawn().expect("ostler bench");
    let begun = Instant::now();
    while load.try_wait().expect("ostler bench").is_none() {
        let now = ensemble.term();
        assert!(
            now.is_none_or(|now| now == term),
            "{engine:?}: an election after {:?} of load: the term was {term}, and is {now:?}",
            begun.elapsed()
        );
        ensemble.assert_alive();
        std::thread::sleep(Duration::from_millis(500));
    }
    let output = load.wait_with_output().expect("ostler bench");
    println!("{engine:?}, {seconds} s:\n{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{engine:?}: no request failed");
    assert_eq!((ensemble.leader(), ensemble.term()), (Some(leader), Some(term)), "{engine:?}");
    for server in ensemble.servers() {
        let snapshots = ensemble.count(server, "zk_cnt_snapshottime").expect("it serves");
        println!("server.{server} wrote {snapshots} snapshots");
        assert!(snapshots > 0, "{engine:?}: server.{server} wrote snapshots meanwhile");
    }
}

#[test]
fn full_load_makes_no_election_with_raft() {
    nobody_stands_for_election(Engine::Raft);
}

#[test]
fn full_load_makes_no_election_with_paxos() {
    nobody_stands_for_election(Engine::Paxos);
}
