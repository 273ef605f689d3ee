//! What the log holds of each group after its snapshot.

use std::path::Path;

use bytes::Bytes;
use consensus::engine::Start;
use consensus::entry::{Entry, EntryKind, HardState, MemberId, Position};
use consensus::membership::SnapshotMeta;
use storage::log::Record;

use super::recovery_error::RecoveryError;

/// The ends of the log of all groups.
pub(super) struct Tails {
    /// By the group's number.
    pub(super) of_groups: Vec<Tail>,
    /// The highest number of a group that has records and no place here.
    stray: Option<u64>,
}

impl Tails {
    /// Nothing yet, after snapshots that end at these indexes.
    pub(super) fn after(indexes: impl Iterator<Item = u64>) -> Tails {
        let of_groups = indexes.map(|after| Tail { after, ..Tail::default() }).collect();
        Tails { of_groups, stray: None }
    }

    /// Adds the next record of the log.
    pub(super) fn take(&mut self, record: Record<'_>) {
        let group = record.group();
        match usize::try_from(group).ok().and_then(|at| self.of_groups.get_mut(at)) {
            Some(tail) => tail.take(record),
            None => self.stray = self.stray.max(Some(group)),
        }
    }

    /// Checks that every record can be used.
    ///
    /// # Errors
    /// The log has records of a group that this server does not run, or entries of an unknown kind.
    pub(super) fn check(&self, dir: &Path) -> Result<(), RecoveryError> {
        if let Some(group) = self.stray {
            return Err(RecoveryError::MoreGroups { dir: dir.to_owned(), group });
        }
        match self.of_groups.iter().find_map(|tail| tail.unknown) {
            Some((index, kind)) => Err(RecoveryError::EntryKind { dir: dir.to_owned(), index, kind }),
            None => Ok(()),
        }
    }
}

/// The end of the log, after the snapshot.
#[derive(Default)]
pub(super) struct Tail {
    after: u64,
    /// Entries up to this index are void, or were in a snapshot fetched from another member; 0 if
    /// the log was never reset.
    reset_to: u64,
    pub(super) entries: Vec<Entry>,
    hard_state: Option<HardState>,
    /// Index and kind of the first entry of a kind that this version does not know.
    unknown: Option<(u64, u8)>,
}

impl Tail {
    fn take(&mut self, record: Record<'_>) {
        match record {
            // A later record replaces everything from its index on.
            Record::Entry { index, .. } if index < self.after => self.entries.clear(),
            Record::Entry { index, term, kind, data, .. } => {
                let first = self.entries.first().map_or(index, |e| e.index);
                self.entries.truncate(index.saturating_sub(first) as usize);
                let Some(kind) = EntryKind::from_u8(kind) else {
                    self.unknown.get_or_insert((index, kind));
                    return;
                };
                self.entries.push(Entry { index, term, kind, data: Bytes::copy_from_slice(data) });
            }
            Record::HardState { term, vote, commit, .. } => {
                let vote = (vote != 0).then_some(MemberId(vote));
                self.hard_state = Some(HardState { term, vote, commit });
            }
            Record::Reset { index, .. } => {
                self.entries.clear();
                self.reset_to = index;
            }
        }
    }

    /// Whether the log is of another history than a snapshot that ends at `position`: the snapshot
    /// came from another member, and the power failed before the log was reset. Nothing in the log
    /// counts then.
    pub(super) fn contradicts(&self, position: Position) -> bool {
        self.entries.first().is_some_and(|entry| entry.index == position.index && entry.term != position.term)
    }

    pub(super) fn start(self, snapshot: SnapshotMeta, dir: &Path) -> Result<Start, RecoveryError> {
        // Checked even if there are no entries: those that a reset made void were acknowledged as
        // part of the snapshot that was fetched.
        let first = self.entries.first().map_or(self.reset_to.saturating_add(1), |entry| entry.index);
        if first > self.after + 1 {
            return Err(RecoveryError::Gap { dir: dir.to_owned(), first, snapshot: self.after });
        }
        if let Some([before, behind]) = self.entries.array_windows().find(|[a, b]| b.index != a.index + 1) {
            return Err(RecoveryError::Hole { dir: dir.to_owned(), last: before.index, next: behind.index });
        }
        let position = snapshot.position;
        let founding = HardState { term: position.term, vote: None, commit: position.index };
        Ok(Start { hard_state: self.hard_state.unwrap_or(founding), snapshot, entries: self.entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(after: u64, entries: &[(u64, u64)]) -> Tail {
        let mut tail = Tail { after, ..Tail::default() };
        for &(index, term) in entries {
            tail.take(Record::Entry { group: 0, index, term, kind: EntryKind::Command as u8, data: &[] });
        }
        tail
    }

    fn started(tail: Tail) -> Result<Vec<(u64, u64)>, RecoveryError> {
        let start = tail.start(SnapshotMeta::bootstrap(&[MemberId(1)]), Path::new("/log"))?;
        Ok(start.entries.iter().map(|entry| (entry.index, entry.term)).collect())
    }

    #[test]
    fn a_later_entry_replaces_those_from_its_index_on() {
        let tail = tail(1, &[(1, 1), (2, 1), (3, 1), (4, 1), (3, 2)]);
        assert_eq!(started(tail).expect("a whole log"), [(1, 1), (2, 1), (3, 2)]);
    }

    #[test]
    fn an_entry_before_the_snapshot_replaces_those_behind_it_too() {
        let tail = tail(3, &[(2, 1), (3, 1), (4, 1), (2, 2)]);
        assert_eq!(started(tail).expect("the snapshot has all"), []);
    }

    #[test]
    fn a_log_of_another_past_than_the_snapshot_is_noticed() {
        let position = |term| Position { index: 3, term };
        assert!(tail(3, &[(2, 1), (3, 1), (4, 1)]).contradicts(position(2)));
        assert!(!tail(3, &[(2, 1), (3, 2), (4, 2)]).contradicts(position(2)));
        assert!(!tail(3, &[(2, 1)]).contradicts(position(2)));
    }

    #[test]
    fn a_log_that_does_not_reach_back_to_the_snapshot_is_refused() {
        let refused = started(tail(3, &[(5, 1), (6, 1)]));
        assert!(matches!(refused, Err(RecoveryError::Gap { first: 5, snapshot: 3, .. })), "{refused:?}");
    }

    fn reset(tail: &mut Tail, group: u64, index: u64) {
        tail.take(Record::Reset { group, index, term: 2 });
    }

    #[test]
    fn a_reset_drops_the_entries_before_it() {
        let mut behind = tail(4, &[(3, 1), (4, 1), (5, 1), (6, 1)]);
        reset(&mut behind, 0, 4);
        let entry = |index, term| Record::Entry { group: 0, index, term, kind: 0, data: &[] };
        behind.take(entry(5, 2));
        assert_eq!(started(behind).expect("a whole log"), [(5, 2)]);

        let mut newer_snapshot = tail(8, &[(8, 1), (9, 1)]);
        reset(&mut newer_snapshot, 0, 4);
        assert_eq!(started(newer_snapshot).expect("the snapshot has all"), []);
    }

    #[test]
    fn a_log_reset_beyond_the_snapshot_is_refused() {
        for entries in [&[][..], &[(4, 1), (5, 1)]] {
            let mut lost = tail(3, entries);
            reset(&mut lost, 0, 7);
            let refused = started(lost);
            assert!(matches!(refused, Err(RecoveryError::Gap { first: 8, snapshot: 3, .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_log_with_a_hole_is_refused() {
        let refused = started(tail(0, &[(1, 1), (2, 1), (9, 2), (10, 2)]));
        assert!(matches!(refused, Err(RecoveryError::Hole { last: 2, next: 9, .. })), "{refused:?}");
    }

    #[test]
    fn each_group_has_its_own_records() {
        let mut tails = Tails::after([4, 0].into_iter());
        let entry = |group, index| Record::Entry { group, index, term: 1, kind: 0, data: &[] };
        tails.take(entry(0, 5));
        tails.take(entry(1, 1));
        tails.take(Record::Reset { group: 1, index: 9, term: 2 });
        tails.check(Path::new("/log")).expect("both groups are here");
        let [root, other] = <[Tail; 2]>::try_from(tails.of_groups).ok().expect("two groups");
        assert_eq!(started(root).expect("another group's reset"), [(5, 1)]);
        assert!(started(other).is_err(), "its snapshot is missing");
    }

    #[test]
    fn records_that_cannot_be_used_stop_the_start() {
        let entry = |group, kind| Record::Entry { group, index: 1, term: 1, kind, data: &[] };
        let refused = |record| {
            let mut tails = Tails::after([0].into_iter());
            tails.take(record);
            tails.check(Path::new("/log")).expect_err("it is refused")
        };
        assert!(matches!(refused(entry(3, 0)), RecoveryError::MoreGroups { group: 3, .. }));
        assert!(matches!(refused(entry(0, 99)), RecoveryError::EntryKind { index: 1, kind: 99, .. }));
    }
}
