//! The additions of an ensemble to the answers: ZooKeeper's lines as it prints them, and after them
//! Ostler's own in `srvr` and `stat`.
//!
//! Scripts search for `leader` or `follower` anywhere in these answers, so none of Ostler's own
//! lines contains one of ZooKeeper's words for a role.

use std::fmt::Write;

use state::members::text_of;

use crate::config::{Config, ServerId, Servers};
use crate::observe::stats::{Facts, FollowerFacts, MemberRole, MemberStatus, ServerState};

/// Printed for a missing number of a server.
const NONE: &str = "none";

/// ZooKeeper's additional lines of `conf`. The election algorithm is 3, the only one ZooKeeper has.
pub(super) fn configuration(config: &Config, members: &Servers, version: i64) -> String {
    let limit = |key| config.settings.iter().find(|(name, _)| name == key).map_or("0", |(_, value)| value);
    let me = members.get(&config.server_id).cloned().unwrap_or_default();
    let list = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join("|");
    let quorum: Vec<u16> = me.addresses.iter().map(|(_, port)| *port).collect();
    let (init, sync) = (limit("initLimit"), limit("syncLimit"));
    format!(
        "initLimit={init}\nsyncLimit={sync}\nelectionAlg=3\nelectionPort={}\nquorumPort={}\npeerType={}\nmembership: \n\
         {}version={version:x}",
        list(&me.election_ports),
        list(&quorum),
        u8::from(me.observer),
        text_of(members),
    )
}

/// Adds the lines of `srvr` and `stat`: ZooKeeper's for a leader, then Ostler's own.
pub(super) fn write_server(out: &mut String, facts: &Facts) {
    if facts.root.state == ServerState::Leader {
        let [last, min, max] = facts.root.proposal_sizes();
        let _ = writeln!(out, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
    if let Some(member) = &facts.root.member {
        let written = write_member(out, member);
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
}

fn write_member(out: &mut String, member: &MemberStatus) -> std::fmt::Result {
    let MemberStatus { server, engine, term, starts, log, .. } = member;
    let list = |servers: &[ServerId]| match servers {
        [] => NONE.to_owned(),
        _ => servers.iter().map(ServerId::to_string).collect::<Vec<_>>().join(","),
    };
    writeln!(out, "Server id: {server}")?;
    writeln!(out, "Member id: {}", or_none(member.member))?;
    writeln!(out, "Consensus: {engine}")?;
    writeln!(out, "Term: {term}")?;
    writeln!(out, "Led by: {}", or_none(member.leader))?;
    writeln!(out, "Log applied/agreed/last: {}/{}/{}", log.applied, log.committed, log.last)?;
    writeln!(out, "Snapshot bytes fetched: {}", or_none(member.fetched_bytes))?;
    writeln!(out, "Joining: {}", if is_joining(member) { "yes" } else { "no" })?;
    writeln!(out, "Starts: {starts}")?;
    writeln!(out, "Voters: {}", list(&member.voters))?;
    writeln!(out, "Non-voters: {}", list(&member.learners))?;
    let changes = member.leading.iter().flat_map(|leading| &leading.changes);
    let changes: Vec<_> =
        changes.map(|(server, change)| format!("server.{server} {}", change.name())).collect();
    writeln!(
        out,
        "Reconfiguration: {}",
        if changes.is_empty() { NONE.to_owned() } else { changes.join(", ") }
    )?;
    let differences: Vec<_> = member.file_differences.iter().map(ToString::to_string).collect();
    if !differences.is_empty() {
        writeln!(out, "Configuration files: {}", differences.join(", "))?;
    }
    for follower in member.leading.iter().flat_map(|leading| &leading.followers) {
        let FollowerFacts { server, behind_entries, behind_bytes, .. } = follower;
        writeln!(
            out,
            "Member {server} behind entries/bytes: {behind_entries}/{behind_bytes}, {}",
            follower.state.name()
        )?;
    }
    Ok(())
}

/// Whether the server is about to become the voter that its configuration says it is.
pub(crate) fn is_joining(member: &MemberStatus) -> bool {
    matches!(member.role, MemberRole::Newcomer | MemberRole::Learner { observer: false })
}

fn or_none<N: std::fmt::Display>(number: Option<N>) -> String {
    number.map_or_else(|| NONE.to_owned(), |number| number.to_string())
}

/// ZooKeeper's `peer_state` of a serving server.
pub(crate) fn peer_state(state: ServerState) -> Option<&'static str> {
    match state {
        ServerState::Leader => Some("leading - broadcast"),
        ServerState::Follower => Some("following - broadcast"),
        ServerState::Observer => Some("observing - broadcast"),
        ServerState::Standalone | ServerState::ReadOnly => None,
    }
}
