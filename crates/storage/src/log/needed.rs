//! Which segments are still needed, and which may go.
//!
//! Segments leave oldest first, each durably before the next one. So what is left is always an end of the log, and that is all it
//! takes for a reset to stay in force: as long as there is an entry that it voids, the reset, which stands behind that
//! entry, is there too. The segment with the reset itself is needed by nobody once the earlier ones are gone.

use super::record::Record;
use std::collections::{BTreeMap, VecDeque};

/// What is needed of each segment of the log.
#[derive(Default)]
pub(crate) struct Needed {
    /// The highest entry of each group in the segment that is being written or read.
    /// Invariant: entries before the latest reset of their group are not counted, here and in `sealed`.
    last_index: BTreeMap<u64, u64>,
    /// Full segments, oldest first.
    sealed: VecDeque<Sealed>,
    /// The first entry of each group that must be kept.
    first_kept: BTreeMap<u64, u64>,
}

/// A segment that is full, with what it takes to know when it may go.
pub(crate) struct Sealed {
    pub(crate) sequence: u32,
    pub(crate) len: u64,
    last_index: BTreeMap<u64, u64>,
}

impl Needed {
    /// Counts the next record of the log.
    pub(crate) fn count(&mut self, record: &Record<'_>) {
        match *record {
            Record::Entry { group, index, .. } => {
                let last = self.last_index.entry(group).or_insert(index);
                *last = (*last).max(index);
            }
            Record::Reset { group, index, .. } => {
                // By group and not by index: a void entry may have a higher index than the reset.
                self.last_index.remove(&group);
                for sealed in &mut self.sealed {
                    sealed.last_index.remove(&group);
                }
                // A log that goes on from further back has entries again which were once not needed.
                if let Some(first) = self.first_kept.get_mut(&group) {
                    *first = (*first).min(index.saturating_add(1));
                }
            }
            Record::HardState { .. } => {}
        }
    }

    /// The segment is full; what is counted from here on is in the next one.
    pub(crate) fn seal(&mut self, sequence: u32, len: u64) {
        let last_index = std::mem::take(&mut self.last_index);
        self.sealed.push_back(Sealed { sequence, len, last_index });
    }

    /// Nobody needs the entries of `group` before `first_index_kept`.
    pub(crate) fn keep_from(&mut self, group: u64, first_index_kept: u64) {
        let first = self.first_kept.entry(group).or_insert(0);
        *first = (*first).max(first_index_kept);
    }

    /// Takes the oldest segment out if it is full, its number is below `limit` and no group needs an entry in it.
    pub(crate) fn take_unneeded(&mut self, limit: u32) -> Option<Sealed> {
        let first_kept = |group| self.first_kept.get(group).copied().unwrap_or(0);
        let oldest = self.sealed.front()?;
        let needed = oldest.last_index.iter().any(|(group, last)| *last >= first_kept(group));
        if needed || oldest.sequence >= limit { None } else { self.sealed.pop_front() }
    }

    /// Full segments.
    pub(crate) fn sealed(&self) -> usize {
        self.sealed.len()
    }
}
