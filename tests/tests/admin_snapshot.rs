//! The command `snapshot` of the AdminServer: who gets one, and that a server starts from it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use ostler_tests::certificates::{Certificates, Store};
use ostler_tests::process::{Kind, Server, free_port, have_tools};
use ostler_tests::request::{AclEntry, Request};
use ostler_tests::session::{Session, create, get_data};

const TIMEOUT_MS: i32 = 30_000;
/// `digest` of `root:secret`.
const ROOT: &str = "root:J1scEM42CKaLPP5+ElgpgGsuONg=";
const NO_AUTH: i32 = -102;

/// A server with these lines, and where its AdminServer is.
fn start(kind: Kind, more: &str) -> Option<(Server, SocketAddr)> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let lines = format!(
        "admin.enableServer=true\nadmin.serverAddress=127.0.0.1\nadmin.serverPort={}\n{more}",
        address.port()
    );
    Some((Server::start_with_lines(kind, &lines)?, address))
}

/// Status, headers in lower case and body of the answer to `snapshot`.
fn ask(address: SocketAddr, query: &str, authorization: Option<&str>) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("the AdminServer");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let line = authorization.map(|text| format!("Authorization: {text}\r\n")).unwrap_or_default();
    let head = format!(
        "GET /commands/snapshot{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{line}\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the answer");
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("the end of the headers");
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    (head[9..12].parse().expect("a status"), head, answer[end + 4..].to_vec())
}

/// Waits for the AdminServer, which ZooKeeper starts after it serves clients.
fn await_admin_server(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "the AdminServer does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The value of a header.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn open(server: &Server) -> Session {
    Session::open(server.address(), TIMEOUT_MS).expect("a session")
}

fn set_root_acl(session: &mut Session, acl: &[(i32, &str, &str)]) {
    let entry = |&(perms, scheme, id): &(i32, &str, &str)| -> AclEntry { (perms, scheme.into(), id.into()) };
    let acl = Some(acl.iter().map(entry).collect());
    session.must(&Request::SetAcl { path: "/".to_owned(), acl, version: -1 });
}

/// The same answers as ZooKeeper's, whose AdminServer looks at the ACL of `/` too.
#[test]
fn a_snapshot_needs_every_permission_on_the_root() {
    for kind in [Kind::Ostler, Kind::ZooKeeper] {
        let Some((server, address)) = start(kind, "") else { continue };
        await_admin_server(address);
        let mut session = open(&server);
        session.must(&Request::Auth { scheme: "digest".into(), auth: Some(b"root:secret".to_vec()) });
        set_root_acl(&mut session, &[(30, "digest", ROOT), (31, "ip", "10.9.8.7")]);
        for (authorization, status) in [
            (None, 401),
            (Some("digest"), 401),
            (Some("digest root:secret x"), 401),
            (Some("sasl root"), 401),
            (Some("nosuch root:secret"), 401),
            (Some("digest root:guessed"), 403),
            (Some("digest root:secret"), 403),
            (Some("ip"), 403),
        ] {
            assert_eq!(ask(address, "", authorization).0, status, "{kind:?} {authorization:?}");
        }
        set_root_acl(&mut session, &[(31, "digest", ROOT)]);
        let (status, head, body) = ask(address, "?streaming=true", Some("digest root:secret"));
        assert_eq!(
            (status, header(&head, "content-type")),
            (200, Some("application/octet-stream")),
            "{kind:?}"
        );
        assert_eq!(header(&head, "snapshot_size"), Some(&*body.len().to_string()), "{kind:?}");
        assert!(header(&head, "last_zxid").is_some_and(|zxid| zxid.starts_with("0x")), "{kind:?} {head}");
        // The super user of digest passes every check; ZooKeeper's limit is a few thousandths of
        // what its manual says.
        let second = ask(address, "?streaming=false", Some("digest super:test")).0;
        assert!(second == 429 || kind == Kind::ZooKeeper && second == 200, "{kind:?} {second}");
    }
}

/// Ostler's own: what everyone may do by the ACL of `/`, nobody has proven to be allowed to.
#[test]
fn an_open_root_gives_no_snapshot_to_strangers() {
    let (server, address) = start(Kind::Ostler, "admin.rateLimiterIntervalInMS=0\n").expect("Ostler");
    for authorization in ["digest any:one", "ip"] {
        let (status, _, body) = ask(address, "", Some(authorization));
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(status == 403 && text.contains("world:anyone does not count"), "{authorization}: {text}");
    }
    assert_eq!(ask(address, "", Some("digest super:test")).0, 200);
    set_root_acl(&mut open(&server), &[(31, "world", "anyone"), (31, "ip", "127.0.0.1")]);
    let (status, head, body) = ask(address, "?streaming=false", Some("ip"));
    assert_eq!((status, header(&head, "content-type")), (200, Some("application/json")));
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("\"command\": \"snapshot\"") && text.contains("\"error\": null"), "{text}");
}

/// The file of a snapshot, in the folder of an empty server, is everything: nodes with their ACLs,
/// in the state when it was taken.
#[test]
fn a_server_starts_from_the_snapshot_of_another() {
    let (server, address) = start(Kind::Ostler, "admin.rateLimiterIntervalInMS=0\n").expect("Ostler");
    let mut session = open(&server);
    session.must(&Request::Auth { scheme: "digest".into(), auth: Some(b"root:secret".to_vec()) });
    for number in 0..2_000 {
        session.must(&create(&format!("/n{number}"), &[b'x'; 1_000], 0));
    }
    set_root_acl(&mut session, &[(31, "digest", ROOT)]);
    let (status, head, file) = ask(address, "", Some("digest root:secret"));
    assert_eq!(status, 200);
    let named = header(&head, "content-disposition").and_then(|text| text.split('"').nth(1)).expect("a name");
    session.must(&create("/later", b"", 0));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let snapshots = folder.path().join("snapshot");
    fs::create_dir(&snapshots).expect("the folder for snapshots");
    fs::write(snapshots.join(named), &file).expect("write the snapshot");
    let restored = Server::start_on(folder.path(), &[]);
    let mut session = open(&restored);
    assert_eq!(session.call(&create("/stranger", b"", 0)).err, NO_AUTH, "the ACL of / is there");
    session.must(&Request::Auth { scheme: "digest".into(), auth: Some(b"root:secret".to_vec()) });
    session.must(&get_data("/n0"));
    session.must(&get_data("/n1999"));
    assert_ne!(session.call(&get_data("/later")).err, 0, "it came after the snapshot");
    session.must(&create("/goes-on", b"", 0));
}

/// By HTTPS, the subject of a client's certificate is its identity, as on the client port.
#[test]
fn a_snapshot_can_be_for_a_certificate() {
    if !have_tools(&["openssl", "curl"]) {
        return;
    }
    let certificates = Certificates::new();
    let server = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n";
    certificates.issue("server", "/O=Ostler/CN=localhost", server);
    for name in ["backup", "other"] {
        certificates.issue(name, &format!("/O=Ostler/CN={name}"), "extendedKeyUsage=clientAuth\n");
    }
    let settings = certificates.server_settings("server", Store::Pem).into_iter();
    let lines: String = settings
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{}={value}\n", key.trim_start_matches("zookeeper.")))
        .collect();
    let quorum = lines
        .lines()
        .filter(|line| line.starts_with("ssl."))
        .fold(String::new(), |all, line| all + &line.replacen("ssl.", "ssl.quorum.", 1) + "\n");
    let more = format!("{lines}{quorum}admin.forceHttps=true\nadmin.needClientAuth=true\n");
    let (server, address) = start(Kind::Ostler, &more).expect("Ostler");
    set_root_acl(&mut open(&server), &[(31, "x509", "CN=backup,O=Ostler"), (31, "world", "anyone")]);
    let with = |name: &str, authorization: &str| {
        let own = certificates.path(&format!("{name}.pem")).display().to_string();
        let ca = certificates.path("ca.pem").display().to_string();
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20", "--cacert", &ca]);
        curl.args(["--cert", &own, "--key", &own, "-H", &format!("Authorization: {authorization}")]);
        let output = curl.arg(format!("https://{address}/commands/snapshot")).output().expect("run curl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(with("other", "x509"), "403");
    assert_eq!(with("backup", "digest any:one"), "403");
    assert_eq!(with("backup", "x509"), "200");
}
