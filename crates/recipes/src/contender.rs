//! A participant with a place in a queue: an ephemeral znode with a number.
//!
//! The rules, each from a bug of an older client:
//! - A create whose answer was lost may have been executed: the name has a unique part, by which
//!   the participant finds its znode. It counts only if it belongs to the session of now
//!   (CURATOR-498).
//! - A participant waits for the deletion of one znode, the last before it that excludes it, so a
//!   release wakes one participant.
//! - A participant that stops waiting deletes its znode, also if its future is dropped.

use client::{Client, CreateMode, ErrorCode, Stat, Watch};

use crate::error::Error;
use crate::names::{Kind, Layout, sequence, unique};

/// How often an operation whose outcome is unknown is repeated. Each attempt waits for a server for
/// as long as the session can live, so in practice the session ends before.
pub(crate) const ATTEMPTS: usize = 100;

/// Where participants queue up, and whose names they have.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) client: Client,
    /// The parent of the participants, without a slash at its end.
    pub(crate) path: String,
    pub(crate) layout: Layout,
}

impl Place {
    pub(crate) fn new(client: &Client, path: &str) -> Self {
        let path = path.trim_end_matches('/').to_owned();
        Self { client: client.clone(), path, layout: Layout::default() }
    }

    /// Queues up.
    pub(crate) async fn enter(&self, kind: Kind, data: &[u8]) -> Result<Contender, Error> {
        Contender::enter(&self.client, &self.path, kind, self.layout, data).await
    }

    /// The participants in their order.
    pub(crate) async fn queue(&self) -> Result<Vec<Participant>, Error> {
        queue(&self.client, &self.path).await
    }
}

/// A participant.
pub(crate) struct Contender {
    client: Client,
    /// The parent, without a slash at its end.
    parent: String,
    name: String,
    czxid: i64,
    /// Whether the znode has been handed over to a guard, or was deleted.
    is_done: bool,
}

/// One child of the parent that takes part.
pub(crate) struct Rival<'n> {
    pub(crate) name: &'n str,
    pub(crate) sequence: i64,
}

impl Contender {
    /// Queues up.
    pub(crate) async fn enter(
        client: &Client,
        parent: &str,
        kind: Kind,
        layout: Layout,
        data: &[u8],
    ) -> Result<Self, Error> {
        let unique = unique(layout);
        let prefix = kind.prefix(layout, &unique);
        let path = format!("{parent}/{prefix}");
        // If this future is dropped, the znode may exist already.
        let mut entering = Entering { client, parent, unique: &unique, is_done: false };
        let (name, czxid) = create(client, parent, &path, &unique, data).await?;
        entering.is_done = true;
        Ok(Self { client: client.clone(), parent: parent.to_owned(), name, czxid, is_done: false })
    }

    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.parent, self.name)
    }

    /// Waits until no participant before this one excludes it. `excludes` tells whether one does.
    pub(crate) async fn wait(&self, excludes: impl Fn(&str) -> bool) -> Result<(), Error> {
        while let Some(before) = self.last_before(&excludes).await? {
            let path = format!("{}/{before}", self.parent);
            let mut watch = match self.client.get_data_and_watch(&path).await {
                Ok((_, watch)) => watch,
                Err(error) if error.code() == Some(ErrorCode::NoNode) => continue,
                Err(error) if is_unsure(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            fired(&mut watch).await?;
        }
        Ok(())
    }

    /// The last participant before this one that excludes it.
    pub(crate) async fn last_before(
        &self,
        excludes: &impl Fn(&str) -> bool,
    ) -> Result<Option<String>, Error> {
        let names = children(&self.client, &self.parent).await?;
        if !names.contains(&self.name) {
            return Err(Error::Deleted { path: self.path() });
        }
        let own = sequence(&self.name);
        let before = rivals(&names).filter(|rival| Some(rival.sequence) < own && excludes(rival.name));
        Ok(before.max_by_key(|rival| rival.sequence).map(|rival| rival.name.to_owned()))
    }

    /// Gives the znode to a guard: it is not deleted when this is dropped.
    pub(crate) fn take(mut self) -> (Client, String, i64) {
        self.is_done = true;
        (self.client.clone(), self.path(), self.czxid)
    }

    /// Leaves the queue.
    pub(crate) async fn leave(mut self) -> Result<(), Error> {
        self.is_done = true;
        delete(&self.client, &self.path()).await
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        if !self.is_done {
            delete_later(self.client.clone(), self.path());
        }
    }
}

/// Looks for a znode that may have been created although its caller no longer waits for it.
struct Entering<'e> {
    client: &'e Client,
    parent: &'e str,
    unique: &'e str,
    is_done: bool,
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let (client, parent) = (self.client.clone(), self.parent.to_owned());
        let unique = self.unique.to_owned();
        later(async move {
            // Behind the create, which this session has sent.
            if let Ok(Some((name, _))) = find(&client, &parent, &unique).await {
                // The session ends otherwise, and the znode with it.
                let _ = delete(&client, &format!("{parent}/{name}")).await;
            }
        });
    }
}

/// The participants among children; foreign names have no number.
pub(crate) fn rivals(names: &[String]) -> impl Iterator<Item = Rival<'_>> {
    names.iter().filter_map(|name| Some(Rival { name, sequence: sequence(name)? }))
}

/// The names of the children; none if there is no parent.
pub(crate) async fn children(client: &Client, parent: &str) -> Result<Vec<String>, client::Error> {
    match repeat_up_to(ATTEMPTS, || client.get_children(parent, false)).await {
        Ok((names, _)) => Ok(names),
        Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Repeats an operation that does no harm twice, for as long as its answer is lost with the
/// connection.
pub(crate) async fn repeat<T, F>(operation: impl FnMut() -> F) -> Result<T, client::Error>
where
    F: Future<Output = Result<T, client::Error>>,
{
    repeat_up_to(usize::MAX, operation).await
}

/// As [`repeat`], up to a number of times.
pub(crate) async fn repeat_up_to<T, F>(
    attempts: usize,
    mut operation: impl FnMut() -> F,
) -> Result<T, client::Error>
where
    F: Future<Output = Result<T, client::Error>>,
{
    for _ in 1..attempts {
        match operation().await {
            Err(error) if is_unsure(&error) => {}
            done => return done,
        }
    }
    operation().await
}

/// Waits for the event of a watch.
///
/// # Errors
/// The session ends first.
pub(crate) async fn fired(watch: &mut Watch) -> Result<(), Error> {
    match watch.fired().await {
        Some(_) => Ok(()),
        None => Err(client::Error::SessionExpired.into()),
    }
}

/// Whether the connection was lost while the request was under way: the session reconnects.
pub(crate) fn is_unsure(error: &client::Error) -> bool {
    matches!(error, client::Error::ConnectionLoss { .. })
}

async fn create(
    client: &Client,
    parent: &str,
    path: &str,
    unique: &str,
    data: &[u8],
) -> Result<(String, i64), Error> {
    let acl = client.acl();
    let mut may_exist = false;
    for _ in 0..ATTEMPTS {
        if may_exist {
            match find(client, parent, unique).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => may_exist = false,
                Err(error) if is_unsure(&error) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        match client.create_with_stat(path, Some(data), acl, CreateMode::EphemeralSequential).await {
            Ok((path, stat)) => return Ok((name_of(&path), stat.czxid)),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => make_parent(client, parent).await?,
            Err(error) if is_unsure(&error) => may_exist = true,
            Err(error) => return Err(error.into()),
        }
    }
    Err(client::Error::ConnectionLoss { operation: "create2" }.into())
}

fn name_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The znode of this session with the unique part in its name, and its `czxid`.
async fn find(client: &Client, parent: &str, unique: &str) -> Result<Option<(String, i64)>, client::Error> {
    let names = match client.get_children(parent, false).await {
        Ok((names, _)) => names,
        Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(None),
        Err(error) => return Err(error),
    };
    for name in names.into_iter().filter(|name| name.contains(unique)) {
        let stat: Option<Stat> = client.exists(&format!("{parent}/{name}"), false).await?;
        if let Some(stat) = stat.filter(|stat| stat.ephemeral_owner == client.identity().id) {
            return Ok(Some((name, stat.czxid)));
        }
    }
    Ok(None)
}

/// Creates the parent, as a container, which the server deletes when it has been empty for a while;
/// its ancestors stay.
pub(crate) async fn make_parent(client: &Client, parent: &str) -> Result<(), Error> {
    let acl = client.acl();
    for _ in 0..ATTEMPTS {
        let error = match client.create(parent, None, acl, CreateMode::Container).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match error.code() {
            Some(ErrorCode::NodeExists) => return Ok(()),
            Some(ErrorCode::NoNode) => {
                match parent.rfind('/') {
                    Some(end @ 1..) => client.create_all(&parent[..end], acl).await?,
                    // The chroot does not exist.
                    _ => return Err(error.into()),
                }
            }
            // Servers before ZooKeeper 3.5 have no containers.
            Some(ErrorCode::Unimplemented) => return Ok(client.create_all(parent, acl).await?),
            _ if is_unsure(&error) => {}
            _ => return Err(error.into()),
        }
    }
    Err(client::Error::ConnectionLoss { operation: "createContainer" }.into())
}

/// Deletes a znode, also if an answer is lost.
///
/// # Errors
/// The session is over, or no server can be reached.
pub(crate) async fn delete(client: &Client, path: &str) -> Result<(), Error> {
    match repeat_up_to(ATTEMPTS, || client.delete(path, -1)).await {
        Err(error) if error.code() != Some(ErrorCode::NoNode) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Deletes a znode in the background, as soon as there is a server, unless the session ends first,
/// and the znode with it.
pub(crate) fn delete_later(client: Client, path: String) {
    later(async move {
        while let Err(Error::Client(client::Error::Unreachable { .. })) = delete(&client, &path).await {}
    });
}

/// Runs a future in the background, if there is a runtime; otherwise the program is about to end,
/// and its sessions with it.
fn later(future: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(future);
    }
}

/// One that holds something, or waits for it, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Its znode.
    pub path: String,
    /// Its fencing token.
    pub token: i64,
    /// Its session.
    pub session: i64,
    /// What it says of itself.
    pub data: Vec<u8>,
}

/// The participants in their order.
pub(crate) async fn queue(client: &Client, parent: &str) -> Result<Vec<Participant>, Error> {
    let names = children(client, parent).await?;
    let mut queued: Vec<Rival<'_>> = rivals(&names).collect();
    queued.sort_by_key(|rival| rival.sequence);
    let mut found = Vec::with_capacity(queued.len());
    for rival in queued {
        let path = format!("{parent}/{}", rival.name);
        match client.get_data(&path, false).await {
            Ok((data, stat)) => found.push(Participant {
                path,
                token: stat.czxid,
                session: stat.ephemeral_owner,
                data: data.unwrap_or_default(),
            }),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}
