//! The Paxos engine passes the conformance suite.

use consensus::conformance::CASES;
use consensus::paxos::PaxosEngine;

#[test]
fn paxos_conforms() {
    for case in CASES {
        println!("{}", case.name);
        case.run(&|settings, start| Box::new(PaxosEngine::new(settings, start)));
    }
}
