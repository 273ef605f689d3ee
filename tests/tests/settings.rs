//! Settings as operators write them, on running servers: Ostler starts with what ZooKeeper starts
//! with, and does the same.
//!
//! What becomes of each value by itself is tested beside the code (`config::tests`); here the real
//! ZooKeeper says which values are no reason not to start. `OSTLER_SETTINGS=all` tries all of them,
//! otherwise it is a sample.

use std::time::{Duration, Instant};

use ostler_tests::process::{Kind, Server};
use ostler_tests::request::{AclEntry, Request, op, open_acl};
use ostler_tests::session::{Session, create, get_data};

const TIMEOUT_MS: i32 = 30_000;
const AUTH_FAILED: i32 = -115;
const INVALID_ACL: i32 = -114;
const NO_AUTH: i32 = -102;
const NO_NODE: i32 = -101;

/// Numbers that ZooKeeper reads as system properties: what is not a number is its default.
const NUMBERS: &[&str] = &[
    "jute.maxbuffer",
    "znode.container.checkIntervalMs",
    "znode.container.maxPerMinute",
    "znode.container.maxNeverUsedIntervalMs",
    "fsync.warningthresholdms",
    "zookeeper.globalOutstandingLimit",
    "zookeeper.largeRequestMaxBytes",
    "zookeeper.largeRequestThreshold",
    "zookeeper.maxCnxns",
    "zookeeper.nio.sessionlessCnxnTimeout",
    "zookeeper.request_throttle_max_requests",
    "zookeeper.throttled_op_wait_time",
    "zookeeper.connection_throttle_fill_count",
    "zookeeper.connection_throttle_fill_time",
    "zookeeper.connection_throttle_tokens",
    "zookeeper.preAllocSize",
    "zookeeper.snapCount",
    "zookeeper.snapSizeLimitInKb",
    "zookeeper.txnLogSizeLimitInKb",
    "zookeeper.admin.serverPort",
];

/// Switches that are system properties.
const SWITCHES: &[&str] = &[
    "readonlymode.enabled",
    "zookeeper.datadir.autocreate",
    "zookeeper.enforceQuota",
    "zookeeper.extendedTypesEnabled",
    "zookeeper.forceSync",
    "zookeeper.skipACL",
    "zookeeper.admin.enableServer",
    "zookeeper.DigestAuthenticationProvider.enabled",
    "zookeeper.audit.enable",
    "zookeeper.client.portUnification",
    "zookeeper.enforce.auth.enabled",
    "zookeeper.sessionRequireClientSASLAuth",
    "zookeeper.admin.forceHttps",
    "zookeeper.admin.portUnification",
    "zookeeper.admin.needClientAuth",
];

/// Settings, one after the other, with which ZooKeeper starts together.
type Group = Vec<(String, String)>;

/// Each of these keys with this value.
fn all(keys: &[&str], value: &str) -> Group {
    keys.iter().map(|&key| (key.to_owned(), value.to_owned())).collect()
}

fn some(pairs: &[(&str, &str)]) -> Group {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The admin port is set apart, since the tests of one machine must not meet on 8080.
fn without<'k>(keys: &[&'k str], left_out: &[&str]) -> Vec<&'k str> {
    keys.iter().copied().filter(|key| !left_out.iter().any(|out| key.ends_with(out))).collect()
}

fn groups() -> Vec<Group> {
    let no_admin = ("zookeeper.admin.enableServer", "false");
    // ZooKeeper does not start with these at 0 (a timer, a division by it), nor with the last two
    // below it.
    let above_zero = ["checkIntervalMs", "sessionlessCnxnTimeout"];
    let with_zero = without(NUMBERS, &above_zero);
    let below_zero = without(NUMBERS, &["checkIntervalMs", "sessionlessCnxnTimeout", "tokens"]);
    let switches = without(
        SWITCHES,
        &["datadir.autocreate", "admin.enableServer", "DigestAuthenticationProvider.enabled"],
    );
    let mut groups = Vec::new();
    for (keys, values) in [
        (NUMBERS.to_vec(), &["", "abc", "4MB", "08", "1.5", "99999999999999999999"][..]),
        (with_zero, &["0"]),
        (below_zero, &["-1", "-2147483648"]),
        (NUMBERS.to_vec(), &["0x64", "0144", "#64", "+100", "100"]),
        (without(NUMBERS, &["serverPort"]), &["2147483647"]),
        (switches, &["", "no", "0", "off", "FALSE", "maybe"]),
    ] {
        for value in values {
            let mut group = all(&keys, value);
            group.extend(some(&[no_admin]));
            groups.push(group);
        }
    }
    // What zoo.cfg itself takes; this harness passes it to both by name.
    groups.push(some(&[("zookeeper.preAllocSize", "100"), ("jute.maxbuffer", "100"), no_admin]));
    for bytes in ["52428800", "67108864", "173159500", "0x9ffffff", "1073741824"] {
        groups.push(some(&[("jute.maxbuffer", bytes), no_admin]));
    }
    groups.push(some(&[
        ("zookeeper.ssl.keyStore.location", "/nowhere"),
        ("zookeeper.ssl.trustStore.location", "/nowhere"),
        ("zookeeper.ssl.clientAuth", "need"),
        ("zookeeper.ssl.quorum.keyStore.location", "/nowhere"),
        ("zookeeper.DigestAuthenticationProvider.superDigest", "secret"),
        ("zookeeper.authProvider.7", ""),
        ("zookeeper.4lw.commands.whitelist", ""),
        no_admin,
    ]));
    groups
}

/// Lines of zoo.cfg with which ZooKeeper starts alone, though they are odd.
const LINES: &[&str] = &[
    "initLimit=0\nsyncLimit=-1\npeerType=observer\nmaxClientCnxns=-1\nclientPortListenBacklog=-7\n\
        autopurge.snapRetainCount=-3\nautopurge.purgeInterval=-1\nobserverMasterPort=-1\nelectionAlg=+3",
    "minSessionTimeout=-2\nmetricsProvider.httpPort=abc\nmetricsProvider.httpsPort=7443\noraclePath=/nowhere",
    "tickTime=+010\nmaxClientCnxns=007\nsslQuorum=true\nquorumListenOnAllIPs=TRUE\nserver.2=127.0.0.1:2888:3888",
];

/// A setting that is odd but harmless stopped the start: `jute.maxbuffer=4MB`, `preAllocSize=100`.
/// ZooKeeper silently uses its default or the nearest possible value.
#[test]
fn every_value_with_which_zookeeper_starts_starts_ostler() {
    let whole = std::env::var("OSTLER_SETTINGS").is_ok_and(|value| value == "all");
    let groups = groups();
    for (number, group) in groups.iter().enumerate() {
        let settings: Vec<(&str, &str)> = group.iter().map(|(key, value)| (&**key, &**value)).collect();
        // A server that does not start, or does not answer srvr, panics with its log.
        Server::start_with(Kind::Ostler, &settings).expect("the server");
        if whole || number % 8 == 0 {
            Server::start_with(Kind::ZooKeeper, &settings);
        }
    }
    for (number, lines) in LINES.iter().enumerate() {
        let ostler = Server::start_with_lines(Kind::Ostler, lines).expect("the server");
        if whole || number == 2 {
            let Some(zookeeper) = Server::start_with_lines(Kind::ZooKeeper, lines) else { continue };
            assert_eq!(effective(&ostler), effective(&zookeeper), "{lines}");
        }
    }
}

/// What `conf` tells of the settings, but for the places of the data.
fn effective(server: &Server) -> Vec<String> {
    let all = server.four_letter_word("conf");
    let told = ["tickTime=", "maxClientCnxns=", "minSessionTimeout=", "maxSessionTimeout="];
    let is_told = |line: &&str| told.iter().any(|key| line.starts_with(key));
    let lines: Vec<String> = all.lines().filter(is_told).map(str::to_owned).collect();
    assert!(lines.len() == 4, "{all}");
    lines
}

/// A request longer than the default is taken where `jute.maxbuffer` says so, and a longer one is
/// not. That its length is announced costs nothing: the connection is closed before any of it is
/// there.
#[test]
fn requests_may_be_as_long_as_jute_maxbuffer_says() {
    const LIMIT: usize = 50 << 20;
    let server = Server::start_with(Kind::Ostler, &[("jute.maxbuffer", "52428800")]).expect("the server");
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    let data = vec![b'x'; 40 << 20];
    session.must(&create("/long", &data, 0));
    assert_eq!(session.must(&get_data("/long")).buffer().len(), data.len());
    session.connection.send(&(LIMIT as u32 + 1).to_be_bytes());
    assert!(session.is_closed_within(Duration::from_secs(10)), "a longer one");
}

fn create_with(path: &str, acl: &[(i32, &str, &str)]) -> Request {
    let entry = |&(perms, scheme, id): &(i32, &str, &str)| -> AclEntry { (perms, scheme.into(), id.into()) };
    Request::Create {
        op: op::CREATE,
        path: path.to_owned(),
        data: None,
        acl: Some(acl.iter().map(entry).collect()),
        flags: 0,
        ttl_ms: 0,
    }
}

fn auth(scheme: &str, auth: &str) -> Request {
    Request::Auth { scheme: scheme.to_owned(), auth: Some(auth.into()) }
}

/// Digest off, and the two other providers that ZooKeeper ships, with the same steps on both
/// servers.
#[test]
fn schemes_are_switched_on_and_off_as_in_zookeeper() {
    let settings = [
        ("zookeeper.DigestAuthenticationProvider.enabled", "false"),
        ("zookeeper.authProvider.1", "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider"),
        ("zookeeper.ensembleAuthName", "blue, green"),
        ("zookeeper.authProvider.2", "org.apache.zookeeper.server.auth.KeyAuthenticationProvider"),
    ];
    for kind in [Kind::Ostler, Kind::ZooKeeper] {
        let Some(server) = Server::start_with(kind, &settings) else { continue };
        let open = || Session::open(server.address(), TIMEOUT_MS).expect("a session");

        let mut one = open();
        for (scheme, id) in
            [("digest", "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM="), ("ensemble", "blue"), ("auth", "")]
        {
            assert_eq!(
                one.call(&create_with("/a", &[(31, scheme, id)])).err,
                INVALID_ACL,
                "{kind:?} {scheme}"
            );
        }
        assert_eq!(one.call(&auth("digest", "ann:secret")).err, AUTH_FAILED, "{kind:?}");
        assert!(one.is_closed_within(Duration::from_secs(10)), "{kind:?}");

        let mut blue = open();
        assert_eq!(blue.call(&auth("ensemble", "blue")).err, 0, "{kind:?}");
        assert_eq!(blue.call(&auth("ensemble", "")).err, 0, "{kind:?}");
        let mut red = open();
        red.send(&auth("ensemble", "red"));
        assert_eq!(red.reply(), None, "{kind:?}: closed without an answer");

        blue.must(&create("/key", b"7", 0));
        assert_eq!(blue.call(&auth("key", "21")).err, 0, "{kind:?}");
        blue.must(&create_with("/locked", &[(31, "auth", "")]));
        assert_eq!(open().call(&get_data("/locked")).err, NO_AUTH, "{kind:?}");
        let mut other = open();
        assert_eq!(other.call(&auth("key", "-14")).err, 0, "{kind:?}");
        assert_eq!(other.call(&get_data("/locked")).err, 0, "{kind:?}");
        assert_eq!(open().call(&auth("key", "22")).err, AUTH_FAILED, "{kind:?}");
    }
}

/// Looks at the containers and TTL nodes came every 100 ms at best, however short the interval was
/// set.
#[test]
fn ttl_nodes_go_as_soon_as_the_interval_says() {
    let settings = [("znode.container.checkIntervalMs", "1")];
    let server = Server::start_with(Kind::Ostler, &settings).expect("the server");
    let mut session = Session::open(server.address(), TIMEOUT_MS).expect("a session");
    let gone_after = |session: &mut Session, path: &str| {
        let create = Request::Create {
            op: op::CREATE_TTL,
            path: path.to_owned(),
            data: None,
            acl: open_acl(),
            flags: 5,
            ttl_ms: 10,
        };
        session.must(&create);
        let created = Instant::now();
        while session.call(&get_data(path)).err != NO_NODE {
            std::thread::sleep(Duration::from_millis(1));
        }
        created.elapsed()
    };
    // Only the quickest tells: the others may have waited for a processor.
    let quickest = (0..50)
        .map(|number| gone_after(&mut session, &format!("/ttl{number}")))
        .find(|took| *took < Duration::from_millis(60));
    assert!(quickest.is_some(), "none of 50 nodes went within 60 ms");
}
