//! A queue whose items are acknowledged.

use std::collections::BTreeSet;

use client::{Client, CreateMode, ErrorCode, Transaction};

use crate::contender::{children, is_unsure, make_parent, repeat};
use crate::error::Error;

/// Most bytes of an item: what a server takes by default, less what the request needs besides.
const ITEM_BYTES_MAX: usize = 1_000_000;

/// A queue: items come out by priority, and among equals in the order in which they went in.
///
/// An item is taken by one worker, which acknowledges it when it is done; if the worker dies first,
/// the item comes back. **Guarantee.** Each item is acknowledged once. It may be worked on more
/// than once: by a worker whose session expired while it worked, and by the next one.
///
/// The layout is that of kazoo's `LockingQueue`: `entries/entry-PPP-0000000001`, and an ephemeral
/// znode of the same name below `taken`.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    path: String,
}

/// An item that this worker has taken.
#[derive(Debug)]
pub struct Item {
    client: Client,
    /// The znode of the item.
    entry: String,
    /// The znode that says it is taken.
    taken: String,
    /// What the item is.
    pub data: Vec<u8>,
}

/// Adds an item with a number behind the prefix. The parent is created, and stays.
pub(crate) async fn add(client: &Client, parent: &str, prefix: &str, data: &[u8]) -> Result<(), Error> {
    if data.len() > ITEM_BYTES_MAX {
        return Err(Error::Argument { what: "item", why: format!("at most {ITEM_BYTES_MAX} bytes") });
    }
    let (path, acl) = (format!("{parent}/{prefix}"), client.acl());
    loop {
        match client.create(&path, Some(data), acl, CreateMode::PersistentSequential).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                client.create_all(parent, acl).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Queue {
    /// A queue below the znode `path`, which is created when it is first used.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { client: client.clone(), path: path.trim_end_matches('/').to_owned() }
    }

    fn entries(&self) -> String {
        format!("{}/entries", self.path)
    }

    fn taken(&self) -> String {
        format!("{}/taken", self.path)
    }

    /// Adds an item. Lower priorities come first, from 0 to 999; 100 is usual.
    ///
    /// # Errors
    /// [`Error::Argument`] for a priority or a length that is not allowed.
    /// [`client::Error::ConnectionLoss`]: the item may have been added.
    pub async fn put(&self, data: &[u8], priority: u16) -> Result<(), Error> {
        if priority > 999 {
            return Err(Error::Argument { what: "priority", why: "0 to 999".to_owned() });
        }
        add(&self.client, &self.entries(), &format!("entry-{priority:03}-"), data).await
    }

    /// The number of items that were not acknowledged.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn len(&self) -> Result<usize, Error> {
        Ok(children(&self.client, &self.entries()).await?.len())
    }

    /// Whether all items were acknowledged.
    ///
    /// # Errors
    /// As [`Self::len`].
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len().await? == 0)
    }

    /// An item that no worker has taken, or `None`.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn try_take(&self) -> Result<Option<Item>, Error> {
        let entries = children(&self.client, &self.entries()).await?;
        let taken: BTreeSet<String> = children(&self.client, &self.taken()).await?.into_iter().collect();
        // By priority, then by number, both of a fixed length.
        for name in entries.into_iter().filter(|name| !taken.contains(name)).collect::<BTreeSet<_>>() {
            if let Some(item) = self.take_entry(&name).await? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// Waits for an item. Dropping the future may leave an item taken until this session ends.
    ///
    /// # Errors
    /// As [`Self::try_take`].
    pub async fn take(&self) -> Result<Item, Error> {
        let acl = self.client.acl();
        loop {
            // Set before looking, so that nothing is missed.
            let changed = async {
                let (.., entries) = self.client.get_children_and_watch(&self.entries()).await?;
                let (.., taken) = self.client.get_children_and_watch(&self.taken()).await?;
                Ok::<_, client::Error>((entries, taken))
            };
            let (mut entries, mut taken) = match changed.await {
                Ok(watches) => watches,
                Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                    self.client.create_all(&self.entries(), acl).await?;
                    make_parent(&self.client, &self.taken()).await?;
                    continue;
                }
                Err(error) if is_unsure(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(item) = self.try_take().await? {
                return Ok(item);
            }
            let fired = tokio::select! {
                fired = entries.fired() => fired,
                fired = taken.fired() => fired,
            };
            if fired.is_none() {
                return Err(client::Error::SessionExpired.into());
            }
        }
    }

    /// Takes an item, unless another worker does, or it is gone.
    async fn take_entry(&self, name: &str) -> Result<Option<Item>, Error> {
        let (entry, taken) = (format!("{}/{name}", self.entries()), format!("{}/{name}", self.taken()));
        let (acl, own) = (self.client.acl(), self.client.identity().id);
        loop {
            let (data, _) = match repeat(|| self.client.get_data(&entry, false)).await {
                Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(None),
                read => read?,
            };
            let item = || Item {
                client: self.client.clone(),
                entry: entry.clone(),
                taken: taken.clone(),
                data: data.clone().unwrap_or_default(),
            };
            // Only an item that is still there can be taken.
            let take = Transaction::new()
                .check(&entry, -1)
                .create(&taken, Some(own.to_string().as_bytes()), acl, CreateMode::Ephemeral)
                .commit(&self.client)
                .await;
            match take {
                Ok(_) => return Ok(Some(item())),
                Err(error) if is_unsure(&error) => {
                    // It may have been taken. Nobody else in this session takes it meanwhile.
                    match self.client.exists(&taken, false).await? {
                        Some(stat) if stat.ephemeral_owner == own => return Ok(Some(item())),
                        _ => continue,
                    }
                }
                Err(client::Error::MultiRefused { index: 1, code, .. })
                    if code == ErrorCode::NoNode as i32 =>
                {
                    make_parent(&self.client, &self.taken()).await?;
                }
                Err(client::Error::MultiRefused { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Item {
    /// The item is done: it leaves the queue. Returns `false` if it is not this worker's any more,
    /// because its session expired, or somebody else deleted it: another worker may have taken it.
    ///
    /// # Errors
    /// The session is over.
    pub async fn acknowledge(self) -> Result<bool, Error> {
        let mut may_be_done = false;
        loop {
            let done = Transaction::new().delete(&self.taken, -1).delete(&self.entry, -1);
            match done.commit(&self.client).await {
                Ok(_) => return Ok(true),
                Err(error) if is_unsure(&error) => may_be_done = true,
                Err(client::Error::MultiRefused { .. }) => return Ok(may_be_done),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the item back to the queue.
    ///
    /// # Errors
    /// The session is over.
    pub async fn give_back(self) -> Result<(), Error> {
        crate::contender::delete(&self.client, &self.taken).await
    }
}
