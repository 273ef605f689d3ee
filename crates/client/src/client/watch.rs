//! Watches as values: one that fires once, and a stream.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use wire::event::{AddWatchMode, WatcherType};
use wire::record::{RemoveWatches, Request};

use super::state::Effect;
use super::watchers::{Sink, WatchUpdate};
use super::{Client, Handle};
use crate::connect_string::ConnectString;
use crate::connection::WatchEvent;
use crate::error::Error;

/// A watch that fires once.
///
/// It survives reconnects: the server is asked again, and reports a change that was made meanwhile.
/// Dropping it leaves the watch at the server, which reports one event that nobody hears.
#[derive(Debug)]
pub struct Watch {
    event: oneshot::Receiver<WatchEvent>,
    servers: ConnectString,
}

impl Watch {
    pub(super) fn new(servers: &ConnectString) -> (oneshot::Sender<WatchEvent>, Self) {
        let (sender, event) = oneshot::channel();
        (sender, Self { event, servers: servers.clone() })
    }

    /// Waits for the event, with the path as the client knows it. `None` if the session ends first,
    /// or the event was returned before. Can be called again if its future was dropped.
    pub async fn fired(&mut self) -> Option<WatchEvent> {
        if self.event.is_terminated() {
            return None;
        }
        let mut event = (&mut self.event).await.ok()?;
        event.path = self.servers.client_path(&event.path).to_owned();
        Some(event)
    }
}

/// The events of a persistent watch, from [`Client::watch`]. It survives reconnects, after which it
/// reports [`WatchUpdate::Missed`]. Dropping the last stream of a watch removes it at the server.
pub struct WatchStream {
    updates: mpsc::UnboundedReceiver<WatchUpdate>,
    registration: Registration,
}

impl fmt::Debug for WatchStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchStream").field("path", &self.registration.full).finish_non_exhaustive()
    }
}

impl WatchStream {
    /// Waits for the next update, with the path as the client knows it. `None` after the end of the
    /// session. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<WatchUpdate> {
        let mut update = self.updates.recv().await?;
        if let WatchUpdate::Event(event) = &mut update {
            event.path = self.registration.servers.client_path(&event.path).to_owned();
        }
        Some(update)
    }
}

/// Removes a stream when it is dropped, and the watch with the last stream of it.
pub(super) struct Registration {
    handle: Arc<Handle>,
    servers: ConnectString,
    full: String,
    mode: AddWatchMode,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut state = self.handle.shared.lock();
        if !state.watchers.remove_stream(&self.full, self.number) {
            return;
        }
        let watcher_type = match self.mode {
            AddWatchMode::Persistent => WatcherType::Persistent,
            AddWatchMode::PersistentRecursive => WatcherType::PersistentRecursive,
        };
        state.watches.remove(&self.full, watcher_type);
        // Without a connection there is no watch to remove. A server that does not know this kind
        // of removal, as those before ZooKeeper 3.9, goes on reporting, which nobody hears.
        if state.phase.is_connected() && !state.closing {
            let request = RemoveWatches { path: &self.full, watcher_type: watcher_type as i32 };
            drop(state.submit(&Request::RemoveWatches(request), Effect::None));
        }
    }
}

impl Client {
    /// Watches a znode, or with [`AddWatchMode::PersistentRecursive`] it and all its descendants,
    /// until the stream is dropped. Needs a server of ZooKeeper 3.6 or later. Keep to one mode for
    /// each path: servers before 3.9 have only one.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn watch(&self, path: &str, mode: AddWatchMode) -> Result<WatchStream, Error> {
        let (sender, updates) = mpsc::unbounded_channel();
        let registration = self.register(path, mode, Box::new(sender)).await?;
        Ok(WatchStream { updates, registration })
    }

    /// Registers who takes the updates of a persistent watch, and sets the watch.
    pub(super) async fn register(
        &self,
        path: &str,
        mode: AddWatchMode,
        sink: Box<dyn Sink<WatchUpdate>>,
    ) -> Result<Registration, Error> {
        let full = self.server_path(path)?.into_owned();
        let number = self.shared().lock().watchers.add_stream(&full, mode, sink);
        let (handle, servers) = (Arc::clone(&self.handle), self.servers.clone());
        // Dropped, if the watch is not set, or the caller does not wait.
        let registration = Registration { handle, servers, full, mode, number };
        self.add_watch(path, mode).await?;
        Ok(registration)
    }
}
