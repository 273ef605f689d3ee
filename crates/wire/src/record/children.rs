//! Records about the children and descendants of a znode.

use super::{List, PathList, Record, records};
use crate::jute::{Malformed, Put, Reader};
use crate::stat::Stat;

/// Which children a filtered list contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ListKind {
    /// All of them.
    #[default]
    All = 0,
    /// Those without an owning session.
    PersistentOnly = 1,
    /// Those owned by a session.
    EphemeralOnly = 2,
}

impl<'a> Record<'a> for ListKind {
    fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        match input.u8()? {
            0 => Ok(Self::All),
            1 => Ok(Self::PersistentOnly),
            2 => Ok(Self::EphemeralOnly),
            other => Err(Malformed::Value(i32::from(other))),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(*self as u8);
    }
}

records! {
    /// Request of `getChildren`.
    GetChildren<'a> {
        /// Which znode.
        path: &'a str,
        /// Whether to watch its children.
        watch: bool,
    }

    /// Request of `getChildren2`.
    GetChildren2<'a> {
        /// Which znode.
        path: &'a str,
        /// Whether to watch its children.
        watch: bool,
    }

    /// Request of `getAllChildrenNumber`.
    GetAllChildrenNumber<'a> {
        /// Which znode.
        path: &'a str,
    }

    /// Request of `filteredList`.
    FilteredList<'a> {
        /// Which znode.
        path: &'a str,
        /// Whether to watch its children.
        watch: bool,
        /// Which children to list.
        kind: ListKind,
    }

    /// Request of `filteredListWithStatsAndData`.
    FilteredListWithStatsAndData<'a> {
        /// Which znode.
        path: &'a str,
        /// Whether to watch its children.
        watch: bool,
        /// Which children to list.
        kind: ListKind,
        /// Whether to include the `Stat` of each child.
        with_stat: bool,
        /// Whether to include the data of each child.
        with_data: bool,
    }

    /// Request of `listRecursive`.
    ListRecursive<'a> {
        /// The top znode.
        path: &'a str,
        /// Maximum number of paths to list.
        limit: u32,
    }

    /// Reply of `getChildren`.
    GetChildrenReply<'a> {
        /// Names, not paths.
        children: PathList<'a>,
    }

    /// Reply of `getChildren2` and `filteredList`.
    GetChildren2Reply<'a> {
        /// Names, not paths.
        children: PathList<'a>,
        /// The parent's current `Stat`.
        stat: Stat,
    }

    /// Reply of `getAllChildrenNumber`.
    GetAllChildrenNumberReply {
        /// All descendants.
        total_number: i32,
    }

    /// Reply of `filteredListWithStatsAndData`. The lists are in the same order.
    FilteredListWithStatsAndDataReply<'a> {
        /// Names, not paths.
        children: PathList<'a>,
        /// The parent's current `Stat`.
        stat: Stat,
        /// One for each child, or empty if not requested.
        stats: List<'a, Stat>,
        /// One for each child, or empty if not requested.
        data: List<'a, Option<&'a [u8]>>,
    }

    /// Reply of `listRecursive`.
    ListRecursiveReply<'a> {
        /// Paths from the root.
        paths: PathList<'a>,
    }
}
