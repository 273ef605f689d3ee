//! Answers against recordings of ZooKeeper 3.9.5.

use super::*;
use crate::observe::stats::ServerState;
use crate::observe::stats::fake::Fake;

fn ask(word: &str, source: &Fake) -> String {
    let first = word.as_bytes().first_chunk::<4>().copied().unwrap();
    match Word::recognise(first).unwrap().answer(&word.as_bytes()[4..], source) {
        Answer::Text(text) => text,
        Answer::More => panic!("{word} wants more"),
    }
}

/// The shape of an answer: numbers, addresses and dates masked, so that two servers in different
/// states compare.
fn shape(text: &str) -> String {
    let mut out = String::new();
    let mut in_number = false;
    for c in text.chars() {
        let is_number = c.is_ascii_digit() || (in_number && c.is_ascii_hexdigit());
        if is_number && !in_number {
            out.push('0');
        } else if !is_number {
            out.push(c);
        }
        in_number = is_number || (in_number && c == 'x');
    }
    out
}

/// The keys of the lines.
fn keys(text: &str, separator: char) -> Vec<String> {
    text.lines().map(|line| line.split(separator).next().unwrap_or_default().to_owned()).collect()
}

macro_rules! recorded {
    ($word:literal) => {
        include_str!(concat!("../../../testdata/zookeeper-3.9.5/", $word, ".txt"))
    };
}

#[test]
fn words_are_recognised_by_their_four_bytes() {
    for &word in Word::ALL {
        assert_eq!(Word::recognise(word.name().as_bytes().try_into().unwrap()), Some(word));
    }
    assert_eq!(Word::recognise([0, 0, 0, 45]), None);
    assert_eq!(Word::recognise(*b"RUOK"), None);
}

#[test]
fn only_words_of_the_whitelist_are_answered() {
    let mut source = Fake::new();
    source.config.words = WordList::Only(vec!["srvr".into()]);
    assert_eq!(ask("ruok", &source), "ruok is not executed because it is not in the whitelist.\n");
    assert!(ask("srvr", &source).starts_with("Zookeeper version: "));
    assert_eq!(ask("srst", &source), "srst is not executed because it is not in the whitelist.\n");
    assert_eq!(source.resets.load(std::sync::atomic::Ordering::Relaxed), 0);
    source.config.words = WordList::All;
    assert_eq!(ask("ruok", &source), recorded!("ruok"));
}

#[test]
fn a_server_that_does_not_serve_says_so() {
    let source = Fake::new();
    source.serving.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(ask("srvr", &source), "This ZooKeeper instance is not currently serving requests\n");
    assert_eq!(ask("mntr", &source), "This ZooKeeper instance is not currently serving requests\n");
    assert_eq!(ask("isro", &source), "null");
    assert_eq!(ask("ruok", &source), "imok");
}

#[test]
fn words_with_fixed_answers_answer_as_zookeeper() {
    let source = Fake::new();
    assert_eq!(ask("isro", &source), recorded!("isro"));
    assert_eq!(ask("gtmk", &source), recorded!("gtmk"));
    assert_eq!(ask("crst", &source), recorded!("crst"));
    assert_eq!(ask("srst", &source), recorded!("srst"));
    assert_eq!(source.resets.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(source.connection_resets.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn stmk_waits_for_its_mask() {
    let source = Fake::new();
    assert_eq!(Word::Stmk.answer(&[0; 7], &source), Answer::More);
    assert_eq!(ask("stmk\0\0\0\0\0\0\0\u{5}", &source), "5");
    assert_eq!(Word::Stmk.answer(&[0xff; 8], &source), Answer::Text("-1".into()));
}

#[test]
fn srvr_and_stat_have_the_lines_of_zookeeper() {
    let source = Fake::new();
    let without_version = |text: &str| shape(text.split_once('\n').unwrap().1);
    assert_eq!(without_version(&ask("srvr", &source)), without_version(recorded!("srvr")));
    let (ours, theirs) = (ask("stat", &source), recorded!("stat"));
    let tail = |text: &str| shape(text.split_once("\n\n").unwrap().1);
    assert_eq!(tail(&ours), tail(theirs));
    assert!(ours.contains("UTC\nClients:\n /127.0.0.1:60976[1](queued=0,recved=21,sent=23)\n"), "{ours}");
    assert!(ours.contains("Latency min/avg/max: 0/4.9524/61\n"), "{ours}");
}

/// ZooKeeper's Java tests wait for exactly this prefix and for the absence of READ-ONLY.
#[test]
fn read_only_mode_shows_in_srvr() {
    let mut source = Fake::new();
    assert!(ask("srvr", &source).starts_with("Zookeeper version: 3.9.5-"));
    assert!(!ask("stat", &source).contains("READ-ONLY"));
    source.facts.root.state = ServerState::ReadOnly;
    assert!(ask("srvr", &source).contains("UTC\nREAD-ONLY mode; serving only read-only clients\n"));
    assert!(ask("srvr", &source).contains("Mode: read-only\n"));
    assert_eq!(ask("isro", &source), "ro");
}

#[test]
fn conf_has_the_keys_of_zookeeper_in_its_order() {
    assert_eq!(keys(&ask("conf", &Fake::new()), '='), keys(recorded!("conf"), '='));
    assert!(ask("conf", &Fake::new()).contains("dataDir=/var/lib/ostler\ndataDirSize=457\n"));
}

#[test]
fn cons_has_the_fields_of_zookeeper() {
    let ours = ask("cons", &Fake::new());
    let lines = |text: &str| -> Vec<String> {
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                shape(&line.replace("[0:0:0:0:0:0:0:1]", "127.0.0.1").replace("lop=PING", "lop=CREA"))
            })
            .collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(lines(&ours), lines(recorded!("cons")));
    assert!(ours.contains(" /[0:0:0:0:0:0:0:1]:50644[1](queued=0,recved=1,sent=0)\n\n"), "{ours}");
    assert!(
        ours.contains(",sid=0x10000191f000000,lop=PING,est=1795408509153,to=30000,lcxid=0x13,lzxid=0x8,"),
        "{ours}"
    );
}

#[test]
fn dirs_and_envi_have_the_keys_of_zookeeper() {
    assert_eq!(shape(&ask("dirs", &Fake::new())), shape(recorded!("dirs")));
    assert_eq!(keys(&ask("envi", &Fake::new()), '='), keys(recorded!("envi"), '='));
}

#[test]
fn dump_groups_sessions_by_their_expiry() {
    let expected = "SessionTracker dump:\n\
        Session Sets (1)/(1):\n\
        1 expire at Mon Nov 23 04:35:51 UTC 2026:\n\
        \t0x10000191f000000\n\
        ephemeral nodes dump:\n\
        Sessions with Ephemerals (1):\n\
        0x10000191f000000:\n\
        \t/app/worker2\n\
        \t/app/worker\n\
        Connections dump:\n\
        Connections Sets (2)/(2):\n\
        1 expire at Mon Nov 23 04:35:40 UTC 2026:\n\
        \tip: /[0:0:0:0:0:0:0:1]:50644 sessionId: 0x0\n\
        1 expire at Mon Nov 23 04:35:51 UTC 2026:\n\
        \tip: /127.0.0.1:60976 sessionId: 0x10000191f000000\n";
    assert_eq!(ask("dump", &Fake::new()), expected);
    // ZooKeeper's own list differs only in its empty first set.
    let theirs = recorded!("dump").lines().filter(|line| !line.starts_with("0 expire at")).map(shape);
    let ours = expected.lines().map(|line| shape(&line.replace("[0:0:0:0:0:0:0:1]", "127.0.0.1")));
    let unordered = |lines: Vec<String>| lines.into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(
        unordered(ours.map(|line| line.replace("Sets (0)/(0)", "Sets")).collect()),
        unordered(theirs.map(|line| line.replace("Sets (0)/(0)", "Sets")).collect())
    );
}

#[test]
fn watch_words_list_each_pair_once() {
    let source = Fake::new();
    assert_eq!(ask("wchs", &source), "2 connections watching 2 paths\nTotal watches:3\n");
    assert_eq!(shape(&ask("wchs", &source)), shape(recorded!("wchs")));
    assert_eq!(
        ask("wchp", &source),
        "/app\n\t0x10000191f000000\n\t0x10000191f000001\n/app/none\n\t0x10000191f000000\n\n"
    );
    assert_eq!(ask("wchc", &source), "0x10000191f000000\n\t/app\n\t/app/none\n0x10000191f000001\n\t/app\n\n");
    assert_eq!(recorded!("wchp"), "/app/none\n\t0x100001a5a8f0000\n/app\n\t0x100001a5a8f0000\n\n");
}

#[test]
fn hash_lists_zxids_in_hexadecimal() {
    assert_eq!(ask("hash", &Fake::new()), "80: 1371985504\n");
}

/// Every key is ZooKeeper's and has its number format. ZooKeeper has no p50 to p999 for some
/// summaries; additional ones do no harm.
#[test]
fn mntr_has_keys_and_number_formats_of_zookeeper() {
    let ours = ask("mntr", &Fake::new());
    let theirs: std::collections::BTreeMap<&str, &str> =
        recorded!("mntr").lines().map(|line| line.split_once('\t').unwrap()).collect();
    let ours_alone =
        ["zk_fsync_threshold_exceed_count", "zk_ostler_audit_lines_lost", "zk_ostler_writes_refused"];
    for line in ours.lines() {
        let (key, value) = line.split_once('\t').unwrap();
        let is_quantile =
            ["zk_p50_", "zk_p95_", "zk_p99_", "zk_p999_"].iter().any(|prefix| key.starts_with(prefix));
        match theirs.get(key) {
            Some(their) if key.starts_with("zk_version") => assert_eq!(value[..6], their[..6]),
            Some(their) => assert_eq!(value.contains('.'), their.contains('.'), "{line}"),
            None => assert!(is_quantile || ours_alone.contains(&key), "{line}"),
        }
    }
    assert!(ours.contains("zk_server_state\tstandalone\n"));
}

/// The part of `mntr` that ZooKeeper's manual lists and dashboards use.
#[test]
fn mntr_has_the_keys_that_dashboards_use() {
    let ours = ask("mntr", &Fake::new());
    for key in [
        "version",
        "server_state",
        "avg_latency",
        "max_latency",
        "min_latency",
        "packets_received",
        "packets_sent",
        "num_alive_connections",
        "outstanding_requests",
        "znode_count",
        "watch_count",
        "ephemerals_count",
        "approximate_data_size",
        "open_file_descriptor_count",
        "max_file_descriptor_count",
        "uptime",
        "global_sessions",
        "local_sessions",
        "connection_drop_probability",
        "last_client_response_size",
        "max_client_response_size",
        "min_client_response_size",
        "auth_failed_count",
        "avg_fsynctime",
        "max_fsynctime",
        "cnt_fsynctime",
        "sum_snapshottime",
        "p99_readlatency",
        "p999_updatelatency",
    ] {
        assert!(ours.lines().any(|line| line.starts_with(&format!("zk_{key}\t"))), "{key}");
    }
}

#[test]
fn words_of_clickhouse_keeper_are_answered() {
    let source = Fake::new();
    assert_eq!(ask("csnp", &source), "11");
    assert_eq!(ask("apiv", &source), "2");
    assert_eq!(ask("rqld", &source), "Sent leadership request to leader.");
    assert_eq!(ask("ydld", &source), "Sent yield leadership request to leader.");
    let expected = "first_log_idx\t1\nfirst_log_term\t1\nlast_log_idx\t12\nlast_log_term\t2\nlast_committed_log_idx\t11\n\
        leader_committed_log_idx\t11\ntarget_committed_log_idx\t11\nlast_snapshot_idx\t9\n";
    assert_eq!(ask("lgif", &source), expected);
}

#[test]
fn an_incomplete_list_says_so() {
    let mut source = Fake::new();
    for word in ["dump", "wchc", "wchp"] {
        assert!(!ask(word, &source).contains("cut short"), "{word}");
    }
    source.is_cut_short = true;
    for word in ["dump", "wchc", "wchp"] {
        assert!(ask(word, &source).contains("(The list is cut short: its paths have more than 64 MiB.)\n"));
    }
}
