//! Operations that Ostler and ClickHouse Keeper have and ZooKeeper does not. Where the server does
//! not announce one, the client does the same by ZooKeeper's operations.

use wire::record::{
    CheckStat, Create, FilteredListWithStatsAndData, ListKind, RemoveRecursive, Reply, Request, TryRemove,
};
use wire::{Acl, AclList, ErrorCode, Malformed, Opcode, Stat};

use super::state::Effect;
use super::{Client, Operation};
use crate::error::Error;
use crate::operations::{Child, CreateMode};

/// Where servers announce their extensions: bit 7 - n % 8 of byte n / 8 stands for extension n.
const FLAGS_PATH: &str = "/keeper/feature_flags";

/// Extensions, by their bit.
#[derive(Clone, Copy)]
pub(super) enum Extension {
    CheckNotExists = 2,
    CreateIfNotExists = 3,
    RemoveRecursive = 4,
    CheckStat = 6,
    TryRemove = 9,
    ListWithStatsAndData = 10,
}

#[allow(clippy::missing_errors_doc)]
impl Client {
    /// Whether the server of this connection announces an extension. Asked once for each
    /// connection.
    pub(super) async fn has(&self, extension: Extension) -> Result<bool, Error> {
        let known = self.shared().lock().extensions.clone();
        let flags = match known {
            Some(flags) => flags,
            None => {
                let plain = Self { linearizable: false, ..self.without_chroot() };
                let flags = match plain.get_data(FLAGS_PATH, false).await {
                    Ok((flags, _)) => flags.unwrap_or_default(),
                    Err(error) if error.code() == Some(ErrorCode::NoNode) => Vec::new(),
                    Err(error) if error.code() == Some(ErrorCode::NoAuth) => Vec::new(),
                    Err(error) => return Err(error),
                };
                self.shared().lock().extensions = Some(flags.clone());
                flags
            }
        };
        let number = extension as usize;
        Ok(flags.get(number / 8).is_some_and(|byte| byte & (0x80 >> (number % 8)) != 0))
    }

    /// Creates a znode unless it exists; returns its path in both cases.
    pub async fn create_if_not_exists(
        &self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        mode: CreateMode,
    ) -> Result<String, Error> {
        let is_plain = matches!(mode, CreateMode::Persistent | CreateMode::Ephemeral);
        if !is_plain || !self.has(Extension::CreateIfNotExists).await? {
            return match self.create(path, data, acl, mode).await {
                Err(error) if error.code() == Some(ErrorCode::NodeExists) => Ok(path.to_owned()),
                created => created,
            };
        }
        let (mut buffer, full) = (Vec::new(), self.server_path(path)?);
        let (acl, kind) = (AclList::encode_into(acl, &mut buffer), Opcode::CreateIfNotExists);
        let create = Create { path: &full, data, acl, flags: mode.flags(), ttl: None, kind };
        self.request(&Request::Create(create), Some(path), Effect::None).await?;
        Ok(path.to_owned())
    }

    /// Creates a persistent znode without data, and all its ancestors that do not exist yet.
    pub async fn create_all(&self, path: &str, acl: &[Acl]) -> Result<(), Error> {
        match self.create_if_not_exists(path, None, acl, CreateMode::Persistent).await {
            Err(error) if error.code() == Some(ErrorCode::NoNode) => {}
            created => return created.map(drop),
        }
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        for end in ends {
            self.create_if_not_exists(&path[..end], None, acl, CreateMode::Persistent).await?;
        }
        Ok(())
    }

    /// Deletes a znode, of that version if it is not -1; returns whether it has. It has not if the
    /// znode does not exist, has another version or has children.
    pub async fn try_delete(&self, path: &str, version: i32) -> Result<bool, Error> {
        match self.delete(path, version).await {
            Ok(()) => Ok(true),
            Err(error) => match error.code() {
                Some(ErrorCode::NoNode | ErrorCode::BadVersion | ErrorCode::NotEmpty) => Ok(false),
                _ => Err(error),
            },
        }
    }

    /// As [`Self::try_delete`] for a caller that does not need to know whether it has.
    pub async fn discard(&self, path: &str, version: i32) -> Result<(), Error> {
        if !self.has(Extension::TryRemove).await? {
            return self.try_delete(path, version).await.map(drop);
        }
        let full = self.server_path(path)?;
        let request = Request::TryRemove(TryRemove { path: &full, version });
        self.request(&request, Some(path), Effect::None).await.map(drop)
    }

    /// Requires that a znode exists, in that version if it is not -1, and has the values of all
    /// fields of `expected` that are not -1, as in [`Stat::ANY`]; the refusal is
    /// [`ErrorCode::NoNode`] or [`ErrorCode::BadVersion`].
    ///
    /// A server with the extension compares, and asks for the permission to read the znode. Others
    /// are asked for its newest `Stat`, which needs no permission and costs a `sync`. Both say what
    /// was at one moment of the call: to make a write depend on it, put
    /// [`Operation::CheckStat`] into the same multi.
    pub async fn check_stat(&self, path: &str, version: i32, expected: &Stat) -> Result<(), Error> {
        if self.has(Extension::CheckStat).await? {
            let full = self.server_path(path)?;
            let request = Request::CheckStat(CheckStat { path: &full, version, stat: *expected });
            return self.request(&request, Some(path), Effect::None).await.map(drop);
        }
        let refused = |code: ErrorCode| Error::Refused { code: code as i32, path: Some(path.to_owned()) };
        let stat = self.linearizable().exists(path, false).await?;
        let stat = stat.ok_or_else(|| refused(ErrorCode::NoNode))?;
        match (version == -1 || version == stat.version) && expected.is_met_by(&stat) {
            true => Ok(()),
            false => Err(refused(ErrorCode::BadVersion)),
        }
    }

    /// Deletes a znode and its descendants, if there are at most `limit` of them, itself included;
    /// nothing if it does not exist.
    ///
    /// A server with the extension deletes all or nothing, and refuses with
    /// [`ErrorCode::NotEmpty`] if there are more. Others are sent one multi, which fails with
    /// [`Error::MultiRefused`] if the tree changes meanwhile.
    pub async fn delete_recursive(&self, path: &str, limit: u32) -> Result<(), Error> {
        if self.has(Extension::RemoveRecursive).await? {
            let full = self.server_path(path)?;
            let request = Request::RemoveRecursive(RemoveRecursive { path: &full, limit });
            return match self.request(&request, Some(path), Effect::None).await {
                Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(()),
                answer => answer.map(drop),
            };
        }
        let mut paths = self.list_recursive(path, limit).await?;
        if paths.len() > limit as usize {
            return Err(Error::Refused { code: ErrorCode::NotEmpty as i32, path: Some(path.to_owned()) });
        }
        paths.reverse();
        let deletes = paths.iter().map(|path| Operation::Delete { path, version: -1 });
        let operations: Vec<_> = deletes.collect();
        self.multi(&operations).await.map(drop)
    }

    /// The paths of a znode and its descendants, parents before children; empty if it does not
    /// exist. Stops when it has found more than `limit`.
    pub async fn list_recursive(&self, path: &str, limit: u32) -> Result<Vec<String>, Error> {
        if self.exists(path, false).await?.is_none() {
            return Ok(Vec::new());
        }
        let (mut paths, mut next) = (vec![path.to_owned()], 0);
        while next < paths.len() && paths.len() <= limit as usize {
            let names = match self.get_children(&paths[next], false).await {
                Ok((names, _)) => names,
                Err(error) if error.code() == Some(ErrorCode::NoNode) => Vec::new(),
                Err(error) => return Err(error),
            };
            let parent = paths[next].trim_end_matches('/').to_owned();
            paths.extend(names.iter().map(|name| format!("{parent}/{name}")));
            next += 1;
        }
        Ok(paths)
    }

    /// The children of a znode with `Stat` and data, sorted by name, and the `Stat` of the parent.
    ///
    /// A server with the extension shows all at one moment. Others are asked for each child, and
    /// one that is deleted meanwhile is left out.
    pub async fn children_with_data(&self, path: &str) -> Result<(Vec<Child>, Stat), Error> {
        if !self.has(Extension::ListWithStatsAndData).await? {
            return self.children_one_by_one(path).await;
        }
        let full = self.server_path(path)?;
        let request = FilteredListWithStatsAndData {
            path: &full,
            watch: false,
            kind: ListKind::All,
            with_stat: true,
            with_data: true,
        };
        let request = Request::FilteredListWithStatsAndData(request);
        let answer = self.read(&request, &full, path, Effect::None).await?;
        let reply = match answer.decode()? {
            Reply::FilteredListWithStatsAndData(reply) => reply,
            other => unreachable!("{other:?} is not what this operation answers"),
        };
        for length in [reply.stats.len(), reply.data.len()] {
            if length != reply.children.len() {
                let error = Malformed::Excess(length.abs_diff(reply.children.len()));
                return Err(Error::Malformed { operation: request.opcode().name(), error });
            }
        }
        let (mut stats, mut data) = (reply.stats.iter(), reply.data.iter());
        let child = |name: &str| Child {
            name: name.to_owned(),
            stat: stats.next(),
            data: data.next().flatten().map(<[u8]>::to_vec),
        };
        let mut children: Vec<Child> = reply.children.iter().map(child).collect();
        children.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok((children, reply.stat))
    }

    async fn children_one_by_one(&self, path: &str) -> Result<(Vec<Child>, Stat), Error> {
        let (names, stat) = self.get_children(path, false).await?;
        let parent = path.trim_end_matches('/');
        let mut children = Vec::with_capacity(names.len());
        for name in names {
            match self.get_data(&format!("{parent}/{name}"), false).await {
                Ok((data, stat)) => children.push(Child { name, stat: Some(stat), data }),
                Err(error) if error.code() == Some(ErrorCode::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((children, stat))
    }
}
