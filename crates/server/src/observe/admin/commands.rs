//! The commands and the fields of their answers, under ZooKeeper's names.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::member;
use crate::observe::four_letter::member::peer_state;
use crate::observe::four_letter::{NOT_SERVING, TRACE_MASK, format};
use crate::observe::metrics::{self, Number, four_digits};
use crate::observe::metrics_process;
use crate::observe::stats::{ConnectionFacts, Facts, ServerState, SessionList, Source, WatchFacts};

/// How a command is run.
#[derive(Clone, Copy)]
enum Action {
    /// Answers even if the server is not serving.
    Always(fn(&Asked<'_>) -> Fields),
    /// Answers only if the server is serving.
    Serving(fn(&Asked<'_>) -> Fields),
    /// Takes a snapshot, if the server is serving and the client may have one.
    Snapshot,
    /// Exists in ZooKeeper, but not here.
    Unsupported,
}

pub(super) type Fields = Map<String, Value>;

/// The input of a command.
pub(super) struct Asked<'a> {
    pub(super) source: &'a dyn Source,
    arguments: &'a [(String, String)],
}

/// All names of a command, the primary one first.
const COMMANDS: &[(&[&str], Action)] = &[
    (&["configuration", "conf", "config"], Action::Serving(configuration)),
    (&["connection_stat_reset", "crst"], Action::Serving(connection_stat_reset)),
    (&["connections", "cons"], Action::Serving(connections)),
    (&["dirs"], Action::Serving(dirs)),
    (&["dump"], Action::Serving(dump)),
    (&["environment", "env", "envi"], Action::Always(environment)),
    (&["get_trace_mask", "gtmk"], Action::Always(get_trace_mask)),
    (&["hash"], Action::Serving(hash)),
    (&["initial_configuration", "icfg"], Action::Always(initial_configuration)),
    (&["is_read_only", "isro"], Action::Serving(is_read_only)),
    (&["last_snapshot", "lsnp"], Action::Serving(last_snapshot)),
    (&["leader", "lead"], Action::Serving(member::leader)),
    (&["member"], Action::Always(member::member)),
    (&["monitor", "mntr"], Action::Serving(monitor)),
    (&["observer_connection_stat_reset", "orst"], Action::Serving(|_| Map::new())),
    (&["observers", "obsr"], Action::Serving(member::observers)),
    (&["reload_certificates"], Action::Always(reload_certificates)),
    (&["restore", "rest"], Action::Unsupported),
    (&["ruok"], Action::Serving(|_| Map::new())),
    (&["server_stats", "srvr"], Action::Serving(server_stats)),
    (&["set_trace_mask", "stmk"], Action::Always(set_trace_mask)),
    (&["snapshot", "snap"], Action::Snapshot),
    (&["stat_reset", "srst"], Action::Serving(stat_reset)),
    (&["stats", "stat"], Action::Serving(stats)),
    (&["system_properties", "sysp"], Action::Always(system_properties)),
    (&["voting_view"], Action::Serving(member::voting_view)),
    (&["watch_summary", "wchs"], Action::Serving(watch_summary)),
    (&["watches", "wchc"], Action::Serving(watches)),
    (&["watches_by_path", "wchp"], Action::Serving(watches_by_path)),
    (&["zabstate"], Action::Always(member::zabstate)),
];

/// The commands that change something, by primary name. They accept POST as well as GET.
const CHANGING: &[&str] = &[
    "connection_stat_reset",
    "observer_connection_stat_reset",
    "reload_certificates",
    "set_trace_mask",
    "stat_reset",
];

/// The answer to a command.
pub(super) struct Reply {
    /// HTTP status. As in ZooKeeper, 200 even for most errors, which are in the field `error`.
    pub(super) status: u16,
    /// `command`, `error` (null for none), and the command's own fields.
    pub(super) fields: Fields,
}

/// What a request leads to.
pub(super) enum Outcome {
    /// This answer.
    Reply(Reply),
    /// A snapshot, if the client may have one.
    Snapshot,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Outcome {
        Outcome::Reply(reply)
    }
}

/// Runs a command by any of its names. `objection`: why the request may not change anything.
pub(super) fn run(
    name: &str,
    arguments: &[(String, String)],
    post: bool,
    objection: Option<&str>,
    source: &dyn Source,
) -> Outcome {
    let Some((names, action)) = COMMANDS.iter().find(|(names, _)| names.contains(&name)) else {
        return error(200, name, &format!("Unknown command: {name}")).into();
    };
    let primary = names[0];
    let is_changing = CHANGING.contains(&primary);
    let action = match action {
        Action::Unsupported => {
            let text = "the state of a running server follows from its log; \
                        put the snapshot into the folder snapshot of an empty data directory";
            return error(501, primary, text).into();
        }
        _ if is_changing && objection.is_some() => {
            return error(403, primary, objection.unwrap_or_default()).into();
        }
        _ if post && !is_changing => return error(405, primary, "this command takes GET").into(),
        Action::Serving(_) | Action::Snapshot if !source.is_serving() => {
            return error(200, primary, NOT_SERVING).into();
        }
        // It costs as much as something that changes.
        Action::Snapshot => {
            return objection.map_or(Outcome::Snapshot, |text| error(403, primary, text).into());
        }
        Action::Serving(action) | Action::Always(action) => action,
    };
    let mut fields = action(&Asked { source, arguments });
    fields.insert("command".to_owned(), json!(primary));
    fields.entry("error").or_insert(Value::Null);
    Reply { status: 200, fields }.into()
}

pub(super) fn error(status: u16, name: &str, text: &str) -> Reply {
    Reply { status, fields: fields(json!({ "command": name, "error": text })) }
}

/// A page of links, like ZooKeeper's.
pub(super) fn links(url: &str) -> String {
    let link = |name| format!("<a href=\"{url}/{name}\">{name}</a>\n<br/>\n");
    COMMANDS.iter().map(|(names, _)| link(names[0])).collect()
}

/// The fields of an object written with `json!`.
pub(super) fn fields(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        other => unreachable!("commands answer with objects, not {other}"),
    }
}

fn configuration(asked: &Asked<'_>) -> Fields {
    use format::Setting;
    let entries = format::configuration_entries(asked.source).into_iter().map(|(setting, value)| {
        let name = match setting {
            Setting::ClientPort => "client_port",
            Setting::DataDir => return ("data_dir".to_owned(), json!(value)),
            Setting::LogDir => return ("data_log_dir".to_owned(), json!(value)),
            Setting::TickTime => "tick_time",
            Setting::ConnectionsPerAddress => "max_client_cnxns",
            Setting::TimeoutMin => "min_session_timeout",
            Setting::TimeoutMax => "max_session_timeout",
            Setting::Backlog => "client_port_listen_backlog",
            Setting::ServerId => "server_id",
        };
        (name.to_owned(), value.parse::<i64>().map_or(Value::Null, Value::from))
    });
    entries.collect()
}

fn connection_stat_reset(asked: &Asked<'_>) -> Fields {
    asked.source.reset_connection_statistics();
    Map::new()
}

/// Not in ZooKeeper.
fn reload_certificates(asked: &Asked<'_>) -> Fields {
    let error = match asked.source.reload_certificates() {
        Some(Ok(())) => return Map::new(),
        Some(Err(why)) => format!("the old certificates stay in use: {why}"),
        None => "there is no TLS".to_owned(),
    };
    fields(json!({ "error": error }))
}

fn stat_reset(asked: &Asked<'_>) -> Fields {
    asked.source.reset_statistics();
    Map::new()
}

fn connections(asked: &Asked<'_>) -> Fields {
    connection_lists(asked, false)
}

/// The connections without TLS, and those with it.
fn connection_lists(asked: &Asked<'_>, brief: bool) -> Fields {
    let all = asked.source.connections();
    let list = |is_secure| {
        let chosen = all.iter().filter(|connection| connection.is_secure == is_secure);
        chosen.map(|connection| connection_info(connection, brief)).collect::<Vec<Value>>()
    };
    fields(json!({ "connections": list(false), "secure_connections": list(true) }))
}

fn connection_info(connection: &ConnectionFacts, brief: bool) -> Value {
    let mut info = fields(json!({
        "remote_socket_address": format::java_address(connection.peer),
        "interest_ops": 1,
        "outstanding_requests": connection.outstanding,
        "packets_received": connection.received,
        "packets_sent": connection.sent,
    }));
    if let (false, Some(session)) = (brief, &connection.session) {
        let (min, avg, max) = session.latency_ms;
        info.extend(fields(json!({
            "session_id": session.id,
            "last_operation": format::operation(session.last_opcode),
            "established": connection.established_ms,
            "session_timeout": session.timeout_ms,
            "last_cxid": session.last_xid,
            "last_zxid": session.last_zxid,
            "last_response_time": session.last_response_ms,
            "last_latency": session.last_latency_ms,
            "min_latency": min,
            "avg_latency": avg,
            "max_latency": max,
        })));
    }
    Value::Object(info)
}

fn dirs(asked: &Asked<'_>) -> Fields {
    let bytes = asked.source.directory_bytes();
    fields(json!({ "datadir_size": bytes.data, "logdir_size": bytes.log }))
}

/// ZooKeeper's times here are of a clock that starts with the machine; these are ms since 1970.
fn dump(asked: &Asked<'_>) -> Fields {
    let SessionList { sessions, is_cut_short } = asked.source.sessions();
    let mut expiry: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for session in &sessions {
        expiry.entry(session.expires_ms.to_string()).or_default().push(session.id);
    }
    let owners = sessions.into_iter().filter(|session| !session.ephemerals.is_empty());
    let ephemerals: BTreeMap<String, Vec<String>> =
        owners.map(|session| (session.id.to_string(), session.ephemerals)).collect();
    let all = json!({ "expiry_time_to_session_ids": expiry, "session_id_to_ephemeral_paths": ephemerals });
    cut_short(fields(all), is_cut_short)
}

fn environment(_: &Asked<'_>) -> Fields {
    metrics_process::environment().into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()
}

fn get_trace_mask(_: &Asked<'_>) -> Fields {
    fields(json!({ "tracemask": TRACE_MASK }))
}

fn set_trace_mask(asked: &Asked<'_>) -> Fields {
    let argument = asked.arguments.iter().find(|(key, _)| key == "traceMask").map(|(_, value)| value);
    match argument.map(|value| value.parse::<i64>()) {
        None => fields(json!({ "error": "setTraceMask requires long traceMask argument" })),
        Some(Err(_)) => fields(
            json!({ "error": "setTraceMask requires long traceMask argument, got ".to_owned() + argument.map_or("", |v| v) }),
        ),
        Some(Ok(mask)) => fields(json!({ "tracemask": mask })),
    }
}

fn hash(asked: &Asked<'_>) -> Fields {
    let digests = asked.source.digests().into_iter();
    // The version of the digest algorithm; ZooKeeper's is 2.
    let digests: Vec<Value> = digests
        .map(|(zxid, digest)| json!({ "zxid": zxid, "digest": digest as i64, "digest_version": 2 }))
        .collect();
    fields(json!({ "digests": digests }))
}

/// All settings, wherever they were set; passwords hidden.
fn initial_configuration(asked: &Asked<'_>) -> Fields {
    let settings = &asked.source.config().settings;
    let text: String = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    fields(json!({ "initial_configuration": text }))
}

fn is_read_only(asked: &Asked<'_>) -> Fields {
    fields(json!({ "read_only": asked.source.facts().root.state == ServerState::ReadOnly }))
}

fn last_snapshot(asked: &Asked<'_>) -> Fields {
    match asked.source.facts().root.snapshot {
        Some(snapshot) => fields(
            json!({ "zxid": format!("{:x}", snapshot.zxid), "timestamp": snapshot.finished_ms / 1_000 }),
        ),
        None => fields(json!({ "zxid": format!("{:x}", -1i64), "timestamp": -1 })),
    }
}

fn monitor(asked: &Asked<'_>) -> Fields {
    let facts = asked.source.facts();
    let mut all =
        fields(json!({ "version": metrics_process::version(), "server_state": facts.root.state.name() }));
    for (key, number) in metrics::monitored(&facts) {
        let value = match number {
            Number::Whole(value) => json!(value),
            Number::Fraction(value) => json!(value),
        };
        all.insert(key, value);
    }
    if let Some(state) = peer_state(facts.root.state) {
        all.insert("peer_state".to_owned(), json!(state));
    }
    all
}

fn server_stats(asked: &Asked<'_>) -> Fields {
    let facts = asked.source.facts();
    let responses = sizes(facts.response_sizes());
    let mut all = fields(json!({
        "version": metrics_process::version(),
        "read_only": facts.root.state == ServerState::ReadOnly,
        "server_stats": statistics(asked.source, &facts, &responses),
        "client_response": responses,
        "node_count": facts.root.znodes,
    }));
    if facts.root.state == ServerState::Leader {
        all.insert("proposal_stats".to_owned(), sizes(facts.root.proposal_sizes()));
    }
    all
}

/// Last, smallest and largest reply or proposal.
fn sizes([last, min, max]: [i64; 3]) -> Value {
    json!({ "last_buffer_size": last, "min_buffer_size": min, "max_buffer_size": max })
}

fn statistics(source: &dyn Source, facts: &Facts, responses: &Value) -> Value {
    let bytes = source.directory_bytes();
    let latency = facts.latency();
    json!({
        "packets_sent": facts.threads.sent,
        "packets_received": facts.threads.received,
        "fsync_threshold_exceed_count": facts.counts.flushes_slow,
        "client_response_stats": responses,
        "uptime": facts.uptime_ms,
        "data_dir_size": bytes.data,
        "log_dir_size": bytes.log,
        "provider_null": false,
        "last_processed_zxid": facts.root.last_zxid,
        "outstanding_requests": facts.outstanding_requests,
        "server_state": facts.root.state.name(),
        "avg_latency": four_digits(latency.mean() / 1_000.0),
        "max_latency": latency.max / 1_000,
        "min_latency": latency.min / 1_000,
        "num_alive_client_connections": facts.connections,
        "auth_failed_count": facts.counts.auth_failed,
        "non_mtlsremote_conn_count": 0,
        "non_mtlslocal_conn_count": 0,
    })
}

fn stats(asked: &Asked<'_>) -> Fields {
    let mut all = server_stats(asked);
    all.extend(connection_lists(asked, true));
    all
}

/// The closest equivalent of Java's system properties: the settings under their property names.
fn system_properties(asked: &Asked<'_>) -> Fields {
    let settings = asked.source.config().settings.iter();
    settings.map(|(key, value)| (format!("zookeeper.{key}"), json!(value))).collect()
}

fn watch_summary(asked: &Asked<'_>) -> Fields {
    let counts = asked.source.watch_summary();
    fields(json!({
        "num_connections": counts.watchers,
        "num_paths": counts.paths,
        "num_total_watches": counts.watches,
    }))
}

fn watches(asked: &Asked<'_>) -> Fields {
    let WatchFacts { pairs, is_cut_short } = asked.source.watches();
    let sessions = format::by_session(pairs).into_iter();
    let sessions: BTreeMap<String, Vec<String>> =
        sessions.map(|(id, paths)| (id.to_string(), paths)).collect();
    cut_short(fields(json!({ "session_id_to_watched_paths": sessions })), is_cut_short)
}

fn watches_by_path(asked: &Asked<'_>) -> Fields {
    let WatchFacts { pairs, is_cut_short } = asked.source.watches();
    cut_short(fields(json!({ "path_to_session_ids": format::by_path(pairs) })), is_cut_short)
}

/// Marks a list as incomplete.
fn cut_short(mut list: Fields, is_cut_short: bool) -> Fields {
    if is_cut_short {
        list.insert("error".to_owned(), json!("the list is cut short: its paths have more than 64 MiB"));
    }
    list
}
