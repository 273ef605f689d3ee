//! Snapshots that other members are fetching, and what has to stay here until they can go on from them.
//!
//! A member that is far behind fetches for minutes. Meanwhile newer snapshots are taken here, old ones purged, and the log trimmed; if the
//! file it fetches went, it would begin anew, and if what follows the file went, it would have to fetch the next one: a group that is
//! written to all the time would never have it back. So both stay while it asks, within a bound of memory.

use std::collections::BTreeMap;

use crate::config::ServerId;
use storage::snapshot::SnapshotName;

/// Who has not asked for so long is not fetching any more, or has all of it and was served from the log.
const LEASE_MS: i64 = 10_000;

/// Log in memory that may be kept for those who fetch, besides what is kept anyhow. Whoever is slower than that has to fetch again.
pub(super) const LEASED_BYTES_MAX: u64 = 256 << 20;

/// Who fetches what.
#[derive(Debug, Default)]
pub(super) struct SnapshotLeases(BTreeMap<ServerId, Lease>);

#[derive(Debug)]
struct Lease {
    name: SnapshotName,
    asked_ms: i64,
}

impl SnapshotLeases {
    /// That server has asked for a piece of it.
    pub(super) fn extend(&mut self, server: ServerId, name: SnapshotName, now_ms: i64) {
        self.0.insert(server, Lease { name, asked_ms: now_ms });
    }

    /// Forgets those who do not ask any more.
    pub(super) fn expire(&mut self, now_ms: i64) {
        self.0.retain(|_, lease| now_ms - lease.asked_ms <= LEASE_MS);
    }

    /// Whether anybody fetches it.
    pub(super) fn holds(&self, name: &SnapshotName) -> bool {
        self.0.values().any(|lease| lease.name == *name)
    }

    /// The first entry that somebody will need of the log.
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
