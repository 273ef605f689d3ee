//! The operations of the protocol.

use std::fmt;

/// Whether an operation goes through the log ([`Opcode::is_write`]).
enum Log {
    Logged,
    Unlogged,
}

/// Whether a server admits an operation: as a request, or as a part of a multi or multiRead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// ZooKeeper admits it.
    Always,
    /// Only ClickHouse Keeper admits it.
    Extension,
    /// The format does not allow it, or only servers use it.
    Never,
}

impl Admission {
    /// Whether a server admits the operation, given whether it has Keeper's extensions.
    pub const fn is_admitted(self, extensions: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Extension => extensions,
            Self::Never => false,
        }
    }
}

macro_rules! opcodes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal,
        $alone:ident, $log:ident, $in_multi:ident, $in_multi_read:ident;)*) => {
        /// An operation of the protocol. Numbers below 500 are ZooKeeper's; those from 500 are
        /// ClickHouse Keeper's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum Opcode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Opcode {
            /// Every operation, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The operation with this number, if there is one.
            #[inline]
            pub const fn from_i32(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// ZooKeeper's name of the operation, as in its metrics and logs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether a client may send the operation as a request of its own.
            pub const fn alone(self) -> Admission {
                match self {
                    $(Self::$variant => Admission::$alone,)*
                }
            }

            const fn log(self) -> Log {
                match self {
                    $(Self::$variant => Log::$log,)*
                }
            }

            /// Whether the operation may be part of a `multi`, as far as the operation alone
            /// decides.
            pub const fn in_multi(self) -> Admission {
                match self {
                    $(Self::$variant => Admission::$in_multi,)*
                }
            }

            /// Whether the operation may be part of a `multiRead`.
            pub const fn in_multi_read(self) -> Admission {
                match self {
                    $(Self::$variant => Admission::$in_multi_read,)*
                }
            }
        }
    };
}

// Columns: number, ZooKeeper's name, admission as a client's request, whether the operation goes
// through the log, admission to a `multi`, admission to a `multiRead`.
opcodes! {
    /// A watch event, from server to client only.
    Notification = 0, "notification", Never, Unlogged, Never, Never;
    /// Creates a znode; the reply has its path.
    Create = 1, "create", Always, Logged, Always, Never;
    /// Deletes a znode without children.
    Delete = 2, "delete", Always, Logged, Always, Never;
    /// The `Stat` of a znode; can set a watch where no znode exists.
    Exists = 3, "exists", Always, Unlogged, Never, Extension;
    /// Data and `Stat`.
    GetData = 4, "getData", Always, Unlogged, Never, Always;
    /// Replaces the data.
    SetData = 5, "setData", Always, Logged, Always, Never;
    /// ACL and `Stat`.
    GetAcl = 6, "getACL", Always, Unlogged, Never, Never;
    /// Replaces the ACL.
    SetAcl = 7, "setACL", Always, Logged, Never, Never;
    /// Names of the children.
    GetChildren = 8, "getChildren", Always, Unlogged, Never, Always;
    /// Waits until this server has applied everything committed before the request.
    Sync = 9, "sync", Always, Unlogged, Never, Never;
    /// Keeps the session alive.
    Ping = 11, "ping", Always, Unlogged, Never, Never;
    /// Names of the children and the `Stat` of the parent.
    GetChildren2 = 12, "getChildren2", Always, Unlogged, Never, Extension;
    /// Compares a version; only inside a multi.
    Check = 13, "check", Never, Logged, Always, Extension;
    /// Writes that succeed or fail together.
    Multi = 14, "multi", Always, Logged, Never, Never;
    /// Creates a znode; the reply also has its `Stat`.
    Create2 = 15, "create2", Always, Logged, Always, Never;
    /// Changes the members of the ensemble.
    Reconfig = 16, "reconfig", Always, Logged, Never, Never;
    /// Whether this session has a given watch.
    CheckWatches = 17, "checkWatches", Always, Unlogged, Never, Never;
    /// Removes watches of this session.
    RemoveWatches = 18, "removeWatches", Always, Unlogged, Never, Never;
    /// Creates a znode that is deleted after its last child.
    CreateContainer = 19, "createContainer", Always, Logged, Always, Never;
    /// Deletes an empty container or TTL node; never accepted from a client.
    DeleteContainer = 20, "deleteContainer", Never, Logged, Never, Never;
    /// Creates a znode that is deleted when it has been childless and unchanged for its TTL.
    CreateTtl = 21, "createTTL", Always, Logged, Always, Never;
    /// Reads answered in one reply.
    MultiRead = 22, "multiRead", Always, Unlogged, Never, Never;
    /// Adds an identity to the session.
    Auth = 100, "auth", Always, Unlogged, Never, Never;
    /// Registers the watches of a client that has reconnected.
    SetWatches = 101, "setWatches", Always, Unlogged, Never, Never;
    /// One step of a SASL exchange.
    Sasl = 102, "sasl", Always, Unlogged, Never, Never;
    /// Paths of the ephemeral znodes of this session.
    GetEphemerals = 103, "getEphemerals", Always, Unlogged, Never, Never;
    /// Number of descendants of a znode.
    GetAllChildrenNumber = 104, "getAllChildrenNumber", Always, Unlogged, Never, Never;
    /// `SetWatches` with the persistent kinds.
    SetWatches2 = 105, "setWatches2", Always, Unlogged, Never, Never;
    /// Adds a persistent watch.
    AddWatch = 106, "addWatch", Always, Unlogged, Never, Never;
    /// Identities of the session.
    WhoAmI = 107, "whoAmI", Always, Unlogged, Never, Never;
    /// Internal: starts a session. Clients use the handshake.
    CreateSession = -10, "createSession", Never, Logged, Never, Never;
    /// Ends the session.
    CloseSession = -11, "closeSession", Always, Logged, Never, Never;
    /// In the reply to a multi: an operation that failed, or the end.
    Error = -1, "error", Never, Unlogged, Never, Never;
    /// Names of the children of one kind and the `Stat` of the parent.
    FilteredList = 500, "filteredList", Extension, Unlogged, Never, Extension;
    /// Requires that no znode exists at the path; meant for a multi.
    CheckNotExists = 501, "checkNotExists", Extension, Logged, Extension, Extension;
    /// Creates a znode, or leaves the existing one as it is.
    CreateIfNotExists = 502, "createIfNotExists", Extension, Logged, Extension, Never;
    /// Deletes a znode with its descendants, if they do not exceed a limit.
    RemoveRecursive = 503, "removeRecursive", Extension, Logged, Extension, Never;
    /// Compares fields of the `Stat`; meant for a multi.
    CheckStat = 504, "checkStat", Extension, Logged, Extension, Extension;
    /// Deletes a znode, or does nothing where `Delete` would fail.
    TryRemove = 505, "tryRemove", Extension, Logged, Extension, Never;
    /// `FilteredList` with the `Stat` and data of every child.
    FilteredListWithStatsAndData = 506, "filteredListWithStatsAndData", Extension, Unlogged, Never, Extension;
    /// Paths of the descendants, up to a limit.
    ListRecursive = 507, "listRecursive", Extension, Unlogged, Never, Never;
}

impl Opcode {
    /// Whether the operation goes through the log and consumes a zxid. The checks count as writes,
    /// although they change nothing, because they are evaluated with the writes of their multi.
    /// `sync` does not count, although the leader serves it.
    pub const fn is_write(self) -> bool {
        matches!(self.log(), Log::Logged)
    }

    /// Whether the operation creates one znode and uses the create record.
    pub const fn is_create(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Create2 | Self::CreateContainer | Self::CreateTtl | Self::CreateIfNotExists
        )
    }

    /// Whether the format allows the operation inside a multi or a multiRead.
    pub const fn is_multi_part(self) -> bool {
        self.in_multi().is_admitted(true) || self.in_multi_read().is_admitted(true)
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
