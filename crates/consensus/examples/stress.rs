//! Runs the random stress of the conformance suite for as many seeds as wanted: `stress raft|paxos FIRST COUNT`.
//!
//! A run that fails names its seed; `stress ENGINE SEED 1` repeats it.

use consensus::conformance::stress;
use consensus::paxos::PaxosEngine;
use consensus::raft::RaftEngine;

fn main() {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let numbers = arguments.iter().skip(1).map(|number| number.parse::<u64>().expect("a number"));
    let [first, count] = numbers.collect::<Vec<_>>()[..] else {
        panic!("stress raft|paxos FIRST COUNT");
    };
    for seed in first..first + count {
        match arguments[0].as_str() {
            "raft" => stress(&|settings, start| Box::new(RaftEngine::new(settings, start)), seed),
            "paxos" => stress(&|settings, start| Box::new(PaxosEngine::new(settings, start)), seed),
            other => panic!("no engine is called {other}"),
        }
    }
    println!("{count} seeds from {first} on hold");
}
