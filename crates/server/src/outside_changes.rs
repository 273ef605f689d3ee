//! Changes of data outside the built-in tree, which the embedding program announces.
//!
//! A client that reads such data and sets a watch gets its answer from the program at one moment,
//! and its watch is added at a later one. What has changed in between must fire the watch, so the
//! last changes are remembered.

use std::collections::VecDeque;

use state::change::ChangeKind;
use state::watch::WatchMode;
use wire::event::EventType;
use wire::path;

/// Number of changes that are remembered. A watch whose question is older than all of them fires at
/// once, in case.
const REMEMBERED_MAX: usize = 4096;

/// The last changes.
#[derive(Debug, Default)]
pub(crate) struct OutsideChanges {
    /// Number of all changes so far.
    count: u64,
    recent: VecDeque<(ChangeKind, Box<str>)>,
}

impl OutsideChanges {
    /// The number of changes so far: the stamp of a question.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Remembers a change.
    pub(crate) fn record(&mut self, kind: ChangeKind, path: &str) {
        self.count += 1;
        self.recent.push_back((kind, path.into()));
        if self.recent.len() > REMEMBERED_MAX {
            self.recent.pop_front();
        }
    }

    /// What a one-shot watch on this path would have fired since that stamp, if it had been there.
    pub(crate) fn missed(&self, since: u64, path: &str, mode: WatchMode) -> Option<EventType> {
        let is_for_children = mode == WatchMode::Children;
        let remembered_from = self.count - self.recent.len() as u64;
        if since < remembered_from {
            let unsure =
                if is_for_children { EventType::NodeChildrenChanged } else { EventType::NodeDataChanged };
            return Some(unsure);
        }
        let since = self.recent.iter().skip((since - remembered_from) as usize);
        since.into_iter().find_map(|(kind, changed)| event_for(*kind, changed, path, is_for_children))
    }
}

fn event_for(kind: ChangeKind, changed: &str, watched: &str, is_for_children: bool) -> Option<EventType> {
    match kind {
        ChangeKind::Deleted if changed == watched => Some(EventType::NodeDeleted),
        ChangeKind::Created if changed == watched && !is_for_children => Some(EventType::NodeCreated),
        ChangeKind::DataChanged if changed == watched && !is_for_children => Some(EventType::NodeDataChanged),
        ChangeKind::Created | ChangeKind::Deleted if is_for_children && path::parent(changed) == watched => {
            Some(EventType::NodeChildrenChanged)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_misses_what_changed_after_its_question() {
        let mut changes = OutsideChanges::default();
        changes.record(ChangeKind::DataChanged, "/a");
        let stamp = changes.count();
        let missed = |changes: &OutsideChanges, path, mode| changes.missed(stamp, path, mode);
        assert_eq!(missed(&changes, "/a", WatchMode::Data), None, "the answer shows that change");
        changes.record(ChangeKind::Created, "/a/b");
        assert_eq!(missed(&changes, "/a", WatchMode::Data), None);
        assert_eq!(missed(&changes, "/a", WatchMode::Children), Some(EventType::NodeChildrenChanged));
        assert_eq!(missed(&changes, "/a/b", WatchMode::Data), Some(EventType::NodeCreated));
        changes.record(ChangeKind::DataChanged, "/a");
        assert_eq!(missed(&changes, "/a", WatchMode::Data), Some(EventType::NodeDataChanged));
        changes.record(ChangeKind::Deleted, "/c");
        for mode in [WatchMode::Data, WatchMode::Children] {
            assert_eq!(missed(&changes, "/c", mode), Some(EventType::NodeDeleted));
        }
        assert_eq!(missed(&changes, "/", WatchMode::Children), Some(EventType::NodeChildrenChanged));
    }

    #[test]
    fn a_watch_whose_question_is_too_old_fires_in_case() {
        let mut changes = OutsideChanges::default();
        for _ in 0..=REMEMBERED_MAX {
            changes.record(ChangeKind::DataChanged, "/other");
        }
        assert_eq!(changes.missed(0, "/a", WatchMode::Data), Some(EventType::NodeDataChanged));
        assert_eq!(changes.missed(0, "/a", WatchMode::Children), Some(EventType::NodeChildrenChanged));
        assert_eq!(changes.missed(1, "/a", WatchMode::Data), None);
    }
}
