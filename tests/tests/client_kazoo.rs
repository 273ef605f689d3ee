//! kazoo, the Python client, with its recipes.

use ostler_tests::client::{Subject, install, run, source};
use ostler_tests::jaas::Jaas;
use ostler_tests::process::Kind;

fn talk_to(subject: Option<Subject>) {
    run_program("client.py", &[], subject);
}

fn run_program(program: &str, arguments: &[&str], subject: Option<Subject>) {
    let (Some(python), Some(subject)) = (install("python", &["python3"]), subject) else { return };
    let program = source("python").join(program);
    let program = program.to_str().expect("a printable path");
    run(&python, &[&[program], arguments].concat(), subject);
}

#[test]
fn kazoo_cannot_tell_the_server_from_zookeeper() {
    talk_to(Subject::one());
}

#[test]
fn kazoo_survives_the_member_it_is_connected_to() {
    talk_to(Subject::three());
}

#[test]
fn kazoo_authenticates_by_sasl() {
    let jaas = Jaas::write();
    run_program("sasl.py", &[], jaas.start(Kind::under_test(), &[]).map(Subject::One));
}

/// kazoo waits for a challenge for as long as a server answers with nothing.
#[test]
fn kazoo_does_not_wait_for_a_server_without_sasl() {
    if Kind::under_test() == Kind::Ostler {
        run_program("sasl.py", &["without"], Subject::one());
    }
}
