//! kazoo, the Python client, with its recipes.

use ostler_tests::client::{Subject, install, run, source};

fn talk_to(subject: Option<Subject>) {
    let (Some(python), Some(subject)) = (install("python", &["python3"]), subject) else { return };
    run(&python, &[source("python").join("client.py").to_str().expect("a printable path")], subject);
}

#[test]
fn kazoo_cannot_tell_the_server_from_zookeeper() {
    talk_to(Subject::one());
}

#[test]
fn kazoo_survives_the_member_it_is_connected_to() {
    talk_to(Subject::three());
}
