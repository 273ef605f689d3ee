//! Metrics of elections, commits and startup, under ZooKeeper's names. As there, every server has
//! all of them; those of an ensemble are 0 on a standalone server.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::observe::metrics::{Metric, Recorder, Summary, Value};

macro_rules! numbers {
    (
        counters { $($counter:ident $counter_name:literal $counter_help:literal,)* }
        times { $($time:ident $time_name:literal $time_help:literal,)* }
        sizes { $($size:ident $size_name:literal $size_help:literal,)* }
    ) => {
        /// Counts while the server runs.
        #[derive(Debug, Default)]
        pub struct QuorumCounts {
            $(#[doc = $counter_help] pub $counter: AtomicU64,)*
            $(#[doc = $time_help] pub $time: Recorder,)*
            $(#[doc = $size_help] pub $size: Recorder,)*
        }

        /// A snapshot of these counts; times in µs.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct QuorumFacts {
            $(#[doc = $counter_help] pub $counter: u64,)*
            $(#[doc = $time_help] pub $time: Summary,)*
            $(#[doc = $size_help] pub $size: Summary,)*
        }

        impl QuorumCounts {
            /// The counts so far.
            pub fn facts(&self) -> QuorumFacts {
                QuorumFacts {
                    $($counter: self.$counter.load(Relaxed),)*
                    $($time: self.$time.summary(),)*
                    $($size: self.$size.summary(),)*
                }
            }

            /// Sets all to zero, as ZooKeeper does on `srst`.
            pub fn reset(&self) {
                $(self.$counter.store(0, Relaxed);)*
                $(self.$time.reset();)*
                $(self.$size.reset();)*
            }
        }

        /// Every metric.
        pub(crate) fn all(facts: &QuorumFacts) -> Vec<Metric> {
            vec![
                $(Metric {
                    name: $counter_name, help: $counter_help, value: Value::Counter(facts.$counter),
                },)*
                $(Metric { name: $time_name, help: $time_help, value: Value::Time(facts.$time) },)*
                $(Metric { name: $size_name, help: $size_help, value: Value::Sizes(facts.$size) },)*
            ]
        }
    };
}

numbers! {
    counters {
        looking "looking_count" "times this server knew no leader",
        proposals "proposal_count" "commands proposed while this server was leader",
        commits "commit_count" "commands committed while this server was leader",
        diffs "diff_count" "servers that connected to this leader and caught up from its log",
        snapshots_given "snap_count" "snapshots of this server that others began to fetch",
        resumed_here "connection_revalidate_count" "handshakes that resume a session at this server",
        moved "revalidate_count" "sessions that moved from one server to another",
        watch_bytes "watch_bytes" "bytes of watch events sent to clients",
        ensemble_auth_success "ensemble_auth_success" "clients that named this ensemble",
        ensemble_auth_fail "ensemble_auth_fail" "clients that named another ensemble",
        ensemble_auth_skip "ensemble_auth_skip" "clients that named none, or a server without a name",
    }
    times {
        election_time "election_time" "ms from knowing no leader to knowing one",
        unavailable_time "unavailable_time" "ms from knowing no leader to serving clients",
        leader_unavailable_time "leader_unavailable_time" "the same if this server became leader",
        ack_latency "quorum_ack_latency" "ms from proposing an entry to its commit",
        propagation_latency "propagation_latency" "ms from gathering commands to applying them here",
        snapshot_load_time "startup_snap_load_time" "ms of reading the snapshot at startup",
        log_load_time "startup_txns_load_time" "ms of reading the log at startup",
    }
    sizes {
        log_loaded "startup_txns_loaded" "log entries read at startup",
    }
}
