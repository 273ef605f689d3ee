//! Waiting for changes.

use client::Watch;

use super::error::Error;
use super::snapshot::Snapshot;
use super::store::Store;
use crate::contender::repeat;

/// Who waits for changes of a configuration.
#[derive(Debug)]
pub struct Subscription {
    store: Store,
    watch: Option<Watch>,
    /// The zxid of the change that was returned last.
    seen_zxid: Option<i64>,
    /// Whether there is something to be read. Stays set if a future is dropped meanwhile.
    is_stale: bool,
}

impl Store {
    /// A subscription to changes. It sets one watch, however many values there are.
    pub fn subscribe(&self) -> Subscription {
        Subscription { store: self.clone(), watch: None, seen_zxid: None, is_stale: true }
    }
}

impl Subscription {
    /// The first time the configuration as it is; then waits for a newer revision. Revisions that
    /// follow each other quickly may be skipped, the last one never is. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// As [`Store::load`]. With [`client::Error::SessionExpired`], `AuthFailed` or `Closed` the
    /// subscription has ended.
    pub async fn changed(&mut self) -> Result<Snapshot, Error> {
        loop {
            if self.watch.is_none() {
                let Store { client, paths, .. } = &self.store;
                let (stat, watch) = repeat(|| client.exists_and_watch(&paths.current)).await?;
                self.watch = Some(watch);
                let zxid = stat.map_or(0, |stat| stat.mzxid);
                self.is_stale |= self.seen_zxid != Some(zxid);
            }
            if self.is_stale {
                // Behind the watch, which fires for any change that this does not show.
                let loaded = self.store.load_all().await?;
                self.is_stale = false;
                // Revision 0 is the same before and after its znodes exist.
                let zxid = if loaded.snapshot.revision == 0 { 0 } else { loaded.zxid };
                let is_new = self.seen_zxid.replace(zxid) != Some(zxid);
                if is_new {
                    return Ok(loaded.snapshot);
                }
            }
            if let Some(watch) = &mut self.watch {
                // Without an event the session is over, and the next call says how it has ended.
                watch.fired().await;
                self.watch = None;
            }
        }
    }
}
