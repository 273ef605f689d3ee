//! A machine with one member on it: its disk, its clock, and its process while it runs.

use server::simulation::GroupId;
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

/// What the network delivers to a member.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A frame from that member.
    Frame(ServerId, Bytes),
    /// A connection to that member is established.
    Linked(ServerId),
    /// The connection on which that member sends has ended.
    Unlinked(ServerId),
}

/// One machine.
pub struct Host {
    /// Id of its member.
    pub id: ServerId,
    /// It outlives the process.
    pub disk: SimDisk,
    config: Config,
    /// The process; `None` while it is not running.
    pub member: Option<Member>,
    /// Counts starts; events meant for an earlier process are dropped.
    pub incarnation: u64,
    clock: Arc<ManualTime>,
    /// Time of the run when `clock` began.
    started_us: u64,
    /// How long a flush takes on the member's own clock, in µs; on the run's clock it takes no
    /// time.
    flush_us: u64,
    /// Added to the duration of the next flush.
    stall_us: Arc<AtomicU64>,
    /// How much faster than real time its clock runs, in parts per million.
    drift_ppm: i64,
    skew_ms: i64,
    /// The process is suspended until then.
    pub paused_until_us: u64,
    /// The connection thread does something else until then.
    pub busy_until_us: u64,
    /// Clients read little until then.
    pub slow_readers_until_us: u64,
    /// The replication thread flushes until then.
    pub flushes_until_us: u64,
    /// When the replication thread runs next, and the connection thread; later values replace
    /// earlier ones.
    pub drive_at_us: u64,
    /// See `drive_at_us`.
    pub serve_at_us: u64,
    /// Delivered and not handled yet.
    pub inbox: VecDeque<NetworkEvent>,
    /// Connections not accepted yet.
    pub backlog: Vec<(usize, GroupId, Wire)>,
    /// Accepted connections, by slot.
    pub slots: BTreeMap<usize, (usize, Wire)>,
    /// How long the machine stays off after the requested shutdown; `None` if none was requested.
    pub stops_for_us: Option<u64>,
    /// How long a cycle takes, flush included, in µs.
    pub cycle_us: (u64, u64),
    /// By the group's number, the last index at which the state was compared.
    pub compared: Vec<u64>,
    /// By the group's number, what its clients can rely on.
    pub serving: Vec<Serving>,
    /// A disk error is scheduled: the process may stop because of it.
    pub disk_fails: bool,
    /// The disk is full: the process may refuse to start.
    pub disk_full: bool,
    /// The voters when its member last ran, in order.
    pub voters: Vec<ServerId>,
    /// A bit was flipped: the process may refuse to start; the machine then gets an empty disk.
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
            member: None,
            incarnation: 0,
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
            compared: vec![0; usize::from(config.groups)],
            serving: vec![Serving::default(); usize::from(config.groups)],
            config,
            disk_fails: false,
            disk_full: false,
            voters: Vec::new(),
            damaged: false,
        }
    }

    /// Starts the process.
    ///
    /// # Errors
    /// If the process does not start.
    pub fn start(&mut self, now_us: u64) -> Result<(), Ended> {
        self.incarnation += 1;
        self.started_us = now_us;
        self.clock = ManualTime::new(EPOCH_MS + self.skew_ms + self.local_us(now_us) as i64 / 1000);
        let (clock, flush_us, stall_us) =
            (Arc::clone(&self.clock), self.flush_us, Arc::clone(&self.stall_us));
        self.disk.on_sync(move || clock.advance_us(flush_us + stall_us.swap(0, Relaxed)));
        self.compared.fill(0);
        (self.drive_at_us, self.serve_at_us) = (u64::MAX, u64::MAX);
        let disk = Arc::new(self.disk.clone());
        self.member = Some(Member::start(disk, self.config.clone(), &self.clock)?);
        Ok(())
    }

    /// Makes the next flush take this much longer.
    pub fn stall(&mut self, us: u64) {
        self.stall_us.store(us, Relaxed);
    }

    /// Cuts the power: the disk decides which unsynced data it keeps. Returns the client
    /// connections that are lost.
    pub fn power_off(&mut self) -> Vec<usize> {
        self.disk.crash();
        self.member = None;
        self.disk_fails = false;
        self.stops_for_us = None;
        (self.paused_until_us, self.flushes_until_us, self.busy_until_us) = (0, 0, 0);
        (self.drive_at_us, self.serve_at_us) = (u64::MAX, u64::MAX);
        self.inbox.clear();
        let waiting = std::mem::take(&mut self.backlog).into_iter().map(|(connection, _, _)| connection);
        let accepted = std::mem::take(&mut self.slots).into_values().map(|(connection, _)| connection);
        waiting.chain(accepted).collect()
    }

    /// Flips a bit of a snapshot or of the log, and returns where. The two newest segments are
    /// spared: damage to the last flush looks like a write torn by the crash, and no log can
    /// distinguish them.
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

    /// How much time passes on this clock in `us` of the run.
    fn local_us(&self, us: u64) -> u64 {
        let us = us as i64;
        (us + us / 1_000_000 * self.drift_ppm + us % 1_000_000 * self.drift_ppm / 1_000_000) as u64
    }

    /// Advances the member's clock to the time of the run. After a flush has advanced it further,
    /// it waits until the run catches up.
    pub fn sync_clock(&mut self, now_us: u64) {
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
    /// If the member cannot continue.
    pub fn drive(&mut self, now_us: u64) -> Result<(), Ended> {
        self.sync_clock(now_us);
        let Some(member) = &mut self.member else { return Ok(()) };
        member.peers_polled();
        for event in self.inbox.drain(..) {
            match event {
                NetworkEvent::Frame(from, frame) => member.receive(from, frame)?,
                NetworkEvent::Linked(to) => member.linked(to),
                NetworkEvent::Unlinked(from) => member.unlinked(from),
            }
        }
        let cycle = member.cycle();
        self.flushes_until_us = now_us + self.shown_us().saturating_sub(self.passed_us(now_us));
        let Some(member) = &mut self.member else { return cycle };
        let voters = member.status(GroupId::ROOT).membership.voters;
        self.voters = voters.iter().map(|id| state::members::server_of_id(id.0)).collect();
        self.voters.sort_unstable();
        cycle
    }

    /// One turn of the connection thread. Returns the refused connections.
    pub fn serve(&mut self, now_us: u64) -> Vec<usize> {
        self.sync_clock(now_us);
        let Some(member) = &mut self.member else { return Vec::new() };
        let mut refused = Vec::new();
        for (connection, group, wire) in self.backlog.drain(..) {
            match member.accept(group, wire.server_end()) {
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
