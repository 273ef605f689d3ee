//! The clients' requests: every operation, on few paths, so that they interfere.

use server::config::{Member, ServerId};
use wire::acl::{Acl, AclList, perms};
use wire::opcode::Opcode;
use wire::record::{
    AddWatch, Check, CheckNotExists, CheckStat, CheckWatches, Create, Delete, Exists, FilteredList,
    FilteredListWithStatsAndData, GetAcl, GetAllChildrenNumber, GetChildren, GetChildren2, GetData,
    GetEphemerals, ListKind, ListRecursive, Multi, Reconfig, RemoveRecursive, RemoveWatches, Request, SetAcl,
    SetData, Sync, TryRemove,
};
use wire::stat::Stat;

use crate::random::Random;

/// The credentials of the client that changes the membership, and the digest the servers compare.
pub const SUPER: &str = "super:test";
/// See [`SUPER`].
pub const SUPER_DIGEST: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

/// What the client that changes the membership may do.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// Number of servers.
    pub servers: ServerId,
    /// The fewest voters it ever asks for.
    pub voters_min: usize,
}

/// Paths that are created and deleted.
const PATHS: [&str; 12] =
    ["/a", "/b", "/c", "/a/p", "/a/q", "/b/p", "/b/q", "/a/p/x", "/a/p/y", "/b/p/x", "/c/p", "/d"];
/// Paths with other ACLs. Clients do not watch them: a client without read permission gets no
/// events.
const GUARDED: [&str; 3] = ["/guarded", "/guarded/p", "/guarded/q"];
/// Prefixes of the sequential nodes.
const COUNTED: [&str; 3] = ["/a/s-", "/b/s-", "/c/s-"];

/// A request: operation and encoded record.
pub type Asked = (i32, Vec<u8>);

fn asked(request: &Request<'_>) -> Asked {
    let mut body = Vec::new();
    request.encode(&mut body);
    (request.opcode() as i32, body)
}

fn one_of(random: &mut Random, paths: &[&'static str]) -> &'static str {
    paths[random.below(paths.len() as u64) as usize]
}

fn path(random: &mut Random) -> &'static str {
    one_of(random, &PATHS)
}

fn version(random: &mut Random) -> i32 {
    if random.percent(80) { -1 } else { random.below(3) as i32 }
}

fn list_kind(random: &mut Random) -> ListKind {
    *random.pick(&[ListKind::All, ListKind::PersistentOnly, ListKind::EphemeralOnly])
}

/// The next request of a client. `data` must differ from that of any other request.
pub fn next(random: &mut Random, data: &str) -> Asked {
    match random.below(100) {
        0..45 => write(random, data),
        45..85 => read(random),
        85..90 => asked(&Request::Sync(Sync { path: path(random) })),
        90..95 => multi(random, data),
        95..97 => multi_read(random),
        _ => odd(random),
    }
}

fn create<'a>(random: &mut Random, data: &'a str) -> Create<'a> {
    let mut create = Create {
        path: path(random),
        data: Some(data.as_bytes()),
        acl: AclList::OPEN,
        flags: 0,
        ttl: None,
        kind: Opcode::Create,
    };
    match random.below(10) {
        0..4 => {}
        4..6 => create.flags = 1,
        6..8 => {
            create.path = one_of(random, &COUNTED);
            create.flags = *random.pick(&[2, 3]);
        }
        8 => (create.flags, create.kind) = (4, Opcode::CreateContainer),
        _ => (create.flags, create.kind, create.ttl) = (5, Opcode::CreateTtl, Some(500)),
    }
    if create.kind == Opcode::Create && random.percent(40) {
        create.kind = *random.pick(&[Opcode::Create2, Opcode::CreateIfNotExists]);
    }
    create
}

/// One write.
pub fn write(random: &mut Random, data: &str) -> Asked {
    match random.below(20) {
        0..9 => asked(&Request::Create(create(random, data))),
        9..13 => {
            let version = version(random);
            asked(&Request::SetData(SetData { path: path(random), data: Some(data.as_bytes()), version }))
        }
        13..16 => {
            let version = version(random);
            asked(&Request::Delete(Delete { path: path(random), version }))
        }
        16 => guarded(random, data),
        17 => {
            let limit = random.below(6) as u32;
            asked(&Request::RemoveRecursive(RemoveRecursive { path: path(random), limit }))
        }
        18 => {
            let version = version(random);
            asked(&Request::TryRemove(TryRemove { path: path(random), version }))
        }
        _ => {
            let version = version(random);
            asked(&Request::CheckNotExists(CheckNotExists { path: path(random), version }))
        }
    }
}

fn guarded(random: &mut Random, data: &str) -> Asked {
    let path = *random.pick(&GUARDED);
    let mut buffer = Vec::new();
    let acl = match random.below(3) {
        0 => AclList::OPEN,
        1 => AclList::encode_into(&[Acl::new(perms::ALL, "auth", "")], &mut buffer),
        _ => AclList::encode_into(&[Acl::new(perms::READ | perms::CREATE, "world", "anyone")], &mut buffer),
    };
    match random.below(4) {
        0..2 => {
            let data = Some(data.as_bytes());
            asked(&Request::Create(Create { path, data, acl, flags: 0, ttl: None, kind: Opcode::Create }))
        }
        2 => asked(&Request::SetAcl(SetAcl { path, acl, version: -1 })),
        _ => asked(&Request::Delete(Delete { path, version: -1 })),
    }
}

fn read(random: &mut Random) -> Asked {
    let watch = random.percent(40);
    let path = path(random);
    match random.below(16) {
        0..4 => asked(&Request::GetData(GetData { path, watch })),
        4..7 => asked(&Request::Exists(Exists { path, watch })),
        7..9 => asked(&Request::GetChildren(GetChildren { path, watch })),
        9..11 => asked(&Request::GetChildren2(GetChildren2 { path, watch })),
        11 => asked(&Request::GetAcl(GetAcl { path: one_of(random, &GUARDED) })),
        12 => asked(&Request::GetAllChildrenNumber(GetAllChildrenNumber { path })),
        13 => asked(&Request::FilteredList(FilteredList { path, watch, kind: list_kind(random) })),
        14 => asked(&Request::FilteredListWithStatsAndData(FilteredListWithStatsAndData {
            path,
            watch,
            kind: list_kind(random),
            with_stat: random.percent(50),
            with_data: random.percent(50),
        })),
        _ => asked(&Request::ListRecursive(ListRecursive { path: "/", limit: 1000 })),
    }
}

fn multi(random: &mut Random, data: &str) -> Asked {
    let mut parts = Vec::new();
    for _ in 0..random.below(4) {
        let version = version(random);
        parts.push(match random.below(8) {
            0..3 => Request::Create(create(random, data)),
            3 => Request::Delete(Delete { path: path(random), version }),
            4..6 => Request::SetData(SetData { path: path(random), data: Some(data.as_bytes()), version }),
            6 => Request::Check(Check { path: path(random), version }),
            _ => {
                let stat = Stat { version: 0, ..Stat::ANY };
                Request::CheckStat(CheckStat { path: path(random), version, stat })
            }
        });
    }
    let mut buffer = Vec::new();
    asked(&Request::Multi(Multi::encode_into(parts, &mut buffer)))
}

fn multi_read(random: &mut Random) -> Asked {
    let mut parts = Vec::new();
    for _ in 0..random.between(1, 3) {
        let path = path(random);
        parts.push(match random.below(2) {
            0 => Request::GetData(GetData { path, watch: false }),
            _ => Request::GetChildren(GetChildren { path, watch: false }),
        });
    }
    let mut buffer = Vec::new();
    asked(&Request::MultiRead(Multi::encode_into(parts, &mut buffer)))
}

fn odd(random: &mut Random) -> Asked {
    let path = path(random);
    let watcher_type = random.between(1, 5) as i32;
    match random.below(7) {
        0..2 => asked(&Request::AddWatch(AddWatch { path, mode: random.below(2) as i32 })),
        2 => asked(&Request::RemoveWatches(RemoveWatches { path, watcher_type })),
        3 => asked(&Request::CheckWatches(CheckWatches { path, watcher_type })),
        4 => asked(&Request::GetEphemerals(GetEphemerals { prefix_path: "/" })),
        5 => asked(&Request::WhoAmI),
        _ => asked(&Request::Reconfig(Reconfig {
            joining_servers: None,
            leaving_servers: Some("9"),
            new_members: None,
            cur_config_id: -1,
        })),
    }
}

/// The address of the server with that id.
pub fn server(id: ServerId, observer: bool) -> Member {
    let role = if observer { ":observer" } else { "" };
    format!("10.0.0.{id}:2888:3888{role};2181").parse().expect("a server")
}

/// A membership change.
pub fn reconfig(random: &mut Random, operator: Operator) -> Asked {
    let line = |id: ServerId, observer: bool| format!("server.{id}={}", server(id, observer));
    let any = |random: &mut Random| random.between(1, u64::from(operator.servers)) as ServerId;
    let (mut joining, mut leaving, mut members) = (Vec::new(), Vec::new(), Vec::new());
    if operator.voters_min > 1 || random.percent(40) {
        let mut others: Vec<ServerId> = (1..=operator.servers).collect();
        let voters = random.between(operator.voters_min as u64, u64::from(operator.servers));
        for _ in 0..voters {
            let id = others.swap_remove(random.below(others.len() as u64) as usize);
            members.push(line(id, false));
        }
        members.extend(others.into_iter().filter(|_| random.percent(30)).map(|id| line(id, true)));
    } else {
        let joins = random.below(3);
        joining.extend((0..joins).map(|_| line(any(random), random.percent(20))));
        let leaves = random.below(2) + u64::from(joins == 0);
        leaving.extend((0..leaves).map(|_| any(random).to_string()));
    }
    let text = |lines: Vec<String>| (!lines.is_empty()).then(|| lines.join(","));
    let (joining, leaving, members) = (text(joining), text(leaving), text(members));
    asked(&Request::Reconfig(Reconfig {
        joining_servers: joining.as_deref(),
        leaving_servers: leaving.as_deref(),
        new_members: members.as_deref(),
        cur_config_id: if random.percent(95) { -1 } else { random.below(1 << 33) as i64 },
    }))
}

/// Reads the root, whose Stat shows every change among its children.
pub fn read_root() -> Asked {
    asked(&Request::GetChildren2(GetChildren2 { path: "/", watch: false }))
}

/// Reads the membership.
pub fn config(watch: bool) -> Asked {
    asked(&Request::GetData(GetData { path: "/zookeeper/config", watch }))
}

/// A write that succeeds wherever it is applied, for a client that proves it is served.
pub fn proof(data: &str) -> Asked {
    asked(&Request::SetData(SetData { path: "/", data: Some(data.as_bytes()), version: -1 }))
}
