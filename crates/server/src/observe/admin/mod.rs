//! The AdminServer: ZooKeeper's commands as JSON over HTTP, and `/metrics` for Prometheus.
//!
//! It runs on a thread of its own and asks the server through [`Source`] only, so that clients are
//! served whatever happens to it. It has no password, like ZooKeeper's, but can ask for
//! certificates ([`Transport`]); it is on loopback unless `admin.serverAddress` is set.

mod commands;
mod guard;
mod listener;
mod member;
mod places;
mod snapshot;
mod transport;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Config;
use crate::observe::prometheus;
use crate::observe::stats::Source;
use crate::stream::Acceptor;
use commands::{Outcome, Reply};
use guard::Hosts;
use listener::{BOUNDS, Caller};
use snapshot::Snapshots;
use transport::Transport;

/// The running AdminServer. It stops on drop.
#[derive(Debug)]
pub struct AdminServer {
    /// Address of the commands; `None` if they are switched off or their port was taken.
    pub address: Option<SocketAddr>,
    /// Address of the separate Prometheus port; `None` if it is not configured or was taken.
    pub metrics_address: Option<SocketAddr>,
    /// Address of that by HTTPS, if it is another one.
    pub secure_metrics_address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// A port that could not be opened. The server serves its clients without it: an operator is better
/// off with that and a warning than without a service because port 8080 is popular.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot open {address} for {what}: {source}; continuing without it (set {key} to another port, or {off})"
)]
pub struct Unavailable {
    /// `the AdminServer` or `Prometheus metrics`.
    pub what: &'static str,
    /// The configured address.
    pub address: SocketAddr,
    /// The key that moves it.
    pub key: &'static str,
    /// The setting that switches it off.
    pub off: &'static str,
    /// The system's error.
    pub source: io::Error,
}

/// How connections with TLS are accepted; `None` if a port accepts no TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acceptors {
    /// By the port of the commands.
    pub(crate) commands: Option<Arc<Acceptor>>,
    /// By that for Prometheus.
    pub(crate) metrics: Option<Arc<Acceptor>>,
}

/// Starts the configured services; with TLS, too or only, if there is an acceptor. Unavailable ones
/// are returned, to be logged. Fails only if the system refuses a thread or an event queue.
pub(crate) fn start(
    source: Arc<dyn Source>,
    acceptors: Acceptors,
) -> io::Result<(AdminServer, Vec<Unavailable>)> {
    let mut unavailable = Vec::new();
    let mut open = |address: SocketAddr, what, key, off| match listen(address) {
        Ok(listener) => Some(listener),
        Err(source) => {
            unavailable.push(Unavailable { what, address, key, off, source });
            None
        }
    };
    let config = source.config();
    let commands = config.admin.as_ref().and_then(|admin| {
        open(admin.address, "the AdminServer", "admin.serverPort", "admin.enableServer=false")
    });
    let (plain, secure) = metrics_ports(config, acceptors.metrics);
    let metrics = plain.and_then(|(address, transport)| {
        let off = "remove metricsProvider.className";
        Some((open(address, "Prometheus metrics", "metricsProvider.httpPort", off)?, transport))
    });
    let secure_metrics = secure.and_then(|(address, transport)| {
        let off = "remove metricsProvider.httpsPort";
        Some((open(address, "Prometheus metrics by HTTPS", "metricsProvider.httpsPort", off)?, transport))
    });
    let address = commands.as_ref().and_then(|listener| listener.local_addr().ok());
    let local = |service: &Option<(std::net::TcpListener, Transport)>| service.as_ref()?.0.local_addr().ok();
    let (metrics_address, secure_metrics_address) = (local(&metrics), local(&secure_metrics));
    let url = config.admin.as_ref().map(|admin| admin.command_url.clone()).unwrap_or_default();
    let hosts = Hosts::new(&names(config));
    let transport =
        Transport::new(acceptors.commands, config.admin_tls.as_ref().is_some_and(|tls| tls.is_forced));
    let for_prometheus = |(listener, transport)| (listener, metrics_routes(Arc::clone(&source)), transport);
    let services = [
        commands.map(|listener| (listener, command_routes(&url, Arc::clone(&source), hosts), transport)),
        metrics.map(for_prometheus),
        secure_metrics.map(for_prometheus),
    ];
    let (stop, stopped) = watch::channel(false);
    let thread = spawn(services.into_iter().flatten().collect(), &stopped)?;
    Ok((AdminServer { address, metrics_address, secure_metrics_address, stop, thread }, unavailable))
}

/// A port, and what its connections speak.
type Port = Option<(SocketAddr, Transport)>;

/// The ports for Prometheus: the one without TLS, or with and without, and the one with it only.
fn metrics_ports(config: &Config, acceptor: Option<Arc<Acceptor>>) -> (Port, Port) {
    let Some(metrics) = &config.metrics else { return (None, None) };
    let secure = metrics.tls.as_ref().map(|tls| tls.address).zip(acceptor);
    match (metrics.address, secure) {
        (Some(plain), Some((address, acceptor))) if plain == address => {
            (Some((plain, Transport::Either(acceptor))), None)
        }
        (plain, secure) => (
            plain.map(|address| (address, Transport::Plain)),
            secure.map(|(address, acceptor)| (address, Transport::Secure(acceptor))),
        ),
    }
}

/// The names of this server in the configuration.
fn names(config: &Config) -> Vec<String> {
    let mut names = config.admin.as_ref().map(|admin| admin.hosts.clone()).unwrap_or_default();
    if let Some(me) = config.ensemble.as_ref().and_then(|all| all.members.get(&config.server_id)) {
        names.extend(me.addresses.iter().map(|(host, _)| host.clone()));
    }
    names
}

/// Opens a port before the thread starts, so that a port in use is known at once. The unspecified
/// IPv6 address falls back to IPv4 if the system has no IPv6.
fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address).or_else(|error| match address.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        }
        _ => Err(error),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn spawn(
    services: Vec<(std::net::TcpListener, Router, Transport)>,
    stopped: &watch::Receiver<bool>,
) -> io::Result<Option<JoinHandle<()>>> {
    if services.is_empty() {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let tasks = {
        let _guard = runtime.enter();
        let task = |(listener, routes, transport): (std::net::TcpListener, Router, Transport)| {
            let mut stopped = stopped.clone();
            let listener = TcpListener::from_std(listener)?;
            // Open connections are dropped with the runtime: none is worth delaying a stop.
            Ok(async move {
                tokio::select! {
                    () = listener::serve(listener, routes, transport, BOUNDS) => {}
                    _ = stopped.wait_for(|&stopped| stopped) => {}
                }
            })
        };
        services.into_iter().map(task).collect::<io::Result<Vec<_>>>()?
    };
    let run = move || {
        runtime.block_on(async {
            let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
            for task in running {
                if let Err(error) = task.await {
                    tracing::warn!(%error, "the AdminServer stopped");
                }
            }
        });
    };
    thread::Builder::new().name("admin".to_owned()).spawn(run).map(Some)
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the AdminServer's thread panicked");
        }
    }
}

/// What the commands need.
#[derive(Clone)]
struct Served {
    source: Arc<dyn Source>,
    snapshots: Arc<Snapshots>,
}

fn command_routes(url: &str, source: Arc<dyn Source>, hosts: Hosts) -> Router {
    let list = Html(commands::links(url));
    let served = Served { source: Arc::clone(&source), snapshots: Arc::default() };
    Router::new()
        .route(url, get(list.clone()))
        .route(&format!("{url}/"), get(list))
        .route(&format!("{url}/{{name}}"), get(run).post(run))
        .with_state(served)
        .merge(metrics_routes(source))
        .layer(DefaultBodyLimit::max(0))
        .layer(axum::middleware::from_fn_with_state(hosts, guard::check_host))
}

fn metrics_routes(source: Arc<dyn Source>) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(source)
}

async fn scrape(State(source): State<Arc<dyn Source>>) -> impl IntoResponse {
    let text = prometheus::prometheus(&source.facts(), &source.other_groups());
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], text)
}

async fn run(
    State(Served { source, snapshots }): State<Served>,
    Path(name): Path<String>,
    Query(arguments): Query<Vec<(String, String)>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let objection = guard::objection(&method, &headers);
    match commands::run(&name, &arguments, method == Method::POST, objection, &*source) {
        Outcome::Reply(reply) => reply.into_response(),
        Outcome::Snapshot => {
            let asked = snapshot::Asked { caller: &caller, headers: &headers, arguments: &arguments };
            snapshots.take(&*source, &asked).await.unwrap_or_else(Reply::into_response)
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string_pretty(&self.fields).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

#[cfg(test)]
mod ensemble_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;
