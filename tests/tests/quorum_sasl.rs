//! SASL between servers: who gets in, and how a running ensemble changes to it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ostler_tests::certificates::Certificates;
use ostler_tests::connection::until_closed;
use ostler_tests::ensemble::{Engine, Ensemble, Layout, PATIENCE};
use ostler_tests::kdc::{Kdc, krb5_section};
use ostler_tests::process::have_tools;
use ostler_tests::session::{Session, create, get_data};
use ostler_tests::writer::Writer;
use tempfile::TempDir;

const TIMEOUT_MS: i32 = 20_000;
/// How long a server that has been refused is given to try again.
const TRIAL: Duration = Duration::from_secs(3);
const ALL: [&str; 3] = [
    "quorum.auth.enableSasl=true",
    "quorum.auth.learnerRequireSasl=true",
    "quorum.auth.serverRequireSasl=true",
];

/// A file that only its owner can read.
fn write_private(path: &Path, text: &str) {
    fs::write(path, text).expect("write a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod 600");
}

/// A JAAS file in which servers have this password.
fn jaas(folder: &TempDir, name: &str, password: &str) -> PathBuf {
    let path = folder.path().join(name);
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    let text = format!(
        "QuorumServer {{ {module} user_zk=\"{password}\"; }};\n\
         QuorumLearner {{ {module} username=\"zk\" password=\"{password}\"; }};\n"
    );
    write_private(&path, &text);
    path
}

/// Lines of zoo.cfg: the JAAS file and more.
fn lines(jaas: &Path, more: &[&str]) -> Vec<String> {
    let file = format!("java.security.auth.login.config={}", jaas.display());
    [file].into_iter().chain(more.iter().map(|line| (*line).to_owned())).collect()
}

fn set(ensemble: &mut Ensemble, lines: &[String]) {
    ensemble.set_settings(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

fn start(lines: &[String], environment: Vec<(String, String)>) -> Ensemble {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let layout = Layout { direct: true, environment, ..Layout::voters(3) };
    Ensemble::start_as(Engine::Raft, layout, &lines)
}

fn restart(ensemble: &mut Ensemble, server: u8) {
    ensemble.stop(server);
    ensemble.launch(server);
}

fn open(ensemble: &Ensemble, server: u8) -> Session {
    Session::open(ensemble.address(server), TIMEOUT_MS).expect("a session")
}

/// Server 3 restarts with these lines, is told this, and does not serve, while the others do.
fn must_stay_out(ensemble: &mut Ensemble, lines: &[String], told: &str) {
    set(ensemble, lines);
    ensemble.stop(3);
    let before = ensemble.log(3).len();
    ensemble.launch(3);
    ensemble.await_that("it is refused", |ensemble| ensemble.log(3)[before..].contains(told).then_some(()));
    let mut session = open(ensemble, 1);
    let end = Instant::now() + TRIAL;
    let mut number = 0;
    while Instant::now() < end {
        assert_eq!(ensemble.mode(3), None, "{lines:?}: it serves");
        session.must(&create(&format!("/{number}-{}", ensemble.log(3).len()), b"data", 0));
        number += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A record as servers frame it.
fn framed(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u32).to_be_bytes();
    [&length[..], &crc32c::crc32c(record).to_be_bytes(), record].concat()
}

#[test]
fn a_server_with_a_wrong_password_never_joins() {
    let folder = TempDir::new().expect("a temporary folder");
    let good = lines(&jaas(&folder, "good", "the right password"), &ALL);
    let mut ensemble = start(&good, Vec::new());
    open(&ensemble, 1).must(&create("/before", b"data", 0));
    let bad = lines(&jaas(&folder, "bad", "a wrong password"), &ALL);
    must_stay_out(&mut ensemble, &bad, "refuses this server's user and password");
    let off = ["quorum.auth.enableSasl=false".to_owned()];
    must_stay_out(&mut ensemble, &off, "requires SASL (quorum.auth.serverRequireSasl)");
    ensemble.await_log(1, "the user or the password is wrong");
    ensemble.await_log(1, "server 3 does not authenticate by SASL");
    // Members that dial it are told.
    ensemble.await_log(3, "SASL is off here");
    for log in [ensemble.log(1), ensemble.log(3)] {
        assert!(!log.contains("right password") && !log.contains("a wrong password"), "{log}");
    }
    set(&mut ensemble, &good);
    restart(&mut ensemble, 3);
    ensemble.await_serving();
    assert_eq!(open(&ensemble, 3).must(&get_data("/before")).buffer(), b"data");
}

/// ZooKeeper's rounds of restarts, one server after the other, with a client at work: first SASL is
/// understood, then servers log in, then nobody gets in without.
#[test]
fn a_running_ensemble_changes_to_sasl() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = jaas(&folder, "jaas", "the right password");
    let mut ensemble = start(&[], Vec::new());
    let writer = Writer::start(ensemble.addresses());
    for round in 1..=ALL.len() {
        set(&mut ensemble, &lines(&file, &ALL[..round]));
        for server in ensemble.servers() {
            restart(&mut ensemble, server);
            ensemble.await_serving();
            writer.await_progress(&mut ensemble);
        }
    }
    let written = writer.end();
    ensemble.await_in_step();
    for server in ensemble.servers() {
        let mut session = open(&ensemble, server);
        for number in 0..written {
            session.must(&get_data(&format!("/written-{number:06}")));
        }
        // Bytes that are no login get a refusal, and nothing else.
        let garbage = [b"ostlsasl", &framed(b"\x02no ticket")[..]].concat();
        assert_eq!(until_closed(ensemble.peer_address(server), &garbage, PATIENCE), framed(&[255, 2]));
    }
}

#[test]
fn servers_log_in_inside_tls() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let (certificates, folder) = (Certificates::new(), TempDir::new().expect("a temporary folder"));
    certificates.issue("server", "/O=Ostler/CN=server", "subjectAltName=IP:127.0.0.1\n");
    let tls = [
        format!("ssl.quorum.keyStore.location={}", certificates.path("server.pem").display()),
        format!("ssl.quorum.trustStore.location={}", certificates.path("ca.pem").display()),
        "sslQuorum=true".to_owned(),
    ];
    let with = |name, password| [&lines(&jaas(&folder, name, password), &ALL)[..], &tls].concat();
    let mut ensemble = start(&with("good", "the right password"), Vec::new());
    must_stay_out(&mut ensemble, &with("bad", "a wrong password"), "refuses this server's user and password");
}

/// With a real Kerberos server: only principals with the host of a member get in.
#[test]
fn servers_log_in_by_kerberos() {
    let Some(kdc) = Kdc::start() else { return };
    let folder = TempDir::new().expect("a temporary folder");
    let keytab = kdc.file("quorum.keytab");
    let file = |name: &str, principal: &str| {
        let text = ["QuorumServer", "QuorumLearner"].map(|section| krb5_section(section, principal, &keytab));
        let path = folder.path().join(name);
        write_private(&path, &text.concat());
        path
    };
    for principal in ["zkquorum/127.0.0.1", "zkquorum/elsewhere", "zkquorum/unknown"] {
        kdc.add(principal, &keytab);
    }
    let service = "quorum.auth.kerberos.servicePrincipal=zkquorum/_HOST";
    let more = [&ALL[..], &[service]].concat();
    let good = lines(&file("good", "zkquorum/127.0.0.1"), &more);
    let mut ensemble = start(&good, kdc.environment());
    open(&ensemble, 1).must(&create("/before", b"data", 0));
    let elsewhere = lines(&file("elsewhere", "zkquorum/elsewhere"), &more);
    must_stay_out(&mut ensemble, &elsewhere, "refuses this server's user and password, or principal");
    ensemble.await_log(1, "elsewhere, the host of zkquorum/elsewhere@EXAMPLE.ORG, is that of no");
    // The Kerberos server does not know who it asks for.
    let nobody = "quorum.auth.kerberos.servicePrincipal=zkquorum/nobody";
    let nobody = lines(&file("good", "zkquorum/127.0.0.1"), &[&ALL[..], &[nobody]].concat());
    must_stay_out(&mut ensemble, &nobody, "the login by SASL fails: ");
    ensemble.await_log(3, "not found in Kerberos database");
    set(&mut ensemble, &good);
    restart(&mut ensemble, 3);
    ensemble.await_serving();
    assert_eq!(open(&ensemble, 3).must(&get_data("/before")).buffer(), b"data");
    for token in [&b"anything"[..], &[0x60; 4000]] {
        let garbage = [b"ostlsasl", &framed(&[&[2], token].concat())[..]].concat();
        assert_eq!(until_closed(ensemble.peer_address(1), &garbage, PATIENCE), framed(&[255, 1]));
    }
}
