//! Chains so deep that an operation quadratic in their depth would hang.
//!
//! A client builds such a chain with one create per level, and a path can have half as many levels
//! as bytes. Operations on it hold the machine, so no client is served meanwhile.

#![expect(clippy::disallowed_methods, reason = "a test reads the clock; the machine does not")]

use std::time::{Duration, Instant};

use wire::code::ErrorCode;
use wire::opcode::Opcode;
use wire::record::{Check, ListRecursive, Multi, RemoveRecursive, Request};

use crate::acl_table::AclId;
use crate::auth::Identities;
use crate::change::{Change, ChangeSink, Ignore};
use crate::command::{BatchHeader, Command, Features, SessionTerms};
use crate::machine::Machine;
use crate::read::{Body, Dialect, Reader};
use crate::snapshot::Loader;
use crate::tree::NodeId;
use crate::watch::{WatchLimits, WatchMode, WatchTable, WatcherId};

const LEVELS: usize = 200_000;

/// Far above the time needed, and far below the minutes that quadratic work takes.
const TIME_MAX: Duration = Duration::from_secs(20);

const SESSION: i64 = 1;

fn apply(
    machine: &mut Machine,
    opcode: Opcode,
    body: &[u8],
    reply: &mut Vec<u8>,
    sink: &mut dyn ChangeSink,
) -> ErrorCode {
    let batch = BatchHeader { time_ms: 1, zxid_floor: 0, features: Features::KEEPER_EXTENSIONS };
    let identities = Identities::new();
    let command =
        Command { session: SESSION, cxid: 1, opcode: opcode as i32, identities: identities.encoded(), body };
    machine.apply(&batch, &command, reply, sink).code
}

/// A machine with a chain below `/d`, one more node at its end and one beside it.
fn chain() -> Machine {
    let mut machine = Machine::new(1);
    let mut body = Vec::new();
    SessionTerms { timeout_ms: 10_000, home: 0 }.put(&mut body);
    let opened = apply(&mut machine, Opcode::CreateSession, &body, &mut Vec::new(), &mut Ignore);
    assert_eq!(opened, ErrorCode::Ok);
    let mut parent = NodeId::ROOT;
    let mut create = |parent, name| {
        assert!(machine.tree.acls.retain(AclId::OPEN));
        machine.tree.znodes.create(parent, name, Some(b"x"), AclId::OPEN, 0, 1, 1)
    };
    for _ in 0..LEVELS {
        parent = create(parent, "d");
    }
    create(parent, "last");
    create(NodeId::ROOT, "beside");
    machine
}

fn remove_all(path: &str) -> Request<'_> {
    Request::RemoveRecursive(RemoveRecursive { path, limit: u32::MAX })
}

fn encoded(request: &Request<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    request.encode(&mut body);
    body
}

/// Counts the changes and passes them to a watch table.
struct Watching {
    table: WatchTable,
    changes: usize,
    bytes: usize,
    events: usize,
}

impl Watching {
    fn new(watches: &[(&str, WatchMode)]) -> Self {
        let mut table = WatchTable::new(WatchLimits::NONE, 1);
        for (path, mode) in watches {
            table.add(path, *mode, WatcherId(1)).expect("there is space");
        }
        Self { table, changes: 0, bytes: 0, events: 0 }
    }
}

impl ChangeSink for Watching {
    fn change(&mut self, change: &Change<'_>) {
        self.changes += 1;
        self.bytes += change.path.len();
        self.table.change(change, &mut |_, _| self.events += 1);
    }
}

#[test]
fn remove_recursive_takes_linear_time() {
    let mut machine = chain();
    let quota = "/zookeeper/quota/beside";
    for (path, data) in [(quota, ""), (&*format!("{quota}/zookeeper_limits"), "count=1")] {
        let acl = wire::acl::AclList::OPEN;
        let create = wire::record::Create {
            path,
            data: Some(data.as_bytes()),
            acl,
            flags: 0,
            ttl: None,
            kind: Opcode::Create,
        };
        let body = encoded(&Request::Create(create));
        assert_eq!(apply(&mut machine, Opcode::Create, &body, &mut Vec::new(), &mut Ignore), ErrorCode::Ok);
    }
    let mut sink = Watching::new(&[
        ("/", WatchMode::Children),
        ("/d/d/d", WatchMode::Data),
        ("/beside", WatchMode::PersistentRecursive),
        ("/e/e/e/e", WatchMode::PersistentRecursive),
    ]);
    let begun = Instant::now();
    let body = encoded(&remove_all("/d"));
    let code = apply(&mut machine, Opcode::RemoveRecursive, &body, &mut Vec::new(), &mut sink);
    let took = begun.elapsed();
    assert_eq!((code, sink.changes, sink.events), (ErrorCode::Ok, LEVELS + 1, 2));
    // Every path is right although none was built from the root: their lengths are 2, 4, 6 and so
    // on.
    assert_eq!(sink.bytes, LEVELS * (LEVELS + 1) + 2 * LEVELS + "/last".len());
    assert!(machine.tree.find("/d").is_none() && machine.tree.find("/beside").is_some());
    machine.check().expect("the rest is consistent");
    assert!(took < TIME_MAX, "{took:?}");
}

#[test]
fn remove_recursive_in_a_multi_takes_linear_time() {
    let mut machine = chain();
    let mut buffer = Vec::new();
    let check = Request::Check(Check { path: "/beside", version: 0 });
    let multi = Multi::encode_into([remove_all("/d/d"), check, remove_all("/d")], &mut buffer);
    let body = encoded(&Request::Multi(multi));
    let (begun, mut reply) = (Instant::now(), Vec::new());
    assert_eq!(apply(&mut machine, Opcode::Multi, &body, &mut reply, &mut Ignore), ErrorCode::Ok);
    let took = begun.elapsed();
    assert!(machine.tree.find("/d").is_none() && machine.tree.find("/beside").is_some());
    machine.check().expect("the rest is consistent");
    assert!(took < TIME_MAX, "{took:?}");
}

#[test]
fn a_chain_too_deep_for_a_reply_is_refused_before_it_is_listed() {
    let machine = chain();
    let identities = Identities::new();
    let reader = Reader {
        session: SESSION,
        identities: &identities,
        features: Features::KEEPER_EXTENSIONS,
        dialect: Dialect::default(),
        request_bytes_max: 0,
    };
    let list = Request::ListRecursive(ListRecursive { path: "/", limit: u32::MAX });
    let (begun, mut reply) = (Instant::now(), Vec::new());
    let mut body = Body::new(&mut reply, 1 << 30);
    assert_eq!(machine.read(&list, &reader, &mut body, &mut |_| {}), ErrorCode::MarshallingError);
    let took = begun.elapsed();
    assert!(reply.capacity() < 1 << 20, "all paths together have 40 GB");
    assert!(took < TIME_MAX, "{took:?}");
}

#[test]
fn writing_and_loading_a_deep_chain_takes_linear_time() {
    let mut machine = chain();
    let (begun, mut bytes) = (Instant::now(), Vec::new());
    let mut cursor = machine.begin_snapshot();
    while !machine.snapshot_slice(&mut cursor, 1000, &mut bytes) {}
    drop(machine.end_snapshot());
    let mut loader = Loader::new(1);
    loader.feed(&bytes).expect("a snapshot");
    let loaded = loader.finish().expect("a whole one");
    let took = begun.elapsed();
    assert_eq!((loaded.znode_count(), loaded.data_bytes()), (machine.znode_count(), machine.data_bytes()));
    assert!(took < TIME_MAX, "{took:?}");
}
