//! Asks the log and each resource again and again, and remembers which do not answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commit::recovery::Event;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Incoming, ROUND};
use crate::ResourceName;
use crate::shared::Shared;

/// The longest pause between two questions to a resource that is away.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Who is asked, and when next.
pub(super) struct Rounds {
    shared: Arc<Shared>,
    sender: mpsc::UnboundedSender<Incoming>,
    log: Source,
    resources: BTreeMap<ResourceName, Source>,
}

/// The log, or a resource.
pub(super) struct Source {
    /// `None` while an answer is awaited.
    due: Option<Instant>,
    /// Answers that failed since the last one that did not.
    failures: u32,
    /// Why the last one failed.
    pub(super) trouble: Option<String>,
    /// Since when it does not answer.
    pub(super) since: Option<Instant>,
}

impl Source {
    fn new() -> Self {
        Self { due: Some(Instant::now()), failures: 0, trouble: None, since: None }
    }

    /// Takes note of an answer, and plans the next question.
    fn answered(&mut self, trouble: Option<String>) {
        let now = Instant::now();
        match trouble {
            None => (self.failures, self.since) = (0, None),
            Some(_) => {
                self.failures = self.failures.saturating_add(1);
                self.since.get_or_insert(now);
            }
        }
        self.trouble = trouble;
        let pause = ROUND * 2_u32.pow(self.failures.saturating_sub(1).min(10));
        self.due = Some(now + pause.min(PAUSE_MAX));
    }

    /// Whether its time to be asked has come; the caller then asks it.
    fn start(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = None;
        }
        is_due
    }
}

impl Rounds {
    pub(super) fn new(shared: &Arc<Shared>, sender: &mpsc::UnboundedSender<Incoming>) -> Self {
        let resources = shared.resources.names().map(|name| (name.clone(), Source::new())).collect();
        Self { shared: Arc::clone(shared), sender: sender.clone(), log: Source::new(), resources }
    }

    /// Asks all whose time has come; returns how long until the next one.
    pub(super) fn start_due(&mut self) -> Duration {
        let now = Instant::now();
        if self.log.start(now) {
            let (shared, sender) = (Arc::clone(&self.shared), self.sender.clone());
            // Another process may be elected meanwhile.
            tokio::spawn(async move { drop(sender.send(Incoming::Log(read_log(&shared).await))) });
        }
        for (name, source) in &mut self.resources {
            if source.start(now) {
                let (shared, sender, name) = (Arc::clone(&self.shared), self.sender.clone(), name.clone());
                tokio::spawn(async move { drop(sender.send(list(&shared, name).await)) });
            }
        }
        let dues = self.resources.values().chain([&self.log]).filter_map(|source| source.due);
        dues.min().map_or(ROUND, |due| due.saturating_duration_since(now))
    }

    pub(super) fn listed(&mut self, name: &ResourceName, trouble: Option<String>) {
        if let Some(source) = self.resources.get_mut(name) {
            source.answered(trouble);
        }
    }

    pub(super) fn log_read(&mut self, trouble: Option<String>) {
        self.log.answered(trouble);
    }

    pub(super) fn resources(&self) -> impl Iterator<Item = (&ResourceName, &Source)> {
        self.resources.iter()
    }

    /// How many resources do not answer.
    pub(super) fn away(&self) -> usize {
        self.resources.values().filter(|source| source.since.is_some()).count()
    }
}

async fn list(shared: &Shared, name: ResourceName) -> Incoming {
    let listed = match shared.resources.participant(&name) {
        Some(participant) => participant.prepared(shared.log.cluster()).await,
        None => Ok(Vec::new()),
    };
    let branches = listed.map(|prepared| prepared.into_iter().map(|one| one.branch).collect());
    Incoming::Listed(name, branches.map_err(|trouble| trouble.to_string()))
}

async fn read_log(shared: &Shared) -> Result<(Event, BTreeMap<u64, String>), String> {
    let alive = shared.log.coordinators().await.map_err(|error| error.to_string())?;
    let records = shared.log.records().await.map_err(|error| error.to_string())?;
    let records = records.into_iter().map(|(id, record, _)| (id, record)).collect();
    Ok((Event::Records(records), alive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_answer_is_asked_less_often_and_for_ever() {
        let mut source = Source::new();
        assert!(source.start(Instant::now()) && !source.start(Instant::now()));
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let before = Instant::now();
            source.answered(Some("away".to_owned()));
            pauses.push(source.due.unwrap() - before);
        }
        assert!(pauses[0] < ROUND * 2 && pauses.iter().all(|pause| *pause <= PAUSE_MAX * 2));
        assert!(source.since.is_some());
        source.answered(None);
        assert!(source.since.is_none() && source.trouble.is_none());
    }
}
