//! The watches of a client that comes back (rule 11).

use wire::event::EventType;
use wire::record::SetWatches;

use super::event::Announcement;
use super::{Deliver, WatchLimitReached, WatchMode, WatchTable, WatcherId};
use crate::acl_table::OPEN_BYTES;
use crate::machine::Machine;
use crate::read::Reader;

/// zxid of events that tell of a change the client has missed; which change it was is not known any more.
const UNKNOWN_ZXID: i64 = -1;

impl WatchTable {
    /// Registers the watches of a setWatches or setWatches2, and delivers at once what happened to their nodes after
    /// the client's last zxid: those watches have fired and are not registered again. Persistent ones are registered
    /// and catch up with nothing.
    ///
    /// Unlike ZooKeeper, events of nodes that the client may not read are withheld here just as in ordinary firing;
    /// the watch counts as fired.
    ///
    /// # Errors
    /// At a limit the rest is not registered. The connection has to be closed, or the client would wait in vain.
    pub fn set_watches(
        &mut self,
        watcher: WatcherId,
        watches: &SetWatches<'_>,
        machine: &Machine,
        reader: &Reader<'_>,
        deliver: &mut Deliver<'_>,
    ) -> Result<(), WatchLimitReached> {
        let mut tell = |event_type, path, acl: &[u8]| {
            let mut announcement = Announcement::new(event_type, path, UNKNOWN_ZXID, acl);
            if announcement.may_be_heard_by(reader.identities.encoded()) {
                deliver(watcher, announcement.event());
            }
        };
        for path in watches.data {
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
            match machine.look_at(path, reader) {
                Some(node) => tell(EventType::NodeCreated, path, node.acl),
                None => self.add(path, WatchMode::Data, watcher)?,
            }
        }
        for path in watches.child {
            match machine.look_at(path, reader) {
                None => tell(EventType::NodeDeleted, path, OPEN_BYTES),
                Some(node) if node.stat.pzxid > watches.relative_zxid => {
                    tell(EventType::NodeChildrenChanged, path, node.acl);
                }
                Some(_) => self.add(path, WatchMode::Children, watcher)?,
            }
        }
        for path in watches.persistent {
            self.add(path, WatchMode::Persistent, watcher)?;
        }
        for path in watches.persistent_recursive {
            self.add(path, WatchMode::PersistentRecursive, watcher)?;
        }
        Ok(())
    }
}
