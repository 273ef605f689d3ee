//! What an ensemble adds to the answers: ZooKeeper's lines as it prints them, and behind them our own in `srvr` and `stat`.
//!
//! Scripts look for `leader` or `follower` anywhere in these answers, so no line of ours has a word of ZooKeeper's for a role.

use std::fmt::Write;

use crate::config::{Config, Ensemble, Member};
use crate::facts::{Facts, FollowerFacts, MemberFacts, MemberRole, ServerState};

/// What stands for a missing number of a server.
const NOBODY: &str = "none";

/// ZooKeeper's further lines of `conf`. There is one port for everything between two servers, so the election port is the quorum port;
/// elections are of kind 3, the only one ZooKeeper has.
pub(super) fn configuration(config: &Config, ensemble: &Ensemble) -> String {
    let limit = |key| config.settings.iter().find(|(name, _)| name == key).map_or("0", |(_, value)| value);
    let me = ensemble.members.get(&config.server_id);
    let ports: Vec<String> =
        me.iter().flat_map(|member| &member.addresses).map(|(_, port)| port.to_string()).collect();
    let (ports, observer) = (ports.join("|"), me.is_some_and(|member| member.observer));
    let (init, sync) = (limit("initLimit"), limit("syncLimit"));
    let mut out = format!(
        "initLimit={init}\nsyncLimit={sync}\nelectionAlg=3\nelectionPort={ports}\nquorumPort={ports}\npeerType={}\nmembership: \n",
        u8::from(observer)
    );
    for (server, member) in &ensemble.members {
        let _ = writeln!(out, "server.{server}={}", entry(member));
    }
    out.push_str("version=0");
    out
}

/// One server as ZooKeeper writes it.
fn entry(member: &Member) -> String {
    let addresses: Vec<String> =
        member.addresses.iter().map(|(host, port)| format!("{}:{port}:{port}", bracketed(host))).collect();
    let role = if member.observer { "observer" } else { "participant" };
    let client = match &member.client {
        Some((Some(host), port)) => format!(";{}:{port}", bracketed(host)),
        Some((None, port)) => format!(";0.0.0.0:{port}"),
        None => String::new(),
    };
    format!("{}:{role}{client}", addresses.join("|"))
}

/// A host in front of a colon.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Adds the lines of `srvr` and `stat`: ZooKeeper's for a leader, then our own.
pub(super) fn write_server(out: &mut String, facts: &Facts) {
    if facts.state == ServerState::Leader {
        let [last, min, max] = proposal_sizes(facts);
        let _ = writeln!(out, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
    if let Some(member) = &facts.member {
        let written = write_member(out, member);
        debug_assert!(written.is_ok(), "writing to a string does not fail");
    }
}

/// Last, smallest and largest proposal in bytes, -1 where there was none.
pub(crate) fn proposal_sizes(facts: &Facts) -> [i64; 3] {
    facts.proposal_bytes.map_or([-1; 3], |sizes| [sizes.last, sizes.min, sizes.max].map(|size| size as i64))
}

fn write_member(out: &mut String, member: &MemberFacts) -> std::fmt::Result {
    let MemberFacts { server, engine, term, starts, log, .. } = member;
    let list = |servers: &[u8]| match servers {
        [] => NOBODY.to_owned(),
        _ => servers.iter().map(u8::to_string).collect::<Vec<_>>().join(","),
    };
    writeln!(out, "Server id: {server}")?;
    writeln!(out, "Member id: {}", or_nobody(member.member))?;
    writeln!(out, "Consensus: {engine}")?;
    writeln!(out, "Term: {term}")?;
    writeln!(out, "Led by: {}", or_nobody(member.leader))?;
    writeln!(out, "Log applied/agreed/last: {}/{}/{}", log.applied, log.agreed, log.last)?;
    writeln!(out, "Snapshot bytes fetched: {}", or_nobody(member.fetched_bytes))?;
    writeln!(out, "Joining: {}", if is_joining(member) { "yes" } else { "no" })?;
    writeln!(out, "Starts: {starts}")?;
    writeln!(out, "Voters: {}", list(&member.voters))?;
    writeln!(out, "Non-voters: {}", list(&member.learners))?;
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

/// Whether it is on its way to what its configuration says it is.
pub(crate) fn is_joining(member: &MemberFacts) -> bool {
    matches!(member.role, MemberRole::Newcomer | MemberRole::Learner { observer: false })
}

fn or_nobody<N: std::fmt::Display>(number: Option<N>) -> String {
    number.map_or_else(|| NOBODY.to_owned(), |number| number.to_string())
}

/// ZooKeeper's `peer_state` of a server that serves.
pub(crate) fn peer_state(state: ServerState) -> Option<&'static str> {
    match state {
        ServerState::Leader => Some("leading - broadcast"),
        ServerState::Follower => Some("following - broadcast"),
        ServerState::Observer => Some("observing - broadcast"),
        ServerState::Standalone | ServerState::ReadOnly => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_written_as_zookeeper_writes_it() {
        for (read, written) in [
            ("a:1:1", "a:1:1:participant"),
            ("a:1:1:observer;2181", "a:1:1:observer;0.0.0.0:2181"),
            ("[::1]:1:1|b:2:2;[::1]:2181", "[::1]:1:1|b:2:2:participant;[::1]:2181"),
        ] {
            assert_eq!(entry(&read.parse().unwrap()), written);
        }
    }
}
