//! Ensembles of real servers under faults: what was promised to clients holds.

use ostler_tests::ensemble::{Engine, Ensemble};
use ostler_tests::session::{Session, create, get_data};

#[test]
fn a_wiped_disk_is_filled_again_and_counts() {
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = Ensemble::start(engine, 3, &[]);
        let leader = ensemble.await_leader();
        let others: Vec<u8> = ensemble.servers().into_iter().filter(|server| *server != leader).collect();
        let mut session = Session::open(ensemble.address(leader), 20_000).expect("a session");
        session.must(&create("/kept", b"data", 0));
        ensemble.kill(others[0]);
        ensemble.wipe(others[0]);
        ensemble.launch(others[0]);
        ensemble.await_serving();
        ensemble.await_votes();
        ensemble.kill(leader);
        ensemble.await_serving();
        let mut session = Session::open(ensemble.address(others[0]), 20_000).expect("a session");
        assert_eq!(session.must(&get_data("/kept")).buffer(), b"data", "{engine:?}");
    }
}
