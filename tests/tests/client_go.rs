//! go-zookeeper, the Go client, with its lock.

use ostler_tests::client::{install, run};

#[test]
fn go_zookeeper_cannot_tell_the_server_from_zookeeper() {
    let Some(program) = install("go", &["go"]) else { return };
    run(&program, &[]);
}
