//! Leader election.

use client::{Client, ErrorCode, Watch};
use tokio::sync::watch;

use crate::contender::{Contender, Participant, Place, children, is_unsure, rivals};
use crate::error::Error;
use crate::guard::Guard;
use crate::names::{Kind, Layout};

/// The place of an election.
///
/// The layout is that of Curator's `LeaderLatch`, or that of kazoo's `Election`. A candidate's id
/// is the data of its znode.
///
/// **Guarantee.** While the session of the leader lives, no other candidate leads. **What breaks
/// it** is what breaks a [`Mutex`](crate::Mutex), and the same helps: the token, or the check, of
/// the [`Leadership`].
#[derive(Debug, Clone)]
pub struct Election {
    place: Place,
}

/// What a candidate is when it leads.
pub type Leadership = Guard;

/// A candidate that waits to lead.
pub struct Candidate {
    contender: Contender,
}

impl Election {
    /// An election below the znode `path`, which is created when it is first used.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { place: Place::new(client, path) }
    }

    /// Uses the names of another client library.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.place.layout = layout;
        self
    }

    /// Becomes a candidate. `id` says who it is.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn stand(&self, id: &[u8]) -> Result<Candidate, Error> {
        Ok(Candidate { contender: self.place.enter(Kind::Latch, id).await? })
    }

    /// Becomes a candidate and waits to lead.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn lead(&self, id: &[u8]) -> Result<Leadership, Error> {
        self.stand(id).await?.elected().await
    }

    /// The leadership if nobody leads, and nobody waits to lead. Never waits for another candidate.
    ///
    /// One that tries at the same moment and comes first counts as a candidate. Of several that try
    /// together where nobody leads the first one does.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn try_lead(&self, id: &[u8]) -> Result<Option<Leadership>, Error> {
        Guard::try_hold(&self.place, Kind::Latch, id).await
    }

    /// Leads again and again, for as long as the session lives: calls `lead` with each leadership,
    /// and cancels it when the leadership may be lost. Ends when `lead` ends by itself, with its
    /// result.
    ///
    /// # Errors
    /// The session is over.
    pub async fn run<T, F: Future<Output = T>>(
        &self,
        id: &[u8],
        mut lead: impl FnMut(i64) -> F,
    ) -> Result<T, Error> {
        loop {
            let leadership = match self.lead(id).await {
                Err(Error::Deleted { .. }) => continue,
                led => led?,
            };
            tokio::select! {
                result = lead(leadership.token()) => {
                    leadership.release().await?;
                    return Ok(result);
                }
                () = leadership.lost() => {}
            }
            if self.place.client.state().is_over() {
                return Err(client::Error::SessionExpired.into());
            }
        }
    }

    /// All candidates in the order in which they will lead, the leader first. Their data are their
    /// ids.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn candidates(&self) -> Result<Vec<Participant>, Error> {
        self.place.queue().await
    }

    /// The id of the leader, now and whenever it changes; `None` while nobody leads. Observing does
    /// not make a candidate. The receiver's sender is gone when the session is over.
    ///
    /// A task of the current Tokio runtime follows the election until the receiver is dropped.
    pub fn observe(&self) -> watch::Receiver<Option<Vec<u8>>> {
        let (sender, receiver) = watch::channel(None);
        let election = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = election.follow(&sender) => {}
            }
        });
        receiver
    }

    /// Reports the leader until the session is over.
    async fn follow(&self, sender: &watch::Sender<Option<Vec<u8>>>) {
        loop {
            let seen = match self.look().await {
                Ok(seen) => seen,
                Err(Error::Client(error)) if is_unsure(&error) => continue,
                Err(Error::Client(client::Error::Unreachable { .. })) => continue,
                Err(_) => return,
            };
            let Some((leader, mut change)) = seen else { continue };
            sender.send_if_modified(|known| {
                let is_new = *known != leader;
                *known = leader;
                is_new
            });
            if change.fired().await.is_none() {
                return;
            }
        }
    }

    /// The leader, and a watch that fires before there is another one; `None` if it has changed
    /// meanwhile.
    async fn look(&self) -> Result<Option<(Option<Vec<u8>>, Watch)>, Error> {
        let names = children(&self.place.client, &self.place.path).await?;
        let first = rivals(&names).min_by_key(|rival| rival.sequence);
        let Some(first) = first else {
            return self.look_for_first().await;
        };
        match self.place.client.get_data_and_watch(&format!("{}/{}", self.place.path, first.name)).await {
            Ok(((id, _), watch)) => Ok(Some((Some(id.unwrap_or_default()), watch))),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Self::look`] where there is no candidate.
    async fn look_for_first(&self) -> Result<Option<(Option<Vec<u8>>, Watch)>, Error> {
        match self.place.client.get_children_and_watch(&self.place.path).await {
            Ok((names, _, watch)) => Ok(rivals(&names).next().is_none().then_some((None, watch))),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                let (found, watch) = self.place.client.exists_and_watch(&self.place.path).await?;
                Ok(found.is_none().then_some((None, watch)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Candidate {
    /// Waits to lead. Dropping the future withdraws the candidate.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn elected(self) -> Result<Leadership, Error> {
        self.contender.wait(|_| true).await?;
        Ok(Guard::new(self.contender))
    }

    /// Withdraws.
    ///
    /// # Errors
    /// The session is over, and the candidacy with it.
    pub async fn withdraw(self) -> Result<(), Error> {
        self.contender.leave().await
    }
}

impl std::fmt::Debug for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Candidate").field(&self.contender.path()).finish()
    }
}
