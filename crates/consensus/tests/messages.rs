//! Raft messages: the encoding round-trips and never changes, and hostile bytes are refused.

use bytes::Bytes;
use consensus::engine::{Engine, Settings, Start, StepError};
use consensus::entry::{Entry, EntryKind, MemberId, Position};
use consensus::membership::{Membership, SnapshotMeta};
use consensus::message::{Body, Message, POSITION_LIMIT, ReadName};
use consensus::raft::RaftEngine;

fn at(term: u64, index: u64) -> Position {
    Position { term, index }
}

/// One message of each kind.
fn messages() -> Vec<Message> {
    let name = ReadName { member: MemberId(2), boot_nonce: u64::MAX, counter: 9 };
    let command =
        |index, data: &'static str| Entry { index, term: 4, kind: EntryKind::Command, data: data.into() };
    let leadership = Entry { index: 12, term: 5, kind: EntryKind::Leadership, data: Bytes::new() };
    let membership = Membership { voters: vec![MemberId(1), MemberId(2)], learners: vec![MemberId(7)] };
    let bodies = [
        Body::Append {
            previous: at(3, 9),
            commit: 8,
            entries: vec![command(10, "a"), command(11, "bc"), leadership],
        },
        Body::AppendReply { index: 11, commit: 8, refused: None },
        Body::AppendReply { index: 11, commit: 8, refused: Some(at(3, 7)) },
        Body::Heartbeat { commit: 8, read: None },
        Body::HeartbeatReply { commit: 8, read: Some(name) },
        Body::Vote { trial: true, transfer: false, last: at(3, 9), commit: at(3, 8) },
        Body::VoteReply { trial: false, refused: true, commit: at(3, 8) },
        Body::Snapshot(SnapshotMeta { position: at(3, 9), membership }),
        Body::CampaignNow,
        Body::ReadAsk(name),
        Body::ReadAnswer { name, index: 8 },
    ];
    let wrap = |body| {
        let term = if matches!(body, Body::ReadAsk(_)) { 0 } else { 5 };
        Message { group: 3, from: MemberId(2), to: MemberId(1), term, body }
    };
    bodies.into_iter().map(wrap).collect()
}

#[test]
fn messages_round_trip() {
    for message in messages() {
        assert_eq!(Message::decode(message.encode()).as_ref(), Ok(&message));
    }
}

#[test]
fn the_bytes_of_an_append_never_change() {
    let expected: &[u8] = &[
        1, 1, // version, kind
        0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, // group, from, to
        0, 0, 0, 0, 0, 0, 0, 5, // term
        0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 9, // previous
        0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 3, // commit, count
        0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, b'a', //
        0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 2, b'b', b'c', //
        1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, //
    ];
    assert_eq!(&messages()[0].encode()[..], expected);
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
fn terms_and_indexes_cannot_overflow() {
    let mut message = messages().swap_remove(1);
    message.body = Body::AppendReply { index: POSITION_LIMIT, commit: 0, refused: None };
    assert!(matches!(Message::decode(message.encode()), Err(StepError::Malformed(_))));
}

#[test]
fn misdirected_messages_are_refused() {
    let mut engine =
        RaftEngine::new(Settings::new(3, MemberId(1), 1, 1), Start::bootstrap(&[MemberId(1), MemberId(2)]));
    let heartbeat = messages().swap_remove(3);
    let other_group = Message { group: 4, ..heartbeat.clone() };
    let other_member = Message { to: MemberId(3), ..heartbeat.clone() };
    for wrong in [other_group, other_member] {
        assert_eq!(engine.step(MemberId(2), wrong.encode()), Err(StepError::Misdirected));
    }
    assert_eq!(engine.step(MemberId(3), heartbeat.encode()), Err(StepError::Misdirected));
    let mut future = heartbeat.encode().to_vec();
    future[0] = 2;
    assert_eq!(engine.step(MemberId(2), future.into()), Err(StepError::Version(2)));
}

#[test]
fn a_member_that_lost_its_log_reports_it() {
    let mut engine =
        RaftEngine::new(Settings::new(3, MemberId(1), 1, 1), Start::bootstrap(&[MemberId(1), MemberId(2)]));
    let heartbeat = messages().swap_remove(3);
    assert_eq!(engine.step(MemberId(2), heartbeat.encode()), Err(StepError::LostLog { index: 8, term: 5 }));
}

/// Detecting damage is the transport's job, but even if it fails, decoding must not stop a member.
#[test]
fn no_damaged_byte_makes_the_decoder_panic() {
    for message in messages() {
        let bytes = message.encode();
        for place in 0..bytes.len() {
            for value in [0, 1, 2, 0x7F, 0x80, 0xFF] {
                let mut damaged = bytes.to_vec();
                damaged[place] = value;
                let _ = Message::decode(damaged.into());
            }
        }
    }
}

#[test]
fn impossible_messages_are_refused() {
    let command = |term| Entry { index: 10, term, kind: EntryKind::Command, data: Bytes::from_static(b"a") };
    let append = |previous, entries| Body::Append { previous, commit: 1, entries };
    let vote = |last, commit| Body::Vote { trial: false, transfer: false, last, commit };
    let membership = Membership::of_voters(&[MemberId(1)]);
    let snapshot = |position| Body::Snapshot(SnapshotMeta { position, membership: membership.clone() });
    for (body, why) in [
        (append(at(0, 9), vec![]), "an entry without a term"),
        (append(at(6, 9), vec![]), "a previous entry of a later term"),
        (append(at(3, 9), vec![command(6)]), "an entry of a later term"),
        (append(at(0, 0), vec![Entry { index: 1, ..command(0) }]), "a first entry without a term"),
        (vote(at(6, 9), at(3, 8)), "a last entry of a later term"),
        (vote(at(3, 9), at(3, 10)), "a commit beyond the log"),
        (vote(at(3, 9), at(4, 8)), "a commit of a later term than the log"),
        (Body::VoteReply { trial: false, refused: true, commit: at(6, 8) }, "a commit of a later term"),
        (Body::AppendReply { index: 9, commit: 1, refused: Some(at(6, 8)) }, "a hint of a later term"),
        (snapshot(at(0, 9)), "a snapshot without a term"),
        (snapshot(at(6, 9)), "a snapshot of a later term"),
    ] {
        let message = Message { group: 3, from: MemberId(2), to: MemberId(1), term: 5, body };
        let read = Message::decode(message.encode());
        assert!(matches!(read, Err(StepError::Malformed(_))), "{why}: {read:?}");
    }
    let name = ReadName { member: MemberId(7), boot_nonce: 1, counter: 1 };
    let request =
        Message { group: 3, from: MemberId(2), to: MemberId(1), term: 0, body: Body::ReadAsk(name) };
    assert!(matches!(Message::decode(request.encode()), Err(StepError::Malformed(_))));
}
