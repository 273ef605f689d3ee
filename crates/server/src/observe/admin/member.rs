//! Commands about the ensemble. `member` is Ostler's own, and answers even if the server is not
//! serving: a server that waits for a leader or fetches a snapshot can be asked in no other way.

use serde_json::{Map, Value, json};

use super::commands::{Asked, Fields, fields};
use state::members::bracketed;

use crate::config::Member;
use crate::observe::four_letter::member::is_joining;
use crate::observe::stats::{FollowerFacts, MemberRole, MemberStatus, ServerState};

/// Everything this server knows of its ensemble; a standalone server has only `serving` and `role`.
pub(super) fn member(asked: &Asked<'_>) -> Fields {
    let serving = asked.source.is_serving();
    let facts = asked.source.facts();
    let Some(member) = facts.root.member else {
        return fields(json!({ "serving": serving, "role": "standalone" }));
    };
    let followers: Option<Vec<Value>> =
        member.leading.as_ref().map(|leading| leading.followers.iter().map(follower).collect());
    let changes = member.leading.iter().flat_map(|leading| &leading.changes);
    let changes: Vec<Value> =
        changes.map(|(server, change)| json!({ "server_id": server, "state": change.name() })).collect();
    let MemberStatus { server, member: id, engine, role, term, leader, starts, log, .. } = &member;
    fields(json!({
        "serving": serving,
        "server_id": server,
        "member_id": id,
        "consensus": engine.to_string(),
        "role": role.name(),
        "joining": is_joining(&member),
        "term": term,
        "leader_id": leader,
        "starts": starts,
        "last_processed_zxid": facts.root.last_zxid,
        "applied_index": log.applied,
        "agreed_index": log.committed,
        "last_index": log.last,
        "snapshot_bytes_fetched": member.fetched_bytes,
        "voters": member.voters,
        "non_voters": member.learners,
        "members": followers,
        "reconfiguration": changes,
        "file_differences": member.file_differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn follower(follower: &FollowerFacts) -> Value {
    json!({
        "server_id": follower.server,
        "voting": follower.votes,
        "state": follower.state.name(),
        "behind_entries": follower.behind_entries,
        "behind_bytes": follower.behind_bytes,
    })
}

/// The leader; for a standalone server, ZooKeeper's error.
pub(super) fn leader(asked: &Asked<'_>) -> Fields {
    let facts = asked.source.facts();
    let leader = facts.root.member.as_ref().and_then(|member| member.leader);
    let Some(leader) = leader else {
        return fields(json!({ "error": "server is not initialized" }));
    };
    let (members, _) = asked.source.members();
    let host = members.get(&leader).and_then(|member| member.addresses.first());
    fields(json!({
        "is_leader": facts.root.state == ServerState::Leader,
        "leader_id": leader,
        "leader_ip": host.map(|(host, _)| host),
    }))
}

/// Members without a vote, which only the leader knows; a follower has no observers of its own
/// here.
pub(super) fn observers(asked: &Asked<'_>) -> Fields {
    let facts = asked.source.facts();
    let observers: Vec<Value> = facts
        .root
        .followers()
        .filter(|follower| !follower.votes)
        .map(|observer| json!({ "sid": observer.server, "queued_packets_size": observer.behind_bytes }))
        .collect();
    let synced = facts.root.member.as_ref().map_or(0, |member| member.synced(false));
    fields(json!({ "synced_observers": synced, "observers": observers }))
}

pub(super) fn voting_view(asked: &Asked<'_>) -> Fields {
    let facts = asked.source.facts();
    let mut view = Map::new();
    if let Some(facts) = &facts.root.member {
        let (members, _) = asked.source.members();
        for voter in &facts.voters {
            let member = members.get(voter);
            view.insert(
                voter.to_string(),
                member.map_or(Value::Null, |member| server(member, "participant")),
            );
        }
    }
    fields(json!({ "current_config": view }))
}

fn server(member: &Member, role: &str) -> Value {
    let addresses = member.addresses.iter().map(|(host, port)| format!("{}:{port}", bracketed(host)));
    let elections = member.addresses.iter().zip(&member.election_ports);
    let elections = elections.map(|((host, _), port)| format!("{}:{port}", bracketed(host)));
    let client = match &member.client {
        Some((host, port)) => format!("{}:{port}", bracketed(host.as_deref().unwrap_or("0.0.0.0"))),
        None => String::new(),
    };
    json!({
        "server_addresses": addresses.collect::<Vec<_>>(),
        "election_addresses": elections.collect::<Vec<_>>(),
        "client_address": client,
        "learner_type": role,
    })
}

/// The phase in ZooKeeper's words.
pub(super) fn zabstate(asked: &Asked<'_>) -> Fields {
    let facts = asked.source.facts();
    let Some(member) = &facts.root.member else { return fields(json!({ "voting": false, "zabstate": "" })) };
    let state = match (asked.source.is_serving(), member.leader) {
        (true, _) => "broadcast",
        (false, Some(_)) => "synchronization",
        (false, None) => "election",
    };
    let voting =
        !matches!(member.role, MemberRole::Newcomer | MemberRole::Learner { .. } | MemberRole::Removed);
    fields(json!({
        "myid": member.server,
        "is_leader": member.role == MemberRole::Leader,
        "voting": voting,
        "last_zxid": format!("0x{:x}", facts.root.last_zxid),
        "zab_epoch": facts.root.last_zxid >> 32,
        "zab_counter": facts.root.last_zxid & 0xffff_ffff,
        "zabstate": state,
    }))
}
