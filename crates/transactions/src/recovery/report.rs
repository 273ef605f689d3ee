//! What the active recovery sees, as a znode that people's tools read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use client::CreateMode;
use commit::recovery::Recovery;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::rounds::Rounds;
use crate::log::repeat;
use crate::shared::Shared;

/// What the active recovery sees.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The name of the process.
    pub recoverer: String,
    /// Each resource that it has.
    pub resources: BTreeMap<String, ResourceReport>,
    /// What is prepared somewhere, or decided and not finished, by transaction.
    pub in_doubt: BTreeMap<String, DoubtReport>,
}

/// A resource.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceReport {
    /// Why it cannot be asked; empty if it can.
    pub trouble: String,
    /// Since when, in ms since 1970 by the recovery's clock; 0 if it can.
    pub away_since_ms: u64,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DoubtReport {
    /// When the recovery first saw it, in ms since 1970 by its clock.
    pub seen_since_ms: u64,
    /// What was decided, as far as the recovery has had to know: `commit`, `abort` or nothing.
    pub decision: String,
    /// The branches that are prepared.
    pub prepared: Vec<String>,
    /// The branches that were told and are not finished, each with why not.
    pub unfinished: BTreeMap<String, String>,
    /// Why the log could not be asked, the last time; empty if it could.
    pub trouble: String,
    /// Requests that were repeated.
    pub retries: u64,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// The bytes are not a report.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// Writes the report whenever it has changed.
pub(super) struct Reporter {
    name: String,
    shared: Arc<Shared>,
    newest: watch::Sender<Report>,
}

impl Reporter {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let (newest, changes) = watch::channel(Report::default());
        tokio::spawn(write(Arc::clone(shared), changes));
        Self { name: shared.name.clone(), shared: Arc::clone(shared), newest }
    }

    pub(super) fn report(&self, machine: &Recovery, rounds: &Rounds) {
        let (now_ms, since_1970_ms) = (self.shared.now_ms(), wall_ms());
        let wall = |age_ms: u64| since_1970_ms.saturating_sub(age_ms);
        self.newest.send_if_modified(|report| {
            let mut next = Report { recoverer: self.name.clone(), ..Report::default() };
            for (name, source) in rounds.resources() {
                let age_ms = source.since.map(|since| since.elapsed().as_millis() as u64);
                let known = report.resources.get(name.as_str()).filter(|known| known.away_since_ms != 0);
                let away_since_ms = match (age_ms, known) {
                    (None, _) => 0,
                    (Some(_), Some(known)) => known.away_since_ms,
                    (Some(age_ms), None) => wall(age_ms),
                };
                let trouble = source.trouble.clone().unwrap_or_default();
                next.resources.insert(name.to_string(), ResourceReport { trouble, away_since_ms });
            }
            for open in machine.in_doubt() {
                let id = open.id.to_string();
                let known = report.in_doubt.get(&id).map(|known| known.seen_since_ms);
                let age_ms = now_ms.saturating_sub(open.first_seen_ms);
                let unfinished = open.unfinished.into_iter();
                let doubt = DoubtReport {
                    seen_since_ms: known.unwrap_or_else(|| wall(age_ms)),
                    decision: open.decision.map(|decision| decision.to_string()).unwrap_or_default(),
                    prepared: open.prepared.iter().map(ToString::to_string).collect(),
                    unfinished: unfinished.map(|(branch, why)| (branch.to_string(), why)).collect(),
                    trouble: open.trouble,
                    retries: open.retries,
                };
                next.in_doubt.insert(id, doubt);
            }
            let is_new = *report != next;
            *report = next;
            is_new
        });
    }
}

/// Writes each report, but no more often than once in a round.
async fn write(shared: Arc<Shared>, mut changes: watch::Receiver<Report>) {
    let path = shared.log.path("status");
    let client = shared.log.client();
    while changes.changed().await.is_ok() {
        let report =
            serde_json::to_vec(&*changes.borrow_and_update()).expect("texts and numbers are written");
        let mode = CreateMode::Persistent;
        let created = repeat(|| client.create_if_not_exists(&path, None, client.acl(), mode)).await;
        if created.is_ok() {
            // The next change is written in its turn.
            let _unreachable = repeat(|| client.set_data(&path, Some(&report), -1)).await;
        }
        tokio::time::sleep(super::ROUND).await;
    }
}

fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_millis().try_into().unwrap_or(u64::MAX)
}
