//! ZooKeeper's own Java client, and Curator with its recipes on top of it.

use std::path::Path;

use ostler_tests::client::{Subject, install, run};
use ostler_tests::jaas::{self, Jaas};
use ostler_tests::process::Kind;

fn talk_to(subject: impl Fn() -> Option<Subject>) {
    let Some(folder) = install("java", &["java", "javac", "mvn"]) else { return };
    for program in ["Plain", "Recipes"] {
        let Some(subject) = subject() else { return };
        java(&folder, &[], program, subject);
    }
}

#[test]
fn java_clients_cannot_tell_the_server_from_zookeeper() {
    talk_to(Subject::one);
}

#[test]
fn java_clients_survive_the_member_they_are_connected_to() {
    talk_to(Subject::three);
}

#[test]
fn java_clients_authenticate_by_sasl() {
    let Some(folder) = install("java", &["java", "javac", "mvn"]) else { return };
    let jaas = Jaas::write();
    let Some(server) = jaas.start(Kind::under_test(), &[]) else { return };
    let file = format!("-D{}={}", jaas::FILE, jaas.path().display());
    // In this mode, on by default, the client knows no DIGEST-MD5.
    java(&folder, &["-Dzookeeper.fips-mode=false", &file], "Sasl", Subject::One(server));
}

fn java(folder: &Path, properties: &[&str], program: &str, subject: Subject) {
    let class_path = format!("{0}/classes:{0}/lib/*", folder.display());
    let quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
    // These programs are short: more time goes into starting them than into running them.
    let small = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", quiet];
    let arguments = [&small[..], properties, &["-cp", &class_path, program]].concat();
    run(Path::new("java"), &arguments, subject);
}
