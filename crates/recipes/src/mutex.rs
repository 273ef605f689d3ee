//! A fair lock, and several at once.

use std::collections::BTreeSet;
use std::time::Duration;

use client::Client;

use crate::contender::{Participant, Place};
use crate::error::Error;
use crate::guard::Guard;
use crate::names::{Kind, Layout};

/// A lock that one participant holds at a time; the others get it in the order in which they asked.
///
/// **Guarantee.** While the session of the holder lives, no other participant holds the lock.
/// **What breaks it.** A holder that goes on after its session has expired: use the token, or the
/// check, of the [`Guard`]. A client that deletes the znodes of others.
///
/// The layout is that of Curator's `InterProcessMutex`, or that of `kazoo.recipe.lock.Lock`. A lock
/// is not re-entrant; see [`Reentrant`](crate::Reentrant).
#[derive(Debug, Clone)]
pub struct Mutex {
    place: Place,
    holder: Vec<u8>,
}

impl Mutex {
    /// A lock below the znode `path`, which is created when it is first used.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { place: Place::new(client, path), holder: Vec::new() }
    }

    /// Uses the names of another client library.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.place.layout = layout;
        self
    }

    /// Sets what the znode of the holder contains, for people who look.
    #[must_use]
    pub fn with_holder(mut self, holder: impl Into<Vec<u8>>) -> Self {
        self.holder = holder.into();
        self
    }

    /// The znode of the lock.
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// Waits for the lock. Dropping the future gives the place in the queue up.
    ///
    /// # Errors
    /// The session is over; [`Error::Deleted`] if another client deletes the place in the queue.
    pub async fn lock(&self) -> Result<Guard, Error> {
        let contender = self.place.enter(Kind::Lock, &self.holder).await?;
        contender.wait(|_| true).await?;
        Ok(Guard::new(contender))
    }

    /// The lock if nobody holds it, and nobody waits for it.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub async fn try_lock(&self) -> Result<Option<Guard>, Error> {
        Guard::try_hold(&self.place, Kind::Lock, &self.holder).await
    }

    /// As [`Self::lock`]; `None` if that takes longer than `patience`.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub async fn lock_within(&self, patience: Duration) -> Result<Option<Guard>, Error> {
        match tokio::time::timeout(patience, self.lock()).await {
            Ok(locked) => locked.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The holder and those who wait, in their order.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn queue(&self) -> Result<Vec<Participant>, Error> {
        self.place.queue().await
    }
}

/// Several locks that are held together.
#[derive(Debug)]
pub struct MultiGuard {
    guards: Vec<Guard>,
}

impl MultiGuard {
    /// The guards, in the order of the locks' paths.
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// Waits until one of the locks may be lost.
    pub async fn lost(&self) {
        let mut waits: Vec<_> = self.guards.iter().map(|guard| Box::pin(guard.lost())).collect();
        std::future::poll_fn(|cx| match waits.iter_mut().any(|wait| wait.as_mut().poll(cx).is_ready()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        })
        .await;
    }

    /// Releases all locks.
    ///
    /// # Errors
    /// The session is over, and the locks with it.
    pub async fn release(self) -> Result<(), Error> {
        for guard in self.guards.into_iter().rev() {
            guard.release().await?;
        }
        Ok(())
    }
}

/// Waits for several locks. They are taken in the order of their paths, so clients that all use
/// this never wait for each other in a circle.
///
/// # Errors
/// As [`Mutex::lock`]. [`Error::Argument`] if a path is there twice, which would wait for itself.
pub async fn lock_all(mutexes: &[Mutex]) -> Result<MultiGuard, Error> {
    let paths: BTreeSet<&str> = mutexes.iter().map(Mutex::path).collect();
    if paths.len() != mutexes.len() {
        return Err(Error::Argument { what: "locks", why: "each path may be there once".to_owned() });
    }
    let mut sorted: Vec<&Mutex> = mutexes.iter().collect();
    sorted.sort_by_key(|mutex| mutex.path());
    let mut guards = Vec::with_capacity(sorted.len());
    for mutex in sorted {
        guards.push(mutex.lock().await?);
    }
    Ok(MultiGuard { guards })
}
