//! A local copy of a subtree, kept up to date by a persistent recursive watch.
//!
//! An event marks its path as stale before the reply to any later request of the session reaches a
//! caller, so the cache always knows what it does not know. A task reads stale paths again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, broadcast};
use wire::event::AddWatchMode;
use wire::{ErrorCode, Stat};

use super::Client;
use super::watch::Registration;
use super::watchers::{Sink, WatchUpdate};
use crate::error::Error;

/// Reads that are made at the same time to bring the cache up to date.
const READS_AT_ONCE: usize = 64;

/// Changes that a slow receiver may lag behind before it misses some.
const CHANGES_KEPT: usize = 4_096;

/// A znode in a [`TreeCache`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedNode {
    /// Its data.
    pub data: Arc<[u8]>,
    /// Its `Stat` when the data were read. The number of children may have changed since.
    pub stat: Stat,
}

impl CachedNode {
    /// Whether nothing but the children has changed.
    fn is_same_version(&self, other: &Self) -> bool {
        let version = |stat: &Stat| (stat.czxid, stat.mzxid, stat.aversion);
        version(&self.stat) == version(&other.stat)
    }
}

/// A change that a [`TreeCache`] has taken in. Several changes of one znode may be one here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheChange {
    /// A znode was created, or replaced by another one.
    Created(String, CachedNode),
    /// Its data or ACL were changed.
    Changed(String, CachedNode),
    /// It was deleted; what it was before.
    Deleted(String, CachedNode),
}

/// A local copy of a znode and its descendants.
///
/// [`Self::get`] and [`Self::snapshot`] are never behind what the session has read or written: they
/// wait while something they show is stale. Needs a server of ZooKeeper 3.6 or later.
///
/// The whole subtree is held in memory. Clones share it.
#[derive(Clone)]
pub struct TreeCache {
    shared: Arc<Shared>,
    /// Ends the watch with the last clone.
    _registration: Arc<Registration>,
}

impl std::fmt::Debug for TreeCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeCache").field("top", &self.shared.top).finish_non_exhaustive()
    }
}

struct Shared {
    /// The path of the top znode, as the client knows it, without a slash at its end.
    top: String,
    state: Mutex<State>,
    /// Notified when something has become stale.
    stale: Notify,
    /// Notified when nothing is stale, or nothing more will come.
    fresh: Notify,
    changes: broadcast::Sender<CacheChange>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, CachedNode>,
    /// Paths to be read again, each with the number of the event that said so.
    stale: HashMap<String, u64>,
    /// The number of the event after which the whole subtree must be read again.
    is_all_stale: Option<u64>,
    events: u64,
    /// Why nothing more will be read.
    failure: Option<ErrorCode>,
    has_ended: bool,
}

impl State {
    fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }

    /// Whether nothing is stale.
    fn is_fresh(&self) -> bool {
        self.is_all_stale.is_none() && self.stale.is_empty()
    }

    fn is_stale(&self, path: &str) -> bool {
        self.is_all_stale.is_some() || self.stale.contains_key(path)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node of a path with what a reply says. `event` is the number that the path had in
    /// `stale` when it was asked for.
    fn put(&self, path: &str, found: Option<CachedNode>, event: Option<u64>) {
        let mut state = self.lock();
        if event.is_some() && state.stale.get(path).copied() == event {
            state.stale.remove(path);
        }
        let change = match (found, state.nodes.get(path)) {
            (None, None) => return,
            (None, Some(_)) => match state.nodes.remove(path) {
                Some(was) => CacheChange::Deleted(path.to_owned(), was),
                None => return,
            },
            // An answer that was overtaken.
            (Some(node), Some(known)) if node.stat.mzxid < known.stat.mzxid => return,
            (Some(node), Some(known)) if known.is_same_version(&node) => {
                state.nodes.insert(path.to_owned(), node);
                return;
            }
            (Some(node), known) => {
                let is_new = known.is_none_or(|known| known.stat.czxid != node.stat.czxid);
                state.nodes.insert(path.to_owned(), node.clone());
                match is_new {
                    true => CacheChange::Created(path.to_owned(), node),
                    false => CacheChange::Changed(path.to_owned(), node),
                }
            }
        };
        // Under the lock, so that changes are sent in their order. Nobody may listen.
        let _ = self.changes.send(change);
    }

    fn end(&self, failure: Option<ErrorCode>) {
        let mut state = self.lock();
        state.failure = state.failure.or(failure);
        state.has_ended = true;
        drop(state);
        self.fresh.notify_waiters();
        self.stale.notify_one();
    }
}

/// Marks what an event is about as stale. Called while the state of the session is locked.
struct Marker {
    shared: Arc<Shared>,
    servers: crate::connect_string::ConnectString,
}

impl Sink<WatchUpdate> for Marker {
    fn take(&mut self, update: &WatchUpdate) -> bool {
        let mut state = self.shared.lock();
        let event = state.next_event();
        match update {
            WatchUpdate::Event(event_of) => {
                let path = self.servers.client_path(&event_of.path);
                state.stale.insert(path.to_owned(), event);
            }
            WatchUpdate::Missed => state.is_all_stale = Some(event),
        }
        drop(state);
        self.shared.stale.notify_one();
        true
    }
}

impl Drop for Marker {
    /// The session is over, or the last handle on the cache is dropped.
    fn drop(&mut self) {
        self.shared.end(None);
    }
}

impl Client {
    /// Opens a cache of the znode `path`, which need not exist, and its descendants, and reads
    /// them. The cache is kept up to date by a task of the current Tokio runtime.
    ///
    /// # Errors
    /// Any [`Error`]. A znode in the subtree that this session may not read makes it
    /// [`ErrorCode::NoAuth`].
    pub async fn tree_cache(&self, path: &str) -> Result<TreeCache, Error> {
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let shared = Arc::new(Shared {
            top: path.to_owned(),
            state: Mutex::new(State { is_all_stale: Some(0), ..State::default() }),
            stale: Notify::new(),
            fresh: Notify::new(),
            changes,
        });
        let marker = Marker { shared: Arc::clone(&shared), servers: self.servers.clone() };
        let registration = self.register(path, AddWatchMode::PersistentRecursive, Box::new(marker)).await?;
        let cache = TreeCache { shared: Arc::clone(&shared), _registration: Arc::new(registration) };
        let reader = Reader { client: self.clone(), shared: Arc::downgrade(&shared) };
        tokio::spawn(reader.run());
        drop(cache.wait_until(State::is_fresh).await?);
        Ok(cache)
    }
}

impl TreeCache {
    /// A znode, or `None` if it does not exist or is not in the subtree. Waits while its copy is
    /// stale.
    ///
    /// # Errors
    /// [`Error::Closed`] after the session has ended; a refusal if the cache may not read a znode.
    pub async fn get(&self, path: &str) -> Result<Option<CachedNode>, Error> {
        let state = self.wait_until(|state| !state.is_stale(path)).await?;
        Ok(state.nodes.get(path).cloned())
    }

    /// A znode as the cache has it at this moment, which may be stale.
    pub fn peek(&self, path: &str) -> Option<CachedNode> {
        self.shared.lock().nodes.get(path).cloned()
    }

    /// All znodes of the subtree by their paths. Waits until none is stale.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn snapshot(&self) -> Result<BTreeMap<String, CachedNode>, Error> {
        let state = self.wait_until(State::is_fresh).await?;
        Ok(state.nodes.clone())
    }

    /// The names of the children of a znode, sorted, with their nodes. Waits until nothing is
    /// stale.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn children(&self, path: &str) -> Result<Vec<(String, CachedNode)>, Error> {
        let state = self.wait_until(State::is_fresh).await?;
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let below = state.nodes.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let children = below.filter_map(|(path, node)| {
            let name = &path[prefix.len()..];
            (!name.is_empty() && !name.contains('/')).then(|| (name.to_owned(), node.clone()))
        });
        Ok(children.collect())
    }

    /// A receiver of all changes from now on. One that is more than 4096 changes behind misses the
    /// oldest and is told so.
    pub fn changes(&self) -> broadcast::Receiver<CacheChange> {
        self.shared.changes.subscribe()
    }

    async fn wait_until(&self, fits: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>, Error> {
        loop {
            let fresh = self.shared.fresh.notified();
            {
                let state = self.shared.lock();
                if let Some(code) = state.failure {
                    return Err(Error::Refused { code: code as i32, path: Some(self.shared.top.clone()) });
                }
                if state.has_ended {
                    return Err(Error::Closed);
                }
                if fits(&state) {
                    return Ok(state);
                }
            }
            fresh.await;
        }
    }
}

/// Reads what is stale, until the cache or the session has ended.
struct Reader {
    client: Client,
    shared: Weak<Shared>,
}

impl Reader {
    async fn run(self) {
        while let Some(shared) = self.shared.upgrade() {
            let (all, stale) = {
                let state = shared.lock();
                if state.has_ended {
                    return;
                }
                let stale: Vec<_> = state.stale.iter().map(|(path, event)| (path.clone(), *event)).collect();
                (state.is_all_stale, stale)
            };
            let read = match all {
                Some(event) => self.read_all(&shared, event).await,
                None if stale.is_empty() => {
                    shared.fresh.notify_waiters();
                    shared.stale.notified().await;
                    continue;
                }
                None => self.read_stale(&shared, stale).await,
            };
            shared.fresh.notify_waiters();
            match read {
                Ok(()) => {}
                // The session looks for a server. Reads wait for it; this one was under way.
                Err(Error::ConnectionLoss { .. } | Error::Unreachable { .. }) => {}
                Err(error) => {
                    return shared.end(error.code().filter(|_| matches!(error, Error::Refused { .. })));
                }
            }
        }
    }

    async fn read_stale(&self, shared: &Arc<Shared>, stale: Vec<(String, u64)>) -> Result<(), Error> {
        for some in stale.chunks(READS_AT_ONCE) {
            self.read_each(shared, some.iter().map(|(path, event)| (path.clone(), Some(*event)))).await?;
        }
        Ok(())
    }

    /// Reads paths at the same time; returns those that exist.
    async fn read_each(
        &self,
        shared: &Arc<Shared>,
        paths: impl Iterator<Item = (String, Option<u64>)>,
    ) -> Result<Vec<String>, Error> {
        let mut reads = tokio::task::JoinSet::new();
        for (path, event) in paths {
            let (client, shared) = (self.client.clone(), Arc::clone(shared));
            reads.spawn(async move {
                let found = match client.get_data(&path, false).await {
                    Ok((data, stat)) => Some(CachedNode { data: data.unwrap_or_default().into(), stat }),
                    Err(error) if error.code() == Some(ErrorCode::NoNode) => None,
                    Err(error) => return Err(error),
                };
                let exists = found.is_some();
                shared.put(&path, found, event);
                Ok(exists.then_some(path))
            });
        }
        let mut existing = Vec::new();
        while let Some(read) = reads.join_next().await {
            // A read neither panics nor is aborted, but the runtime may be shutting down.
            existing.extend(read.unwrap_or(Err(Error::Closed))?);
        }
        Ok(existing)
    }

    /// Reads the whole subtree, level by level, and drops znodes that no longer exist.
    async fn read_all(&self, shared: &Arc<Shared>, event: u64) -> Result<(), Error> {
        let mut level = vec![shared.top.clone()];
        let mut seen = std::collections::HashSet::new();
        while !level.is_empty() {
            let mut next = Vec::new();
            for some in level.chunks(READS_AT_ONCE) {
                let existing = self.read_each(shared, some.iter().map(|path| (path.clone(), None))).await?;
                for path in existing {
                    match self.client.get_children(&path, false).await {
                        Ok((names, _)) => {
                            let parent = path.trim_end_matches('/');
                            next.extend(names.iter().map(|name| format!("{parent}/{name}")));
                        }
                        Err(error) if error.code() == Some(ErrorCode::NoNode) => {}
                        Err(error) => return Err(error),
                    }
                    seen.insert(path);
                }
            }
            level = next;
        }
        let gone: Vec<String> = {
            let state = shared.lock();
            state.nodes.keys().filter(|path| !seen.contains(*path)).cloned().collect()
        };
        // One that was created behind the read of its parent is asked for by its own event.
        self.read_each(shared, gone.into_iter().map(|path| (path, None))).await?;
        let mut state = shared.lock();
        if state.is_all_stale == Some(event) {
            state.is_all_stale = None;
        }
        Ok(())
    }
}
