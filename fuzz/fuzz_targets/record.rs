//! Every record there is. The first byte says which; the rest are its bytes.
//!
//! What decodes must encode to bytes that decode to the same, and every list and multi in it must
//! be readable to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::event::WatcherEvent;
use wire::jute::Reader;
use wire::record::*;
use wire::{AclList, Opcode, Stat, path};

/// Decode, encode, decode. A macro, since the two decoded values borrow from different bytes.
macro_rules! same {
    ($record:ident, $bytes:expr) => {
        if let Ok(record) = $record::decode(&mut Reader::new($bytes)) {
            let mut out = Vec::new();
            record.encode(&mut out);
            assert_eq!($record::decode(&mut Reader::new(&out)), Ok(record));
        }
    };
}

fuzz_target!(|input: &[u8]| {
    let Some((&which, bytes)) = input.split_first() else { return };
    let which = usize::from(which);
    let operations = Opcode::ALL.len();
    match which {
        _ if which < operations => request(Opcode::ALL[which], bytes),
        _ if which < 2 * operations => reply(Opcode::ALL[which - operations], bytes),
        _ => other(which - 2 * operations, bytes),
    }
});

fn request(op: Opcode, bytes: &[u8]) {
    let Ok(request) = Request::decode(op, bytes) else { return };
    assert_eq!(request.opcode(), op);
    let mut out = Vec::new();
    request.encode(&mut out);
    assert_eq!(Request::decode(op, &out), Ok(request));
    // Whatever could not be read later would panic here.
    std::hint::black_box(format!("{request:?}"));
    if let Request::Multi(multi) | Request::MultiRead(multi) = request {
        assert_eq!(multi.iter().count(), multi.len());
        assert!(multi.iter().all(|part| part.opcode().is_multi_part()));
        // Written anew the headers may differ, the operations may not.
        let mut buffer = Vec::new();
        let again = Multi::encode_into(multi, &mut buffer);
        assert!(again.iter().eq(multi.iter()));
    }
    if let Some(text) = request.path()
        && path::validate(text).is_ok()
    {
        assert!(path::validate(path::parent(text)).is_ok());
        assert!(path::validate_sequential(text).is_ok());
    }
}

fn reply(op: Opcode, bytes: &[u8]) {
    let Ok(reply) = Reply::decode(op, bytes) else { return };
    let mut out = Vec::new();
    reply.encode(&mut out);
    assert_eq!(Reply::decode(op, &out), Ok(reply));
    std::hint::black_box(format!("{reply:?}"));
    if let Reply::Multi(multi) = reply {
        assert_eq!(multi.iter().count(), multi.len());
        let mut buffer = Vec::new();
        let again = MultiReply::encode_into(multi, &mut buffer);
        assert!(again.iter().eq(multi.iter()));
    }
}

fn other(which: usize, bytes: &[u8]) {
    match which {
        0 => same!(ConnectRequest, bytes),
        1 => same!(ConnectResponse, bytes),
        2 => same!(RequestHeader, bytes),
        3 => same!(ReplyHeader, bytes),
        4 => same!(MultiHeader, bytes),
        5 => same!(WatcherEvent, bytes),
        6 => same!(Stat, bytes),
        7 => acl(bytes),
        _ => {}
    }
}

fn acl(bytes: &[u8]) {
    let Ok(list) = AclList::decode(&mut Reader::new(bytes)) else { return };
    assert_eq!(list.iter().count(), list.len());
    assert_eq!(AclList::from_raw(list.raw()), Ok(list));
    // Written anew a null id is an empty one, the entries are the same.
    let mut buffer = Vec::new();
    assert_eq!(AclList::encode_into(&list.to_vec(), &mut buffer).to_vec(), list.to_vec());
}
