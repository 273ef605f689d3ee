//! From text to configuration.

mod admin_tls;
mod authentication;
mod ensemble;
mod key_files;
mod metrics;
mod quorum_sasl;
mod quorum_tls;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::keys::{KEYS, Support};
use super::*;

/// Files by name; every host name except `nowhere` is 192.0.2.1.
#[derive(Default)]
struct Files(BTreeMap<String, String>);

impl Outside for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let text = self.0.get(path.to_str().unwrap()).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.clone().into_bytes())
    }

    fn resolve(&self, host: &str) -> io::Result<IpAddr> {
        if host == "nowhere" { Err(io::Error::other("no such host")) } else { Ok([192, 0, 2, 1].into()) }
    }
}

/// Loads a zoo.cfg with further files.
fn load_text(text: &str, files: &[(&str, &str)], definitions: &[&str]) -> Result<Loaded, ConfigError> {
    let all = files.iter().copied().chain([("zoo.cfg", text)]);
    let files = Files(all.map(|(name, text)| (name.to_owned(), text.to_owned())).collect());
    let command_line = CommandLine {
        config: Some("zoo.cfg".into()),
        definitions: definitions.iter().map(|&definition| definition.to_owned()).collect(),
        ..CommandLine::default()
    };
    load_with(&command_line, &files)
}

/// Loads lines added to a minimal zoo.cfg, as server 1 if there are several.
fn loaded(lines: &str) -> Loaded {
    let myid: &[_] = if lines.contains("server.2=") { &[("/d/myid", "1")] } else { &[] };
    load_text(&format!("dataDir=/d\nclientPort=2181\n{lines}"), myid, &[])
        .unwrap_or_else(|error| panic!("{lines}: {error}"))
}

fn config(lines: &str) -> Config {
    loaded(lines).config
}

/// The errors in lines added to a minimal zoo.cfg.
fn problems(lines: &str) -> Vec<Problem> {
    problems_of(load_text(&format!("dataDir=/d\nclientPort=2181\n{lines}"), &[], &[]))
}

fn problems_of(result: Result<Loaded, ConfigError>) -> Vec<Problem> {
    match result {
        Err(ConfigError::Invalid(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_those_of_zookeeper() {
    let config = config("");
    assert_eq!(config.tick_time_ms, 3_000);
    assert_eq!((config.session.timeout_ms_min, config.session.timeout_ms_max), (6_000, 60_000));
    assert_eq!((config.connection.per_address_max, config.connection.count_max), (60, 0));
    assert_eq!(config.connection.outstanding_requests_max, 1_000);
    assert_eq!(config.connection.request_bytes_max, 0xf_ffff);
    assert_eq!((config.connection.throttle, config.connection.throttled_wait_ms_max), (None, None));
    assert_eq!(config.storage.snapshot_commands, 100_000);
    assert_eq!(config.storage.segment_bytes, 64 << 20);
    assert_eq!(config.storage.snapshot_log_bytes, Some(4 << 30));
    assert_eq!((config.storage.snapshots_kept, config.storage.purge_interval_hours), (3, None));
    assert!(config.storage.force_sync && config.storage.create_dirs);
    assert_eq!(config.storage.log_dir, Path::new("/d"));
    assert_eq!(config.words, WordList::Only(vec!["srvr".into()]));
    assert!(!config.requests.skip_acl && !config.requests.enforce_quota && !config.requests.extended_types);
    assert_eq!((config.server_id, config.io_threads), (0, 0));
    // On all addresses, as in ZooKeeper.
    assert_eq!(config.listen, Listen { address: "::".parse().unwrap(), port: 2181, backlog: 50 });
    // Unlike ZooKeeper's, which is on all addresses.
    let admin = config.admin.unwrap();
    assert_eq!(
        (admin.address.to_string().as_str(), admin.command_url.as_str()),
        ("127.0.0.1:8080", "/commands")
    );
}

#[test]
fn without_a_file_the_server_listens_on_loopback_only() {
    let Loaded { config, warnings } = load_with(&CommandLine::default(), &Files::default()).unwrap();
    assert_eq!(config.listen.address.to_string(), "127.0.0.1");
    assert_eq!(config.listen.port, 2181);
    assert_eq!(config.storage.data_dir, Path::new("ostler-data"));
    assert_eq!(config.connection.per_address_max, 60);
    assert_eq!(warnings, []);
}

/// Each used key changes its field.
/// Where the audit log goes.
fn place_of(config: &Config) -> AuditPlace {
    config.audit.clone().expect("there is an audit log").place
}

#[test]
fn every_key_reaches_its_field() {
    type Check = fn(&Config) -> bool;
    let cases: &[(&str, Check)] = &[
        ("tickTime=2000", |c| {
            c.tick_time_ms == 2_000 && c.session.timeout_ms_min == 4_000 && c.session.timeout_ms_max == 40_000
        }),
        ("clientPort=0", |c| c.listen.port == 0),
        ("clientPortAddress=10.1.2.3", |c| c.listen.address.to_string() == "10.1.2.3"),
        ("clientPortAddress=zoo1", |c| c.listen.address.to_string() == "192.0.2.1"),
        ("clientPortAddress=[::1]", |c| c.listen.address.to_string() == "::1"),
        ("clientPortListenBacklog=7", |c| c.listen.backlog == 7),
        ("clientPortListenBacklog=-1", |c| c.listen.backlog == 50),
        ("dataDir=/e", |c| c.storage.data_dir == Path::new("/e") && c.storage.log_dir == Path::new("/e")),
        ("dataLogDir=/l", |c| c.storage.data_dir == Path::new("/d") && c.storage.log_dir == Path::new("/l")),
        ("minSessionTimeout=100", |c| c.session.timeout_ms_min == 100),
        ("minSessionTimeout=-1", |c| c.session.timeout_ms_min == 6_000),
        ("maxSessionTimeout=100000", |c| c.session.timeout_ms_max == 100_000),
        ("maxClientCnxns=0", |c| c.connection.per_address_max == 0),
        ("maxClientCnxns=-5", |c| c.connection.per_address_max == 0),
        ("maxCnxns=9", |c| c.connection.count_max == 9),
        ("globalOutstandingLimit=5", |c| c.connection.outstanding_requests_max == 5),
        ("request_throttle_max_requests=5", |c| c.connection.throttle_requests_max == 5),
        ("requestThrottleLimit=6", |c| c.connection.throttle_requests_max == 6),
        ("throttled_op_wait_time=8", |c| c.connection.throttled_wait_ms_max == Some(8)),
        ("largeRequestThreshold=9", |c| c.connection.large_request_bytes_min == Some(9)),
        ("largeRequestMaxBytes=10", |c| c.connection.large_requests_bytes_max == 10),
        ("nio.sessionlessCnxnTimeout=11", |c| c.connection.handshake_timeout_ms == 11),
        ("jute.maxbuffer=0x1fffff", |c| c.connection.request_bytes_max == 0x1f_ffff),
        (
            "connection_throttle_tokens=3\nconnection_throttle_fill_time=4\nconnection_throttle_fill_count=5",
            |c| {
                c.connection.throttle
                    == Some(ConnectionThrottle { tokens_max: 3, fill_interval_ms: 4, fill_tokens: 5 })
            },
        ),
        ("forceSync=no", |c| !c.storage.force_sync),
        ("forceSync=false", |c| c.storage.force_sync),
        ("datadir.autocreate=false", |c| !c.storage.create_dirs),
        ("db.autocreate=false", |c| !c.storage.create_data),
        ("fsync.warningthresholdms=20", |c| c.storage.flush_warning_ms == 20),
        ("preAllocSize=8192", |c| c.storage.segment_bytes == 8 << 20),
        ("snapCount=10", |c| c.storage.snapshot_commands == 10),
        ("snapCount=0", |c| c.storage.snapshot_commands == 2),
        ("snapSizeLimitInKb=2", |c| c.storage.snapshot_log_bytes == Some(2 << 10)),
        ("snapSizeLimitInKb=0", |c| c.storage.snapshot_log_bytes.is_none()),
        ("txnLogSizeLimitInKb=3", |c| c.storage.snapshot_log_bytes == Some(3 << 10)),
        ("autopurge.snapRetainCount=5", |c| c.storage.snapshots_kept == 5),
        ("autopurge.snapRetainCount=1", |c| c.storage.snapshots_kept == 3),
        ("autopurge.purgeInterval=24", |c| c.storage.purge_interval_hours == Some(24)),
        ("skipACL=yes", |c| c.requests.skip_acl),
        ("skipACL=true", |c| !c.requests.skip_acl),
        ("enforceQuota=true", |c| c.requests.enforce_quota),
        ("extendedTypesEnabled=TRUE", |c| c.requests.extended_types),
        ("DigestAuthenticationProvider.enabled=false", |c| !c.requests.schemes.digest),
        (
            "DigestAuthenticationProvider.enabled=false\n\
                authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
            |c| c.requests.schemes.digest,
        ),
        ("authProvider.1=org.apache.zookeeper.server.auth.KeyAuthenticationProvider", |c| {
            c.requests.schemes.key && c.requests.schemes.digest && !c.requests.schemes.ensemble
        }),
        ("authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider", |c| {
            c.requests.schemes.sasl
        }),
        ("DigestAuthenticationProvider.digestAlg=SHA-256", |c| {
            c.requests.schemes.digest_hash == PasswordHash::Sha256
        }),
        ("audit.enable=true\nostler.audit.file=/l/a", |c| place_of(c) == AuditPlace::File("/l/a".into())),
        ("audit.enable=TRUE\naudit.impl.class=org.apache.zookeeper.audit.Slf4jAuditLogger", |c| {
            place_of(c) == AuditPlace::File("/d/zookeeper_audit.log".into())
        }),
        ("audit.enable=true\nostler.audit.reads=true", |c| c.audit.as_ref().is_some_and(|audit| audit.reads)),
        ("audit.enable=true\nostler.audit.json=stdout", |c| place_of(c) == AuditPlace::StandardOutput),
        ("audit.enable=true\nostler.audit.fileBytesMax=1000000\nostler.audit.filesKept=3", |c| {
            c.audit.as_ref().is_some_and(|audit| (audit.file_bytes_max, audit.files_kept) == (1_000_000, 3))
        }),
        ("audit.enable=yes\naudit.impl.class=org.example.Own", |c| c.audit.is_none()),
        ("ostler.grants=true", |c| c.requests.grants),
        ("ostler.failedLoginsPerMinute=7", |c| c.requests.failed_logins_max == 7),
        (
            "authProvider.ensemble=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider\n\
                ensembleAuthName=blue, green",
            |c| {
                c.requests.schemes.ensemble
                    && c.requests.schemes.ensemble_names == Some(vec!["blue".into(), "green".into()])
            },
        ),
        ("DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=", |c| {
            c.requests.super_digest.as_deref() == Some("super:D/InIHSb7yEEbrWz8b9l71RjZJU=")
        }),
        ("readonlymode.enabled=true", |c| {
            c.requests.read_only_mode && c.words == WordList::Only(vec!["srvr".into(), "isro".into()])
        }),
        ("4lw.commands.whitelist=stat, ruok,conf", |c| {
            c.words == WordList::Only(["stat", "ruok", "conf", "srvr"].map(Into::into).into())
        }),
        ("4lw.commands.whitelist=*", |c| c.words == WordList::All),
        ("4lw.commands.whitelist=", |c| c.words == WordList::Only(vec!["srvr".into()])),
        ("4lw.commands.whitelist=stat\nreadonlymode.enabled=true", |c| {
            c.words == WordList::Only(["stat", "srvr", "isro"].map(Into::into).into())
        }),
        ("znode.container.checkIntervalMs=5", |c| c.containers.check_interval_ms == 5),
        ("znode.container.maxPerMinute=6", |c| c.containers.per_minute_max == 6),
        ("znode.container.maxNeverUsedIntervalMs=7", |c| c.containers.never_used_ms_max == Some(7)),
        ("admin.enableServer=false", |c| c.admin.is_none()),
        ("admin.serverPort=9000\nadmin.serverAddress=0.0.0.0", |c| {
            c.admin.as_ref().is_some_and(|admin| admin.address.to_string() == "0.0.0.0:9000")
        }),
        ("admin.serverAddress=127.0.0.1\nostler.adminHosts=zk1.example.com, zk1", |c| {
            c.admin.as_ref().is_some_and(|admin| admin.hosts == ["zk1.example.com", "zk1", "127.0.0.1"])
        }),
        ("admin.snapshot.enabled=false\nadmin.rateLimiterIntervalInMS=7", |c| {
            c.admin.as_ref().is_some_and(|admin| !admin.snapshots && admin.snapshot_interval_ms == 7)
        }),
        ("admin.rateLimiterIntervalInMS=-1", |c| {
            c.admin.as_ref().is_some_and(|admin| admin.snapshots && admin.snapshot_interval_ms == 0)
        }),
        ("IPAuthenticationProvider.usexforwardedfor=true", |c| {
            c.admin.as_ref().is_some_and(|admin| admin.trusts_forwarded_for)
        }),
        ("admin.commandURL=/zk/", |c| c.admin.as_ref().is_some_and(|admin| admin.command_url == "/zk")),
        (
            "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
            |c| metrics::address(c) == "[::]:7000",
        ),
        (
            "metricsProvider.className=PrometheusMetricsProvider\nmetricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort=7001",
            |c| metrics::address(c) == "127.0.0.1:7001",
        ),
        ("metricsProvider.className=org.apache.zookeeper.metrics.impl.DefaultMetricsProvider", |c| {
            c.metrics.is_none()
        }),
        (
            "initLimit=10\nsyncLimit=5\npeerType=participant\nserver.1=a:1\nserver.2=b:1\nostler.consensus=paxos\n\
                ostler.electionTimeoutMs=1000\nostler.heartbeatMs=50\nostler.linearizableReads=true\n\
                quorumListenOnAllIPs=true\nostler.quorumSecretRequired=false",
            |c| {
                c.ensemble.as_ref().is_some_and(|ensemble| {
                    (ensemble.members.len(), ensemble.engine) == (2, EngineKind::Paxos)
                        && (ensemble.election_timeout_ms, ensemble.heartbeat_ms) == (1_000, 50)
                        && ensemble.linearizable_reads
                        && ensemble.listen_on_all_ips
                        && !ensemble.is_secret_required
                })
            },
        ),
        ("reconfigEnabled=true", |c| c.requests.reconfig),
        ("standaloneEnabled=false", |c| !c.requests.standalone),
        ("ostler.ioThreads=3", |c| c.io_threads == 3),
        ("ostler.keeperExtensions=false", |c| !c.requests.keeper_extensions),
        ("ostler.sessionPasswords=zookeeper", |c| c.session.passwords == SessionPasswords::ZooKeeper),
        ("ostler.sessionsMax=4", |c| c.session.count_max == 4),
        ("ostler.testGroups=3", |c| c.groups == 3),
        ("ostler.watchesMax=4", |c| c.requests.watches_max == 4),
        ("ostler.outstandingBytesMax=2000000", |c| c.connection.outstanding_bytes_max == 2_000_000),
        ("ostler.outputBytesMax=4000000", |c| c.connection.total_output_bytes_max == 4_000_000),
        ("ostler.replyBytesMax=5000000", |c| c.connection.reply_bytes_max == 5_000_000),
        ("ostler.outputBytesPerConnectionMax=3000000", |c| c.connection.output_bytes_max == 3_000_000),
        ("server.7=localhost:2888:3888", |c| c.server_id == 7),
    ];
    for (lines, check) in cases {
        assert!(check(&config(lines)), "{lines}: {:?}", config(lines));
    }
    let covered = |key: &str| cases.iter().any(|(lines, _)| lines.lines().any(|line| line.starts_with(key)));
    // They name files, or work together, and have tests of their own.
    let files = ["dynamicConfigFile", "ostler.allowReadableKeyFiles", "ostler.quorumSecretFile"];
    let is_elsewhere = |key: &str| {
        let is_tls = [tls::has_case, quorum_tls::has_case, admin_tls::has_case, metrics::has_case]
            .iter()
            .any(|has_case| has_case(key));
        let is_sasl = [authentication::TESTED, quorum_sasl::TESTED].iter().any(|keys| keys.contains(&key));
        files.contains(&key) || is_sasl || is_tls
    };
    for key in KEYS.iter().filter(|key| key.support == Support::Used && !is_elsewhere(key.name)) {
        assert!(covered(key.name.trim_end_matches('*')), "{} has no case", key.name);
    }
}

#[test]
fn used_keys_are_asked_for_and_no_others() {
    let mut settings = settings::Settings::default();
    let files = Files::default();
    fields::read_all(&mut settings, &files);
    let asked = settings.asked.borrow();
    let used = KEYS.iter().filter(|key| key.support == Support::Used);
    let used: std::collections::BTreeSet<&str> = used.map(|key| key.name.trim_end_matches('*')).collect();
    assert_eq!(
        asked.iter().copied().chain(["dynamicConfigFile"]).collect::<std::collections::BTreeSet<_>>(),
        used
    );
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    let cases = [
        ("tickTime=abc", "zoo.cfg line 3: tickTime = abc: must be a whole number (ms) from 1 to 2147483647"),
        ("clientPort=0x5A", "zoo.cfg line 3: clientPort = 0x5A: must be a whole number"),
        ("tickTime=0", "zoo.cfg line 3: tickTime = 0: must be a whole number (ms) from 1 to 2147483647"),
        ("tickTime=", "zoo.cfg line 3: tickTime: must be a whole number (ms) from 1 to 2147483647"),
        (
            "clientPort=70000",
            "zoo.cfg line 3: clientPort = 70000: must be a whole number (0 = any free port) from 0 to 65535",
        ),
        (
            "clientPortAddress=nowhere",
            "zoo.cfg line 3: clientPortAddress = nowhere: must be an address of this machine (no such host)",
        ),
        (
            "reconfigEnabled=maybe",
            "zoo.cfg line 3: reconfigEnabled = maybe: must be true or false (or yes or no)",
        ),
        ("dataDir=", "zoo.cfg line 3: dataDir: must be a directory"),
        (
            "ostler.sessionPasswords=none",
            "zoo.cfg line 3: ostler.sessionPasswords = none: must be secret or zookeeper",
        ),
        (
            "admin.commandURL=commands",
            "zoo.cfg line 3: admin.commandURL = commands: must be a path such as /commands",
        ),
        (
            "minSessionTimeout=70000",
            "the shortest session timeout (70000 ms) must not exceed the longest (60000 ms)",
        ),
        (
            "ostler.outstandingBytesMax=0",
            "ostler.outstandingBytesMax = 0: must be a whole number (bytes) from 1",
        ),
        ("admin.serverPort=70000", "admin.serverPort = 70000: must be a port from 0 to 65535"),
        (
            "metricsProvider.className=PrometheusMetricsProvider\nmetricsProvider.httpPort=x",
            "metricsProvider.httpPort = x: must be a port from 0 to 65535",
        ),
        ("metricsProvider.className=com.example.Mine", "must be org.apache.zookeeper.metrics.prometheus"),
        ("server.1=localhost", "server.1 = localhost: must be host:port:port"),
        ("server.1048576=a:1:2", "the number of a server must be from 0 to 1048575"),
        ("server.-1=a:1:2", "the number of a server must be from 0 to 1048575"),
        ("server.1=a:1:2:observer", "an observer cannot be standalone"),
        ("server.255=a:1:2\nextendedTypesEnabled=true", "must be at most 254"),
        ("reconfigEnabled=true\nostler.testGroups=2", "reconfigEnabled must be false"),
        ("a=\\u12", "zoo.cfg line 3: \\u: must be followed by four hexadecimal digits"),
    ];
    for (lines, expected) in cases {
        let shown: Vec<String> = problems(lines).iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|problem| problem.contains(expected)), "{lines}: {shown:?}");
    }
}

/// ZooKeeper starts with each of these, and they occur: test rigs set `preAllocSize=100`,
/// BufferSizeTest `jute.maxbuffer=100`, operators anything up to 1 GiB. A value that is impossible
/// here is replaced by the nearest possible one, or by the default if it is not a number, with a
/// warning.
#[test]
fn values_with_which_zookeeper_starts_are_no_errors() {
    type Check = fn(&Config) -> bool;
    let cases: &[(&str, &str, Check)] = &[
        ("preAllocSize=100", "preAllocSize: 100 is not possible; 4096 is used", |c| {
            c.storage.segment_bytes == 4 << 20
        }),
        ("preAllocSize=0x100", "\"0x100\" is not a number", |c| c.storage.segment_bytes == 64 << 20),
        ("preAllocSize=4194304", "4194304 is not possible; 1048576 is used", |c| {
            c.storage.segment_bytes == 1 << 30
        }),
        ("jute.maxbuffer=100", "", |c| c.connection.request_bytes_max == 100),
        ("jute.maxbuffer=1", "jute.maxbuffer: 1 is not possible; 45 is used", |_| true),
        ("jute.maxbuffer=52428800", "", |c| c.connection.request_bytes_max == 50 << 20),
        ("jute.maxbuffer=0x9ffffff", "", |c| c.connection.request_bytes_max == 0x9ff_ffff),
        ("jute.maxbuffer=1073741824", "1073741824 is not possible; 268435456 is used", |_| true),
        ("jute.maxbuffer=", "\"\" is not a number", |c| c.connection.request_bytes_max == 0xf_ffff),
        ("jute.maxbuffer=4MB", "\"4MB\" is not a number", |c| c.connection.request_bytes_max == 0xf_ffff),
        ("jute.maxbuffer=0", "0 leaves no room for a request", |c| {
            c.connection.request_bytes_max == 0xf_ffff
        }),
        ("jute.maxbuffer=-1", "-1 leaves no room", |c| c.connection.request_bytes_max == 0xf_ffff),
        ("globalOutstandingLimit=0", "0 is not possible; 1 is used", |c| {
            c.connection.outstanding_requests_max == 1
        }),
        ("largeRequestThreshold=-7", "", |c| c.connection.large_request_bytes_min.is_none()),
        ("largeRequestMaxBytes=-1", "", |c| c.connection.large_requests_bytes_max == 100 << 20),
        ("maxCnxns=-3", "", |c| c.connection.count_max == 0),
        ("connection_throttle_tokens=-1", "-1 is not possible; 0 is used", |c| {
            c.connection.throttle.is_none()
        }),
        ("nio.sessionlessCnxnTimeout=0", "0 is not possible; 1 is used", |_| true),
        ("snapCount=010", "", |c| c.storage.snapshot_commands == 8),
        ("snapCount=1", "snapCount: 1 is not possible; 2 is used", |_| true),
        ("fsync.warningthresholdms=-1", "", |c| c.storage.flush_warning_ms == 0),
        ("snapSizeLimitInKb=9223372036854775807", "", |c| c.storage.snapshot_log_bytes.is_none()),
        ("autopurge.snapRetainCount=-3", "-3 is not possible; 3 is used", |_| true),
        ("znode.container.checkIntervalMs=abc", "\"abc\" is not a number", |c| {
            c.containers.check_interval_ms == 60_000
        }),
        ("znode.container.maxPerMinute=-1", "", |c| c.containers.per_minute_max == u32::MAX),
        ("znode.container.maxPerMinute=0", "", |c| c.containers.per_minute_max == 0),
        ("znode.container.maxNeverUsedIntervalMs=-1", "-1 is not possible; 1 is used", |_| true),
        ("minSessionTimeout=-2", "-2 is not possible; 0 is used", |c| c.session.timeout_ms_min == 0),
        ("clientPortListenBacklog=-9", "", |c| c.listen.backlog == 50),
        ("clientPortAddress=", "clients connect to 127.0.0.1", |c| c.listen.address.is_loopback()),
        ("initLimit=0\nsyncLimit=-1", "", |c| c.ensemble.is_none()),
        ("peerType=observer", "there is one server, which is a participant", |_| true),
        ("enforceQuota=yes", "\"yes\" counts as false", |c| !c.requests.enforce_quota),
        ("skipACL=true", "\"true\" has no effect, as in ZooKeeper: only yes has one", |_| true),
        ("forceSync=false", "only no has one", |_| true),
        ("admin.enableServer=no", "only false has one", |c| c.admin.is_some()),
        ("admin.enableServer=false\nadmin.serverPort=99999\nadmin.serverAddress=nowhere", "", |c| {
            c.admin.is_none()
        }),
        ("admin.serverPort=x", "\"x\" is not a number", |c| {
            c.admin.as_ref().is_some_and(|admin| admin.address.port() == 8080)
        }),
        ("metricsProvider.httpPort=x", "", |c| c.metrics.is_none()),
        ("superDigest=secret", "so no password makes a client the super user", |c| {
            c.requests.super_digest.is_none()
        }),
        ("ssl.keyStore.location=/k", "ssl.keyStore.location has no effect: TLS is off", |_| true),
        ("client.portUnification=true", "client.portUnification has no effect: TLS is off", |_| true),
        ("group.1=1", "group.1 has no effect: there is one server", |_| true),
        ("admin.enableServer=false\nadmin.forceHttps=true", "the AdminServer is off", |_| true),
        ("metricsProvider.httpsPort=7000", "a setting of the Prometheus provider", |_| true),
        ("authProvider.1=", "authProvider.1 names no provider", |_| true),
    ];
    for (lines, expected, check) in cases {
        let Loaded { config, warnings } = loaded(lines);
        let shown: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert!(expected.is_empty() == shown.is_empty(), "{lines}: {shown:?}");
        assert!(
            shown.iter().any(|line| line.contains(expected)) || expected.is_empty(),
            "{lines}: {shown:?}"
        );
        assert!(check(&config), "{lines}: {config:?}");
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let result = load_text("tickTime=x\nmaxClientCnxns=y\nelectionAlg=1\n", &[], &["-"]);
    let keys: Vec<String> = problems_of(result).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["electionAlg", "dataDir", "tickTime", "maxClientCnxns"]);
}

#[test]
fn settings_that_cannot_be_ignored_safely_are_refused() {
    for (lines, expected) in [
        ("electionAlg=0", "only 3 is supported"),
        ("electionAlg=x", "only 3 is supported"),
        ("server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2", "every participant has one vote"),
        ("server.1=a:1:2\nserver.2=b:1:2\nweight.1=2", "every participant has one vote"),
        ("server.1=a:1:2\nserver.2=b:1:2\noraclePath=/o", "there is no oracle"),
        ("server.1=a:1:2\nserver.2=b:1:2\nobserverMasterPort=2191", "observers replicate from the leader"),
        ("audit.enable=true\naudit.impl.class=org.example.Own", "Java classes cannot be loaded"),
        ("audit.enable=true\nostler.audit.json=file", "must be stdout"),
        ("audit.enable=true\nostler.audit.json=stdout\nostler.audit.file=/a", "not be set together"),
        ("authProvider.1=org.example.OwnAuthenticationProvider", "there are no others yet"),
    ] {
        let shown: Vec<String> = problems(lines).iter().map(ToString::to_string).collect();
        assert!(shown.iter().any(|problem| problem.contains(expected)), "{lines}: {shown:?}");
    }
    // The same keys, asking for nothing.
    config(
        "client.portUnification=false\npeerType=participant\naudit.enable=no\nsslQuorum=false\nelectionAlg=+3",
    );
    config("audit.enable=off\nadmin.forceHttps=1\nsessionRequireClientSASLAuth=\nobserverMasterPort=-1");
    config("metricsProvider.httpsPort=-1\nDigestAuthenticationProvider.digestAlg=SHA-1");
    config("authProvider.1=org.apache.zookeeper.server.auth.DigestAuthenticationProvider");
}

#[test]
fn unknown_keys_are_warnings_that_name_them() {
    let shown: Vec<String> =
        loaded("nonsense=1\nticktime=5\ncnxTimeout=10").warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "zoo.cfg line 3: unknown key nonsense is ignored",
            "zoo.cfg line 4: unknown key ticktime is ignored; did you mean tickTime?",
            "zoo.cfg line 5: cnxTimeout has no effect: servers replicate by a protocol of their own, which has no such setting",
        ]
    );
}

#[test]
fn later_sources_win() {
    let text = "dataDir=/d\nclientPort=2181\ntickTime=1000\nsnapCount=5\nsnapCount=6\n";
    let files = Files(BTreeMap::from([("zoo.cfg".to_owned(), text.to_owned())]));
    let command_line = CommandLine {
        config: Some("zoo.cfg".into()),
        data_dir: Some("/other".into()),
        client_port: Some(3000),
        client_port_address: Some("127.0.0.2".into()),
        definitions: [
            "tickTime=2000",
            "zookeeper.jute.maxbuffer=2048",
            "zookeeper.extendedTypesEnabled",
            "clientPort=4000",
        ]
        .map(Into::into)
        .into(),
    };
    let config = load_with(&command_line, &files).unwrap().config;
    assert_eq!((config.tick_time_ms, config.storage.snapshot_commands), (2_000, 6));
    assert_eq!(config.connection.request_bytes_max, 2048);
    assert_eq!((config.listen.port, config.listen.address.to_string().as_str()), (3000, "127.0.0.2"));
    assert_eq!(config.storage.data_dir, Path::new("/other"));
    assert!(config.requests.extended_types, "a definition without a value is true");
}

#[test]
fn myid_and_the_only_server_agree() {
    let load = |text: &str, myid: &str| {
        load_text(&format!("dataDir=/d\n{text}"), &[("/d/myid", myid)], &[]).map(|loaded| loaded.config)
    };
    assert_eq!(load("clientPort=1", "3\n").unwrap().server_id, 3);
    let config = load("server.3=h:2888:3888;127.0.0.1:2182", " 3 ").unwrap();
    assert_eq!(
        (config.server_id, config.listen.port, config.listen.address.to_string().as_str()),
        (3, 2182, "127.0.0.1")
    );
    // ZooKeeper ignores an only entry, whichever server it names.
    let config = load("clientPort=1\nserver.2=h:1:2;5", "3").unwrap();
    assert_eq!((config.server_id, config.listen.port, config.ensemble), (3, 1, None));
    assert!(
        load("clientPort=5\nserver.3=h:1:2;6", "3")
            .unwrap_err()
            .to_string()
            .contains("differs from the client port 6")
    );
    for number in [0, 256, 1_048_575] {
        assert_eq!(load("clientPort=1", &number.to_string()).unwrap().server_id, number);
    }
    for bad in ["", "x", "-1", "1048576", "4294967297"] {
        assert!(load("clientPort=1", bad).unwrap_err().to_string().contains("from 0 to 1048575"), "{bad:?}");
    }
}

#[test]
fn the_dynamic_file_is_read_beside_the_static_one() {
    let text = "dataDir=/d\ndynamicConfigFile=zoo.cfg.dynamic\n";
    let dynamic = [("zoo.cfg.dynamic", "server.1=h:2888:3888:participant;2183\nversion=100000000\n")];
    let config = load_text(text, &dynamic, &[]).unwrap().config;
    assert_eq!((config.server_id, config.listen.port), (1, 2183));
    let error = load_text(text, &[], &[]).unwrap_err().to_string();
    assert!(error.starts_with("cannot read dynamic configuration file zoo.cfg.dynamic: "), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let command_line = CommandLine { config: Some("none.cfg".into()), ..CommandLine::default() };
    let error = load_with(&command_line, &Files::default()).unwrap_err().to_string();
    assert!(error.starts_with("cannot read configuration file none.cfg: "), "{error}");
}

#[test]
fn settings_are_listed_without_passwords() {
    let config = config("superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=");
    assert!(
        config.settings.contains(&("DigestAuthenticationProvider.superDigest".into(), "(hidden)".into()))
    );
    assert!(config.settings.contains(&("clientPort".into(), "2181".into())));
}

#[test]
fn the_sample_of_zookeeper_starts_without_an_error() {
    let sample = "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
        dataDir=/tmp/zookeeper\nclientPort=2181\n#maxClientCnxns=60\n#autopurge.snapRetainCount=3\n\
        ## Metrics Providers\n#metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n";
    let Loaded { config, .. } = load_text(sample, &[], &[]).unwrap();
    assert_eq!((config.tick_time_ms, config.session.timeout_ms_max), (2_000, 40_000));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), definition in any::<String>()) {
        let _ = load_text(&text, &[], &[&definition]);
    }

    #[test]
    fn no_value_of_a_known_key_panics(pairs in prop::collection::vec((0..KEYS.len(), "(-?[0-9]{0,20}|0x[0-9a-f]{0,18}|\\PC{0,20}|a:1:2;3|\\[::\\])"), 0..8)) {
        let text: String = pairs.iter().map(|(key, value)| format!("{}={value}\n", KEYS[*key].name.replace('*', "1"))).collect();
        if let Err(ConfigError::Invalid(problems)) = load_text(&text, &[], &[]) {
            prop_assert!(!problems.is_empty());
        }
    }
}
