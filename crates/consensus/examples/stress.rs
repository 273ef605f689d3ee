//! Runs the random stress test of the conformance suite for any range of seeds:
//! `stress raft|paxos FIRST COUNT`.
//!
//! A failing run prints its seed; `stress ENGINE SEED 1` repeats it.

use consensus::conformance::stress;
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;

fn main() {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let numbers = arguments.iter().skip(1).map(|number| number.parse::<u64>().expect("a number"));
    let [first, count] = numbers.collect::<Vec<_>>()[..] else {
        panic!("usage: stress raft|paxos FIRST COUNT");
    };
    for seed in first..first + count {
        match arguments[0].as_str() {
            "raft" => stress(&|settings, start| Box::new(RaftEngine::new(settings, start)), seed),
            "paxos" => stress(&|settings, start| Box::new(PaxosEngine::new(settings, start)), seed),
            other => panic!("unknown engine {other}: raft or paxos"),
        }
    }
    println!("{count} seeds from {first} passed");
}
