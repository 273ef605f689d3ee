//! Servers and clients that come back, and what they find.

use std::path::PathBuf;

use consensus::engine::Role;
use storage::disk::SimDisk;
use wire::opcode::Opcode;

use super::ensemble::{ENGINES, Trio, create, facts, read};
use group::GroupId;

/// Server 3 was replaced while it was away: another disk had its number and its place. Then that
/// disk goes and the first one comes back. The other members do not talk to it, since its id is no
/// longer a member's; once it stayed silent for ever. (Seed 900611 of the simulator reached this
/// without a second disk: a leader took a server's old join request for a new one, and replaced a
/// member that had just been admitted.)
#[test]
fn a_member_whose_place_was_given_away_gets_a_new_one_and_keeps_its_state() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let replaced = leader % 3 + 1;
        let (wire, ..) = trio.connect(leader, None);
        assert_eq!(trio.call(&wire, 1, Opcode::Create, &create("/before", 0)).0.err, 0);
        trio.crash(replaced);
        let first_disk = trio.disks.insert(replaced, SimDisk::new(77)).expect("it had one");
        trio.start(replaced);
        let has_id_above = move |e: &Trio, id: u64| {
            e.members[&replaced].facts().root.member.is_some_and(|member| member.member > Some(id))
        };
        trio.until("another disk has its place", |e| has_id_above(e, 256));
        trio.until("it serves", Trio::all_serve);
        assert_eq!(trio.call(&wire, 2, Opcode::Create, &create("/between", 0)).0.err, 0);

        trio.crash(replaced);
        trio.disks.insert(replaced, first_disk);
        trio.start(replaced);
        trio.until("it is a voter", |e| facts(e, leader).voters.contains(&replaced) && has_id_above(e, 512));
        trio.until("it serves", Trio::all_serve);
        let (wire, ..) = trio.connect(replaced, None);
        for (xid, path) in ["/before", "/between"].into_iter().enumerate() {
            assert_eq!(
                trio.call(&wire, xid as i32 + 1, Opcode::GetData, &read(path)).0.err,
                0,
                "{engine}: {path}"
            );
        }
        // It is one member, and its vote counts: with the other follower gone, writes go on.
        trio.crash(6 - leader - replaced);
        assert_eq!(trio.call(&wire, 3, Opcode::Create, &create("/after", 0)).0.err, 0, "{engine}");
        // To a start, what it stored under two member ids is one history.
        trio.crash(replaced);
        trio.start(replaced);
        trio.until("it goes on after a crash", |e| {
            e.members.values().all(|member| member.is_serving(GroupId::ROOT))
        });
    }
}

/// A client connects to the leader, whose disk is full, with a session of another server. The
/// session cannot move there, since a move is a write. A past bug: the client got a reply that said
/// so in the middle of the handshake, and took it for the answer to the handshake. The server has
/// to close the connection instead. (Seed 1005783 of the simulator.)
#[test]
fn a_session_that_cannot_move_for_a_full_disk_is_not_answered_but_left_alone() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let (writer, ..) = trio.connect(leader, None);
        let (_, session, passwd) = trio.connect(leader % 3 + 1, None);
        trio.disks[&leader].set_capacity_bytes(1_000);
        writer.send(|out| {
            out.extend_from_slice(&1i32.to_be_bytes());
            out.extend_from_slice(&(Opcode::Create as i32).to_be_bytes());
            out.extend_from_slice(&create(&format!("/{}", "long".repeat(30_000)), 0));
        });
        let wire = trio.greet(leader, Some((session, passwd)), false);
        trio.until("the write is refused", |_| writer.take().is_some());
        trio.until("the client is sent away", |_| wire.is_closed());
        assert_eq!(wire.take(), None, "{engine}: and hears nothing else");
    }
}

/// A past bug: a server began to serve before anything was committed, and fell behind: it knew
/// neither the cluster's secret nor the session of a client that connected. It reported that
/// session as expired. (Seed 1011353 of the simulator.)
#[test]
fn a_server_that_is_behind_the_very_beginning_calls_no_session_expired() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        let elected = |e: &Trio| {
            e.members
                .iter()
                .find(|(_, member)| member.role(GroupId::ROOT).role == Role::Leader)
                .map(|(server, _)| *server)
        };
        trio.until("somebody leads", |e| elected(e).is_some());
        let leader = elected(&trio).expect("somebody leads");
        let behind = leader % 3 + 1;
        // The first longer entry holds the secret.
        trio.loses = Box::new(move |_, to, bytes| to == behind && bytes > 100);
        trio.until("all serve", Trio::all_serve);
        assert!(
            !trio.members[&behind].machine(GroupId::ROOT).is_initialized(),
            "{engine}: it hears too well"
        );
        let (_, session, passwd) = trio.connect(leader, None);
        let wire = trio.greet(behind, Some((session, passwd)), false);
        trio.until("the client is sent away", |_| wire.is_closed());
        assert_eq!(wire.take(), None, "{engine}: and not told that its session has ended");
    }
}

/// A past bug: a member with an empty disk fetched a snapshot, piece by piece, while the leader
/// took one snapshot after another. Each new one purged the one being fetched, and the fetch
/// started over for ever. A snapshot being fetched must stay until it has arrived.
#[test]
fn a_snapshot_under_way_is_not_overtaken_by_newer_ones() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.configs.values_mut().for_each(|config| config.storage.snapshot_piece_bytes = 100);
        trio.until("all serve", Trio::all_serve);
        with_snapshots(&mut trio);
        let leader = trio.leader().expect("somebody leads");
        let lost = leader % 3 + 1;
        trio.crash(lost);
        trio.disks.insert(lost, SimDisk::new(77));
        trio.start(lost);
        let (writer, ..) = trio.connect(leader, None);
        let first_index = trio.members.get_mut(&leader).expect("it runs").status(GroupId::ROOT).first_index;
        assert!(first_index > 100, "{engine}: the leader has the whole log from entry {first_index} on");
        let mut xid = 0i32;
        while !trio.members[&lost].is_serving(GroupId::ROOT) {
            xid += 1;
            assert!(xid < 5_000, "{engine}: it is not there after 10 s and {xid} snapshots");
            writer.send(|out| {
                out.extend_from_slice(&xid.to_be_bytes());
                out.extend_from_slice(&(Opcode::Create as i32).to_be_bytes());
                out.extend_from_slice(&create(&format!("/m{xid}"), 0));
            });
            trio.members[&leader].ask_snapshot(GroupId::ROOT);
            trio.step();
            writer.take();
        }
    }
}

/// A past bug: the newest snapshot of the leader had a wrong bit. A member that needed it fetched
/// it, found the damage, and fetched it again, for ever. (Seeds 317073 and 330065 of the
/// simulator.) No write happens meanwhile, so the new snapshot ends at the same log index as the
/// damaged one.
#[test]
fn a_damaged_snapshot_is_replaced_when_another_member_finds_it_so() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        trio.crash(3);
        (0..500).for_each(|_| trio.step());
        trio.until("the others serve", Trio::all_serve);
        with_snapshots(&mut trio);
        let dir = PathBuf::from("/data/snapshot");
        for server in [1, 2] {
            let disk = trio.disks[&server].clone();
            let newest = storage::snapshot::list(&disk, &dir, GroupId::ROOT.0).expect("its snapshots")[0];
            assert!(disk.flip_bit(&newest.path(&dir), 60, 3), "{engine}");
        }
        trio.start(3);
        trio.until("it serves", |trio| trio.members[&3].is_serving(GroupId::ROOT));
        let (wire, ..) = trio.connect(3, None);
        assert_eq!(trio.call(&wire, 1, Opcode::GetData, &read("/n100")).0.err, 0, "{engine}");
    }
}

/// Writes a hundred znodes and makes the running members drop the log from before.
fn with_snapshots(trio: &mut Trio) {
    let (wire, ..) = trio.connect(1, None);
    for xid in 1..=100 {
        assert_eq!(trio.call(&wire, xid, Opcode::Create, &create(&format!("/n{xid}"), 0)).0.err, 0);
    }
    // After a start from a snapshot, no member has the beginning of the log any more.
    trio.members.values().for_each(|member| member.ask_snapshot(GroupId::ROOT));
    trio.step();
    trio.step();
    let servers: Vec<_> = trio.members.keys().copied().collect();
    servers.iter().for_each(|server| trio.crash(*server));
    servers.iter().for_each(|server| trio.start(*server));
    trio.until("all serve again", Trio::all_serve);
}

/// A server that gets a new disk counts its starts from 1 again. A past bug: the leader took what
/// it forwarded for messages of an earlier start and dropped it: until leadership changed, no
/// client could write or open a session through that server.
#[test]
fn a_server_with_a_new_disk_is_heard_by_the_leader_that_knew_the_old_one() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let server = leader % 3 + 1;
        for (life, path) in
            ["/first-start", "/second-start", "/new-disk", "/newer-disk"].into_iter().enumerate()
        {
            if life > 0 {
                trio.crash(server);
            }
            if life > 1 {
                trio.disks.insert(server, SimDisk::new(70 + life as u64));
            }
            if life > 0 {
                trio.start(server);
            }
            trio.until(&format!("{engine}: all serve for {path}"), Trio::all_serve);
            let (wire, ..) = trio.connect(server, None);
            assert_eq!(trio.call(&wire, 1, Opcode::Create, &create(path, 0)).0.err, 0, "{engine}: {path}");
        }
        assert_eq!(trio.leader(), Some(leader), "{engine}: the leader was one and the same");
    }
}

/// A past bug: servers 1 and 3 founded the ensemble and wrote, while 2, which was up to found it
/// with them, was cut off before it learned so. Then 3 lost its disk and 1 was switched off. To 2
/// all three seemed to be new: it founded another ensemble with the empty disk, which had a
/// majority, and what 1 and 3 had acknowledged was lost. (Seeds 2000508, 2001564 and 2026098 of the
/// simulator.)
#[test]
fn a_voter_that_missed_the_founding_founds_nothing_with_an_empty_disk() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        // It learns which other servers are up, but not that they have founded the ensemble.
        trio.loses = Box::new(|_, to, bytes| to == 2 && bytes > 30);
        trio.until("two have founded it", |e| {
            [1, 3].iter().all(|server| e.members[server].is_serving(GroupId::ROOT))
        });
        let (wire, ..) = trio.connect(1, None);
        assert_eq!(trio.call(&wire, 1, Opcode::Create, &create("/kept", 0)).0.err, 0, "{engine}");
        assert!(
            trio.members[&2].facts().root.member.is_some_and(|member| member.member.is_none()),
            "it hears too well"
        );

        trio.crash(1);
        trio.crash(3);
        trio.disks.insert(3, SimDisk::new(77));
        trio.start(3);
        trio.loses = Box::new(|_, _, _| false);
        for _ in 0..2_000 {
            trio.step();
        }
        assert_eq!(trio.leader(), None, "{engine}: what is known is on the disk of server 1 alone");

        trio.start(1);
        trio.until("all serve", Trio::all_serve);
        for server in 1..=3 {
            let (wire, ..) = trio.connect(server, None);
            assert_eq!(
                trio.call(&wire, 1, Opcode::GetData, &read("/kept")).0.err,
                0,
                "{engine}: at {server}"
            );
        }
    }
}
