//! What all members have given out, and the guarantees it must meet. The text of a failure is the
//! broken guarantee.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::engine::{Leadership, ReadBarrier, Role};
use crate::entry::{Entry, EntryKind, MemberId};

#[derive(Default)]
pub(super) struct Record {
    log: BTreeMap<u64, Entry>,
    /// Committed commands; they are numbered in the order of their proposal…
    commands: BTreeSet<Bytes>,
    /// …the last one of each term…
    last_of_term: BTreeMap<u64, Bytes>,
    /// …and refused commands.
    refused: BTreeSet<Bytes>,
    leaders: BTreeMap<u64, MemberId>,
    /// Highest index committed anywhere when the read was requested, by context.
    open_reads: BTreeMap<u64, u64>,
    next_read: u64,
    pub(super) answered_reads: u64,
    pub(super) answered_contexts: Vec<u64>,
}

impl Record {
    /// Highest index committed anywhere.
    pub(super) fn highest(&self) -> u64 {
        self.log.last_key_value().map_or(1, |(index, _)| *index)
    }

    pub(super) fn commands(&self) -> Vec<Entry> {
        self.log.values().filter(|entry| entry.kind == EntryKind::Command).cloned().collect()
    }

    pub(super) fn committed(&mut self, member: MemberId, entry: &Entry) {
        match self.log.get(&entry.index) {
            Some(known) => {
                assert_eq!(known, entry, "one index never has two entries ({member:?} differs)")
            }
            None => self.first_committed(entry),
        }
    }

    fn first_committed(&mut self, entry: &Entry) {
        assert_eq!(entry.index, self.highest() + 1, "no index is skipped");
        let before = self.log.last_key_value().map_or(0, |(_, before)| before.term);
        assert!(entry.term >= before, "terms never decrease along the log");
        if entry.kind == EntryKind::Command {
            assert!(!self.refused.contains(&entry.data), "a refused command is never committed");
            assert!(self.commands.insert(entry.data.clone()), "a command proposed once is committed once");
            let last = self.last_of_term.insert(entry.term, entry.data.clone());
            assert!(last.is_none_or(|last| last < entry.data), "a leader's proposals keep their order");
        }
        self.log.insert(entry.index, entry.clone());
    }

    pub(super) fn refused(&mut self, data: Bytes) {
        self.refused.insert(data);
    }

    /// Whether the history is exactly the committed log.
    pub(super) fn is_all(&self, history: &[Entry]) -> bool {
        self.log.values().eq(history)
    }

    pub(super) fn role(&mut self, member: MemberId, change: Leadership) {
        if change.role == Role::Leader {
            assert_eq!(change.leader, Some(member), "a leader follows itself");
            let leader = *self.leaders.entry(change.term).or_insert(member);
            assert_eq!(leader, member, "a term has at most one leader (term {})", change.term);
        }
    }

    pub(super) fn asked(&mut self) -> u64 {
        self.next_read += 1;
        self.open_reads.insert(self.next_read, self.highest());
        self.next_read
    }

    pub(super) fn answered(&mut self, barrier: ReadBarrier) {
        let floor = self.open_reads.remove(&barrier.context).expect("a read is answered once");
        assert!(
            barrier.index >= floor,
            "a read is never stale: {} was committed, answered {}",
            floor,
            barrier.index
        );
        self.answered_reads += 1;
        self.answered_contexts.push(barrier.context);
    }
}
