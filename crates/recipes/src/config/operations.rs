//! The changes that can be made.

use std::collections::BTreeMap;

use super::change::{Action, Change, Revision, diff, put, undo};
use super::error::Error;
use super::rollout::{Rollout, check_percent};
use super::schema::Schema;
use super::snapshot::Snapshot;
use super::store::{Loaded, Store};
use super::transact::{Also, Plan};

/// Most revisions that can be kept. Each is a child of one znode.
const KEEP_MAX: u64 = 10_000;

/// Each change makes a revision and returns it, or `None` if there is nothing to change. All can
/// fail with:
///
/// - [`Error::Conflict`], if the change was for another revision ([`Change::only_at`]); a change
///   without that is made again from the revision that somebody else has made, up to 100 times;
/// - [`Error::Invalid`], if the schema does not allow a value, [`Error::TooLarge`],
///   [`Error::Argument`], [`Error::Rollout`];
/// - [`Error::Client`]. Only after [`client::Error::may_have_been_executed`] the change may have
///   been made, because the session ended before it could be looked for: ask [`Store::find`] with
///   [`Change::id`] and another session.
#[allow(clippy::missing_errors_doc)]
impl Store {
    /// Sets and removes values, all or none.
    pub async fn commit(&self, change: &Change) -> Result<Option<Revision>, Error> {
        self.update(change, |_, change| Ok(change)).await
    }

    /// As [`Self::commit`] for a change that depends on the values: `edit` completes it for the
    /// revision that it is made to, again after each conflict.
    pub async fn update(
        &self,
        change: &Change,
        mut edit: impl FnMut(&Snapshot, Change) -> Result<Change, Error>,
    ) -> Result<Option<Revision>, Error> {
        self.transact(change, None, |loaded, _| {
            let wanted = edit(&loaded.snapshot, change.clone())?;
            wanted.check()?;
            self.plan(loaded, Action::Change, changed(&loaded.snapshot.values, &wanted))
        })
        .await
    }

    /// Makes the values again what they were when `revision` was the newest one.
    pub async fn roll_back(&self, revision: u64, change: &Change) -> Result<Option<Revision>, Error> {
        bare(change)?;
        self.transact(change, Some(revision), |loaded, records| {
            let mut values = loaded.snapshot.values.clone();
            undo(&mut values, records.iter());
            self.plan(loaded, Action::Rollback(revision), values)
        })
        .await
    }

    /// Replaces the stored schema, or removes it. The values have to fit it.
    pub async fn set_schema(
        &self,
        schema: Option<&Schema>,
        change: &Change,
    ) -> Result<Option<Revision>, Error> {
        bare(change)?;
        schema.map_or(Ok(()), Schema::check)?;
        self.transact(change, None, |loaded, _| {
            let snapshot = &loaded.snapshot;
            if snapshot.schema.as_ref() == schema {
                return Ok(None);
            }
            if let Some(schema) = schema {
                schema.validate(&snapshot.values)?;
                schema.validate(&candidate(snapshot))?;
            }
            Ok(Some(unchanged(snapshot, Action::Schema, Also::Schema(schema.cloned()))))
        })
        .await
    }

    /// How many revisions are kept from now on: 1 to 10,000. A new configuration keeps 100.
    pub async fn keep(&self, revisions: u64, change: &Change) -> Result<Option<Revision>, Error> {
        bare(change)?;
        if !(1..=KEEP_MAX).contains(&revisions) {
            return Err(Error::argument("revisions to keep", format!("1 to {KEEP_MAX}")));
        }
        self.transact(change, None, |loaded, _| {
            let is_so = loaded.zxid != 0 && loaded.settings.keep == revisions;
            let plan = unchanged(&loaded.snapshot, Action::Keep(revisions), Also::Keep(revisions));
            Ok((!is_so).then_some(plan))
        })
        .await
    }

    /// Shows a change to a share of the subscribers only, in percent with two decimals. One rollout
    /// at a time can be under way; its keys cannot be changed otherwise meanwhile.
    pub async fn start_rollout(&self, change: &Change, percent: f64) -> Result<Option<Revision>, Error> {
        check_percent(percent)?;
        self.transact(change, None, |loaded, _| {
            let snapshot = &loaded.snapshot;
            if snapshot.rollout.is_some() {
                return Err(Error::Rollout("a rollout is under way: promote or abort it first".to_owned()));
            }
            let values = changed(&snapshot.values, change);
            self.validate(snapshot, &values)?;
            let changes = diff(&snapshot.values, &values);
            if changes.is_empty() {
                return Ok(None);
            }
            let rollout = Rollout { id: change.id.clone(), percent, changes: changes.clone() };
            let plan = unchanged(snapshot, Action::Rollout(percent), Also::Rollout(Some(rollout)));
            Ok(Some(Plan { changes: Some(changes), ..plan }))
        })
        .await
    }

    /// Shows the candidate to another share of the subscribers.
    pub async fn set_share(&self, percent: f64, change: &Change) -> Result<Option<Revision>, Error> {
        bare(change)?;
        check_percent(percent)?;
        self.transact(change, None, |loaded, _| {
            let rollout = under_way(&loaded.snapshot)?;
            if rollout.percent == percent {
                return Ok(None);
            }
            let rollout = Rollout { percent, ..rollout.clone() };
            let also = Also::Rollout(Some(rollout));
            Ok(Some(unchanged(&loaded.snapshot, Action::Rollout(percent), also)))
        })
        .await
    }

    /// Makes the candidate the values of everybody.
    pub async fn promote(&self, change: &Change) -> Result<Option<Revision>, Error> {
        bare(change)?;
        self.transact(change, None, |loaded, _| {
            let (snapshot, rollout) = (&loaded.snapshot, under_way(&loaded.snapshot)?);
            for (key, difference) in &rollout.changes {
                if snapshot.values.get(key) != difference.before.as_ref() {
                    let why = format!("{key} has changed since the rollout began: abort the rollout");
                    return Err(Error::Rollout(why));
                }
            }
            let values = candidate(snapshot);
            self.validate(snapshot, &values)?;
            let (action, also) = (Action::Promote, Also::Rollout(None));
            Ok(Some(Plan { action, values, changes: None, also }))
        })
        .await
    }

    /// Gives the candidate up: everybody sees the values of before.
    pub async fn abort(&self, change: &Change) -> Result<Option<Revision>, Error> {
        bare(change)?;
        self.transact(change, None, |loaded, _| {
            under_way(&loaded.snapshot)?;
            Ok(Some(unchanged(&loaded.snapshot, Action::Abort, Also::Rollout(None))))
        })
        .await
    }

    /// A plan that only changes values; `None` if it changes none.
    fn plan(
        &self,
        loaded: &Loaded,
        action: Action,
        values: BTreeMap<String, String>,
    ) -> Result<Option<Plan>, Error> {
        let snapshot = &loaded.snapshot;
        let changes = diff(&snapshot.values, &values);
        if changes.is_empty() {
            return Ok(None);
        }
        if let Some(rollout) = &snapshot.rollout
            && let Some(key) = changes.keys().find(|key| rollout.changes.contains_key(*key))
        {
            let why = format!("{key} is part of the rollout under way: promote or abort it first");
            return Err(Error::Rollout(why));
        }
        self.validate(snapshot, &values)?;
        Ok(Some(Plan { action, values, changes: None, also: Also::Nothing }))
    }

    /// Validates values by both schemas.
    fn validate(&self, snapshot: &Snapshot, values: &BTreeMap<String, String>) -> Result<(), Error> {
        for schema in [&snapshot.schema, &self.schema].into_iter().flatten() {
            schema.validate(values)?;
        }
        Ok(())
    }
}

/// A plan that changes no values.
fn unchanged(snapshot: &Snapshot, action: Action, also: Also) -> Plan {
    Plan { action, values: snapshot.values.clone(), changes: None, also }
}

/// Values with a change applied.
fn changed(values: &BTreeMap<String, String>, change: &Change) -> BTreeMap<String, String> {
    let mut values = values.clone();
    for (key, value) in &change.values {
        put(&mut values, key, value.clone());
    }
    values
}

/// The values with those of the rollout under way, if there is one.
fn candidate(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let mut values = snapshot.values.clone();
    for (key, difference) in snapshot.rollout.iter().flat_map(|rollout| &rollout.changes) {
        put(&mut values, key, difference.after.clone());
    }
    values
}

fn under_way(snapshot: &Snapshot) -> Result<&Rollout, Error> {
    snapshot.rollout.as_ref().ok_or_else(|| Error::Rollout("no rollout is under way".to_owned()))
}

/// Refuses a change of values where only its author and message are used.
fn bare(change: &Change) -> Result<(), Error> {
    if change.values.is_empty() {
        return Ok(());
    }
    Err(Error::argument("change", "it may not set or remove values here"))
}
