//! The session of a discovery, and the next one when it has expired.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use client::{Client, Error};
use tokio::sync::watch;

/// Shortest and longest pause before the next attempt to open a session.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(2);

type Opening = Pin<Box<dyn Future<Output = Result<Client, Error>> + Send>>;
type Connect = Box<dyn Fn() -> Opening + Send + Sync>;

/// The current session.
pub(super) struct Sessions {
    current: Mutex<Client>,
    /// Held by the one who opens the next session.
    opening: tokio::sync::Mutex<()>,
    /// Opens a new session after one has expired; `None`: everything ends with the first session.
    connect: Option<Connect>,
    is_closed: watch::Sender<bool>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sessions").field(&self.current()).finish()
    }
}

impl Sessions {
    /// One session and no other.
    pub(super) fn of(client: &Client) -> Self {
        Self::with(client.clone(), None)
    }

    /// Sessions one after the other, of which the first is opened now.
    pub(super) async fn keep<F>(connect: impl Fn() -> F + Send + Sync + 'static) -> Result<Self, Error>
    where
        F: Future<Output = Result<Client, Error>> + Send + 'static,
    {
        let first = connect().await?;
        Ok(Self::with(first, Some(Box::new(move || Box::pin(connect()) as Opening))))
    }

    fn with(client: Client, connect: Option<Connect>) -> Self {
        let is_closed = watch::Sender::new(false);
        Self { current: Mutex::new(client), opening: tokio::sync::Mutex::new(()), connect, is_closed }
    }

    /// The newest session, which may be over.
    pub(super) fn current(&self) -> Client {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A session that is not over, as far as it is known.
    ///
    /// # Errors
    /// The session is over, and no new one is opened.
    pub(super) async fn live(&self) -> Result<Client, Error> {
        let mut is_closed = self.is_closed.subscribe();
        tokio::select! {
            client = self.open() => client,
            _ = is_closed.wait_for(|is_closed| *is_closed) => Err(Error::Closed),
        }
    }

    async fn open(&self) -> Result<Client, Error> {
        let _only_one = self.opening.lock().await;
        let current = self.current();
        if !current.state().is_over() {
            return Ok(current);
        }
        let Some(connect) = &self.connect else { return Err(Error::SessionExpired) };
        let mut pause = RETRY_MIN;
        loop {
            match connect().await {
                Ok(client) => {
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = client.clone();
                    return Ok(client);
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Ends the current session; there is no other afterwards.
    pub(super) async fn close(&self) -> Result<(), Error> {
        self.is_closed.send_replace(true);
        self.current().close().await
    }
}
