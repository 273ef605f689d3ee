//! A configuration below a znode, and how it is read.

use std::collections::BTreeMap;

use client::{Acl, Client, ErrorCode, Stat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::change::{Difference, Record, Revision, diff, undo};
use super::error::Error;
use super::schema::Schema;
use super::snapshot::Snapshot;
use crate::contender::{ATTEMPTS, children, is_unsure, repeat_up_to};

/// Bytes of a request that a server takes: `jute.maxbuffer` of ZooKeeper, which is its default.
const REQUEST_BYTES_MAX: usize = 1_048_575;

/// Above all revisions: their names have ten digits.
const REVISION_END: u64 = 10_000_000_000;

/// The layout of the znodes.
const FORMAT: u32 = 1;

/// A configuration below a znode.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) client: Client,
    pub(super) paths: Paths,
    pub(super) acl: Vec<Acl>,
    pub(super) schema: Option<Schema>,
    pub(super) request_bytes_max: usize,
}

/// The znodes of a store.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) root: String,
    pub(super) current: String,
    pub(super) values: String,
    pub(super) history: String,
    pub(super) schema: String,
    pub(super) rollout: String,
}

/// What the root holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    format: u32,
    pub(super) keep: u64,
}

impl Settings {
    pub(super) fn keeping(keep: u64) -> Self {
        Self { format: FORMAT, keep }
    }
}

impl Default for Settings {
    /// 100 revisions.
    fn default() -> Self {
        Self::keeping(100)
    }
}

/// A snapshot, and what is needed to change it.
#[derive(Debug, Clone, Default)]
pub(super) struct Loaded {
    pub(super) snapshot: Snapshot,
    /// The zxid of the newest change; 0 if there is no configuration.
    pub(super) zxid: i64,
    /// The version of `current`.
    pub(super) version: i32,
    /// The versions of the values.
    pub(super) versions: BTreeMap<String, i32>,
    pub(super) settings: Settings,
}

impl Paths {
    pub(super) fn value(&self, key: &str) -> String {
        format!("{}/{key}", self.values)
    }

    pub(super) fn revision(&self, revision: u64) -> String {
        format!("{}/{revision:010}", self.history)
    }
}

impl Store {
    /// The configuration below the znode `root`. The first change creates it.
    ///
    /// # Errors
    /// [`Error::Argument`] if the path does not begin with a slash.
    pub fn new(client: &Client, root: &str) -> Result<Self, Error> {
        if !root.starts_with('/') || root.contains("//") {
            return Err(Error::argument("root", "a path that begins with a slash"));
        }
        let base = root.trim_end_matches('/');
        let below = |name: &str| format!("{base}/{name}");
        let paths = Paths {
            root: if base.is_empty() { "/".to_owned() } else { base.to_owned() },
            current: below("current"),
            values: below("values"),
            history: below("history"),
            schema: below("schema"),
            rollout: below("rollout"),
        };
        let (client, acl) = (client.clone(), client.acl().to_vec());
        Ok(Self { client, paths, acl, schema: None, request_bytes_max: REQUEST_BYTES_MAX })
    }

    /// Validates changes by this schema too, besides the one that is stored.
    #[must_use]
    pub fn with_schema(self, schema: Schema) -> Self {
        Self { schema: Some(schema), ..self }
    }

    /// Creates znodes with this ACL instead of [`Client::acl`]. Those that exist keep theirs.
    #[must_use]
    pub fn with_acl(self, acl: Vec<Acl>) -> Self {
        Self { acl, ..self }
    }

    /// Refuses changes longer than this instead of 1,048,575 bytes, for servers with another
    /// `jute.maxbuffer`.
    #[must_use]
    pub fn with_request_bytes_max(self, request_bytes_max: usize) -> Self {
        Self { request_bytes_max, ..self }
    }

    /// The values of one revision, as this session sees it. Without a configuration this is
    /// revision 0, which has no values.
    ///
    /// # Errors
    /// The session is over, or the server refuses; [`Error::Foreign`]; [`Error::Busy`] if the
    /// configuration changes faster than it is read.
    pub async fn load(&self) -> Result<Snapshot, Error> {
        Ok(self.load_all().await?.snapshot)
    }

    pub(super) async fn load_all(&self) -> Result<Loaded, Error> {
        for _ in 0..ATTEMPTS {
            match self.load_once().await {
                Ok(Some(loaded)) => return Ok(loaded),
                Ok(None) => {}
                Err(Error::Client(error)) if is_unsure(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy { attempts: ATTEMPTS })
    }

    /// Reads everything between two looks at `current`; `None` if it has changed meanwhile. The
    /// server executes the reads of a session in their order, so what was read is of that revision.
    async fn load_once(&self) -> Result<Option<Loaded>, Error> {
        let client = &self.client;
        let Some((current, stat)) = optional(client, &self.paths.current).await? else {
            return Ok(Some(Loaded::default()));
        };
        let revision = current.parse().ok().filter(|revision| *revision < REVISION_END);
        let revision =
            revision.ok_or_else(|| Error::foreign(&self.paths.current, "no number of a revision"))?;
        let children = match client.children_with_data(&self.paths.values).await {
            Ok((children, _)) => children,
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut loaded = Loaded { zxid: stat.mzxid, version: stat.version, ..Loaded::default() };
        loaded.snapshot.revision = revision;
        for child in children {
            let data = String::from_utf8(child.data.unwrap_or_default());
            let value = data.map_err(|_| Error::foreign(self.paths.value(&child.name), "no UTF-8 text"))?;
            loaded.versions.insert(child.name.clone(), child.stat.map_or(-1, |stat| stat.version));
            loaded.snapshot.values.insert(child.name, value);
        }
        loaded.snapshot.schema = json(client, &self.paths.schema).await?;
        loaded.snapshot.rollout = json(client, &self.paths.rollout).await?;
        loaded.settings = self.settings().await?;
        let again = client.exists(&self.paths.current, false).await?;
        Ok(again.is_some_and(|again| again.mzxid == stat.mzxid).then_some(loaded))
    }

    /// The settings; the default ones if the root has no data.
    async fn settings(&self) -> Result<Settings, Error> {
        match optional(&self.client, &self.paths.root).await? {
            None => Ok(Settings::default()),
            Some((text, _)) if text.is_empty() => Ok(Settings::default()),
            Some((text, _)) => {
                let settings: Settings =
                    serde_json::from_str(&text).map_err(|error| Error::foreign(&self.paths.root, error))?;
                if settings.format == FORMAT {
                    return Ok(settings);
                }
                let why = format!("format {} is of a newer version", settings.format);
                Err(Error::foreign(&self.paths.root, why))
            }
        }
    }

    /// Waits until the server of this session has seen all that was committed before.
    pub(super) async fn sync(&self) -> Result<(), Error> {
        Ok(repeat_up_to(ATTEMPTS, || self.client.sync(&self.paths.root)).await?)
    }

    /// The newest revisions, at most `limit`, newest first.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn history(&self, limit: usize) -> Result<Vec<Revision>, Error> {
        let mut revisions = Vec::new();
        for number in self.numbers().await?.into_iter().rev().take(limit) {
            // One that was dropped meanwhile is left out.
            revisions.extend(self.read_revision(number).await?);
        }
        Ok(revisions)
    }

    /// A revision of the history.
    ///
    /// # Errors
    /// [`Error::NotKept`]; otherwise as [`Self::load`].
    pub async fn revision(&self, revision: u64) -> Result<Revision, Error> {
        match self.read_revision(revision).await? {
            Some(found) => Ok(found),
            None => {
                let kept = self.numbers().await?;
                let (first, last) = (kept.first().copied(), kept.last().copied());
                Err(Error::NotKept { revision, kept: first.unwrap_or(1)..=last.unwrap_or(0) })
            }
        }
    }

    /// The revision that was made by the change with this id; `None` if it was not made, or is not
    /// kept any more. Ask after an answer was lost with the session.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn find(&self, id: &str) -> Result<Option<Revision>, Error> {
        self.sync().await?;
        let numbers = self.numbers().await?;
        self.find_among(numbers.into_iter().rev(), id).await
    }

    pub(super) async fn find_among(
        &self,
        numbers: impl Iterator<Item = u64>,
        id: &str,
    ) -> Result<Option<Revision>, Error> {
        for number in numbers {
            let found = self.read_revision(number).await?;
            if let Some(found) = found.filter(|found| found.record.id == id) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The values as they were when `revision` was the newest one.
    ///
    /// # Errors
    /// [`Error::NotKept`]; otherwise as [`Self::load`].
    pub async fn values_at(&self, revision: u64) -> Result<BTreeMap<String, String>, Error> {
        let loaded = self.load_all().await?;
        let records = self.records_behind(&loaded, revision).await?;
        let mut values = loaded.snapshot.values;
        undo(&mut values, records.iter());
        Ok(values)
    }

    /// What differs between the values at two revisions.
    ///
    /// # Errors
    /// [`Error::NotKept`]; otherwise as [`Self::load`].
    pub async fn diff(&self, from: u64, to: u64) -> Result<BTreeMap<String, Difference>, Error> {
        Ok(diff(&self.values_at(from).await?, &self.values_at(to).await?))
    }

    /// The records of all revisions behind one, newest first.
    pub(super) async fn records_behind(&self, loaded: &Loaded, revision: u64) -> Result<Vec<Record>, Error> {
        let newest = loaded.snapshot.revision;
        let mut records = Vec::new();
        for number in (revision.saturating_add(1)..=newest).rev() {
            match self.read_revision(number).await? {
                Some(found) => records.push(found.record),
                None => return Err(Error::NotKept { revision, kept: number..=newest }),
            }
        }
        if revision > newest {
            let oldest = self.numbers().await?.first().map_or(0, |first| first - 1);
            return Err(Error::NotKept { revision, kept: oldest..=newest });
        }
        Ok(records)
    }

    /// The numbers of the revisions that are kept, rising.
    pub(super) async fn numbers(&self) -> Result<Vec<u64>, Error> {
        let names = children(&self.client, &self.paths.history).await?;
        let numbers = names.iter().filter_map(|name| name.parse().ok());
        let mut numbers: Vec<u64> = numbers.filter(|number| (1..REVISION_END).contains(number)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn read_revision(&self, revision: u64) -> Result<Option<Revision>, Error> {
        let path = self.paths.revision(revision);
        let Some((text, stat)) = patient(&self.client, &path).await? else { return Ok(None) };
        let record = serde_json::from_str(&text).map_err(|error| Error::foreign(path, error))?;
        Ok(Some(Revision { revision, time_ms: stat.ctime, record }))
    }
}

/// The text of a znode, or `None` if it does not exist.
async fn optional(client: &Client, path: &str) -> Result<Option<(String, Stat)>, Error> {
    match client.get_data(path, false).await {
        Ok((data, stat)) => {
            let text = String::from_utf8(data.unwrap_or_default());
            Ok(Some((text.map_err(|_| Error::foreign(path, "no UTF-8 text"))?, stat)))
        }
        Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As [`optional`], over lost connections.
async fn patient(client: &Client, path: &str) -> Result<Option<(String, Stat)>, Error> {
    for _ in 0..ATTEMPTS {
        match optional(client, path).await {
            Err(Error::Client(error)) if is_unsure(&error) => {}
            read => return read,
        }
    }
    Err(client::Error::ConnectionLoss { operation: "getData" }.into())
}

/// The JSON of a znode, or `None` if it does not exist.
async fn json<T: DeserializeOwned>(client: &Client, path: &str) -> Result<Option<T>, Error> {
    let Some((text, _)) = optional(client, path).await? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|error| Error::foreign(path, error))
}
