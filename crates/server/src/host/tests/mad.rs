//! A Byzantine member: it speaks under its own number and sends what no correct member sends. The
//! others go on.

use bytes::Bytes;
use consensus::entry::MemberId;
use consensus::{message, paxos};
use group::message::{Claimed, GroupMessage, PeerMessage};
use proptest::prelude::*;

use super::super::Fatal;
use super::ensemble::Trio;
use crate::config::{EngineKind, ServerId};
use crate::simulation::Ended;
use group::GroupId;

const ENGINES: [EngineKind; 2] = [EngineKind::Raft, EngineKind::Paxos];

fn frame(message: GroupMessage) -> Bytes {
    let mut out = Vec::new();
    PeerMessage::Group(GroupId::ROOT, message).put(&mut out);
    out.into()
}

/// A leader's heartbeat whose commit index no member's log reaches.
fn heartbeat(engine: EngineKind, from: MemberId, to: MemberId, term: u64) -> Bytes {
    let commit = 1 << 50;
    let bytes = match engine {
        EngineKind::Raft => {
            let body = message::Body::Heartbeat { commit, read: None };
            message::Message { group: GroupId::ROOT.0, from, to, term, body }.encode()
        }
        EngineKind::Paxos => {
            let body = paxos::message::Body::Heartbeat { commit, matched: commit, read: None };
            paxos::message::Message { group: GroupId::ROOT.0, from, to, ballot: term, body }.encode()
        }
    };
    frame(GroupMessage::Engine { from, bytes })
}

/// An ensemble, its leader, and the two followers.
fn serving(engine: EngineKind) -> (Trio, ServerId, [ServerId; 2]) {
    let mut ensemble = Trio::new(engine);
    ensemble.until("all serve", Trio::all_serve);
    let leader = ensemble.leader().expect("somebody leads");
    let followers = [leader % 3 + 1, (leader + 1) % 3 + 1];
    (ensemble, leader, followers)
}

/// A past bug: a single forged frame ended a server: it concluded that its disk had lost entries
/// that a leader counted on.
#[test]
fn the_word_of_one_member_ends_no_other() {
    for engine in ENGINES {
        let (mut ensemble, leader, followers) = serving(engine);
        let term = ensemble.members[&leader].role(GroupId::ROOT).term;
        for _ in 0..200 {
            for to in followers {
                let ids = [leader, to].map(group::first_member_of);
                let forged = heartbeat(engine, ids[0], ids[1], term);
                let heard = ensemble.members.get_mut(&to).unwrap().receive(leader, forged);
                assert!(heard.is_ok(), "{engine}: {heard:?}");
            }
            ensemble.step();
        }
        ensemble.until("all serve", Trio::all_serve);
    }
}

#[test]
fn a_member_whose_disk_has_lost_something_ends_when_a_majority_says_so() {
    for engine in ENGINES {
        let (mut ensemble, leader, [lost, other]) = serving(engine);
        let term = ensemble.members[&leader].role(GroupId::ROOT).term;
        let ids = [leader, lost].map(group::first_member_of);
        let claimed = Claimed { leader: ids[0], term, index: 1 << 50 };
        let member = ensemble.members.get_mut(&lost).unwrap();
        let upheld = frame(GroupMessage::Upheld(claimed));
        assert!(member.receive(other, upheld.clone()).is_ok(), "nobody has claimed it");
        assert!(member.receive(leader, heartbeat(engine, ids[0], ids[1], term)).is_ok());
        let asked = member.take_frames();
        assert!(asked.contains(&(other, frame(GroupMessage::Missing(claimed)))), "the others are asked");
        for _ in 0..3 {
            assert!(member.receive(leader, upheld.clone()).is_ok(), "one says so, however often");
        }
        let ended = member.receive(other, upheld);
        assert!(matches!(ended, Err(Ended::Fatal(Fatal::LostLog))), "{engine}: {ended:?}");
    }
}

/// Members that have the entries confirm the claim; no member confirms a claim about entries that
/// do not exist.
#[test]
fn a_claim_is_upheld_by_who_has_the_entries() {
    for engine in ENGINES {
        let (mut ensemble, leader, [asks, other]) = serving(engine);
        let term = ensemble.members[&leader].role(GroupId::ROOT).term;
        let status = ensemble.members.get_mut(&leader).unwrap().status(GroupId::ROOT);
        let claims = [(term, status.commit, true), (term, 1 << 50, false), (term + 1, 1, false)];
        for (term, index, is_so) in claims {
            let claimed = Claimed { leader: group::first_member_of(leader), term, index };
            for server in [leader, other] {
                let member = ensemble.members.get_mut(&server).unwrap();
                member.receive(asks, frame(GroupMessage::Missing(claimed))).unwrap();
                let said = member.take_frames().contains(&(asks, frame(GroupMessage::Upheld(claimed))));
                assert_eq!(said, is_so, "{engine}: {claimed:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The short form of the fuzz target `mad_member`: frames as members send them, with altered
    /// fields.
    #[test]
    fn frames_with_altered_fields_end_nobody(
        paxos in any::<bool>(),
        choices in prop::collection::vec(any::<(u16, u16, u8, u64)>(), 1..400),
    ) {
        let (mut ensemble, leader, followers) = serving(if paxos { EngineKind::Paxos } else { EngineKind::Raft });
        let mad = followers[0];
        let mut kept: Vec<Bytes> = Vec::new();
        for (which, place, shift, number) in choices {
            kept.extend(ensemble.watch().into_iter().filter(|frame| frame.len() < 4_096));
            kept.drain(..kept.len().saturating_sub(64));
            let Some(bytes) = kept.get(usize::from(which) % kept.len().max(1)) else { continue };
            let mut bytes = bytes.to_vec();
            let place = usize::from(place) % bytes.len();
            let number = (number >> (shift % 64)).to_be_bytes();
            for (byte, new) in bytes[place..].iter_mut().zip(number) {
                *byte = new;
            }
            for to in [leader, followers[1]] {
                let heard = ensemble.members.get_mut(&to).unwrap().receive(mad, bytes.clone().into());
                prop_assert!(heard.is_ok(), "{heard:?}");
            }
        }
    }
}
