//! A fixed part of the random stress, for either engine. The example `stress` runs any number of seeds.

use consensus::conformance::stress;
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;

const SEEDS: std::ops::Range<u64> = 0..250;

#[test]
fn raft_recovers_from_any_mix_of_faults() {
    SEEDS.for_each(|seed| stress(&|settings, start| Box::new(RaftEngine::new(settings, start)), seed));
}

#[test]
fn paxos_recovers_from_any_mix_of_faults() {
    SEEDS.for_each(|seed| stress(&|settings, start| Box::new(PaxosEngine::new(settings, start)), seed));
}
