//! The whole text of `mntr` and of `/metrics`, against recordings in `testdata/exposition`: names,
//! help, order and number formats are what dashboards were made for.
//!
//! `OSTLER_REGENERATE_GOLDEN=1 cargo test -p ostler-server --lib exposition` rewrites them.

use std::fs;
use std::path::Path;

use super::four_letter::{Answer, Word};
use super::prometheus::prometheus;
use super::stats::MemberRole;
use super::stats::fake::Fake;
use super::stats::member::fake::{leader, other};
use crate::counters::{SizeBytes, Summary};

/// Fills in different numbers, so that none can be mistaken for another.
fn with_distinct_numbers(mut fake: Fake) -> Fake {
    let counters = 101..;
    let summaries = (129..).map(|n: u64| Summary {
        count: n,
        sum: n * 7_000,
        min: n * 1_000 - 900,
        max: n * 3_000,
        quantiles: [n * 1_000, n * 1_000 + 1, n * 2_000, n * 3_000],
    });
    let facts = &mut fake.facts;
    let fields = [
        &mut facts.threads.received,
        &mut facts.threads.sent,
        &mut facts.threads.bytes_received,
        &mut facts.threads.bytes_sent,
        &mut facts.counts.auth_failed,
        &mut facts.counts.connection_requests,
        &mut facts.counts.connections_rejected,
        &mut facts.counts.connections_dropped,
        &mut facts.counts.handshakes_timed_out,
        &mut facts.root.counts.sessions_expired,
        &mut facts.counts.large_requests_rejected,
        &mut facts.counts.throttle_waits,
        &mut facts.counts.throttled_requests,
        &mut facts.root.counts.writes_refused,
        &mut facts.counts.messages_refused,
        &mut facts.root.counts.handovers,
        &mut facts.counts.flushes_slow,
        &mut facts.root.counts.looking,
        &mut facts.root.counts.proposals,
        &mut facts.root.counts.commits,
        &mut facts.root.counts.diffs,
        &mut facts.root.counts.snapshots_given,
        &mut facts.root.counts.resumed_here,
        &mut facts.root.counts.moved,
        &mut facts.root.counts.watch_bytes,
    ];
    fields.into_iter().zip(counters).for_each(|(field, value)| *field = value);
    let fields = [
        &mut facts.threads.read_latency,
        &mut facts.threads.update_latency,
        &mut facts.counts.flush_time,
        &mut facts.counts.batch_size,
        &mut facts.root.counts.snapshot_time,
        &mut facts.counts.load_time,
        &mut facts.root.counts.election_time,
        &mut facts.root.counts.unavailable_time,
        &mut facts.root.counts.leader_unavailable_time,
        &mut facts.root.counts.ack_latency,
        &mut facts.root.counts.propagation_latency,
        &mut facts.root.counts.snapshot_load_time,
        &mut facts.root.counts.log_load_time,
        &mut facts.root.counts.log_loaded,
    ];
    fields.into_iter().zip(summaries).for_each(|(field, value)| *field = value);
    facts.threads.response_bytes = Some(SizeBytes { last: 26, min: 16, max: 109 });
    fake
}

/// Replaces numbers that depend on the machine.
fn masked(text: &str) -> String {
    let depends = ["process_", "open_file", "max_file", "zk_open_file", "zk_max_file", "zk_version"];
    let line = |line: &str| match line.split_once([' ', '\t']) {
        Some((name, _)) if depends.iter().any(|start| name.starts_with(start)) => format!("{name} *\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

fn assert_as_recorded(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/exposition").join(name);
    let text = masked(text);
    if std::env::var_os("OSTLER_REGENERATE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let recorded = fs::read_to_string(&path).unwrap();
    for (number, (ours, theirs)) in text.lines().zip(recorded.lines()).enumerate() {
        assert_eq!(ours, theirs, "{name}, line {}", number + 1);
    }
    assert_eq!(text.len(), recorded.len(), "{name}");
}

fn mntr(fake: &Fake) -> String {
    match Word::Mntr.answer(&[], fake) {
        Answer::Text(text) => text,
        Answer::More => panic!("mntr wants more"),
    }
}

#[test]
fn every_text_is_as_recorded() {
    for (name, fake) in [
        ("standalone", Fake::new()),
        ("leader", Fake::of_ensemble(leader())),
        ("follower", Fake::of_ensemble(other(1, MemberRole::Follower))),
    ] {
        let fake = with_distinct_numbers(fake);
        assert_as_recorded(&format!("{name}.mntr.txt"), &mntr(&fake));
        assert_as_recorded(&format!("{name}.prometheus.txt"), &prometheus(&fake.facts, &[]));
    }
}
