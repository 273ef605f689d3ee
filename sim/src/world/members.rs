//! Processes and the traffic between them.

use bytes::Bytes;
use consensus::engine::Role;
use server::simulation::Ended;
use server::simulation::GroupId;

use super::{Event, World};
use crate::checkers::Violation;
use crate::host::NetworkEvent;
use crate::network::{InFlight, LinkState};
use crate::plan::HEARTBEAT_MS;
use server::config::ServerId;

/// The longest time between two cycles of a member: its tick.
const TICK_US: u64 = 10_000;

/// The same while it has deferred work, as the timeout it would pass to poll.
const HOLD_US: u64 = 1_000;

/// How often a member that flushes checks whether to send a keepalive.
const KEEPALIVE_US: u64 = HEARTBEAT_MS as u64 * 1_000;

/// Time between two attempts to connect to another member.
const RETRY_US: u64 = 30_000;

impl World {
    /// Wakes the replication thread of a member, at the latest after this time.
    pub(super) fn wake_driver(&mut self, id: ServerId, after_us: u64) {
        let now_us = self.now_us;
        let host = self.host(id);
        let at_us = host.flushes_until_us.max(now_us + after_us);
        if at_us < host.drive_at_us {
            host.drive_at_us = at_us;
            self.at(at_us, Event::Drive(id));
        }
    }

    /// The same for its connection thread.
    pub(super) fn wake_server(&mut self, id: ServerId, after_us: u64) {
        let at_us = self.now_us + after_us;
        let host = self.host(id);
        if at_us < host.serve_at_us {
            host.serve_at_us = at_us;
            self.at(at_us, Event::Serve(id));
        }
    }

    fn cycle_us(&mut self, id: ServerId) -> u64 {
        let (low, high) = self.host(id).cycle_us;
        self.random.between(low, high)
    }

    pub(super) fn drive(&mut self, id: ServerId) -> Result<(), Violation> {
        let now_us = self.now_us;
        let host = self.host(id);
        if host.drive_at_us != now_us || host.member.is_none() {
            return Ok(());
        }
        host.drive_at_us = u64::MAX;
        if host.paused_until_us > now_us {
            let rest_us = host.paused_until_us - now_us;
            self.wake_driver(id, rest_us);
            return Ok(());
        }
        let ended = host.drive(now_us);
        let Some(member) = &mut host.member else { return Ok(()) };
        let frames = member.take_frames();
        let busy = member.is_busy();
        let patience_us = if member.is_holding() { HOLD_US } else { TICK_US };
        for group in self.plan.group_ids() {
            self.record(id, group)?;
        }
        self.update_serving(id);
        for (to, frame) in frames {
            self.send(id, to, frame);
        }
        if let Err(ended) = ended {
            return self.process_ended(id, &ended);
        }
        if self.host(id).disk.is_off() {
            // The power was lost during an operation whose failure the member tolerates.
            let off_us = self.random.between(1_000, 1_000_000);
            self.switch_off(id, off_us);
            return Ok(());
        }
        for group in self.plan.group_ids() {
            self.compare(id, group)?;
        }
        if self.host(id).member.as_ref().is_some_and(|member| member.may_end()) {
            return self.stop(id);
        }
        if busy {
            let delay_us = self.random.below(100);
            self.wake_server(id, delay_us);
        }
        self.wake_driver(id, patience_us);
        if self.host(id).flushes_until_us > now_us + KEEPALIVE_US {
            let incarnation = self.host(id).incarnation;
            self.send_keepalives(id, incarnation);
        }
        Ok(())
    }

    /// Records what a member of the group has learned and decided in its latest cycle.
    fn record(&mut self, id: ServerId, group: GroupId) -> Result<(), Violation> {
        let now_us = self.now_us;
        let Some(member) = &mut self.hosts[id as usize - 1].member else { return Ok(()) };
        let ending: Vec<i64> = member.ending(group).collect();
        let (committed, role) = (member.take_committed(group), member.role(group));
        let history = &mut self.groups[group.index()].history;
        history.decided.extend(ending.into_iter().map(|session| (session, now_us)));
        for entry in committed {
            let (index, term, bytes) = (entry.index, entry.term, entry.data.len());
            let kind = entry.kind;
            let story = format_args!(
                "member {id} of group {group}: {index} of term {term} is committed, {kind:?}, {bytes} bytes"
            );
            self.trace.log(now_us, story);
            self.on_committed(id, group, index);
            let agreement = &mut self.groups[group.index()].agreement;
            let before = agreement.outcomes.len();
            agreement.committed(id, entry, now_us)?;
            for outcome in &agreement.outcomes[before..] {
                self.trace.log(now_us, format_args!("    {outcome}"));
            }
        }
        let agreement = &mut self.groups[group.index()].agreement;
        if role.role == Role::Leader && agreement.leads(id, role.term)? {
            self.on_elected(id);
        }
        Ok(())
    }

    /// Sends the keepalives of a member while it flushes, and checks again later.
    pub(super) fn send_keepalives(&mut self, id: ServerId, incarnation: u64) {
        let now_us = self.now_us;
        let host = self.host(id);
        if host.incarnation != incarnation || host.flushes_until_us <= now_us {
            return;
        }
        let Some(member) = &mut host.member else { return };
        let frames = if host.paused_until_us <= now_us { member.keepalive() } else { Vec::new() };
        for (to, frame) in frames {
            self.send(id, to, frame);
        }
        self.after(KEEPALIVE_US, Event::Keepalive { host: id, incarnation });
    }

    /// The process has finished its orderly shutdown.
    fn stop(&mut self, id: ServerId) -> Result<(), Violation> {
        let host = self.host(id);
        let off_us = host.stops_for_us.unwrap_or(0);
        let Some(member) = host.member.take() else { return Ok(()) };
        if let Err(ended) = member.end() {
            return self.process_ended(id, &ended);
        }
        self.switch_off(id, off_us);
        Ok(())
    }

    /// Compares the member's state with that of the others at the same index.
    fn compare(&mut self, id: ServerId, group: GroupId) -> Result<(), Violation> {
        let host = &mut self.hosts[id as usize - 1];
        let Some(member) = &host.member else { return Ok(()) };
        let applied = member.applied_index(group);
        let compared = &mut host.compared[group.index()];
        if std::mem::replace(compared, applied) == applied {
            return Ok(());
        }
        let machine = member.machine(group);
        self.trace.number(applied ^ machine.last_zxid() as u64);
        self.groups[group.index()].agreement.reached(id, applied, &machine)?;
        if self.random.percent(5) {
            machine.check().map_err(|violation| {
                Violation::new("a member's counters are correct", format!("member {id}: {violation}"))
            })?;
        }
        Ok(())
    }

    pub(super) fn serve(&mut self, id: ServerId) -> Result<(), Violation> {
        let now_us = self.now_us;
        let host = self.host(id);
        if host.serve_at_us != now_us || host.member.is_none() {
            return Ok(());
        }
        host.serve_at_us = u64::MAX;
        let away_until_us = host.paused_until_us.max(host.busy_until_us);
        if away_until_us > now_us {
            self.wake_server(id, away_until_us - now_us);
            return Ok(());
        }
        for refused in host.serve(now_us) {
            self.server_closes(refused);
        }
        self.collect_written(id)?;
        let delay_us = self.cycle_us(id);
        self.wake_driver(id, delay_us);
        if self.host(id).member.as_ref().is_some_and(|member| member.is_busy()) {
            let delay_us = self.random.between(1, 50);
            self.wake_server(id, delay_us);
        }
        Ok(())
    }

    fn send(&mut self, from: ServerId, to: ServerId, frame: Bytes) {
        if from == to || to == 0 || to > self.plan.members {
            return;
        }
        if let Some(in_flight) = self.network.send(self.now_us, (from, to), frame) {
            self.schedule_frame((from, to), in_flight);
        }
    }

    pub(super) fn schedule_frame(&mut self, pair: (ServerId, ServerId), in_flight: InFlight) {
        let InFlight { at_us, connection, frame } = in_flight;
        self.at(at_us, Event::Frame { pair, connection, frame });
    }

    pub(super) fn on_frame(&mut self, pair: (ServerId, ServerId), connection: u64, frame: Bytes) {
        if self.network.arrives(pair, connection) && self.host(pair.1).member.is_some() {
            self.trace.number(u64::from(pair.0) << 8 | u64::from(pair.1));
            self.trace.bytes(&frame);
            self.deliver(pair.1, NetworkEvent::Frame(pair.0, frame));
        }
    }

    fn deliver(&mut self, id: ServerId, event: NetworkEvent) {
        self.host(id).inbox.push_back(event);
        let delay_us = self.cycle_us(id);
        self.wake_driver(id, delay_us);
    }

    pub(super) fn try_link(&mut self, pair: (ServerId, ServerId)) {
        if self.network.is_open(pair) || self.host(pair.0).member.is_none() {
            return;
        }
        if self.host(pair.1).member.is_some() && self.network.connect(pair) {
            self.deliver(pair.0, NetworkEvent::Linked(pair.1));
        } else {
            self.after(RETRY_US, Event::Link { pair });
        }
    }

    /// Ends a connection between members; the receiver learns of it if the link is clear.
    pub(super) fn unlink(&mut self, pair: (ServerId, ServerId)) {
        if !self.network.break_off(pair) {
            return;
        }
        if self.network.state(pair) == LinkState::Clear {
            let delay_us = self.network.delay_us();
            let incarnation = self.host(pair.1).incarnation;
            self.after(delay_us, Event::Unlinked { pair, incarnation });
        }
        let delay_us = self.random.below(RETRY_US);
        self.after(delay_us, Event::Link { pair });
    }

    pub(super) fn on_unlinked(&mut self, pair: (ServerId, ServerId), incarnation: u64) {
        let host = self.host(pair.1);
        if host.incarnation == incarnation && host.member.is_some() {
            self.deliver(pair.1, NetworkEvent::Unlinked(pair.0));
        }
    }

    /// A process could not continue.
    fn process_ended(&mut self, id: ServerId, ended: &Ended) -> Result<(), Violation> {
        let now_us = self.now_us;
        let host = self.host(id);
        let off = host.disk.is_off();
        let excused = off || host.disk_fails || host.disk_full;
        let refuses = matches!(ended, Ended::Recovery(_));
        let damaged = !excused && refuses && std::mem::take(&mut host.damaged);
        self.trace.log(now_us, format_args!("member {id} ends: {ended}"));
        if damaged {
            // The administrator empties the disk, as the error message advises.
            let seed = self.random.number();
            self.host(id).disk = storage::disk::SimDisk::new(seed);
        } else if !excused {
            let mut evidence = format!("member {id}: {ended}");
            let mut cause: &dyn std::error::Error = ended;
            while let Some(next) = cause.source() {
                evidence = format!("{evidence}: {next}");
                cause = next;
            }
            return Err(Violation::new("a member restarts and keeps running after any crash", evidence));
        }
        let off_us = self.random.between(1_000, 1_000_000);
        self.switch_off(id, off_us);
        Ok(())
    }

    /// A machine loses power for a while.
    pub(super) fn switch_off(&mut self, id: ServerId, off_us: u64) {
        let now_us = self.now_us;
        self.trace.log(now_us, format_args!("member {id} is switched off for {off_us} µs"));
        let host = self.host(id);
        let incarnation = host.incarnation;
        for connection in host.power_off() {
            self.server_closes(connection);
        }
        for other in (1..=self.plan.members).filter(|other| *other != id) {
            self.unlink((id, other));
            self.unlink((other, id));
        }
        self.after(off_us, Event::Start { host: id, incarnation });
    }

    pub(super) fn switch_on(&mut self, id: ServerId, incarnation: u64) -> Result<(), Violation> {
        let now_us = self.now_us;
        let host = self.host(id);
        if host.member.is_some() || host.incarnation != incarnation {
            return Ok(());
        }
        if host.paused_until_us > now_us {
            let at_us = host.paused_until_us;
            self.at(at_us, Event::Start { host: id, incarnation });
            return Ok(());
        }
        let started = host.start(now_us);
        self.trace.log(now_us, format_args!("member {id} starts: {:?}", started.as_ref().err()));
        if let Err(ended) = started {
            return self.process_ended(id, &ended);
        }
        self.on_serving_started(id);
        for other in (1..=self.plan.members).filter(|other| *other != id) {
            for pair in [(id, other), (other, id)] {
                let delay_us = self.network.delay_us();
                self.after(delay_us, Event::Link { pair });
            }
        }
        self.wake_driver(id, 0);
        Ok(())
    }
}
