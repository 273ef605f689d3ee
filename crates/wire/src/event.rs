//! Watch events and their enumerations.

use std::fmt;

use crate::jute::{Malformed, Put, Reader};
use crate::record::Record;

/// A closed set of numbers with ZooKeeper's name for each.
macro_rules! numbers {
    ($(#[$docs:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum $type {
            $($(#[$doc])* $variant = $number,)*
        }

        impl $type {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The one with this number, if there is one.
            pub const fn from_i32(number: i32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// ZooKeeper's name of it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl<'a> Record<'a> for $type {
            #[inline]
            fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
                let number = input.i32()?;
                Self::from_i32(number).ok_or(Malformed::Value(number))
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.put_i32(*self as i32);
            }
        }
    };
}

numbers! {
    /// What happened to a watched znode.
    EventType {
        /// No znode event: the state of the connection changed.
        None = -1,
        /// The znode was created.
        NodeCreated = 1,
        /// The znode was deleted.
        NodeDeleted = 2,
        /// The znode's data were set.
        NodeDataChanged = 3,
        /// A child of the znode was created or deleted.
        NodeChildrenChanged = 4,
        /// The znode's data watch was removed. Clients generate this and the next two; servers
        /// never send them.
        DataWatchRemoved = 5,
        /// The znode's child watch was removed.
        ChildWatchRemoved = 6,
        /// The znode's persistent watch was removed.
        PersistentWatchRemoved = 7,
    }
}

numbers! {
    /// The state of a client's connection. Servers send only `SyncConnected`.
    KeeperState {
        /// Not connected to any server.
        Disconnected = 0,
        /// Connected to a server that accepts writes.
        SyncConnected = 3,
        /// The server refused the credentials.
        AuthFailed = 4,
        /// Connected to a server in read-only mode.
        ConnectedReadOnly = 5,
        /// SASL authentication succeeded.
        SaslAuthenticated = 6,
        /// The server ended the session.
        Expired = -112,
        /// The client closed the session.
        Closed = 7,
    }
}

numbers! {
    /// The watches that `checkWatches` and `removeWatches` refer to.
    WatcherType {
        /// On the list of children.
        Children = 1,
        /// On data and existence.
        Data = 2,
        /// Every kind.
        Any = 3,
        /// Persistent ones.
        Persistent = 4,
        /// Persistent ones on a whole subtree.
        PersistentRecursive = 5,
    }
}

numbers! {
    /// The kind of watch `addWatch` adds.
    AddWatchMode {
        /// On one znode: data, existence and children.
        Persistent = 0,
        /// On a znode and its descendants: data and existence.
        PersistentRecursive = 1,
    }
}

/// The body of a notification. Its header has xid -1 and the zxid of the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherEvent<'a> {
    /// What happened.
    pub event_type: EventType,
    /// The state of the connection.
    pub state: KeeperState,
    /// Path of the znode.
    pub path: &'a str,
}

impl<'a> WatcherEvent<'a> {
    /// Takes an event off `input`.
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self { event_type: Record::decode(input)?, state: Record::decode(input)?, path: input.str()? })
    }

    /// Appends the event.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_i32(self.event_type as i32);
        out.put_i32(self.state as i32);
        out.put_str(self.path);
    }
}
