//! The log in the form the `raft` crate reads.

use std::cell::Cell;

use ::raft::eraftpb::{Entry as RaftEntry, Snapshot};
use ::raft::{GetEntriesContext, RaftState, Result, Storage, StorageError};

use super::convert;
use crate::engine::Start;
use crate::entry::{HardState, MemberId};
use crate::log::Log;

/// See the module.
pub(super) struct Store {
    pub(super) log: Log,
    /// As at the start; the crate reads it once.
    hard_state: HardState,
    /// A follower needed a snapshot and there was none. A `Cell`, since the crate asks through a
    /// shared reference.
    pub(super) snapshot_wanted: Cell<bool>,
}

impl Store {
    pub(super) fn new(start: Start) -> Self {
        let (log, hard_state) = Log::new(start);
        Self { log, hard_state, snapshot_wanted: Cell::new(false) }
    }
}

impl Storage for Store {
    fn initial_state(&self) -> Result<RaftState> {
        let conf_state = convert::conf_state(&self.log.snapshot_meta().membership);
        Ok(RaftState::new(convert::raft_hard_state(self.hard_state), conf_state))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> Result<Vec<RaftEntry>> {
        if low < self.log.first_index() {
            return Err(StorageError::Compacted.into());
        }
        assert!(high <= self.log.last_position().index + 1, "the crate asks for entries beyond the log");
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        let mut found = Vec::with_capacity(((high - low) as usize).min(1024));
        found.extend(self.log.range(low, high, bytes_max).map(convert::raft_entry));
        Ok(found)
    }

    fn term(&self, index: u64) -> Result<u64> {
        match self.log.position(index) {
            Some(position) => Ok(position.term),
            // A snapshot given by the host may end inside the entries, never before them.
            None if index < self.log.first_index() => Err(StorageError::Compacted.into()),
            None => Err(StorageError::Unavailable.into()),
        }
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.log.first_index())
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.log.last_position().index)
    }

    fn snapshot(&self, _request_index: u64, to: u64) -> Result<Snapshot> {
        if !self.log.has_snapshot_for(MemberId(to)) {
            self.snapshot_wanted.set(true);
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(convert::snapshot(self.log.snapshot_meta()))
    }
}
