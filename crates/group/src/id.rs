//! Names of groups.

use std::fmt;

/// Most groups of an ensemble.
pub const GROUPS_MAX: usize = 1_024;

/// Identifies a consensus group of an ensemble, in each message of the group, in its log records
/// and in its snapshots. Groups are numbered from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

impl GroupId {
    /// The root group. Besides its part of the tree it holds what the whole ensemble shares:
    /// sessions, members and the cluster's key.
    pub const ROOT: GroupId = GroupId(0);

    /// Its place in a list of all groups.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
