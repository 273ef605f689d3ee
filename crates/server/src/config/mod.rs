//! The configuration: ZooKeeper's zoo.cfg, overrides in the style of system properties, and `myid`,
//! as one typed value.
//!
//! Later sources win: zoo.cfg (and the dynamic file it names), then `-Dkey=value`, then the command
//! line's own options. (In ZooKeeper a zoo.cfg key that is also a system property wins over `-D`;
//! here the command line always wins over the file.) Loading has no side effects: it starts
//! nothing, creates nothing and prints nothing. It returns either a whole [`Config`] with warnings
//! to log, or a [`ConfigError`] that lists all errors.

#[cfg(feature = "net")]
mod admin_tls;
mod audit;
mod authentication;
mod ensemble;
mod fields;
mod java;
mod key_files;
pub mod keys;
pub mod limits;
mod loader;
mod memory;
mod metrics;
mod problem;
pub mod properties;
mod quorum_sasl;
#[cfg(feature = "net")]
mod quorum_tls;
mod secret;
mod settings;
#[cfg(feature = "net")]
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

#[cfg(feature = "net")]
pub use self::admin_tls::AdminTls;
pub use self::audit::{Audit, AuditPlace};
pub use self::metrics::Metrics;
#[cfg(feature = "net")]
pub use self::metrics::MetricsTls;
pub use self::quorum_sasl::{QuorumLogin, QuorumSasl};
#[cfg(feature = "net")]
pub use self::quorum_tls::QuorumTls;
#[cfg(feature = "net")]
pub use self::tls::{SecurePort, Tls};
pub use ensemble::Ensemble;
pub use group::settings::EngineKind;
pub use loader::{CommandLine, Loaded, Outside, RealOutside, load, load_with};
pub use problem::{ConfigError, Problem, Warning};
pub use sasl::Secret;
pub use sasl::kerberos::Naming;
pub use secret::QuorumSecret;
pub use state::members::{Member, SERVER_ID_MAX, ServerId, Servers};
pub use state::password_hash::PasswordHash;

/// All settings. Zero means "no limit" only where a field says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The zoo.cfg it was read from; `None` when the server runs on its defaults (and then listens
    /// on loopback only).
    pub file: Option<PathBuf>,
    /// The settings as written, in order of key, without passwords: for AdminServer's
    /// `initial_configuration` and for the log.
    pub settings: Vec<(String, String)>,
    /// `myid`, or else the number of the only `server.N`, or 0. Its lowest byte is the top byte of
    /// new session ids.
    pub server_id: ServerId,
    /// The server's ensemble; `None` for a standalone server.
    pub ensemble: Option<Ensemble>,
    /// Length of a tick in ms (`tickTime`): the granularity of session expiry.
    pub tick_time_ms: u32,
    /// The client port.
    pub listen: Listen,
    /// TLS for clients; `None` without `secureClientPort` and `client.portUnification`.
    #[cfg(feature = "net")]
    pub tls: Option<Tls>,
    /// TLS between servers; `None` without `sslQuorum` and `portUnification`.
    #[cfg(feature = "net")]
    pub quorum_tls: Option<QuorumTls>,
    /// SASL between servers; `None` without `quorum.auth.enableSasl`.
    pub quorum_sasl: Option<QuorumSasl>,
    /// Sessions.
    pub session: Session,
    /// Bounds on connections and on what they may have in flight.
    pub connection: Connection,
    /// Files.
    pub storage: Storage,
    /// What requests may do.
    pub requests: Requests,
    /// Removal of containers and TTL nodes.
    pub containers: Containers,
    /// Four-letter words that are answered (`4lw.commands.whitelist`).
    pub words: WordList,
    /// The AdminServer; `None` with `admin.enableServer=false`.
    pub admin: Option<Admin>,
    /// TLS of the AdminServer; `None` without `admin.portUnification` and `admin.forceHttps`.
    #[cfg(feature = "net")]
    pub admin_tls: Option<AdminTls>,
    /// Ports for Prometheus alone, as ZooKeeper's PrometheusMetricsProvider has them; `None` unless
    /// `metricsProvider.className` names that class. (The AdminServer has `/metrics` in any case.)
    pub metrics: Option<Metrics>,
    /// The audit log; `None` unless `audit.enable=true`.
    pub audit: Option<Audit>,
    /// Threads that serve connections (`ostler.ioThreads`); 0 = half as many as there are
    /// processors.
    pub io_threads: u16,
    /// Consensus groups of this server (`ostler.testGroups`), at least 1. Each beside the root
    /// group has a namespace of its own, for tests and benchmarks.
    pub groups: u16,
}

/// The client port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// `clientPortAddress`. The unspecified `::` means all addresses of both families, as in Java:
    /// listen dual-stack, and on `0.0.0.0` if the system has no IPv6.
    pub address: IpAddr,
    /// `clientPort`; 0 = a free one chosen by the system.
    pub port: u16,
    /// `clientPortListenBacklog`: connections the system keeps waiting for `accept`.
    pub backlog: u32,
}

/// Sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// `minSessionTimeout`; requested timeouts are raised to this.
    pub timeout_ms_min: u32,
    /// `maxSessionTimeout`; requested timeouts are lowered to this. Invariant: at least
    /// `timeout_ms_min`.
    pub timeout_ms_max: u32,
    /// `ostler.sessionPasswords`.
    pub passwords: SessionPasswords,
    /// `ostler.sessionsMax`: sessions that may exist, connected or not.
    pub count_max: u64,
}

/// How session passwords are derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPasswords {
    /// From a secret of this data directory: only the client that opened a session can resume it.
    Secret,
    /// As in ZooKeeper, from the session id alone: sessions migrated from ZooKeeper can be resumed,
    /// and guessed.
    ZooKeeper,
}

/// Bounds on connections and on what they may have in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// `maxCnxns`: connections in all; 0 = no limit.
    pub count_max: u32,
    /// `maxClientCnxns`: connections of one client address; 0 = no limit.
    pub per_address_max: u32,
    /// `nio.sessionlessCnxnTimeout`: how long a connection may stay without a session, in ms.
    pub handshake_timeout_ms: u32,
    /// `ssl.handshakeDetectionTimeoutMillis`: how long the handshake of TLS may take, in ms.
    pub tls_handshake_timeout_ms: u32,
    /// `globalOutstandingLimit`: requests received and not answered, of all connections; above it
    /// sockets are not read.
    pub outstanding_requests_max: u32,
    /// `request_throttle_max_requests` (the manual's requestThrottleLimit): requests in processing;
    /// 0 = no limit.
    pub throttle_requests_max: u32,
    /// `ostler.outstandingBytesMax`: bytes of requests received and not answered; above it sockets
    /// are not read.
    pub outstanding_bytes_max: u64,
    /// `ostler.outputBytesPerConnectionMax`: bytes queued for a slow reader, above which it is
    /// disconnected. One reply may be larger.
    pub output_bytes_max: u64,
    /// Bytes queued for a slow reader, above which no more of its requests are served; fixed.
    pub output_pause_bytes: usize,
    /// `ostler.outputBytesMax`: bytes queued for all slow readers together, above which those with
    /// the largest share are disconnected.
    pub total_output_bytes_max: u64,
    /// `ostler.replyBytesMax`: bytes of one reply; a read that would have a longer one is refused.
    pub reply_bytes_max: u32,
    /// `jute.maxbuffer`: bytes of one request; a longer frame closes the connection.
    pub request_bytes_max: u32,
    /// `largeRequestThreshold`: a request of more bytes counts as large; `None` = none does.
    pub large_request_bytes_min: Option<u32>,
    /// `largeRequestMaxBytes`: bytes of all large requests in flight; one more closes its
    /// connection.
    pub large_requests_bytes_max: u64,
    /// `throttled_op_wait_time`: a request that the throttle held back for longer (ms) is answered
    /// ThrottledOp; `None` = never.
    pub throttled_wait_ms_max: Option<u32>,
    /// `connection_throttle_*`: rate limit of new sessions; `None` = no limit.
    pub throttle: Option<ConnectionThrottle>,
}

/// A token bucket: a new session takes one token; without one its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionThrottle {
    /// `connection_throttle_tokens`: capacity of the bucket.
    pub tokens_max: u32,
    /// `connection_throttle_fill_time`: ms between two fillings.
    pub fill_interval_ms: u32,
    /// `connection_throttle_fill_count`: tokens of one filling.
    pub fill_tokens: u32,
}

/// Files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// `dataDir`: snapshots and `myid`.
    pub data_dir: PathBuf,
    /// `dataLogDir`: the log; the same as `data_dir` unless set.
    pub log_dir: PathBuf,
    /// `db.autocreate`: whether a standalone server without data starts with an empty tree.
    pub create_data: bool,
    /// `datadir.autocreate`: whether missing directories are created.
    pub create_dirs: bool,
    /// `forceSync`: whether a write is acknowledged only after it is on the disk. `false` can lose
    /// acknowledged writes.
    pub force_sync: bool,
    /// `fsync.warningthresholdms`: a flush that takes longer is logged.
    pub flush_warning_ms: u32,
    /// `preAllocSize` (KiB there): bytes of a log segment.
    pub segment_bytes: u64,
    /// Bytes of a snapshot sent per message; not configurable.
    pub snapshot_piece_bytes: usize,
    /// `snapCount`: commands between two snapshots, at least 2. As in ZooKeeper, the actual number
    /// is random between half of it and all of it.
    pub snapshot_commands: u64,
    /// `snapSizeLimitInKb`, or `txnLogSizeLimitInKb` when smaller: bytes of log between two
    /// snapshots; `None` = no limit.
    pub snapshot_log_bytes: Option<u64>,
    /// `autopurge.snapRetainCount`: snapshots that are kept, with the log since the oldest; at
    /// least 3.
    pub snapshots_kept: u32,
    /// `autopurge.purgeInterval`: hours between purges; `None` = never.
    pub purge_interval_hours: Option<u32>,
}

/// What requests may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requests {
    /// `skipACL`: whether all ACL checks are skipped.
    pub skip_acl: bool,
    /// `enforceQuota`: whether hard quotas refuse writes.
    pub enforce_quota: bool,
    /// `extendedTypesEnabled`: whether TTL nodes can be created. Invariant: then `server_id` is at
    /// most 254.
    pub extended_types: bool,
    /// `readonlymode.enabled`: whether a server that is cut off from its ensemble serves read-only
    /// clients. It also allows the word `isro`.
    pub read_only_mode: bool,
    /// `reconfigEnabled`: whether the members can be changed at run time. All servers must agree on
    /// it.
    pub reconfig: bool,
    /// `standaloneEnabled`: whether a single `server.N` means a standalone server, and an ensemble
    /// must keep at least two voters. If not, a server with one `server.N` is an ensemble that can
    /// grow.
    pub standalone: bool,
    /// `ostler.grants`: whether the super user can put grants in force.
    pub grants: bool,
    /// `ostler.keeperExtensions`: whether opcodes 500 to 507 and the nodes under /keeper exist.
    pub keeper_extensions: bool,
    /// The authentication schemes of clients.
    pub schemes: Schemes,
    /// `DigestAuthenticationProvider.superDigest`: `super:` and base64 of the digest; `None` =
    /// there is no super user.
    pub super_digest: Option<String>,
    /// SASL for clients; `None` = the JAAS file has no section for it, or there is no file.
    pub sasl: Option<Sasl>,
    /// A client must have an identity of one of these schemes before it may do anything
    /// (`sessionRequireClientSASLAuth`, `enforce.auth.schemes`); `None` = it need not.
    pub enforced_schemes: Option<Vec<String>>,
    /// `ostler.failedLoginsPerMinute`: failed logins of one address in a minute, above which
    /// further ones are refused unchecked; 0 = no limit.
    pub failed_logins_max: u32,
    /// `X509AuthenticationProvider.superUser`: the subject of the super user's certificate.
    pub x509_super: Option<String>,
    /// `ostler.watchesMax`: watches of all connections.
    pub watches_max: u64,
}

/// The authentication schemes that can be switched on and off (`authProvider.N` names one of
/// ZooKeeper's classes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schemes {
    /// `digest`, on unless `DigestAuthenticationProvider.enabled=false`.
    pub digest: bool,
    /// `DigestAuthenticationProvider.digestAlg`: the hash in the ids of `digest`.
    pub digest_hash: PasswordHash,
    /// `sasl`: ACLs may name identities proven by SASL.
    pub sasl: bool,
    /// `x509`: the subject of the certificate that a client has proven; on with TLS.
    pub x509: bool,
    /// `key`: a number that is a multiple of the one in the znode /key.
    pub key: bool,
    /// `ensemble`: a client that expects another ensemble is disconnected.
    pub ensemble: bool,
    /// `ensembleAuthName`: the names of this ensemble; `None` = any.
    pub ensemble_names: Option<Vec<String>>,
}

impl Default for Schemes {
    fn default() -> Schemes {
        Schemes {
            digest: true,
            digest_hash: PasswordHash::default(),
            sasl: false,
            x509: false,
            key: false,
            ensemble: false,
            ensemble_names: None,
        }
    }
}

impl Schemes {
    /// Whether the scheme has a provider.
    pub fn has(&self, scheme: &str) -> bool {
        match scheme {
            "ip" => true,
            "digest" => self.digest,
            "sasl" => self.sasl,
            "key" => self.key,
            "ensemble" => self.ensemble,
            _ => false,
        }
    }
}

/// A mechanism of SASL. As in ZooKeeper, a server has one, which follows from the login module in
/// the JAAS file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mechanism {
    /// DIGEST-MD5, with users and their passwords (`user_NAME`).
    DigestMd5(Vec<(String, Secret)>),
    /// GSSAPI with Kerberos.
    Kerberos(KerberosKey),
}

/// Where the service's key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KerberosKey {
    /// `keyTab`: the key table; `None` = that of the system.
    pub keytab: Option<String>,
    /// `principal`: the name of the service, with its realm.
    pub principal: String,
}

/// Authentication of clients by SASL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How clients prove their names.
    pub mechanism: Mechanism,
    /// How the names that clients prove become identities.
    pub naming: Naming,
    /// `superUser` and `superUser.*`: identities that pass every check.
    pub super_users: Vec<String>,
    /// `allowSaslFailedClients`: a client that fails keeps its connection, unauthenticated.
    pub keep_failed: bool,
}

/// Removal of containers and TTL nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Containers {
    /// `znode.container.checkIntervalMs`.
    pub check_interval_ms: u32,
    /// `znode.container.maxPerMinute`.
    pub per_minute_max: u32,
    /// `znode.container.maxNeverUsedIntervalMs`: age in ms at which a container that never had a
    /// child is removed; `None` = never.
    pub never_used_ms_max: Option<u64>,
}

/// The four-letter words that are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordList {
    /// `*`.
    All,
    /// These, as written; unknown words are harmless.
    Only(Vec<String>),
}

/// The AdminServer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `admin.serverAddress` and `admin.serverPort`. Unlike ZooKeeper's, it is on loopback unless
    /// an address is set, because it has no password.
    pub address: SocketAddr,
    /// `admin.commandURL`: prefix of the command paths; starts with `/` and does not end with it.
    pub command_url: String,
    /// `ostler.adminHosts` and `admin.serverAddress`: the host names under which requests may
    /// address this server; `*` = any.
    pub hosts: Vec<String>,
    /// `admin.snapshot.enabled`: whether clients may take snapshots.
    pub snapshots: bool,
    /// `admin.rateLimiterIntervalInMS`: ms between two snapshots that clients take; 0 = no limit.
    pub snapshot_interval_ms: u32,
    /// `IPAuthenticationProvider.usexforwardedfor`: a client's address is the first one in the
    /// header `X-Forwarded-For`, if there is one.
    pub trusts_forwarded_for: bool,
}

#[cfg(test)]
mod compatibility;
#[cfg(test)]
mod tests;
