//! A fixed list of seeds for every test run, and proof that a seed is a run.

use server::config::EngineKind;
use sim::plan::Plan;
use sim::world::run;

/// Seeds of each engine.
const SEEDS: u64 = 120;

fn all_is_well(engine: EngineKind) {
    for seed in 1..=SEEDS {
        let outcome = run(&Plan::new(seed, engine), false);
        if let Some(violation) = outcome.violation {
            panic!("seed {seed} {engine}: {violation}");
        }
        assert!(outcome.replies > 0, "seed {seed} {engine}: nobody was served");
    }
}

#[test]
fn every_guarantee_holds_with_raft() {
    all_is_well(EngineKind::Raft);
}

#[test]
fn every_guarantee_holds_with_paxos() {
    all_is_well(EngineKind::Paxos);
}

#[test]
fn a_seed_is_a_run() {
    for engine in [EngineKind::Raft, EngineKind::Paxos] {
        for seed in 1..=4 {
            let fingerprint = || run(&Plan::new(seed, engine), false).fingerprint;
            assert_eq!(fingerprint(), fingerprint(), "seed {seed} {engine} went two ways");
        }
    }
}
