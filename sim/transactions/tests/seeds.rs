//! Fixed seeds for every test run: what each protocol promises, and what it cannot.

use sim_transactions::judge::{AGREE, ANSWERED, ATOMIC, NO_BLOCKING, Violation};
use sim_transactions::plan::{Fault, Plan, Protocol};
use sim_transactions::run;

/// Seeds per protocol.
const SEEDS: u64 = 3_000;

/// The first broken guarantee of this plan under another protocol.
fn violation(plan: &Plan, protocol: Protocol) -> Option<Violation> {
    run(&Plan { protocol, ..plan.clone() }, false).violation
}

fn check_seeds(protocol: Protocol) {
    let mut committed = 0;
    for seed in 1..=SEEDS {
        let outcome = run(&Plan::new(seed, protocol), false);
        if let Some(violation) = outcome.violation {
            panic!("seed {seed} {}: {violation}", protocol.name());
        }
        committed += outcome.committed;
    }
    assert!(committed > SEEDS as usize, "few transactions committed: {committed}");
}

#[test]
fn two_phase_commit_with_a_replicated_log_neither_blocks_nor_diverges() {
    check_seeds(Protocol::TwoPhase);
}

#[test]
fn three_phase_commit_neither_blocks_nor_diverges_while_only_processes_fail() {
    check_seeds(Protocol::ThreePhase);
}

#[test]
fn two_phase_commit_with_a_local_log_blocks_and_never_diverges() {
    let mut blocked = 0;
    for seed in 1..=SEEDS {
        if let Some(violation) = run(&Plan::new(seed, Protocol::TwoPhaseUnreplicated), false).violation {
            assert_eq!(violation.guarantee, NO_BLOCKING, "seed {seed}: {violation}");
            blocked += 1;
        }
    }
    assert!(blocked > 0, "no seed shows that it blocks");
}

/// The coordinator crashes between votes and decision, and stays away.
const BLOCKING: [u64; 3] = [191, 1_265, 6_170];

#[test]
fn a_crash_that_blocks_two_phase_commit_with_a_local_log_blocks_neither_of_the_others() {
    for seed in BLOCKING {
        let plan = Plan::new(seed, Protocol::ThreePhase);
        let blocked = violation(&plan, Protocol::TwoPhaseUnreplicated).expect("it blocks");
        assert_eq!(blocked.guarantee, NO_BLOCKING, "seed {seed}: {blocked}");
        assert_eq!(violation(&plan, Protocol::ThreePhase), None, "seed {seed}");
        assert_eq!(violation(&plan, Protocol::TwoPhase), None, "seed {seed}");
    }
}

/// A partition while some agents are pre-committed and others are not.
const SPLITTING: [u64; 3] = [5_407, 6_358, 8_273];

#[test]
fn a_partition_splits_three_phase_commit_and_not_two_phase_commit() {
    for seed in SPLITTING {
        let plan = Plan::new(seed, Protocol::ThreePhasePartitions);
        let split = violation(&plan, Protocol::ThreePhasePartitions).expect("it splits");
        assert!([ATOMIC, ANSWERED, AGREE].contains(&split.guarantee), "seed {seed}: {split}");
        assert_eq!(violation(&plan, Protocol::TwoPhase), None, "seed {seed}");
        let mut whole = plan.clone();
        whole.faults.retain(|(_, fault)| !matches!(fault, Fault::Partition { .. }));
        assert_eq!(violation(&whole, Protocol::ThreePhase), None, "seed {seed} without the partition");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for (protocol, name) in Protocol::ALL {
        for seed in 1..=50 {
            let plan = Plan::new(seed, protocol);
            assert_eq!(run(&plan, false), run(&plan, false), "seed {seed} {name}");
        }
    }
}
