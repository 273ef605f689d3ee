//! A service that takes part over HTTP, as the protocol describes it, with faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

type Answer = (StatusCode, Json<Value>);

/// How the next request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error, before anything is done.
    Error,
    /// No answer, and nothing done.
    Silence,
    /// An answer that is not of the protocol.
    Nonsense,
    /// It is done, and an error answered.
    LostAnswer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Working,
    Prepared,
    Committed,
    Aborted,
}

struct Branch {
    value: Option<u64>,
    stage: Stage,
    by_hand: bool,
}

#[derive(Default)]
struct Shared {
    branches: BTreeMap<String, Branch>,
    had: BTreeSet<u64>,
    fault: Option<Fault>,
}

#[derive(Clone)]
pub(crate) struct Service {
    shared: Arc<Mutex<Shared>>,
    address: std::net::SocketAddr,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let listener = testing::listen();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let service = Self { shared: Arc::default(), address: listener.local_addr().unwrap() };
        let routes = Router::new()
            .route("/bank/transactions", get(list))
            .route("/bank/transactions/{branch}", get(status))
            .route("/bank/transactions/{branch}/{what}", post(step))
            .with_state(service.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        service
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/bank", self.address)
    }

    pub(crate) fn work(&self, branch: &str, value: Option<u64>) {
        let begun = Branch { value, stage: Stage::Working, by_hand: false };
        self.shared.lock().unwrap().branches.insert(branch.to_owned(), begun);
    }

    pub(crate) fn has(&self, value: u64) -> bool {
        self.shared.lock().unwrap().had.contains(&value)
    }

    pub(crate) fn forget_unprepared(&self) {
        self.shared.lock().unwrap().branches.retain(|_, branch| branch.stage != Stage::Working);
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.shared.lock().unwrap().fault = Some(fault);
    }

    pub(crate) fn undo_by_hand(&self, branch: &str) {
        let mut shared = self.shared.lock().unwrap();
        let branch = shared.branches.get_mut(branch).unwrap();
        (branch.stage, branch.by_hand) = (Stage::Aborted, true);
    }

    fn step(&self, name: &str, what: &str) -> Answer {
        let mut shared = self.shared.lock().unwrap();
        let Some(branch) = shared.branches.get_mut(name) else {
            let status = if what == "prepare" { StatusCode::CONFLICT } else { StatusCode::NOT_FOUND };
            return (status, Json(json!({ "reason": "there is no such branch" })));
        };
        let done = (StatusCode::OK, Json(json!({})));
        match (what, branch.stage) {
            ("prepare", Stage::Working) if branch.value.is_none() => {
                branch.stage = Stage::Committed;
                (StatusCode::OK, Json(json!({ "vote": "read-only" })))
            }
            ("prepare", Stage::Working) => {
                branch.stage = Stage::Prepared;
                (StatusCode::OK, Json(json!({ "vote": "prepared", "receipt": "r" })))
            }
            ("commit", Stage::Prepared) | ("commit-at-once", Stage::Working) => {
                branch.stage = Stage::Committed;
                let value = branch.value;
                shared.had.extend(value);
                done
            }
            ("abort", Stage::Working | Stage::Prepared) => {
                branch.stage = Stage::Aborted;
                done
            }
            ("commit", Stage::Committed) => done,
            ("abort", Stage::Aborted) => done,
            ("commit", Stage::Aborted) if branch.by_hand => {
                let answer = json!({ "ending": "aborted", "evidence": "the operator undid it" });
                (StatusCode::GONE, Json(answer))
            }
            ("abort", Stage::Committed) => (StatusCode::GONE, Json(json!({ "ending": "committed" }))),
            _ => (StatusCode::CONFLICT, Json(json!({ "reason": "it has another state" }))),
        }
    }
}

async fn step(State(service): State<Service>, Path((branch, what)): Path<(String, String)>) -> Answer {
    let fault = service.shared.lock().unwrap().fault.take();
    match fault {
        None => service.step(&branch, &what),
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!("busy"))),
        Some(Fault::Nonsense) => (StatusCode::CREATED, Json(json!("what?"))),
        Some(Fault::LostAnswer) => {
            drop(service.step(&branch, &what));
            (StatusCode::BAD_GATEWAY, Json(json!("the answer was lost")))
        }
    }
}

async fn status(State(service): State<Service>, Path(branch): Path<String>) -> Answer {
    let shared = service.shared.lock().unwrap();
    let Some(branch) = shared.branches.get(&branch) else {
        return (StatusCode::NOT_FOUND, Json(json!({})));
    };
    let state = match branch.stage {
        Stage::Working => "working",
        Stage::Prepared => "prepared",
        Stage::Committed => "committed",
        Stage::Aborted => "aborted",
    };
    (StatusCode::OK, Json(json!({ "state": state })))
}

async fn list(State(service): State<Service>, Query(query): Query<BTreeMap<String, String>>) -> Answer {
    let shared = service.shared.lock().unwrap();
    let prefix = query.get("prefix").map(String::as_str).unwrap_or_default();
    let prepared = shared.branches.iter().filter(|(_, branch)| branch.stage == Stage::Prepared);
    let ours = prepared.filter(|(name, _)| name.starts_with(prefix));
    let listed: Vec<Value> = ours.map(|(name, _)| json!({ "branch": name, "since_ms": 1 })).collect();
    (StatusCode::OK, Json(json!(listed)))
}
