//! Bytes no correct client sends. They are refused without side effects.

use proptest::collection::vec;
use proptest::prelude::*;
use wire::event::WatcherEvent;
use wire::jute::Reader;
use wire::record::*;
use wire::{AclList, Malformed, Opcode};

use crate::golden::bytes;
use crate::material::material;

/// Decodes `bytes` as every kind of record, and reads all of each that decodes.
fn decode_as_everything(bytes: &[u8]) {
    for op in Opcode::ALL.iter().copied() {
        if let Ok(request) = Request::decode(op, bytes) {
            // Printing walks every lazily decoded list and every operation of a multi.
            assert!(!format!("{request:?}").is_empty());
            if let Request::Multi(multi) = request {
                assert_eq!(multi.iter().count(), multi.len());
            }
        }
        if let Ok(reply) = Reply::decode(op, bytes) {
            assert!(!format!("{reply:?}").is_empty());
            if let Reply::Multi(multi) = reply {
                assert_eq!(multi.iter().count(), multi.len());
            }
        }
    }
    if let Ok(list) = AclList::decode(&mut Reader::new(bytes)) {
        assert_eq!(list.iter().count(), list.len());
    }
    let _ = ConnectRequest::decode(&mut Reader::new(bytes));
    let _ = ConnectResponse::decode(&mut Reader::new(bytes));
    let _ = RequestHeader::decode(&mut Reader::new(bytes));
    let _ = ReplyHeader::decode(&mut Reader::new(bytes));
    let _ = WatcherEvent::decode(&mut Reader::new(bytes));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        decode_as_everything(&bytes);
    }

    /// Lengths and counts are small numbers, so these bytes get further into a record.
    #[test]
    fn nearly_plausible_bytes_never_panic(
        words in vec(prop_oneof![Just(-1), -3..20_i32, Just(i32::MAX), Just(i32::MIN), any::<i32>()], 0..40),
    ) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        decode_as_everything(&bytes);
    }

    #[test]
    fn damaged_records_never_panic(material in material(), at in any::<prop::sample::Index>(), value: u8) {
        let mut all = Vec::new();
        material.with_requests(|requests| {
            for request in requests {
                let mut bytes = Vec::new();
                request.encode(&mut bytes);
                all.push((request.opcode(), bytes));
            }
        });
        for (op, mut bytes) in all {
            if bytes.is_empty() {
                continue;
            }
            let at = at.index(bytes.len());
            bytes[at] = value;
            if let Ok(request) = Request::decode(op, &bytes) {
                let printed = format!("{request:?}");
                prop_assert!(!printed.is_empty());
            }
        }
    }
}

#[test]
fn wrong_lengths() {
    let cases = [
        (Opcode::Sync, "FFFFFFFE", Malformed::NegativeLength(-2)),
        (Opcode::Sync, "80000000", Malformed::NegativeLength(i32::MIN)),
        (Opcode::Sync, "7FFFFFFF '/a'", Malformed::Truncated),
        (Opcode::Sync, "00000003 '/a'", Malformed::Truncated),
        (Opcode::Sync, "FFFFFFFF", Malformed::Null),
        (Opcode::Sync, "00000002 2FFF", Malformed::NotUtf8),
        // A surrogate encoded as UTF-8, as in Java's modified UTF-8.
        (Opcode::Sync, "00000004 2F EDA080", Malformed::NotUtf8),
        (Opcode::Delete, "FFFFFFFF 00000000", Malformed::Null),
        (Opcode::SetData, "00000002 '/a' FFFFFFFD 00000000", Malformed::NegativeLength(-3)),
        (Opcode::SetWatches, "0000000000000000 7FFFFFFF", Malformed::Truncated),
        (Opcode::SetWatches, "0000000000000000 FFFFFFFE", Malformed::Truncated),
        (Opcode::SetWatches, "0000000000000000 00000001 FFFFFFFF 00000000 00000000", Malformed::Null),
        (Opcode::SetAcl, "00000002 '/a' 7FFFFFFF 0000001F", Malformed::Truncated),
        (Opcode::SetWatches, "0000000000000000 00000000 FFFFFFFF 00000000", Malformed::Null),
        (Opcode::FilteredList, "00000002 '/a' 00 03", Malformed::Value(3)),
        (Opcode::Multi, "", Malformed::Truncated),
        (Opcode::Multi, "00000002 00 FFFFFFFF 00000002 '/a' 00000000", Malformed::Truncated),
        (Opcode::Multi, "0000000E 00 FFFFFFFF FFFFFFFF 01 FFFFFFFF", Malformed::Operation(14)),
        (Opcode::Notification, "", Malformed::Operation(0)),
        (Opcode::CreateSession, "", Malformed::Operation(-10)),
        (Opcode::Error, "00000000", Malformed::Operation(-1)),
    ];
    for (op, body, expected) in cases {
        assert_eq!(Request::decode(op, &bytes(body)), Err(expected), "{op}: {body}");
    }
}

/// A caller may reserve room for as many items as a vector announces, so a count never exceeds the
/// bytes left.
#[test]
fn a_count_is_bounded_by_the_bytes_that_are_left() {
    let cases = [
        ("FFFFFFFF", Ok(None)),
        ("00000000", Ok(Some(0))),
        ("00000001", Err(Malformed::Truncated)),
        ("00000002 0000", Ok(Some(2))),
        ("00000003 0000", Err(Malformed::Truncated)),
        ("7FFFFFFF 0000", Err(Malformed::Truncated)),
        ("FFFFFFFE 0000", Ok(Some(0))),
    ];
    for (vector, expected) in cases {
        assert_eq!(Reader::new(&bytes(vector)).vector_len(), expected, "{vector}");
    }
}

/// A null id comes with scheme `auth`, which ignores it; a null prefix lists all ephemerals.
#[test]
fn nulls_that_zookeeper_accepts() {
    let body = bytes("00000002 '/a' 00000001 0000001F 00000004 'auth' FFFFFFFF FFFFFFFF");
    let Ok(Request::SetAcl(request)) = Request::decode(Opcode::SetAcl, &body) else { panic!("a setACL") };
    assert_eq!(request.acl.iter().collect::<Vec<_>>(), [(31, "auth", "")]);
    assert_eq!(request.acl.nullable().collect::<Vec<_>>(), [(31, Some("auth"), None)]);
    let body = bytes("FFFFFFFF");
    let all = Request::GetEphemerals(GetEphemerals { prefix_path: "" });
    assert_eq!(Request::decode(Opcode::GetEphemerals, &body), Ok(all));
    let body = bytes("00000000 FFFFFFFF FFFFFFFF");
    let no_identity = Request::Auth(Auth { auth_type: 0, scheme: "", auth: None });
    assert_eq!(Request::decode(Opcode::Auth, &body), Ok(no_identity));
}

#[test]
fn any_byte_but_zero_is_true() {
    for (byte, watch) in [("00", false), ("01", true), ("02", true), ("FF", true)] {
        let body = bytes(&format!("00000001 '/' {byte}"));
        assert_eq!(
            Request::decode(Opcode::Exists, &body),
            Ok(Request::Exists(Exists { path: "/", watch })),
            "{byte}"
        );
    }
}

#[test]
#[should_panic(expected = "is not allowed in a multi")]
fn a_multi_with_a_sync_cannot_be_encoded() {
    Multi::encode_into([Request::Sync(Sync { path: "/" })], &mut Vec::new());
}

#[test]
#[should_panic(expected = "no place for persistent watches")]
fn set_watches_cannot_lose_persistent_watches() {
    let mut buffer = Vec::new();
    let watches = SetWatches {
        relative_zxid: 0,
        data: PathList::EMPTY,
        exist: PathList::EMPTY,
        child: PathList::EMPTY,
        persistent: PathList::encode_into(["/a"], &mut buffer),
        persistent_recursive: PathList::EMPTY,
        kind: Opcode::SetWatches,
    };
    watches.encode(&mut Vec::new());
}
