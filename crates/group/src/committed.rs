//! Committed entries on their way into the machine.

use std::collections::VecDeque;

use consensus::entry::{Entry, EntryKind};

/// Committed entries that are not applied in full, and how far the machine is.
#[derive(Debug)]
pub(crate) struct Committed {
    entries: VecDeque<Entry>,
    /// Bytes of commands of the first entry that are applied.
    applied_bytes: usize,
    /// Index of the last entry applied in full.
    applied_index: u64,
    /// Commands applied since the start.
    applied_commands: u64,
    /// Everything committed, for a checker that asked for it.
    recorded: Option<Vec<Entry>>,
}

impl Committed {
    /// A machine that has applied everything up to `applied_index`.
    pub(crate) fn new(applied_index: u64) -> Committed {
        Committed {
            entries: VecDeque::new(),
            applied_bytes: 0,
            applied_index,
            applied_commands: 0,
            recorded: None,
        }
    }

    /// From now on also keeps committed entries for [`take_recorded`](Self::take_recorded).
    pub(crate) fn record(&mut self) {
        self.recorded.get_or_insert_default();
    }

    /// Entries committed since the last call.
    pub(crate) fn take_recorded(&mut self) -> Vec<Entry> {
        self.recorded.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// More entries are committed.
    pub(crate) fn add(&mut self, entries: impl Iterator<Item = Entry>) {
        let before = self.entries.len();
        self.entries.extend(entries);
        if let Some(recorded) = &mut self.recorded {
            recorded.extend(self.entries.iter().skip(before).cloned());
        }
    }

    /// A snapshot is about to replace the machine: what waits is part of it.
    pub(crate) fn drop_entries(&mut self) {
        self.entries.clear();
        self.applied_bytes = 0;
    }

    /// A snapshot that ends at `index` has replaced the machine.
    pub(crate) fn installed(&mut self, index: u64) {
        self.applied_index = index;
        self.applied_bytes = 0;
    }

    /// Takes the next entry to be applied, with the bytes of its commands that already are.
    pub(crate) fn next(&mut self) -> Option<(Entry, usize)> {
        self.entries.pop_front().map(|entry| (entry, self.applied_bytes))
    }

    /// Puts back an entry that is not applied in full.
    pub(crate) fn put_back(&mut self, entry: Entry) {
        self.entries.push_front(entry);
    }

    /// A command with an encoding of that length was applied; returns the bytes of its entry's
    /// commands that are applied.
    pub(crate) fn applied_command(&mut self, bytes: usize) -> usize {
        self.applied_commands += 1;
        self.applied_bytes += bytes;
        self.applied_bytes
    }

    /// The entry of that index is applied in full.
    pub(crate) fn applied_entry(&mut self, index: u64) {
        self.applied_bytes = 0;
        self.applied_index = index;
    }

    /// Number of entries that wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no entry waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a membership change waits.
    pub(crate) fn has_membership_change(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == EntryKind::Membership)
    }

    /// Index of the last entry applied in full.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// Commands applied since the start.
    pub(crate) fn applied_commands(&self) -> u64 {
        self.applied_commands
    }
}
