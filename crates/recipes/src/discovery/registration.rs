//! An instance that is registered, and the task that keeps it so.

use std::sync::Arc;

use client::{Client, CreateMode, ErrorCode};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::instance::{Health, Instance};
use super::json;
use super::sessions::Sessions;
use crate::contender::{delete, is_unsure, make_parent};
use crate::error::Error;

/// An instance that is registered. Ends with [`Self::leave`], when it is dropped, and with the
/// session, unless the discovery opens another one.
///
/// It also ends when somebody else deletes the znode, or registers an instance of the same id: it
/// does not fight for its place. [`Self::ended`] tells.
#[derive(Debug)]
pub struct Registration {
    /// What the znode is to say. Dropping it ends the registration.
    wanted: Option<watch::Sender<Instance>>,
    path: String,
    has_ended: watch::Receiver<bool>,
    task: Option<JoinHandle<Result<(), Error>>>,
}

/// Registers an instance below the znode `parent`.
pub(super) async fn register(
    sessions: Arc<Sessions>,
    parent: String,
    instance: Instance,
) -> Result<Registration, Error> {
    let path = format!("{parent}/{}", instance.id);
    let (wanted, seen) = watch::channel(instance);
    let (is_registered, mut registered) = watch::channel(false);
    let (ended, has_ended) = watch::channel(false);
    let keeper = Keeper { sessions, parent, path: path.clone(), wanted: seen, is_registered };
    let task = tokio::spawn(async move {
        let result = keeper.run().await;
        ended.send_replace(true);
        result
    });
    let mut registration = Registration { wanted: Some(wanted), path, has_ended, task: Some(task) };
    // If the task has ended instead, it tells why.
    if registered.wait_for(|is_registered| *is_registered).await.is_err() {
        registration.outcome().await?;
    }
    Ok(registration)
}

impl Registration {
    /// The path of the znode.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Changes what the instance says of itself: weight, zone, metadata, whether it is enabled. It
    /// is written in the background; changes that come faster than they are written become one.
    /// Service and id stay what they are.
    ///
    /// # Errors
    /// [`Error::Argument`] for a change that makes no sense, which then is not made.
    pub fn update(&self, change: impl FnOnce(&mut Instance)) -> Result<(), Error> {
        let Some(wanted) = &self.wanted else { return Ok(()) };
        let mut instance = wanted.borrow().clone();
        change(&mut instance);
        wanted.borrow().service.clone_into(&mut instance.service);
        wanted.borrow().id.clone_into(&mut instance.id);
        instance.check()?;
        wanted.send_if_modified(|current| {
            let is_new = *current != instance;
            *current = instance;
            is_new
        });
        Ok(())
    }

    /// Says how the instance is; see [`HealthCheck::run`](super::HealthCheck::run).
    pub fn set_health(&self, health: Health) {
        if let Some(wanted) = &self.wanted {
            wanted.send_if_modified(|instance| std::mem::replace(&mut instance.health, health) != health);
        }
    }

    /// Waits until the registration has ended by itself. [`Self::leave`] tells why. Dropping the
    /// future loses nothing.
    pub async fn ended(&self) {
        // Without its task it has ended, too.
        let _ = self.has_ended.clone().wait_for(|has_ended| *has_ended).await;
    }

    /// Ends the registration, and waits until the instance is not registered any more.
    ///
    /// # Errors
    /// It had ended before: [`Error::Deleted`] if somebody else has deleted or replaced the znode;
    /// the session is over.
    pub async fn leave(mut self) -> Result<(), Error> {
        self.wanted = None;
        self.outcome().await
    }

    async fn outcome(&mut self) -> Result<(), Error> {
        match self.task.take() {
            // It neither panics nor is aborted, but the runtime may be shutting down.
            Some(task) => task.await.unwrap_or(Err(client::Error::Closed.into())),
            None => Ok(()),
        }
    }
}

/// The task of a registration.
struct Keeper {
    sessions: Arc<Sessions>,
    parent: String,
    path: String,
    wanted: watch::Receiver<Instance>,
    is_registered: watch::Sender<bool>,
}

/// Why a session holds a registration no longer.
enum End {
    /// The session is over.
    Session,
    /// The registration is not wanted any more.
    Unwanted,
}

impl Keeper {
    async fn run(self) -> Result<(), Error> {
        loop {
            let mut wanted = self.wanted.clone();
            let end = tokio::select! {
                held = self.hold() => held?,
                () = until_dropped(&mut wanted) => End::Unwanted,
            };
            if matches!(end, End::Unwanted) {
                let client = self.sessions.current();
                // With the session, the znode goes too.
                return if client.state().is_over() { Ok(()) } else { delete(&client, &self.path).await };
            }
        }
    }

    /// Registers in a session, and writes what is wanted until that is over.
    async fn hold(&self) -> Result<End, Error> {
        let client = self.sessions.live().await?;
        let mut wanted = self.wanted.clone();
        loop {
            let json = json::write(&wanted.borrow_and_update().clone());
            match self.create(&client, &json).await {
                Ok(()) => break,
                Err(Error::Client(_)) if client.state().is_over() => return Ok(End::Session),
                Err(Error::Client(error)) if error.code() == Some(ErrorCode::ConnectionLoss) => {}
                Err(error) => return Err(error),
            }
        }
        self.is_registered.send_replace(true);
        loop {
            match self.follow(&client, &mut wanted).await {
                Ok(end) => return Ok(end),
                Err(_) if client.state().is_over() => return Ok(End::Session),
                Err(Error::Client(error)) if error.code() == Some(ErrorCode::ConnectionLoss) => {}
                Err(Error::Client(error)) if error.code() == Some(ErrorCode::NoNode) => {
                    return Err(Error::Deleted { path: self.path.clone() });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Creates the znode. One of another session is what an earlier life of this instance has left,
    /// and is replaced.
    async fn create(&self, client: &Client, json: &[u8]) -> Result<(), Error> {
        loop {
            let created = client.create(&self.path, Some(json), client.acl(), CreateMode::Ephemeral).await;
            let error = match created {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match error.code() {
                Some(ErrorCode::NoNode) => make_parent(client, &self.parent).await?,
                Some(ErrorCode::NodeExists) => match client.exists(&self.path, false).await {
                    // This create was executed before, and its answer was lost.
                    Ok(Some(stat)) if stat.ephemeral_owner == client.identity().id => {
                        client.set_data(&self.path, Some(json), -1).await?;
                        return Ok(());
                    }
                    Ok(Some(_)) => delete(client, &self.path).await?,
                    Ok(None) => {}
                    Err(error) if is_unsure(&error) => {}
                    Err(error) => return Err(error.into()),
                },
                _ if is_unsure(&error) => {}
                _ => return Err(error.into()),
            }
        }
    }

    /// Writes what is wanted, and notices when the znode is not this session's any more.
    async fn follow(&self, client: &Client, wanted: &mut watch::Receiver<Instance>) -> Result<End, Error> {
        loop {
            let (stat, mut watch) = client.exists_and_watch(&self.path).await?;
            if stat.is_none_or(|stat| stat.ephemeral_owner != client.identity().id) {
                return Err(Error::Deleted { path: self.path.clone() });
            }
            // What was wanted may be newer than what was written when the connection was lost.
            let json = json::write(&wanted.borrow_and_update().clone());
            let (written, _) = client.get_data(&self.path, false).await?;
            if written.as_deref() != Some(&json) {
                client.set_data(&self.path, Some(&json), -1).await?;
                continue;
            }
            tokio::select! {
                fired = watch.fired() => if fired.is_none() {
                    return Ok(End::Session);
                },
                changed = wanted.changed() => if changed.is_err() {
                    return Ok(End::Unwanted);
                },
            }
        }
    }
}

async fn until_dropped(wanted: &mut watch::Receiver<Instance>) {
    while wanted.changed().await.is_ok() {}
}
