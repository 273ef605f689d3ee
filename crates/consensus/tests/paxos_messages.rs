//! Paxos messages: the encoding round-trips and never changes, and hostile bytes are refused.

use bytes::Bytes;
use consensus::engine::{Engine, Ready, Settings, Start, StepError};
use consensus::entry::{Entry, EntryKind, MemberId, Position};
use consensus::membership::{Membership, SnapshotMeta};
use consensus::message::{POSITION_LIMIT, ReadName};
use consensus::paxos::message::{AcceptedLog, Body, Message};
use consensus::paxos::{MEMBER_ID_LIMIT, PaxosEngine};
use consensus::raft::RaftEngine;

/// A ballot of member 2, and an earlier one.
const BALLOT: u64 = 5 * MEMBER_ID_LIMIT + 2;
const EARLIER: u64 = 4 * MEMBER_ID_LIMIT + 1;

fn at(term: u64, index: u64) -> Position {
    Position { term, index }
}

/// At least one message of each kind.
fn messages() -> Vec<Message> {
    let name = ReadName { member: MemberId(2), boot_nonce: u64::MAX, counter: 9 };
    let entry = |index, kind, data: &'static str| Entry { index, term: EARLIER, kind, data: data.into() };
    let leadership = Entry { index: 12, term: BALLOT, kind: EntryKind::Leadership, data: Bytes::new() };
    let entries = vec![
        entry(10, EntryKind::Command, "a"),
        entry(11, EntryKind::Membership, "\0\0\0\0\0\0\0\0\x07"),
        leadership,
    ];
    let membership = Membership { voters: vec![MemberId(1), MemberId(2)], learners: vec![MemberId(7)] };
    let log_state = AcceptedLog { before: at(1, 1), commit: at(EARLIER, 7), last: at(EARLIER, 9) };
    let bodies = [
        Body::Accept { previous: at(EARLIER, 9), commit: 8, entries: entries.clone() },
        Body::Prepare { trial: true, transfer: false },
        Body::Promise { trial: false, log_state },
        Body::Fetch { after: at(EARLIER, 9), commit: at(EARLIER, 7) },
        Body::Suffix { previous: at(EARLIER, 9), entries },
        Body::Accepted { index: 11 },
        Body::Refused { previous: 11, hint: at(EARLIER, 7) },
        Body::Chosen { commit: 8 },
        Body::Heartbeat { commit: 8, matched: 9, read: None },
        Body::HeartbeatReply { received: 8, accepted: 7, read: Some(name) },
        Body::Snapshot(SnapshotMeta { position: at(EARLIER, 9), membership }),
        Body::CampaignNow,
        Body::ReadAsk(name),
        Body::ReadAnswer { name, index: 8 },
        Body::Outdated,
    ];
    let wrap = |body| Message { group: 3, from: MemberId(2), to: MemberId(1), ballot: BALLOT, body };
    bodies.into_iter().map(wrap).collect()
}

fn engine() -> PaxosEngine {
    PaxosEngine::new(Settings::new(3, MemberId(1), 1, 1), Start::bootstrap(&[MemberId(1), MemberId(2)]))
}

#[test]
fn messages_round_trip() {
    for message in messages() {
        assert_eq!(Message::decode(message.encode()).as_ref(), Ok(&message));
    }
}

#[test]
fn the_bytes_of_an_accept_never_change() {
    let expected: &[u8] = &[
        0x81, 5, // version, kind
        0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, // group, from, to
        0, 0, 0, 20, 0, 0, 0, 2, // ballot: round 5 above 34 bits, member
        0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, // previous: ballot of round 4, index
        0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 3, // commit, count
        0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1, b'a', //
        2, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 7, //
        1, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 0, //
    ];
    assert_eq!(&messages()[0].encode()[..], expected);
}

#[test]
fn the_numbers_of_the_kinds_never_change() {
    let kinds = messages().iter().map(|message| message.encode()[1]).collect::<Vec<_>>();
    assert_eq!(kinds, [5, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
}

#[test]
fn truncated_and_extended_messages_are_refused() {
    for message in messages() {
        let bytes = message.encode();
        for length in 0..bytes.len() {
            assert!(matches!(Message::decode(bytes.slice(..length)), Err(StepError::Malformed(_))));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Message::decode(longer.into()), Err(StepError::Malformed("trailing bytes")));
    }
}

#[test]
fn a_false_count_allocates_nothing() {
    let mut bytes = messages()[0].encode().to_vec();
    let count = 2 + 4 * 8 + 16 + 8;
    bytes[count..count + 4].fill(0xFF);
    assert!(matches!(Message::decode(bytes.into()), Err(StepError::Malformed(_))));
}

#[test]
fn impossible_messages_are_refused() {
    let wrap = |from, ballot, body| Message { group: 3, from: MemberId(from), to: MemberId(1), ballot, body };
    let entry =
        Entry { index: 10, term: BALLOT + 1, kind: EntryKind::Command, data: Bytes::from_static(b"a") };
    let voters = Membership::of_voters(&[MemberId(1), MemberId(MEMBER_ID_LIMIT)]);
    for (impossible, why) in [
        (wrap(2, BALLOT, Body::Accepted { index: POSITION_LIMIT }), "an index out of range"),
        (wrap(3, BALLOT, Body::Chosen { commit: 1 }), "a proposer with another's ballot"),
        (wrap(3, BALLOT, Body::Prepare { trial: true, transfer: false }), "another's ballot"),
        (wrap(2, 0, Body::Outdated), "no ballot"),
        (wrap(MEMBER_ID_LIMIT, BALLOT, Body::Outdated), "a member id too large for a ballot"),
        (
            wrap(2, BALLOT, Body::Suffix { previous: at(1, 9), entries: vec![entry] }),
            "an entry of a later ballot",
        ),
        (
            wrap(2, BALLOT, Body::Snapshot(SnapshotMeta { position: at(1, 9), membership: voters })),
            "a member id too large",
        ),
    ] {
        let result = Message::decode(impossible.encode());
        assert!(matches!(result, Err(StepError::Malformed(_))), "{why}: {result:?}");
    }
}

#[test]
fn misdirected_messages_are_refused() {
    let mut engine = engine();
    let heartbeat = messages().swap_remove(8);
    let other_group = Message { group: 4, ..heartbeat.clone() };
    let other_member = Message { to: MemberId(3), ..heartbeat.clone() };
    for wrong in [other_group, other_member] {
        assert_eq!(engine.step(MemberId(2), wrong.encode()), Err(StepError::Misdirected));
    }
    assert_eq!(engine.step(MemberId(3), heartbeat.encode()), Err(StepError::Misdirected));
    let mut future = heartbeat.encode().to_vec();
    future[0] = 0x82;
    assert_eq!(engine.step(MemberId(2), future.into()), Err(StepError::Version(0x82)));
}

#[test]
fn members_of_different_engines_refuse_each_other() {
    let settings = Settings::new(3, MemberId(1), 1, 1);
    let start = Start::bootstrap(&[MemberId(1), MemberId(2)]);
    let mut raft = RaftEngine::new(settings, start);
    for message in messages() {
        assert_eq!(raft.step(MemberId(2), message.encode()), Err(StepError::OtherEngine));
    }
    let mut ready = Ready::default();
    raft.campaign();
    let mut sent = Vec::new();
    while raft.ready(&mut ready) {
        raft.persisted(ready.number);
        sent.append(&mut ready.messages);
    }
    let settings = Settings::new(3, MemberId(2), 1, 1);
    let mut paxos = PaxosEngine::new(settings, Start::bootstrap(&[MemberId(1), MemberId(2)]));
    assert!(!sent.is_empty());
    for outgoing in sent {
        assert_eq!(paxos.step(MemberId(1), outgoing.bytes), Err(StepError::OtherEngine));
    }
}

#[test]
fn a_member_that_lost_its_log_reports_it() {
    let heartbeat = messages().swap_remove(8);
    assert_eq!(
        engine().step(MemberId(2), heartbeat.encode()),
        Err(StepError::LostLog { index: 9, term: BALLOT })
    );
}

/// Detecting damage is the transport's job, but even if it fails, a damaged message must not stop a
/// member.
#[test]
fn no_damaged_byte_makes_the_decoder_or_a_new_member_panic() {
    for message in messages() {
        let bytes = message.encode();
        let mut member = engine();
        for place in 0..bytes.len() {
            for value in [0, 1, 2, 5, 0x7F, 0x80, 0xFF] {
                let mut damaged = bytes.to_vec();
                damaged[place] = value;
                let _ = Message::decode(damaged.clone().into());
                let _ = member.step(MemberId(2), damaged.into());
            }
        }
    }
}

/// Noise after a valid prefix reaches deeper code than noise alone.
#[test]
fn noise_makes_no_member_panic() {
    let mut random = 1_u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    let messages = messages();
    let mut member = engine();
    for _ in 0..50_000 {
        let mut bytes = messages[next() % messages.len()].encode().to_vec();
        let kept = next() % bytes.len();
        for byte in &mut bytes[kept..] {
            if next() % 3 > 0 {
                *byte = [0, 0, 0, 1, 2, 7, 0xFF, next() as u8][next() % 8];
            }
        }
        let _ = Message::decode(bytes.clone().into());
        let _ = member.step(MemberId(2), bytes.into());
    }
}
