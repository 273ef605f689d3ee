//! What a request asks for.

use std::fmt;

macro_rules! opcodes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// An operation of the protocol. The numbers are ZooKeeper's, from 500 on ClickHouse Keeper's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum Opcode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Opcode {
            /// Every operation, in the order of the reference.
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
        }
    };
}

opcodes! {
    /// A watch event, from server to client only.
    Notification = 0, "notification";
    /// Creates a znode; the reply is its path.
    Create = 1, "create";
    /// Deletes a znode without children.
    Delete = 2, "delete";
    /// The `Stat` of a znode; may watch a path where there is none.
    Exists = 3, "exists";
    /// Data and `Stat`.
    GetData = 4, "getData";
    /// Replaces the data.
    SetData = 5, "setData";
    /// ACL and `Stat`.
    GetAcl = 6, "getACL";
    /// Replaces the ACL.
    SetAcl = 7, "setACL";
    /// Names of the children.
    GetChildren = 8, "getChildren";
    /// Waits until this server has seen everything committed before.
    Sync = 9, "sync";
    /// Keeps the session alive.
    Ping = 11, "ping";
    /// Names of the children and the `Stat` of the parent.
    GetChildren2 = 12, "getChildren2";
    /// Compares a version; only inside a multi.
    Check = 13, "check";
    /// Writes that happen all or none.
    Multi = 14, "multi";
    /// Creates a znode; the reply has its `Stat` too.
    Create2 = 15, "create2";
    /// Changes the members of the ensemble.
    Reconfig = 16, "reconfig";
    /// Whether this session has such a watch.
    CheckWatches = 17, "checkWatches";
    /// Takes back watches of this session.
    RemoveWatches = 18, "removeWatches";
    /// Creates a znode that goes when its last child has gone.
    CreateContainer = 19, "createContainer";
    /// Deletes an empty container or TTL node; never accepted from a client.
    DeleteContainer = 20, "deleteContainer";
    /// Creates a znode that goes when it is childless and unchanged for some time.
    CreateTtl = 21, "createTTL";
    /// Reads that are answered together.
    MultiRead = 22, "multiRead";
    /// Adds an identity to the session.
    Auth = 100, "auth";
    /// Registers the watches of a client that has reconnected.
    SetWatches = 101, "setWatches";
    /// One step of a SASL conversation.
    Sasl = 102, "sasl";
    /// Paths of the ephemeral znodes of this session.
    GetEphemerals = 103, "getEphemerals";
    /// Number of descendants.
    GetAllChildrenNumber = 104, "getAllChildrenNumber";
    /// `SetWatches` with the persistent kinds.
    SetWatches2 = 105, "setWatches2";
    /// Adds a persistent watch.
    AddWatch = 106, "addWatch";
    /// Identities of the session.
    WhoAmI = 107, "whoAmI";
    /// Internal: a session starts. Clients use the handshake.
    CreateSession = -10, "createSession";
    /// Ends the session.
    CloseSession = -11, "closeSession";
    /// Inside the result of a multi: an operation that failed, or the end.
    Error = -1, "error";
    /// Names of the children of one kind and the `Stat` of the parent.
    FilteredList = 500, "filteredList";
    /// Requires that there is no such znode; meant for a multi.
    CheckNotExists = 501, "checkNotExists";
    /// Creates a znode, or leaves the existing one as it is.
    CreateIfNotExists = 502, "createIfNotExists";
    /// Deletes a znode with its descendants, up to a number of them.
    RemoveRecursive = 503, "removeRecursive";
    /// Compares fields of the `Stat`; meant for a multi.
    CheckStat = 504, "checkStat";
    /// Deletes a znode, or does nothing where `Delete` would fail.
    TryRemove = 505, "tryRemove";
    /// `FilteredList` with the `Stat` and data of every child.
    FilteredListWithStatsAndData = 506, "filteredListWithStatsAndData";
    /// Paths of the descendants, up to a number of them.
    ListRecursive = 507, "listRecursive";
}

impl Opcode {
    /// Whether the operation goes through the log and consumes a zxid. The checks count as writes, though they change
    /// nothing: they are judged together with the writes of their multi. `sync` does not, though the leader is asked.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Delete
                | Self::SetData
                | Self::SetAcl
                | Self::Check
                | Self::Multi
                | Self::Create2
                | Self::Reconfig
                | Self::CreateContainer
                | Self::DeleteContainer
                | Self::CreateTtl
                | Self::CreateSession
                | Self::CloseSession
                | Self::CheckNotExists
                | Self::CreateIfNotExists
                | Self::RemoveRecursive
                | Self::CheckStat
                | Self::TryRemove
        )
    }

    /// Whether the operation creates one znode, and has the create record.
    pub const fn is_create(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Create2 | Self::CreateContainer | Self::CreateTtl | Self::CreateIfNotExists
        )
    }

    /// Whether the operation may stand inside a multi or a multiRead. Which of them may stand together is not a
    /// question of the format.
    pub const fn is_multi_part(self) -> bool {
        self.is_create()
            || matches!(
                self,
                Self::Delete
                    | Self::SetData
                    | Self::Check
                    | Self::CheckNotExists
                    | Self::RemoveRecursive
                    | Self::CheckStat
                    | Self::TryRemove
                    | Self::Exists
                    | Self::GetData
                    | Self::GetChildren
                    | Self::GetChildren2
                    | Self::FilteredList
                    | Self::FilteredListWithStatsAndData
            )
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
