//! Our own client library against the server under test, which may be Apache ZooKeeper
//! (`OSTLER_TEST_SERVER=zookeeper`).

use ostler_tests::client::{Subject, run};
use ostler_tests::process::example;

/// `crates/client/examples/tour.rs`, which `cargo test` has built.
fn tour(subject: Option<Subject>) {
    let Some(subject) = subject else { return };
    run(&example("tour"), &[], subject);
}

#[test]
fn our_client_uses_all_it_has_at_one_server() {
    tour(Subject::one());
}

#[test]
fn our_client_uses_all_it_has_at_three_and_survives_the_loss_of_its_own() {
    tour(Subject::three());
}
