//! One method per operation of the protocol, with owned results.

use crate::connection::Connection;
use crate::error::RequestError;
use wire::event::{AddWatchMode, WatcherType};
use wire::record::{
    AddWatch, Auth, Check, CheckNotExists, CheckStat, CheckWatches, Create, Delete, Exists, FilteredList,
    FilteredListWithStatsAndData, GetAcl, GetAllChildrenNumber, GetChildren, GetChildren2, GetData,
    GetEphemerals, ListKind, ListRecursive, Multi, MultiReply, PathList, Reconfig, RemoveRecursive,
    RemoveWatches, Reply, Request, Sasl, SetAcl, SetData, SetWatches, Sync, TryRemove,
};
use wire::{Acl, AclList, ErrorCode, Malformed, Opcode, Stat};

/// Lifetime of a znode, and whether the server completes its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    /// Until it is deleted.
    Persistent,
    /// Until its session ends.
    Ephemeral,
    /// Like `Persistent`, with a number appended by the server.
    PersistentSequential,
    /// Like `Ephemeral`, with a number appended by the server.
    EphemeralSequential,
    /// Until its last child is deleted.
    Container,
    /// Until it has had no child and no change for this many milliseconds.
    PersistentWithTtl(i64),
    /// Like `PersistentWithTtl`, with a number appended by the server.
    PersistentSequentialWithTtl(i64),
}

impl CreateMode {
    /// The flags in the request.
    pub fn flags(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral => 1,
            Self::PersistentSequential => 2,
            Self::EphemeralSequential => 3,
            Self::Container => 4,
            Self::PersistentWithTtl(_) => 5,
            Self::PersistentSequentialWithTtl(_) => 6,
        }
    }

    pub(crate) fn ttl(self) -> Option<i64> {
        match self {
            Self::PersistentWithTtl(ttl) | Self::PersistentSequentialWithTtl(ttl) => Some(ttl),
            _ => None,
        }
    }

    /// The operation whose reply includes the `Stat`.
    fn opcode(self) -> Opcode {
        match self {
            Self::Container => Opcode::CreateContainer,
            Self::PersistentWithTtl(_) | Self::PersistentSequentialWithTtl(_) => Opcode::CreateTtl,
            _ => Opcode::Create2,
        }
    }
}

/// One child in a listing with `Stat` and data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its name, not its path.
    pub name: String,
    /// Its `Stat`, if requested.
    pub stat: Option<Stat>,
    /// Its data, if requested.
    pub data: Option<Vec<u8>>,
}

/// Sends the request and unpacks the only variant its reply can have: `Reply::decode` was given the
/// operation, so any other variant is a bug.
macro_rules! call {
    ($connection:expr, $request:ident { $($field:ident $(: $value:expr)?),* }, $reply:ident) => {
        match $connection.request(&Request::$request($request { $($field $(: $value)?),* }))? {
            Reply::$reply(reply) => reply,
            other => unreachable!("{other:?} cannot be the reply to {}", stringify!($request)),
        }
    };
    ($connection:expr, $request:ident { $($field:ident $(: $value:expr)?),* }) => {
        $connection.request(&Request::$request($request { $($field $(: $value)?),* })).map(drop)
    };
}

fn names(list: PathList<'_>) -> Vec<String> {
    list.iter().map(str::to_owned).collect()
}

/// The operations. Each can fail with any [`RequestError`]; a refusal by the server is
/// [`RequestError::Refused`].
#[allow(clippy::missing_errors_doc)]
impl Connection {
    /// Creates a znode and returns its path.
    pub fn create(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: AclList<'_>,
        mode: CreateMode,
    ) -> Result<String, RequestError> {
        if mode.opcode() != Opcode::Create2 {
            return self.create2(path, data, acl, mode).map(|(path, _)| path);
        }
        let kind = Opcode::Create;
        let reply = call!(self, Create { path, data, acl, flags: mode.flags(), ttl: None, kind }, Create);
        Ok(reply.path.to_owned())
    }

    /// Creates a znode and returns its path and `Stat`.
    pub fn create2(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: AclList<'_>,
        mode: CreateMode,
    ) -> Result<(String, Stat), RequestError> {
        let (flags, ttl, kind) = (mode.flags(), mode.ttl(), mode.opcode());
        let reply = call!(self, Create { path, data, acl, flags, ttl, kind }, Create2);
        Ok((reply.path.to_owned(), reply.stat))
    }

    /// Creates a znode unless it exists, and returns its path.
    pub fn create_if_not_exists(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: AclList<'_>,
        mode: CreateMode,
    ) -> Result<String, RequestError> {
        let kind = Opcode::CreateIfNotExists;
        let reply = call!(self, Create { path, data, acl, flags: mode.flags(), ttl: None, kind }, Create);
        Ok(reply.path.to_owned())
    }

    /// Deletes a znode, if its version is `version` or `version` is -1.
    pub fn delete(&mut self, path: &str, version: i32) -> Result<(), RequestError> {
        call!(self, Delete { path, version })
    }

    /// The `Stat` of a znode, or `None` if it does not exist. The watch is set in both cases.
    pub fn exists(&mut self, path: &str, watch: bool) -> Result<Option<Stat>, RequestError> {
        match self.request(&Request::Exists(Exists { path, watch })) {
            Ok(Reply::Exists(reply)) => Ok(Some(reply.stat)),
            Ok(other) => unreachable!("{other:?} cannot be the reply to exists"),
            Err(RequestError::Refused(ErrorCode::NoNode)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The data and `Stat` of a znode.
    pub fn get_data(&mut self, path: &str, watch: bool) -> Result<(Option<Vec<u8>>, Stat), RequestError> {
        let reply = call!(self, GetData { path, watch }, GetData);
        Ok((reply.data.map(<[u8]>::to_vec), reply.stat))
    }

    /// Replaces the data of a znode, if its version is `version` or `version` is -1.
    pub fn set_data(&mut self, path: &str, data: Option<&[u8]>, version: i32) -> Result<Stat, RequestError> {
        Ok(call!(self, SetData { path, data, version }, SetData).stat)
    }

    /// The ACL and `Stat` of a znode.
    pub fn get_acl(&mut self, path: &str) -> Result<(Vec<Acl>, Stat), RequestError> {
        let reply = call!(self, GetAcl { path }, GetAcl);
        Ok((reply.acl.to_vec(), reply.stat))
    }

    /// Replaces the ACL of a znode, if its `aversion` is `version` or `version` is -1.
    pub fn set_acl(&mut self, path: &str, acl: AclList<'_>, version: i32) -> Result<Stat, RequestError> {
        Ok(call!(self, SetAcl { path, acl, version }, SetAcl).stat)
    }

    /// The names of the children of a znode.
    pub fn get_children(&mut self, path: &str, watch: bool) -> Result<Vec<String>, RequestError> {
        Ok(names(call!(self, GetChildren { path, watch }, GetChildren).children))
    }

    /// The names of the children of a znode, and its `Stat`.
    pub fn get_children2(&mut self, path: &str, watch: bool) -> Result<(Vec<String>, Stat), RequestError> {
        let reply = call!(self, GetChildren2 { path, watch }, GetChildren2);
        Ok((names(reply.children), reply.stat))
    }

    /// The number of descendants of a znode.
    pub fn get_all_children_number(&mut self, path: &str) -> Result<i32, RequestError> {
        Ok(call!(self, GetAllChildrenNumber { path }, GetAllChildrenNumber).total_number)
    }

    /// The paths of this session's ephemeral znodes with the prefix `prefix_path`.
    pub fn get_ephemerals(&mut self, prefix_path: &str) -> Result<Vec<String>, RequestError> {
        Ok(names(call!(self, GetEphemerals { prefix_path }, GetEphemerals).ephemerals))
    }

    /// Waits until the server has applied everything committed before the request.
    pub fn sync(&mut self, path: &str) -> Result<(), RequestError> {
        call!(self, Sync { path })
    }

    /// Executes all writes or none. The answer is `Ok` also if none was executed; the results then
    /// have the errors.
    pub fn multi(&mut self, operations: &[Request<'_>]) -> Result<MultiReply<'_>, RequestError> {
        let mut buffer = Vec::new();
        let multi = Multi::encode_into(operations.iter().copied(), &mut buffer);
        match self.request(&Request::Multi(multi))? {
            Reply::Multi(reply) => Ok(reply),
            other => unreachable!("{other:?} cannot be the reply to multi"),
        }
    }

    /// Executes reads together, each with its own result.
    pub fn multi_read(&mut self, operations: &[Request<'_>]) -> Result<MultiReply<'_>, RequestError> {
        let mut buffer = Vec::new();
        let multi = Multi::encode_into(operations.iter().copied(), &mut buffer);
        match self.request(&Request::MultiRead(multi))? {
            Reply::Multi(reply) => Ok(reply),
            other => unreachable!("{other:?} cannot be the reply to multiRead"),
        }
    }

    /// Adds a persistent watch.
    pub fn add_watch(&mut self, path: &str, mode: AddWatchMode) -> Result<(), RequestError> {
        call!(self, AddWatch { path, mode: mode as i32 })
    }

    /// Succeeds if this session has such a watch; [`ErrorCode::NoWatcher`] if not.
    pub fn check_watches(&mut self, path: &str, watcher_type: WatcherType) -> Result<(), RequestError> {
        call!(self, CheckWatches { path, watcher_type: watcher_type as i32 })
    }

    /// Removes such watches; [`ErrorCode::NoWatcher`] if there are none.
    pub fn remove_watches(&mut self, path: &str, watcher_type: WatcherType) -> Result<(), RequestError> {
        call!(self, RemoveWatches { path, watcher_type: watcher_type as i32 })
    }

    /// Re-registers the watches of an earlier connection. Events for changes in the meantime arrive
    /// first.
    pub fn set_watches(&mut self, watches: &SetWatches<'_>) -> Result<(), RequestError> {
        self.request(&Request::SetWatches(*watches)).map(drop)
    }

    /// Adds an identity to the session. After a failure the server closes the connection.
    pub fn auth(&mut self, scheme: &str, auth: &[u8]) -> Result<(), RequestError> {
        call!(self, Auth { auth_type: 0, scheme, auth: Some(auth) })
    }

    /// One step of a SASL exchange.
    pub fn sasl(&mut self, token: Option<&[u8]>) -> Result<Option<Vec<u8>>, RequestError> {
        Ok(call!(self, Sasl { token }, Sasl).token.map(<[u8]>::to_vec))
    }

    /// The identities of this session as (scheme, user).
    pub fn who_am_i(&mut self) -> Result<Vec<(String, String)>, RequestError> {
        match self.request(&Request::WhoAmI)? {
            Reply::WhoAmI(reply) => Ok(reply
                .client_info
                .iter()
                .map(|info| (info.auth_scheme.to_owned(), info.user.to_owned()))
                .collect()),
            other => unreachable!("{other:?} cannot be the reply to whoAmI"),
        }
    }

    /// Keeps the session alive.
    pub fn ping(&mut self) -> Result<(), RequestError> {
        self.request(&Request::Ping).map(drop)
    }

    /// Changes the members of the ensemble; returns the new configuration and the `Stat` of its
    /// znode.
    pub fn reconfig(&mut self, change: &Reconfig<'_>) -> Result<(Option<Vec<u8>>, Stat), RequestError> {
        match self.request(&Request::Reconfig(*change))? {
            Reply::GetData(reply) => Ok((reply.data.map(<[u8]>::to_vec), reply.stat)),
            other => unreachable!("{other:?} cannot be the reply to reconfig"),
        }
    }

    /// Compares the version of a znode. ZooKeeper accepts this only inside a multi, and otherwise
    /// closes the connection.
    pub fn check(&mut self, path: &str, version: i32) -> Result<(), RequestError> {
        call!(self, Check { path, version })
    }

    /// Requires that the znode does not exist, or does not have that version.
    pub fn check_not_exists(&mut self, path: &str, version: i32) -> Result<(), RequestError> {
        call!(self, CheckNotExists { path, version })
    }

    /// Compares the fields of a `Stat` that are not -1.
    pub fn check_stat(&mut self, path: &str, version: i32, stat: Stat) -> Result<(), RequestError> {
        call!(self, CheckStat { path, version, stat })
    }

    /// Deletes a znode and its descendants, unless there are more than `limit` of them.
    pub fn remove_recursive(&mut self, path: &str, limit: u32) -> Result<(), RequestError> {
        call!(self, RemoveRecursive { path, limit })
    }

    /// Deletes a znode, or does nothing where [`Self::delete`] would be refused.
    pub fn try_remove(&mut self, path: &str, version: i32) -> Result<(), RequestError> {
        call!(self, TryRemove { path, version })
    }

    /// The names of the children of one kind, and the `Stat` of the parent.
    pub fn filtered_list(
        &mut self,
        path: &str,
        watch: bool,
        kind: ListKind,
    ) -> Result<(Vec<String>, Stat), RequestError> {
        let reply = call!(self, FilteredList { path, watch, kind }, GetChildren2);
        Ok((names(reply.children), reply.stat))
    }

    /// The children of one kind with the requested `Stat` and data, and the `Stat` of the parent.
    pub fn filtered_list_with_stats_and_data(
        &mut self,
        request: &FilteredListWithStatsAndData<'_>,
    ) -> Result<(Vec<Child>, Stat), RequestError> {
        let reply = match self.request(&Request::FilteredListWithStatsAndData(*request))? {
            Reply::FilteredListWithStatsAndData(reply) => reply,
            other => unreachable!("{other:?} cannot be the reply to this listing"),
        };
        // One for each child, or none: any other number would assign values to the wrong children.
        for length in [reply.stats.len(), reply.data.len()] {
            if length != 0 && length != reply.children.len() {
                return Err(Malformed::Excess(length.abs_diff(reply.children.len())).into());
            }
        }
        let (mut stats, mut data) = (reply.stats.iter(), reply.data.iter());
        let child = |name: &str| Child {
            name: name.to_owned(),
            stat: stats.next(),
            data: data.next().flatten().map(<[u8]>::to_vec),
        };
        Ok((reply.children.iter().map(child).collect(), reply.stat))
    }

    /// The paths of the descendants of a znode, at most `limit`.
    pub fn list_recursive(&mut self, path: &str, limit: u32) -> Result<Vec<String>, RequestError> {
        Ok(names(call!(self, ListRecursive { path, limit }, ListRecursive).paths))
    }
}
