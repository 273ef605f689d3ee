//! The changes of the tree by a command, reported in ZooKeeper's order.
//!
//! A refused command reports nothing. The changes of a multi are reported one by one, after all of
//! it is known to succeed.

use crate::grants::Grants;

/// The kind of a change to a znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The znode was created.
    Created,
    /// The znode's data were set. Setting an ACL is not a change, since no watch covers it.
    DataChanged,
    /// The znode was deleted.
    Deleted,
}

/// A change, with what is needed to decide which clients may be notified.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The kind of change.
    pub kind: ChangeKind,
    /// Path of the znode.
    pub path: &'a str,
    /// zxid of the command.
    pub zxid: i64,
    /// The znode's ACL at that time, for a deleted one its last: raw jute `vector<ACL>`.
    pub acl: &'a [u8],
    /// The ACL of its parent, whose list of children has changed; empty for `DataChanged`.
    pub parent_acl: &'a [u8],
    /// The rules in force, which say together with the ACLs who may read the nodes.
    pub grants: Option<&'a Grants>,
}

/// Receives the changes of commands as they are applied.
///
/// The tree already has the change, so an implementation must queue its notifications before it
/// allows any read: a client must not see a change before the event of its watch.
pub trait ChangeSink {
    /// Whether anything consumes the changes. If not, the machine skips building paths. May only
    /// change between commands.
    fn is_interested(&self) -> bool {
        true
    }

    /// Receives the next change.
    fn change(&mut self, change: &Change<'_>);
}

/// Ignores all changes, as during the replay of a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignore;

impl ChangeSink for Ignore {
    fn is_interested(&self) -> bool {
        false
    }

    fn change(&mut self, _: &Change<'_>) {}
}
