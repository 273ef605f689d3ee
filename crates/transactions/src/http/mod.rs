//! Services that take part over HTTP.
//!
//! Below the base URL of the service, with bodies of JSON:
//!
//! ```text
//! POST /transactions/BRANCH/prepare          200 {"vote":"prepared","receipt":"…"}
//!                                            200 {"vote":"read-only"}
//!                                            409 {"reason":"…"}     not prepared, nor will it be
//! POST /transactions/BRANCH/commit-at-once   200                    committed
//!                                            409 {"reason":"…"}     undone
//! POST /transactions/BRANCH/commit           200                    committed, now or before
//!      {"receipt":"…"}                       404                    not known
//!                                            410 {"ending":"aborted","evidence":"…"}
//! POST /transactions/BRANCH/abort            as commit; 200: undone
//! GET  /transactions/BRANCH                  200 {"state":"prepared"}, committed or aborted
//!                                            404                    not known
//! GET  /transactions?prefix=P                200 [{"branch":"…","since_ms":0}]
//!                                            the prepared branches whose names begin so
//! ```
//!
//! Any other answer means that nobody knows, and the request may come again. A request for work
//! names its branch in the header `Ostler-Branch`.

mod exchange;

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use serde::Deserialize;

use crate::participant::{Ending, Finish, Heuristic, Participant, Prepared, Trouble, Vote};
use crate::{Branch, BranchId, Cluster, ResourceName, TransactionId};
use exchange::{Answer, Base};

/// A service that takes part by the protocol of `docs/build/transactions.md`.
#[derive(Debug)]
pub struct Http {
    base: Base,
    step: Duration,
}

#[derive(Deserialize)]
struct Voted {
    vote: String,
    #[serde(default)]
    receipt: String,
}

#[derive(Deserialize)]
struct Reason {
    reason: String,
}

#[derive(Deserialize)]
struct Ended {
    ending: String,
    #[serde(default)]
    evidence: String,
}

#[derive(Deserialize)]
struct State {
    state: String,
}

#[derive(Deserialize)]
struct Listed {
    branch: String,
    #[serde(default)]
    since_ms: Option<u64>,
}

impl Http {
    /// The header by which a request for work names its branch.
    pub const HEADER: &str = "Ostler-Branch";

    /// The service at a URL, `http://HOST:PORT/PATH`. `step` bounds each request.
    ///
    /// # Errors
    /// The URL is not understood, or is not one of HTTP without TLS.
    pub fn new(url: &str, step: Duration) -> Result<Self, Trouble> {
        Ok(Self { base: Base::parse(url)?, step })
    }

    /// Begins a branch: requests for its work carry its name in the header [`Self::HEADER`].
    pub fn begin(&self, transaction: &TransactionId, resource: &ResourceName) -> BranchId {
        let branch = Branch { resource: resource.clone(), session: None };
        BranchId { transaction: *transaction, branch }
    }

    async fn post(&self, branch: &BranchId, what: &str, body: String) -> Result<Answer, Trouble> {
        self.base.ask("POST", &format!("/transactions/{branch}/{what}"), body, self.step).await
    }

    async fn finish(&self, branch: &BranchId, what: &str, receipt: &str) -> Finish {
        let body = serde_json::json!({ "receipt": receipt }).to_string();
        let answer = match self.post(branch, what, body).await {
            Ok(answer) => answer,
            Err(trouble) => return Finish::Unknown(trouble.to_string()),
        };
        match answer.status {
            200 => Finish::Done,
            404 => Finish::NotFound,
            410 => match answer.decode::<Ended>().ok().and_then(|ended| heuristic(&ended)) {
                Some(heuristic) => Finish::Heuristic(heuristic),
                None => Finish::Unknown(answer.text()),
            },
            409 => Finish::Refused(reason(&answer)),
            _ => Finish::Unknown(answer.text()),
        }
    }

    /// What has become of a commit without an answer.
    async fn look(&self, branch: &BranchId, why: String) -> Finish {
        let path = format!("/transactions/{branch}");
        let answer = self.base.ask("GET", &path, String::new(), self.step).await;
        let state = answer.ok().and_then(|answer| answer.decode::<State>().ok());
        match state.as_ref().map(|state| state.state.as_str()) {
            Some("committed") => Finish::Done,
            Some("aborted") => Finish::Refused(why),
            _ => Finish::Unknown(why),
        }
    }
}

fn heuristic(ended: &Ended) -> Option<Heuristic> {
    let ending = match ended.ending.as_str() {
        "committed" => Ending::Committed,
        "aborted" => Ending::Aborted,
        "overwrote" => Ending::Overwrote,
        _ => return None,
    };
    Some(Heuristic { ending, evidence: ended.evidence.clone() })
}

fn reason(answer: &Answer) -> String {
    answer.decode::<Reason>().map_or_else(|_| answer.text(), |told| told.reason)
}

#[async_trait]
impl Participant for Http {
    async fn check(&self) -> Result<(), Trouble> {
        self.prepared(Cluster(0)).await.map(drop)
    }

    async fn prepare(&self, branch: &BranchId) -> Vote {
        let answer = match self.post(branch, "prepare", String::new()).await {
            Ok(answer) => answer,
            Err(trouble) => return Vote::Unknown(trouble.to_string()),
        };
        let voted = answer.decode::<Voted>().ok();
        match (answer.status, voted) {
            (200, Some(Voted { vote, receipt })) if vote == "prepared" => Vote::Prepared { receipt },
            (200, Some(Voted { vote, .. })) if vote == "read-only" => Vote::ReadOnly,
            (409, _) => Vote::Refused(reason(&answer)),
            _ => Vote::Unknown(answer.text()),
        }
    }

    async fn commit_at_once(&self, branch: &BranchId) -> Finish {
        match self.post(branch, "commit-at-once", String::new()).await {
            Ok(answer) if answer.status == 200 => Finish::Done,
            Ok(answer) if answer.status == 409 => Finish::Refused(reason(&answer)),
            Ok(answer) => self.look(branch, answer.text()).await,
            Err(trouble) => self.look(branch, trouble.to_string()).await,
        }
    }

    async fn commit(&self, branch: &BranchId, receipt: &str) -> Finish {
        self.finish(branch, "commit", receipt).await
    }

    async fn abort(&self, branch: &BranchId, receipt: &str) -> Finish {
        self.finish(branch, "abort", receipt).await
    }

    async fn prepared(&self, cluster: Cluster) -> Result<Vec<Prepared>, Trouble> {
        let path = format!("/transactions?prefix={}", cluster.prefix());
        let answer = self.base.ask("GET", &path, String::new(), self.step).await?;
        let listed = match answer.status {
            200 => answer.decode::<Vec<Listed>>().map_err(|error| Trouble::Unfit(error.to_string()))?,
            404 | 405 => {
                return Err(Trouble::Unfit(format!("it does not list transactions: {}", answer.text())));
            }
            _ => return Err(Trouble::Away(answer.text())),
        };
        let prepared = listed.into_iter().filter_map(|listed| {
            let branch: BranchId = listed.branch.parse().ok()?;
            let since = listed.since_ms.map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
            (branch.transaction.cluster == cluster).then_some(Prepared { branch, since })
        });
        Ok(prepared.collect())
    }
}
