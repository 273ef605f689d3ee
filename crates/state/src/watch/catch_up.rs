//! The watches of a client that comes back (rule 11).

use wire::event::EventType;
use wire::lenient::{NULL_LIST, NULL_PATH};
use wire::record::SetWatches;

use super::event::Announcement;
use super::{Deliver, WatchLimitReached, WatchMode, WatchTable, WatcherId};
use crate::acl_table::OPEN_BYTES;
use crate::machine::Machine;
use crate::read::Reader;

/// zxid of events that tell of a change the client has missed; which change it was is not known any more.
const UNKNOWN_ZXID: i64 = -1;

/// Why not all watches of a client that comes back were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatchUpError {
    /// There are too many. The connection has to be closed, or the client would wait in vain.
    #[error(transparent)]
    Limit(#[from] WatchLimitReached),
    /// A path or a list is null.
    #[error("a path or a list of paths is null")]
    Null,
}

impl WatchTable {
    /// Registers the watches of a setWatches or setWatches2, and delivers at once what happened to their nodes after
    /// the client's last zxid: those watches have fired and are not registered again. Persistent ones are registered
    /// and catch up with nothing.
    ///
    /// Unlike ZooKeeper, events of nodes that the client may not read are withheld here just as in ordinary firing;
    /// the watch counts as fired.
    ///
    /// # Errors
    /// What comes before the reason for an error has happened, the rest has not.
    pub fn set_watches(
        &mut self,
        watcher: WatcherId,
        watches: &SetWatches<'_>,
        machine: &Machine,
        reader: &Reader<'_>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), CatchUpError> {
        let mut tell = |event_type, path, acl: &[u8]| {
            let mut announcement = Announcement::new(event_type, path, UNKNOWN_ZXID, acl);
            if announcement.may_be_heard_by(reader.identities.encoded()) {
                deliver(watcher, announcement.event());
            }
        };
        for path in watches.data {
            reject_null(path)?;
            match machine.look_at(path, reader) {
                // Nothing is left that could say who may hear of it, but its name is what the client knows already.
                None => tell(EventType::NodeDeleted, path, OPEN_BYTES),
                Some(node) if node.stat.mzxid > watches.relative_zxid => {
                    tell(EventType::NodeDataChanged, path, node.acl);
                }
                Some(_) => self.add(path, WatchMode::Data, watcher)?,
            }
        }
        for path in watches.exist {
            reject_null(path)?;
            match machine.look_at(path, reader) {
                Some(node) => tell(EventType::NodeCreated, path, node.acl),
                None => self.add(path, WatchMode::Data, watcher)?,
            }
        }
        for path in watches.child {
            reject_null(path)?;
            match machine.look_at(path, reader) {
                None => tell(EventType::NodeDeleted, path, OPEN_BYTES),
                Some(node) if node.stat.pzxid > watches.relative_zxid => {
                    tell(EventType::NodeChildrenChanged, path, node.acl);
                }
                Some(_) => self.add(path, WatchMode::Children, watcher)?,
            }
        }
        // A persistent watch on null is taken, as in ZooKeeper, where nothing looks it up in the
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

/// Java stumbles over it when it looks for the node.
fn reject_null(path: &str) -> Result<(), CatchUpError> {
    if path == NULL_PATH || path == NULL_LIST { Err(CatchUpError::Null) } else { Ok(()) }
}
