//! The Raft engine passes the conformance suite.

use consensus::conformance::CASES;
use consensus::raft::RaftEngine;

#[test]
fn raft_conforms() {
    for case in CASES {
        println!("{}", case.name);
        case.run(&|settings, start| Box::new(RaftEngine::new(settings, start)));
    }
}
