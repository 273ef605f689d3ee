//! Every reply, byte for byte as `zookeeper.jute` and, for the extensions, ClickHouse Keeper's
//! source lay it out.

use wire::event::{EventType, KeeperState, WatcherEvent};
use wire::jute::Reader;
use wire::record::*;
use wire::{AclList, ErrorCode, Malformed, Opcode};

use crate::golden::{STAT, STAT_BYTES, bytes};

#[track_caller]
fn check(op: Opcode, golden: &str, reply: Reply<'_>) {
    let golden = bytes(golden);
    assert_eq!(Reply::decode(op, &golden), Ok(reply));
    let mut out = Vec::new();
    reply.encode(&mut out);
    assert_eq!(out, golden, "{op}");
}

#[test]
fn a_path() {
    let golden = "00000002 '/a'";
    check(Opcode::Create, golden, Reply::Create(CreateReply { path: "/a" }));
    check(Opcode::CreateIfNotExists, golden, Reply::Create(CreateReply { path: "/a" }));
    check(Opcode::Sync, golden, Reply::Sync(SyncReply { path: "/a" }));
}

#[test]
fn a_stat() {
    check(Opcode::Exists, STAT_BYTES, Reply::Exists(ExistsReply { stat: STAT }));
    check(Opcode::SetData, STAT_BYTES, Reply::SetData(SetDataReply { stat: STAT }));
    check(Opcode::SetAcl, STAT_BYTES, Reply::SetAcl(SetAclReply { stat: STAT }));
    let golden = format!("00000002 '/a' {STAT_BYTES}");
    for op in [Opcode::Create2, Opcode::CreateContainer, Opcode::CreateTtl] {
        check(op, &golden, Reply::Create2(Create2Reply { path: "/a", stat: STAT }));
    }
}

#[test]
fn null_data_are_not_empty_data() {
    let golden = format!("FFFFFFFF {STAT_BYTES}");
    check(Opcode::GetData, &golden, Reply::GetData(GetDataReply { data: None, stat: STAT }));
    let golden = format!("00000000 {STAT_BYTES}");
    check(Opcode::GetData, &golden, Reply::GetData(GetDataReply { data: Some(b""), stat: STAT }));
    let golden = format!("00000003 'v=1' {STAT_BYTES}");
    check(Opcode::Reconfig, &golden, Reply::GetData(GetDataReply { data: Some(b"v=1"), stat: STAT }));
}

#[test]
fn an_acl() {
    let golden = format!("00000001 0000001F 00000005 'world' 00000006 'anyone' {STAT_BYTES}");
    check(Opcode::GetAcl, &golden, Reply::GetAcl(GetAclReply { acl: AclList::OPEN, stat: STAT }));
    assert_eq!(AclList::OPEN.iter().collect::<Vec<_>>(), [(31, "world", "anyone")]);
    assert_eq!(AclList::OPEN.to_vec(), wire::acl::open_acl());
}

#[test]
fn listings() {
    let mut buffer = Vec::new();
    let children = PathList::encode_into(["b", "cc"], &mut buffer);
    let names = "00000002 00000001 'b' 00000002 'cc'";
    check(Opcode::GetChildren, names, Reply::GetChildren(GetChildrenReply { children }));
    check(Opcode::GetEphemerals, names, Reply::GetEphemerals(GetEphemeralsReply { ephemerals: children }));
    check(Opcode::ListRecursive, names, Reply::ListRecursive(ListRecursiveReply { paths: children }));
    let with_stat = format!("{names} {STAT_BYTES}");
    let reply = Reply::GetChildren2(GetChildren2Reply { children, stat: STAT });
    check(Opcode::GetChildren2, &with_stat, reply);
    check(Opcode::FilteredList, &with_stat, reply);
    let (mut stats, mut data) = (Vec::new(), Vec::new());
    let full = FilteredListWithStatsAndDataReply {
        children,
        stat: STAT,
        stats: List::encode_into([STAT, STAT], &mut stats),
        data: List::encode_into([Some(&b"d"[..]), None], &mut data),
    };
    check(
        Opcode::FilteredListWithStatsAndData,
        &format!("{names} {STAT_BYTES} 00000002 {STAT_BYTES} {STAT_BYTES} 00000002 00000001 'd' FFFFFFFF"),
        Reply::FilteredListWithStatsAndData(full),
    );
    check(
        Opcode::GetAllChildrenNumber,
        "00000011",
        Reply::GetAllChildrenNumber(GetAllChildrenNumberReply { total_number: 17 }),
    );
}

#[test]
fn session_replies() {
    let mut buffer = Vec::new();
    let client_info = List::encode_into([ClientInfo { auth_scheme: "ip", user: "::1" }], &mut buffer);
    check(
        Opcode::WhoAmI,
        "00000001 00000002 'ip' 00000003 '::1'",
        Reply::WhoAmI(WhoAmIReply { client_info }),
    );
    check(Opcode::Sasl, "FFFFFFFF", Reply::Sasl(SaslReply { token: None }));
    check(Opcode::AddWatch, "00000000", Reply::AddWatch(ErrorReply { err: 0 }));
    for op in [
        Opcode::Delete,
        Opcode::Ping,
        Opcode::Auth,
        Opcode::SetWatches,
        Opcode::SetWatches2,
        Opcode::CheckWatches,
        Opcode::RemoveWatches,
        Opcode::CloseSession,
        Opcode::RemoveRecursive,
        Opcode::TryRemove,
    ] {
        check(op, "", Reply::Empty);
    }
}

#[test]
fn a_multi_that_succeeded() {
    let golden = format!(
        "00000001 00 00000000 00000002 '/a'
         0000000F 00 00000000 00000002 '/b' {STAT_BYTES}
         00000005 00 00000000 {STAT_BYTES}
         00000002 00 00000000
         0000000D 00 00000000
         FFFFFFFF 01 FFFFFFFF"
    );
    let results = [
        MultiResult::Create(CreateReply { path: "/a" }),
        MultiResult::Create2(Create2Reply { path: "/b", stat: STAT }),
        MultiResult::SetData(SetDataReply { stat: STAT }),
        MultiResult::Delete,
        MultiResult::Check,
    ];
    let mut buffer = Vec::new();
    let reply = MultiReply::encode_into(results, &mut buffer);
    check(Opcode::Multi, &golden, Reply::Multi(reply));
    assert_eq!(reply.iter().collect::<Vec<_>>(), results);
}

/// The result of an operation before the one that failed has 0, after it RuntimeInconsistency.
#[test]
fn a_failed_multi_has_each_code_in_header_and_body() {
    let golden = "
        FFFFFFFF 00 00000000 00000000
        FFFFFFFF 00 FFFFFF9B FFFFFF9B
        FFFFFFFF 00 FFFFFFFE FFFFFFFE
        FFFFFFFF 01 FFFFFFFF";
    let codes = [ErrorCode::Ok, ErrorCode::NoNode, ErrorCode::RuntimeInconsistency];
    let results = codes.map(|code| MultiResult::Error(code.into()));
    let mut buffer = Vec::new();
    let reply = MultiReply::encode_into(results, &mut buffer);
    check(Opcode::Multi, golden, Reply::Multi(reply));
    assert_eq!(reply.iter().collect::<Vec<_>>(), results);
}

#[test]
fn a_multi_read_has_an_error_for_each_operation() {
    let golden = format!(
        "00000004 00 00000000 00000001 'd' {STAT_BYTES}
         FFFFFFFF 00 FFFFFF9A FFFFFF9A
         00000008 00 00000000 00000001 00000001 'c'
         FFFFFFFF 01 FFFFFFFF"
    );
    let mut names = Vec::new();
    let results = [
        MultiResult::GetData(GetDataReply { data: Some(b"d"), stat: STAT }),
        MultiResult::Error(ErrorCode::NoAuth.into()),
        MultiResult::GetChildren(GetChildrenReply { children: PathList::encode_into(["c"], &mut names) }),
    ];
    let mut buffer = Vec::new();
    check(Opcode::MultiRead, &golden, Reply::Multi(MultiReply::encode_into(results, &mut buffer)));
}

/// ClickHouse's client takes the type of a result from the number in its header, so a failed read
/// must keep the number of its operation. ZooKeeper's header of -1 ends in a bad cast there.
#[test]
fn a_failed_read_in_keeper_format_names_the_operation_and_has_no_body() {
    let golden = "00000004 00 FFFFFF9B 00000003 00 FFFFFF9A FFFFFFFF 01 FFFFFFFF";
    let results = [
        MultiResult::Failed { opcode: Opcode::GetData, err: ErrorCode::NoNode.into() },
        MultiResult::Failed { opcode: Opcode::Exists, err: ErrorCode::NoAuth.into() },
    ];
    let mut buffer = Vec::new();
    check(Opcode::MultiRead, golden, Reply::Multi(MultiReply::encode_into(results, &mut buffer)));
}

#[test]
fn a_result_of_an_unknown_operation_is_malformed() {
    let golden = bytes("0000000B 00 00000000 FFFFFFFF 01 FFFFFFFF");
    assert_eq!(Reply::decode(Opcode::Multi, &golden), Err(Malformed::Operation(11)));
}

#[test]
fn a_notification() {
    let golden = bytes("00000003 00000003 00000002 '/a'");
    let event = WatcherEvent {
        event_type: EventType::NodeDataChanged,
        state: KeeperState::SyncConnected,
        path: "/a",
    };
    assert_eq!(WatcherEvent::decode(&mut Reader::new(&golden)), Ok(event));
    let mut out = Vec::new();
    event.encode(&mut out);
    assert_eq!(out, golden);
    let unknown = bytes("00000008 00000003 00000002 '/a'");
    assert_eq!(WatcherEvent::decode(&mut Reader::new(&unknown)), Err(Malformed::Value(8)));
}

#[test]
fn header_and_handshake() {
    let golden = bytes("FFFFFFFF 0000000100000002 FFFFFF9B");
    let header = ReplyHeader { xid: wire::xid::NOTIFICATION, zxid: 0x1_0000_0002, err: -101 };
    assert_eq!(ReplyHeader::decode(&mut Reader::new(&golden)), Ok(header));
    assert_eq!(golden.len(), ReplyHeader::ENCODED_LEN);
    let mut out = Vec::new();
    header.encode(&mut out);
    assert_eq!(out, golden);

    let expired = bytes("00000000 00000000 0000000000000000 00000010 0000000000000000 0000000000000000 00");
    let mut out = Vec::new();
    ConnectResponse::expired(Some(false)).encode(&mut out);
    assert_eq!(out, expired);
    assert_eq!(
        ConnectResponse::decode(&mut Reader::new(&expired)),
        Ok(ConnectResponse::expired(Some(false)))
    );
    let without = &expired[..expired.len() - 1];
    assert_eq!(ConnectResponse::decode(&mut Reader::new(without)), Ok(ConnectResponse::expired(None)));
}
