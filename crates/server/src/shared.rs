//! What all threads of one server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use group::{GroupId, Token};
use state::command::Features;
use state::machine::Machine;
use state::watch::{WatchLimits, WatchTable};

use crate::audit::{AuditLog, Event};
use crate::clock::Clock;
use crate::config::{Config, Requests, ServerId};
use crate::connections::ConnectionTable;
use crate::counters::{Counts, ThreadCounts};
use crate::failed_logins::FailedLogins;
use crate::handler::Handler;
use crate::handshake_throttle::TokenBucket;
use crate::inbox::Inbox;
use crate::kerberos::Logins;
use crate::mailbox::Mailbox;
use crate::namespace::Namespace;
#[cfg(feature = "net")]
use crate::stream::{Acceptor, PeerTls};
use crate::token::thread_of;
use crate::wake::Wake;
use group::read_progress::ReadProgress;
use group::sessions::SessionTable;

/// The server as its threads see it.
///
/// Lock order: the order of the fields. A thread that holds a later lock never waits for an earlier
/// one. One that holds a lock of a namespace takes those of another only to read.
pub struct Shared {
    /// The consensus groups, by their number; the root group first.
    pub namespaces: Vec<Namespace>,
    /// Mailboxes of the connection threads, by the thread's number.
    pub mailboxes: Vec<Mailbox>,
    /// Up to which time the connection threads have read their sockets.
    pub read_progress: Arc<ReadProgress>,
    /// Living connections.
    pub connections: ConnectionTable,
    /// Work for the replication thread.
    pub inbox: Inbox,
    /// This server's id in its group, and so the home of its clients' sessions.
    pub me: ServerId,
    /// Client port; the one the system chose if 0 was configured, 0 if there is none.
    pub client_port: u16,
    /// Port of clients that speak TLS.
    pub secure_port: Option<u16>,
    /// How clients that speak TLS are accepted.
    #[cfg(feature = "net")]
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// TLS between servers.
    #[cfg(feature = "net")]
    pub(crate) peer_tls: Option<Arc<PeerTls>>,
    /// How the AdminServer accepts connections with TLS.
    #[cfg(feature = "net")]
    pub(crate) admin_tls: Option<Arc<Acceptor>>,
    /// How the port for Prometheus accepts connections with TLS.
    #[cfg(feature = "net")]
    pub(crate) metrics_tls: Option<Arc<Acceptor>>,
    /// The settings, fixed for the life of the process.
    pub config: Config,
    /// Features stamped on each batch.
    pub features: Features,
    /// Limits the rate of handshakes; `None` = no limit.
    pub handshakes: Option<TokenBucket>,
    /// Limits the rate of failed logins.
    pub failed_logins: FailedLogins,
    /// From which the nonces of SASL are made.
    pub nonce_secret: [u8; 32],
    /// Logins by Kerberos, if clients authenticate by that.
    pub kerberos: Option<Logins>,
    /// Asks the program that embeds this server.
    pub handler: Option<Handler>,
    /// The audit log, if there is one.
    pub audit: Option<AuditLog>,
    /// The server's clocks.
    pub clock: Clock,
    /// Counts of each connection thread.
    pub threads: Vec<Arc<ThreadCounts>>,
    /// Counts of the other threads.
    pub counts: Arc<Counts>,
    /// Cycles of the replication loop.
    pub cycles: AtomicU64,
    /// The replication loop has stalled for so long that clients are not served.
    pub stalled: AtomicBool,
    /// The process is stopping.
    pub stopping: AtomicBool,
}

impl Shared {
    /// Shared state of a server whose groups have these machines; one connection thread per
    /// mailbox.
    pub(crate) fn new(
        config: Config,
        clock: Clock,
        machines: Vec<Machine>,
        mailboxes: Vec<Mailbox>,
        params: ServerParams,
    ) -> Shared {
        let tick_ms = i64::from(config.tick_time_ms);
        let namespace = |(group, machine)| {
            let sessions = SessionTable::new(config.server_id, clock.wall_ms(), tick_ms);
            let watches = WatchTable::new(watch_limits(&config), params.hash_seed);
            Namespace::new(group, machine, sessions, watches)
        };
        let namespaces: Vec<Namespace> = (0..).map(GroupId).zip(machines).map(namespace).collect();
        Shared {
            read_progress: Arc::new(ReadProgress::new(mailboxes.len())),
            threads: mailboxes.iter().map(|_| Arc::new(ThreadCounts::default())).collect(),
            mailboxes,
            connections: ConnectionTable::default(),
            handshakes: config.connection.throttle.map(|rule| TokenBucket::new(rule, clock.elapsed_ms())),
            failed_logins: FailedLogins::new(config.requests.failed_logins_max),
            nonce_secret: params.nonce_secret,
            kerberos: params.kerberos,
            handler: params.handler,
            audit: params.audit,
            inbox: Inbox::new(namespaces.len(), params.waker),
            namespaces,
            me: params.me,
            client_port: params.client_port,
            secure_port: params.secure_port,
            #[cfg(feature = "net")]
            tls: params.tls,
            #[cfg(feature = "net")]
            peer_tls: params.peer_tls,
            #[cfg(feature = "net")]
            admin_tls: params.admin_tls,
            #[cfg(feature = "net")]
            metrics_tls: params.metrics_tls,
            features: features(&config.requests),
            config,
            clock,
            counts: Arc::default(),
            cycles: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }
    }

    /// The mailbox of the thread that owns this connection.
    pub fn mailbox(&self, token: Token) -> Option<&Mailbox> {
        self.mailboxes.get(thread_of(token))
    }

    /// Makes all connection threads poll their sockets soon and report up to which time they have
    /// read.
    pub fn ask_to_look(&self) {
        self.mailboxes.iter().for_each(Mailbox::ask_to_look);
    }

    /// The root group's namespace.
    pub fn root(&self) -> &Namespace {
        &self.namespaces[0]
    }

    /// The namespace of a group.
    pub fn namespace(&self, group: GroupId) -> &Namespace {
        &self.namespaces[group.index()]
    }

    /// Whether the group's clients are served.
    pub fn is_serving(&self, group: GroupId) -> bool {
        let has_stalled = self.stalled.load(Relaxed);
        self.namespace(group).flags.is_serving() && !has_stalled && !self.is_stopping()
    }

    /// Whether only the group's read-only clients are served.
    pub fn is_read_only(&self, group: GroupId) -> bool {
        self.namespace(group).flags.read_only.load(Relaxed) && !self.is_serving(group)
    }

    /// Whether a request has to wait until this member has caught up with the leader, even if its
    /// session has nothing in flight.
    pub fn has_to_catch_up(&self, opcode: i32) -> bool {
        self.config.ensemble.as_ref().is_some_and(|ensemble| {
            ensemble.linearizable_reads || opcode == wire::opcode::Opcode::Sync as i32
        })
    }

    /// All that accept connections with TLS, but for those of other servers.
    #[cfg(feature = "net")]
    pub(crate) fn acceptors(&self) -> impl Iterator<Item = &Arc<Acceptor>> {
        [&self.tls, &self.admin_tls, &self.metrics_tls].into_iter().flatten()
    }

    /// Adds an event to the audit log.
    pub(crate) fn record(&self, audit: &AuditLog, event: &Event<'_>) {
        if !audit.put(self.clock.wall_ms(), event) {
            self.counts.audit_lines_lost.fetch_add(1, Relaxed);
        }
    }

    /// Whether the process is stopping.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Whether further requests have to wait (`globalOutstandingLimit`,
    /// `request_throttle_max_requests`, `ostler.outstandingBytesMax`).
    pub fn is_throttled(&self) -> bool {
        let limits = &self.config.connection;
        let requests_max = match limits.throttle_requests_max {
            0 => limits.outstanding_requests_max,
            n => limits.outstanding_requests_max.min(n),
        };
        self.inbox.outstanding() >= requests_max as usize
            || self.inbox.outstanding_bytes() as u64 >= limits.outstanding_bytes_max
    }
}

/// Where this process runs and how it is reached.
pub(crate) struct ServerParams {
    /// The server's id in its group.
    pub(crate) me: ServerId,
    /// The port clients connect to.
    pub(crate) client_port: u16,
    /// Port of clients that speak TLS.
    pub(crate) secure_port: Option<u16>,
    /// How they are accepted.
    #[cfg(feature = "net")]
    pub(crate) tls: Option<Arc<Acceptor>>,
    /// TLS between servers.
    #[cfg(feature = "net")]
    pub(crate) peer_tls: Option<Arc<PeerTls>>,
    /// How the AdminServer accepts connections with TLS.
    #[cfg(feature = "net")]
    pub(crate) admin_tls: Option<Arc<Acceptor>>,
    /// How the port for Prometheus accepts connections with TLS.
    #[cfg(feature = "net")]
    pub(crate) metrics_tls: Option<Arc<Acceptor>>,
    /// Secret seed of hash tables; has no visible effect.
    pub(crate) hash_seed: u64,
    /// Secret from which the nonces of SASL are made.
    pub(crate) nonce_secret: [u8; 32],
    /// Logins by Kerberos.
    pub(crate) kerberos: Option<Logins>,
    /// Asks the program that embeds this server.
    pub(crate) handler: Option<Handler>,
    /// The audit log.
    pub(crate) audit: Option<AuditLog>,
    /// Wakes the replication thread.
    pub(crate) waker: Option<Arc<dyn Wake>>,
}

/// The features that a configuration turns on.
pub fn features(requests: &Requests) -> Features {
    let switches = [
        (requests.extended_types, Features::EXTENDED_TYPES),
        (requests.enforce_quota, Features::ENFORCE_QUOTA),
        (requests.skip_acl, Features::SKIP_ACL),
        (requests.keeper_extensions, Features::KEEPER_EXTENSIONS),
        (requests.reconfig, Features::RECONFIG),
        (!requests.standalone, Features::LONE_VOTER),
        (!requests.schemes.digest, Features::NO_DIGEST),
        (requests.schemes.key, Features::KEY_SCHEME),
        (requests.schemes.sasl, Features::SASL_SCHEME),
        (requests.schemes.x509, Features::X509_SCHEME),
        (requests.grants, Features::GRANTS),
    ];
    switches.iter().filter(|(on, _)| *on).fold(Features::NONE, |all, (_, feature)| all.with(*feature))
}

fn watch_limits(config: &Config) -> WatchLimits {
    let paths_max = usize::try_from(config.requests.watches_max).unwrap_or(usize::MAX);
    WatchLimits { paths_max, ..WatchLimits::NONE }
}
