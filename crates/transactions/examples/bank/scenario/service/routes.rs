//! The requests of the service, as `docs/build/transactions.md` describes them, and its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use transactions::Http;

use super::books::{Books, Stage};
use super::{Orders, VARIABLE, Work};

type Shared = Arc<Mutex<Books>>;

/// Makes this process a service if it was started as one, and returns otherwise.
pub(crate) fn service_if_asked() {
    let Ok(orders) = std::env::var(VARIABLE) else { return };
    let Orders { port, journal } = serde_json::from_str(&orders).expect("orders");
    let books = Arc::new(Mutex::new(Books::open(&journal)));
    let routes = Router::new()
        .route("/work", post(work))
        .route("/accounts", get(accounts))
        .route("/transactions", get(list))
        .route("/transactions/{branch}", get(status))
        .route("/transactions/{branch}/{what}", post(step))
        .with_state(books);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended: std::io::Result<()> = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        axum::serve(listener, routes).await
    });
    panic!("the service has ended: {ended:?}");
}

async fn work(State(books): State<Shared>, headers: HeaderMap, Json(work): Json<Work>) -> StatusCode {
    let Some(branch) = headers.get(Http::HEADER).and_then(|name| name.to_str().ok()) else {
        return StatusCode::BAD_REQUEST;
    };
    match books.lock().expect("no panic").begin(branch, work) {
        true => StatusCode::OK,
        false => StatusCode::CONFLICT,
    }
}

async fn accounts(State(books): State<Shared>) -> Json<Value> {
    Json(json!(books.lock().expect("no panic").accounts))
}

async fn step(
    State(books): State<Shared>,
    Path((branch, what)): Path<(String, String)>,
) -> (StatusCode, Json<Value>) {
    let (status, body) = books.lock().expect("no panic").step(&branch, &what);
    (status, Json(body))
}

async fn status(State(books): State<Shared>, Path(branch): Path<String>) -> (StatusCode, Json<Value>) {
    match books.lock().expect("no panic").branches.get(&branch) {
        Some((_, stage)) => (StatusCode::OK, Json(json!({ "state": stage }))),
        None => (StatusCode::NOT_FOUND, Json(json!({}))),
    }
}

async fn list(State(books): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    let prefix = query.get("prefix").map(String::as_str).unwrap_or_default();
    let books = books.lock().expect("no panic");
    let prepared = books.branches.iter().filter(|(_, (_, stage))| *stage == Stage::Prepared);
    let ours = prepared.filter(|(name, _)| name.starts_with(prefix));
    Json(ours.map(|(name, _)| json!({ "branch": name })).collect())
}
