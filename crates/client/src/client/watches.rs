//! The watches that a session has, as far as this client knows.
//!
//! The server forgets them with the connection, so the client keeps them and sets them again on the
//! next one.

use std::collections::BTreeSet;
use wire::event::{EventType, WatcherType};
use wire::record::{PathList, SetWatches};
use wire::{Opcode, xid};

/// Most bytes of paths in one request: ZooKeeper's own client splits here, and the server refuses a
/// megabyte.
const REQUEST_BYTES_MAX: usize = 128 << 10;

/// A kind of watch, as re-registration tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WatchKind {
    /// On data of a znode.
    Data,
    /// On a place without a znode.
    Exist,
    /// On the list of children.
    Child,
    /// On everything about one znode, until it is removed.
    Persistent,
    /// On a subtree, until it is removed.
    PersistentRecursive,
}

impl WatchKind {
    fn is_meant_by(self, watcher_type: WatcherType) -> bool {
        match watcher_type {
            WatcherType::Any => true,
            WatcherType::Data => matches!(self, Self::Data | Self::Exist),
            WatcherType::Children => self == Self::Child,
            WatcherType::Persistent => self == Self::Persistent,
            WatcherType::PersistentRecursive => self == Self::PersistentRecursive,
        }
    }

    /// Whether an event on its path is the only one that such a watch reports.
    pub(super) fn is_used_up_by(self, event: EventType) -> bool {
        match self {
            Self::Data | Self::Exist => {
                matches!(event, EventType::NodeCreated | EventType::NodeDataChanged | EventType::NodeDeleted)
            }
            Self::Child => matches!(event, EventType::NodeDeleted | EventType::NodeChildrenChanged),
            Self::Persistent | Self::PersistentRecursive => false,
        }
    }

    /// The event that ZooKeeper's client makes when such a watch is removed.
    pub(super) fn removal(self) -> EventType {
        match self {
            Self::Data | Self::Exist => EventType::DataWatchRemoved,
            Self::Child => EventType::ChildWatchRemoved,
            Self::Persistent | Self::PersistentRecursive => EventType::PersistentWatchRemoved,
        }
    }
}

/// The watches, with paths as the server knows them.
#[derive(Debug, Default)]
pub(super) struct Watches(BTreeSet<(WatchKind, String)>);

impl Watches {
    /// Notes a watch that the server has accepted.
    pub(super) fn add(&mut self, kind: WatchKind, path: String) {
        self.0.insert((kind, path));
    }

    /// Whether there is no watch.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what an event has used up. Persistent watches stay.
    pub(super) fn fired(&mut self, event: EventType, path: &str) {
        for kind in [WatchKind::Data, WatchKind::Exist, WatchKind::Child] {
            if kind.is_used_up_by(event) {
                self.0.remove(&(kind, path.to_owned()));
            }
        }
    }

    /// Forgets the watches on a path that `watcher_type` means, and returns their kinds.
    pub(super) fn remove(&mut self, path: &str, watcher_type: WatcherType) -> Vec<WatchKind> {
        let meant = |kind: WatchKind, watched: &str| watched == path && kind.is_meant_by(watcher_type);
        let kinds = self.0.iter().filter(|(kind, watched)| meant(*kind, watched)).map(|(kind, _)| *kind);
        let kinds = kinds.collect();
        self.0.retain(|(kind, watched)| !meant(*kind, watched));
        kinds
    }

    /// Calls `send` with the requests that set all watches again, none if there are none.
    pub(super) fn restore(&self, relative_zxid: i64, mut send: impl FnMut(i32, &SetWatches<'_>)) {
        let mut rest = self.0.iter().peekable();
        while rest.peek().is_some() {
            let mut lists: [Vec<&str>; 5] = Default::default();
            let mut bytes = 0;
            while let Some((kind, path)) = rest.next_if(|_| bytes < REQUEST_BYTES_MAX) {
                bytes += path.len() + 4;
                lists[*kind as usize].push(path);
            }
            let mut buffers: [Vec<u8>; 5] = Default::default();
            let mut encoded = [PathList::EMPTY; 5];
            for ((list, buffer), encoded) in lists.iter().zip(&mut buffers).zip(&mut encoded) {
                *encoded = PathList::encode_into(list.iter().copied(), buffer);
            }
            let [data, exist, child, persistent, persistent_recursive] = encoded;
            // Older servers know setWatches only.
            let persistent_ones = !persistent.is_empty() || !persistent_recursive.is_empty();
            let kind = if persistent_ones { Opcode::SetWatches2 } else { Opcode::SetWatches };
            let request =
                SetWatches { relative_zxid, data, exist, child, persistent, persistent_recursive, kind };
            send(xid::SET_WATCHES, &request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(watches: &Watches) -> Vec<(Opcode, usize)> {
        let mut seen = Vec::new();
        watches.restore(7, |_, request| {
            let lists = [request.data, request.exist, request.child, request.persistent];
            let count = lists.iter().map(PathList::len).sum::<usize>() + request.persistent_recursive.len();
            seen.push((request.kind, count));
        });
        seen
    }

    #[test]
    fn an_event_uses_up_what_it_must_and_no_more() {
        let mut watches = Watches::default();
        for kind in [WatchKind::Data, WatchKind::Exist, WatchKind::Child, WatchKind::Persistent] {
            watches.add(kind, "/a".into());
        }
        watches.fired(EventType::NodeChildrenChanged, "/a");
        assert_eq!(restored(&watches), [(Opcode::SetWatches2, 3)]);
        watches.fired(EventType::NodeDeleted, "/b");
        assert_eq!(restored(&watches), [(Opcode::SetWatches2, 3)]);
        watches.fired(EventType::NodeDataChanged, "/a");
        assert_eq!(watches.remove("/a", WatcherType::Any), [WatchKind::Persistent]);
        assert!(watches.is_empty() && restored(&watches).is_empty());
    }

    #[test]
    fn removal_means_only_its_kind() {
        let mut watches = Watches::default();
        watches.add(WatchKind::Exist, "/a".into());
        watches.add(WatchKind::Child, "/a".into());
        assert_eq!(watches.remove("/a", WatcherType::Persistent), []);
        assert_eq!(watches.remove("/a", WatcherType::Data), [WatchKind::Exist]);
        assert_eq!(restored(&watches), [(Opcode::SetWatches, 1)]);
    }

    #[test]
    fn many_watches_take_several_requests() {
        let mut watches = Watches::default();
        for number in 0..2_000 {
            watches.add(WatchKind::Data, format!("/{number:0200}"));
        }
        let requests = restored(&watches);
        assert!(requests.len() > 2, "{requests:?}");
        assert_eq!(requests.iter().map(|(_, count)| count).sum::<usize>(), 2_000);
    }
}
