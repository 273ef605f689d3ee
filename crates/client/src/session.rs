//! The blocking face of the client, for threads instead of tasks.

use std::fmt;
use std::sync::mpsc;

use tokio::runtime::{Builder, Handle};
use wire::event::{AddWatchMode, WatcherType};
use wire::record::Reconfig;
use wire::{Acl, Stat};

pub use crate::client::{Operation, OperationResult, ReadOperation, ReadResult, SessionEvent, SessionState};

use crate::client::{Client, Settings};
use crate::connect::SessionIdentity;
use crate::connect_string::ConnectString;
use crate::error::Error;
use crate::operations::CreateMode;
use crate::stream::Tls;

type DataAndStat = (Option<Vec<u8>>, Stat);

/// How to open a [`Session`].
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// As [`Settings::timeout_ms`].
    pub timeout_ms: i32,
    /// Whether to accept a server that can only read.
    pub read_only: bool,
    /// `Some`: the servers speak TLS.
    pub tls: Option<Tls>,
    /// Where events go from the first one on. [`Session::subscribe`] adds more receivers later.
    pub events: Option<mpsc::Sender<SessionEvent>>,
}

impl Default for SessionOptions {
    /// A timeout of 30 s, no read-only server, no events.
    fn default() -> Self {
        Self { timeout_ms: 30_000, read_only: false, tls: None, events: None }
    }
}

/// A [`Client`] for threads: each call waits for its answer. The session is driven by a thread of
/// its own. Clones are handles on the same session.
///
/// Calls panic in a task of a Tokio runtime, which they would block: use [`Client`] there.
#[derive(Clone)]
pub struct Session {
    client: Client,
    runtime: Handle,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}

impl Session {
    /// Opens a session at the first server that accepts it, in the order of the connect string.
    ///
    /// # Errors
    /// As [`Client::open`]; [`Error::Thread`].
    pub fn open(servers: &ConnectString, options: SessionOptions) -> Result<Self, Error> {
        let SessionOptions { timeout_ms, read_only, tls, events } = options;
        let settings = Settings { timeout_ms, read_only, tls, ..Settings::default() };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let handle = runtime.handle().clone();
        let (client, drive) = runtime.block_on(Client::prepare(servers, settings, None, 0))?;
        if let Some(events) = events {
            client.subscribe_with(Box::new(events));
        }
        std::thread::Builder::new()
            .name("session".into())
            .spawn(move || runtime.block_on(drive))
            .map_err(Error::Thread)?;
        Ok(Self { client, runtime: handle })
    }

    /// Waits for a future of the client.
    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The state at this moment.
    pub fn state(&self) -> SessionState {
        self.client.state()
    }

    /// The server that the connection is with, or was with last, as `host:port`.
    pub fn server(&self) -> String {
        self.client.server()
    }

    /// As [`Client::identity`].
    pub fn identity(&self) -> SessionIdentity {
        self.client.identity()
    }

    /// The servers, and the chroot of this handle.
    pub fn connect_string(&self) -> &ConnectString {
        self.client.connect_string()
    }

    /// As [`Client::without_chroot`].
    #[must_use]
    pub fn without_chroot(&self) -> Self {
        Self { client: self.client.without_chroot(), runtime: self.runtime.clone() }
    }

    /// As [`Client::linearizable`].
    #[must_use]
    pub fn linearizable(&self) -> Self {
        Self { client: self.client.linearizable(), runtime: self.runtime.clone() }
    }

    /// As [`Client::subscribe`].
    pub fn subscribe(&self) -> mpsc::Receiver<SessionEvent> {
        let (sender, receiver) = mpsc::channel();
        self.client.subscribe_with(Box::new(sender));
        receiver
    }

    /// Whether any watch may still fire.
    pub fn has_watches(&self) -> bool {
        self.client.has_watches()
    }

    /// As [`Client::forget_watches`].
    pub fn forget_watches(&self, path: &str, watcher_type: WatcherType) -> bool {
        self.client.forget_watches(path, watcher_type)
    }
}

/// The operations of [`Client`].
#[allow(clippy::missing_errors_doc)]
impl Session {
    /// As [`Client::create`].
    pub fn create(
        &self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        mode: CreateMode,
    ) -> Result<String, Error> {
        self.wait(self.client.create(path, data, acl, mode))
    }

    /// As [`Client::delete`].
    pub fn delete(&self, path: &str, version: i32) -> Result<(), Error> {
        self.wait(self.client.delete(path, version))
    }

    /// As [`Client::exists`].
    pub fn exists(&self, path: &str, watch: bool) -> Result<Option<Stat>, Error> {
        self.wait(self.client.exists(path, watch))
    }

    /// As [`Client::get_data`].
    pub fn get_data(&self, path: &str, watch: bool) -> Result<DataAndStat, Error> {
        self.wait(self.client.get_data(path, watch))
    }

    /// As [`Client::get_config`].
    pub fn get_config(&self, watch: bool) -> Result<DataAndStat, Error> {
        self.wait(self.client.get_config(watch))
    }

    /// As [`Client::set_data`].
    pub fn set_data(&self, path: &str, data: Option<&[u8]>, version: i32) -> Result<Stat, Error> {
        self.wait(self.client.set_data(path, data, version))
    }

    /// As [`Client::get_children`].
    pub fn get_children(&self, path: &str, watch: bool) -> Result<(Vec<String>, Stat), Error> {
        self.wait(self.client.get_children(path, watch))
    }

    /// As [`Client::get_all_children_number`].
    pub fn get_all_children_number(&self, path: &str) -> Result<i32, Error> {
        self.wait(self.client.get_all_children_number(path))
    }

    /// As [`Client::get_ephemerals`].
    pub fn get_ephemerals(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.wait(self.client.get_ephemerals(prefix))
    }

    /// As [`Client::get_acl`].
    pub fn get_acl(&self, path: &str) -> Result<(Vec<Acl>, Stat), Error> {
        self.wait(self.client.get_acl(path))
    }

    /// As [`Client::set_acl`].
    pub fn set_acl(&self, path: &str, acl: &[Acl], version: i32) -> Result<Stat, Error> {
        self.wait(self.client.set_acl(path, acl, version))
    }

    /// As [`Client::sync`].
    pub fn sync(&self, path: &str) -> Result<(), Error> {
        self.wait(self.client.sync(path))
    }

    /// As [`Client::add_watch`].
    pub fn add_watch(&self, path: &str, mode: AddWatchMode) -> Result<(), Error> {
        self.wait(self.client.add_watch(path, mode))
    }

    /// As [`Client::remove_watches`].
    pub fn remove_watches(&self, path: &str, watcher_type: WatcherType) -> Result<(), Error> {
        self.wait(self.client.remove_watches(path, watcher_type))
    }

    /// As [`Client::who_am_i`].
    pub fn who_am_i(&self) -> Result<Vec<(String, String)>, Error> {
        self.wait(self.client.who_am_i())
    }

    /// As [`Client::reconfig`].
    pub fn reconfig(&self, change: &Reconfig<'_>) -> Result<DataAndStat, Error> {
        self.wait(self.client.reconfig(change))
    }

    /// As [`Client::multi`].
    pub fn multi(&self, operations: &[Operation<'_>]) -> Result<Vec<OperationResult>, Error> {
        self.wait(self.client.multi(operations))
    }

    /// As [`Client::multi_read`].
    pub fn multi_read(
        &self,
        operations: &[ReadOperation<'_>],
    ) -> Result<Vec<Result<ReadResult, Error>>, Error> {
        self.wait(self.client.multi_read(operations))
    }

    /// As [`Client::add_auth`].
    pub fn add_auth(&self, scheme: &str, auth: &[u8]) -> Result<(), Error> {
        self.wait(self.client.add_auth(scheme, auth))
    }

    /// As [`Client::close`].
    pub fn close(&self) -> Result<(), Error> {
        self.wait(self.client.close())
    }
}
