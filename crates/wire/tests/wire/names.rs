//! The numbers of the protocol and their names.

use std::collections::BTreeSet;

use wire::event::{AddWatchMode, EventType, KeeperState, WatcherType};
use wire::{ErrorCode, Opcode};

/// ZooKeeper's codes (`KeeperException.Code`).
const CODES: &str =
    "0 Ok | -1 SystemError | -2 RuntimeInconsistency | -3 DataInconsistency | -4 ConnectionLoss |
-5 MarshallingError | -6 Unimplemented | -7 OperationTimeout | -8 BadArguments | -12 UnknownSession |
-13 NewConfigNoQuorum | -14 ReconfigInProgress | -100 APIError | -101 NoNode | -102 NoAuth | -103 BadVersion |
-108 NoChildrenForEphemerals | -110 NodeExists | -111 NotEmpty | -112 SessionExpired | -113 InvalidCallback |
-114 InvalidACL | -115 AuthFailed | -118 SessionMoved | -119 NotReadOnly | -120 EphemeralOnLocalSession |
-121 NoWatcher | -122 RequestTimeout | -123 ReconfigDisabled | -124 SessionClosedRequireSaslAuth |
-125 QuotaExceeded | -127 ThrottledOp";

/// ZooKeeper's operations (`ZooDefs.OpCode`), and from 500 on ClickHouse Keeper's, in camel case.
const OPERATIONS: &str = "0 notification | 1 create | 2 delete | 3 exists | 4 getData | 5 setData | 6 getACL |
7 setACL | 8 getChildren | 9 sync | 11 ping | 12 getChildren2 | 13 check | 14 multi | 15 create2 | 16 reconfig |
17 checkWatches | 18 removeWatches | 19 createContainer | 20 deleteContainer | 21 createTTL | 22 multiRead |
100 auth | 101 setWatches | 102 sasl | 103 getEphemerals | 104 getAllChildrenNumber | 105 setWatches2 |
106 addWatch | 107 whoAmI | -10 createSession | -11 closeSession | -1 error | 500 filteredList |
501 checkNotExists | 502 createIfNotExists | 503 removeRecursive | 504 checkStat | 505 tryRemove |
506 filteredListWithStatsAndData | 507 listRecursive";

fn table(text: &str) -> Vec<(i32, &str)> {
    text.split('|')
        .map(|row| {
            let (number, name) = row.trim().split_once(' ').expect("a number and a name");
            (number.parse().expect("a number"), name)
        })
        .collect()
}

#[test]
fn codes_match_zookeeper() {
    let rows = table(CODES);
    assert_eq!(ErrorCode::ALL.len(), rows.len());
    for (number, name) in rows {
        let code = ErrorCode::from_i32(number).expect(name);
        assert_eq!((code as i32, i32::from(code), code.to_string().as_str()), (number, number, name));
    }
    for number in [1, -9, -99, -104, -126, -128, i32::MIN] {
        assert_eq!(ErrorCode::from_i32(number), None);
    }
}

#[test]
fn operations_match_zookeeper_and_clickhouse_keeper() {
    let rows = table(OPERATIONS);
    assert_eq!(Opcode::ALL.len(), rows.len());
    for (number, name) in rows {
        let op = Opcode::from_i32(number).expect(name);
        assert_eq!((op as i32, op.to_string().as_str()), (number, name));
    }
    for number in [-2, -12, 10, 23, 99, 108, 499, 508, 997, i32::MAX] {
        assert_eq!(Opcode::from_i32(number), None, "{number}");
    }
}

#[test]
fn writes_are_the_logged_operations() {
    let writes = [1, 2, 5, 7, 13, 14, 15, 16, 19, 20, 21, -10, -11, 501, 502, 503, 504, 505];
    let expected: BTreeSet<i32> = writes.into();
    let actual: BTreeSet<i32> = Opcode::ALL.iter().filter(|op| op.is_write()).map(|op| *op as i32).collect();
    assert_eq!(actual, expected);
}

#[test]
fn numbers_of_events_and_watches() {
    let events = [-1, 1, 2, 3, 4, 5, 6, 7].map(|n| EventType::from_i32(n).expect("an event").name());
    assert_eq!(
        events,
        [
            "None",
            "NodeCreated",
            "NodeDeleted",
            "NodeDataChanged",
            "NodeChildrenChanged",
            "DataWatchRemoved",
            "ChildWatchRemoved",
            "PersistentWatchRemoved"
        ]
    );
    let states = [0, 3, 4, 5, 6, -112, 7].map(|n| KeeperState::from_i32(n).expect("a state").name());
    assert_eq!(
        states,
        [
            "Disconnected",
            "SyncConnected",
            "AuthFailed",
            "ConnectedReadOnly",
            "SaslAuthenticated",
            "Expired",
            "Closed"
        ]
    );
    let types = [1, 2, 3, 4, 5].map(|n| WatcherType::from_i32(n).expect("a type").name());
    assert_eq!(types, ["Children", "Data", "Any", "Persistent", "PersistentRecursive"]);
    let modes = [0, 1].map(|n| AddWatchMode::from_i32(n).expect("a mode").name());
    assert_eq!(modes, ["Persistent", "PersistentRecursive"]);
    assert_eq!(EventType::from_i32(0), None);
    assert_eq!(KeeperState::from_i32(1), None);
    assert_eq!(WatcherType::from_i32(0), None);
    assert_eq!(AddWatchMode::from_i32(2), None);
}
