//! A fixed list of seeds for every test run, and proof that a seed is a run.

use server::config::EngineKind;
use sim::faults::Fault;
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

/// The disk is one that all members use, and stands still for less than clients are served without a leader.
#[test]
fn a_disk_that_stands_still_for_a_while_costs_no_election() {
    for engine in [EngineKind::Raft, EngineKind::Paxos] {
        for seed in 1..=30 {
            let mut plan = Plan::new(seed, engine);
            plan.faults.clear();
            let calm = run(&plan, false);
            let stall = Fault::DiskStall { target: None, for_us: 600_000 };
            plan.faults = (2..8).map(|second| (second * 1_000_000, stall.clone())).collect();
            let stalled = run(&plan, false);
            assert_eq!(stalled.violation.as_ref().map(ToString::to_string), None, "seed {seed} {engine}");
            // Servers that come and go may make others hand over.
            if !plan.reconfigures {
                assert_eq!(stalled.leaderships, calm.leaderships, "seed {seed} {engine}");
            }
        }
    }
}
