//! The AdminServer over real sockets, against recordings of ZooKeeper 3.9.5.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use super::*;
use crate::config::Metrics;
use crate::observe::stats::fake::Fake;

/// A free port below those that the system gives to outgoing connections, so that no connection of
/// another test has it.
pub(super) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Relaxed).wrapping_add((std::process::id() % 10_000) as u16);
        let address = SocketAddr::from(([127, 0, 0, 1], 20_000 + offset % 10_000));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// An AdminServer on a free port.
pub(super) fn started(source: Fake) -> (AdminServer, Arc<Fake>) {
    let source = Arc::new(with_free_port(source));
    let (server, unavailable) = start(Arc::clone(&source) as Arc<dyn Source>, Acceptors::default()).unwrap();
    assert!(unavailable.is_empty(), "{unavailable:?}");
    (server, source)
}

fn with_free_port(mut source: Fake) -> Fake {
    let admin = source.config.admin.as_mut().unwrap();
    admin.address = free_address();
    source
}

/// Status line, headers and body of one request.
fn request(address: SocketAddr, request: &str) -> (String, String) {
    request_with(address, request, "")
}

/// As [`request`], with further headers, each with the end of its line.
pub(super) fn request_with(address: SocketAddr, request: &str, more: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{more}\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

pub(super) fn command(server: &AdminServer, name: &str) -> Value {
    let (head, body) = request(server.address.unwrap(), &format!("GET /commands/{name}"));
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

/// ZooKeeper's recorded answers, by command.
pub(super) fn recorded(text: &'static str) -> Vec<(&'static str, Value)> {
    let entries = text.split("=== ").skip(1);
    entries
        .map(|entry| entry.split_once('\n').unwrap())
        .map(|(name, body)| (name, serde_json::from_str(body).unwrap()))
        .collect()
}

/// Checks that every field of `theirs` is in `ours`, with the same kind of value; objects whose
/// keys are data are compared by kind only.
pub(super) fn assert_same_fields(command: &str, theirs: &Value, ours: &Value) {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            for (key, their) in
                theirs.iter().filter(|(key, _)| !key.starts_with(|c: char| c.is_ascii_digit() || c == '/'))
            {
                let our = ours.get(key).unwrap_or_else(|| panic!("{command} lacks {key}"));
                assert_same_fields(&format!("{command}.{key}"), their, our);
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(their), Some(our)) = (theirs.first(), ours.first()) {
                assert_same_fields(command, their, our);
            }
        }
        (Value::Number(their), Value::Number(our)) => assert_eq!(their.is_f64(), our.is_f64(), "{command}"),
        (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => {}
        _ => panic!("{command}: {theirs} became {ours}"),
    }
}

#[test]
fn commands_answer_with_the_fields_of_zookeeper() {
    let (server, _) = started(Fake::new());
    let recorded = recorded(include_str!("../../../testdata/zookeeper-3.9.5/admin.txt"));
    assert!(recorded.len() >= 22, "{}", recorded.len());
    for (name, theirs) in recorded {
        assert_same_fields(name, &theirs, &command(&server, name));
    }
}

#[test]
fn values_come_from_the_source() {
    let (server, source) = started(Fake::new());
    let stats = command(&server, "srvr");
    assert_eq!(stats["command"], "server_stats");
    assert_eq!(stats["server_stats"]["max_latency"], 61);
    assert_eq!(stats["server_stats"]["avg_latency"], 4.9524);
    assert_eq!(stats["node_count"], 12);
    assert_eq!(command(&server, "config")["data_dir"], "/var/lib/ostler");
    assert_eq!(command(&server, "cons")["connections"][0]["session_id"], 72_057_701_932_204_032_i64);
    assert_eq!(command(&server, "cons")["connections"][1].get("session_id"), None);
    assert_eq!(command(&server, "lsnp")["timestamp"], 1_795_408_467);
    assert_eq!(command(&server, "mntr")["znode_count"], 12);
    assert_eq!(
        command(&server, "wchc")["session_id_to_watched_paths"]["72057701932204032"],
        serde_json::json!(["/app", "/app/none"])
    );
    assert_eq!(
        command(&server, "dump")["session_id_to_ephemeral_paths"]["72057701932204032"][1],
        "/app/worker"
    );
    assert_eq!(
        command(&server, "icfg")["initial_configuration"],
        "4lw.commands.whitelist=*\ndataDir=/var/lib/ostler\ntickTime=2000\n"
    );
    assert_eq!(command(&server, "sysp")["zookeeper.tickTime"], "2000");
    command(&server, "srst");
    command(&server, "crst");
    assert_eq!((source.resets.load(Relaxed), source.connection_resets.load(Relaxed)), (1, 1));
}

#[test]
fn errors_are_in_the_field_error() {
    let (server, source) = started(Fake::new());
    assert_eq!(command(&server, "nosuch")["error"], "Unknown command: nosuch");
    source.serving.store(false, Relaxed);
    assert_eq!(
        command(&server, "srvr")["error"],
        "This ZooKeeper instance is not currently serving requests"
    );
    assert_eq!(command(&server, "env")["error"], Value::Null);
    for name in ["restore", "rest"] {
        let (head, body) = request(server.address.unwrap(), &format!("POST /commands/{name}"));
        assert!(head.starts_with("HTTP/1.1 501 "), "{head}");
        assert!(body.contains("into the folder snapshot of an empty data directory"), "{body}");
    }
    assert!(request(server.address.unwrap(), "POST /commands/srvr").0.starts_with("HTTP/1.1 405 "));
    assert!(request(server.address.unwrap(), "GET /other").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn the_list_of_commands_has_links() {
    let (server, _) = started(Fake::new());
    for path in ["/commands", "/commands/"] {
        let (_, body) = request(server.address.unwrap(), &format!("GET {path}"));
        assert!(body.contains("<a href=\"/commands/server_stats\">server_stats</a>\n<br/>\n"), "{body}");
    }
}

#[test]
fn the_command_url_can_be_moved() {
    let mut source = Fake::new();
    source.config.admin.as_mut().unwrap().command_url = "/zk".into();
    let (server, _) = started(source);
    assert!(request(server.address.unwrap(), "GET /zk/ruok").0.starts_with("HTTP/1.1 200"));
    assert!(request(server.address.unwrap(), "GET /commands/ruok").0.starts_with("HTTP/1.1 404"));
}

#[test]
fn prometheus_finds_metrics_on_both_ports() {
    let mut source = Fake::new();
    source.config.metrics = Some(Metrics { address: Some(free_address()), tls: None });
    let (server, _) = started(source);
    for address in [server.address, server.metrics_address] {
        let (head, body) = request(address.unwrap(), "GET /metrics");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("\nznode_count 12\n"), "{body}");
    }
    assert!(request(server.metrics_address.unwrap(), "GET /commands/ruok").0.starts_with("HTTP/1.1 404"));
}

#[test]
fn a_taken_port_is_a_warning() {
    let taken = std::net::TcpListener::bind(free_address()).unwrap();
    let mut source = Fake::new();
    source.config.admin.as_mut().unwrap().address = taken.local_addr().unwrap();
    let (server, unavailable) = start(Arc::new(source), Acceptors::default()).unwrap();
    assert_eq!(server.address, None);
    let text = unavailable[0].to_string();
    let expected = format!("cannot open {} for the AdminServer: ", taken.local_addr().unwrap());
    assert!(text.starts_with(&expected) && text.contains("admin.serverPort"), "{text}");
}

#[test]
fn nothing_is_started_when_it_is_switched_off() {
    let mut source = Fake::new();
    source.config.admin = None;
    let (server, unavailable) = start(Arc::new(source), Acceptors::default()).unwrap();
    assert_eq!((server.address, server.metrics_address, unavailable.len()), (None, None, 0));
}

#[test]
fn dropping_it_frees_the_port_even_with_a_connection_open() {
    let (server, _) = started(Fake::new());
    let address = server.address.unwrap();
    let _idle = TcpStream::connect(address).unwrap();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}
