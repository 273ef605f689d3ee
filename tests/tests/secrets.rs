//! No secret leaves the server: everything that it prints and answers is searched for those that it
//! was given.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use ostler_tests::certificates::{Certificates, PASSWORD, Store};
use ostler_tests::digest_md5::Login;
use ostler_tests::jaas::{self, Jaas};
use ostler_tests::jute::{Reader, Record};
use ostler_tests::process::{Server, free_port, have_tools, ostler_binary};
use ostler_tests::request::{Request, op};
use ostler_tests::session::{Session, create, get_data};

const DIGEST: &str = "eve:the-password-of-eve";
const SUPER_DIGEST: &str = "super:5bx6CPhbLJzbqB7lFmGgqGyGWq4=";
const DATA: &str = "the-data-of-a-znode";

/// What must be nowhere.
const SECRETS: [&str; 6] =
    [PASSWORD, "bob's secret", "super secret", "the-password-of-eve", "5bx6CPhbLJzbqB7lFmGgqGyGWq4", DATA];

/// A server that was given every kind of secret, logs all that it can, and answers everything.
fn server(certificates: &Certificates, jaas: &Jaas, admin: u16) -> Server {
    let mut settings = certificates.server_settings("server", Store::Pkcs12);
    let jaas = jaas.path().display().to_string();
    let store = certificates.key_store("server", Store::Pkcs12).display().to_string();
    for (key, value) in [
        jaas::PROVIDER,
        (jaas::FILE, &jaas),
        ("admin.enableServer", "true"),
        ("admin.serverAddress", "127.0.0.1"),
        ("admin.serverPort", &admin.to_string()),
        ("4lw.commands.whitelist", "*"),
        ("metricsProvider.className", "PrometheusMetricsProvider"),
        ("metricsProvider.httpHost", "127.0.0.1"),
        ("metricsProvider.httpsPort", &free_port().to_string()),
        ("metricsProvider.ssl.keyStore.location", &store),
        ("metricsProvider.ssl.keyStore.password", PASSWORD),
        ("metricsProvider.ssl.need.client.auth", "false"),
        ("zookeeper.DigestAuthenticationProvider.superDigest", SUPER_DIGEST),
    ] {
        settings.push((key.to_owned(), value.to_owned()));
    }
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    Server::start_in_environment(vec![("OSTLER_LOG".to_owned(), "trace".to_owned())], &settings)
}

/// Clients that authenticate in every way, well and badly.
fn use_secrets(server: &Server, certificates: &Certificates) {
    let mut session = Session::open(server.address(), 30_000).expect("a session");
    session.must(&create("/a", DATA.as_bytes(), 0));
    session.must(&get_data("/a"));
    session.must(&Request::Auth { scheme: "digest".into(), auth: Some(DIGEST.into()) });
    for password in ["bob's secret", "guessed"] {
        let mut session = Session::open(server.address(), 30_000).expect("a session");
        let token = |token: &[u8]| Request::Raw { op: op::SASL, body: Record::new().buffer(Some(token)).0 };
        let challenge = session.must(&token(b""));
        let challenge =
            Reader::new(&challenge.body).buffer().expect("a token").expect("a challenge").to_vec();
        let login = Login { user: "bob", password, authzid: None };
        session.call(&token(&login.response(&challenge)));
    }
    let mut refused = Session::open(server.address(), 30_000).expect("a session");
    refused.call(&Request::Auth { scheme: "unknown".into(), auth: Some(DIGEST.into()) });
    let path = |name: &str| certificates.path(name).display().to_string();
    let shell = ["shell", "-s", &server.address().to_string(), "--ca", &path("ca.pem")].map(str::to_owned);
    let proof = ["--cert", &path("client.crt"), "--key", &path("client.key")].map(str::to_owned);
    for options in [&shell[..], &[&shell[..], &proof].concat()] {
        Command::new(ostler_binary()).args(options).args(["ls", "/"]).output().expect("start ostler");
    }
}

/// The AdminServer's answer.
fn get(admin: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", admin)).expect("the AdminServer");
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    write!(stream, "{head}Authorization: digest {DIGEST}\r\n\r\n").expect("ask");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Everything that the server says, with where it says it.
fn said(server: &Server, admin: u16) -> Vec<(String, String)> {
    let words = ["conf", "cons", "dump", "envi", "mntr", "srvr", "stat", "wchc", "wchp", "wchs", "dirs"];
    let mut said: Vec<_> = words.map(|word| (word.to_owned(), server.four_letter_word(word))).into();
    let list = get(admin, "/commands");
    let names = list.split("/commands/").skip(1);
    let names = names.map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next());
    let paths: Vec<_> = names.flatten().map(|name| format!("/commands/{name}")).collect();
    assert!(paths.len() > 20, "{list}");
    for path in paths.iter().map(String::as_str).chain(["/metrics", "/commands"]) {
        said.push((path.to_owned(), get(admin, path)));
    }
    let events = ["SASL authentication failed", "TLS handshake failed", "authentication failed peer="];
    events.into_iter().for_each(|event| server.await_log(event));
    said.push(("the log".to_owned(), server.log()));
    said
}

#[test]
fn no_secret_is_in_anything_that_the_server_says() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let certificates = Certificates::new();
    let names = "subjectAltName=IP:127.0.0.1\n";
    certificates.issue("server", "/CN=server", names);
    certificates.issue("client", "/CN=client", names);
    let (jaas, admin) = (Jaas::write(), free_port());
    let server = server(&certificates, &jaas, admin);
    use_secrets(&server, &certificates);
    let said = said(&server, admin);
    let key = fs::read_to_string(certificates.path("server.key")).expect("the server's key");
    let line_of_key = key.lines().nth(1).expect("a line of the key");
    for (place, text) in &said {
        for secret in SECRETS.iter().chain([&line_of_key]) {
            assert!(!text.contains(secret), "{place} has {secret}: {text}");
        }
    }
}
