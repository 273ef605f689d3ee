//! Answers of members of an ensemble, against recordings of a ZooKeeper ensemble of three voters
//! and an observer.

use super::*;
use crate::observe::stats::fake::Fake;
use crate::observe::stats::member::fake::{leader, other};
use crate::observe::stats::{MemberRole, MemberStatus};

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../../testdata/zookeeper-3.9.5/ensemble/", $name, ".txt"))
    };
}

const FOLLOWER: MemberRole = MemberRole::Follower;
const OBSERVER: MemberRole = MemberRole::Learner { observer: true };

fn ask(word: Word, member: MemberStatus) -> String {
    match word.answer(&[], &Fake::of_ensemble(member)) {
        Answer::Text(text) => text,
        Answer::More => panic!("{} wants more", word.name()),
    }
}

/// The lines with their numbers masked, without the first one, the version.
fn shapes(text: &str) -> Vec<String> {
    let mask = |line: &str| {
        let line = line.replace("0x", "").replace("-1", "1");
        let mut shape: String = line.chars().map(|c| if c.is_ascii_hexdigit() { '0' } else { c }).collect();
        while shape.contains("00") {
            shape = shape.replace("00", "0");
        }
        shape
    };
    text.lines().skip(1).map(mask).collect()
}

#[test]
fn srvr_has_the_lines_of_zookeeper_and_then_our_own() {
    for (ours, theirs) in [
        (ask(Word::Srvr, leader()), recorded!("srvr-leader")),
        (ask(Word::Srvr, other(1, FOLLOWER)), recorded!("srvr-follower")),
        (ask(Word::Srvr, other(4, OBSERVER)), recorded!("srvr-observer")),
    ] {
        let (ours, theirs) = (shapes(&ours), shapes(theirs));
        assert_eq!(ours[..theirs.len()], theirs);
        assert_eq!(ours[theirs.len()], shapes("\nServer id: 3")[0]);
    }
}

#[test]
fn srvr_shows_how_far_each_member_is() {
    let text = ask(Word::Srvr, leader());
    let own = "Proposal sizes last/min/max: 48/32/110\n\
        Server id: 3\n\
        Member id: 3\n\
        Consensus: raft\n\
        Term: 5\n\
        Led by: 3\n\
        Log applied/agreed/last: 9000/9001/9002\n\
        Snapshot bytes fetched: none\n\
        Joining: no\n\
        Starts: 2\n\
        Voters: 1,2,3\n\
        Non-voters: 4\n\
        Reconfiguration: server.4 catching up\n\
        Member 1 behind entries/bytes: 0/0, in step\n\
        Member 2 behind entries/bytes: 7000/700000, needs a snapshot\n\
        Member 4 behind entries/bytes: 2/200, in step\n";
    assert!(text.ends_with(own), "{text}");
}

#[test]
fn a_server_about_to_become_a_voter_says_so() {
    let joining = MemberStatus {
        fetched_bytes: Some(4_096),
        leader: None,
        ..other(2, MemberRole::Learner { observer: false })
    };
    let text = ask(Word::Srvr, joining);
    assert!(text.contains("Mode: follower\n"), "{text}");
    assert!(text.contains("Led by: none\n") && text.contains("Joining: yes\n"), "{text}");
    assert!(text.contains("Snapshot bytes fetched: 4096\n"), "{text}");
}

/// Many scripts find out the role with `srvr | grep leader`.
#[test]
fn no_added_line_contains_the_name_of_a_role() {
    for member in [leader(), other(1, FOLLOWER), other(4, OBSERVER)] {
        let text = ask(Word::Srvr, member.clone()).to_lowercase();
        for role in ["leader", "follower", "observer", "standalone"] {
            let expected = usize::from(ServerState::from(&member).name() == role);
            assert_eq!(text.matches(role).count(), expected, "{role} in {text}");
        }
    }
}

#[test]
fn conf_is_as_zookeepers() {
    let masked = |text: &str| -> Vec<String> {
        let from = text.find("electionAlg").unwrap();
        let ports = |line: &str| line.replace(":244", ":243").replace("=244", "=243");
        text[from..].lines().map(ports).collect()
    };
    for (ours, theirs) in [
        (ask(Word::Conf, leader()), recorded!("conf-leader")),
        (ask(Word::Conf, other(4, OBSERVER)), recorded!("conf-observer")),
    ] {
        assert_eq!(masked(&ours), masked(theirs));
        let keys = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split('=').next().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(keys(&ours), keys(theirs));
    }
}

#[test]
fn mntr_has_the_keys_that_zookeeper_has_for_each_role() {
    let keys_of = |text: &str| -> Vec<String> {
        let quorum =
            ["learner", "follower", "observer", "sync", "quorum", "proposal_size", "_state", "leader"];
        let lines = text.lines().map(|line| line.split('\t').next().unwrap_or_default());
        let mut keys: Vec<String> = lines
            .filter(|key| quorum.iter().any(|part| key.contains(part)) && !key.contains("ostler"))
            .filter(|key| {
                recorded!("mntr-leader").lines().take(35).any(|l| l.split('\t').next() == Some(key))
            })
            .map(str::to_owned)
            .collect();
        keys.sort();
        keys
    };
    let ours = ask(Word::Mntr, leader());
    assert!(ours.contains("zk_peer_state\tleading - broadcast\n"), "{ours}");
    assert!(ours.contains("zk_ostler_member_2_behind_entries\t7000\n"), "{ours}");
    assert_eq!(keys_of(&ours), keys_of(recorded!("mntr-leader")));
    let ours = ask(Word::Mntr, other(1, FOLLOWER));
    assert!(ours.contains("zk_peer_state\tfollowing - broadcast\n"), "{ours}");
    assert_eq!(keys_of(&ours), keys_of(recorded!("mntr-follower")));
}

#[test]
fn leadership_is_transferred_where_possible() {
    let alone = || MemberStatus { voters: vec![3], ..leader() };
    let cut_off = || MemberStatus { leader: None, ..other(1, FOLLOWER) };
    for (word, member, answer) in [
        (Word::Rqld, leader(), "Sent leadership request to leader."),
        (Word::Rqld, other(1, FOLLOWER), "Sent leadership request to leader."),
        (Word::Rqld, cut_off(), "Failed to send leadership request to leader."),
        (Word::Rqld, other(4, OBSERVER), "Failed to send leadership request to leader."),
        (Word::Ydld, leader(), "Sent yield leadership request to leader."),
        (Word::Ydld, alone(), "Failed to send yield leadership request to leader."),
        (Word::Ydld, other(1, FOLLOWER), "Failed to send yield leadership request to leader."),
    ] {
        assert_eq!(ask(word, member), answer);
    }
}
