//! What everybody has seen, and what must hold of it. The text of a failure is the promise that was broken.

use std::collections::BTreeMap;

use crate::engine::{ReadBarrier, Role, RoleChange};
use crate::entry::{Entry, MemberId};

#[derive(Default)]
pub(super) struct Record {
    agreed: BTreeMap<u64, Entry>,
    leaders: BTreeMap<u64, MemberId>,
    /// What was committed anywhere when the read was asked, by context.
    open_reads: BTreeMap<u64, u64>,
    next_read: u64,
    pub(super) answered_reads: u64,
    pub(super) answered_contexts: Vec<u64>,
}

impl Record {
    /// Highest index committed anywhere.
    pub(super) fn highest(&self) -> u64 {
        self.agreed.last_key_value().map_or(1, |(index, _)| *index)
    }

    pub(super) fn commands(&self) -> Vec<Entry> {
        self.agreed.values().filter(|entry| entry.kind == crate::entry::EntryKind::Command).cloned().collect()
    }

    pub(super) fn committed(&mut self, member: MemberId, entry: &Entry) {
        let agreed = self.agreed.entry(entry.index).or_insert_with(|| entry.clone());
        assert_eq!(agreed, entry, "one index never has two entries ({member:?} disagrees)");
    }

    pub(super) fn role(&mut self, member: MemberId, change: RoleChange) {
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
            "a read is never stale: {} was committed, told {}",
            floor,
            barrier.index
        );
        self.answered_reads += 1;
        self.answered_contexts.push(barrier.context);
    }
}
