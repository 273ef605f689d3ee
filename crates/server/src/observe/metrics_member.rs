//! The metrics of a member of an ensemble: ZooKeeper's under its names, then Ostler's own.

use crate::config::{EngineKind, ServerId};
use crate::observe::four_letter::member::{is_joining, proposal_sizes};
use crate::observe::metrics::{Metric, Number, Value};
use crate::observe::stats::{Facts, FollowerState, MemberStatus, ServerState};

/// The metrics of every member of an ensemble, and those of its leader.
pub(crate) fn all(facts: &Facts) -> Vec<Metric> {
    let Some(member) = &facts.member else { return Vec::new() };
    let mut metrics = Vec::new();
    if facts.state != ServerState::Standalone {
        metrics.push(gauge("quorum_size", member.voters.len() as i64, "servers that vote"));
    }
    if facts.state == ServerState::Leader {
        metrics.extend(leading(facts, member));
    }
    metrics.extend(own(member));
    metrics.extend(disk(facts));
    metrics
}

fn gauge(name: &'static str, value: i64, help: &'static str) -> Metric {
    Metric { name, help, value: Value::Gauge(value) }
}

/// ZooKeeper's metrics of a leader. A `sync` waits at its client's server, so none is pending here.
fn leading(facts: &Facts, member: &MemberStatus) -> [Metric; 9] {
    let [last, min, max] = proposal_sizes(facts);
    let uptime_ms = member.leading.as_ref().map_or(0, |leading| leading.uptime_ms);
    [
        gauge("learners", member.connected() as i64, "servers that are connected to this leader"),
        gauge("synced_followers", member.synced(true) as i64, "of these, voters that keep up"),
        gauge("synced_non_voting_followers", 0, "always 0: a member without a vote counts as an observer"),
        gauge(
            "synced_observers",
            member.synced(false) as i64,
            "of these, servers without a vote that keep up",
        ),
        gauge("pending_syncs", 0, "always 0: a sync waits at the server of its client"),
        gauge("leader_uptime", uptime_ms as i64, "ms since this server became leader"),
        gauge("last_proposal_size", last, "bytes of the last proposal, -1 for none"),
        gauge("max_proposal_size", max, "bytes of the largest proposal, -1 for none"),
        gauge("min_proposal_size", min, "bytes of the smallest proposal, -1 for none"),
    ]
}

fn own(member: &MemberStatus) -> [Metric; 12] {
    let log = member.log;
    [
        gauge("ostler_server_id", i64::from(member.server), "number of this server"),
        gauge("ostler_member_id", member.member.unwrap_or(0) as i64, "its id in the group, 0 for none"),
        gauge("ostler_paxos", i64::from(member.engine == EngineKind::Paxos), "1 for Paxos, 0 for Raft"),
        gauge("ostler_term", member.term as i64, "term or ballot: rises with every election"),
        gauge("ostler_led_by", member.leader.map_or(-1, i64::from), "number of the leader, -1 for none"),
        gauge("ostler_applied_index", log.applied as i64, "last log entry whose changes can be read"),
        gauge("ostler_agreed_index", log.committed as i64, "last log entry known to be committed"),
        gauge("ostler_last_index", log.last as i64, "last log entry"),
        gauge(
            "ostler_snapshot_fetched_bytes",
            member.fetched_bytes.map_or(-1, |bytes| bytes as i64),
            "bytes received of a snapshot being fetched, -1 when none is",
        ),
        gauge("ostler_joining", i64::from(is_joining(member)), "1 while this server waits for its vote"),
        gauge("ostler_starts", member.starts as i64, "starts on this data directory"),
        gauge(
            "ostler_file_differences",
            member.file_differences.len() as i64,
            "differences between the configuration files and the committed membership",
        ),
    ]
}

/// Effects of this server's disk.
fn disk(facts: &Facts) -> [Metric; 2] {
    let counter = |name, value, help| Metric { name, help, value: Value::Counter(value) };
    [
        counter(
            "ostler_handovers",
            facts.handovers,
            "leadership transfers because this server's disk was slow or full",
        ),
        counter(
            "ostler_messages_refused",
            facts.messages_refused,
            "messages of other servers ignored because the disk was full",
        ),
    ]
}

/// Name and value of a leader's metric about another member.
type OfOther = (&'static str, i64);

/// A leader's metrics about the other members, by number.
fn others(facts: &Facts) -> Vec<(ServerId, [OfOther; 3])> {
    let followers = facts.member.iter().flat_map(|member| &member.leading).flat_map(|l| &l.followers);
    followers
        .map(|follower| {
            let values = [
                ("in_step", i64::from(follower.state == FollowerState::InStep)),
                ("behind_entries", follower.behind_entries as i64),
                ("behind_bytes", follower.behind_bytes as i64),
            ];
            (follower.server, values)
        })
        .collect()
}

/// Lines of `mntr` for each other member, with its number in the key, as in ZooKeeper's keys.
pub(crate) fn monitored_others(facts: &Facts) -> Vec<(String, Number)> {
    let lines = others(facts).into_iter().flat_map(|(server, values)| {
        values.map(|(name, value)| (format!("ostler_member_{server}_{name}"), Number::Whole(value)))
    });
    lines.collect()
}

/// The same for Prometheus, with the number as a label.
pub(crate) fn write_prometheus_others(facts: &Facts, out: &mut String) {
    const HELP: [(&str, &str); 3] = [
        ("in_step", "1 for a member that keeps up, as its leader sees it"),
        ("behind_entries", "log entries a member lacks, as its leader sees it"),
        ("behind_bytes", "bytes of the log a member lacks, as its leader sees it"),
    ];
    let others = others(facts);
    if others.is_empty() {
        return;
    }
    for (at, (name, help)) in HELP.iter().enumerate() {
        out.push_str(&format!("# HELP ostler_member_{name} {help}\n# TYPE ostler_member_{name} gauge\n"));
        for (server, values) in &others {
            out.push_str(&format!("ostler_member_{name}{{server=\"{server}\"}} {}\n", values[at].1));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observe::metrics::prometheus;
    use crate::observe::stats::fake::Fake;
    use crate::observe::stats::member::fake::{leader, other};
    use crate::observe::stats::{Facts, MemberRole};

    fn value(facts: &Facts, line: &str) -> Option<i64> {
        let text = prometheus(facts);
        text.lines().find_map(|l| l.strip_prefix(line)?.trim().parse().ok())
    }

    #[test]
    fn a_leader_reports_on_each_member() {
        let facts = Fake::of_ensemble(leader()).facts;
        for (line, expected) in [
            ("ostler_member_behind_entries{server=\"2\"}", 7_000),
            ("ostler_member_behind_bytes{server=\"2\"}", 700_000),
            ("ostler_member_in_step{server=\"1\"}", 1),
            ("ostler_member_in_step{server=\"2\"}", 0),
            ("quorum_size", 3),
            ("synced_followers", 1),
            ("leader_uptime", 18_118),
            ("min_proposal_size", 32),
        ] {
            assert_eq!(value(&facts, line), Some(expected), "{line}");
        }
    }

    #[test]
    fn a_follower_reports_on_itself_only() {
        let facts = Fake::of_ensemble(other(1, MemberRole::Follower)).facts;
        assert_eq!(value(&facts, "ostler_led_by"), Some(3));
        assert_eq!(value(&facts, "quorum_size"), Some(3));
        assert_eq!(value(&facts, "ostler_joining"), Some(0));
        let text = prometheus(&facts);
        assert!(!text.contains("synced_followers") && !text.contains("behind_entries"), "{text}");
    }

    #[test]
    fn a_standalone_server_has_no_metrics_of_members() {
        let text = prometheus(&Fake::new().facts);
        assert!(!text.contains("ostler_term") && !text.contains("quorum_size"), "{text}");
    }
}
