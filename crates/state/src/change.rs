//! What a command did to the tree, told in ZooKeeper's order.
//!
//! A refused command tells nothing. The changes of a multi are told one by one, after all of it is known to succeed.

/// What happened to one znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// Its data were set. A new ACL is not a change that anybody watches.
    DataChanged,
    /// It was deleted.
    Deleted,
}

/// One change, with what is needed to decide who may hear of it.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What happened.
    pub kind: ChangeKind,
    /// Where.
    pub path: &'a str,
    /// By which command.
    pub zxid: i64,
    /// The znode's ACL at that moment, for a deleted one its last: raw jute `vector<ACL>` (rule 8).
    pub acl: &'a [u8],
    /// The ACL of its parent, whose list of children has changed; empty for `DataChanged`.
    pub parent_acl: &'a [u8],
}

/// Receives the changes of commands as they are applied.
///
/// The tree already has the change, so an implementation must queue what it makes of it before it lets anybody read
/// (rule 2).
pub trait ChangeSink {
    /// Whether anybody is interested. When not, the machine spares itself the work of making paths. May only
    /// change between commands.
    fn is_interested(&self) -> bool {
        true
    }

    /// The next change.
    fn change(&mut self, change: &Change<'_>);
}

/// Nobody is interested, as while a log is replayed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignore;

impl ChangeSink for Ignore {
    fn is_interested(&self) -> bool {
        false
    }

    fn change(&mut self, _: &Change<'_>) {}
}
