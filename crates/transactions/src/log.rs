//! The decisions of a cluster, and who may make them, as znodes.
//!
//! ```text
//! ROOT/cluster            the number of the cluster
//! ROOT/coordinators/NAME  ephemeral, of a process that begins transactions
//! ROOT/fences/NUMBER      ephemeral, its right to decide; NUMBER is the zxid of the former, the
//!                         data are the name
//! ROOT/decisions/ID       a record, until nobody needs it any more
//! ROOT/heuristics/BRANCH  what a participant has said of a branch that ended otherwise
//! ROOT/resources/NAME     a resource that takes part, or has taken part
//! ROOT/recovery           the election of the recovery
//! ROOT/status             what the recovery sees
//! ```

use std::collections::BTreeMap;

use client::{Client, CreateMode, ErrorCode, Operation};
use commit::decision::Logged;
use commit::record::Record;

use crate::{BranchId, Cluster, ResourceName, TransactionId};

/// A cluster's znodes.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    client: Client,
    root: String,
    cluster: Cluster,
}

/// That a process may decide, as long as its session lives. No fence is ever there again.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    path: String,
    /// The znode of the name.
    place: String,
    /// No other start of any coordinator has this number.
    pub(crate) number: u64,
}

/// Why the znodes of a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The server refuses, or cannot be reached.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Another coordinator has this name, and lives.
    #[error("another coordinator is called {0}")]
    NameTaken(String),
    /// A znode holds something that no coordinator has written.
    #[error("the data of {path} is not what it should be: {why}")]
    Foreign {
        /// The znode.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(String),
}

/// How often a request whose answer was lost is repeated.
const ATTEMPTS: usize = 5;

impl Log {
    /// The log below `root`, which is created when it is first used.
    pub(crate) async fn open(client: &Client, root: &str) -> Result<Self, LogError> {
        let root = root.trim_end_matches('/').to_owned();
        // A read that decides something must not be of an older state.
        let client = client.linearizable();
        let acl = client.acl();
        for part in ["coordinators", "fences", "decisions", "resources"] {
            let path = format!("{root}/{part}");
            repeat(|| client.create_all(&path, acl)).await?;
        }
        let path = format!("{root}/cluster");
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|error| LogError::Random(error.to_string()))?;
        let drawn = format!("{:016x}", u64::from_le_bytes(number));
        repeat(|| client.create_if_not_exists(&path, Some(drawn.as_bytes()), acl, CreateMode::Persistent))
            .await?;
        let (data, _) = repeat(|| client.get_data(&path, false)).await?;
        let text = String::from_utf8_lossy(data.as_deref().unwrap_or_default()).into_owned();
        let cluster = u64::from_str_radix(&text, 16)
            .map_err(|_| LogError::Foreign { path, why: format!("{text:?} is no number of a cluster") })?;
        Ok(Self { client, root, cluster: Cluster(cluster) })
    }

    pub(crate) fn cluster(&self) -> Cluster {
        self.cluster
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn path(&self, part: &str) -> String {
        format!("{}/{part}", self.root)
    }

    fn decision(&self, id: TransactionId) -> String {
        format!("{}/decisions/{id}", self.root)
    }

    /// Becomes a coordinator of this name.
    pub(crate) async fn enter(&self, name: &str) -> Result<Fence, LogError> {
        let place = format!("{}/coordinators/{name}", self.root);
        let number = self.take_name(&place, name).await?;
        let path = format!("{}/fences/{number:016x}", self.root);
        let acl = self.client.acl();
        let data = Some(name.as_bytes());
        // What is there of this number is of this session.
        repeat(|| self.client.create_if_not_exists(&path, data, acl, CreateMode::Ephemeral)).await?;
        Ok(Fence { path, place, number })
    }

    /// Takes a name, and returns a number that nobody else gets, now or later.
    async fn take_name(&self, place: &str, name: &str) -> Result<u64, LogError> {
        let acl = self.client.acl();
        let mut may_exist = false;
        for _ in 0..ATTEMPTS {
            match self.client.create_with_stat(place, None, acl, CreateMode::Ephemeral).await {
                Ok((_, stat)) => return Ok(stat.czxid as u64),
                Err(client::Error::ConnectionLoss { .. }) => may_exist = true,
                Err(error) if error.code() == Some(ErrorCode::NodeExists) => {
                    let owner = self.client.exists(place, false).await?;
                    let own = owner.filter(|stat| stat.ephemeral_owner == self.client.identity().id);
                    return match own {
                        Some(stat) if may_exist => Ok(stat.czxid as u64),
                        _ => Err(LogError::NameTaken(name.to_owned())),
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(client::Error::ConnectionLoss { operation: "create2" }.into())
    }

    /// Gives the right to decide up.
    pub(crate) async fn leave(&self, fence: &Fence) {
        for path in [&fence.path, &fence.place] {
            // The session ends otherwise, and both with it.
            let _gone = repeat(|| self.client.delete(path, -1)).await;
        }
    }

    /// The coordinators that may decide: their numbers with their names.
    pub(crate) async fn coordinators(&self) -> Result<BTreeMap<u64, String>, client::Error> {
        let (children, _) = self.client.children_with_data(&self.path("fences")).await?;
        let numbered = children.into_iter().filter_map(|child| {
            let number = u64::from_str_radix(&child.name, 16).ok()?;
            Some((number, String::from_utf8_lossy(child.data.as_deref().unwrap_or_default()).into_owned()))
        });
        Ok(numbered.collect())
    }

    /// Stores that resources take part, so that a recovery knows which it does not have.
    pub(crate) async fn register(
        &self,
        names: impl Iterator<Item = &ResourceName>,
    ) -> Result<(), client::Error> {
        for name in names {
            let path = format!("{}/resources/{name}", self.root);
            let acl = self.client.acl();
            repeat(|| self.client.create_if_not_exists(&path, None, acl, CreateMode::Persistent)).await?;
        }
        Ok(())
    }

    /// The resources that take part, or have.
    pub(crate) async fn resources(&self) -> Result<Vec<ResourceName>, client::Error> {
        let (names, _) = self.client.get_children(&self.path("resources"), false).await?;
        Ok(names.iter().filter_map(|name| ResourceName::new(name).ok()).collect())
    }

    /// Writes a commit, if the fence is there and the transaction has no decision.
    pub(crate) async fn write_commit(&self, id: TransactionId, fence: &Fence, record: &Record) -> Logged {
        let (path, data, acl) = (self.decision(id), record.encode(), self.client.acl());
        let check = Operation::Check { path: &fence.path, version: -1 };
        let mode = CreateMode::Persistent;
        let create = Operation::Create { path: &path, data: Some(&data), acl, mode };
        match self.client.multi(&[check, create]).await {
            Ok(_) => Logged::Stored,
            Err(client::Error::MultiRefused { index: 0, code, .. }) if code == ErrorCode::NoNode as i32 => {
                Logged::Fenced
            }
            Err(client::Error::SessionExpired | client::Error::Closed) => Logged::Fenced,
            Err(error) if error.code() == Some(ErrorCode::NodeExists) => self.read(id).await,
            Err(error) => Logged::Unknown(error.to_string()),
        }
    }

    /// Writes a decision, if the transaction has none.
    pub(crate) async fn write(&self, id: TransactionId, record: &Record) -> Logged {
        let (path, data, acl) = (self.decision(id), record.encode(), self.client.acl());
        match self.client.create(&path, Some(&data), acl, CreateMode::Persistent).await {
            Ok(_) => Logged::Stored,
            Err(error) if error.code() == Some(ErrorCode::NodeExists) => self.read(id).await,
            Err(error) => Logged::Unknown(error.to_string()),
        }
    }

    /// What was decided.
    pub(crate) async fn read(&self, id: TransactionId) -> Logged {
        match self.record(id).await {
            Ok(Some(record)) => Logged::Found(record.decision),
            Ok(None) => Logged::Nothing,
            Err(error) => Logged::Unknown(error.to_string()),
        }
    }

    pub(crate) async fn record(&self, id: TransactionId) -> Result<Option<Record>, LogError> {
        let path = self.decision(id);
        match self.client.get_data(&path, false).await {
            Ok((data, _)) => decode(&path, data.as_deref()).map(Some),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All records, each with when it was written, in ms since 1970 by the server's clock.
    pub(crate) async fn records(&self) -> Result<Vec<(TransactionId, Record, i64)>, LogError> {
        let (children, _) = self.client.children_with_data(&self.path("decisions")).await?;
        let mut records = Vec::with_capacity(children.len());
        for child in children {
            let Ok(id) = child.name.parse::<TransactionId>() else { continue };
            let written_ms = child.stat.map_or(0, |stat| stat.ctime);
            records.push((id, decode(&self.decision(id), child.data.as_deref())?, written_ms));
        }
        Ok(records)
    }

    /// Deletes records, in one write if they are all there.
    pub(crate) async fn forget_all(&self, ids: &[TransactionId]) -> Result<(), client::Error> {
        let paths: Vec<String> = ids.iter().map(|id| self.decision(*id)).collect();
        let deletes: Vec<_> = paths.iter().map(|path| Operation::Delete { path, version: -1 }).collect();
        match repeat(|| self.client.multi(&deletes)).await {
            Err(client::Error::MultiRefused { .. }) => {
                for id in ids {
                    self.forget(*id).await?;
                }
                Ok(())
            }
            answered => answered.map(drop),
        }
    }

    /// Deletes a record.
    pub(crate) async fn forget(&self, id: TransactionId) -> Result<(), client::Error> {
        let path = self.decision(id);
        repeat(|| self.client.discard(&path, -1)).await
    }

    /// Keeps what is known of a branch that ended against the decision; the first note stays.
    pub(crate) async fn note(&self, branch: &BranchId, text: &str) -> Result<(), client::Error> {
        let acl = self.client.acl();
        let folder = self.path("heuristics");
        repeat(|| self.client.create_all(&folder, acl)).await?;
        let path = format!("{folder}/{branch}");
        let mode = CreateMode::Persistent;
        repeat(|| self.client.create_if_not_exists(&path, Some(text.as_bytes()), acl, mode)).await.map(drop)
    }

    /// The notes on a transaction, or on all.
    pub(crate) async fn notes(
        &self,
        id: Option<TransactionId>,
    ) -> Result<Vec<(BranchId, String)>, client::Error> {
        let children = match self.client.children_with_data(&self.path("heuristics")).await {
            Ok((children, _)) => children,
            Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let notes = children.into_iter().filter_map(|child| {
            let branch: BranchId = child.name.parse().ok()?;
            let text = String::from_utf8_lossy(child.data.as_deref().unwrap_or_default()).into_owned();
            id.is_none_or(|id| branch.transaction == id).then_some((branch, text))
        });
        Ok(notes.collect())
    }

    /// Deletes the notes on a transaction.
    pub(crate) async fn delete_notes(&self, id: TransactionId) -> Result<(), client::Error> {
        for (branch, _) in self.notes(Some(id)).await? {
            let path = format!("{}/{branch}", self.path("heuristics"));
            repeat(|| self.client.discard(&path, -1)).await?;
        }
        Ok(())
    }

    /// Puts a record in place of any that is there.
    pub(crate) async fn keep(&self, id: TransactionId, record: &Record) -> Result<(), client::Error> {
        let (path, data, acl) = (self.decision(id), record.encode(), self.client.acl());
        let create = || self.client.create_if_not_exists(&path, Some(&data), acl, CreateMode::Persistent);
        repeat(create).await?;
        repeat(|| self.client.set_data(&path, Some(&data), -1)).await.map(drop)
    }
}

fn decode(path: &str, data: Option<&[u8]>) -> Result<Record, LogError> {
    Record::decode(data.unwrap_or_default())
        .map_err(|error| LogError::Foreign { path: path.to_owned(), why: error.to_string() })
}

/// Repeats a request that does no harm twice, while its answer is lost with the connection.
pub(crate) async fn repeat<T, F>(mut request: impl FnMut() -> F) -> Result<T, client::Error>
where
    F: Future<Output = Result<T, client::Error>>,
{
    for _ in 1..ATTEMPTS {
        match request().await {
            Err(client::Error::ConnectionLoss { .. }) => {}
            answered => return answered,
        }
    }
    request().await
}
