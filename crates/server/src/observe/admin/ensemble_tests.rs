//! The AdminServer of members of an ensemble, against recordings of a ZooKeeper ensemble.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use super::tests::{assert_same_fields, command, recorded, started};
use crate::observe::stats::fake::Fake;
use crate::observe::stats::member::fake::{leader, other};
use crate::observe::stats::{MemberRole, MemberStatus};

/// What ZooKeeper has and Ostler lacks: a connection for each learner, and addresses kept as Java
/// objects.
const LEFT_OUT: [(&str, &[&str]); 2] =
    [("obsr", &["observers"]), ("zabstate", &["quorum_address", "election_address", "client_address"])];

#[test]
fn commands_answer_with_the_fields_of_zookeeper() {
    let observer = MemberRole::Learner { observer: true };
    for (member, answers) in [
        (leader(), include_str!("../../../testdata/zookeeper-3.9.5/ensemble/admin-leader.txt")),
        (
            other(1, MemberRole::Follower),
            include_str!("../../../testdata/zookeeper-3.9.5/ensemble/admin-follower.txt"),
        ),
        (other(4, observer), include_str!("../../../testdata/zookeeper-3.9.5/ensemble/admin-observer.txt")),
    ] {
        let (server, _) = started(Fake::of_ensemble(member));
        for (name, mut theirs) in recorded(answers) {
            for (_, fields) in LEFT_OUT.iter().filter(|(command, _)| *command == name) {
                fields.iter().for_each(|field| drop(theirs.as_object_mut().unwrap().remove(*field)));
            }
            assert_same_fields(name, &theirs, &command(&server, name));
        }
    }
}

#[test]
fn values_of_the_ensemble_come_from_the_source() {
    let (server, _) = started(Fake::of_ensemble(other(1, MemberRole::Follower)));
    let lead = command(&server, "lead");
    assert_eq!((&lead["is_leader"], &lead["leader_id"]), (&json!(false), &json!(3)));
    assert_eq!(lead["leader_ip"], "127.0.0.1");
    let view = &command(&server, "voting_view")["current_config"];
    assert_eq!(view.as_object().unwrap().len(), 3);
    assert_eq!(view["2"]["server_addresses"], json!(["127.0.0.1:24302"]));
    assert_eq!(command(&server, "mntr")["peer_state"], "following - broadcast");
    assert_eq!(command(&server, "srvr").get("proposal_stats"), None);
    let (server, _) = started(Fake::of_ensemble(leader()));
    assert_eq!(command(&server, "srvr")["proposal_stats"]["max_buffer_size"], 110);
    assert_eq!(command(&server, "obsr")["synced_observers"], 1);
    assert_eq!(command(&server, "mntr")["ostler_member_2_behind_bytes"], 700_000);
    assert_eq!(command(&server, "member")["members"][1]["state"], "needs a snapshot");
}

#[test]
fn a_member_that_does_not_serve_still_reports_its_state() {
    let waiting =
        MemberStatus { member: None, leader: None, fetched_bytes: Some(7), ..other(2, MemberRole::Newcomer) };
    let (server, source) = started(Fake::of_ensemble(waiting));
    source.serving.store(false, Relaxed);
    let answer = command(&server, "member");
    assert_eq!(answer["error"], Value::Null);
    assert_eq!((&answer["serving"], &answer["role"]), (&json!(false), &json!("newcomer")));
    assert_eq!((&answer["joining"], &answer["member_id"]), (&json!(true), &Value::Null));
    assert_eq!(answer["snapshot_bytes_fetched"], 7);
    assert_eq!(command(&server, "zabstate")["zabstate"], "election");
    assert_ne!(command(&server, "srvr")["error"], Value::Null);
}

#[test]
fn a_standalone_server_says_so() {
    let (server, _) = started(Fake::new());
    let answer = command(&server, "member");
    assert_eq!((&answer["serving"], &answer["role"]), (&json!(true), &json!("standalone")));
}
