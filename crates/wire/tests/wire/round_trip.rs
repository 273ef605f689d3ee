//! Records round-trip, and every truncated record is refused.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wire::event::{EventType, KeeperState, WatcherEvent};
use wire::jute::{Put, Reader};
use wire::record::*;
use wire::{AclList, Malformed, Opcode};

use crate::material::material;

/// Every proper prefix of `bytes` is refused, without a panic.
fn refuses_every_prefix<'a, T>(
    bytes: &'a [u8],
    decode: impl Fn(&'a [u8]) -> Result<T, Malformed>,
) -> Result<(), TestCaseError> {
    for end in 0..bytes.len() {
        prop_assert!(decode(&bytes[..end]).is_err(), "{end} of {} bytes passed", bytes.len());
    }
    Ok(())
}

fn check_request(request: &Request<'_>) -> Result<(), TestCaseError> {
    let op = request.opcode();
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    prop_assert_eq!(Request::decode(op, &bytes), Ok(*request));
    refuses_every_prefix(&bytes, |part| Request::decode(op, part))?;
    let mut longer = bytes.clone();
    longer.extend_from_slice(b"more");
    prop_assert_eq!(Request::decode(op, &longer), Ok(*request), "trailing bytes are ignored");
    if let Request::Multi(multi) = request {
        let operations: Vec<Request<'_>> = multi.iter().collect();
        prop_assert_eq!(operations.len(), multi.len());
        let mut buffer = Vec::new();
        prop_assert_eq!(Multi::encode_into(operations, &mut buffer), *multi);
    }
    Ok(())
}

fn check_reply(op: Opcode, reply: &Reply<'_>) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    prop_assert_eq!(Reply::decode(op, &bytes), Ok(*reply));
    refuses_every_prefix(&bytes, |part| Reply::decode(op, part))?;
    if let Reply::Multi(multi) = reply {
        let results: Vec<MultiResult<'_>> = multi.iter().collect();
        prop_assert_eq!(results.len(), multi.len());
        let mut buffer = Vec::new();
        prop_assert_eq!(MultiReply::encode_into(results, &mut buffer), *multi);
    }
    Ok(())
}

proptest! {
    #[test]
    fn requests(material in material()) {
        let mut outcome = Ok(());
        material.with_requests(|requests| outcome = requests.iter().try_for_each(check_request));
        outcome?;
    }

    #[test]
    fn replies(material in material()) {
        let mut outcome = Ok(());
        material.with_replies(|replies| {
            outcome = replies.iter().try_for_each(|(op, reply)| check_reply(*op, reply));
        });
        outcome?;
    }

    #[test]
    fn acl_lists_keep_their_entries(material in material()) {
        let entries = material.acl.clone().unwrap_or_default();
        let mut buffer = Vec::new();
        let list = AclList::encode_into(&entries, &mut buffer);
        prop_assert_eq!(list.len(), entries.len());
        prop_assert_eq!(list.to_vec(), entries);
        refuses_every_prefix(list.raw(), AclList::from_raw)?;
        let mut longer = list.raw().to_vec();
        longer.push(0);
        prop_assert_eq!(AclList::from_raw(&longer), Err(Malformed::Excess(1)));
    }

    #[test]
    fn handshakes(
        numbers in any::<(i32, i64, i32, i64)>(),
        passwd in proptest::collection::vec(any::<u8>(), 0..20),
        read_only in any::<Option<bool>>(),
    ) {
        let (protocol_version, last_zxid_seen, timeout_ms, session_id) = numbers;
        let passwd = &passwd[..];
        let request =
            ConnectRequest { protocol_version, last_zxid_seen, timeout_ms, session_id, passwd, read_only };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        prop_assert_eq!(ConnectRequest::decode(&mut Reader::new(&bytes)), Ok(request));
        // Without its last byte, a handshake with the flag is a valid one without it, so only
        // shorter prefixes must be refused.
        let mandatory = &bytes[..bytes.len() - usize::from(read_only.is_some())];
        refuses_every_prefix(mandatory, |part| ConnectRequest::decode(&mut Reader::new(part)))?;

        let response = ConnectResponse { protocol_version, timeout_ms, session_id, passwd, read_only };
        bytes.clear();
        response.encode(&mut bytes);
        prop_assert_eq!(ConnectResponse::decode(&mut Reader::new(&bytes)), Ok(response));
        let mandatory = &bytes[..bytes.len() - usize::from(read_only.is_some())];
        refuses_every_prefix(mandatory, |part| ConnectResponse::decode(&mut Reader::new(part)))?;
    }

    #[test]
    fn headers_and_events(xid in any::<i32>(), zxid in any::<i64>(), err in any::<i32>(), path in ".{0,20}", done: bool) {
        let request = RequestHeader { xid, opcode_raw: err };
        let reply = ReplyHeader { xid, zxid, err };
        let multi = MultiHeader { opcode_raw: xid, done, err };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        reply.encode(&mut bytes);
        multi.encode(&mut bytes);
        let lengths = RequestHeader::ENCODED_LEN + ReplyHeader::ENCODED_LEN + MultiHeader::ENCODED_LEN;
        prop_assert_eq!(bytes.len(), lengths);
        let input = &mut Reader::new(&bytes);
        prop_assert_eq!(RequestHeader::decode(input), Ok(request));
        prop_assert_eq!(ReplyHeader::decode(input), Ok(reply));
        prop_assert_eq!(MultiHeader::decode(input), Ok(multi));
        prop_assert_eq!(input.finish(), Ok(()));
        for event_type in EventType::ALL.iter().copied() {
            for state in KeeperState::ALL.iter().copied() {
                let event = WatcherEvent { event_type, state, path: &path };
                let mut bytes = Vec::new();
                event.encode(&mut bytes);
                prop_assert_eq!(WatcherEvent::decode(&mut Reader::new(&bytes)), Ok(event));
                refuses_every_prefix(&bytes, |part| WatcherEvent::decode(&mut Reader::new(part)))?;
            }
        }
    }

    #[test]
    fn fields(
        numbers in any::<(i32, i64, u8, bool)>(),
        data in any::<Option<Vec<u8>>>(),
        text in any::<Option<String>>(),
    ) {
        let mut bytes = Vec::new();
        bytes.put_i32(numbers.0);
        bytes.put_i64(numbers.1);
        bytes.put_u8(numbers.2);
        bytes.put_bool(numbers.3);
        bytes.put_buffer(data.as_deref());
        bytes.put_opt_str(text.as_deref());
        let mut input = Reader::new(&bytes);
        let read = (input.i32().unwrap(), input.i64().unwrap(), input.u8().unwrap(), input.bool().unwrap());
        prop_assert_eq!(read, numbers);
        prop_assert_eq!(input.buffer(), Ok(data.as_deref()));
        prop_assert_eq!(input.ustring(), Ok(text.as_deref()));
        prop_assert!(input.is_empty());
    }
}

/// Ensures that the properties above cover every operation, including ones added later.
#[test]
fn the_material_covers_every_operation() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let material = material().new_tree(&mut runner).unwrap().current();
    material.with_requests(|requests| {
        let made: BTreeSet<Opcode> = requests.iter().map(Request::opcode).collect();
        let no_requests = [Opcode::Notification, Opcode::CreateSession, Opcode::Error];
        let expected: BTreeSet<Opcode> =
            Opcode::ALL.iter().copied().filter(|op| !no_requests.contains(op)).collect();
        assert_eq!(made, expected);
        let multi =
            requests.iter().find_map(|r| if let Request::Multi(m) = r { Some(m) } else { None }).unwrap();
        let parts: BTreeSet<Opcode> = multi.iter().map(|part| part.opcode()).collect();
        let expected: BTreeSet<Opcode> =
            Opcode::ALL.iter().copied().filter(|op| op.is_multi_part()).collect();
        assert_eq!(parts, expected);
    });
}
