//! Snapshot leases: which snapshots other members are fetching, and what must be kept until those
//! members can go on from them.
//!
//! A member that is far behind fetches for minutes. Meanwhile newer snapshots are taken here, old
//! ones purged, and the log trimmed. If the file being fetched were removed, the fetch would start
//! over; if the log entries after it were, the member would have to fetch the next snapshot. A
//! group under constant writes would then never get the member back. So both stay while the member
//! fetches, up to a limit of memory.

use std::collections::BTreeMap;

use crate::config::ServerId;
use storage::snapshot::SnapshotName;

/// A lease ends this many ms after its last request: the member has stopped fetching, or has the
/// whole snapshot and was served from the log.
const LEASE_MS: i64 = 10_000;

/// Bytes of log kept in memory for fetching members, besides what is kept anyway. A member slower
/// than that has to fetch again.
pub(super) const LEASED_BYTES_MAX: u64 = 256 << 20;

/// The snapshot that each server fetches.
#[derive(Debug, Default)]
pub(super) struct SnapshotLeases(BTreeMap<ServerId, Lease>);

#[derive(Debug)]
struct Lease {
    name: SnapshotName,
    asked_ms: i64,
}

impl SnapshotLeases {
    /// Begins or extends the lease of a server that has requested a chunk of the snapshot.
    pub(super) fn extend(&mut self, server: ServerId, name: SnapshotName, now_ms: i64) {
        self.0.insert(server, Lease { name, asked_ms: now_ms });
    }

    /// Ends the leases of servers that no longer send requests.
    pub(super) fn expire(&mut self, now_ms: i64) {
        self.0.retain(|_, lease| now_ms - lease.asked_ms <= LEASE_MS);
    }

    /// Whether any server has a lease on the snapshot.
    pub(super) fn holds(&self, name: &SnapshotName) -> bool {
        self.0.values().any(|lease| lease.name == *name)
    }

    /// The first log entry that a fetching server will need.
    pub(super) fn first_needed(&self) -> Option<u64> {
        self.0.values().map(|lease| lease.name.index + 1).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_is_held_until_nobody_asks_for_it() {
        let name = |index| SnapshotName { group: 0, index, term: 1, zxid: 1 };
        let mut loans = SnapshotLeases::default();
        assert_eq!(loans.first_needed(), None);
        loans.extend(2, name(50), 0);
        loans.extend(3, name(70), 0);
        assert!(loans.holds(&name(50)) && loans.holds(&name(70)) && !loans.holds(&name(60)));
        assert_eq!(loans.first_needed(), Some(51));
        loans.extend(3, name(80), LEASE_MS);
        assert!(!loans.holds(&name(70)), "it goes on with a newer one");
        loans.expire(LEASE_MS + 1);
        assert!(!loans.holds(&name(50)));
        assert_eq!(loans.first_needed(), Some(81));
    }
}
