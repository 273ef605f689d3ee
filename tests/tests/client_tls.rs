//! Clients that speak TLS: those of other projects, OpenSSL's, and hostile ones.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ostler_tests::certificates::{Certificates, PASSWORD, Store};
use ostler_tests::client::{Subject, install, run, source};
use ostler_tests::process::{Kind, Server, Signal, four_letter_word, free_port, have_tools, ostler_binary};
use ostler_tests::session::{Session, create, get_data};

const SERVER: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n";
const CLIENT: &str = "extendedKeyUsage=clientAuth\n";

/// A server that speaks TLS and plaintext on its client port.
fn server(certificates: &Certificates, store: Store, more: &[(&str, &str)]) -> Option<Server> {
    let settings = certificates.server_settings("server", store);
    let settings = settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    Server::start_with(Kind::under_test(), &settings.chain(more.iter().copied()).collect::<Vec<_>>())
}

/// An authority, a server and a client.
fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("server", "/O=Ostler/CN=localhost", SERVER);
    certificates.issue("client", "/O=Ostler/CN=client", CLIENT);
    certificates
}

/// Properties of a Java client that speaks TLS.
fn java_properties(certificates: &Certificates, store: Store) -> Vec<String> {
    let password = if store == Store::Pem { "" } else { PASSWORD };
    [
        ("client.secure", "true".to_owned()),
        ("clientCnxnSocket", "org.apache.zookeeper.ClientCnxnSocketNetty".to_owned()),
        ("ssl.keyStore.location", certificates.key_store("client", store).display().to_string()),
        ("ssl.keyStore.password", password.to_owned()),
        ("ssl.trustStore.location", certificates.trust_store(store).display().to_string()),
        ("ssl.trustStore.password", password.to_owned()),
    ]
    .map(|(key, value)| format!("-Dzookeeper.{key}={value}"))
    .to_vec()
}

fn java(folder: &Path, properties: &[String], program: &[&str], subject: Subject) {
    let class_path = format!("{0}/classes:{0}/lib/*", folder.display());
    let quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
    let mut arguments =
        vec!["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", quiet, "-cp", &class_path];
    arguments.extend(properties.iter().map(String::as_str));
    arguments.extend(program);
    run(Path::new("java"), &arguments, subject);
}

/// ZooKeeper's own client does over TLS all that it does without.
#[test]
fn java_clients_use_every_kind_of_store() {
    if !have_tools(&["openssl", "keytool"]) {
        return;
    }
    let Some(folder) = install("java", &["java", "javac", "mvn"]) else { return };
    let certificates = certificates();
    for store in [Store::Pem, Store::Pkcs12, Store::Jks] {
        let Some(server) = server(&certificates, store, &[]) else { return };
        let properties = java_properties(&certificates, store);
        java(&folder, &properties, &["Plain"], Subject::One(server));
    }
}

/// The identities of the scheme x509, in ACLs and in whoAmI, and the super user.
#[test]
fn clients_prove_themselves_by_certificates() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let Some(folder) = install("java", &["java", "javac", "mvn"]) else { return };
    let certificates = Certificates::new();
    certificates.issue("server", "/O=Ostler/CN=localhost", SERVER);
    certificates.issue("client", "/O=Ostler/OU=a, b/CN=client", CLIENT);
    certificates.issue("other", "/O=Ostler/CN=other", CLIENT);
    certificates.issue("chief", "/O=Ostler/CN=chief", CLIENT);
    let chief = ("zookeeper.X509AuthenticationProvider.superUser", "CN=chief,O=Ostler");
    let Some(server) = server(&certificates, Store::Pem, &[chief]) else { return };
    let place = certificates.path("").display().to_string();
    java(&folder, &[], &["Secure", &place], Subject::One(server));
}

/// As kazoo's own test suite does: certificates of X.509 version 1, in stores of Java.
#[test]
fn kazoo_speaks_tls_with_certificates_of_version_1() {
    if !have_tools(&["openssl", "keytool"]) {
        return;
    }
    let Some(python) = install("python", &["python3"]) else { return };
    let certificates = Certificates::new();
    certificates.issue("server", "/CN=localhost", "");
    certificates.issue("client", "/CN=client", "");
    let Some(server) = server(&certificates, Store::Jks, &[]) else { return };
    let script = source("python").join("client.py").display().to_string();
    let place = format!("OSTLER_TLS={}", certificates.path("").display());
    run(Path::new("env"), &[&place, python.to_str().expect("a path"), &script], Subject::One(server));
}

/// go-zookeeper leaves TLS to the function that dials; the standard library of Go speaks it here.
#[test]
fn go_speaks_tls() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let Some(program) = install("go", &["go"]) else { return };
    let certificates = certificates();
    let Some(server) = server(&certificates, Store::Pem, &[]) else { return };
    let place = format!("OSTLER_TLS={}", certificates.path("").display());
    run(Path::new("env"), &[&place, program.to_str().expect("a path")], Subject::One(server));
}

/// Runs one of Ostler's own commands; answers its exit code and what it prints.
fn ostler(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(ostler_binary()).args(arguments).output().expect("start ostler");
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&printed).into_owned())
}

/// Ostler's own commands, with every kind of store, and what they say when it cannot work.
#[test]
fn the_shell_status_and_bench_speak_tls() {
    if !have_tools(&["openssl", "keytool"]) {
        return;
    }
    let certificates = certificates();
    certificates.issue("elsewhere", "/O=Ostler/CN=elsewhere", "subjectAltName=DNS:elsewhere\n");
    let file = |path: &Path| path.display().to_string();
    let ca = file(&certificates.path("ca.pem"));
    let (cert, key) = (file(&certificates.path("client.crt")), file(&certificates.path("client.key")));
    let (password, wrong) = (certificates.path("password"), certificates.path("client.crt"));
    fs::write(&password, PASSWORD).expect("write a file");
    let Some(one) = server(&certificates, Store::Pem, &[]) else { return };
    let address = one.address().to_string();
    let proven = ["--ca", &ca, "--cert", &cert, "--key", &key];
    let shell = |options: &[&str], command: &[&str]| {
        ostler(&[&["shell", "-s", &address][..], options, command].concat())
    };
    assert_eq!(shell(&proven, &["create", "/by-tls", "x"]), (Some(0), "Created /by-tls\n".to_owned()));
    for store in [Store::Pkcs12, Store::Jks] {
        let (trust, keys) = (certificates.trust_store(store), certificates.key_store("client", store));
        let options =
            ["--tls", "--ca", &file(&trust), "--cert", &file(&keys), "--tls-password-file", &file(&password)];
        assert_eq!(shell(&options, &["get", "/by-tls"]), (Some(0), "x\n".to_owned()), "{}", store.ending());
    }
    let (code, said) = ostler(&[&["status", "-s", &address][..], &proven].concat());
    assert!(code == Some(0) && said.contains("standalone"), "{code:?}: {said}");
    let measured = format!("tls://{address}");
    for workload in ["get", "churn"] {
        let bench = ["bench", workload, "--seconds", "0.2", "--warmup", "0", "-s", &measured];
        assert_eq!(ostler(&[&bench[..], &proven].concat()).0, Some(0), "{workload}");
    }
    for (options, expected) in [
        (&["--ca", &ca][..], "CertificateRequired"),
        (&["--ca", &file(&wrong), "--cert", &cert, "--key", &key], "UnknownIssuer"),
        (&["--ca", &ca, "--cert", &ca, "--key", &key], "its private key is not that"),
        (&["--ca", "/nowhere.pem"], "cannot read /nowhere.pem"),
    ] {
        let (code, said) = shell(options, &["ls", "/"]);
        assert!(code != Some(0) && said.contains(expected), "{options:?}: {code:?} {said}");
    }
    drop(one);
    let settings = certificates.server_settings("elsewhere", Store::Pem);
    let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let Some(other) = Server::start_with(Kind::under_test(), &settings) else { return };
    let address = other.address().to_string();
    let list =
        |more: &[&str]| ostler(&[&["shell", "-s", &address][..], &proven, more, &["ls", "/"]].concat());
    assert!(list(&[]).1.contains("NotValidForName"), "{:?}", list(&[]));
    assert_eq!(list(&["--any-host"]), (Some(0), "[zookeeper]\n".to_owned()));
}

/// What OpenSSL's client hears after it has sent a four-letter word.
fn s_client(certificates: &Certificates, address: SocketAddr, options: &[&str], word: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-quiet", "-verify_return_error", "-CAfile"]);
    command.arg(certificates.path("ca.pem")).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start openssl");
    let _ = child.stdin.take().expect("a pipe").write_all(word.as_bytes());
    let output = child.wait_with_output().expect("openssl ends");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn openssl_gets_the_protocols_and_suites_that_are_configured() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let certificates = certificates();
    let identity = ["-cert", "client.crt", "-key", "client.key"].map(|name| match name.starts_with('-') {
        true => name.to_owned(),
        false => certificates.path(name).display().to_string(),
    });
    let identity: Vec<&str> = identity.iter().map(String::as_str).collect();
    let ask = |server: &Server, options: &[&str]| {
        s_client(&certificates, server.address(), &[&identity, options].concat(), "ruok")
    };
    let Some(all) = server(&certificates, Store::Pem, &[]) else { return };
    for options in
        [&["-tls1_3"][..], &["-tls1_2"], &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]]
    {
        assert!(ask(&all, options).contains("imok"), "{options:?}: {}", ask(&all, options));
    }
    for options in [&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"][..], &["-tls1_2", "-cipher", "AES128-SHA"]]
    {
        assert!(!ask(&all, options).contains("imok"), "{options:?}");
    }
    let without = s_client(&certificates, all.address(), &["-tls1_2"], "ruok");
    assert!(!without.contains("imok"), "a client needs a certificate: {without}");
    let few = [
        ("zookeeper.ssl.enabledProtocols", "TLSv1.2"),
        ("zookeeper.ssl.ciphersuites", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ];
    let Some(few) = server(&certificates, Store::Pem, &few) else { return };
    assert!(!ask(&few, &["-tls1_3"]).contains("imok"));
    assert!(ask(&few, &["-tls1_2"]).contains("imok"));
    assert!(!ask(&few, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]).contains("imok"));
}

#[test]
fn four_letter_words_work_on_a_unified_port() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let certificates = certificates();
    let Some(server) = server(&certificates, Store::Pem, &[("zookeeper.ssl.clientAuth", "none")]) else {
        return;
    };
    assert_eq!(server.four_letter_word("ruok"), "imok");
    assert!(s_client(&certificates, server.address(), &[], "srvr").contains("Mode: standalone"));
    Session::open(server.address(), 10_000).expect("a session without TLS").must(&create("/a", b"", 0));
}

#[test]
fn a_secure_port_serves_nothing_in_plaintext() {
    if !have_tools(&["openssl"]) {
        return;
    }
    let certificates = certificates();
    let port = free_port();
    let secure = [
        ("zookeeper.secureClientPort", &*port.to_string()),
        ("zookeeper.secureClientPortAddress", "127.0.0.1"),
        ("zookeeper.client.portUnification", "false"),
        ("zookeeper.ssl.clientAuth", "none"),
    ];
    let Some(server) = server(&certificates, Store::Pem, &secure) else { return };
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert!(server.four_letter_word("conf").contains(&format!("secureClientPort={port}\n")));
    assert!(s_client(&certificates, address, &[], "ruok").contains("imok"));
    assert!(!four_letter_word(address, "ruok").contains("imok"));
    assert!(
        !s_client(&certificates, server.address(), &[], "ruok").contains("imok"),
        "the other port is plain"
    );
}

/// The same file that ZooKeeper's `zkCli.sh -client-configuration` takes, with every kind of store.
#[test]
fn a_client_configuration_of_zookeeper_is_enough_for_the_shell_status_and_bench() {
    if !have_tools(&["openssl", "keytool"]) {
        return;
    }
    let certificates = certificates();
    let Some(one) = server(&certificates, Store::Pem, &[]) else { return };
    let address = one.address().to_string();
    let file = certificates.path("client.properties");
    let write = |store: Store, more: &str| {
        let properties = java_properties(&certificates, store);
        let lines = properties.iter().map(|line| line.trim_start_matches("-D"));
        fs::write(&file, lines.chain([more]).collect::<Vec<_>>().join("\n")).expect("write a file");
    };
    let configured = ["--client-configuration", file.to_str().expect("a path")];
    let shell = |command: &[&str]| ostler(&[&["shell", "-s", &address][..], &configured, command].concat());
    for (number, store) in [Store::Pem, Store::Pkcs12, Store::Jks].into_iter().enumerate() {
        write(store, "");
        let path = format!("/configured-{number}");
        assert_eq!(shell(&["create", &path]), (Some(0), format!("Created {path}\n")), "{}", store.ending());
        assert!(shell(&["whoAmI"]).1.contains("CN=client,O=Ostler"), "{}", store.ending());
    }
    let (code, said) = ostler(&[&["status", "-s", &address][..], &configured].concat());
    assert!(code == Some(0) && said.contains("standalone"), "{code:?}: {said}");
    let measured = format!("tls://{address}");
    let bench = ["bench", "get", "--seconds", "0.2", "--warmup", "0", "-s", &measured];
    assert_eq!(ostler(&[&bench[..], &configured].concat()).0, Some(0));
    write(Store::Jks, "zookeeper.ssl.ocsp=true");
    let (code, said) = shell(&["ls", "/"]);
    assert!(code == Some(2) && said.contains("zookeeper.ssl.ocsp is not supported"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    write(Store::Jks, "zookeeper.client.secure=false");
    let (code, said) = shell(&["ls", "/"]);
    assert!(code == Some(0) && said.contains("zookeeper.client.secure is not true"), "{said}");
    let (code, said) = ostler(&[&bench[..], &configured].concat());
    assert!(code == Some(1) && said.contains("needs zookeeper.client.secure=true"), "{code:?}: {said}");
}

/// The name in the certificate that a server shows.
fn shown_name(address: SocketAddr) -> String {
    let line =
        format!("openssl s_client -connect {address} </dev/null 2>/dev/null | openssl x509 -noout -subject");
    let output = Command::new("sh").args(["-c", &line]).output().expect("run openssl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn await_name(server: &Server, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !shown_name(server.address()).contains(name) {
        assert!(Instant::now() < deadline, "{name} is not shown\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// By SIGHUP, by a command of the AdminServer, and by themselves.
#[test]
fn certificates_are_replaced_while_the_server_runs() {
    if !have_tools(&["openssl", "sh"]) || Kind::under_test() != Kind::Ostler {
        return;
    }
    let certificates = certificates();
    for name in ["second", "third", "fourth"] {
        certificates.issue(name, &format!("/CN={name}"), SERVER);
    }
    let replace = |name: &str| fs::copy(certificates.path(name), certificates.path("server.pem")).unwrap();
    let admin = free_port();
    let admin_port = admin.to_string();
    let options =
        [("admin.enableServer", "true"), ("admin.serverPort", &*admin_port), ("ssl.clientAuth", "none")];
    let first = server(&certificates, Store::Pem, &options).expect("Ostler");
    let mut kept = Session::open(first.address(), 10_000).expect("a session");
    kept.must(&create("/kept", b"", 0));
    await_name(&first, "localhost");
    replace("second.pem");
    first.signal(Signal::HUP);
    await_name(&first, "second");
    certificates.issue("third", "/CN=third", SERVER);
    replace("third.crt");
    first.signal(Signal::HUP);
    first.await_log("the old ones stay in use");
    first.await_log("server.pem: it has no private key");
    await_name(&first, "second");
    assert!(command(admin, "reload_certificates").contains("it has no private key"));
    replace("third.pem");
    assert!(command(admin, "reload_certificates").contains("\"error\": null"));
    await_name(&first, "third");
    kept.must(&get_data("/kept"));
    drop(first);
    let watching = [("client.certReload", "true"), ("ssl.clientAuth", "none")];
    let watching = server(&certificates, Store::Pem, &watching).expect("Ostler");
    await_name(&watching, "third");
    replace("fourth.pem");
    await_name(&watching, "fourth");
}

/// The answer of the AdminServer to a command by POST.
fn command(port: u16, name: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the AdminServer");
    let request = format!(
        "POST /commands/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The first message of a client that speaks TLS, as OpenSSL writes it.
fn client_hello() -> Vec<u8> {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &address])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start openssl");
    let (mut stream, _) = listener.accept().expect("a client");
    let mut head = [0; 5];
    stream.read_exact(&mut head).expect("a record");
    let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut hello).expect("a record");
    drop(stream);
    child.wait().expect("openssl ends");
    [&head[..], &hello].concat()
}

#[test]
fn half_handshakes_end_in_time() {
    if !have_tools(&["openssl"]) || Kind::under_test() != Kind::Ostler {
        return;
    }
    let certificates = certificates();
    let server =
        server(&certificates, Store::Pem, &[("ssl.handshakeDetectionTimeoutMillis", "300")]).expect("Ostler");
    let hello = client_hello();
    for part in [&[][..], &hello[..1], &hello[..20], &hello] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.write_all(part).expect("send");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(begun.elapsed() < Duration::from_secs(8), "{} bytes: {:?}", part.len(), begun.elapsed());
        assert!(begun.elapsed() >= Duration::from_millis(300), "{} bytes", part.len());
    }
    assert_eq!(server.four_letter_word("ruok"), "imok");
}

/// Each costs the server a signature, and none ever answers.
#[test]
fn a_herd_of_handshakes_does_not_stall_who_is_connected() {
    if !have_tools(&["openssl"]) || Kind::under_test() != Kind::Ostler {
        return;
    }
    let certificates = certificates();
    let server = server(&certificates, Store::Pem, &[]).expect("Ostler");
    let mut connected = Session::open(server.address(), 30_000).expect("a session");
    connected.must(&create("/a", b"", 0));
    let hello = client_hello();
    let mut herd = Vec::new();
    let (mut slowest, mut asked) = (Duration::ZERO, 0);
    for round in 0..30 {
        for _ in 0..100 {
            let mut stream = TcpStream::connect(server.address()).expect("a connection");
            let part = if round % 3 == 0 { &hello[..30] } else { &hello };
            let _ = stream.write_all(part);
            herd.push(stream);
        }
        for _ in 0..5 {
            let begun = Instant::now();
            connected.must(&get_data("/a"));
            slowest = slowest.max(begun.elapsed());
            asked += 1;
        }
        // No more descriptors than a test may have.
        herd.drain(..herd.len().saturating_sub(500));
    }
    println!("the slowest of {asked} reads took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(server.memory_bytes_max() < 400 << 20);
}
