//! A lock that its holder can take again.

use std::sync::Arc;

use tokio::sync::Mutex as AsyncMutex;

use crate::error::Error;
use crate::guard::Guard;
use crate::mutex::Mutex;

/// A [`Mutex`] that its owner can take several times. The owner is this value: its clones are the
/// same owner, and two of them, from [`Self::new`], exclude each other.
#[derive(Debug, Clone)]
pub struct Reentrant {
    mutex: Mutex,
    held: Arc<AsyncMutex<std::sync::Weak<Guard>>>,
}

/// One of the times that the lock is held.
#[derive(Debug, Clone)]
pub struct ReentrantGuard {
    guard: Arc<Guard>,
}

impl Reentrant {
    /// An owner of the lock.
    pub fn new(mutex: Mutex) -> Self {
        Self { mutex, held: Arc::default() }
    }

    /// Waits for the lock, unless the owner holds it already. A hold that may be lost does not
    /// count: the lock is taken anew.
    ///
    /// # Errors
    /// As [`Mutex::lock`].
    pub async fn lock(&self) -> Result<ReentrantGuard, Error> {
        let mut held = self.held.lock().await;
        if let Some(guard) = held.upgrade().filter(|guard| guard.is_sure()) {
            return Ok(ReentrantGuard { guard });
        }
        let guard = Arc::new(self.mutex.lock().await?);
        *held = Arc::downgrade(&guard);
        Ok(ReentrantGuard { guard })
    }
}

impl std::ops::Deref for ReentrantGuard {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.guard
    }
}

impl ReentrantGuard {
    /// Ends this hold. The last one releases the lock.
    ///
    /// # Errors
    /// As [`Guard::release`].
    pub async fn release(self) -> Result<(), Error> {
        match Arc::try_unwrap(self.guard) {
            Ok(guard) => guard.release().await,
            Err(_) => Ok(()),
        }
    }
}
