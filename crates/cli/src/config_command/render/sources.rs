//! What templates read from the servers, watched.

use std::time::Duration;

use client::{Client, ErrorCode, SessionEvent};
use recipes::config::{Snapshot, Store, Subscription};
use tokio::sync::mpsc::UnboundedReceiver;

use super::super::error::CommandError;
use super::template::{Found, Need, Rendered, Templates};

/// Rounds of reads in one rendering: a read that depends on another one takes one more.
const ROUNDS_MAX: usize = 50;

/// How long to wait for further changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debounce {
    /// Until nothing has changed for this time.
    pub(super) min: Duration,
    /// But no longer than this after the first change.
    pub(super) max: Duration,
}

/// A session that reads and watches.
pub(super) struct Sources {
    client: Client,
    events: UnboundedReceiver<SessionEvent>,
    subscription: Subscription,
    snapshot: Snapshot,
    subscriber: Option<String>,
}

impl Sources {
    /// Reads the configuration below `root` with a new session.
    pub(super) async fn open(
        client: Client,
        root: &str,
        subscriber: Option<String>,
    ) -> Result<Self, CommandError> {
        let events = client.subscribe();
        // The session of the last change may be another one.
        client.sync("/").await?;
        let mut subscription = Store::new(&client, root)?.subscribe();
        let snapshot = subscription.changed().await?;
        Ok(Self { client, events, subscription, snapshot, subscriber })
    }

    /// Whether the session has ended.
    pub(super) fn is_over(&self) -> bool {
        self.client.state().is_over()
    }

    /// Ends the session.
    pub(super) async fn close(self) {
        // It ends in any case, at the latest with its timeout.
        let _ = self.client.close().await;
    }

    /// Renders all templates, and reads what they need meanwhile.
    pub(super) async fn render(&mut self, templates: &Templates) -> Result<Vec<String>, CommandError> {
        let seen = match &self.subscriber {
            Some(subscriber) => self.snapshot.clone().seen_by(subscriber),
            None => self.snapshot.clone(),
        };
        for _ in 0..ROUNDS_MAX {
            // An event arrives before the answer to any read that shows the change.
            while let Ok(event) = self.events.try_recv() {
                note(templates, &event)?;
            }
            match templates.render(&seen.values)? {
                Rendered::Done(contents) => return Ok(contents),
                Rendered::Needs(needs) => {
                    for need in needs {
                        let found = self.read(&need).await?;
                        templates.put(need, found);
                    }
                }
            }
        }
        let why = format!("the templates read what depends on other reads more than {ROUNDS_MAX} deep");
        Err(CommandError::Template(why))
    }

    /// Waits for a change, and until no more follow.
    pub(super) async fn changed(
        &mut self,
        templates: &Templates,
        debounce: Debounce,
    ) -> Result<(), CommandError> {
        self.next_change(templates).await?;
        let end = tokio::time::Instant::now() + debounce.max;
        loop {
            let quiet = end.min(tokio::time::Instant::now() + debounce.min);
            match tokio::time::timeout_at(quiet, self.next_change(templates)).await {
                Ok(changed) => changed?,
                Err(_) => return Ok(()),
            }
        }
    }

    /// Waits for one change. Dropping the future loses nothing.
    async fn next_change(&mut self, templates: &Templates) -> Result<(), CommandError> {
        loop {
            tokio::select! {
                snapshot = self.subscription.changed() => {
                    self.snapshot = snapshot?;
                    return Ok(());
                }
                event = self.events.recv() => {
                    let event = event.ok_or(client::Error::Closed)?;
                    if note(templates, &event)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Reads something, with a watch that also fires when a missing znode is created.
    async fn read(&self, need: &Need) -> Result<Found, CommandError> {
        let path = match need {
            Need::Data(path) | Need::Children(path) => path,
        };
        loop {
            let read = match need {
                Need::Data(path) => {
                    let read = self.client.get_data(path, true).await;
                    read.map(|(data, _)| Found::Data(data.unwrap_or_default()))
                }
                Need::Children(path) => {
                    self.client.get_children(path, true).await.map(|(names, _)| Found::Children(names))
                }
            };
            match read {
                Ok(found) => return Ok(found),
                Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                    match self.client.exists(path, true).await {
                        Ok(None) => return Ok(Found::Missing),
                        // It has been created meanwhile.
                        Ok(Some(_)) => {}
                        Err(client::Error::ConnectionLoss { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(client::Error::ConnectionLoss { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Forgets what an event is about; returns whether a template uses it.
fn note(templates: &Templates, event: &SessionEvent) -> Result<bool, CommandError> {
    match event {
        SessionEvent::Watch(event) => Ok(templates.forget(&event.path)),
        SessionEvent::Disconnected { .. } | SessionEvent::Reconnected { .. } => Ok(false),
        SessionEvent::Expired => Err(client::Error::SessionExpired.into()),
        SessionEvent::AuthFailed => Err(client::Error::AuthFailed.into()),
    }
}
