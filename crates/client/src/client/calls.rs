//! One method for each operation of ZooKeeper's protocol. The chroot is put on and taken off here.

use tokio::sync::oneshot;
use wire::event::{AddWatchMode, WatcherType};
use wire::record::{
    AddWatch, Create, Delete, Exists, GetAcl, GetAllChildrenNumber, GetChildren2, GetData, GetEphemerals,
    PathList, Reconfig, RemoveWatches, Reply, Request, SetAcl, SetData, Sync,
};
use wire::{Acl, AclList, ErrorCode, Opcode, Stat};

use super::state::Effect;
use super::watches::WatchKind;
use super::{Client, Watch};
use crate::connection::WatchEvent;
use crate::error::Error;
use crate::operations::CreateMode;

/// The configuration is one for the whole ensemble, so the chroot does not apply to it.
const CONFIG_PATH: &str = "/zookeeper/config";

/// Takes the one kind of reply apart that the operation can have.
macro_rules! reply {
    ($answer:expr, $kind:ident) => {
        match $answer.decode()? {
            Reply::$kind(reply) => reply,
            other => unreachable!("{other:?} is not what this operation answers"),
        }
    };
}

type WatchSender = oneshot::Sender<WatchEvent>;
type DataAndStat = (Option<Vec<u8>>, Stat);

/// The operations. Each waits for its answer, and before it for a connection, for as long as the
/// session timeout asked for and at least 1 s. Each can fail with any [`Error`]; a refusal by the
/// server is [`Error::Refused`] with the path.
///
/// A server closes the connection instead of taking a request longer than its `jute.maxbuffer`, by
/// default 1 MiB: the call fails with [`Error::ConnectionLoss`].
///
/// A one-shot watch, which `watch` asks for, comes as [`SessionEvent::Watch`] to every receiver of
/// events. It is set only if the call succeeds, but for [`Client::exists`]. The calls whose names
/// end in `_and_watch` return it as a [`Watch`] besides.
///
/// [`SessionEvent::Watch`]: super::SessionEvent::Watch
#[allow(clippy::missing_errors_doc)]
impl Client {
    fn shown(&self, full: &str) -> String {
        self.servers.client_path(full).to_owned()
    }

    /// Creates a znode and returns its path.
    pub async fn create(
        &self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        mode: CreateMode,
    ) -> Result<String, Error> {
        let (mut buffer, full) = (Vec::new(), self.server_path(path)?);
        let request = create_request(&full, data, AclList::encode_into(acl, &mut buffer), mode);
        let answer = self.request(&request, Some(path), Effect::None).await?;
        match answer.decode()? {
            Reply::Create(reply) => Ok(self.shown(reply.path)),
            Reply::Create2(reply) => Ok(self.shown(reply.path)),
            other => unreachable!("{other:?} is not what a create answers"),
        }
    }

    /// Creates a znode and returns its path and `Stat`, whose `czxid` no other znode has.
    pub async fn create_with_stat(
        &self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        mode: CreateMode,
    ) -> Result<(String, Stat), Error> {
        let (mut buffer, full) = (Vec::new(), self.server_path(path)?);
        let mut request = create_request(&full, data, AclList::encode_into(acl, &mut buffer), mode);
        if let Request::Create(Create { kind: kind @ Opcode::Create, .. }) = &mut request {
            *kind = Opcode::Create2;
        }
        let answer = self.request(&request, Some(path), Effect::None).await?;
        let reply = reply!(answer, Create2);
        Ok((self.shown(reply.path), reply.stat))
    }

    /// Deletes a znode, of that version if it is not -1.
    pub async fn delete(&self, path: &str, version: i32) -> Result<(), Error> {
        let full = self.server_path(path)?;
        let request = Request::Delete(Delete { path: &full, version });
        self.request(&request, Some(path), Effect::None).await.map(drop)
    }

    /// The `Stat` of a znode, or `None` if it does not exist. The watch is set in both cases.
    pub async fn exists(&self, path: &str, watch: bool) -> Result<Option<Stat>, Error> {
        self.exists_with(path, watch, None).await
    }

    /// As [`Self::exists`], with a watch that fires when the znode is created, changed or deleted.
    pub async fn exists_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        let (sender, watch) = Watch::new(&self.servers);
        Ok((self.exists_with(path, true, Some(sender)).await?, watch))
    }

    async fn exists_with(
        &self,
        path: &str,
        watch: bool,
        sender: Option<WatchSender>,
    ) -> Result<Option<Stat>, Error> {
        let full = self.server_path(path)?;
        let request = Request::Exists(Exists { path: &full, watch });
        let effect = watch_effect(watch, WatchKind::Exist, &full, sender);
        match self.read(&request, &full, path, effect).await {
            Ok(answer) => Ok(Some(reply!(answer, Exists).stat)),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The data and `Stat` of a znode.
    pub async fn get_data(&self, path: &str, watch: bool) -> Result<DataAndStat, Error> {
        self.get_data_at(&self.server_path(path)?, path, watch, None).await
    }

    /// As [`Self::get_data`], with a watch that fires when the znode is changed or deleted.
    pub async fn get_data_and_watch(&self, path: &str) -> Result<(DataAndStat, Watch), Error> {
        let (sender, watch) = Watch::new(&self.servers);
        Ok((self.get_data_at(&self.server_path(path)?, path, true, Some(sender)).await?, watch))
    }

    /// The configuration of the ensemble and the `Stat` of its znode.
    pub async fn get_config(&self, watch: bool) -> Result<DataAndStat, Error> {
        self.get_data_at(CONFIG_PATH, CONFIG_PATH, watch, None).await
    }

    async fn get_data_at(
        &self,
        full: &str,
        shown: &str,
        watch: bool,
        sender: Option<WatchSender>,
    ) -> Result<DataAndStat, Error> {
        let effect = watch_effect(watch, WatchKind::Data, full, sender);
        let request = Request::GetData(GetData { path: full, watch });
        let answer = self.read(&request, full, shown, effect).await?;
        let reply = reply!(answer, GetData);
        Ok((reply.data.map(<[u8]>::to_vec), reply.stat))
    }

    /// Replaces the data of a znode, of that version if it is not -1.
    pub async fn set_data(&self, path: &str, data: Option<&[u8]>, version: i32) -> Result<Stat, Error> {
        let full = self.server_path(path)?;
        let request = Request::SetData(SetData { path: &full, data, version });
        Ok(reply!(self.request(&request, Some(path), Effect::None).await?, SetData).stat)
    }

    /// The names of the children of a znode, sorted, and its `Stat`.
    pub async fn get_children(&self, path: &str, watch: bool) -> Result<(Vec<String>, Stat), Error> {
        self.get_children_with(path, watch, None).await
    }

    /// As [`Self::get_children`], with a watch that fires when a child is created or deleted, or
    /// the znode is deleted.
    pub async fn get_children_and_watch(&self, path: &str) -> Result<(Vec<String>, Stat, Watch), Error> {
        let (sender, watch) = Watch::new(&self.servers);
        let (names, stat) = self.get_children_with(path, true, Some(sender)).await?;
        Ok((names, stat, watch))
    }

    async fn get_children_with(
        &self,
        path: &str,
        watch: bool,
        sender: Option<WatchSender>,
    ) -> Result<(Vec<String>, Stat), Error> {
        let full = self.server_path(path)?;
        let effect = watch_effect(watch, WatchKind::Child, &full, sender);
        let request = Request::GetChildren2(GetChildren2 { path: &full, watch });
        let answer = self.read(&request, &full, path, effect).await?;
        let reply = reply!(answer, GetChildren2);
        let mut names = strings(reply.children);
        names.sort_unstable();
        Ok((names, reply.stat))
    }

    /// The number of all descendants of a znode.
    pub async fn get_all_children_number(&self, path: &str) -> Result<i32, Error> {
        let full = self.server_path(path)?;
        let request = Request::GetAllChildrenNumber(GetAllChildrenNumber { path: &full });
        let answer = self.read(&request, &full, path, Effect::None).await?;
        Ok(reply!(answer, GetAllChildrenNumber).total_number)
    }

    /// The paths of this session's ephemeral znodes that start with `prefix`, sorted.
    pub async fn get_ephemerals(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let full = self.server_path(prefix)?;
        let request = Request::GetEphemerals(GetEphemerals { prefix_path: &full });
        let answer = self.read(&request, &full, prefix, Effect::None).await?;
        let found = reply!(answer, GetEphemerals).ephemerals;
        let mut paths: Vec<String> = found.iter().map(|path| self.shown(path)).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    /// The ACL and `Stat` of a znode.
    pub async fn get_acl(&self, path: &str) -> Result<(Vec<Acl>, Stat), Error> {
        let full = self.server_path(path)?;
        let request = Request::GetAcl(GetAcl { path: &full });
        let answer = self.read(&request, &full, path, Effect::None).await?;
        let reply = reply!(answer, GetAcl);
        Ok((reply.acl.to_vec(), reply.stat))
    }

    /// Replaces the ACL of a znode, if its `aversion` is `version` or `version` is -1.
    pub async fn set_acl(&self, path: &str, acl: &[Acl], version: i32) -> Result<Stat, Error> {
        let (mut buffer, full) = (Vec::new(), self.server_path(path)?);
        let acl = AclList::encode_into(acl, &mut buffer);
        let request = Request::SetAcl(SetAcl { path: &full, acl, version });
        Ok(reply!(self.request(&request, Some(path), Effect::None).await?, SetAcl).stat)
    }

    /// Waits until the server has seen all that was committed before.
    pub async fn sync(&self, path: &str) -> Result<(), Error> {
        let full = self.server_path(path)?;
        let request = Request::Sync(Sync { path: &full });
        self.request(&request, Some(path), Effect::None).await.map(drop)
    }

    /// Adds a persistent watch.
    pub async fn add_watch(&self, path: &str, mode: AddWatchMode) -> Result<(), Error> {
        let full = self.server_path(path)?;
        let kind = match mode {
            AddWatchMode::Persistent => WatchKind::Persistent,
            AddWatchMode::PersistentRecursive => WatchKind::PersistentRecursive,
        };
        let request = Request::AddWatch(AddWatch { path: &full, mode: mode as i32 });
        let effect = watch_effect(true, kind, &full, None);
        self.request(&request, Some(path), effect).await.map(drop)
    }

    /// Removes watches at the server and here, and reports each as removed.
    pub async fn remove_watches(&self, path: &str, watcher_type: WatcherType) -> Result<(), Error> {
        let full = self.server_path(path)?;
        let request = RemoveWatches { path: &full, watcher_type: watcher_type as i32 };
        self.request(&Request::RemoveWatches(request), Some(path), Effect::None).await?;
        self.forget_watches(path, watcher_type);
        Ok(())
    }

    /// The identities of this session as (scheme, user).
    pub async fn who_am_i(&self) -> Result<Vec<(String, String)>, Error> {
        let answer = self.request(&Request::WhoAmI, None, Effect::None).await?;
        let reply = reply!(answer, WhoAmI);
        let pair = |info: wire::record::ClientInfo<'_>| (info.auth_scheme.to_owned(), info.user.to_owned());
        Ok(reply.client_info.iter().map(pair).collect())
    }

    /// Changes the members of the ensemble.
    pub async fn reconfig(&self, change: &Reconfig<'_>) -> Result<DataAndStat, Error> {
        let answer = self.request(&Request::Reconfig(*change), None, Effect::None).await?;
        let reply = reply!(answer, GetData);
        Ok((reply.data.map(<[u8]>::to_vec), reply.stat))
    }
}

/// That a request sets a watch, if it does.
fn watch_effect(watch: bool, kind: WatchKind, full: &str, sender: Option<WatchSender>) -> Effect {
    if watch { Effect::Watch(kind, full.to_owned(), sender) } else { Effect::None }
}

/// The request that creates a znode in this mode.
pub(super) fn create_request<'a>(
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: AclList<'a>,
    mode: CreateMode,
) -> Request<'a> {
    let kind = match mode {
        CreateMode::Container => Opcode::CreateContainer,
        CreateMode::PersistentWithTtl(_) | CreateMode::PersistentSequentialWithTtl(_) => Opcode::CreateTtl,
        _ => Opcode::Create,
    };
    Request::Create(Create { path, data, acl, flags: mode.flags(), ttl: mode.ttl(), kind })
}

pub(super) fn strings(list: PathList<'_>) -> Vec<String> {
    list.iter().map(str::to_owned).collect()
}
