//! Injects faults, and ends them.

use consensus::engine::Role;
use server::simulation::GroupId;
use storage::disk;

use super::{CHECK_US, Event, World};
use crate::faults::{Fault, Shape, Target};
use crate::network::LinkState;
use server::config::ServerId;

/// Bytes that still fit on a full disk.
const ROOM_BYTES: u64 = 1_000;

impl World {
    pub(super) fn inject(&mut self, number: usize) {
        let (_, fault) = self.plan.faults[number].clone();
        self.trace.log(self.now_us, format_args!("fault {number}: {fault:?}"));
        match fault {
            Fault::Crash { target, operations: None, off_us } => {
                let id = self.aim(target);
                if self.host(id).member.is_some() {
                    self.switch_off(id, off_us);
                }
            }
            Fault::Crash { target, operations: Some(operations), .. } => {
                self.fail_disk(target, operations, disk::Fault::Crash);
            }
            Fault::Stop { target, off_us } => {
                let id = self.aim(target);
                let host = self.host(id);
                if let Some(member) = &host.member {
                    member.ask_stop();
                    host.stops_for_us = Some(off_us);
                }
            }
            Fault::Disconnect { target } => {
                let id = self.aim(target);
                let slots: Vec<_> = self.host(id).slots.values().cloned().collect();
                for (connection, wire) in slots {
                    wire.hang_up();
                    self.server_closes(connection);
                }
                self.wake_server(id, 0);
            }
            Fault::DiskError { target, operations } => {
                let id = self.aim(target);
                self.host(id).disk_fails = true;
                self.fail_disk(Target::Member(id), operations, disk::Fault::Io);
            }
            Fault::DiskFull { target, for_us } => {
                let id = self.aim(target);
                let host = self.host(id);
                host.disk_full = true;
                host.disk.set_capacity_bytes(ROOM_BYTES);
                self.after(for_us, Event::DiskHeals { host: id });
            }
            Fault::DiskSlow { target, for_us, cycle_us } => {
                let id = self.aim(target);
                self.host(id).cycle_us = (cycle_us / 2, cycle_us);
                self.after(for_us, Event::DiskHeals { host: id });
            }
            Fault::DiskStall { target: Some(target), for_us } => {
                let id = self.aim(target);
                self.host(id).stall(for_us);
            }
            Fault::DiskStall { target: None, for_us } => {
                self.hosts.iter_mut().for_each(|host| host.stall(for_us));
            }
            Fault::Pause { target, for_us } => {
                let id = self.aim(target);
                self.host(id).paused_until_us = self.now_us + for_us;
            }
            Fault::Suspend { for_us, with_clients } => {
                let until_us = self.now_us + for_us;
                self.hosts.iter_mut().for_each(|host| host.paused_until_us = until_us);
                if with_clients {
                    self.clients.iter_mut().for_each(|client| client.suspend(until_us));
                }
            }
            Fault::CutNextLeader { for_us } => self.cut_next_leader_us = Some(for_us),
            Fault::Lead { member } => {
                let groups = self.plan.group_ids();
                if let Some(member) = &self.host(member).member {
                    groups.for_each(|group| member.ask_lead(group));
                }
            }
            Fault::Busy { target, for_us } => {
                let id = self.aim(target);
                self.host(id).busy_until_us = self.now_us + for_us;
            }
            Fault::SlowReaders { target, for_us } => {
                let id = self.aim(target);
                self.host(id).slow_readers_until_us = self.now_us + for_us;
                self.after(for_us, Event::Serve(id));
            }
            Fault::Cut { target, shape, link, for_us } => self.cut(target, shape, link, for_us),
            Fault::Break { target } => {
                let id = self.aim(target);
                for other in (1..=self.plan.members).filter(|other| *other != id) {
                    self.unlink((id, other));
                    self.unlink((other, id));
                }
            }
            Fault::Loss { percent, for_us } => {
                self.set_loss(percent);
                self.after(for_us, Event::LossEnds);
            }
            Fault::Wipe { target, off_us } if self.tolerates_damage(target) => {
                let id = self.aim(target);
                self.switch_off(id, off_us);
                let seed = self.random.number();
                self.host(id).disk = storage::disk::SimDisk::new(seed);
            }
            Fault::Flip { target, off_us } if self.tolerates_damage(target) => {
                let id = self.aim(target);
                self.switch_off(id, off_us);
                let mut random = self.random.fork();
                let flipped = self.host(id).flip_bit(&mut random);
                self.trace.log(self.now_us, format_args!("a bit of {flipped:?}"));
            }
            Fault::Wipe { .. } | Fault::Flip { .. } => {
                self.trace
                    .log(self.now_us, format_args!("skipped: the others could not continue without it"));
            }
            Fault::Snapshot { target } => {
                let id = self.aim(target);
                let groups = self.plan.group_ids();
                if let Some(member) = &self.host(id).member {
                    groups.for_each(|group| member.ask_snapshot(group));
                }
            }
        }
    }

    /// Whether the others hold everything committed and can continue without this member. Two
    /// voters, which there may be while members join and leave, need each other. A membership
    /// change in progress may end with two; and where the voters are not yet the configured ones,
    /// logs may hold an entry that takes one more vote away.
    fn tolerates_damage(&self, target: Target) -> bool {
        let id = self.aim(target);
        let is_changing = self.root().agreement.machine().members().proposed.is_some();
        let configured = self.configured_voters();
        let suffices = |voters: &[ServerId]| voters.len() > if voters == configured { 2 } else { 3 };
        !is_changing && self.hosts.iter().all(|host| suffices(&host.voters) || !host.voters.contains(&id))
    }

    /// The member a fault hits.
    fn aim(&self, target: Target) -> ServerId {
        match target {
            Target::Member(id) => id,
            Target::Leader(otherwise) => {
                let leads = |host: &&crate::host::Host| {
                    host.member.as_ref().is_some_and(|member| member.role(GroupId::ROOT).role == Role::Leader)
                };
                self.hosts.iter().find(leads).map_or(otherwise, |host| host.id)
            }
        }
    }

    fn fail_disk(&mut self, target: Target, operations: u64, fault: disk::Fault) {
        let id = self.aim(target);
        let disk = &self.host(id).disk;
        disk.fault_at(disk.operations() + operations, fault);
    }

    fn cut(&mut self, target: Target, shape: Shape, link: LinkState, for_us: u64) {
        let id = self.aim(target);
        let members = self.plan.members;
        let half = |other: ServerId| (other + members - id) % members <= members / 2;
        for a in 1..=members {
            for b in (1..=members).filter(|b| *b != a) {
                let is_cut = match shape {
                    Shape::Full => a == id || b == id,
                    Shape::Mute => a == id,
                    Shape::Deaf => b == id,
                    Shape::Bridge => a != id && b != id && half(a) != half(b),
                };
                if is_cut {
                    self.set_link_state((a, b), link);
                    self.after(for_us, Event::Heal { pair: (a, b) });
                }
            }
        }
    }

    /// A member has just been elected and has sent nothing as leader yet.
    pub(super) fn on_elected(&mut self, id: ServerId) {
        let Some(for_us) = self.cut_next_leader_us.take() else { return };
        self.cut(Target::Member(id), Shape::Full, LinkState::Lost, for_us);
        for other in (1..=self.plan.members).filter(|other| *other != id) {
            if self.host(other).member.is_some() {
                let off_us = self.random.between(1_000, 30_000);
                self.switch_off(other, off_us);
            }
        }
    }

    pub(super) fn set_link_state(&mut self, pair: (ServerId, ServerId), link: LinkState) {
        for in_flight in self.network.set_link_state(self.now_us, pair, link) {
            self.schedule_frame(pair, in_flight);
        }
    }

    pub(super) fn set_loss(&mut self, percent: u64) {
        for a in 1..=self.plan.members {
            for b in (1..=self.plan.members).filter(|b| *b != a) {
                self.network.set_loss((a, b), percent);
            }
        }
    }

    pub(super) fn heal_disk(&mut self, id: ServerId) {
        let host = self.host(id);
        host.disk.set_capacity_bytes(u64::MAX);
        host.disk_full = false;
        host.stall(0);
        host.cycle_us = (50, 500);
    }

    /// Ends all faults.
    pub(super) fn end_faults(&mut self) {
        let now_us = self.now_us;
        self.trace.log(now_us, format_args!("calm"));
        self.faults_ended_us = Some(now_us);
        for group in &mut self.groups {
            group.calls_before_faults_ended = group.history.calls.len();
        }
        self.cut_next_leader_us = None;
        self.set_loss(0);
        for a in 1..=self.plan.members {
            for b in (1..=self.plan.members).filter(|b| *b != a) {
                self.set_link_state((a, b), LinkState::Clear);
            }
            self.heal_disk(a);
            let host = self.host(a);
            host.disk.clear_fault();
            (host.paused_until_us, host.busy_until_us, host.slow_readers_until_us) = (0, 0, 0);
            if host.member.is_some() {
                self.wake_driver(a, 0);
                self.wake_server(a, 0);
            }
        }
        for client in &mut self.clients {
            client.on_faults_ended();
        }
        self.after(CHECK_US, Event::CheckRecovery);
    }
}
