//! What operators do: look at transactions, finish them by hand, and run the recovery.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Instant, SystemTime};

use client::{Client, ErrorCode};
use commit::Settings;
use commit::decision::{Decision, Finish as Told, Logged, Presence, Witness};
use commit::record::{PreparedBranch, Record};
use tokio::sync::{mpsc, watch};

use crate::forgetting;
use crate::log::{Log, LogError};
use crate::metrics::Metrics;
use crate::recovery::{Recoverer, Report};
use crate::resources::Resources;
use crate::shared::Shared;
use crate::{BranchId, Cluster, ResourceName, TransactionId};

/// The transactions of a cluster as an operator sees them. It begins none.
pub struct Office {
    shared: Arc<Shared>,
}

/// All that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overview {
    /// What is prepared somewhere, decided and not finished, or ended otherwise, by transaction.
    pub transactions: BTreeMap<TransactionId, View>,
    /// The resources that take part and that could not be asked, each with the reason.
    pub unseen: BTreeMap<ResourceName, String>,
    /// What the active recovery has seen last; `None` if there never was one.
    pub report: Option<Report>,
    /// Who recovers, or would, in their order.
    pub recoverers: Vec<String>,
}

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The coordinator that may still decide; `None` if it is gone.
    pub coordinator: Option<String>,
    /// What the log has.
    pub record: Option<Record>,
    /// When that was written, in ms since 1970 by the server's clock; 0 without one.
    pub decided_ms: u64,
    /// The branches that are prepared, each with since when, if the resource knows.
    pub prepared: BTreeMap<BranchId, Option<SystemTime>>,
    /// What is known about branches that ended otherwise than decided.
    pub notes: Vec<(BranchId, String)>,
}

impl View {
    /// Whether it is prepared somewhere, and nobody can decide it any more: the recovery rolls it
    /// back.
    pub fn is_orphan(&self) -> bool {
        self.record.is_none() && self.coordinator.is_none() && !self.prepared.is_empty()
    }
}

/// What has become of a transaction that an operator finishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What is decided now.
    pub decision: Decision,
    /// Each branch, with why it is not finished; empty if it is.
    pub branches: Vec<(BranchId, String)>,
}

/// Why an operator's command is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The session has failed, or the server refuses.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// The session has failed, or the server refuses.
    #[error(transparent)]
    Recipe(#[from] recipes::Error),
    /// Nothing is known of the transaction.
    #[error("{0} is neither in the log nor prepared in a resource that can be asked")]
    NotFound(TransactionId),
    /// It was decided in the other way.
    #[error("it was decided to {0} already")]
    Decided(Decision),
    /// A commit names all branches, and these resources may have one.
    #[error("these resources could not be asked, and may have a part of it: {0}")]
    Unseen(String),
    /// It is not finished.
    #[error("{0} is still prepared: resolve the transaction first")]
    Prepared(BranchId),
    /// The log does not say whether the decision was written.
    #[error("the log gives no answer: {0}")]
    NoAnswer(String),
}

impl Office {
    /// Looks at the cluster whose decisions are below the znode `path`. `name` says who does, in
    /// records.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn open(
        client: &Client,
        path: &str,
        resources: Resources,
        name: &str,
        settings: Settings,
    ) -> Result<Self, LogError> {
        let log = Log::open(client, path).await?;
        let (forgotten, queue) = mpsc::unbounded_channel();
        tokio::spawn(forgetting::run(log.clone(), queue));
        let shared = Shared {
            log,
            fence: None,
            name: name.to_owned(),
            resources,
            settings,
            metrics: Arc::default(),
            observer: None,
            next: AtomicU64::new(0),
            started: Instant::now(),
            running: watch::Sender::new(0),
            forgotten,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The cluster.
    pub fn cluster(&self) -> Cluster {
        self.shared.log.cluster()
    }

    /// What [`Self::recover`] counts and measures.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Stands for election, and recovers while it leads, until the session is over.
    pub async fn recover(&self) {
        Recoverer::new(&self.shared).run().await;
    }

    /// Asks the log and all resources.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn overview(&self) -> Result<Overview, OfficeError> {
        let log = &self.shared.log;
        let mut overview = Overview { report: self.report().await?, ..Overview::default() };
        // Resources first: what was decided after that is in the log.
        for name in log.resources().await? {
            let Some(participant) = self.shared.resources.participant(&name) else {
                overview.unseen.insert(name, "it is not configured here".to_owned());
                continue;
            };
            match participant.prepared(log.cluster()).await {
                Ok(prepared) => prepared.into_iter().for_each(|one| {
                    let view = overview.transactions.entry(one.branch.transaction).or_default();
                    view.prepared.insert(one.branch, one.since);
                }),
                Err(trouble) => drop(overview.unseen.insert(name, trouble.to_string())),
            }
        }
        let alive = log.coordinators().await?;
        for (id, record, written_ms) in log.records().await? {
            let view = overview.transactions.entry(id).or_default();
            view.record = Some(record);
            view.decided_ms = written_ms.try_into().unwrap_or_default();
        }
        for (id, view) in &mut overview.transactions {
            view.coordinator = alive.get(&id.coordinator).cloned();
        }
        for (branch, text) in log.notes(None).await? {
            overview.transactions.entry(branch.transaction).or_default().notes.push((branch, text));
        }
        overview.recoverers = self.recoverers().await?;
        Ok(overview)
    }

    async fn recoverers(&self) -> Result<Vec<String>, OfficeError> {
        let log = &self.shared.log;
        let election = recipes::Election::new(log.client(), &log.path("recovery"));
        let candidates = election.candidates().await?;
        Ok(candidates.into_iter().map(|one| String::from_utf8_lossy(&one.data).into_owned()).collect())
    }

    async fn report(&self) -> Result<Option<Report>, OfficeError> {
        let path = self.shared.log.path("status");
        match self.shared.log.client().get_data(&path, false).await {
            // One of another version says nothing to this one.
            Ok((data, _)) => Ok(Report::decode(data.as_deref().unwrap_or_default()).ok()),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Decides a transaction, if nobody has, and tells its branches. What was decided already is
    /// told again.
    ///
    /// To commit what its coordinator has not decided is an operator's own risk: a branch that was
    /// not prepared yet is lost.
    ///
    /// # Errors
    /// [`OfficeError`].
    pub async fn resolve(&self, id: TransactionId, decision: Decision) -> Result<Resolved, OfficeError> {
        let overview = self.overview().await?;
        let view = overview.transactions.get(&id).ok_or(OfficeError::NotFound(id))?;
        let record = match &view.record {
            Some(record) if record.decision != decision => return Err(OfficeError::Decided(record.decision)),
            Some(record) => record.clone(),
            None => self.decide(id, decision, view, &overview).await?,
        };
        let told: BTreeSet<_> = record.branches.iter().map(|known| known.branch.clone()).collect();
        let found = view.prepared.keys().filter(|branch| !told.contains(&branch.branch));
        let found =
            found.map(|branch| PreparedBranch { branch: branch.branch.clone(), witness: Witness::default() });
        let mut branches = Vec::new();
        for branch in record.branches.iter().cloned().chain(found) {
            let name = BranchId { transaction: id, branch: branch.branch.clone() };
            branches.push((name, self.finish(id, &branch, decision).await));
        }
        Ok(Resolved { decision, branches })
    }

    async fn decide(
        &self,
        id: TransactionId,
        decision: Decision,
        view: &View,
        overview: &Overview,
    ) -> Result<Record, OfficeError> {
        if decision == Decision::Commit && !overview.unseen.is_empty() {
            let unseen: Vec<_> = overview.unseen.keys().map(ToString::to_string).collect();
            return Err(OfficeError::Unseen(unseen.join(", ")));
        }
        let prepared = view.prepared.keys();
        let branches = prepared
            .map(|branch| PreparedBranch { branch: branch.branch.clone(), witness: Witness::default() });
        let by = format!("{}, by hand", self.shared.name);
        let record = Record::new(decision, &by, branches.collect());
        match self.shared.log.write(id, &record).await {
            Logged::Stored => Ok(record),
            Logged::Found(found) if found == decision => Ok(record),
            Logged::Found(other) => Err(OfficeError::Decided(other)),
            Logged::Unknown(why) => Err(OfficeError::NoAnswer(why)),
            Logged::Fenced | Logged::Nothing => Err(OfficeError::NoAnswer("it changes just now".to_owned())),
        }
    }

    /// Tells a branch; why it is not finished, or nothing.
    async fn finish(&self, id: TransactionId, branch: &PreparedBranch, decision: Decision) -> String {
        match self.shared.finish(id, branch, decision).await {
            Told::Done => String::new(),
            Told::Heuristic(other) => format!("it has ended otherwise: {other}"),
            Told::Failed(why) => why,
            Told::NotFound => match self.shared.inspect(id, branch).await {
                Presence::Absent => String::new(),
                Presence::Prepared => "it is still prepared".to_owned(),
                Presence::Ended(ended) => format!("it has ended otherwise: {ended}"),
                Presence::Unknown(why) => why,
            },
        }
    }

    /// Deletes what the log has of a transaction that is prepared nowhere: its decision, and the
    /// notes on branches that ended otherwise. For those that an operator has put in order, and for
    /// those whose resource will not come back.
    ///
    /// # Errors
    /// [`OfficeError`]; a branch is still prepared.
    pub async fn forget(&self, id: TransactionId) -> Result<(), OfficeError> {
        let overview = self.overview().await?;
        let view = overview.transactions.get(&id).ok_or(OfficeError::NotFound(id))?;
        if let Some(branch) = view.prepared.keys().next() {
            return Err(OfficeError::Prepared(branch.clone()));
        }
        self.shared.log.delete_notes(id).await?;
        Ok(self.shared.log.forget(id).await?)
    }
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
