//! A Byzantine member stops no other: the short form of the fuzz target of that name, for either
//! engine.

use consensus::conformance::{Make, mad_member};
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;

/// Decisions of one run, deterministic in the seed.
fn script(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let hash = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 56) as u8
    };
    (0..6_000).map(|_| next()).collect()
}

fn play(make: &Make<'_>) {
    for seed in 0..400 {
        println!("seed {seed}");
        mad_member(make, &script(seed));
    }
}

#[test]
fn raft_members_survive_a_byzantine_member() {
    play(&|settings, start| Box::new(RaftEngine::new(settings, start)));
}

#[test]
fn paxos_members_survive_a_byzantine_member() {
    play(&|settings, start| Box::new(PaxosEngine::new(settings, start)));
}
