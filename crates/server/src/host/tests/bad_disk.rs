//! Three members, one of which has a slow or full disk.

use group::GroupId;
use std::sync::Arc;

use storage::disk::Fault;
use wire::jute::Reader;
use wire::opcode::Opcode;
use wire::record::ReplyHeader;

use super::ensemble::{ENGINES, STEP_US, Trio, Wire, create, read, sync};
use crate::config::ServerId;
use crate::simulation::Readiness;

/// Duration of a slow flush in µs, still shorter than an election timeout.
const SLOW_US: u64 = 40_000;

/// Enough writes to take ten seconds and more with slow flushes.
const MANY: i32 = 400;

/// A client of one server.
struct Client {
    at: ServerId,
    wire: Wire,
}

impl Trio {
    fn slow_down(&self, server: ServerId, flush_us: u64) {
        let time = Arc::clone(&self.time);
        self.disks[&server].on_sync(move || time.advance_us(flush_us));
    }

    /// Creates znodes. A request in flight while leadership changes gets no answer; the client
    /// reconnects then.
    fn write(&mut self, client: &mut Client, xids: std::ops::Range<i32>) {
        for xid in xids {
            let err = self.create(client, xid);
            assert!(err.is_none_or(|err| err == 0), "/n{xid}: {err:?}");
        }
    }

    fn create(&mut self, client: &mut Client, xid: i32) -> Option<i32> {
        client.wire.ask(xid, Opcode::Create, &create(&format!("/n{xid}"), 0));
        for _ in 0..5_000 {
            if let Some(frame) = client.wire.take() {
                return Some(ReplyHeader::decode(&mut Reader::new(&frame)).expect("a reply").err);
            }
            if client.wire.is_closed() {
                self.until("it serves again", |trio| trio.members[&client.at].is_serving(GroupId::ROOT));
                *client = self.client(client.at);
                return None;
            }
            self.step();
        }
        panic!("no answer within 10 s");
    }

    fn client(&mut self, at: ServerId) -> Client {
        let (wire, ..) = self.connect(at, None);
        Client { at, wire }
    }

    fn term(&self) -> u64 {
        self.members.values().map(|member| member.role(GroupId::ROOT).term).max().expect("there are members")
    }

    fn pass(&mut self, us: u64) {
        (0..us / STEP_US).for_each(|_| self.step());
    }

    fn handovers(&self, server: ServerId) -> u64 {
        self.members[&server].facts().root.counts.handovers
    }
}

/// The disk fails at the next flush, so that nothing after it is answered.
#[test]
fn what_is_agreed_is_answered_before_the_next_flush() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let (first, second) = (trio.client(leader), trio.client(leader));
        first.wire.ask(1, Opcode::Create, &create("/first", 0));
        // The leader flushes, and then the followers do.
        trio.step();
        trio.step();
        assert_eq!(first.wire.take(), None, "{engine}: the leader has not looked at the confirmations yet");
        second.wire.ask(1, Opcode::Create, &create("/second", 0));
        let disk = &trio.disks[&leader];
        disk.fault_at(disk.operations(), Fault::Io);
        let slots: Vec<_> = trio.clients.iter().filter(|(at, ..)| *at == leader).collect();
        let ready = Readiness { readable: true, writable: true, read_closed: false };
        let ready: Vec<_> = slots.iter().map(|(_, slot, _)| (*slot, ready)).collect();
        let member = trio.members.get_mut(&leader).expect("it runs");
        member.serve(&ready);
        assert!(member.cycle().is_err(), "{engine}: the second write cannot be flushed");
        member.serve(&[]);
        assert!(first.wire.take().is_some(), "{engine}: what was committed is answered");
        assert_eq!(second.wire.take(), None, "{engine}: what was not flushed is not");
    }
}

#[test]
fn what_comes_while_an_entry_is_being_agreed_makes_one_entry() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let clients = [trio.client(leader), trio.client(leader), trio.client(leader % 3 + 1)];
        trio.slow_down(leader, 300);
        let last = |trio: &mut Trio| {
            trio.members.get_mut(&leader).expect("it runs").status(GroupId::ROOT).last_index
        };
        let before = last(&mut trio);
        clients[0].wire.ask(1, Opcode::Create, &create("/n0", 0));
        trio.step_by(100);
        assert_eq!(last(&mut trio), before + 1, "{engine}: nothing is under way, so it begins at once");
        (1..3).for_each(|n| clients[n].wire.ask(1, Opcode::Create, &create(&format!("/n{n}"), 0)));
        trio.step_by(100);
        assert_eq!(last(&mut trio), before + 1, "{engine}: the others are about to confirm");
        (0..5).for_each(|_| trio.step_by(100));
        assert!(clients.iter().all(|client| client.wire.take().is_some()), "{engine}: all are answered");
        assert_eq!(last(&mut trio), before + 2, "{engine}: both make one entry");
    }
}

#[test]
fn a_leader_with_a_slow_disk_hands_over_once() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let slow = trio.leader().expect("somebody leads");
        let mut client = trio.client(slow % 3 + 1);
        let term = trio.term();
        trio.slow_down(slow, SLOW_US);
        trio.write(&mut client, 1..MANY);
        let leader = trio.leader().expect("somebody leads");
        assert_ne!(leader, slow, "{engine}: another leads");
        assert_eq!(trio.handovers(slow), 1, "{engine}");
        let after = trio.term();
        assert!(after > term, "{engine}: after an election");
        trio.write(&mut client, MANY..2 * MANY);
        assert_eq!((trio.leader(), trio.handovers(leader)), (Some(leader), 0), "{engine}: it stays");
        assert_eq!(trio.term(), after, "{engine}: no further election");
    }
}

#[test]
fn disks_that_are_slow_alike_change_nothing() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let mut client = trio.client(leader % 3 + 1);
        let term = trio.term();
        (1..=3).for_each(|server| trio.slow_down(server, SLOW_US));
        trio.write(&mut client, 1..MANY / 2);
        assert_eq!((trio.leader(), trio.term()), (Some(leader), term), "{engine}");
    }
}

#[test]
fn a_follower_with_a_slow_disk_changes_nothing() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let mut client = trio.client(leader);
        let term = trio.term();
        trio.slow_down(leader % 3 + 1, SLOW_US);
        trio.write(&mut client, 1..MANY);
        assert_eq!((trio.leader(), trio.term()), (Some(leader), term), "{engine}");
    }
}

/// Limits the disk to the bytes it already holds.
fn fill_up(trio: &Trio, server: ServerId) {
    trio.disks[&server].set_capacity_bytes(0);
}

/// A past bug: a follower whose disk was full left out the entries it had no room for and kept
/// serving its clients, which read the same old state for ever and could not know it.
#[test]
fn a_follower_with_a_full_disk_serves_nobody_until_it_has_caught_up() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let leader = trio.leader().expect("somebody leads");
        let full = leader % 3 + 1;
        let (at_full, ..) = trio.connect(full, None);
        let mut client = trio.client(leader);
        fill_up(&trio, full);
        let mut xid = 0;
        while trio.members[&full].is_serving(GroupId::ROOT) {
            xid += 1;
            assert!(xid < 2_000, "{engine}: the log has no room for ever");
            trio.write(&mut client, xid..xid + 1);
        }
        trio.until("its clients are sent away", |_| at_full.is_closed());
        assert!(trio.members[&full].facts().counts.messages_refused > 0, "{engine}");
        trio.write(&mut client, xid + 1..xid + 20);
        trio.pass(3_000_000);
        assert!(!trio.members[&full].is_serving(GroupId::ROOT), "{engine}: it does not show an old state");
        trio.disks[&full].set_capacity_bytes(u64::MAX);
        trio.until("it has caught up", Trio::all_serve);
        let (wire, ..) = trio.connect(full, None);
        let (header, _) = trio.call(&wire, 1, Opcode::GetData, &read(&format!("/n{}", xid + 19)));
        assert_eq!(header.err, 0, "{engine}: it shows what was written meanwhile");
    }
}

#[test]
fn a_leader_with_a_full_disk_hands_over_and_writes_go_on() {
    for engine in ENGINES {
        let mut trio = Trio::new(engine);
        trio.until("all serve", Trio::all_serve);
        let full = trio.leader().expect("somebody leads");
        let mut client = trio.client(full % 3 + 1);
        fill_up(&trio, full);
        for xid in 1..2_000 {
            if trio.create(&mut client, xid) != Some(0) {
                break;
            }
        }
        trio.until("another leads", |trio| trio.leader().is_some_and(|leader| leader != full));
        trio.write(&mut client, 2_001..2_200);
        trio.until("who cannot follow serves nobody", |trio| !trio.members[&full].is_serving(GroupId::ROOT));
        trio.disks[&full].set_capacity_bytes(u64::MAX);
        trio.until("all serve", Trio::all_serve);
        let (wire, ..) = trio.connect(full, None);
        assert_eq!(trio.call(&wire, 1, Opcode::Sync, &sync("/")).0.err, 0, "{engine}");
        assert_eq!(trio.call(&wire, 2, Opcode::GetData, &read("/n2199")).0.err, 0, "{engine}");
        let committed: Vec<_> =
            trio.members.values().map(|member| member.applied_index(GroupId::ROOT)).collect();
        assert!(committed.windows(2).all(|pair| pair[0] == pair[1]), "{engine}: {committed:?}");
    }
}
