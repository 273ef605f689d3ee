//! What the four-letter words of a running server tell, beyond their form.

use std::collections::{BTreeMap, BTreeSet};

use ostler_tests::process::{Kind, Server};
use ostler_tests::session::{Session, create, get_data, ping, set_data};

const TIMEOUT_MS: i32 = 30_000;

/// The fields of a session's connection in `cons`, from `sid` on.
fn cons(server: &Server, session: &Session) -> BTreeMap<String, String> {
    let all = server.four_letter_word("cons");
    let wanted = format!(",sid={:#x},", session.identity.id);
    let line = all.lines().find(|line| line.contains(&wanted)).unwrap_or_else(|| panic!("{wanted} in {all}"));
    let (_, fields) = line.trim_end_matches(')').split_once('(').expect("fields in brackets");
    let pairs = fields.split(',').map(|field| field.split_once('=').expect("name=value"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn cons_tells_of_the_last_answer() {
    let server = Server::start_with(Kind::Ostler, &[]).expect("the server");
    let mut one = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    let fields = cons(&server, &one);
    assert_eq!((&*fields["lop"], &*fields["lcxid"]), ("SESS", "0x0"), "{fields:?}");
    assert_ne!(fields["lzxid"], "0x0", "a new session has a zxid");

    let created = one.must(&create("/a", b"x", 0));
    let fields = cons(&server, &one);
    assert_eq!(fields["lop"], "CREA");
    assert_eq!(fields["lcxid"], format!("{:#x}", created.xid));
    assert_eq!(fields["lzxid"], format!("{:#x}", created.zxid));
    let answered_ms: u64 = fields["lresp"].parse().expect("ms");
    assert!(answered_ms > 0, "{fields:?}");

    // What others do is not told here, until an answer shows it. A ping has no number of its own.
    let mut other = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    let set = other.must(&set_data("/a", b"y"));
    assert_eq!(cons(&server, &one), fields);
    assert_eq!(one.call(&ping()).zxid, set.zxid);
    let fields = cons(&server, &one);
    assert_eq!(fields["lop"], "PING");
    assert_eq!(fields["lcxid"], format!("{:#x}", created.xid));
    assert_eq!(fields["lzxid"], format!("{:#x}", set.zxid));
    assert!(fields["lresp"].parse::<u64>().expect("ms") >= answered_ms, "{fields:?}");

    // A read behind a write, which another thread answers.
    let xids = [one.send(&set_data("/a", b"z")), one.send(&get_data("/a"))];
    let zxids = xids.map(|_| one.reply().expect("a reply").zxid);
    let fields = cons(&server, &one);
    assert_eq!(fields["lop"], "GETD");
    assert_eq!(fields["lcxid"], format!("{:#x}", xids[1]));
    assert_eq!(fields["lzxid"], format!("{:#x}", zxids[1]));

    server.four_letter_word("crst");
    let fields = cons(&server, &one);
    assert_eq!((&*fields["lop"], fields.get("lcxid")), ("NA", None));
    assert_eq!((&*fields["lzxid"], &*fields["lresp"]), ("0xffffffffffffffff", "0"));
}

#[test]
fn mntr_tells_how_long_the_start_took_to_load() {
    let mut server = Server::start_with(Kind::Ostler, &[]).expect("the server");
    for start in ["the first", "the second"] {
        // Each start counts its own loading, however short it was.
        let all = server.four_letter_word("mntr");
        let value = |key: &str| {
            let line = all.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'));
            line.unwrap_or_else(|| panic!("{key} in {all}")).parse::<f64>().expect("a number")
        };
        assert_eq!(value("zk_cnt_dbinittime"), 1.0, "{start} start");
        let (min, max, sum) = ("zk_min_dbinittime", "zk_max_dbinittime", "zk_sum_dbinittime");
        assert_eq!((value(min), value(max)), (value(sum), value(sum)), "{start} start");
        server.restart();
    }
}

/// `zkServer.sh status` asks `srvr`, and clients that look for a server which can write ask `isro`.
/// A list that names neither took both away, so a running server looked stopped.
#[test]
fn words_that_zookeeper_always_allows_need_no_list() {
    let settings = [("zookeeper.4lw.commands.whitelist", "stat"), ("readonlymode.enabled", "true")];
    let server = Server::start_with(Kind::Ostler, &settings).expect("the server");
    assert!(server.four_letter_word("srvr").starts_with("Zookeeper version: "));
    assert_eq!(server.four_letter_word("isro"), "rw");
    assert!(server.four_letter_word("stat").starts_with("Zookeeper version: "));
    assert_eq!(server.four_letter_word("mntr"), "mntr is not executed because it is not in the whitelist.\n");
}

/// Zabbix, netdata, exporters and the alert rules of ZooKeeper's own guide read numbers by
/// ZooKeeper's names: one that is missing leaves a graph empty, or an alert that never fires. Every
/// name that a running ZooKeeper has is here, or is listed in COMPATIBILITY.md with the reason.
#[test]
fn every_number_of_zookeeper_is_here_or_is_listed_with_the_reason() {
    let Some(zookeeper) = Server::start_with(Kind::ZooKeeper, &[]) else { return };
    let ostler = Server::start_with(Kind::Ostler, &[]).expect("the server");
    let (theirs, ours) = (numbers(&zookeeper), numbers(&ostler));
    let text = include_str!("../../COMPATIBILITY.md");
    let (_, listed) = text.split_once("\n### Numbers that are not here").expect("the list");
    let listed = listed.split("\n## ").next().unwrap_or_default();
    let is_listed = |name: &str| {
        let mut names = listed.split('`').skip(1).step_by(2);
        names.any(|listed| match (listed.strip_prefix('*'), listed.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (None, Some(start)) => name.starts_with(start),
            (None, None) => name == listed,
        })
    };
    for name in &theirs {
        assert_ne!(ours.contains(name), is_listed(name), "{name}: here, or listed, and not both");
    }
    let made_up: Vec<&String> =
        ours.iter().filter(|name| !theirs.contains(*name) && !name.contains("ostler_")).collect();
    assert_eq!(made_up, ["fsync_threshold_exceed_count"], "names of our own begin with ostler_");
}

/// The names in `mntr`, those of summaries without what is told of them.
fn numbers(server: &Server) -> BTreeSet<String> {
    let all = server.four_letter_word("mntr");
    let names = all.lines().filter_map(|line| line.split_once('\t')).map(|(name, _)| name);
    let names = names.filter_map(|name| name.strip_prefix("zk_")).map(|name| {
        let parts = ["avg_", "min_", "max_", "cnt_", "sum_", "p50_", "p95_", "p99_", "p999_"];
        let bare = parts.iter().find_map(|part| name.strip_prefix(part));
        bare.filter(|bare| all.contains(&format!("zk_cnt_{bare}\t"))).unwrap_or(name).to_owned()
    });
    names.collect()
}
