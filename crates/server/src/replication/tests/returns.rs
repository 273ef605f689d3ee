//! Servers and clients that come back, and what they find.

use consensus::engine::Role;
use storage::disk::SimDisk;
use wire::opcode::Opcode;

use super::ensemble::{ENGINES, Trio, create, facts, read};
use crate::simulation::Member;

/// Server 3 was replaced while it was away: another disk had its number, and its place. Then that disk goes and the first one comes back.
/// Nobody speaks to it, since its id is no member's any more; it was silent for ever. (Seed 900611 of the simulator came there without a
/// second disk: a leader took a server's old request for a new one, and replaced a member that had just got its welcome.)
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
            e.members[&replaced].facts().member.is_some_and(|member| member.member > Some(id))
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
        // What it said and stored as two members is one history to a start.
        trio.crash(replaced);
        trio.start(replaced);
        trio.until("it goes on after a crash", |e| e.members.values().all(Member::is_serving));
    }
}

/// A client comes to the leader, whose disk is full, with a session of another server. It cannot move there, since that is a write. The
/// client was told so with a reply, in the middle of a handshake, and took it for the answer to that. Its connection has to end instead.
/// (Seed 1005783 of the simulator.)
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

/// A server began to serve when nothing was agreed yet, and has fallen behind since: it knows neither the secret of the cluster nor the
/// session of a client that comes. It called that session expired. (Seed 1011353 of the simulator.)
#[test]
fn a_server_that_is_behind_the_very_beginning_calls_no_session_expired() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        let elected = |e: &Trio| {
            e.members.iter().find(|(_, member)| member.role().role == Role::Leader).map(|(server, _)| *server)
        };
        trio.until("somebody leads", |e| elected(e).is_some());
        let leader = elected(&trio).expect("somebody leads");
        let behind = leader % 3 + 1;
        // The first entry that is longer holds the secret.
        trio.hard_of_hearing = Some((behind, 100));
        trio.until("all serve", Trio::all_serve);
        assert!(!trio.members[&behind].machine().is_initialized(), "{engine}: it hears too well");
        let (_, session, passwd) = trio.connect(leader, None);
        let wire = trio.greet(behind, Some((session, passwd)), false);
        trio.until("the client is sent away", |_| wire.is_closed());
        assert_eq!(wire.take(), None, "{engine}: and not told that its session has ended");
    }
}
