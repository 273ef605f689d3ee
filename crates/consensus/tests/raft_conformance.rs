//! Raft keeps what an engine promises.

use consensus::conformance::CASES;
use consensus::raft::RaftEngine;

#[test]
fn raft_keeps_every_promise() {
    for case in CASES {
        println!("{}", case.name);
        case.run(&|settings, start| Box::new(RaftEngine::new(settings, start)));
    }
}
