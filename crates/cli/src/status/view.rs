//! The table for people and the object for programs.

use client::status::{Answer, MemberReport, PeerReport, ServerId, ServerStatus, Verdict};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

/// What is not known, or has no meaning.
const NOTHING: &str = "-";

/// One line of the table.
struct Row {
    server: Option<ServerId>,
    address: Option<String>,
    role: String,
    term: Option<u64>,
    zxid: Option<u64>,
    behind: Option<(u64, u64)>,
    connections: Option<u64>,
    health: String,
    version: Option<String>,
}

/// The table of all servers.
pub(super) fn table(servers: &[ServerStatus]) -> String {
    let engine =
        servers.iter().filter_map(ServerStatus::member).map(|member| member.consensus.as_str()).next();
    let paxos = engine == Some("paxos");
    let term = if paxos { "ballot" } else { "term" };
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "server",
        "address",
        "role",
        term,
        "zxid",
        "entries behind",
        "bytes behind",
        "connections",
        "health",
        "version",
    ]);
    let number = |number: Option<u64>| number.map_or(NOTHING.to_owned(), |number| number.to_string());
    for row in rows(servers) {
        table.add_row([
            number(row.server.map(u64::from)),
            row.address.unwrap_or_else(|| NOTHING.to_owned()),
            row.role,
            row.term.map_or(NOTHING.to_owned(), |term| if paxos { ballot(term) } else { term.to_string() }),
            row.zxid.map_or(NOTHING.to_owned(), |zxid| format!("{zxid:#x}")),
            number(row.behind.map(|(entries, _)| entries)),
            number(row.behind.map(|(_, bytes)| bytes)),
            number(row.connections),
            row.health,
            row.version.unwrap_or_else(|| NOTHING.to_owned()),
        ]);
    }
    for at in [3, 4, 5, 6, 7] {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// Servers and verdict as one object.
pub(super) fn json(servers: &[ServerStatus], verdict: &Verdict) -> Value {
    let consensus = servers.iter().filter_map(ServerStatus::member).map(|member| &member.consensus).next();
    let rows: Vec<Value> = rows(servers)
        .into_iter()
        .map(|row| {
            json!({
                "server_id": row.server,
                "address": row.address,
                "role": row.role,
                "term": row.term,
                "zxid": row.zxid,
                "behind_entries": row.behind.map(|(entries, _)| entries),
                "behind_bytes": row.behind.map(|(_, bytes)| bytes),
                "connections": row.connections,
                "health": row.health,
                "version": row.version,
            })
        })
        .collect();
    json!({
        "health": verdict.health.name(),
        "sentence": verdict.sentence,
        "consensus": consensus,
        "servers": rows,
    })
}

/// A line for each server that was asked, then one for each that only the leader spoke of.
fn rows(servers: &[ServerStatus]) -> Vec<Row> {
    let leader =
        servers.iter().filter(|asked| asked.leads()).filter_map(ServerStatus::member).max_by_key(|m| m.term);
    let others = leader.map(|leader| leader.others.as_slice()).unwrap_or_default();
    let mut rows: Vec<Row> = servers.iter().map(|asked| row(asked, others)).collect();
    let known: Vec<ServerId> =
        servers.iter().filter_map(ServerStatus::member).map(|member| member.server).collect();
    let mut unnamed = others.iter().filter(|other| !known.contains(&other.server));
    let without_answer = servers.iter().filter(|asked| asked.server().is_none()).count();
    // Addresses cannot be matched to servers if several did not answer.
    match (without_answer, unnamed.clone().count()) {
        (0, _) => rows.extend(unnamed.map(not_asked)),
        (1, 1) => {
            let row = rows.iter_mut().find(|row| row.server.is_none() && row.version.is_none());
            if let (Some(row), Some(other)) = (row, unnamed.next()) {
                row.server = Some(other.server);
                row.behind = Some((other.behind_entries, other.behind_bytes));
            }
        }
        _ => {}
    }
    rows
}

fn row(asked: &ServerStatus, others: &[PeerReport]) -> Row {
    let member = asked.member();
    let seen = member.and_then(|member| others.iter().find(|other| other.server == member.server));
    let server = asked.server();
    Row {
        server: member.map(|member| member.server),
        address: Some(asked.address.clone()),
        role: server.map_or(NOTHING.to_owned(), |server| server.mode.clone()),
        term: member.map(|member| member.term),
        zxid: server.map(|server| server.zxid),
        behind: seen.map(|seen| (seen.behind_entries, seen.behind_bytes)),
        connections: server.map(|server| server.connections),
        health: health(asked, member, seen),
        version: server.map(|server| short(&server.version)),
    }
}

/// A member that was not named on the command line.
fn not_asked(other: &PeerReport) -> Row {
    Row {
        server: Some(other.server),
        address: None,
        role: "not asked".to_owned(),
        term: None,
        zxid: None,
        behind: Some((other.behind_entries, other.behind_bytes)),
        connections: None,
        health: other.state.clone(),
        version: None,
    }
}

fn health(asked: &ServerStatus, member: Option<&MemberReport>, seen: Option<&PeerReport>) -> String {
    match (&asked.answer, member, seen) {
        (Answer::Waits, ..) => "not serving".to_owned(),
        (Answer::Silent(why), ..) => format!("no answer: {why}"),
        (_, Some(MemberReport { fetched_bytes: Some(bytes), .. }), _) => {
            format!("fetches a snapshot, {bytes} bytes so far")
        }
        (_, Some(MemberReport { joining: true, .. }), _) => "joining".to_owned(),
        (_, Some(MemberReport { led_by: None, .. }), _) => "hears from no leader".to_owned(),
        (.., Some(seen)) if !seen.is_in_step() => seen.state.clone(),
        _ => "ok".to_owned(),
    }
}

/// A ballot is a round and, in the lower half, the member that opened it.
fn ballot(term: u64) -> String {
    format!("{}.{}", term >> 32, term & u64::from(u32::MAX))
}

/// `ostler 0.1.0`, or `3.9.5` for another server, of what is reported in full.
fn short(version: &str) -> String {
    let version = version.split(',').next().unwrap_or_default();
    match version.split_once("-ostler-") {
        Some((_, ours)) => format!("ostler {ours}"),
        None => version.split('-').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::status::{ServerReport, verdict};

    fn serving(address: &str, mode: &str, member: MemberReport) -> ServerStatus {
        let server = ServerReport {
            version: "3.9.5-ostler-0.1.0, built on 2026-11-23 08:00 UTC".to_owned(),
            mode: mode.to_owned(),
            zxid: 0x5_0000_0007,
            connections: 2,
            member: Some(member),
        };
        ServerStatus { address: address.to_owned(), answer: Answer::Serves(Box::new(server)) }
    }

    fn other(server: ServerId, behind: u64, state: &str) -> PeerReport {
        PeerReport { server, behind_entries: behind, behind_bytes: behind * 100, state: state.to_owned() }
    }

    fn leader() -> ServerStatus {
        let member = MemberReport {
            server: 1,
            consensus: "raft".to_owned(),
            term: 5,
            led_by: Some(1),
            voters: vec![1, 2, 3],
            others: vec![other(2, 3, "in step"), other(3, 9_000, "silent")],
            ..MemberReport::default()
        };
        serving("a:2181", "leader", member)
    }

    fn follower() -> ServerStatus {
        let member = MemberReport {
            server: 2,
            term: 5,
            led_by: Some(1),
            voters: vec![1, 2, 3],
            ..MemberReport::default()
        };
        serving("b:2181", "follower", member)
    }

    fn silent() -> ServerStatus {
        ServerStatus { address: "c:2181".to_owned(), answer: Answer::Silent("connection refused".to_owned()) }
    }

    fn words(line: &str) -> Vec<&str> {
        line.split(['│', '┆']).map(str::trim).filter(|cell| !cell.is_empty()).collect()
    }

    #[test]
    fn the_table_has_a_line_for_each_server() {
        let text = table(&[leader(), follower(), silent()]);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("2181")).map(words).collect();
        assert_eq!(
            lines[0],
            ["1", "a:2181", "leader", "5", "0x500000007", "-", "-", "2", "ok", "ostler 0.1.0"]
        );
        assert_eq!(lines[1][5..9], ["3", "300", "2", "ok"]);
        assert_eq!(
            lines[2],
            ["3", "c:2181", "-", "-", "-", "9000", "900000", "-", "no answer: connection refused", "-"]
        );
    }

    #[test]
    fn a_member_that_was_not_asked_is_shown_as_its_leader_sees_it() {
        let rows = rows(&[leader(), follower()]);
        let last = rows.last().unwrap();
        assert_eq!((last.server, last.role.as_str(), last.health.as_str()), (Some(3), "not asked", "silent"));
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn which_of_two_silent_addresses_is_whose_is_not_guessed() {
        let rows = rows(&[leader(), silent(), silent()]);
        assert_eq!(rows.iter().map(|row| row.server).collect::<Vec<_>>(), [Some(1), None, None]);
    }

    #[test]
    fn json_has_the_same_facts() {
        let servers = [leader(), follower(), silent()];
        let value = json(&servers, &verdict(&servers));
        assert_eq!((&value["health"], &value["consensus"]), (&json!("degraded"), &json!("raft")));
        assert_eq!(value["servers"][1]["behind_bytes"], 300);
        assert_eq!(value["servers"][2]["zxid"], Value::Null);
    }

    #[test]
    fn a_paxos_ensemble_has_ballots() {
        let Answer::Serves(mut server) = leader().answer else { panic!("it serves") };
        let member = server.member.as_mut().unwrap();
        (member.consensus, member.term) = ("paxos".to_owned(), 7 << 32 | 258);
        let text = table(&[ServerStatus { address: "a:2181".to_owned(), answer: Answer::Serves(server) }]);
        assert!(text.contains("ballot") && text.contains(" 7.258 "), "{text}");
    }

    #[test]
    fn versions_are_told_in_brief() {
        assert_eq!(short("3.9.5-ostler-0.1.0, built on x"), "ostler 0.1.0");
        assert_eq!(short("3.9.5-293c895a8d966, built on x"), "3.9.5");
    }
}
