use consensus::membership::MEMBERS_MAX;

use super::*;

const GROUP: GroupId = GroupId(7);

const KEY: PeerKey = PeerKey([7; 32]);

fn all() -> Vec<PeerMessage> {
    let snapshot = SnapshotId { index: 1 << 40, term: 3, zxid: -5 };
    let of_group = [
        GroupMessage::Engine { from: MemberId(258), bytes: Bytes::from_static(b"engine") },
        GroupMessage::Forward {
            term: 1,
            life: 2,
            number: 3,
            commands: vec![Bytes::from_static(b"commands")],
        },
        GroupMessage::Taken { term: 1, life: 2, next: 3 },
        GroupMessage::NotTaken {
            term: 4,
            life: 2,
            first: 9,
            refused: vec![RefusedCommand { session: -1, place: 7 }; 3],
        },
        GroupMessage::RefusalsKnown { term: 4, life: 2, next: 12 },
        GroupMessage::Touched(Touched {
            term: 4,
            read_until_ms: -7,
            sessions: vec![(1, 0), (i64::MIN, u32::MAX), (i64::MAX, 400)],
        }),
        GroupMessage::LeaderTime { term: 4, ms: i64::MIN },
        GroupMessage::Fetch { snapshot, offset: 9 },
        GroupMessage::Chunk { snapshot, length: 100, offset: 9, bytes: Bytes::from_static(b"piece") },
        GroupMessage::Claim,
        GroupMessage::Wake,
        GroupMessage::Damaged(snapshot),
        GroupMessage::Missing(Claimed { leader: MemberId(2), term: 3, index: 4 }),
        GroupMessage::Upheld(Claimed { leader: MemberId(2), term: 3, index: 4 }),
    ];
    let of_server = [
        ServerMessage::Newcomer { nonce: u64::MAX, heard: 5 },
        ServerMessage::Founders { key: KEY, founders: vec![Founder { member: MemberId(3), nonce: 4 }; 2] },
        ServerMessage::Welcome { nonce: 1, member: MemberId(259), cluster: 7, key: KEY },
        ServerMessage::Forgotten { nonce: 1, member: MemberId(3) },
        ServerMessage::FlushLatency { mean_us: 158 },
        ServerMessage::Servers {
            version: 1 << 32,
            nonce: 8,
            text: "server.1=a:1:2:participant\n".to_owned(),
        },
        ServerMessage::Alive,
        ServerMessage::QuietGroups(vec![QuietGroup { group: GROUP, term: 3, index: 1 << 40 }; 2]),
    ];
    let of_group = of_group.into_iter().map(|message| PeerMessage::Group(GROUP, message));
    of_group.chain(of_server.into_iter().map(PeerMessage::Server)).collect()
}

#[test]
fn every_message_reads_back_as_written() {
    for message in all() {
        let mut out = Vec::new();
        message.put(&mut out);
        assert_eq!(PeerMessage::read(out.into()), Ok(message));
    }
}

#[test]
fn other_kinds_and_cuts_are_refused() {
    for message in all().into_iter().skip(1) {
        let mut out = Vec::new();
        message.put(&mut out);
        for cut in 0..out.len() {
            // What is left may be a shorter message, but never the same one.
            assert_ne!(PeerMessage::read(out[..cut].to_vec().into()), Ok(message.clone()), "{cut}");
        }
    }
    for kind in [0, 63, 99] {
        let bytes = Bytes::from(vec![kind, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(PeerMessage::read(bytes), Err(BadPeerMessage::Kind(kind)));
    }
    assert_eq!(PeerMessage::read(Bytes::new()), Err(BadPeerMessage::Length));
}

#[test]
fn what_no_correct_member_sends_is_refused() {
    let snapshot = |index, term| SnapshotId { index, term, zxid: 1 };
    let chunk = |length, offset| GroupMessage::Chunk {
        snapshot: snapshot(2, 1),
        length,
        offset,
        bytes: Bytes::from_static(b"piece"),
    };
    let claimed = |leader, term, index| Claimed { leader: MemberId(leader), term, index };
    let commands = |length| Bytes::from(vec![0; length]);
    let forward = |term, number, length| GroupMessage::Forward {
        term,
        life: 1,
        number,
        commands: vec![commands(length)],
    };
    let far = POSITION_LIMIT;
    let founders = |member, count| ServerMessage::Founders {
        key: KEY,
        founders: vec![Founder { member: MemberId(member), nonce: 1 }; count],
    };
    let of_group = [
        GroupMessage::Engine { from: MemberId(0), bytes: Bytes::new() },
        forward(far, 0, 1),
        forward(1, far, 1),
        forward(1, 0, 0),
        forward(1, 0, FORWARD_BYTES_MAX + 1),
        GroupMessage::Taken { term: far, life: 1, next: 1 },
        GroupMessage::Taken { term: 1, life: 1, next: far },
        GroupMessage::NotTaken { term: far, life: 1, first: 0, refused: Vec::new() },
        GroupMessage::NotTaken { term: 1, life: 1, first: far, refused: Vec::new() },
        GroupMessage::RefusalsKnown { term: 1, life: 1, next: far },
        GroupMessage::Fetch { snapshot: snapshot(far, 1), offset: 0 },
        GroupMessage::Fetch { snapshot: snapshot(1, 1), offset: SNAPSHOT_BYTES_MAX + 1 },
        chunk(SNAPSHOT_BYTES_MAX + 1, 0),
        chunk(4, 0),
        chunk(10, 6),
        chunk(10, u64::MAX),
        GroupMessage::Damaged(snapshot(1, far)),
        GroupMessage::Missing(claimed(0, 1, 1)),
        GroupMessage::Missing(claimed(1, far, 1)),
        GroupMessage::Upheld(claimed(1, 1, far)),
    ];
    let of_server = [
        founders(1, MEMBERS_MAX + 1),
        founders(0, 1),
        ServerMessage::Welcome { nonce: 1, member: MemberId(0), cluster: 1, key: KEY },
        ServerMessage::Welcome { nonce: 1, member: MemberId(1), cluster: 0, key: KEY },
        ServerMessage::Forgotten { nonce: 1, member: MemberId(0) },
        ServerMessage::Servers { version: 0, nonce: 0, text: String::new() },
        ServerMessage::Servers { version: 1, nonce: 0, text: "x".repeat(SERVERS_BYTES_MAX + 1) },
        ServerMessage::FlushLatency { mean_us: FLUSH_US_MAX + 1 },
    ];
    let of_group = of_group.map(|message| PeerMessage::Group(GROUP, message));
    let impossible = of_group.into_iter().chain(of_server.map(PeerMessage::Server));
    for message in impossible {
        let mut out = Vec::new();
        message.put(&mut out);
        let read = PeerMessage::read(out.into());
        assert!(matches!(read, Err(BadPeerMessage::Field(_))), "{read:?}");
    }
}

#[test]
fn a_chunk_is_as_long_as_said() {
    let mut out = Vec::new();
    let snapshot = SnapshotId::default();
    GroupMessage::Chunk { snapshot, length: 0, offset: 0, bytes: Bytes::new() }.put_head(GROUP, &mut out);
    assert_eq!(out.len(), CHUNK_OVERHEAD);
}
