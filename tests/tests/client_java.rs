//! ZooKeeper's own Java client, and Curator with its recipes on top of it.

use std::path::Path;

use ostler_tests::client::{Subject, install, run};
use ostler_tests::jaas::{self, Jaas};
use ostler_tests::kdc::{Kdc, REALM, krb5_section};
use ostler_tests::process::{Kind, Server};

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

#[test]
fn java_clients_authenticate_by_kerberos() {
    let Some(folder) = install("java", &["java", "javac", "mvn"]) else { return };
    let Some(kdc) = Kdc::start() else { return };
    let (service, other, bob) =
        (kdc.file("service.keytab"), kdc.file("other.keytab"), kdc.file("bob.keytab"));
    kdc.add("zookeeper/localhost", &service);
    kdc.add("zookeeper/other", &other);
    kdc.add("bob", &bob);
    let sections =
        [("Server", "zookeeper/localhost", &service), ("Bob", "bob", &bob), ("Wrong", "bob", &bob)];
    let jaas: String =
        sections.iter().map(|(name, principal, keytab)| krb5_section(name, principal, keytab)).collect();
    let file = kdc.file("jaas.conf");
    std::fs::write(&file, jaas).expect("write the JAAS file");
    let settings = [
        jaas::PROVIDER,
        (jaas::FILE, file.to_str().expect("a printable path")),
        ("zookeeper.kerberos.removeRealmFromPrincipal", "true"),
    ];
    let server = Server::start_in_environment(kdc.environment(), &settings);
    let service = format!("-Dzookeeper.server.principal=zookeeper/localhost@{REALM}");
    let wrong = format!("-Dwrong.service=zookeeper/other@{REALM}");
    let conf = format!("-Djava.security.krb5.conf={}", kdc.file("krb5.conf").display());
    let file = format!("-D{}={}", jaas::FILE, file.display());
    java(&folder, &[&conf, &file, &service, &wrong, "-Didentity=bob"], "Sasl", Subject::One(server));
}

fn java(folder: &Path, properties: &[&str], program: &str, subject: Subject) {
    let class_path = format!("{0}/classes:{0}/lib/*", folder.display());
    let quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
    // These programs are short: more time goes into starting them than into running them.
    let small = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", quiet];
    let arguments = [&small[..], properties, &["-cp", &class_path, program]].concat();
    run(Path::new("java"), &arguments, subject);
}
