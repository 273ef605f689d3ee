//! kazoo, the Python client, with its recipes.

use std::path::Path;

use ostler_tests::client::{Subject, install, run, source};
use ostler_tests::jaas::{self, Jaas};
use ostler_tests::kdc::{Kdc, krb5_section};
use ostler_tests::process::{Kind, Server};

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

/// By the module that pure-sasl uses, which is compiled against MIT's library.
#[test]
fn kazoo_authenticates_by_kerberos() {
    let tools = ["python3", "cc", "apt-get", "dpkg-deb"];
    let (Some(python), Some(kdc)) = (install("python-kerberos", &tools), Kdc::start()) else { return };
    let service = kdc.file("service.keytab");
    kdc.add("zookeeper/localhost", &service);
    kdc.add("other/localhost", &kdc.file("other.keytab"));
    for user in ["bob", "ann"] {
        kdc.add(user, &kdc.file(&format!("{user}.keytab")));
    }
    let file = kdc.file("jaas.conf");
    std::fs::write(&file, krb5_section("Server", "zookeeper/localhost", &service))
        .expect("write the JAAS file");
    let settings = [
        jaas::PROVIDER,
        (jaas::FILE, file.to_str().expect("a printable path")),
        ("zookeeper.kerberos.removeRealmFromPrincipal", "true"),
    ];
    let server = Server::start_in_environment(kdc.environment(), &settings);
    let variables: Vec<String> =
        kdc.environment().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (program, folder) = (source("python").join("sasl.py"), kdc.file(""));
    let [python, program, folder] =
        [&python, &program, &folder].map(|path| path.to_str().expect("a printable path"));
    let variables = variables.iter().map(String::as_str);
    let arguments: Vec<&str> = variables.chain([python, program, "kerberos", folder]).collect();
    run(Path::new("env"), &arguments, Subject::One(server));
}
