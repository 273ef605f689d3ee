//! Records about watches.

use super::{PathList, Record, records};
use crate::jute::{Malformed, Put, Reader};
use crate::opcode::Opcode;

/// Re-registration of watches, by `setWatches` or `setWatches2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetWatches<'a> {
    /// The newest zxid the client knew when it lost its connection; watches on anything changed
    /// since fire at once.
    pub relative_zxid: i64,
    /// Watches on data.
    pub data: PathList<'a>,
    /// Watches on paths without a znode.
    pub exist: PathList<'a>,
    /// Watches on children.
    pub child: PathList<'a>,
    /// Persistent watches. Always empty for [`Opcode::SetWatches`], which cannot carry them.
    pub persistent: PathList<'a>,
    /// Persistent watches on subtrees. Always empty for [`Opcode::SetWatches`].
    pub persistent_recursive: PathList<'a>,
    /// [`Opcode::SetWatches`] or [`Opcode::SetWatches2`].
    pub kind: Opcode,
}

impl<'a> SetWatches<'a> {
    /// Takes the record of operation `kind` off `input`. Fails if any list is null.
    pub fn decode(kind: Opcode, input: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut watches = Self {
            relative_zxid: input.i64()?,
            data: PathList::decode_present(input)?,
            exist: PathList::decode_present(input)?,
            child: PathList::decode_present(input)?,
            persistent: PathList::EMPTY,
            persistent_recursive: PathList::EMPTY,
            kind,
        };
        if kind == Opcode::SetWatches2 {
            watches.persistent = PathList::decode_present(input)?;
            watches.persistent_recursive = PathList::decode_present(input)?;
        }
        Ok(watches)
    }

    /// Appends the record.
    ///
    /// # Panics
    /// If a [`Opcode::SetWatches`] has persistent watches: they would be lost silently.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i64(self.relative_zxid);
        self.data.encode(out);
        self.exist.encode(out);
        self.child.encode(out);
        if self.kind == Opcode::SetWatches2 {
            self.persistent.encode(out);
            self.persistent_recursive.encode(out);
        } else {
            let none = self.persistent.is_empty() && self.persistent_recursive.is_empty();
            assert!(none, "setWatches has no place for persistent watches");
        }
    }
}

records! {
    /// Request of `addWatch`.
    AddWatch<'a> {
        /// The path to watch; the znode need not exist.
        path: &'a str,
        /// Number of an [`AddWatchMode`](crate::event::AddWatchMode) as sent; it may be invalid.
        mode: i32,
    }

    /// Request of `checkWatches`.
    CheckWatches<'a> {
        /// Which path.
        path: &'a str,
        /// Number of a [`WatcherType`](crate::event::WatcherType) as sent; it may be invalid.
        watcher_type: i32,
    }

    /// Request of `removeWatches`.
    RemoveWatches<'a> {
        /// Which path.
        path: &'a str,
        /// Number of a [`WatcherType`](crate::event::WatcherType) as sent; it may be invalid.
        watcher_type: i32,
    }

    /// Reply of `addWatch`, and the result of a failed operation in a multi.
    ErrorReply {
        /// An error code; 0 if the watch was added.
        err: i32,
    }
}
