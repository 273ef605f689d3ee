//! What the holder of a lock has in its hands.

use std::time::{Duration, Instant};

use client::{Client, Operation, SessionEvent, Watch};

use crate::contender::{Contender, Place, delete, delete_later, is_unsure};
use crate::error::Error;
use crate::names::Kind;

/// A lock, a lease or a leadership that is held.
///
/// It ends with [`Self::release`], when it is dropped, which releases it in the background, and
/// with the session.
#[derive(Debug)]
pub struct Guard {
    client: Client,
    path: String,
    token: i64,
    is_released: bool,
}

impl Guard {
    pub(crate) fn new(contender: Contender) -> Self {
        let (client, path, token) = contender.take();
        Self { client, path, token, is_released: false }
    }

    /// Queues up, and leaves again unless this is the first.
    pub(crate) async fn try_hold(place: &Place, kind: Kind, data: &[u8]) -> Result<Option<Self>, Error> {
        let contender = place.enter(kind, data).await?;
        if contender.last_before(&|_| true).await?.is_some() {
            contender.leave().await?;
            return Ok(None);
        }
        Ok(Some(Self::new(contender)))
    }

    /// The fencing token: the zxid by which the znode of the holder was created. Each later holder
    /// of the same lock has a higher one, whichever client it uses, if that reads its znode's
    /// `czxid`.
    ///
    /// What the lock protects should keep the highest token it has seen and refuse lower ones: so a
    /// holder that was paused and does not know that it has lost the lock does no harm.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// The path of the holder's znode.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// An operation for a multi that succeeds only while the lock is held: writes that are in one
    /// multi with it need no other fencing.
    pub fn check(&self) -> Operation<'_> {
        Operation::Check { path: &self.path, version: -1 }
    }

    /// Until when the lock is held for certain, as far as the session is concerned: see
    /// [`Client::alive_until`].
    pub fn sure_until(&self) -> Instant {
        self.client.alive_until()
    }

    /// Whether the lock is held for certain at this moment, as far as the session is concerned.
    pub fn is_sure(&self) -> bool {
        self.sure_until() > Instant::now()
    }

    /// Waits until the lock may be lost: the session is over, or cannot be known to live any more,
    /// or the znode of the holder was deleted. Never resolves too late by more than the timers of
    /// the runtime do; resolves early if no server answers in time. Dropping the future loses
    /// nothing.
    pub async fn lost(&self) {
        self.lost_in(Duration::ZERO).await;
    }

    /// As [`Self::lost`], but resolves already when the lock is sure for no longer than `margin`,
    /// for holders that need that long to stop. A margin of a third of the session timeout or more
    /// ends the wait whenever the connection is lost.
    pub async fn lost_in(&self, margin: Duration) {
        let mut events = self.client.subscribe();
        let mut watch = match self.watch().await {
            Some(watch) => watch,
            None => return,
        };
        loop {
            let until = self.sure_until();
            let Some(left) = until.checked_duration_since(Instant::now() + margin) else { return };
            tokio::select! {
                fired = watch.fired() => match fired {
                    // Something has happened to the znode.
                    Some(_) => match self.watch().await {
                        Some(next) => watch = next,
                        None => return,
                    },
                    None => return,
                },
                event = events.recv() => match event {
                    None | Some(SessionEvent::Expired | SessionEvent::AuthFailed) => return,
                    Some(_) => {}
                },
                // A ping may have been answered since.
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// A watch on the znode of the holder, or `None` if it is gone, or may be.
    async fn watch(&self) -> Option<Watch> {
        loop {
            let until = tokio::time::Instant::from_std(self.sure_until());
            let asked = tokio::time::timeout_at(until, self.client.exists_and_watch(&self.path)).await;
            match asked {
                Ok(Ok((Some(stat), watch))) => return (stat.czxid == self.token).then_some(watch),
                Ok(Err(client::Error::Unreachable { .. })) => {}
                Ok(Err(error)) if is_unsure(&error) => {}
                Ok(Ok((None, _)) | Err(_)) => return None,
                // Another request may have been answered since.
                Err(_) if self.is_sure() => {}
                Err(_) => return None,
            }
        }
    }

    /// Releases the lock.
    ///
    /// # Errors
    /// The session is over, and the lock with it; or no server can be reached: then the lock is
    /// released in the background as soon as there is one.
    pub async fn release(mut self) -> Result<(), Error> {
        delete(&self.client, &self.path).await?;
        self.is_released = true;
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_released {
            delete_later(self.client.clone(), self.path.clone());
        }
    }
}
