//! Paxos keeps what an engine promises.

use consensus::conformance::CASES;
use consensus::paxos::PaxosEngine;

#[test]
fn paxos_keeps_every_promise() {
    for case in CASES {
        println!("{}", case.name);
        case.run(&|settings, start| Box::new(PaxosEngine::new(settings, start)));
    }
}
