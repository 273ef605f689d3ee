//! A machine with one member on it: its disk, its clock, and the process while it runs.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use server::clock::{Clock, ManualTime};
use server::config::{Config, ServerId};
use server::simulation::{Ended, Member};
use storage::disk::{Disk as _, SimDisk};
use storage::snapshot::SnapshotName;

use crate::random::Random;
use crate::socket::Wire;
use crate::world::closings::Serving;

/// Wall clock at the beginning of a run, in ms since 1970.
const EPOCH_MS: i64 = 1_700_000_000_000;

const LOG_DIR: &str = "/data/log";
const SNAPSHOT_DIR: &str = "/data/snapshot";

/// What the network tells a member.
#[derive(Debug)]
pub enum News {
    /// A frame of that member.
    Frame(ServerId, Bytes),
    /// The way to that member is open.
    Linked(ServerId),
    /// The connection on which that member sends has ended.
    Unlinked(ServerId),
}

/// One machine.
pub struct Host {
    /// Number of its member.
    pub id: ServerId,
    /// It outlives the process.
    pub disk: SimDisk,
    config: Config,
    /// The process.
    pub member: Option<Member>,
    /// Counts starts; what was meant for an earlier process is lost.
    pub life: u64,
    clock: Arc<ManualTime>,
    /// Time of the run when `clock` began.
    started_us: u64,
    /// How much time goes by within a flush, in µs: as the member sees it, for the others it takes none.
    flush_us: u64,
    /// The next flush takes so much longer.
    stall_us: Arc<AtomicU64>,
    /// Its clock goes so much too fast, in parts of a million.
    drift_ppm: i64,
    skew_ms: i64,
    /// The process does nothing until then.
    pub paused_until_us: u64,
    /// The connection thread does something else until then.
    pub busy_until_us: u64,
    /// Clients take little of what they are sent until then.
    pub slow_readers_until_us: u64,
    /// The replication thread flushes until then.
    pub flushes_until_us: u64,
    /// When the replication thread looks again, and the connection thread; the latest wins.
    pub drive_at_us: u64,
    /// See `drive_at_us`.
    pub serve_at_us: u64,
    /// Arrived and not looked at.
    pub inbox: VecDeque<News>,
    /// Connections not accepted yet.
    pub backlog: Vec<(usize, Wire)>,
    /// Accepted ones, by slot.
    pub slots: BTreeMap<usize, (usize, Wire)>,
    /// How long the machine is off after the process has stopped, if it was asked to.
    pub stops_for_us: Option<u64>,
    /// How long a cycle takes, flush included, in µs.
    pub cycle_us: (u64, u64),
    /// The last place whose state was compared.
    pub compared: u64,
    /// What its clients can rely on.
    pub serving: Serving,
    /// The disk was told to fail: the process may stop for it.
    pub disk_fails: bool,
    /// The disk has no room: the process may refuse to start.
    pub disk_full: bool,
    /// Who voted when its member last ran.
    pub voters: Vec<ServerId>,
    /// A bit was flipped: the process may refuse to start, and then somebody gives the machine an empty disk.
    pub damaged: bool,
}

impl Host {
    /// A machine that has never been switched on.
    pub fn new(id: ServerId, config: Config, flush_us: u64, mut random: Random) -> Host {
        let drift_ppm = random.between(0, 40_000) as i64 - 20_000;
        let skew_ms = random.between(0, 10_000) as i64 - 5_000;
        Host {
            id,
            disk: SimDisk::new(random.number()),
            config,
            member: None,
            life: 0,
            clock: ManualTime::new(EPOCH_MS),
            started_us: 0,
            flush_us,
            stall_us: Arc::default(),
            drift_ppm,
            skew_ms,
            paused_until_us: 0,
            busy_until_us: 0,
            slow_readers_until_us: 0,
            flushes_until_us: 0,
            drive_at_us: u64::MAX,
            serve_at_us: u64::MAX,
            inbox: VecDeque::new(),
            backlog: Vec::new(),
            slots: BTreeMap::new(),
            stops_for_us: None,
            cycle_us: (50, 500),
            compared: 0,
            serving: Serving::default(),
            disk_fails: false,
            disk_full: false,
            voters: Vec::new(),
            damaged: false,
        }
    }

    /// Starts the process.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start(&mut self, now_us: u64) -> Result<(), Ended> {
        self.life += 1;
        self.started_us = now_us;
        self.clock = ManualTime::new(EPOCH_MS + self.skew_ms + self.local_us(now_us) as i64 / 1000);
        let (clock, flush_us, stall_us) =
            (Arc::clone(&self.clock), self.flush_us, Arc::clone(&self.stall_us));
        self.disk.on_sync(move || clock.advance_us(flush_us + stall_us.swap(0, Relaxed)));
        self.compared = 0;
        (self.drive_at_us, self.serve_at_us) = (u64::MAX, u64::MAX);
        let disk = Arc::new(self.disk.clone());
        self.member = Some(Member::start(disk, self.config.clone(), &self.clock)?);
        Ok(())
    }

    /// Lets the next flush take so much longer.
    pub fn stall(&mut self, us: u64) {
        self.stall_us.store(us, Relaxed);
    }

    /// Cuts the power: the disk decides what of the unsynced it keeps. Says which connections of clients went.
    pub fn power_off(&mut self) -> Vec<usize> {
        self.disk.crash();
        self.member = None;
        self.disk_fails = false;
        self.stops_for_us = None;
        (self.paused_until_us, self.flushes_until_us, self.busy_until_us) = (0, 0, 0);
        (self.drive_at_us, self.serve_at_us) = (u64::MAX, u64::MAX);
        self.inbox.clear();
        let waiting = std::mem::take(&mut self.backlog).into_iter().map(|(connection, _)| connection);
        let accepted = std::mem::take(&mut self.slots).into_values().map(|(connection, _)| connection);
        waiting.chain(accepted).collect()
    }

    /// Flips a bit of a snapshot or of the log, and says where. Of the two newest segments none: damage to the last flush looks like a
    /// write cut short by the crash, and no log can tell it from that.
    pub fn flip_bit(&mut self, random: &mut Random) -> Option<(PathBuf, u64)> {
        let list = |dir: &str, counts: fn(&str) -> bool| {
            let mut names = self.disk.list(Path::new(dir)).unwrap_or_default();
            names.retain(|name| counts(name));
            names.sort_unstable();
            names.into_iter().map(|name| Path::new(dir).join(name)).collect::<Vec<_>>()
        };
        let mut files = list(LOG_DIR, |name| name.ends_with(".seg"));
        files.truncate(files.len().saturating_sub(2));
        files.extend(list(SNAPSHOT_DIR, |name| SnapshotName::parse(name).is_some()));
        if files.is_empty() {
            return None;
        }
        let path = random.pick(&files).clone();
        let length = self.disk.contents(&path).map_or(0, |bytes| bytes.len() as u64);
        let offset = random.below(length.max(1));
        self.damaged = self.disk.flip_bit(&path, offset, random.below(8) as u8);
        Some((path, offset))
    }

    /// So much of this clock's time are `us` of the run.
    fn local_us(&self, us: u64) -> u64 {
        let us = us as i64;
        (us + us / 1_000_000 * self.drift_ppm + us % 1_000_000 * self.drift_ppm / 1_000_000) as u64
    }

    /// Lets the member's clock show the time. Where a flush has put it forward it waits until the run has caught up.
    pub fn tell_time(&mut self, now_us: u64) {
        self.clock.advance_us(self.passed_us(now_us).saturating_sub(self.shown_us()));
    }

    /// Time since the process started, as its clock should show it.
    fn passed_us(&self, now_us: u64) -> u64 {
        self.local_us(now_us) - self.local_us(self.started_us)
    }

    /// Time since the process started, as its clock shows it.
    fn shown_us(&self) -> u64 {
        Clock::manual(Arc::clone(&self.clock)).elapsed_us()
    }

    /// One cycle of the replication thread.
    ///
    /// # Errors
    /// Why the member cannot go on.
    pub fn drive(&mut self, now_us: u64) -> Result<(), Ended> {
        self.tell_time(now_us);
        let Some(member) = &mut self.member else { return Ok(()) };
        member.begin_hearing();
        for news in self.inbox.drain(..) {
            match news {
                News::Frame(from, frame) => member.receive(from, frame)?,
                News::Linked(to) => member.linked(to),
                News::Unlinked(from) => member.unlinked(from),
            }
        }
        let cycle = member.cycle();
        self.flushes_until_us = now_us + self.shown_us().saturating_sub(self.passed_us(now_us));
        let Some(member) = &mut self.member else { return cycle };
        self.voters =
            member.status().membership.voters.iter().map(|id| state::members::server_of_id(id.0)).collect();
        cycle
    }

    /// One turn of the connection thread. Says which connections were refused.
    pub fn serve(&mut self, now_us: u64) -> Vec<usize> {
        self.tell_time(now_us);
        let Some(member) = &mut self.member else { return Vec::new() };
        let mut refused = Vec::new();
        for (connection, wire) in self.backlog.drain(..) {
            match member.accept(wire.server_end()) {
                Some(slot) => {
                    self.slots.insert(slot, (connection, wire));
                }
                None => refused.push(connection),
            }
        }
        let ready: Vec<_> = self
            .slots
            .iter()
            .map(|(slot, (_, wire))| (*slot, wire.readiness()))
            .filter(|(_, ready)| ready.readable || ready.writable)
            .collect();
        member.serve(&ready);
        refused
    }
}
