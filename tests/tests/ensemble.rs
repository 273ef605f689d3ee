//! Ensembles of real servers under faults: what was promised to clients holds.

use std::time::{Duration, Instant};

use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::faults::{FAULTS, suffer};
use ostler_tests::generate::Random;
use ostler_tests::history::Answer;
use ostler_tests::linear;
use ostler_tests::load::{Load, prepare};
use ostler_tests::porcupine;
use ostler_tests::session::{Session, create, get_data};
use ostler_tests::verdict::{Tree, difference, has_leftovers, history, judge, tree};

#[test]
fn a_wiped_disk_is_filled_again_and_counts() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = Ensemble::start(engine, 3, &[]);
        let leader = ensemble.await_leader();
        let others: Vec<u8> = ensemble.servers().into_iter().filter(|server| *server != leader).collect();
        let mut session = Session::open(ensemble.address(leader), 20_000).expect("a session");
        session.must(&create("/kept", b"data", 0));
        ensemble.kill(others[0]);
        ensemble.wipe(others[0]);
        ensemble.launch(others[0]);
        ensemble.await_serving();
        ensemble.await_votes();
        ensemble.kill(leader);
        ensemble.await_serving();
        let mut session = Session::open(ensemble.address(others[0]), 20_000).expect("a session");
        assert_eq!(session.must(&get_data("/kept")).buffer(), b"data", "{engine:?}");
    }
}

/// How many of the faults are in the short form, from the begin of their list.
const SHORT: usize = 14;

/// Clients at work, two for each member.
const CLIENTS: usize = 6;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// The faults in the order of the list; in the long form, then any fault at random until the time is over.
fn suffer_all(ensemble: &mut Ensemble, load: &Load, random: &mut Random) {
    let begun = Instant::now();
    let long = number("OSTLER_FAULT_SECONDS").map(Duration::from_secs);
    let count = if long.is_some() { FAULTS.len() } else { SHORT };
    let mut faults: Vec<_> = FAULTS[..count].iter().copied().rev().collect();
    while let Some(fault) = faults.pop().filter(|_| !load.has_failed()) {
        println!("{:?} {fault:?}", begun.elapsed());
        suffer(ensemble, load, fault, random);
        if faults.is_empty() && long.is_some_and(|long| begun.elapsed() < long) {
            faults.push(random.pick(&FAULTS));
        }
    }
}

fn promises_hold(engine: Engine) {
    let seed = number("OSTLER_FAULT_SEED").unwrap_or(1);
    // Snapshots and new segments of the log come often, so that members catch up in every way.
    let settings = ["snapCount=3000", "preAllocSize=4096", "maxSessionTimeout=60000"];
    let mut ensemble = Ensemble::start(engine, 3, &settings);
    prepare(ensemble.address(1));
    let load = Load::start(ensemble.addresses(), CLIENTS, seed);
    suffer_all(&mut ensemble, &load, &mut Random::new(seed));
    let epoch = load.shared.epoch;
    let (evidence, rest) = load.end();
    ensemble.await_that("the ephemerals of lost sessions are gone", |ensemble| {
        std::thread::sleep(Duration::from_millis(300));
        (!has_leftovers(&tree(ensemble.address(1))?, &evidence)).then_some(())
    });
    let trees: Vec<Tree> =
        ensemble.addresses().into_iter().map(|member| tree(member).expect("served")).collect();
    for (number, tree) in trees.iter().enumerate() {
        let difference = difference(&trees[0], tree);
        assert_eq!(difference, None, "members 1 and {} show the same", number + 1);
    }
    drop(rest);
    judge(&trees[0], &evidence);
    let calls = history(ensemble.address(1), &evidence, epoch.elapsed().as_nanos() as u64);
    let unknown = calls.iter().filter(|call| call.answer == Answer::Unknown).count();
    let writes: usize = evidence.iter().map(|known| known.written.len()).sum();
    let expired: u64 = evidence.iter().map(|known| known.expired).sum();
    println!(
        "{engine:?}: {writes} writes, {} calls on registers, {unknown} without an answer; {expired} sessions expired",
        calls.len()
    );
    linear::check(&calls).unwrap_or_else(|broken| panic!("{broken}"));
    if number("OSTLER_FAULT_SECONDS").is_some() {
        porcupine::check(&calls);
    }
}

#[test]
fn promises_hold_with_raft() {
    promises_hold(Engine::Raft);
}

#[test]
fn promises_hold_with_paxos() {
    promises_hold(Engine::Paxos);
}
