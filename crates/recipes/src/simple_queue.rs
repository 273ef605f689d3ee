//! A queue whose items are gone when they are taken.

use client::{Client, ErrorCode};

use crate::contender::{children, fired, is_unsure, repeat};
use crate::error::Error;
use crate::names::{Layout, sequence};
use crate::queue::add;

/// A queue whose items leave it when they are taken, for programs that share one with Curator's
/// `SimpleDistributedQueue` or kazoo's `Queue`.
///
/// **Guarantee.** Each item is taken at most once, in the order in which they went in. **What
/// breaks it.** A worker that dies, or loses its connection at the wrong moment, loses the item
/// that it was taking: use [`Queue`](crate::Queue) where that matters.
///
/// The layout is `qn-0000000001` or `entry-100-0000000001`, directly below the path. Items of
/// either are taken, in the order of their names, which is kazoo's order by priority, too.
#[derive(Debug, Clone)]
pub struct SimpleQueue {
    client: Client,
    path: String,
    layout: Layout,
}

impl SimpleQueue {
    /// A queue below the znode `path`, which is created when it is first used.
    pub fn new(client: &Client, path: &str) -> Self {
        let path = path.trim_end_matches('/').to_owned();
        Self { client: client.clone(), path, layout: Layout::default() }
    }

    /// Gives new items the names of another client library. Curator takes only those of its own,
    /// kazoo takes all.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Adds an item.
    ///
    /// # Errors
    /// [`Error::Argument`] for a length that is not allowed. [`client::Error::ConnectionLoss`]: the
    /// item may have been added.
    pub async fn put(&self, data: &[u8]) -> Result<(), Error> {
        let prefix = match self.layout {
            Layout::Curator => "qn-",
            // kazoo's usual priority.
            Layout::Kazoo => "entry-100-",
        };
        add(&self.client, &self.path, prefix, data).await
    }

    /// Takes the first item, or `None`.
    ///
    /// # Errors
    /// The session is over, or the server refuses. [`client::Error::ConnectionLoss`]: an item may
    /// have been taken, and is lost then.
    pub async fn try_take(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut names = children(&self.client, &self.path).await?;
        names.retain(|name| sequence(name).is_some());
        names.sort_unstable();
        for name in names {
            if let Some(data) = self.take_item(&format!("{}/{name}", self.path)).await? {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Waits for an item. Dropping the future may lose one.
    ///
    /// # Errors
    /// As [`Self::try_take`].
    pub async fn take(&self) -> Result<Vec<u8>, Error> {
        loop {
            // Set before looking, so that nothing is missed.
            let mut watch = match self.client.get_children_and_watch(&self.path).await {
                Ok((.., watch)) => watch,
                Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                    self.client.create_all(&self.path, self.client.acl()).await?;
                    continue;
                }
                Err(error) if is_unsure(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(data) = self.try_take().await? {
                return Ok(data);
            }
            fired(&mut watch).await?;
        }
    }

    /// Takes this item, unless another worker has.
    async fn take_item(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let data = match repeat(|| self.client.get_data(path, false)).await {
            Ok((data, _)) => data.unwrap_or_default(),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match self.client.delete(path, -1).await {
            Ok(()) => Ok(Some(data)),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
