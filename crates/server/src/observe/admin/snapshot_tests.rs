//! Who gets a snapshot from the AdminServer, and what it gets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::tests::{request_with, started};
use super::*;
use crate::inbox::WrittenSnapshot;
use crate::observe::stats::fake::Fake;

const NAME: &str = "snapshot.0000000000000000.0000000000000009.0000000000000001.0000000000000fff";
/// `digest` of `u:p`.
const U: &str = "digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=";

/// A server whose snapshots are this file, for these identities.
fn serving(dir: &Path, content: &str, copiers: &[&str], interval_ms: u32) -> (AdminServer, Arc<Fake>) {
    let path = dir.join(NAME);
    std::fs::write(&path, content).unwrap();
    let mut source = Fake::new();
    source.snapshot = Ok(WrittenSnapshot { path, zxid: 0xfff });
    source.copiers = copiers.iter().map(|&id| id.to_owned()).collect();
    source.config.admin.as_mut().unwrap().snapshot_interval_ms = interval_ms;
    started(source)
}

/// Status and body of the answer to a request with this header.
fn ask(server: &AdminServer, query: &str, headers: &str) -> (u16, String, String) {
    let (head, body) =
        request_with(server.address.unwrap(), &format!("GET /commands/snapshot{query}"), headers);
    (head[9..12].parse().unwrap(), head, body)
}

#[test]
fn a_snapshot_is_a_file_with_zookeepers_headers() {
    let dir = tempfile::tempdir().unwrap();
    // Several pieces.
    let content = "snapshot ".repeat(100_000);
    let (server, _) = serving(dir.path(), &content, &[U], 0);
    for query in ["", "?streaming=true", "?streaming=TRUE"] {
        let (status, head, body) = ask(&server, query, "Authorization: digest u:p\r\n");
        assert_eq!(status, 200, "{head}");
        assert!(
            head.contains("\r\nlast_zxid: 0xfff") && head.contains("\r\nsnapshot_size: 900000"),
            "{head}"
        );
        assert!(head.contains("content-type: application/octet-stream"), "{head}");
        assert!(head.contains("content-length: 900000"), "{head}");
        assert!(head.contains(&format!("content-disposition: attachment; filename=\"{NAME}\"")), "{head}");
        assert!(body == content, "{} bytes", body.len());
    }
    for query in ["?streaming=false", "?streaming="] {
        let (status, head, body) = ask(&server, query, "Authorization: digest u:p\r\n");
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("snapshot_size: 900000") && head.contains("application/json"), "{head}");
        let fields: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(fields, serde_json::json!({ "command": "snapshot", "error": null }));
    }
}

#[test]
fn a_snapshot_is_for_an_identity_that_the_root_allows() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = serving(dir.path(), "content", &[U], 0);
    for (headers, expected) in [
        ("", 401),
        ("Authorization: digest\r\n", 401),
        ("Authorization: digest u:p x\r\n", 401),
        ("Authorization: digest  u:p\r\n", 401),
        ("Authorization: sasl u:p\r\n", 401),
        ("Authorization: x509\r\n", 401),
        ("Authorization: super u:p\r\n", 401),
        ("Authorization: world anyone\r\n", 401),
        ("Authorization: digest u:q\r\n", 403),
        ("Authorization: ip\r\n", 403),
        ("Authorization: ip 10.0.0.1\r\n", 403),
        ("Authorization: digest u:p\r\nOrigin: http://evil.example\r\n", 403),
        ("Authorization: digest u:p\r\n", 200),
    ] {
        let (status, _, body) = ask(&server, "", headers);
        assert_eq!(status, expected, "{headers}: {body}");
        assert_eq!(body == "content", expected == 200, "{headers}: {body}");
    }
    let post = request_with(server.address.unwrap(), "POST /commands/snap", "Authorization: digest u:p\r\n");
    assert!(post.0.starts_with("HTTP/1.1 405"), "{post:?}");
}

/// Any client can write the header, so it counts only where that is configured.
#[test]
fn an_address_that_a_proxy_passes_on_counts_where_that_is_configured() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = serving(dir.path(), "content", &["ip:127.0.0.1"], 0);
    let forwarded = "Authorization: ip\r\nX-Forwarded-For: 10.1.2.3, 10.0.0.1\r\n";
    assert_eq!(ask(&server, "", forwarded).0, 200);
    drop(server);
    let mut source = Fake::new();
    source.snapshot = Err("this one is not for the disk".to_owned());
    source.copiers = vec!["ip:10.1.2.3".to_owned()];
    let admin = source.config.admin.as_mut().unwrap();
    (admin.trusts_forwarded_for, admin.snapshot_interval_ms) = (true, 0);
    let (server, _) = started(source);
    assert_eq!(ask(&server, "", "Authorization: ip\r\n").0, 403);
    let (status, _, body) = ask(&server, "", forwarded);
    assert_eq!(status, 500);
    assert!(body.contains("no snapshot: this one is not for the disk"), "{body}");
}

#[test]
fn snapshots_for_clients_can_be_off_and_are_rare() {
    let dir = tempfile::tempdir().unwrap();
    let own = "Authorization: digest u:p\r\n";
    let (server, source) = serving(dir.path(), "content", &[U], 300_000);
    assert_eq!(ask(&server, "", "Authorization: digest u:q\r\n").0, 403, "it does not count");
    assert_eq!(ask(&server, "", own).0, 200);
    let (status, _, body) = ask(&server, "", own);
    assert_eq!(status, 429);
    assert!(body.contains("admin.rateLimiterIntervalInMS"), "{body}");
    source.serving.store(false, Relaxed);
    let (status, _, body) = ask(&server, "", "");
    assert_eq!(status, 200);
    assert!(body.contains("This ZooKeeper instance is not currently serving requests"), "{body}");
    let mut source = Fake::new();
    source.config.admin.as_mut().unwrap().snapshots = false;
    source.copiers = vec![U.to_owned()];
    let (server, _) = started(source);
    let (status, _, body) = ask(&server, "", own);
    assert_eq!(status, 503);
    assert!(body.contains("admin.snapshot.enabled=false"), "{body}");
}
