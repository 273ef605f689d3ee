//! One method for each operation of the protocol that the shell uses. Paths are the user's; the
//! chroot is put on and taken off here.

use client::CreateMode;
use wire::event::{AddWatchMode, WatcherType};
use wire::record::{
    AddWatch, Create, Delete, Exists, GetAcl, GetAllChildrenNumber, GetChildren2, GetData, GetEphemerals,
    Multi, PathList, Reconfig, RemoveWatches, Reply, Request, SetAcl, SetData, Sync,
};
use wire::{Acl, AclList, ErrorCode, Opcode, Stat};

use super::{Answer, Session, WatchKind};
use crate::shell::failure::Failure;

/// The configuration is one for the whole ensemble, so the chroot does not apply to it.
const CONFIG_PATH: &str = "/zookeeper/config";

/// Takes the one kind of reply apart that the operation can have.
macro_rules! reply {
    ($answer:expr, $kind:ident) => {
        match $answer.reply()? {
            Reply::$kind(reply) => reply,
            other => unreachable!("{other:?} is not what this operation answers"),
        }
    };
}

type DataAndStat = (Option<Vec<u8>>, Stat);

impl Session {
    fn shown(&self, full: &str) -> String {
        self.target().shown(full).to_owned()
    }

    /// Creates a znode and returns its path.
    pub(crate) fn create(
        &self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        mode: CreateMode,
    ) -> Result<String, Failure> {
        let (mut buffer, full) = (Vec::new(), self.target().full(path));
        let request = create_request(&full, data, AclList::encode_into(acl, &mut buffer), mode);
        let answer = self.request(&request, Some(path)).map_err(|failure| match failure.code() {
            Some(ErrorCode::NoNode) => {
                let message = format!("there is no parent for {path}");
                Failure::refused_because(ErrorCode::NoNode, path, message)
            }
            _ => failure,
        })?;
        match answer.reply()? {
            Reply::Create(reply) => Ok(self.shown(reply.path)),
            Reply::Create2(reply) => Ok(self.shown(reply.path)),
            other => unreachable!("{other:?} is not what a create answers"),
        }
    }

    /// Deletes a znode, of that version if it is not -1.
    pub(crate) fn delete(&self, path: &str, version: i32) -> Result<(), Failure> {
        let full = self.target().full(path);
        self.request(&Request::Delete(Delete { path: &full, version }), Some(path)).map(drop)
    }

    /// The `Stat` of a znode.
    pub(crate) fn exists(&self, path: &str, watch: bool) -> Result<Stat, Failure> {
        let full = self.target().full(path);
        let kind = watch.then(|| (WatchKind::Exist, full.clone().into_owned()));
        let request = Request::Exists(Exists { path: &full, watch });
        Ok(reply!(self.request_with_watch(&request, Some(path), kind)?, Exists).stat)
    }

    /// The data and `Stat` of a znode.
    pub(crate) fn get_data(&self, path: &str, watch: bool) -> Result<DataAndStat, Failure> {
        self.get_data_at(&self.target().full(path), path, watch)
    }

    /// The configuration of the ensemble and the `Stat` of its znode.
    pub(crate) fn get_config(&self, watch: bool) -> Result<DataAndStat, Failure> {
        self.get_data_at(CONFIG_PATH, CONFIG_PATH, watch)
    }

    fn get_data_at(&self, full: &str, shown: &str, watch: bool) -> Result<DataAndStat, Failure> {
        let kind = watch.then(|| (WatchKind::Data, full.to_owned()));
        let request = Request::GetData(GetData { path: full, watch });
        let answer = self.request_with_watch(&request, Some(shown), kind)?;
        let reply = reply!(answer, GetData);
        Ok((reply.data.map(<[u8]>::to_vec), reply.stat))
    }

    /// Replaces the data of a znode, of that version if it is not -1.
    pub(crate) fn set_data(&self, path: &str, data: Option<&[u8]>, version: i32) -> Result<Stat, Failure> {
        let full = self.target().full(path);
        let request = Request::SetData(SetData { path: &full, data, version });
        Ok(reply!(self.request(&request, Some(path))?, SetData).stat)
    }

    /// The names of the children of a znode, sorted, and its `Stat`.
    pub(crate) fn get_children(&self, path: &str, watch: bool) -> Result<(Vec<String>, Stat), Failure> {
        let full = self.target().full(path);
        let kind = watch.then(|| (WatchKind::Child, full.clone().into_owned()));
        let request = Request::GetChildren2(GetChildren2 { path: &full, watch });
        let answer = self.request_with_watch(&request, Some(path), kind)?;
        let reply = reply!(answer, GetChildren2);
        let mut names = strings(reply.children);
        names.sort_unstable();
        Ok((names, reply.stat))
    }

    /// The number of all descendants of a znode.
    pub(crate) fn get_all_children_number(&self, path: &str) -> Result<i32, Failure> {
        let full = self.target().full(path);
        let request = Request::GetAllChildrenNumber(GetAllChildrenNumber { path: &full });
        Ok(reply!(self.request(&request, Some(path))?, GetAllChildrenNumber).total_number)
    }

    /// The paths of this session's ephemeral znodes that start with `prefix`, sorted.
    pub(crate) fn get_ephemerals(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let full = self.target().full(prefix);
        let request = Request::GetEphemerals(GetEphemerals { prefix_path: &full });
        let answer = self.request(&request, Some(prefix))?;
        let found = reply!(answer, GetEphemerals).ephemerals;
        let mut paths: Vec<String> = found.iter().map(|path| self.shown(path)).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    /// The ACL and `Stat` of a znode.
    pub(crate) fn get_acl(&self, path: &str) -> Result<(Vec<Acl>, Stat), Failure> {
        let full = self.target().full(path);
        let answer = self.request(&Request::GetAcl(GetAcl { path: &full }), Some(path))?;
        let reply = reply!(answer, GetAcl);
        Ok((reply.acl.to_vec(), reply.stat))
    }

    /// Replaces the ACL of a znode, if its `aversion` is `version` or `version` is -1.
    pub(crate) fn set_acl(&self, path: &str, acl: &[Acl], version: i32) -> Result<Stat, Failure> {
        let (mut buffer, full) = (Vec::new(), self.target().full(path));
        let acl = AclList::encode_into(acl, &mut buffer);
        let request = Request::SetAcl(SetAcl { path: &full, acl, version });
        Ok(reply!(self.request(&request, Some(path))?, SetAcl).stat)
    }

    /// Waits until the server has seen all that was committed before.
    pub(crate) fn sync(&self, path: &str) -> Result<(), Failure> {
        let full = self.target().full(path);
        self.request(&Request::Sync(Sync { path: &full }), Some(path)).map(drop)
    }

    /// Adds a persistent watch.
    pub(crate) fn add_watch(&self, path: &str, mode: AddWatchMode) -> Result<(), Failure> {
        let full = self.target().full(path);
        let kind = match mode {
            AddWatchMode::Persistent => WatchKind::Persistent,
            AddWatchMode::PersistentRecursive => WatchKind::PersistentRecursive,
        };
        let request = Request::AddWatch(AddWatch { path: &full, mode: mode as i32 });
        let kind = Some((kind, full.clone().into_owned()));
        self.request_with_watch(&request, Some(path), kind).map(drop)
    }

    /// Takes watches back at the server.
    pub(crate) fn remove_watches(&self, path: &str, watcher_type: WatcherType) -> Result<(), Failure> {
        let full = self.target().full(path);
        let request = RemoveWatches { path: &full, watcher_type: watcher_type as i32 };
        self.request(&Request::RemoveWatches(request), Some(path)).map(drop)
    }

    /// The identities of this session as (scheme, user).
    pub(crate) fn who_am_i(&self) -> Result<Vec<(String, String)>, Failure> {
        let answer = self.request(&Request::WhoAmI, None)?;
        let reply = reply!(answer, WhoAmI);
        let pair = |info: wire::record::ClientInfo<'_>| (info.auth_scheme.to_owned(), info.user.to_owned());
        Ok(reply.client_info.iter().map(pair).collect())
    }

    /// Changes the members of the ensemble.
    pub(crate) fn reconfig(&self, change: &Reconfig<'_>) -> Result<DataAndStat, Failure> {
        let answer = self.request(&Request::Reconfig(*change), None)?;
        let reply = reply!(answer, GetData);
        Ok((reply.data.map(<[u8]>::to_vec), reply.stat))
    }

    /// Executes operations together, whose paths are those of the server.
    pub(crate) fn multi(&self, operations: &[Request<'_>], only_reads: bool) -> Result<Answer, Failure> {
        let mut buffer = Vec::new();
        let multi = Multi::encode_into(operations.iter().copied(), &mut buffer);
        let request = if only_reads { Request::MultiRead(multi) } else { Request::Multi(multi) };
        self.request(&request, None)
    }
}

/// The request that creates a znode in this mode.
pub(crate) fn create_request<'a>(
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: AclList<'a>,
    mode: CreateMode,
) -> Request<'a> {
    let (kind, ttl) = match mode {
        CreateMode::Container => (Opcode::CreateContainer, None),
        CreateMode::PersistentWithTtl(ttl) | CreateMode::PersistentSequentialWithTtl(ttl) => {
            (Opcode::CreateTtl, Some(ttl))
        }
        _ => (Opcode::Create, None),
    };
    Request::Create(Create { path, data, acl, flags: mode.flags(), ttl, kind })
}

fn strings(list: PathList<'_>) -> Vec<String> {
    list.iter().map(str::to_owned).collect()
}
