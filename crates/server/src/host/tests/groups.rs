//! Several groups in one host: one flush, no messages of groups without traffic, and a new leader
//! for each group when a server dies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use consensus::engine::Role;
use group::GroupId;
use group::message::{PeerMessage, ServerMessage};
use storage::disk::Disk as _;
use wire::opcode::Opcode;
use wire::record::{ConnectResponse, ReplyHeader};

use super::ensemble::{ENGINES, Trio, config_of, create, read};
use crate::config::{EngineKind, ServerId};
use crate::observe::prometheus::prometheus;
use crate::observe::stats::Source;
use crate::simulation::Member;
use wire::jute::Reader;

const GROUPS: u16 = 4;

fn ids() -> impl Iterator<Item = GroupId> {
    (0..GROUPS.into()).map(GroupId)
}

fn trio(engine: EngineKind) -> Trio {
    let config = |server| {
        let mut config = config_of(server, engine);
        config.groups = GROUPS;
        config
    };
    let mut trio = Trio::of((1..=3).map(config));
    trio.until("all groups serve", |trio| ids().all(|group| all_serve(trio, group)));
    trio
}

fn all_serve(trio: &Trio, group: GroupId) -> bool {
    trio.members.values().all(|member| member.is_serving(group))
}

fn leader(trio: &Trio, group: GroupId) -> Option<ServerId> {
    let leads = |member: &Member| member.role(group).role == Role::Leader && member.is_serving(group);
    trio.members.iter().find(|(_, member)| leads(member)).map(|(server, _)| *server)
}

fn all_quiet(trio: &Trio) -> bool {
    trio.members.values().all(|member| ids().skip(1).all(|group| member.is_quiet(group)))
}

/// Opens a session in the group and creates a znode.
fn write(trio: &mut Trio, server: ServerId, group: GroupId, path: &str) -> super::ensemble::Wire {
    let wire = trio.greet_group(server, group);
    let frame = trio.answer(&wire);
    let response = ConnectResponse::decode(&mut Reader::new(&frame)).unwrap();
    assert_ne!(response.session_id, 0, "a session");
    let (header, _) = trio.call(&wire, 1, Opcode::Create, &create(path, 0));
    assert_eq!(header.err, 0);
    wire
}

/// Closes the session.
fn close(trio: &mut Trio, wire: &super::ensemble::Wire) {
    wire.ask(9, Opcode::CloseSession, &[]);
    let frame = trio.answer(wire);
    assert_eq!(ReplyHeader::decode(&mut Reader::new(&frame)).unwrap().err, 0);
}

#[test]
fn each_group_has_a_namespace_of_its_own() {
    for engine in ENGINES {
        let mut trio = trio(engine);
        for group in ids() {
            let wire = write(&mut trio, 1, group, &format!("/of-{group}"));
            let other = GroupId((group.0 + 1) % u64::from(GROUPS));
            let (header, _) = trio.call(&wire, 2, Opcode::GetData, &read(&format!("/of-{other}")));
            assert_eq!(header.err, wire::ErrorCode::NoNode as i32, "{engine}: another group's znode");
        }
        for group in ids() {
            trio.until("all members have it", |trio| {
                let has =
                    |member: &Member| member.machine(group).stored_data(&format!("/of-{group}")).is_some();
                trio.members.values().all(has)
            });
        }
    }
}

/// Operators see the numbers of every group under its label, and `srst` clears those of every
/// group.
#[test]
fn each_group_is_shown_with_its_label_and_reset() {
    let number = |member: &Member, name: &str, group: GroupId| {
        let report = member.report();
        let text = prometheus(&report.facts(), &report.other_groups());
        let sample = format!("{name}{{group=\"{group}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&*sample));
        line.unwrap_or_else(|| panic!("{sample} in {text}")).parse::<i64>().expect("a number")
    };
    for engine in ENGINES {
        let mut trio = trio(engine);
        let (used, idle) = (GroupId(2), GroupId(1));
        write(&mut trio, 1, used, "/a");
        trio.until("each member says who leads each group", |trio| {
            let says = |member: &Member, group| {
                leader(trio, group)
                    .is_some_and(|server| number(member, "ostler_led_by", group) == i64::from(server))
            };
            trio.members.values().all(|member| ids().all(|group| says(member, group)))
        });
        let member = &trio.members[&leader(&trio, used).expect("it has a leader")];
        let both = |name| (number(member, name, used), number(member, name, idle));
        let (znodes, others) = both("znode_count");
        assert_eq!((znodes, both("global_sessions")), (others + 1, (1, 0)), "{engine}");
        assert!(number(member, "proposal_count", used) > 0, "{engine}");
        assert!(number(member, "ostler_term", idle) > 0 && both("ostler_applied_index").0 > 0, "{engine}");
        member.report().reset_statistics();
        assert!(ids().all(|group| number(member, "proposal_count", group) == 0), "{engine}: cleared");
        assert_eq!(number(member, "znode_count", used), znodes, "{engine}: kept");
    }
}

/// A group without traffic exchanges no messages, however long; its first request wakes it.
#[test]
fn idle_groups_exchange_no_messages() {
    for engine in ENGINES {
        let mut trio = trio(engine);
        trio.until("idle groups are quiet", all_quiet);
        let mut announced = 0;
        for _ in 0..2_000 {
            for frame in trio.watch() {
                match PeerMessage::read(frame).expect("a message") {
                    PeerMessage::Group(group, message) => {
                        assert_eq!(group, GroupId::ROOT, "{engine}: {message:?} of an idle group");
                    }
                    PeerMessage::Server(ServerMessage::QuietGroups(_)) => announced += 1,
                    PeerMessage::Server(_) => {}
                }
            }
        }
        assert!(all_quiet(&trio), "{engine}");
        assert!(announced > 100, "{engine}: {announced} announcements in 4 s");
        let wire = write(&mut trio, 2, GroupId(2), "/a");
        assert!(!trio.members[&2].is_quiet(GroupId(2)), "{engine}: it has a session");
        assert!(trio.members.values().all(|member| member.is_quiet(GroupId(3))), "{engine}: the others rest");
        close(&mut trio, &wire);
        trio.until("it is quiet again", all_quiet);
    }
}

/// When the leader of quiet groups dies or is cut off, each group gets another one.
#[test]
fn quiet_groups_notice_that_their_leader_is_gone() {
    for engine in ENGINES {
        for crashes in [true, false] {
            let mut trio = trio(engine);
            trio.until("idle groups are quiet", all_quiet);
            let gone = leader(&trio, GroupId(1)).expect("it has a leader");
            if crashes {
                trio.crash(gone);
            } else {
                trio.loses = Box::new(move |from, to, _| from == gone || to == gone);
            }
            let others: Vec<ServerId> = (1..=3).filter(|server| *server != gone).collect();
            let other = others[0];
            trio.until("each group is led by another member", |trio| {
                ids().all(|group| {
                    let is_leader = |server: &ServerId| {
                        let member = &trio.members[server];
                        member.role(group).role == Role::Leader && member.is_serving(group)
                    };
                    others.iter().any(is_leader)
                })
            });
            write(&mut trio, other, GroupId(1), "/after");
            trio.loses = Box::new(|_, _, _| false);
            if crashes {
                trio.start(gone);
            }
            trio.until("the one that was gone catches up", |trio| {
                trio.members[&gone].machine(GroupId(1)).stored_data("/after").is_some()
            });
            trio.until("all serve", |trio| ids().all(|group| all_serve(trio, group)));
        }
    }
}

/// Entries of several groups in one cycle cost one flush. Where the groups have leaders on
/// different servers, their entries reach a server in two cycles.
#[test]
fn one_flush_serves_all_groups() {
    for engine in ENGINES {
        let mut trio = trio(engine);
        let wires: Vec<_> = ids().map(|group| (group, write(&mut trio, 1, group, "/a"))).collect();
        let flushes = Arc::new(AtomicU64::new(0));
        for disk in trio.disks.values() {
            let flushes = Arc::clone(&flushes);
            disk.on_sync(move || _ = flushes.fetch_add(1, Relaxed));
        }
        let mut cost = |which: &[usize]| {
            flushes.store(0, Relaxed);
            for at in which {
                wires[*at].1.ask(5, Opcode::Create, &create(&format!("/n-{}-{at}", which.len()), 0));
            }
            for at in which {
                trio.answer(&wires[*at].1);
            }
            (0..50).for_each(|_| trio.step());
            flushes.load(Relaxed)
        };
        let (one, all) = (cost(&[1]), cost(&[0, 1, 2, 3]));
        assert!(all <= 2 * one, "{engine}: {all} flushes for four groups, {one} for one");
    }
}

/// What all groups have is there after all servers crash at once.
#[test]
fn every_group_recovers() {
    for engine in ENGINES {
        let mut trio = trio(engine);
        for group in ids() {
            let wire = write(&mut trio, 1, group, "/kept");
            close(&mut trio, &wire);
        }
        (1..=3).for_each(|server| trio.crash(server));
        (1..=3).for_each(|server| trio.start(server));
        trio.clients.clear();
        trio.until("all groups serve", |trio| ids().all(|group| all_serve(trio, group)));
        for group in ids() {
            let kept = |member: &Member| member.machine(group).stored_data("/kept").is_some();
            assert!(trio.members.values().all(kept), "{engine}: group {group}");
        }
    }
}

/// A disk that is lost is replaced in every group.
#[test]
fn a_server_with_an_empty_disk_gets_every_group() {
    for engine in ENGINES {
        let mut trio = trio(engine);
        for group in ids() {
            let wire = write(&mut trio, 1, group, "/kept");
            close(&mut trio, &wire);
        }
        trio.crash(3);
        trio.disks.insert(3, storage::disk::SimDisk::new(33));
        trio.start(3);
        trio.until("it has every group", |trio| {
            let member = &trio.members[&3];
            ids()
                .all(|group| member.is_serving(group) && member.machine(group).stored_data("/kept").is_some())
        });
        trio.until("it votes in every group", |trio| {
            ids().all(|group| {
                let Some(leader) = leader(trio, group) else { return false };
                trio.members[&leader].status(group).membership.voters.len() == 3
            })
        });
    }
}

/// A group that is quiet after a few entries does not keep the beginning of the log for ever.
#[test]
fn a_quiet_group_does_not_keep_a_long_log() {
    for engine in ENGINES {
        let config = |server| {
            let mut config = config_of(server, engine);
            config.groups = GROUPS;
            config.storage.snapshot_log_bytes = Some(64 << 10);
            config
        };
        let mut trio = Trio::of((1..=3).map(config));
        trio.until("all groups serve", |trio| ids().all(|group| all_serve(trio, group)));
        let quiet = write(&mut trio, 1, GroupId(1), "/kept");
        close(&mut trio, &quiet);
        trio.until("it is quiet", |trio| trio.members[&1].is_quiet(GroupId(1)));
        let wire = write(&mut trio, 1, GroupId::ROOT, "/busy");
        let segments = |trio: &Trio| {
            let names = trio.disks[&1].list(Path::new("/data/log")).expect("the directory");
            names.iter().filter(|name| name.ends_with(".seg")).count()
        };
        let mut most = 0;
        for n in 0..400 {
            let body = create(&format!("/{n}-{}", "x".repeat(4_000)), 0);
            let (header, _) = trio.call(&wire, 10 + n, Opcode::Create, &body);
            assert_eq!(header.err, 0);
            most = most.max(segments(&trio));
        }
        // 1.6 MB of entries are 25 segments.
        assert!(most < 16, "{engine}: {most} segments");
        trio.crash(1);
        trio.start(1);
        trio.until("it has both", |trio| trio.members[&1].machine(GroupId(1)).stored_data("/kept").is_some());
    }
}
