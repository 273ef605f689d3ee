//! A fixed part of the random stress test, for either engine. The example `stress` runs any number
//! of seeds.

use consensus::conformance::stress;
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;

/// The first seeds, and those that once found a bug:
/// - 300622: a Paxos proposer took over a long log one small part at a time, and the group stalled
///   meanwhile.
fn seeds() -> impl Iterator<Item = u64> {
    (0..250).chain([300_622])
}

#[test]
fn raft_recovers_from_any_mix_of_faults() {
    seeds().for_each(|seed| stress(&|settings, start| Box::new(RaftEngine::new(settings, start)), seed));
}

#[test]
fn paxos_recovers_from_any_mix_of_faults() {
    seeds().for_each(|seed| stress(&|settings, start| Box::new(PaxosEngine::new(settings, start)), seed));
}
