//! How a change is written: one multi, whose first operation compares the version of `current`.

use std::collections::BTreeMap;

use client::{CreateMode, ErrorCode, Operation, OperationResult, Stat};

use super::change::{Action, Change, Difference, Record, Revision, diff};
use super::error::Error;
use super::rollout::Rollout;
use super::schema::Schema;
use super::store::{Loaded, Settings, Store};
use crate::contender::{ATTEMPTS, repeat_up_to};

/// Bytes that an operation of a multi takes besides its path, data and ACL, rounded up.
const OPERATION_BYTES: usize = 64;

/// Refusals at one revision after which the znodes are not as this recipe leaves them.
const REFUSALS_MAX: usize = 10;

/// Most revisions that one change drops, after the number of revisions to keep was lowered.
const DROPPED_MAX: usize = 200;

/// What a change makes of the revision that it finds.
pub(super) struct Plan {
    pub(super) action: Action,
    /// The values behind it.
    pub(super) values: BTreeMap<String, String>,
    /// What the history shows, if not the difference of the values.
    pub(super) changes: Option<BTreeMap<String, Difference>>,
    pub(super) also: Also,
}

/// What changes besides values.
pub(super) enum Also {
    Nothing,
    Schema(Option<Schema>),
    Rollout(Option<Rollout>),
    Keep(u64),
}

/// A change that may have been made: its answer was lost.
struct Lost {
    error: client::Error,
    /// The version of `current` that it needs.
    version: i32,
    /// The revision that it was computed from.
    revision: u64,
}

/// A write with paths and data of its own.
enum Write {
    Create(String, String),
    Set(String, String, i32),
    Delete(String, i32),
}

impl Store {
    /// Makes a change: reads, plans and writes, again and again until nobody else has changed
    /// anything meanwhile. `plan` returns `None` if there is nothing to do. For `history_from` it
    /// gets the records of all later revisions, newest first.
    pub(super) async fn transact(
        &self,
        change: &Change,
        history_from: Option<u64>,
        mut plan: impl FnMut(&Loaded, &[Record]) -> Result<Option<Plan>, Error>,
    ) -> Result<Option<Revision>, Error> {
        change.check()?;
        let mut lost: Option<Lost> = None;
        let mut refusals = (0, 0);
        for _ in 0..ATTEMPTS {
            let step = self.attempt(change, history_from, &mut plan, &mut lost).await;
            match step {
                Ok(Step::Done(revision)) => return Ok(revision),
                Ok(Step::Again) => {}
                Ok(Step::Refused { version, path, code }) => {
                    refusals = (version, if refusals.0 == version { refusals.1 + 1 } else { 1 });
                    if refusals.1 > REFUSALS_MAX {
                        return Err(Error::foreign(path, format!("a change of it is refused: {code}")));
                    }
                }
                // Whether the earlier attempt was made is still unknown, and that matters more.
                Err(error) => return Err(lost.map_or(error, |lost| lost.error.into())),
            }
        }
        Err(lost.map_or(Error::Busy { attempts: ATTEMPTS }, |lost| lost.error.into()))
    }

    async fn attempt(
        &self,
        change: &Change,
        history_from: Option<u64>,
        plan: &mut impl FnMut(&Loaded, &[Record]) -> Result<Option<Plan>, Error>,
        lost: &mut Option<Lost>,
    ) -> Result<Step, Error> {
        // A server that is behind would have this change refused again and again.
        self.sync().await?;
        let loaded = self.load_all().await?;
        if let Some(revision) = self.settle(change, &loaded, lost).await? {
            return Ok(Step::Done(Some(revision)));
        }
        let current = loaded.snapshot.revision;
        if let Some(expected) = change.expected.filter(|expected| *expected != current) {
            return Err(Error::Conflict { expected, current });
        }
        let records = match history_from {
            Some(revision) => match self.records_behind(&loaded, revision).await {
                // Its successor may have dropped the record that was to be read.
                Err(Error::NotKept { .. }) if self.has_moved(&loaded).await? => {
                    return Ok(Step::Again);
                }
                records => records?,
            },
            None => Vec::new(),
        };
        let Some(plan) = plan(&loaded, &records)? else { return Ok(Step::Done(None)) };
        if loaded.zxid == 0 {
            self.init().await?;
            return Ok(Step::Again);
        }
        let record = Record {
            id: change.id.clone(),
            author: change.author.clone(),
            message: change.message.clone(),
            changes: plan.changes.clone().unwrap_or_else(|| diff(&loaded.snapshot.values, &plan.values)),
            action: plan.action.clone(),
        };
        let writes = self.writes(&loaded, &plan, &record).await?;
        self.write(&loaded, &writes, record, lost).await
    }

    /// Looks for a change whose answer was lost. If it was not made and cannot be any more, `lost`
    /// is cleared.
    async fn settle(
        &self,
        change: &Change,
        loaded: &Loaded,
        lost: &mut Option<Lost>,
    ) -> Result<Option<Revision>, Error> {
        let Some(before) = lost else { return Ok(None) };
        let numbers = self.numbers().await?;
        let first = before.revision + 1;
        let is_complete = loaded.snapshot.revision < first || numbers.contains(&first);
        let later = numbers.into_iter().filter(|number| *number >= first);
        if let Some(found) = self.find_among(later, &change.id).await? {
            return Ok(Some(found));
        }
        if !is_complete {
            // The caller of this reports the lost answer instead.
            return Err(Error::Busy { attempts: ATTEMPTS });
        }
        if before.version != loaded.version {
            *lost = None;
        }
        Ok(None)
    }

    async fn has_moved(&self, loaded: &Loaded) -> Result<bool, Error> {
        Ok(self.load_all().await?.zxid != loaded.zxid)
    }

    /// Creates the znodes that do not exist yet, `current` last.
    async fn init(&self) -> Result<(), Error> {
        Ok(repeat_up_to(ATTEMPTS, || self.init_once()).await?)
    }

    async fn init_once(&self) -> Result<(), client::Error> {
        let client = &self.client;
        if let Some(end @ 1..) = self.paths.root.rfind('/') {
            client.create_all(&self.paths.root[..end], &self.acl).await?;
        }
        let settings = text(&Settings::default());
        let znodes = [
            (&self.paths.root, settings.as_bytes()),
            (&self.paths.values, &[]),
            (&self.paths.history, &[]),
            (&self.paths.current, b"0"),
        ];
        for (path, data) in znodes.into_iter().filter(|(path, _)| *path != "/") {
            client.create_if_not_exists(path, Some(data), &self.acl, CreateMode::Persistent).await?;
        }
        Ok(())
    }

    /// What a plan writes.
    async fn writes(&self, loaded: &Loaded, plan: &Plan, record: &Record) -> Result<Vec<Write>, Error> {
        let next = loaded.snapshot.revision + 1;
        let paths = &self.paths;
        let mut writes = vec![Write::Set(paths.current.clone(), next.to_string(), loaded.version)];
        for (key, difference) in diff(&loaded.snapshot.values, &plan.values) {
            let (path, version) = (paths.value(&key), loaded.versions.get(&key).copied());
            writes.push(match (difference.after, version) {
                (Some(value), None) => Write::Create(path, value),
                (Some(value), Some(version)) => Write::Set(path, value, version),
                (None, version) => Write::Delete(path, version.unwrap_or(-1)),
            });
        }
        writes.push(Write::Create(paths.revision(next), text(record)));
        let mut keep = loaded.settings.keep;
        let snapshot = &loaded.snapshot;
        match &plan.also {
            Also::Nothing => {}
            Also::Schema(new) => {
                writes.extend(replace(&paths.schema, snapshot.schema.is_some(), new.as_ref().map(text)));
            }
            Also::Rollout(new) => {
                writes.extend(replace(&paths.rollout, snapshot.rollout.is_some(), new.as_ref().map(text)));
            }
            Also::Keep(new) => {
                keep = *new;
                writes.push(Write::Set(paths.root.clone(), text(&Settings::keeping(keep)), -1));
            }
        }
        let kept = self.numbers().await?;
        let dropped = kept.into_iter().filter(|number| number.saturating_add(keep) <= next).take(DROPPED_MAX);
        writes.extend(dropped.map(|number| Write::Delete(paths.revision(number), -1)));
        self.check_size(&writes)?;
        Ok(writes)
    }

    /// Refuses what a server would answer by hanging up.
    fn check_size(&self, writes: &[Write]) -> Result<(), Error> {
        let acl: usize = self.acl.iter().map(|acl| acl.id.scheme.len() + acl.id.id.len() + 12).sum();
        let chroot = self.client.connect_string().chroot().len();
        let size = |write: &Write| match write {
            Write::Create(path, data) => path.len() + data.len() + acl,
            Write::Set(path, data, _) => path.len() + data.len(),
            Write::Delete(path, _) => path.len(),
        };
        let bytes: usize = writes.iter().map(|write| size(write) + chroot + OPERATION_BYTES).sum();
        if bytes + OPERATION_BYTES <= self.request_bytes_max {
            return Ok(());
        }
        let what = "the change, with the values before and after it in the history,".to_owned();
        Err(Error::TooLarge { what, bytes: bytes + OPERATION_BYTES, bytes_max: self.request_bytes_max })
    }

    async fn write(
        &self,
        loaded: &Loaded,
        writes: &[Write],
        record: Record,
        lost: &mut Option<Lost>,
    ) -> Result<Step, Error> {
        let operations: Vec<Operation<'_>> = writes.iter().map(|write| self.operation(write)).collect();
        let error = match self.client.multi(&operations).await {
            Ok(results) => {
                let time_ms = results.first().and_then(stat_of).map_or(0, |stat| stat.mtime);
                let revision = loaded.snapshot.revision + 1;
                return Ok(Step::Done(Some(Revision { revision, time_ms, record })));
            }
            Err(error) => error,
        };
        if error.may_have_been_executed() {
            let (version, revision) = (loaded.version, loaded.snapshot.revision);
            *lost = Some(Lost { error, version, revision });
            return Ok(Step::Again);
        }
        if let client::Error::MultiRefused { path, .. } = &error
            && let Some(code @ (ErrorCode::BadVersion | ErrorCode::NoNode | ErrorCode::NodeExists)) =
                error.code()
        {
            return Ok(Step::Refused { version: loaded.version, path: path.clone(), code });
        }
        Err(error.into())
    }

    fn operation<'w>(&'w self, write: &'w Write) -> Operation<'w> {
        match write {
            Write::Create(path, data) => Operation::Create {
                path,
                data: Some(data.as_bytes()),
                acl: &self.acl,
                mode: CreateMode::Persistent,
            },
            Write::Set(path, data, version) => {
                Operation::SetData { path, data: Some(data.as_bytes()), version: *version }
            }
            Write::Delete(path, version) => Operation::Delete { path, version: *version },
        }
    }
}

/// How an attempt has ended.
enum Step {
    Done(Option<Revision>),
    Again,
    /// The znodes were not in the version that was read.
    Refused {
        version: i32,
        path: String,
        code: ErrorCode,
    },
}

fn stat_of(result: &OperationResult) -> Option<&Stat> {
    if let OperationResult::DataSet(stat) = result { Some(stat) } else { None }
}

/// Writes, creates or deletes a znode.
fn replace(path: &str, exists: bool, new: Option<String>) -> Option<Write> {
    match (exists, new) {
        (true, Some(data)) => Some(Write::Set(path.to_owned(), data, -1)),
        (false, Some(data)) => Some(Write::Create(path.to_owned(), data)),
        (true, None) => Some(Write::Delete(path.to_owned(), -1)),
        (false, None) => None,
    }
}

/// JSON of a type whose maps have keys of text, which cannot fail.
fn text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the keys of all maps are texts")
}
