//! A number of leases.

use client::{Client, ErrorCode};

use crate::contender::{Contender, Participant, fired, is_unsure, queue};
use crate::error::Error;
use crate::guard::Guard;
use crate::mutex::Mutex;
use crate::names::{Kind, Layout};

/// Leases of which at most a number are held at a time. Participants get them in the order in which
/// they asked.
///
/// The layout is that of Curator's `InterProcessSemaphoreV2`: a lock below `locks`, whose holder
/// alone waits for a lease, so one participant wakes for one release; and the leases below
/// `leases`. All participants have to name the same number.
///
/// **Tokens.** Several leases are held together, and the older one is as good as the newer: what
/// the semaphore protects cannot tell one that is over by its lower token. Use [`Guard::check`].
#[derive(Debug, Clone)]
pub struct Semaphore {
    client: Client,
    path: String,
    leases: usize,
    holder: Vec<u8>,
}

impl Semaphore {
    /// A semaphore with that many leases below the znode `path`, which is created when it is first
    /// used.
    ///
    /// # Errors
    /// [`Error::Argument`] for no lease at all.
    pub fn new(client: &Client, path: &str, leases: usize) -> Result<Self, Error> {
        if leases == 0 {
            return Err(Error::Argument { what: "leases", why: "at least 1".to_owned() });
        }
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self { client: client.clone(), path, leases, holder: Vec::new() })
    }

    /// Sets what the znode of a lease contains, for people who look.
    #[must_use]
    pub fn with_holder(mut self, holder: impl Into<Vec<u8>>) -> Self {
        self.holder = holder.into();
        self
    }

    /// Waits for a lease.
    ///
    /// # Errors
    /// As [`Mutex::lock`].
    pub async fn acquire(&self) -> Result<Guard, Error> {
        let turn = Mutex::new(&self.client, &format!("{}/locks", self.path)).lock().await?;
        let lease = self.enter().await?;
        while !self.has_lease(&lease).await? {}
        turn.release().await?;
        Ok(Guard::new(lease))
    }

    /// A lease, if one is free and nobody waits for one.
    ///
    /// # Errors
    /// As [`Mutex::lock`].
    pub async fn try_acquire(&self) -> Result<Option<Guard>, Error> {
        let lock = Mutex::new(&self.client, &format!("{}/locks", self.path));
        let Some(turn) = lock.try_lock().await? else { return Ok(None) };
        let lease = self.enter().await?;
        let held = crate::contender::children(&self.client, &self.leases_path()).await?.len();
        let acquired = if held <= self.leases {
            Some(Guard::new(lease))
        } else {
            lease.leave().await?;
            None
        };
        turn.release().await?;
        Ok(acquired)
    }

    /// Those who hold a lease. One more may be among them, which has the next turn.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn holders(&self) -> Result<Vec<Participant>, Error> {
        queue(&self.client, &self.leases_path()).await
    }

    fn leases_path(&self) -> String {
        format!("{}/leases", self.path)
    }

    async fn enter(&self) -> Result<Contender, Error> {
        let path = self.leases_path();
        Contender::enter(&self.client, &path, Kind::Lease, Layout::Curator, &self.holder).await
    }

    /// Whether this lease is one of the number; if not, waits until a lease has ended.
    async fn has_lease(&self, lease: &Contender) -> Result<bool, Error> {
        match self.client.get_children_and_watch(&self.leases_path()).await {
            Ok((names, ..)) if names.len() <= self.leases => {
                // Nobody else can have entered since, but this lease may have been deleted.
                let is_there = names.iter().any(|name| lease.path().ends_with(name.as_str()));
                if is_there { Ok(true) } else { Err(Error::Deleted { path: lease.path() }) }
            }
            Ok((.., mut watch)) => fired(&mut watch).await.map(|()| false),
            Err(error) if is_unsure(&error) => Ok(false),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                Err(Error::Deleted { path: lease.path() })
            }
            Err(error) => Err(error.into()),
        }
    }
}
