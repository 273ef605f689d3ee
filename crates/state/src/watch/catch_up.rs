//! Re-registration of the watches of a reconnecting client.

use wire::event::EventType;
use wire::lenient::{NULL_LIST, NULL_PATH};
use wire::record::SetWatches;

use super::event::{Announcement, Guard};
use super::{Deliver, WatchLimitReached, WatchMode, WatchTable, WatcherId};
use crate::acl_table::OPEN_BYTES;
use crate::data_tree::DataTree;
use crate::read::Reader;

/// zxid of events for changes that the client missed; which change it was is no longer known.
const UNKNOWN_ZXID: i64 = -1;

/// Why not all watches of a reconnecting client were registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatchUpError {
    /// The limit is exceeded. The connection must be closed, or the client would wait for events in
    /// vain.
    #[error(transparent)]
    Limit(#[from] WatchLimitReached),
    /// A path or a list is null.
    #[error("a path or a list of paths is null")]
    Null,
}

impl WatchTable {
    /// Registers the watches of a setWatches or setWatches2, and at once delivers what happened to
    /// their nodes after the client's last zxid: those watches have fired and are not registered
    /// again. Persistent ones are registered without catching up.
    ///
    /// Unlike in ZooKeeper, events of nodes that the client may not read are withheld here as they
    /// are elsewhere; the watch counts as fired.
    ///
    /// # Errors
    /// Watches before the one that failed have been processed, the rest have not.
    pub fn set_watches(
        &mut self,
        watcher: WatcherId,
        watches: &SetWatches<'_>,
        tree: &DataTree,
        reader: &Reader<'_>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), CatchUpError> {
        let grants = tree.grants();
        let mut notify = |event_type, path, acl: &[u8]| {
            let mut announcement = Announcement::new(event_type, path, UNKNOWN_ZXID, Guard { acl, grants });
            if announcement.may_be_sent_to(reader.identities.encoded()) {
                deliver(watcher, announcement.event());
            }
        };
        for path in watches.data {
            reject_null(path)?;
            match tree.look_at(path, reader) {
                // The node's ACL no longer exists, but the client already knows its name.
                None => notify(EventType::NodeDeleted, path, OPEN_BYTES),
                Some(node) if node.stat.mzxid > watches.relative_zxid => {
                    notify(EventType::NodeDataChanged, path, node.acl);
                }
                Some(_) => self.add(path, WatchMode::Data, watcher)?,
            }
        }
        for path in watches.exist {
            reject_null(path)?;
            match tree.look_at(path, reader) {
                Some(node) => notify(EventType::NodeCreated, path, node.acl),
                None => self.add(path, WatchMode::Data, watcher)?,
            }
        }
        for path in watches.child {
            reject_null(path)?;
            match tree.look_at(path, reader) {
                None => notify(EventType::NodeDeleted, path, OPEN_BYTES),
                Some(node) if node.stat.pzxid > watches.relative_zxid => {
                    notify(EventType::NodeChildrenChanged, path, node.acl);
                }
                Some(_) => self.add(path, WatchMode::Children, watcher)?,
            }
        }
        // A persistent watch on null is accepted, as in ZooKeeper, where it is not looked up in the
        // tree.
        for (list, mode) in [
            (watches.persistent, WatchMode::Persistent),
            (watches.persistent_recursive, WatchMode::PersistentRecursive),
        ] {
            for path in list {
                if path == NULL_LIST {
                    return Err(CatchUpError::Null);
                }
                self.add(path, mode, watcher)?;
            }
        }
        Ok(())
    }
}

/// Java fails on null when it looks up the node.
fn reject_null(path: &str) -> Result<(), CatchUpError> {
    if path == NULL_PATH || path == NULL_LIST { Err(CatchUpError::Null) } else { Ok(()) }
}
