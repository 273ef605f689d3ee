//! TLS between servers: who gets in, and how a running ensemble changes to it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::certificates::Certificates;
use ostler_tests::connection::until_closed;
use ostler_tests::ensemble::{Engine, Ensemble, Layout, PATIENCE};
use ostler_tests::process::have_tools;
use ostler_tests::session::{Session, create, get_data};
use ostler_tests::writer::Writer;

/// Of all servers of these tests: their hosts are the same.
const HOST: &str = "subjectAltName=IP:127.0.0.1\n";
/// How long a server that must not get in is given to try.
const TRIAL: Duration = Duration::from_secs(5);

/// An authority, and a certificate for the host of all servers.
fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("server", "/O=Ostler/CN=server", HOST);
    certificates
}

/// Lines of zoo.cfg: a certificate, the authority that is trusted, and more.
fn lines(trusted: &Certificates, own: &Path, more: &[&str]) -> Vec<String> {
    let stores = [
        format!("ssl.quorum.keyStore.location={}", own.display()),
        format!("ssl.quorum.trustStore.location={}", trusted.path("ca.pem").display()),
    ];
    stores.into_iter().chain(more.iter().map(|line| (*line).to_owned())).collect()
}

fn set(ensemble: &mut Ensemble, lines: &[String]) {
    ensemble.set_settings(&lines.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Three servers without proxies between them, which would have to read what the servers say.
fn start(engine: Engine, lines: &[String]) -> Ensemble {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Ensemble::start_as(engine, Layout { direct: true, ..Layout::voters(3) }, &lines)
}

fn restart(ensemble: &mut Ensemble, server: u8) {
    ensemble.stop(server);
    ensemble.launch(server);
}

/// What OpenSSL's client reports about a quorum port that it greets by TLS.
fn s_client(address: SocketAddr, authority: &Path, certificate: Option<&Path>) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-verify_return_error", "-CAfile"]);
    command.arg(authority);
    if let Some(path) = certificate {
        command.arg("-cert").arg(path).arg("-key").arg(path);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start openssl");
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(b"ostlpeer is how a greeting begins; the rest of this is none\n");
    // Without its input it ends at once, and hears nothing.
    let output = child.wait_with_output().expect("openssl ends");
    drop(stdin);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Only servers that have a certificate of the authority, for their own host, become members again.
#[test]
fn servers_serve_over_tls_and_strangers_get_nowhere() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let (certificates, others) = (certificates(), certificates());
    certificates.issue("elsewhere", "/O=Ostler/CN=elsewhere", "subjectAltName=DNS:zoo9.example.org\n");
    let good = lines(&certificates, &certificates.path("server.pem"), &["sslQuorum=true"]);
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = start(engine, &good);
        let mut session = Session::open(ensemble.address(1), 20_000).expect("a session");
        session.must(&create("/before", b"data", 0));
        refuse_strangers(&ensemble, &certificates, &others);
        let own = others.path("server.pem");
        let untrusted = lines(&certificates, &own, &["sslQuorum=true"]);
        let plain = vec!["sslQuorum=false".to_owned()];
        let elsewhere = lines(&certificates, &certificates.path("elsewhere.pem"), &["sslQuorum=true"]);
        for (what, bad) in [("untrusted", untrusted), ("plain", plain), ("elsewhere", elsewhere)] {
            set(&mut ensemble, &bad);
            restart(&mut ensemble, 3);
            session.must(&create(&format!("/without-{what}"), b"data", 0));
            let end = Instant::now() + TRIAL;
            while Instant::now() < end {
                assert_eq!(ensemble.mode(3), None, "{engine:?}, {what}: it serves");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        ensemble.await_log(1, "its certificate, CN=elsewhere,O=Ostler, is not for 127.0.0.1");
        ensemble.await_log(1, "server 3 shows a certificate, CN=elsewhere,O=Ostler");
        ensemble.await_log(3, "refuses this server's certificate");
        set(&mut ensemble, &good);
        restart(&mut ensemble, 3);
        ensemble.await_serving();
        let mut third = Session::open(ensemble.address(3), 20_000).expect("a session");
        assert_eq!(third.must(&get_data("/without-elsewhere")).buffer(), b"data", "{engine:?}");
    }
}

/// Clients of the quorum port that are no servers.
fn refuse_strangers(ensemble: &Ensemble, certificates: &Certificates, others: &Certificates) {
    let address = ensemble.peer_address(2);
    // An alert of TLS may come back, and no greeting.
    let answer =
        until_closed(address, b"ostlpeer\0\x01\x01\x02\0\x12 and what else belongs to a greeting", PATIENCE);
    assert!(!answer.windows(8).any(|bytes| bytes == b"ostlpeer"), "{answer:?}");
    assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
    let authority = certificates.path("ca.pem");
    let heard = s_client(address, &authority, None);
    assert!(heard.contains("certificate required"), "a certificate is needed: {heard}");
    let heard = s_client(address, &authority, Some(&others.path("server.pem")));
    assert!(heard.contains("SSL alert number"), "a trusted one is needed: {heard}");
    let heard = s_client(address, &authority, Some(&certificates.path("server.pem")));
    assert!(heard.contains("Verify return code: 0 (ok)") && !heard.contains("alert"), "{heard}");
}

/// Strangers that begin a handshake and say no more are sent away, and keep nobody out.
#[test]
fn half_handshakes_on_a_quorum_port_end_in_time() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let certificates = certificates();
    let own = certificates.path("server.pem");
    let mut ensemble = start(Engine::Raft, &lines(&certificates, &own, &["sslQuorum=true"]));
    let addresses: Vec<_> = ensemble.servers().into_iter().map(|s| ensemble.peer_address(s)).collect();
    let open = |address: &SocketAddr| {
        let mut stream = TcpStream::connect(address).expect("a quorum port");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(&[0x16, 3, 1, 2, 0, 1]).expect("the beginning of a handshake");
        stream
    };
    let strangers: Vec<_> = (0..20).flat_map(|_| addresses.iter().map(open).collect::<Vec<_>>()).collect();
    restart(&mut ensemble, 2);
    ensemble.await_serving();
    let mut session = Session::open(ensemble.address(2), 20_000).expect("a session");
    session.must(&create("/with-strangers", b"data", 0));
    for mut stranger in strangers {
        let ended = stranger.read(&mut [0; 64]);
        let is_reset = |e: &std::io::Error| e.kind() == ErrorKind::ConnectionReset;
        assert!(ended.as_ref().is_ok_and(|n| *n == 0) || ended.as_ref().is_err_and(is_reset), "{ended:?}");
    }
}

/// ZooKeeper's three rounds of restarts, one server after the other, with a client at work: first
/// both are understood, then TLS is spoken, then nothing else is understood.
#[test]
fn a_running_ensemble_changes_from_plaintext_to_tls() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let certificates = certificates();
    let authority = certificates.path("ca.pem");
    let own = certificates.path("server.pem");
    for engine in [Engine::Raft, Engine::Paxos] {
        let mut ensemble = start(engine, &[]);
        let writer = Writer::start(ensemble.addresses());
        for round in [
            ["sslQuorum=false", "portUnification=true"],
            ["sslQuorum=true", "portUnification=true"],
            ["sslQuorum=true", "portUnification=false"],
        ] {
            set(&mut ensemble, &lines(&certificates, &own, &round));
            for server in ensemble.servers() {
                restart(&mut ensemble, server);
                ensemble.await_serving();
                writer.await_progress(&mut ensemble);
            }
        }
        let written = writer.end();
        ensemble.await_in_step();
        for server in ensemble.servers() {
            let mut session = Session::open(ensemble.address(server), 20_000).expect("a session");
            for number in 0..written {
                session.must(&get_data(&format!("/written-{number:06}")));
            }
            let answer = until_closed(
                ensemble.peer_address(server),
                b"ostlpeer\0\x01 and the rest of a greeting",
                PATIENCE,
            );
            assert!(!answer.windows(8).any(|bytes| bytes == b"ostlpeer"), "{answer:?}");
            let heard = s_client(ensemble.peer_address(server), &authority, Some(&own));
            assert!(heard.contains("Verify return code: 0 (ok)"), "server.{server} speaks TLS: {heard}");
        }
    }
}

/// With `sslQuorumReloadCertFiles` a server uses new certificates without a restart, and keeps the
/// old ones if the new are of no use.
#[test]
fn certificates_between_servers_are_replaced_while_they_run() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let certificates = certificates();
    let own = certificates.path("server.pem");
    let more = ["sslQuorum=true", "sslQuorumReloadCertFiles=true"];
    let mut ensemble = start(Engine::Raft, &lines(&certificates, &own, &more));
    std::fs::write(&own, "no certificate").expect("write a file");
    ensemble.await_log(1, "the old ones stay in use");
    let good = certificates.path("other.pem");
    certificates.issue("other", "/O=Ostler/CN=replacement", HOST);
    std::fs::copy(&good, &own).expect("write a file");
    ensemble.await_that("a good one is used", |ensemble| {
        let heard = s_client(ensemble.peer_address(1), &certificates.path("ca.pem"), Some(&good));
        heard.contains("CN = replacement").then_some(())
    });
    restart(&mut ensemble, 2);
    ensemble.await_serving();
}
