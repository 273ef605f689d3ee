//! go-zookeeper, the Go client, with its lock.

use ostler_tests::client::{Subject, install, run};

fn talk_to(subject: Option<Subject>) {
    let (Some(program), Some(subject)) = (install("go", &["go"]), subject) else { return };
    run(&program, &[], subject);
}

#[test]
fn go_zookeeper_cannot_tell_the_server_from_zookeeper() {
    talk_to(Subject::one());
}

#[test]
fn go_zookeeper_survives_the_member_it_is_connected_to() {
    talk_to(Subject::three());
}
