//! The AdminServer by HTTPS: who is answered, who is not, and new certificates while it runs.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ostler_tests::certificates::Certificates;
use ostler_tests::connection::until_closed;
use ostler_tests::process::{Kind, Server, Signal, free_port, have_tools};

const SERVER: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n";
const CLIENT: &str = "extendedKeyUsage=clientAuth\n";
/// Longer than a client may take for its handshake.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority, a server and a client.
fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("server", "/O=Ostler/CN=localhost", SERVER);
    certificates.issue("client", "/O=Ostler/CN=client", CLIENT);
    certificates
}

/// A server, and where its AdminServer is.
fn start(kind: Kind, certificates: &Certificates, more: &str) -> Option<(Server, SocketAddr)> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let shown = |name: &str| certificates.path(name).display().to_string();
    let lines = format!(
        "admin.enableServer=true\nadmin.serverAddress=127.0.0.1\nadmin.serverPort={}\n\
         ssl.quorum.keyStore.location={}\nssl.quorum.trustStore.location={}\n{more}",
        address.port(),
        shown("server.pem"),
        shown("ca.pem"),
    );
    Some((Server::start_with_lines(kind, &lines)?, address))
}

/// What `curl` gets for a command: the head and the body of the answer, or why none came.
fn curl(scheme: &str, address: SocketAddr, command: &str, options: &[&str]) -> Result<String, String> {
    get(&format!("{scheme}://{address}/commands/{command}"), options)
}

/// The same for any place.
fn get(url: &str, options: &[&str]) -> Result<String, String> {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-i", "--max-time", "20"]).args(options).arg(url);
    let output = curl.output().expect("start curl");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Whether a command was answered.
fn is_answered(answer: &Result<String, String>) -> bool {
    answer.as_ref().is_ok_and(|text| text.contains(" 200 ") && text.contains("\"command\""))
}

/// What comes back for a request without TLS, until the connection ends.
fn said_in_plaintext(address: SocketAddr) -> Vec<u8> {
    until_closed(address, b"GET /commands/ruok HTTP/1.1\r\nHost: localhost\r\n\r\n", PATIENCE)
}

/// With `admin.portUnification`, HTTP and HTTPS are answered on one port, and browsers that come by
/// HTTPS are told to stay with it.
#[test]
fn the_admin_server_answers_by_http_and_https_on_one_port() {
    if !have_tools(&["openssl", "curl"]) {
        return;
    }
    let certificates = certificates();
    let more = "admin.portUnification=true\nssl.quorum.clientAuth=need\n";
    let Some((_server, address)) = start(Kind::under_test(), &certificates, more) else { return };
    let ca = certificates.path("ca.pem").display().to_string();
    let plain = curl("http", address, "ruok", &[]);
    assert!(is_answered(&plain), "{plain:?}");
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let secure = curl("https", address, "ruok", &[&["--cacert", &ca], version].concat());
        assert!(is_answered(&secure), "{version:?}: {secure:?}");
        let stays = "strict-transport-security: max-age=86400; includesubdomains";
        assert!(secure.expect("an answer").to_ascii_lowercase().contains(stays));
        assert!(!plain.as_ref().expect("an answer").to_ascii_lowercase().contains("strict-transport"));
    }
    let unknown = curl("https", address, "ruok", &[]).expect_err("the authority is not that of the system");
    assert!(unknown.contains("certificate"), "{unknown}");
    let large = curl("https", address, "sysp", &["--cacert", &ca]).expect("an answer");
    assert!(large.trim_end().ends_with('}'), "an answer is whole: {large}");
}

/// With `admin.forceHttps`, a connection that speaks no TLS is closed without an answer.
#[test]
fn the_admin_server_can_be_reached_by_https_alone() {
    if !have_tools(&["openssl", "curl"]) {
        return;
    }
    let certificates = certificates();
    let ca = certificates.path("ca.pem").display().to_string();
    for unified in ["admin.portUnification=true\n", ""] {
        let more = format!("admin.forceHttps=true\n{unified}");
        let Some((_server, address)) = start(Kind::under_test(), &certificates, &more) else { return };
        let secure = curl("https", address, "ruok", &["--cacert", &ca]);
        assert!(is_answered(&secure), "{secure:?}");
        let said = said_in_plaintext(address);
        // At most an alert of TLS.
        assert!(said.is_empty() || said[0] == 0x15, "{:?}", String::from_utf8_lossy(&said));
        curl("http", address, "ruok", &[]).expect_err("without TLS there is no answer");
    }
}

/// With `admin.needClientAuth`, only clients with a certificate of a trusted authority are
/// answered.
#[test]
fn the_admin_server_answers_who_proves_a_certificate() {
    if !have_tools(&["openssl", "curl"]) {
        return;
    }
    let (certificates, others) = (certificates(), certificates());
    let more = "admin.forceHttps=true\nadmin.needClientAuth=true\n";
    let Some((_server, address)) = start(Kind::under_test(), &certificates, more) else { return };
    let ca = certificates.path("ca.pem").display().to_string();
    let with = |path: &Path| {
        let own = path.display().to_string();
        curl("https", address, "ruok", &["--cacert", &ca, "--cert", &own, "--key", &own])
    };
    let proven = with(&certificates.path("client.pem"));
    assert!(is_answered(&proven), "{proven:?}");
    curl("https", address, "ruok", &["--cacert", &ca]).expect_err("a certificate is needed");
    with(&others.path("client.pem")).expect_err("a trusted one is needed");
}

/// Waits until the AdminServer shows the certificate with this name.
fn await_name(server: &Server, address: SocketAddr, name: &str) {
    let line =
        format!("openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -subject");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = Command::new("sh").args(["-c", &line]).output().expect("run openssl");
        if String::from_utf8_lossy(&output.stdout).contains(name) {
            return;
        }
        assert!(Instant::now() < deadline, "{name} is not shown\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// By SIGHUP, by a command that comes by HTTPS, and by itself with `sslQuorumReloadCertFiles`.
#[test]
fn certificates_of_the_admin_server_are_replaced_while_it_runs() {
    if !have_tools(&["openssl", "curl", "sh"]) {
        return;
    }
    let certificates = certificates();
    for name in ["second", "third", "fourth"] {
        certificates.issue(name, &format!("/CN={name}"), SERVER);
    }
    let replace =
        |name: &str| fs::copy(certificates.path(name), certificates.path("server.pem")).expect("copy a file");
    let ca = certificates.path("ca.pem").display().to_string();
    let (first, address) = start(Kind::Ostler, &certificates, "admin.forceHttps=true\n").expect("Ostler");
    let reload = || {
        curl("https", address, "reload_certificates", &["--cacert", &ca, "-X", "POST"]).expect("an answer")
    };
    await_name(&first, address, "localhost");
    replace("second.pem");
    first.signal(Signal::HUP);
    await_name(&first, address, "second");
    replace("third.crt");
    let refused = reload();
    assert!(refused.contains("the old certificates stay in use: cannot use"), "{refused}");
    await_name(&first, address, "second");
    replace("third.pem");
    assert!(reload().contains("\"error\": null"));
    await_name(&first, address, "third");
    drop(first);
    let more = "admin.portUnification=true\nsslQuorumReloadCertFiles=true\n";
    let (watching, address) = start(Kind::Ostler, &certificates, more).expect("Ostler");
    await_name(&watching, address, "third");
    replace("fourth.pem");
    await_name(&watching, address, "fourth");
}

/// A port for Prometheus alone, with stores of its own, as ZooKeeper 3.10 has it: certificates are
/// needed unless the configuration says otherwise, and changed files are used.
#[test]
fn prometheus_can_be_served_by_https() {
    if !have_tools(&["openssl", "curl", "sh"]) {
        return;
    }
    let (certificates, others) = (certificates(), certificates());
    certificates.issue("second", "/CN=second", SERVER);
    let shown = |certificates: &Certificates, name: &str| certificates.path(name).display().to_string();
    let (ca, server_key) = (shown(&certificates, "ca.pem"), shown(&certificates, "server.pem"));
    let lines = |port: u16, more: &str| {
        format!(
            "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
             metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpsPort={port}\n\
             metricsProvider.ssl.keyStore.location={server_key}\n\
             metricsProvider.ssl.trustStore.location={ca}\n{more}"
        )
    };
    let port = free_port();
    let (server, _) = start(Kind::Ostler, &certificates, &lines(port, "")).expect("Ostler");
    let url = format!("https://127.0.0.1:{port}/metrics");
    let with = |certificates: &Certificates| {
        let own = shown(certificates, "client.pem");
        get(&url, &["--cacert", &ca, "--cert", &own, "--key", &own])
    };
    let proven = with(&certificates).expect("an answer");
    assert!(proven.contains("\nznode_count "), "{proven}");
    get(&url, &["--cacert", &ca]).expect_err("a certificate is needed");
    with(&others).expect_err("a trusted one is needed");
    get(&url.replace("https", "http"), &[]).expect_err("there is no answer without TLS");
    fs::copy(certificates.path("second.pem"), certificates.path("server.pem")).expect("copy a file");
    await_name(&server, SocketAddr::from(([127, 0, 0, 1], port)), "second");
    drop(server);

    let port = free_port();
    let more = format!("metricsProvider.httpPort={port}\nmetricsProvider.ssl.need.client.auth=false\n");
    let (_server, _) = start(Kind::Ostler, &certificates, &lines(port, &more)).expect("Ostler");
    for scheme in ["http", "https"] {
        let answer = get(&format!("{scheme}://127.0.0.1:{port}/metrics"), &["--cacert", &ca]);
        assert!(answer.as_ref().is_ok_and(|text| text.contains("\nznode_count ")), "{scheme}: {answer:?}");
    }
}

/// Strangers that begin a handshake and say no more are sent away, and keep nobody out.
#[test]
fn half_handshakes_with_the_admin_server_end_in_time() {
    if !have_tools(&["openssl", "curl"]) {
        return;
    }
    let certificates = certificates();
    for more in ["admin.portUnification=true\n", "admin.forceHttps=true\n"] {
        let (_server, address) = start(Kind::Ostler, &certificates, more).expect("Ostler");
        let ca = certificates.path("ca.pem").display().to_string();
        let parts = [&[][..], &[0x16], &[0x16, 3, 1, 2, 0, 1]];
        let open = |number: usize| {
            let mut stream = TcpStream::connect(address).expect("the AdminServer");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            // It may have been sent away by then.
            let _ = stream.write_all(parts[number % parts.len()]);
            stream
        };
        // More than there are places.
        let strangers: Vec<_> = (0..150).map(open).collect();
        let secure = curl("https", address, "ruok", &["--cacert", &ca]);
        assert!(is_answered(&secure), "{secure:?}");
        for mut stranger in strangers {
            let ended = stranger.read_to_end(&mut Vec::new());
            let is_reset = |e: &std::io::Error| e.kind() == ErrorKind::ConnectionReset;
            assert!(
                ended.as_ref().is_ok_and(|n| *n == 0) || ended.as_ref().is_err_and(is_reset),
                "{ended:?}"
            );
        }
    }
}
