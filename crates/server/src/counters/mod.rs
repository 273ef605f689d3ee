//! What the server counts and measures, and the table of it.
//!
//! Threads count in [`ThreadCounts`], [`Counts`] and [`GroupCounts`]; who shows the numbers asks
//! for their totals.

mod measure;
mod recorder;
mod sizes;
mod summary;
mod table;

use std::sync::atomic::{AtomicI64, AtomicU64};

pub use self::measure::Measure;
pub use self::recorder::Recorder;
pub use self::sizes::{SizeBytes, Sizes};
pub use self::summary::Summary;
pub(crate) use self::table::metrics_table;

/// Sorts the rows of the table that are counted by their scope, and makes the structs.
macro_rules! counts {
    ([$($thread:tt)*] $server:tt $group:tt (thread $field:ident: $($row:tt)*) $($rest:tt)*) => {
        counts! { [$($thread)* ($field: $($row)*)] $server $group $($rest)* }
    };
    ($thread:tt [$($server:tt)*] $group:tt (server $field:ident: $($row:tt)*) $($rest:tt)*) => {
        counts! { $thread [$($server)* ($field: $($row)*)] $group $($rest)* }
    };
    ($thread:tt $server:tt [$($group:tt)*] (group $field:ident: $($row:tt)*) $($rest:tt)*) => {
        counts! { $thread $server [$($group)* ($field: $($row)*)] $($rest)* }
    };
    ($thread:tt $server:tt $group:tt $computed:tt $($rest:tt)*) => {
        counts! { $thread $server $group $($rest)* }
    };
    ([$($thread:tt)*] [$($server:tt)*] [$($group:tt)*]) => {
        counts_of! {
            "What one connection thread counted. Only that thread writes; any thread may read."
            ThreadCounts ThreadTotals $($thread)*
        }
        counts_of! {
            "Counts of the whole server, beyond those of the connection threads."
            Counts Totals $($server)*
        }
        counts_of! { "Counts of one group." GroupCounts GroupTotals $($group)* }
    };
}

/// The struct of one scope, the struct of its totals, and how it is read and cleared.
macro_rules! counts_of {
    ($doc:literal $counts:ident $totals:ident $((
        $field:ident: $type:ty, $($kind:ident)+ $($name:literal)?, $on_srst:ident, $help:literal
    ))*) => {
        #[doc = $doc]
        #[derive(Debug, Default)]
        pub struct $counts {
            $(#[doc = $help] pub $field: $type,)*
        }

        /// These counts at one point in time.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $totals {
            $(#[doc = $help] pub $field: <$type as Measure>::Total,)*
        }

        impl $counts {
            /// The totals of several.
            pub fn totals<'a>(parts: impl Iterator<Item = &'a $counts> + Clone) -> $totals {
                $totals { $($field: Measure::total(parts.clone().map(|part| &part.$field)),)* }
            }

            /// Clears what `srst` clears.
            pub fn reset(&self) {
                $(on_srst! { $on_srst self.$field })*
            }
        }
    };
}

macro_rules! on_srst {
    (cleared $count:expr) => {
        $count.clear();
    };
    (kept $count:expr) => {};
}

metrics_table! { counts [] [] [] }

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    /// As `ServerStats.reset` of ZooKeeper and its `resetAllValues`: every counter and summary. A
    /// past bug: some were forgotten.
    #[test]
    fn srst_clears_counters_and_summaries_and_keeps_the_present() {
        let counts = Counts::default();
        for counter in [
            &counts.connections_dropped,
            &counts.connections_rejected,
            &counts.connection_requests,
            &counts.handshakes_timed_out,
            &counts.large_requests_rejected,
            &counts.messages_refused,
            &counts.throttle_waits,
            &counts.throttled_requests,
        ] {
            counter.store(1, Relaxed);
        }
        counts.load_time.record(1);
        counts.auth_failed.store(2, Relaxed);
        counts.output_bytes.store(3, Relaxed);
        counts.reset();
        let kept = Totals { auth_failed: 2, output_bytes: 3, ..Totals::default() };
        assert_eq!(Counts::totals([&counts].into_iter()), kept);

        let group = GroupCounts::default();
        for counter in [&group.handovers, &group.sessions_expired, &group.writes_refused, &group.proposals] {
            counter.store(1, Relaxed);
        }
        group.proposal_bytes.record(1);
        group.snapshot_time.record(1);
        group.last_index.store(4, Relaxed);
        group.snapshot_zxid.store(5, Relaxed);
        group.reset();
        let kept = GroupTotals { last_index: 4, snapshot_zxid: 5, ..GroupTotals::default() };
        assert_eq!(GroupCounts::totals([&group].into_iter()), kept);
    }

    #[test]
    fn totals_are_those_of_all_threads() {
        let threads = [ThreadCounts::default(), ThreadCounts::default()];
        for (thread, n) in threads.iter().zip([3, 4]) {
            thread.received.store(n, Relaxed);
            thread.read_latency.record(n);
            thread.response_bytes.record(n);
        }
        let totals = ThreadCounts::totals(threads.iter());
        assert_eq!((totals.received, totals.read_latency.sum, totals.sent), (7, 7, 0));
        assert_eq!(totals.response_bytes, Some(SizeBytes { last: 3, min: 3, max: 4 }));
        threads.iter().for_each(ThreadCounts::reset);
        assert_eq!(ThreadCounts::totals(threads.iter()), ThreadTotals::default());
    }
}
