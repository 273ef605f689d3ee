//! The text of each answer, line for line as ZooKeeper prints it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use state::watch::WatchSummary;

use crate::date::Date;
use crate::observe::four_letter::member;
use crate::observe::metrics::{self, four_digits};
use crate::observe::metrics_process;
use crate::observe::stats::{ConnectionFacts, ServerState, SessionList, Source, WatchFacts};

/// Adds one line; writing to a string cannot fail.
macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($arg:tt)*) => {{
        let _ = writeln!($out, $($arg)*);
    }};
}

pub(super) fn configuration(source: &dyn Source) -> String {
    let bytes = source.directory_bytes();
    let mut out = String::new();
    for (key, value) in configuration_entries(source) {
        let (name, text) = match key {
            Setting::ClientPort => ("clientPort", value),
            Setting::DataDir => ("dataDir", value),
            Setting::LogDir => ("dataLogDir", value),
            Setting::TickTime => ("tickTime", value),
            Setting::ConnectionsPerAddress => ("maxClientCnxns", value),
            Setting::TimeoutMin => ("minSessionTimeout", value),
            Setting::TimeoutMax => ("maxSessionTimeout", value),
            Setting::Backlog => ("clientPortListenBacklog", value),
            Setting::ServerId => ("serverId", value),
        };
        line!(out, "{name}={text}");
        match key {
            Setting::ClientPort => {
                line!(out, "secureClientPort={}", shown_port(source.facts().secure_port));
            }
            Setting::DataDir => line!(out, "dataDirSize={}", bytes.data),
            Setting::LogDir => line!(out, "dataLogSize={}", bytes.log),
            _ => {}
        }
    }
    let config = source.config();
    if config.ensemble.is_some() {
        let (members, version) = source.members();
        out.push_str(&member::configuration(config, &members, version));
    }
    out
}

/// A port, or what ZooKeeper shows if there is none.
fn shown_port(port: Option<u16>) -> String {
    port.map_or("-1".to_owned(), |port| port.to_string())
}

/// The settings that `conf` and the AdminServer's `configuration` show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    ClientPort,
    DataDir,
    LogDir,
    TickTime,
    ConnectionsPerAddress,
    TimeoutMin,
    TimeoutMax,
    Backlog,
    ServerId,
}

/// Their values, in the order of `conf`.
pub(crate) fn configuration_entries(source: &dyn Source) -> Vec<(Setting, String)> {
    let config = source.config();
    let absolute =
        |path: &std::path::Path| std::path::absolute(path).unwrap_or(path.to_owned()).display().to_string();
    vec![
        (Setting::ClientPort, shown_port(Some(source.facts().client_port).filter(|&port| port != 0))),
        (Setting::DataDir, absolute(&config.storage.data_dir)),
        (Setting::LogDir, absolute(&config.storage.log_dir)),
        (Setting::TickTime, config.tick_time_ms.to_string()),
        (Setting::ConnectionsPerAddress, config.connection.per_address_max.to_string()),
        (Setting::TimeoutMin, config.session.timeout_ms_min.to_string()),
        (Setting::TimeoutMax, config.session.timeout_ms_max.to_string()),
        (Setting::Backlog, config.listen.backlog.to_string()),
        (Setting::ServerId, config.server_id.to_string()),
    ]
}

pub(super) fn connections(source: &dyn Source) -> String {
    let mut out = String::new();
    for connection in source.connections() {
        write_connection(&mut out, &connection, false);
        line!(out);
    }
    line!(out);
    out
}

fn write_connection(out: &mut String, connection: &ConnectionFacts, brief: bool) {
    let ConnectionFacts { outstanding, received, sent, .. } = connection;
    // The number in brackets is the selector's interest set: 1, waiting to read.
    let peer = java_address(connection.peer);
    let _ = write!(out, " /{peer}[1](queued={outstanding},recved={received},sent={sent}");
    if let (false, Some(session)) = (brief, &connection.session) {
        let operation = operation(session.last_opcode);
        let (established, timeout) = (connection.established_ms, session.timeout_ms);
        let _ = write!(out, ",sid=0x{:x},lop={operation},est={established},to={timeout}", session.id);
        if session.last_xid >= 0 {
            let _ = write!(out, ",lcxid=0x{:x}", session.last_xid);
        }
        let (min, avg, max) = session.latency_ms;
        let (zxid, response, last) = (session.last_zxid, session.last_response_ms, session.last_latency_ms);
        let _ = write!(
            out,
            ",lzxid=0x{zxid:x},lresp={response},llat={last},minlat={min},avglat={avg},maxlat={max}"
        );
    }
    out.push(')');
}

/// An address as Java prints it: IPv6 in brackets, with all its groups.
pub(crate) fn java_address(address: SocketAddr) -> String {
    let port = address.port();
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{}]:{port}", java_ipv6(ip)),
    }
}

fn java_ipv6(ip: Ipv6Addr) -> String {
    ip.segments().map(|group| format!("{group:x}")).join(":")
}

/// ZooKeeper's four letters for the last operation of a connection; `NA` before the first.
pub(crate) fn operation(opcode: Option<i32>) -> &'static str {
    match opcode {
        Some(1 | 15 | 19 | 21 | 502) => "CREA",
        Some(2 | 20 | 503 | 505) => "DELE",
        Some(3) => "EXIS",
        Some(4) => "GETD",
        Some(5) => "SETD",
        Some(6) => "GETA",
        Some(7) => "SETA",
        Some(8 | 12 | 500 | 506 | 507) => "GETC",
        Some(9) => "SYNC",
        Some(11) => "PING",
        Some(13 | 501 | 504) => "CHEC",
        Some(14) => "MULT",
        Some(16) => "RECO",
        Some(17) => "CHKW",
        Some(18) => "REMW",
        Some(22) => "MLTR",
        Some(101) => "SETW",
        Some(103) => "GETE",
        Some(104) => "GETACN",
        Some(105) => "STW2",
        Some(106) => "ADDW",
        Some(107) => "HOMI",
        Some(-10) => "SESS",
        Some(-11) => "CLOS",
        _ => "NA",
    }
}

pub(super) fn directories(source: &dyn Source) -> String {
    let bytes = source.directory_bytes();
    format!("datadir_size: {}\nlogdir_size: {}\n", bytes.data, bytes.log)
}

pub(super) fn sessions(source: &dyn Source) -> String {
    let SessionList { mut sessions, is_cut_short } = source.sessions();
    sessions.sort_unstable_by_key(|session| (session.expires_ms, session.id));
    let mut out = "SessionTracker dump:\n".to_owned();
    let members = sessions.iter().map(|session| (session.expires_ms, format!("0x{:x}", session.id)));
    write_expiry(&mut out, "Session", members);
    line!(out, "ephemeral nodes dump:");
    let owners = || sessions.iter().filter(|session| !session.ephemerals.is_empty());
    line!(out, "Sessions with Ephemerals ({}):", owners().count());
    for owner in owners() {
        line!(out, "0x{:x}:", owner.id);
        for path in &owner.ephemerals {
            line!(out, "\t{path}");
        }
    }
    line!(out, "Connections dump:");
    let config = source.config();
    let handshake_ms = i64::from(config.connection.handshake_timeout_ms);
    let expiries: BTreeMap<i64, i64> =
        sessions.iter().map(|session| (session.id, session.expires_ms)).collect();
    let members = source.connections().into_iter().map(|connection| {
        let id = connection.session.as_ref().map_or(0, |session| session.id);
        let expires_ms = expiries.get(&id).copied().unwrap_or(connection.established_ms + handshake_ms);
        (expires_ms, format!("ip: /{} sessionId: 0x{id:x}", java_address(connection.peer)))
    });
    write_expiry(&mut out, "Connections", members.collect::<Vec<_>>());
    out.push_str(cut_short(is_cut_short));
    out
}

/// The line at the end of an incomplete list.
fn cut_short(is_cut_short: bool) -> &'static str {
    if is_cut_short { "(The list is cut short: its paths have more than 64 MiB.)\n" } else { "" }
}

/// An expiry queue: the numbers of its points in time and of its members, and the members of each
/// point.
fn write_expiry(out: &mut String, what: &str, members: impl IntoIterator<Item = (i64, String)>) {
    let mut sets: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (expires_ms, member) in members {
        sets.entry(expires_ms).or_default().push(member);
    }
    let count: usize = sets.values().map(Vec::len).sum();
    line!(out, "{what} Sets ({})/({count}):", sets.len());
    for (expires_ms, members) in sets {
        line!(out, "{} expire at {}:", members.len(), Date::of_ms(expires_ms).java());
        for member in members {
            line!(out, "\t{member}");
        }
    }
}

pub(super) fn digests(source: &dyn Source) -> String {
    let mut out = String::new();
    for (zxid, digest) in source.digests() {
        // ZooKeeper's digest is a signed number.
        line!(out, "{zxid:x}: {}", digest as i64);
    }
    out
}

pub(super) fn environment() -> String {
    let mut out = "Environment:\n".to_owned();
    for (key, value) in metrics_process::environment() {
        line!(out, "{key}={value}");
    }
    out
}

pub(super) fn read_only(source: &dyn Source) -> String {
    let state = source.facts().root.state;
    if state == ServerState::ReadOnly { "ro" } else { "rw" }.to_owned()
}

pub(super) fn metrics(source: &dyn Source) -> String {
    let facts = source.facts();
    let mut out = String::new();
    line!(out, "zk_version\t{}", metrics_process::version());
    line!(out, "zk_server_state\t{}", facts.root.state.name());
    if let Some(state) = member::peer_state(facts.root.state) {
        line!(out, "zk_peer_state\t{state}");
    }
    for (key, value) in metrics::monitored(&facts) {
        line!(out, "zk_{key}\t{value}");
    }
    out
}

pub(super) fn server(source: &dyn Source, with_clients: bool) -> String {
    let facts = source.facts();
    let mut out = String::new();
    line!(out, "Zookeeper version: {}", metrics_process::version());
    if facts.root.state == ServerState::ReadOnly {
        line!(out, "READ-ONLY mode; serving only read-only clients");
    }
    if with_clients {
        line!(out, "Clients:");
        for connection in source.connections() {
            write_connection(&mut out, &connection, true);
            line!(out);
        }
        line!(out);
    }
    let latency = facts.latency();
    let average = four_digits(latency.mean() / 1_000.0);
    line!(out, "Latency min/avg/max: {}/{average:?}/{}", latency.min / 1_000, latency.max / 1_000);
    line!(out, "Received: {}", facts.threads.received);
    line!(out, "Sent: {}", facts.threads.sent);
    line!(out, "Connections: {}", facts.connections);
    line!(out, "Outstanding: {}", facts.outstanding_requests);
    line!(out, "Zxid: 0x{:x}", facts.root.last_zxid);
    line!(out, "Mode: {}", facts.root.state.name());
    line!(out, "Node count: {}", facts.root.znodes);
    member::write_server(&mut out, &facts);
    out
}

pub(super) fn watches_by_session(source: &dyn Source) -> String {
    let mut out = String::new();
    let WatchFacts { pairs, is_cut_short } = source.watches();
    for (session, paths) in by_session(pairs) {
        line!(out, "0x{session:x}");
        for path in paths {
            line!(out, "\t{path}");
        }
    }
    out.push_str(cut_short(is_cut_short));
    line!(out);
    out
}

pub(super) fn watches_by_path(source: &dyn Source) -> String {
    let mut out = String::new();
    let WatchFacts { pairs, is_cut_short } = source.watches();
    for (path, sessions) in by_path(pairs) {
        line!(out, "{path}");
        for session in sessions {
            line!(out, "\t0x{session:x}");
        }
    }
    out.push_str(cut_short(is_cut_short));
    line!(out);
    out
}

pub(super) fn watch_summary(source: &dyn Source) -> String {
    let WatchSummary { watchers, paths, watches } = source.watch_summary();
    format!("{watchers} connections watching {paths} paths\nTotal watches:{watches}\n")
}

/// The paths that each session watches, both in order.
pub(crate) fn by_session(pairs: Vec<(String, i64)>) -> BTreeMap<i64, Vec<String>> {
    let mut sessions: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for (path, session) in pairs {
        sessions.entry(session).or_default().push(path);
    }
    sessions.values_mut().for_each(|paths| paths.sort_unstable());
    sessions
}

/// The sessions that watch each path, both in order.
pub(crate) fn by_path(pairs: Vec<(String, i64)>) -> BTreeMap<String, Vec<i64>> {
    let mut paths: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (path, session) in pairs {
        paths.entry(path).or_default().push(session);
    }
    paths.values_mut().for_each(|sessions| sessions.sort_unstable());
    paths
}

/// The log's positions, as ClickHouse Keeper prints them.
pub(super) fn log(source: &dyn Source) -> String {
    let facts = source.facts();
    let log = facts.root.log;
    let mut out = String::new();
    for (key, value) in [
        ("first_log_idx", log.first_index),
        ("first_log_term", log.first_term),
        ("last_log_idx", log.last_index),
        ("last_log_term", log.last_term),
        ("last_committed_log_idx", log.committed_index),
        ("leader_committed_log_idx", log.committed_index),
        ("target_committed_log_idx", log.committed_index),
        ("last_snapshot_idx", facts.root.snapshot.map_or(0, |snapshot| snapshot.log_index)),
    ] {
        line!(out, "{key}\t{value}");
    }
    out
}
