//! A lock for many readers or one writer.

use client::Client;

use crate::contender::Place;
use crate::error::Error;
use crate::guard::Guard;
use crate::names::{Kind, Layout, is_reader};

/// A lock that many readers hold together, or one writer alone. Requests are granted in their
/// order, so neither readers nor writers starve.
///
/// The layout is that of Curator's `InterProcessReadWriteLock`, or that of kazoo's `ReadLock` and
/// `WriteLock`. A holder of one of the locks must not wait for the other.
#[derive(Debug, Clone)]
pub struct ReadWriteLock {
    place: Place,
}

impl ReadWriteLock {
    /// A lock below the znode `path`, which is created when it is first used.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { place: Place::new(client, path) }
    }

    /// Uses the names of another client library.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.place.layout = layout;
        self
    }

    /// Waits until no writer holds the lock or has asked for it before.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn read(&self) -> Result<Guard, Error> {
        let contender = self.place.enter(Kind::Read, &[]).await?;
        contender.wait(|name| !is_reader(name)).await?;
        Ok(Guard::new(contender))
    }

    /// Waits until nobody holds the lock or has asked for it before.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn write(&self) -> Result<Guard, Error> {
        let contender = self.place.enter(Kind::Write, &[]).await?;
        contender.wait(|_| true).await?;
        Ok(Guard::new(contender))
    }
}
