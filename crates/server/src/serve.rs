//! A server from start to stop: the order in which things are opened and closed.

mod certificates;
mod ports;

use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use mio::{Poll, Waker};
use storage::disk::{Disk as _, RealDisk};

pub use self::certificates::Certificates;
use self::certificates::watch_certificates;
use self::ports::{Ports, wanted};
use crate::audit::{self, AuditLog, Event, Outcome, Sink};
use crate::client::{AcceptQueues, IoThread, PollingThread, Relay, WAKER};
use crate::clock::Clock;
use crate::config::{Config, Mechanism};
use crate::descriptors;
use crate::handler::{Handler, HandlerSettings};
use crate::host::recovery::{self, Files, RecoveryError};
use crate::host::{Fatal, Host, ReplicationLoop, keepalive};
use crate::inbox::ControlRequest;
use crate::kerberos::{Jobs, Logins};
use crate::mailbox::Mailbox;
use crate::observe::admin::{self, Acceptors, AdminServer};
use crate::observe::stats_source::Report;
use crate::peers::{Hello, Keys, Links, Me, Sasl, SharedLinks};
use crate::shared::{ServerParams, Shared, features};
use crate::stream::{Acceptor, PeerStreams, PeerTls};

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// Why a server did not start. Nothing is left running or half-done.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The client port cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address (`clientPortAddress`, `clientPort`).
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The log failed while the recovered state was being adopted.
    #[error(transparent)]
    Lead(#[from] Fatal),
    /// Clients or servers are to authenticate by Kerberos, and its library or the server's key is
    /// missing.
    #[error("cannot do what the JAAS file asks for: logins by Kerberos")]
    Kerberos(#[from] gssapi::Error),
    /// The files of TLS cannot be used.
    #[error("TLS for clients cannot be set up")]
    Tls(#[source] tls::SettingsError),
    /// Those of TLS between servers cannot.
    #[error("TLS between servers (ssl.quorum.*) cannot be set up")]
    PeerTls(#[source] tls::SettingsError),
    /// Those of TLS of the AdminServer cannot.
    #[error("TLS of the AdminServer (ssl.quorum.*) cannot be set up")]
    AdminTls(#[source] tls::SettingsError),
    /// Those of HTTPS for Prometheus cannot.
    #[error("HTTPS for Prometheus (metricsProvider.ssl.*) cannot be set up")]
    MetricsTls(#[source] tls::SettingsError),
    /// The audit log cannot be opened.
    #[error("cannot open the audit log {}: {source}", place.display())]
    Audit {
        /// Where it goes.
        place: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The system refused a thread, a poll or a signal handler.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// A running server. Dropping it without [`stop`](Server::stop) leaves it running.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    secure_address: Option<SocketAddr>,
    replication: JoinHandle<Result<(), Fatal>>,
    keepalive: Option<JoinHandle<()>>,
    io: Vec<JoinHandle<io::Result<()>>>,
    audit: Option<JoinHandle<()>>,
    admin: AdminServer,
}

impl Server {
    /// Opens the ports and the data, and serves. The ports are opened first and served last, so
    /// that a second server on the same port fails before it touches any data, and early clients
    /// wait in the backlog instead of being refused.
    ///
    /// # Errors
    /// Why it does not start. The audit log, if there is one, says that it did not.
    pub fn start(config: Config) -> Result<Server, StartError> {
        Server::start_for(config, None)
    }

    /// The same for a program that embeds the server and is asked about some of the requests: its
    /// threads have to take the tasks of `shared().handler`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_for(config: Config, handler: Option<HandlerSettings>) -> Result<Server, StartError> {
        let audit = config.audit.clone().map(|settings| (settings, audit::server_user(&config)));
        let started = Server::open(config, handler);
        if let (Err(_), Some((settings, user))) = (&started, audit) {
            audit::record_failed_start(&settings, &user, Clock::start().wall_ms());
        }
        started
    }

    fn open(config: Config, handler: Option<HandlerSettings>) -> Result<Server, StartError> {
        let system = |action| move |source| StartError::System { action, source };
        descriptors::raise_limit();
        let (acceptor, peer_tls, admin_tls) = (acceptor(&config)?, peer_tls(&config)?, admin_tls(&config)?);
        let metrics_tls = metrics_tls(&config)?;
        let Ports { mut listeners, plain, secure } = Ports::open(&config, acceptor.as_ref())?;
        let clock = Clock::start();
        let features = features(&config.requests);
        let recovered = recovery::recover(Files::real(), &config, features)?;
        let threads = thread_count(&config);
        let (audit, sink) = audit_log(&config, &clock)?.unzip();
        let (kerberos, jobs) = kerberos_logins(&config, threads)?.unzip();
        let mut polls = Vec::new();
        let mut mailboxes = Vec::new();
        for _ in 0..threads {
            let poll = Poll::new().map_err(system("create a poll"))?;
            let waker = Waker::new(poll.registry(), WAKER).map_err(system("create a waker"))?;
            polls.push(poll);
            mailboxes.push(Mailbox::new(Some(Box::new(waker))));
        }
        let recovery::Recovered { machines, parts } = recovered;
        let poll = Poll::new().map_err(system("create a poll"))?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(system("create a waker"))?);
        let links = links(&config, &parts, &poll, &waker, peer_tls.as_ref())?.map(SharedLinks::new);
        let params = ServerParams {
            me: parts.identity.server,
            client_port: plain.map_or(0, |address| address.port()),
            secure_port: secure.map(|address| address.port()),
            tls: acceptor,
            peer_tls,
            admin_tls,
            metrics_tls,
            hash_seed: RealDisk.entropy(),
            nonce_secret: random().map_err(system("get random bytes"))?,
            kerberos,
            handler: handler.map(|settings| Handler::new(settings, threads)),
            audit,
            waker: Some(waker),
        };
        let shared = Arc::new(Shared::new(config, clock, machines, mailboxes, params));
        let audit = sink.map(|sink| start_audit(&shared, sink)).transpose();
        let audit = audit.map_err(system("start a thread"))?;
        let mut host = Host::new(Arc::clone(&shared), parts, links.clone());
        host.start()?;
        shared.counts.load_time.record(shared.clock.elapsed_us());
        let replication_loop = Arc::new(ReplicationLoop::new(Arc::clone(&shared), host));
        let replication = spawn("replication", {
            let (shared, replication_loop) = (Arc::clone(&shared), Arc::clone(&replication_loop));
            move || {
                let ended = replication_loop.run(poll);
                shared.begin_stop();
                ended
            }
        })
        .map_err(system("start a thread"))?;
        if let Some(jobs) = jobs {
            start_kerberos(&shared, jobs).map_err(system("start a thread"))?;
        }
        let keepalive = links.map(|links| start_keepalive(&shared, links)).transpose();
        let keepalive = keepalive.map_err(system("start a thread"))?;
        let mut io = Vec::new();
        let relay = Arc::new(Relay::new(&shared));
        let accept_queues = Arc::new(AcceptQueues::new(polls.len()));
        for (number, poll) in polls.into_iter().enumerate() {
            let thread = PollingThread::new(
                IoThread::new(number, Arc::clone(&shared)),
                poll,
                std::mem::take(&mut listeners),
                Arc::clone(&accept_queues),
                replication_loop.clone(),
            )
            .map_err(system("listen"))?;
            let relay = Arc::clone(&relay);
            let run = move || relay.run(Some(Box::new(thread)));
            io.push(spawn(&format!("clients-{number}"), run).map_err(system("start a thread"))?);
        }
        if let Some(watching) = watch_certificates(&shared) {
            io.push(watching.map_err(system("start a thread"))?);
        }
        let spare = move || relay.run(None);
        io.push(spawn("clients-spare", spare).map_err(system("start a thread"))?);
        let acceptors = Acceptors { commands: shared.admin_tls.clone(), metrics: shared.metrics_tls.clone() };
        let admin = admin::start(Arc::new(Report::new(&shared)), acceptors);
        let (admin, unavailable) = admin.map_err(system("start the AdminServer"))?;
        for service in unavailable {
            tracing::warn!("{service}");
        }
        let address = plain.or(secure).unwrap_or_else(|| wanted(&shared.config.listen));
        let secure_address = secure;
        shared.record_own("serverStart", Outcome::Success);
        Ok(Server { shared, address, secure_address, replication, keepalive, io, audit, admin })
    }

    /// Where clients connect; with TLS, if there is no port without.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients connect with TLS only.
    pub fn secure_address(&self) -> Option<SocketAddr> {
        self.secure_address
    }

    /// A handle that makes the server read its certificates again, from any thread; `None` without
    /// TLS.
    pub fn certificates(&self) -> Option<Certificates> {
        let has_tls = self.shared.peer_tls.is_some() || self.shared.acceptors().next().is_some();
        has_tls.then(|| Certificates(Arc::clone(&self.shared)))
    }

    /// Where the AdminServer listens; `None` if it is off or its port is taken.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.address
    }

    /// State that the server's threads share; for observers.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A handle that asks the server to stop, from any thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Waits until the server has stopped, because it was asked to or because it failed.
    ///
    /// # Errors
    /// Why it failed. Nothing that was not durable has been acknowledged.
    pub fn wait(self) -> Result<(), Fatal> {
        let ended = self.replication.join();
        drop(self.admin);
        if let Some(thread) = self.keepalive {
            thread.thread().unpark();
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        for thread in self.io {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(e)) => tracing::error!("a connection thread ended: {e}"),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        if let (Some(audit), Some(_)) = (&self.shared.audit, self.audit) {
            self.shared.record_own("serverStop", Outcome::Invoked);
            audit.finish();
        }
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Asks a server to stop.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Accepted requests are answered, then the server ends. Sessions are not closed: clients can
    /// resume them.
    pub fn stop(&self) {
        self.0.inbox.ask(ControlRequest::Stop);
    }
}

impl Shared {
    /// Adds an event of the server itself to the audit log.
    fn record_own(&self, operation: &'static str, outcome: Outcome) {
        if let Some(audit) = &self.audit {
            let user = Some(audit.server_user());
            self.record(audit, &Event { user, ..Event::new(operation, outcome) });
        }
    }

    /// Ends the connection threads.
    fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(handler) = &self.handler {
            handler.stop();
        }
        for mailbox in &self.mailboxes {
            mailbox.alarm();
        }
    }
}

/// The links to the other servers of the ensemble; `None` without an ensemble.
fn links(
    config: &Config,
    parts: &recovery::RecoveredParts,
    poll: &Poll,
    waker: &Arc<Waker>,
    tls: Option<&Arc<PeerTls>>,
) -> Result<Option<Links>, StartError> {
    let Some(ensemble) = &config.ensemble else { return Ok(None) };
    let system = |action| move |source| StartError::System { action, source };
    let registry = poll.registry().try_clone().map_err(system("share a poll"))?;
    let mut listen = Vec::new();
    for (host, port) in &ensemble.members[&config.server_id].addresses {
        if ensemble.listen_on_all_ips {
            listen.push(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), *port));
            continue;
        }
        let resolved = (host.as_str(), *port).to_socket_addrs();
        listen.extend(resolved.map_err(system("find this server's own address (server.N)"))?);
    }
    listen.sort();
    listen.dedup();
    let hello = Hello { cluster: parts.identity.cluster, engine: ensemble.engine, boot: parts.identity.boot };
    let keys = Keys {
        secret: ensemble.secret.clone(),
        is_secret_required: ensemble.secret.is_some() && ensemble.is_secret_required,
        cluster: parts.identity.key,
        disk: parts.identity.nonce,
    };
    let is_local = listen.iter().all(|address| address.ip().is_loopback());
    if !is_local && keys.secret.is_none() && !identifies_all(config, tls) {
        tracing::warn!(
            "ostler.quorumSecretFile is not set: members prove to each other that they are members, but a server that is new or has lost \
             its disk is identified by its address alone. Give all servers a secret, or certificates (sslQuorum), or passwords or tickets \
             (quorum.auth.*), or keep the quorum ports in a private network"
        );
    }
    let me = Me { server: parts.identity.server, hello, keys };
    let streams = tls.map_or(PeerStreams::Plain, |tls| PeerStreams::Tls(Arc::clone(tls)));
    let mut links = Links::new(registry, me, &ensemble.members, &listen, 0, Arc::clone(waker), streams)
        .map_err(system(
            "listen for the other servers at this server's own address (server.N; see quorumListenOnAllIPs)",
        ))?;
    if config.requests.reconfig {
        links.admit_nonmembers();
    }
    if let Some(sasl) = &config.quorum_sasl {
        links.authenticate(Sasl::new(sasl, Arc::clone(waker))?);
    }
    Ok(Some(links))
}

/// Whether every server that this one talks to has proven who it is otherwise than by a secret.
fn identifies_all(config: &Config, tls: Option<&Arc<PeerTls>>) -> bool {
    let by_sasl = config.quorum_sasl.as_ref().is_some_and(|sasl| sasl.is_dialled && sasl.is_required);
    by_sasl || tls.is_some_and(|tls| tls.identifies_all())
}

/// Starts the thread that sends keepalives while the disk stalls.
fn start_keepalive(shared: &Arc<Shared>, links: SharedLinks) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    spawn("keepalive", move || {
        if let Some(ensemble) = &shared.config.ensemble {
            keepalive::watch(&shared, ensemble, &links);
        }
    })
}

/// Loads what logins by Kerberos need, if clients authenticate by that.
fn kerberos_logins(config: &Config, threads: usize) -> Result<Option<(Logins, Jobs)>, StartError> {
    match config.requests.sasl.as_ref().map(|sasl| &sasl.mechanism) {
        Some(Mechanism::Kerberos(key)) => Ok(Some(Logins::new(key, threads)?)),
        Some(Mechanism::DigestMd5(_)) | None => Ok(None),
    }
}

/// The audit log, and where its thread will write; `None` without `audit.enable`.
fn audit_log(config: &Config, clock: &Clock) -> Result<Option<(AuditLog, Sink)>, StartError> {
    let Some(settings) = &config.audit else { return Ok(None) };
    let place = audit::name_of(&settings.place).to_owned();
    let sink = Sink::open(settings, clock.wall_ms());
    let sink = sink.map_err(|source| StartError::Audit { place, source })?;
    Ok(Some((AuditLog::new(settings, audit::server_user(config)), sink)))
}

/// Starts the thread that writes the audit log.
fn start_audit(shared: &Arc<Shared>, sink: Sink) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    spawn("audit", move || {
        if let Some(audit) = &shared.audit {
            audit.run(sink, &shared.counts.audit_lines_lost, || shared.clock.wall_ms());
        }
    })
}

/// Nobody waits for this thread: what it works on concerns connections that have ended by then.
fn start_kerberos(shared: &Arc<Shared>, jobs: Jobs) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    spawn("kerberos", move || {
        if let Some(logins) = &shared.kerberos {
            logins.run(&jobs, &shared.mailboxes, || shared.is_stopping());
        }
    })
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Number of connection threads: half of the processors; the other half orders, flushes and
/// applies.
fn thread_count(config: &Config) -> usize {
    match config.io_threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2)).min(64),
        n => usize::from(n),
    }
}

/// How clients that speak TLS are accepted; `None` without TLS.
fn acceptor(config: &Config) -> Result<Option<Arc<Acceptor>>, StartError> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let acceptor = Acceptor::new(tls.settings.clone(), tls.checks_hosts, tls.handshakes_max);
    Ok(Some(Arc::new(acceptor.map_err(StartError::Tls)?)))
}

/// TLS between servers; `None` without.
fn peer_tls(config: &Config) -> Result<Option<Arc<PeerTls>>, StartError> {
    let tls = config.quorum_tls.clone().map(PeerTls::new).transpose();
    Ok(tls.map_err(StartError::PeerTls)?.map(Arc::new))
}

/// How the port for Prometheus accepts connections with TLS; `None` if it does not.
fn metrics_tls(config: &Config) -> Result<Option<Arc<Acceptor>>, StartError> {
    let Some(tls) = config.metrics.as_ref().and_then(|metrics| metrics.tls.as_ref()) else { return Ok(None) };
    let acceptor = Acceptor::new(tls.settings.clone(), false, None);
    Ok(Some(Arc::new(acceptor.map_err(StartError::MetricsTls)?)))
}

/// How the AdminServer accepts connections with TLS; `None` if it does not.
fn admin_tls(config: &Config) -> Result<Option<Arc<Acceptor>>, StartError> {
    let Some(tls) = &config.admin_tls else { return Ok(None) };
    // The number of handshakes is bounded by that of connections with a request still to send.
    let acceptor = Acceptor::new(tls.settings.clone(), false, None);
    Ok(Some(Arc::new(acceptor.map_err(StartError::AdminTls)?)))
}
