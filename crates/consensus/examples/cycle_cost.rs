//! The cost of one round of a group of one: propose, ready, persisted, ready with the commit,
//! applied.
//!
//! `cargo run --release -p ostler-consensus --example cycle_cost`

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time; the engine does not read it")]

use std::time::Instant;

use bytes::Bytes;
use consensus::engine::{Engine, Ready, Settings, Start};
use consensus::entry::MemberId;
use consensus::raft::RaftEngine;

const ENTRIES: u64 = 1 << 21;
const KEPT_ENTRIES: u64 = 50_000;

fn main() {
    for batch in [1, 8, 64, 256] {
        let mut engine =
            RaftEngine::new(Settings::new(1, MemberId(1), 1, 1), Start::bootstrap(&[MemberId(1)]));
        let mut ready = Ready::default();
        let data = Bytes::from(vec![7; 200]);
        let began = Instant::now();
        let (mut committed, mut readys, mut compacted) = (0, 0, 0);
        for _ in 0..ENTRIES / batch {
            for _ in 0..batch {
                engine.propose(data.clone()).expect("a single member leads");
            }
            while engine.ready(&mut ready) {
                readys += 1;
                if ready.must_sync {
                    engine.persisted(ready.number);
                }
                if let Some(last) = ready.committed.last() {
                    committed += ready.committed.len() as u64;
                    engine.applied(last.index);
                    if last.index > compacted + KEPT_ENTRIES {
                        compacted = last.index;
                        let snapshot = engine.snapshot_meta(last.index).expect("just applied");
                        engine.compact(&snapshot, last.index);
                    }
                }
            }
        }
        let nanos = began.elapsed().as_nanos() as f64;
        assert!(committed >= ENTRIES);
        let rounds = (ENTRIES / batch) as f64;
        println!(
            "batch {batch:>3}: {:>6.0} ns per entry, {:>7.0} ns per round, {:.2} readys per round",
            nanos / ENTRIES as f64,
            nanos / rounds,
            f64::from(readys) / rounds
        );
    }
}
