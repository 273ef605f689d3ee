//! Every known key, and its effect.
//!
//! The loader uses, accepts or refuses keys by this list, and the zoo.cfg table of COMPATIBILITY.md
//! is tested against it. Names are those of zoo.cfg; as a system property the same key may have the
//! prefix `zookeeper.`.

use super::java;

/// How a key is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It fills a field of [`super::Config`].
    Used,
    /// It is accepted and has no effect, for this reason.
    WithoutEffect(&'static str),
    /// It stops the start if it asks for something that would have an effect in ZooKeeper, because
    /// going on without it would be unsafe or useless.
    Refused {
        /// The values that ask for something.
        asks: Asks,
        /// Where they would have an effect.
        counts: Counts,
        /// What is missing, and what to do.
        reason: &'static str,
    },
}

/// The values with which a key asks for a missing feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Any value.
    Always,
    /// `true` in any case, as Java reads its system properties.
    True,
    /// Any value except these, ignoring case.
    Unless(&'static [&'static str]),
    /// Any value except this number.
    UnlessNumber(i32),
    /// A number above 0, or text that is not a number.
    AboveZero,
}

impl Asks {
    /// Whether this value asks for something.
    pub fn by(self, value: &str) -> bool {
        match self {
            Asks::Always => true,
            Asks::True => value.eq_ignore_ascii_case("true"),
            Asks::Unless(harmless) => !harmless.iter().any(|text| text.eq_ignore_ascii_case(value)),
            Asks::UnlessNumber(number) => java::parse_int(value) != Some(number),
            Asks::AboveZero => java::parse_int(value).is_none_or(|number| number > 0),
        }
    }
}

/// Where a refused key would have an effect in ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// Everywhere.
    Everywhere,
    /// In an ensemble.
    InEnsembles,
    /// With TLS for clients.
    WithTls,
    /// With TLS between servers.
    WithQuorumTls,
}

/// A key, or all keys with a prefix if it ends in `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name in zoo.cfg.
    pub name: &'static str,
    /// How it is treated.
    pub support: Support,
}

/// The entry for a name of zoo.cfg; the longest match wins, so that `ssl.quorum.*` may differ from
/// `ssl.*`.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter()
        .filter(|key| match key.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix) && name.len() > prefix.len(),
            None => key.name == name,
        })
        .max_by_key(|key| key.name.len())
}

/// Names in ZooKeeper's manual whose system property is spelled differently.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    ("requestStaleConnectionCheck", "request_stale_connection_check"),
    ("superDigest", "DigestAuthenticationProvider.superDigest"),
];

const fn used(name: &'static str) -> Key {
    Key { name, support: Support::Used }
}

const fn without_effect(name: &'static str, reason: &'static str) -> Key {
    Key { name, support: Support::WithoutEffect(reason) }
}

const fn refused(name: &'static str, asks: Asks, counts: Counts, reason: &'static str) -> Key {
    Key { name, support: Support::Refused { asks, counts, reason } }
}

pub(super) const TLS_IS_OFF: &str = "TLS is off";
const NO_CLASSES: &str = "Java classes cannot be loaded; name key and trust stores instead";
const NO_REVOCATION: &str =
    "revocation between servers is not supported; give all servers a new authority instead";
const ONE_VOTE: &str = "every participant has one vote; remove the group and weight entries";
const OWN_REPLICATION: &str = "servers replicate by a protocol of their own, which has no such setting";
const NO_JVM: &str = "there is no Java virtual machine";
const OWN_IO: &str = "connections are served by ostler.ioThreads threads";
const GROUP_COMMIT: &str = "a flush covers all waiting writes, without a timer";
const OWN_STORAGE: &str = "log and snapshots have a format of their own";
const OWN_WATCHES: &str = "there is one watch table, which cleans up at once";
const OWN_CACHE: &str = "replies are encoded fast enough to need no cache";
const OWN_THROTTLE: &str =
    "only the token bucket of connection_throttle_tokens, _fill_time and _fill_count is supported";
const CLIENT_SIDE: &str = "it is a setting of the Java client";
const TEST_ONLY: &str = "it exists for ZooKeeper's own tests";

/// All known keys, by area as in ZooKeeper's manual.
pub const KEYS: &[Key] = &[
    // Basic.
    used("clientPort"),
    used("clientPortAddress"),
    used("clientPortListenBacklog"),
    used("dataDir"),
    used("dataLogDir"),
    used("dynamicConfigFile"),
    used("server.*"),
    used("tickTime"),
    without_effect("version", "it numbers the member list of a dynamic configuration file"),
    // Sessions.
    used("maxSessionTimeout"),
    used("minSessionTimeout"),
    without_effect("closeSessionTxn.enabled", "closing a session is always one logged command"),
    without_effect("localSessionsEnabled", "every session is global, which does all a local one does"),
    without_effect(
        "localSessionsUpgradingEnabled",
        "every session is global, which does all a local one does",
    ),
    // Connections.
    used("connection_throttle_fill_count"),
    used("connection_throttle_fill_time"),
    used("connection_throttle_tokens"),
    used("globalOutstandingLimit"),
    used("largeRequestMaxBytes"),
    used("largeRequestThreshold"),
    used("maxClientCnxns"),
    used("maxCnxns"),
    used("nio.sessionlessCnxnTimeout"),
    used("request_throttle_max_requests"),
    used("throttled_op_wait_time"),
    without_effect("connection_throttle_decrease_ratio", OWN_THROTTLE),
    without_effect("connection_throttle_drop_decrease", OWN_THROTTLE),
    without_effect("connection_throttle_drop_increase", OWN_THROTTLE),
    without_effect("connection_throttle_freeze_time", OWN_THROTTLE),
    without_effect("connection_throttle_global_session_weight", OWN_THROTTLE),
    without_effect("connection_throttle_local_session_weight", OWN_THROTTLE),
    without_effect("connection_throttle_renew_session_weight", OWN_THROTTLE),
    without_effect("connection_throttle_weight_enabled", OWN_THROTTLE),
    without_effect("intBufferStartingSizeBytes", OWN_IO),
    without_effect("maxGetChildrenResponseCacheSize", OWN_CACHE),
    without_effect("maxResponseCacheSize", OWN_CACHE),
    without_effect("netty.*", OWN_IO),
    used("netty.server.outstandingHandshake.limit"),
    without_effect("nio.directBufferBytes", OWN_IO),
    without_effect("nio.numSelectorThreads", OWN_IO),
    without_effect("nio.numWorkerThreads", OWN_IO),
    without_effect("nio.shutdownTimeout", OWN_IO),
    without_effect("request_stale_connection_check", "requests of a closed connection are always dropped"),
    without_effect("request_stale_latency_check", "no request is dropped for its age"),
    without_effect("request_throttle_drop_stale", "requests of a closed connection are always dropped"),
    without_effect("request_throttle_stall_time", "a stalled connection wakes as soon as there is room"),
    without_effect("request_throttler.shutdownTimeout", "requests are answered or refused before the stop"),
    without_effect("serverCnxnFactory", "there is one implementation of connections"),
    without_effect("tcpKeepAlive", "connections between servers always have it"),
    // Storage.
    used("autopurge.purgeInterval"),
    used("autopurge.snapRetainCount"),
    used("datadir.autocreate"),
    used("db.autocreate"),
    used("forceSync"),
    used("fsync.warningthresholdms"),
    used("preAllocSize"),
    used("snapCount"),
    used("snapSizeLimitInKb"),
    used("txnLogSizeLimitInKb"),
    without_effect("commitLogCount", OWN_REPLICATION),
    without_effect("digest.enabled", OWN_STORAGE),
    without_effect("flushDelay", GROUP_COMMIT),
    without_effect("maxBatchSize", GROUP_COMMIT),
    without_effect("maxWriteQueuePollTime", GROUP_COMMIT),
    without_effect("serializeLastProcessedZxid.enabled", "every snapshot carries its exact zxid"),
    without_effect("snapshot.compression.method", "every snapshot is compressed with zstd"),
    without_effect("snapshot.trust.empty", OWN_STORAGE),
    without_effect("snapshotSizeFactor", OWN_REPLICATION),
    // Requests and features.
    used("4lw.commands.whitelist"),
    used("enforceQuota"),
    used("extendedTypesEnabled"),
    used("jute.maxbuffer"),
    used("readonlymode.enabled"),
    used("reconfigEnabled"),
    used("skipACL"),
    used("standaloneEnabled"),
    used("znode.container.checkIntervalMs"),
    used("znode.container.maxNeverUsedIntervalMs"),
    used("znode.container.maxPerMinute"),
    without_effect("bitHashCacheSize", OWN_WATCHES),
    without_effect("commitProcessor.*", "commands are applied by one thread"),
    without_effect("emulate353TTLNodes", "it concerns reading the data of ZooKeeper 3.5.3"),
    without_effect("enableEagerACLCheck", "ACLs are checked when a request is applied"),
    without_effect("jute.maxbuffer.extrasize", "requests and log records have separate limits"),
    without_effect("maxInProcessingDeadWatchers", OWN_WATCHES),
    without_effect("messageTracker.*", OWN_REPLICATION),
    without_effect("pathStats.*", "requests are not counted per path"),
    without_effect("watchManagerName", OWN_WATCHES),
    without_effect("watcherCleanIntervalInSeconds", OWN_WATCHES),
    without_effect("watcherCleanThreadsNum", OWN_WATCHES),
    without_effect("watcherCleanThreshold", OWN_WATCHES),
    // Security.
    used("DigestAuthenticationProvider.enabled"),
    used("DigestAuthenticationProvider.superDigest"),
    used("DigestAuthenticationProvider.digestAlg"),
    used("SASLAuthenticationProvider.superPassword"),
    used("allowSaslFailedClients"),
    used("authProvider.*"),
    used("ensembleAuthName"),
    used("audit.enable"),
    used("audit.impl.class"),
    used("client.portUnification"),
    used("enforce.auth.enabled"),
    used("enforce.auth.schemes"),
    used("java.security.auth.login.config"),
    used("kerberos.removeHostFromPrincipal"),
    used("kerberos.removeRealmFromPrincipal"),
    used("sasl.serverconfig"),
    used("security.auth_to_local"),
    used("sessionRequireClientSASLAuth"),
    used("superUser"),
    used("superUser.*"),
    used("quorum.auth.enableSasl"),
    used("quorum.auth.kerberos.servicePrincipal"),
    used("quorum.auth.learner.saslLoginContext"),
    used("quorum.auth.learnerRequireSasl"),
    used("quorum.auth.server.saslLoginContext"),
    used("quorum.auth.serverRequireSasl"),
    used("secureClientPort"),
    used("secureClientPortAddress"),
    without_effect("ssl.*", "ZooKeeper 3.9 has no such setting"),
    without_effect("ssl.allowReverseDnsLookup", "names are never looked up by their addresses"),
    used("ssl.authProvider"),
    used("ssl.ciphersuites"),
    used("ssl.clientAuth"),
    used("ssl.clientHostnameVerification"),
    refused("ssl.context.supplier.class", Asks::Unless(&[""]), Counts::WithTls, NO_CLASSES),
    used("ssl.crl"),
    used("ssl.enabledProtocols"),
    used("ssl.handshakeDetectionTimeoutMillis"),
    used("ssl.hostnameVerification"),
    used("ssl.keyStore.location"),
    used("ssl.keyStore.password"),
    used("ssl.keyStore.passwordPath"),
    used("ssl.keyStore.type"),
    refused(
        "ssl.ocsp",
        Asks::True,
        Counts::WithTls,
        "OCSP is not supported; use ssl.crl with ostler.ssl.crlFile",
    ),
    used("ssl.protocol"),
    without_effect("ssl.sslProvider", "TLS is that of rustls"),
    without_effect("ssl.tcnative.ocsp", "TLS is that of rustls"),
    used("ssl.trustStore.location"),
    used("ssl.trustStore.password"),
    used("ssl.trustStore.passwordPath"),
    used("ssl.trustStore.type"),
    used("IPAuthenticationProvider.usexforwardedfor"),
    used("X509AuthenticationProvider.superUser"),
    used("client.certReload"),
    without_effect("fips-mode", "no cryptography here is certified"),
    without_effect("kerberos.*", CLIENT_SIDE),
    without_effect("kinit", "the server needs no ticket of its own"),
    without_effect("letAnySaslUserDoX", "an entry of an ACL is for the user that it names"),
    without_effect("quorum.auth.*", "ZooKeeper 3.9 has no such setting"),
    without_effect("requireKerberosConfig", "the default realm is that of the server's principal"),
    without_effect("sasl.*", CLIENT_SIDE),
    without_effect("server.principal", CLIENT_SIDE),
    without_effect("server.realm", CLIENT_SIDE),
    without_effect("ssl.quorum.*", "ZooKeeper 3.9 has no such setting"),
    without_effect("ssl.quorum.allowReverseDnsLookup", "names are never looked up by their addresses"),
    used("ssl.quorum.ciphersuites"),
    used("ssl.quorum.clientAuth"),
    used("ssl.quorum.clientHostnameVerification"),
    refused("ssl.quorum.context.supplier.class", Asks::Unless(&[""]), Counts::WithQuorumTls, NO_CLASSES),
    refused("ssl.quorum.crl", Asks::True, Counts::WithQuorumTls, NO_REVOCATION),
    used("ssl.quorum.enabledProtocols"),
    without_effect(
        "ssl.quorum.handshakeDetectionTimeoutMillis",
        "a server that connects has two seconds for handshake and greeting together",
    ),
    used("ssl.quorum.hostnameVerification"),
    used("ssl.quorum.keyStore.location"),
    used("ssl.quorum.keyStore.password"),
    used("ssl.quorum.keyStore.passwordPath"),
    used("ssl.quorum.keyStore.type"),
    refused("ssl.quorum.ocsp", Asks::True, Counts::WithQuorumTls, NO_REVOCATION),
    used("ssl.quorum.protocol"),
    without_effect("ssl.quorum.sslProvider", "TLS is that of rustls"),
    without_effect("ssl.quorum.tcnative.ocsp", "TLS is that of rustls"),
    used("ssl.quorum.trustStore.location"),
    used("ssl.quorum.trustStore.password"),
    used("ssl.quorum.trustStore.passwordPath"),
    used("ssl.quorum.trustStore.type"),
    used("sslQuorumReloadCertFiles"),
    // AdminServer and metrics.
    used("admin.commandURL"),
    used("admin.enableServer"),
    used("admin.forceHttps"),
    used("admin.needClientAuth"),
    used("admin.portUnification"),
    used("admin.rateLimiterIntervalInMS"),
    used("admin.serverAddress"),
    used("admin.serverPort"),
    used("admin.snapshot.enabled"),
    used("metricsProvider.className"),
    used("metricsProvider.httpHost"),
    used("metricsProvider.httpPort"),
    used("metricsProvider.httpsPort"),
    used("metricsProvider.ssl.ciphersuites"),
    used("metricsProvider.ssl.enabledProtocols"),
    used("metricsProvider.ssl.keyStore.location"),
    used("metricsProvider.ssl.keyStore.password"),
    used("metricsProvider.ssl.keyStore.passwordPath"),
    used("metricsProvider.ssl.keyStore.type"),
    used("metricsProvider.ssl.need.client.auth"),
    used("metricsProvider.ssl.trustStore.location"),
    used("metricsProvider.ssl.trustStore.password"),
    used("metricsProvider.ssl.trustStore.passwordPath"),
    used("metricsProvider.ssl.trustStore.type"),
    used("metricsProvider.ssl.want.client.auth"),
    without_effect("admin.httpVersion", "the AdminServer speaks HTTP/1.1"),
    without_effect("admin.idleTimeout", "idle AdminServer connections are closed after 30 s"),
    without_effect("admin.restore.enabled", "the AdminServer does not restore snapshots"),
    without_effect("jmx.*", NO_JVM),
    without_effect("jvm.pause.*", NO_JVM),
    without_effect("metricsProvider.*", "metrics are counted without threads or queues of their own"),
    // The ensemble.
    used("initLimit"),
    used("peerType"),
    used("syncLimit"),
    refused("electionAlg", Asks::UnlessNumber(3), Counts::Everywhere, "only 3 is supported"),
    refused("group.*", Asks::Always, Counts::InEnsembles, ONE_VOTE),
    refused(
        "observerMasterPort",
        Asks::AboveZero,
        Counts::InEnsembles,
        "observers replicate from the leader; remove the key",
    ),
    refused("oraclePath", Asks::Always, Counts::InEnsembles, "there is no oracle for two servers; run three"),
    used("portUnification"),
    used("sslQuorum"),
    refused("weight.*", Asks::UnlessNumber(1), Counts::InEnsembles, ONE_VOTE),
    without_effect("cnxTimeout", OWN_REPLICATION),
    without_effect("connectToLearnerMasterLimit", OWN_REPLICATION),
    without_effect("electionPortBindRetry", OWN_REPLICATION),
    without_effect("fastleader.*", OWN_REPLICATION),
    without_effect("follower.*", OWN_REPLICATION),
    without_effect("forceSnapshotSync", OWN_REPLICATION),
    without_effect("forward_learner_requests_to_commit_processor_disabled", OWN_REPLICATION),
    without_effect("leader.*", OWN_REPLICATION),
    without_effect("leaderConnectDelayDuringRetryMs", OWN_REPLICATION),
    without_effect("leaderServes", "the leader serves clients as every server does"),
    without_effect("learner.*", OWN_REPLICATION),
    without_effect("multiAddress.*", "all addresses of a server are tried in turn"),
    without_effect("observer.*", OWN_REPLICATION),
    without_effect("observerMaster.sizeLimit", OWN_REPLICATION),
    used("quorum.cnxn.threads.size"),
    without_effect("quorumCnxnTimeoutMs", OWN_REPLICATION),
    used("quorumListenOnAllIPs"),
    without_effect("syncEnabled", "an observer keeps log and snapshots as every server does"),
    // What start scripts pass to every Java program.
    without_effect("client.secure", CLIENT_SIDE),
    without_effect("clientCnxnSocket", CLIENT_SIDE),
    without_effect("clientTcpKeepAlive", CLIENT_SIDE),
    without_effect("com.sun.*", NO_JVM),
    without_effect("disableAutoWatchReset", CLIENT_SIDE),
    without_effect("java.*", NO_JVM),
    without_effect("javax.*", NO_JVM),
    without_effect("log.*", "logging is not configured by Java properties"),
    without_effect("log4j.*", "logging is not configured by Java properties"),
    without_effect("logback.*", "logging is not configured by Java properties"),
    without_effect("request.timeout", CLIENT_SIDE),
    without_effect("root.logger", "logging is not configured by Java properties"),
    without_effect("sun.*", NO_JVM),
    without_effect("test.*", TEST_ONLY),
    without_effect("testingonly.*", TEST_ONLY),
    // Our own.
    used("ostler.adminHosts"),
    used("ostler.allowReadableKeyFiles"),
    used("ostler.audit.file"),
    used("ostler.audit.fileBytesMax"),
    used("ostler.audit.filesKept"),
    used("ostler.audit.json"),
    used("ostler.audit.reads"),
    used("ostler.consensus"),
    used("ostler.electionTimeoutMs"),
    used("ostler.failedLoginsPerMinute"),
    used("ostler.grants"),
    used("ostler.heartbeatMs"),
    used("ostler.ioThreads"),
    used("ostler.keeperExtensions"),
    used("ostler.linearizableReads"),
    used("ostler.outputBytesMax"),
    used("ostler.quorumSecretFile"),
    used("ostler.quorumSecretRequired"),
    used("ostler.outputBytesPerConnectionMax"),
    used("ostler.outstandingBytesMax"),
    used("ostler.replyBytesMax"),
    used("ostler.sessionPasswords"),
    used("ostler.sessionsMax"),
    used("ostler.ssl.crlFile"),
    used("ostler.ssl.strict"),
    used("ostler.testGroups"),
    used("ostler.watchesMax"),
];

/// A known key that was probably meant: the same except for case, for a `zookeeper.` prefix, or for
/// one letter.
pub(super) fn similar(name: &str) -> Option<&'static str> {
    let bare = name.strip_prefix("zookeeper.").unwrap_or(name);
    let names = || KEYS.iter().map(|key| key.name).filter(|known| !known.ends_with('*'));
    names().find(|known| known.eq_ignore_ascii_case(bare)).or_else(|| {
        names().find(|known| known.len() > 4 && one_edit_apart(known.as_bytes(), bare.as_bytes()))
    })
}

/// Whether the two differ by one letter replaced, added or left out, or by two neighbouring letters
/// swapped.
fn one_edit_apart(a: &[u8], b: &[u8]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let common = short.iter().zip(long).take_while(|(x, y)| x == y).count();
    let (short, long) = (&short[common..], &long[common..]);
    match (short, long) {
        ([], [_]) => true,
        _ if long.len() == short.len() + 1 => short == &long[1..],
        _ if long.len() == short.len() && !short.is_empty() => {
            let swapped =
                short.len() >= 2 && short[0] == long[1] && short[1] == long[0] && short[2..] == long[2..];
            short[1..] == long[1..] || swapped
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_listed_twice() {
        let mut names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_longest_match_wins() {
        assert_eq!(find("ssl.quorum.more").unwrap().name, "ssl.quorum.*");
        assert_eq!(find("ssl.keyStore.location").unwrap().name, "ssl.keyStore.location");
        assert_eq!(find("server.principal").unwrap().name, "server.principal");
        assert_eq!(find("server.1").unwrap().name, "server.*");
        assert_eq!(find("server."), None);
        assert_eq!(find("tickTime").unwrap().support, Support::Used);
        assert_eq!(find("ticktime"), None);
    }

    #[test]
    fn a_misspelt_key_is_recognised() {
        assert_eq!(similar("ticktime"), Some("tickTime"));
        assert_eq!(similar("zookeeper.snapCount"), Some("snapCount"));
        assert_eq!(similar("clientPrt"), Some("clientPort"));
        assert_eq!(similar("clientProt"), Some("clientPort"));
        assert_eq!(similar("clientPorts"), Some("clientPort"));
        assert_eq!(similar("dataDri"), Some("dataDir"));
        assert_eq!(similar("something"), None);
        assert_eq!(similar(""), None);
    }
}
