//! Every request, byte for byte as `zookeeper.jute` and, for the extensions, ClickHouse Keeper's
//! source lay it out.

use wire::jute::Reader;
use wire::record::*;
use wire::{AclList, Malformed, Opcode};

use crate::golden::{STAT, STAT_BYTES, bytes};

const OPEN: &str = "00000001 0000001F 00000005 'world' 00000006 'anyone'";

#[track_caller]
fn check(op: Opcode, golden: &str, request: Request<'_>) {
    let golden = bytes(golden);
    assert_eq!(Request::decode(op, &golden), Ok(request));
    let mut out = Vec::new();
    request.encode(&mut out);
    assert_eq!(out, golden, "{op}");
    assert_eq!(request.opcode(), op);
}

fn create(kind: Opcode, flags: i32, ttl: Option<i64>) -> Request<'static> {
    Request::Create(Create { path: "/a", data: Some(b"xyz"), acl: AclList::OPEN, flags, ttl, kind })
}

#[test]
fn creates() {
    let plain = format!("00000002 '/a' 00000003 'xyz' {OPEN}");
    check(Opcode::Create, &format!("{plain} 00000003"), create(Opcode::Create, 3, None));
    check(Opcode::Create2, &format!("{plain} 00000000"), create(Opcode::Create2, 0, None));
    check(Opcode::CreateContainer, &format!("{plain} 00000004"), create(Opcode::CreateContainer, 4, None));
    let ttl = format!("{plain} 00000005 0000000000002710");
    check(Opcode::CreateTtl, &ttl, create(Opcode::CreateTtl, 5, Some(10_000)));
    check(
        Opcode::CreateIfNotExists,
        &format!("{plain} 00000000"),
        create(Opcode::CreateIfNotExists, 0, None),
    );
}

#[test]
fn null_differs_from_empty_data_and_an_empty_acl() {
    let null =
        Create { path: "/", data: None, acl: AclList::NULL, flags: 0, ttl: None, kind: Opcode::Create };
    check(Opcode::Create, "00000001 '/' FFFFFFFF FFFFFFFF 00000000", Request::Create(null));
    let empty = bytes("00000001 '/' 00000000 00000000 00000000");
    let Ok(Request::Create(empty)) = Request::decode(Opcode::Create, &empty) else { panic!("a create") };
    assert_eq!(empty.data, Some(&b""[..]));
    assert!(empty.acl.is_empty() && !empty.acl.is_null());
    assert!(null.acl.is_empty() && null.acl.is_null());
    assert_ne!(null, empty);
}

#[test]
fn one_path_and_a_number() {
    let golden = "00000004 '/a/b' FFFFFFFF";
    let (path, version) = ("/a/b", -1);
    check(Opcode::Delete, golden, Request::Delete(Delete { path, version }));
    check(Opcode::Check, golden, Request::Check(Check { path, version }));
    check(Opcode::CheckNotExists, golden, Request::CheckNotExists(CheckNotExists { path, version }));
    check(Opcode::TryRemove, golden, Request::TryRemove(TryRemove { path, version }));
    check(Opcode::AddWatch, golden, Request::AddWatch(AddWatch { path, mode: -1 }));
    check(Opcode::CheckWatches, golden, Request::CheckWatches(CheckWatches { path, watcher_type: -1 }));
    check(Opcode::RemoveWatches, golden, Request::RemoveWatches(RemoveWatches { path, watcher_type: -1 }));
    check(
        Opcode::RemoveRecursive,
        golden,
        Request::RemoveRecursive(RemoveRecursive { path, limit: u32::MAX }),
    );
    check(Opcode::ListRecursive, golden, Request::ListRecursive(ListRecursive { path, limit: u32::MAX }));
}

#[test]
fn one_path_and_a_watch() {
    let golden = "00000002 '/a' 01";
    let (path, watch) = ("/a", true);
    check(Opcode::Exists, golden, Request::Exists(Exists { path, watch }));
    check(Opcode::GetData, golden, Request::GetData(GetData { path, watch }));
    check(Opcode::GetChildren, golden, Request::GetChildren(GetChildren { path, watch }));
    check(Opcode::GetChildren2, golden, Request::GetChildren2(GetChildren2 { path, watch }));
    let kind = ListKind::EphemeralOnly;
    check(
        Opcode::FilteredList,
        "00000002 '/a' 01 02",
        Request::FilteredList(FilteredList { path, watch, kind }),
    );
    let listing = FilteredListWithStatsAndData {
        path,
        watch: false,
        kind: ListKind::PersistentOnly,
        with_stat: true,
        with_data: false,
    };
    check(
        Opcode::FilteredListWithStatsAndData,
        "00000002 '/a' 00 01 01 00",
        Request::FilteredListWithStatsAndData(listing),
    );
}

#[test]
fn one_path_alone() {
    let golden = "00000002 '/a'";
    let path = "/a";
    check(Opcode::GetAcl, golden, Request::GetAcl(GetAcl { path }));
    check(Opcode::Sync, golden, Request::Sync(Sync { path }));
    check(Opcode::DeleteContainer, golden, Request::DeleteContainer(DeleteContainer { path }));
    check(Opcode::GetAllChildrenNumber, golden, Request::GetAllChildrenNumber(GetAllChildrenNumber { path }));
    check(Opcode::GetEphemerals, golden, Request::GetEphemerals(GetEphemerals { prefix_path: path }));
}

#[test]
fn writes_to_one_znode() {
    check(
        Opcode::SetData,
        "00000002 '/a' FFFFFFFF 00000007",
        Request::SetData(SetData { path: "/a", data: None, version: 7 }),
    );
    check(
        Opcode::SetAcl,
        &format!("00000002 '/a' {OPEN} 00000002"),
        Request::SetAcl(SetAcl { path: "/a", acl: AclList::OPEN, version: 2 }),
    );
    check(
        Opcode::CheckStat,
        &format!("00000002 '/a' FFFFFFFF {STAT_BYTES}"),
        Request::CheckStat(CheckStat { path: "/a", version: -1, stat: STAT }),
    );
}

#[test]
fn session_requests() {
    check(Opcode::Ping, "", Request::Ping);
    check(Opcode::WhoAmI, "", Request::WhoAmI);
    check(Opcode::CloseSession, "", Request::CloseSession);
    check(
        Opcode::Auth,
        "00000000 00000006 'digest' 0000000A 'super:test'",
        Request::Auth(Auth { auth_type: 0, scheme: "digest", auth: Some(b"super:test") }),
    );
    check(Opcode::Sasl, "00000002 0102", Request::Sasl(Sasl { token: Some(&[1, 2]) }));
    let reconfig = Reconfig {
        joining_servers: Some("server.4=h:1:2"),
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    };
    check(
        Opcode::Reconfig,
        "0000000E 'server.4=h:1:2' FFFFFFFF FFFFFFFF FFFFFFFFFFFFFFFF",
        Request::Reconfig(reconfig),
    );
}

#[test]
fn re_registered_watches() {
    let (mut data, mut child, mut recursive) = (Vec::new(), Vec::new(), Vec::new());
    let watches = SetWatches {
        relative_zxid: 0x1_0000_0005,
        data: PathList::encode_into(["/a", "/b"], &mut data),
        exist: PathList::EMPTY,
        child: PathList::encode_into(["/"], &mut child),
        persistent: PathList::EMPTY,
        persistent_recursive: PathList::EMPTY,
        kind: Opcode::SetWatches,
    };
    let golden = "0000000100000005 00000002 00000002 '/a' 00000002 '/b' 00000000 00000001 00000001 '/'";
    check(Opcode::SetWatches, golden, Request::SetWatches(watches));
    let watches2 = SetWatches {
        persistent_recursive: PathList::encode_into(["/r"], &mut recursive),
        kind: Opcode::SetWatches2,
        ..watches
    };
    let golden = format!("{golden} 00000000 00000001 00000002 '/r'");
    check(Opcode::SetWatches2, &golden, Request::SetWatches(watches2));
    assert_eq!(watches2.data.iter().collect::<Vec<_>>(), ["/a", "/b"]);
}

#[test]
fn a_multi_is_headers_and_records_up_to_the_end() {
    let golden = format!(
        "00000001 00 FFFFFFFF 00000002 '/a' 00000003 'xyz' {OPEN} 00000000
         00000005 00 FFFFFFFF 00000002 '/b' 00000001 'd' FFFFFFFF
         00000002 00 FFFFFFFF 00000002 '/c' 00000003
         0000000D 00 FFFFFFFF 00000002 '/d' 00000000
         FFFFFFFF 01 FFFFFFFF"
    );
    let operations = [
        create(Opcode::Create, 0, None),
        Request::SetData(SetData { path: "/b", data: Some(b"d"), version: -1 }),
        Request::Delete(Delete { path: "/c", version: 3 }),
        Request::Check(Check { path: "/d", version: 0 }),
    ];
    let mut buffer = Vec::new();
    let multi = Multi::encode_into(operations, &mut buffer);
    check(Opcode::Multi, &golden, Request::Multi(multi));
    check(Opcode::MultiRead, &golden, Request::MultiRead(multi));
    let golden = bytes(&golden);
    let Ok(Request::Multi(decoded)) = Request::decode(Opcode::Multi, &golden) else { panic!("a multi") };
    assert_eq!(decoded.len(), 4);
    assert_eq!(decoded.iter().collect::<Vec<_>>(), operations);
}

#[test]
fn an_empty_multi_is_legal() {
    let mut buffer = Vec::new();
    let none: [Request<'_>; 0] = [];
    let multi = Multi::encode_into(none, &mut buffer);
    check(Opcode::Multi, "FFFFFFFF 01 FFFFFFFF", Request::Multi(multi));
    assert!(multi.is_empty());
    assert_eq!(multi.iter().next(), None);
}

#[test]
fn an_operation_not_allowed_in_a_multi_is_malformed() {
    let not_allowed = [14, 22, 7, 9, 11, 16, 20, 100, 101, 107, 507, -11, 10, 9999];
    for number in not_allowed {
        let mut body = Vec::new();
        MultiHeader { opcode_raw: number, done: false, err: -1 }.encode(&mut body);
        body.extend_from_slice(&bytes("FFFFFFFF 01 FFFFFFFF"));
        assert_eq!(Request::decode(Opcode::Multi, &body), Err(Malformed::Operation(number)), "{number}");
    }
}

#[test]
fn handshake() {
    let golden = "00000000 0000000100000002 00007530 0100000000000007 00000010 '0123456789abcdef'";
    let mut request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0x1_0000_0002,
        timeout_ms: 30_000,
        session_id: 0x0100_0000_0000_0007,
        passwd: b"0123456789abcdef",
        read_only: None,
    };
    for (read_only, tail) in [(None, ""), (Some(false), "00"), (Some(true), "01")] {
        request.read_only = read_only;
        let golden = bytes(&format!("{golden} {tail}"));
        assert_eq!(ConnectRequest::decode(&mut Reader::new(&golden)), Ok(request));
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(out, golden);
    }
}

#[test]
fn headers() {
    let golden = bytes("00000005 000003E7");
    let header = RequestHeader { xid: 5, opcode_raw: 999 };
    assert_eq!(RequestHeader::decode(&mut Reader::new(&golden)), Ok(header));
    assert_eq!(golden.len(), RequestHeader::ENCODED_LEN);
    let mut out = Vec::new();
    header.encode(&mut out);
    assert_eq!(out, golden);
}
