//! Barriers.

use client::{Client, CreateMode, ErrorCode};

use crate::contender::{children, delete, fired, is_unsure, make_parent, repeat};
use crate::error::Error;
use crate::names::{Layout, unique};

/// A gate that stops everyone who waits for it while it is closed. A znode is the closed gate, as
/// in Curator's `DistributedBarrier` and kazoo's `Barrier`.
#[derive(Debug, Clone)]
pub struct Barrier {
    client: Client,
    path: String,
}

impl Barrier {
    /// The gate that the znode `path` is.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { client: client.clone(), path: path.to_owned() }
    }

    /// Closes the gate; nothing if it is closed.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn close(&self) -> Result<(), Error> {
        let acl = self.client.acl();
        loop {
            match self.client.create_if_not_exists(&self.path, None, acl, CreateMode::Persistent).await {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                    repeat(|| self.client.create_all(&self.path, acl)).await?;
                }
                Err(error) if is_unsure(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Opens the gate; nothing if it is open.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn open(&self) -> Result<(), Error> {
        delete(&self.client, &self.path).await
    }

    /// Waits until the gate is open, as it is at some moment after the call.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn wait(&self) -> Result<(), Error> {
        // A server that is behind would show a gate that has been closed since as open.
        let client = self.client.linearizable();
        while event(&client, &self.path).await? {}
        Ok(())
    }
}

/// Waits for an event of a znode; `false` if there is no such znode.
async fn event(client: &Client, path: &str) -> Result<bool, Error> {
    // A read with a watch that is set only if there is a znode.
    match repeat(|| client.get_data_and_watch(path)).await {
        Ok((_, mut watch)) => fired(&mut watch).await.map(|()| true),
        Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Lets a number of participants begin together and end together. The layout is that of Curator's
/// `DistributedDoubleBarrier`: an ephemeral znode for each participant, and `ready` once all are
/// there.
///
/// A participant that dies inside counts as one that has left.
#[derive(Debug)]
pub struct DoubleBarrier {
    client: Client,
    path: String,
    own: String,
    participants: usize,
}

impl DoubleBarrier {
    /// A participant of the barrier below the znode `path`.
    ///
    /// # Errors
    /// [`Error::Argument`] for no participant.
    pub fn new(client: &Client, path: &str, participants: usize) -> Result<Self, Error> {
        if participants == 0 {
            return Err(Error::Argument { what: "participants", why: "at least 1".to_owned() });
        }
        let path = path.trim_end_matches('/').to_owned();
        let own = unique(Layout::Curator);
        Ok(Self { client: client.clone(), path, own, participants })
    }

    fn ready(&self) -> String {
        format!("{}/ready", self.path)
    }

    /// Waits until all participants have come here.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn enter(&self) -> Result<(), Error> {
        let acl = self.client.acl();
        let own = format!("{}/{}", self.path, self.own);
        let (found, mut ready) = self.ready_and_watch().await?;
        loop {
            match self.client.create(&own, None, acl, CreateMode::Ephemeral).await {
                Ok(_) => break,
                Err(error) if error.code() == Some(ErrorCode::NodeExists) => break,
                Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                    make_parent(&self.client, &self.path).await?;
                }
                Err(error) if is_unsure(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if found {
            return Ok(());
        }
        if self.participants().await?.len() >= self.participants {
            let (path, mode) = (self.ready(), CreateMode::Persistent);
            repeat(|| self.client.create_if_not_exists(&path, None, acl, mode)).await?;
            return Ok(());
        }
        fired(&mut ready).await
    }

    /// Waits until all participants have come here after [`Self::enter`], or are gone.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn leave(&self) -> Result<(), Error> {
        // The lowest participant stays until it is the last, and the others wait for its end. Those
        // of Curator and kazoo rely on it: they take the end of the lowest for that of all.
        loop {
            let mut names = self.participants().await?;
            names.sort_unstable();
            let awaited = match names.as_slice() {
                [] => break,
                [last] if *last == self.own => {
                    self.delete_own().await?;
                    break;
                }
                [lowest, .., highest] if *lowest == self.own => highest,
                [lowest, ..] => {
                    if names.contains(&self.own) {
                        self.delete_own().await?;
                    }
                    lowest
                }
            };
            event(&self.client, &format!("{}/{awaited}", self.path)).await?;
        }
        delete(&self.client, &self.ready()).await
    }

    async fn delete_own(&self) -> Result<(), Error> {
        delete(&self.client, &format!("{}/{}", self.path, self.own)).await
    }

    async fn ready_and_watch(&self) -> Result<(bool, client::Watch), Error> {
        let ready = self.ready();
        let (found, watch) = repeat(|| self.client.exists_and_watch(&ready)).await?;
        Ok((found.is_some(), watch))
    }

    async fn participants(&self) -> Result<Vec<String>, Error> {
        let mut names = children(&self.client, &self.path).await?;
        names.retain(|name| name != "ready");
        Ok(names)
    }
}
