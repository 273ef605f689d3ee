//! Which segments are still needed and which can be freed.
//!
//! Segments are freed oldest first, each durably before the next one. So a suffix of the log always
//! remains, which suffices to keep a reset in force: as long as an entry that it voids exists, the
//! reset, which follows that entry, exists too. The segment with the reset itself is no longer
//! needed once the earlier ones are gone.

use super::record::Record;
use std::collections::{BTreeMap, VecDeque};

/// What is needed of each segment of the log.
#[derive(Default)]
pub(crate) struct Needed {
    /// The highest entry index of each group in the segment being written or read. Invariant:
    /// entries before the latest reset of their group are not counted, here and in `sealed`.
    last_index: BTreeMap<u64, u64>,
    /// Full segments, oldest first.
    sealed: VecDeque<Sealed>,
    /// The first entry of each group that must be kept.
    first_kept: BTreeMap<u64, u64>,
}

/// A full segment, with what decides when it can be freed.
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
                // By group, not by index: a void entry may have a higher index than the reset.
                self.last_index.remove(&group);
                for sealed in &mut self.sealed {
                    sealed.last_index.remove(&group);
                }
                // A log reset to an earlier index again has entries that were not needed before.
                if let Some(first) = self.first_kept.get_mut(&group) {
                    *first = (*first).min(index.saturating_add(1));
                }
            }
            Record::HardState { .. } => {}
        }
    }

    /// Closes the current segment; records counted from here on are in the next one.
    pub(crate) fn seal(&mut self, sequence: u32, len: u64) {
        let last_index = std::mem::take(&mut self.last_index);
        self.sealed.push_back(Sealed { sequence, len, last_index });
    }

    /// Entries of `group` before `first_index_kept` are no longer needed.
    pub(crate) fn keep_from(&mut self, group: u64, first_index_kept: u64) {
        let first = self.first_kept.entry(group).or_insert(0);
        *first = (*first).max(first_index_kept);
    }

    /// Removes and returns the oldest segment if it is full, its number is below `limit` and no
    /// group needs an entry in it.
    pub(crate) fn take_unneeded(&mut self, limit: u32) -> Option<Sealed> {
        let first_kept = |group| self.first_kept.get(group).copied().unwrap_or(0);
        let oldest = self.sealed.front()?;
        let needed = oldest.last_index.iter().any(|(group, last)| *last >= first_kept(group));
        if needed || oldest.sequence >= limit { None } else { self.sealed.pop_front() }
    }

    /// Number of full segments.
    pub(crate) fn sealed(&self) -> usize {
        self.sealed.len()
    }
}
