//! A fixed list of seeds for every test run, and a proof that a run is a function of its seed.

use server::config::EngineKind;
use sim::faults::Fault;
use sim::plan::Plan;
use sim::world::run;

/// Seeds per engine.
const SEEDS: u64 = 120;

fn check_seeds(engine: EngineKind) {
    for seed in 1..=SEEDS {
        let outcome = run(&Plan::new(seed, engine), false);
        if let Some(violation) = outcome.violation {
            panic!("seed {seed} {engine}: {violation}");
        }
        assert!(outcome.replies > 0, "seed {seed} {engine}: no client was served");
    }
}

#[test]
fn every_guarantee_holds_with_raft() {
    check_seeds(EngineKind::Raft);
}

#[test]
fn every_guarantee_holds_with_paxos() {
    check_seeds(EngineKind::Paxos);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for engine in [EngineKind::Raft, EngineKind::Paxos] {
        for seed in 1..=4 {
            let fingerprint = || run(&Plan::new(seed, engine), false).fingerprint;
            assert_eq!(fingerprint(), fingerprint(), "seed {seed} {engine} gave two different runs");
        }
    }
}

/// The disk is one that all members share, and stalls for less time than clients are served without
/// a leader.
#[test]
fn a_short_stall_of_a_shared_disk_causes_no_election() {
    for engine in [EngineKind::Raft, EngineKind::Paxos] {
        for seed in 1..=30 {
            let mut plan = Plan::new(seed, engine);
            plan.faults.clear();
            let calm = run(&plan, false);
            let stall = Fault::DiskStall { target: None, for_us: 600_000 };
            plan.faults = (2..8).map(|second| (second * 1_000_000, stall.clone())).collect();
            let stalled = run(&plan, false);
            assert_eq!(stalled.violation.as_ref().map(ToString::to_string), None, "seed {seed} {engine}");
            // Servers that join and leave may cause leadership transfers.
            if !plan.reconfigures {
                assert_eq!(stalled.leaderships, calm.leaderships, "seed {seed} {engine}");
            }
        }
    }
}
