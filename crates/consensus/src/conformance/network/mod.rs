//! A group in one thread: members, their disks, and the network between them, all driven by one
//! seed.

mod host;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::Make;
use super::disk::{Disk, Snapshot};
use super::record::Record;
use crate::engine::{Engine, Role, Settings, Start, StepError};
use crate::entry::{Entry, MemberId};

/// Random faults. Times are in units of one tick.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    pub(super) loss_percent: u64,
    pub(super) duplicate_percent: u64,
    /// Messages take from 1 to this long; different times reorder them.
    pub(super) delay_max: u64,
    pub(super) flush_delay_max: u64,
}

impl Faults {
    pub(super) const NONE: Self =
        Self { loss_percent: 0, duplicate_percent: 0, delay_max: 1, flush_delay_max: 0 };
    pub(super) const ROUGH: Self =
        Self { loss_percent: 10, duplicate_percent: 10, delay_max: 5, flush_delay_max: 4 };
}

pub(super) struct Peer {
    pub(super) engine: Option<Box<dyn Engine>>,
    disk: Disk,
    /// Due time and number of flushes in flight.
    flushes: VecDeque<(u64, u64)>,
    fetching: Option<(u64, MemberId)>,
    fetched: Option<Snapshot>,
    /// The state machine: all entries ever applied.
    pub(super) history: Vec<Entry>,
    pub(super) applied: u64,
    pub(super) installed_count: u32,
    boots: u64,
    last_number: u64,
}

impl Peer {
    pub(super) fn engine(&mut self) -> &mut dyn Engine {
        self.engine.as_mut().expect("it is up").as_mut()
    }
}

pub(super) struct Network<'a> {
    make: &'a Make<'a>,
    seed: u64,
    random: u64,
    pub(super) now: u64,
    pub(super) peers: BTreeMap<MemberId, Peer>,
    wire: BTreeMap<(u64, u64), (MemberId, MemberId, Bytes)>,
    sent_count: u64,
    /// Hash over everything delivered: must be equal in two runs of a seed.
    pub(super) transcript: u64,
    cut: BTreeSet<(MemberId, MemberId)>,
    /// Stalled members: they do nothing, and messages to them wait.
    pub(super) stalled: BTreeSet<MemberId>,
    /// Settings of members started from now on, except for member, boot nonce and seed.
    pub(super) settings: Settings,
    /// Number of the one message, of all sent, that is lost.
    pub(super) lost: Option<u64>,
    /// Bytes sent to each member, and the length of the longest message.
    pub(super) sent_bytes: BTreeMap<MemberId, u64>,
    pub(super) longest_message: u64,
    /// The member whose disk was wiped…
    pub(super) wiped: Option<MemberId>,
    /// …and whether it has detected that.
    pub(super) is_loss_detected: bool,
    pub(super) faults: Faults,
    pub(super) record: Record,
    /// Members take a snapshot after this many entries…
    pub(super) snapshot_every: u64,
    /// …and keep this many before it.
    pub(super) retained: u64,
    proposed: u64,
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("conformance: seed {}, time {}", self.seed, self.now);
            for (member, peer) in &self.peers {
                let status = peer.engine.as_ref().map(|engine| engine.status());
                eprintln!("  {member:?} applied {} {status:?}", peer.applied);
            }
        }
    }
}

impl<'a> Network<'a> {
    /// Founding members 1 to `size`, up.
    pub(super) fn new(make: &'a Make<'a>, size: u64, seed: u64) -> Self {
        let mut network = Self::empty(make, seed);
        network.found(size);
        network
    }

    /// No members yet, so that settings can be changed.
    pub(super) fn empty(make: &'a Make<'a>, seed: u64) -> Self {
        Self {
            make,
            seed,
            random: seed,
            now: 0,
            peers: BTreeMap::new(),
            wire: BTreeMap::new(),
            sent_count: 0,
            transcript: 0,
            cut: BTreeSet::new(),
            stalled: BTreeSet::new(),
            settings: Settings { election_ticks: 10, ..Settings::new(3, MemberId(1), 1, seed) },
            lost: None,
            sent_bytes: BTreeMap::new(),
            longest_message: 0,
            wiped: None,
            is_loss_detected: false,
            faults: Faults::NONE,
            record: Record::default(),
            snapshot_every: u64::MAX,
            retained: 0,
            proposed: 0,
        }
    }

    /// Starts founding members 1 to `size`.
    pub(super) fn found(&mut self, size: u64) {
        let voters = (1..=size).map(MemberId).collect::<Vec<_>>();
        for member in &voters {
            self.add(*member, Start::bootstrap(&voters));
        }
    }

    /// Starts a member with that on its disk.
    pub(super) fn add(&mut self, member: MemberId, start: Start) {
        let peer = Peer {
            engine: None,
            disk: Disk::new(start),
            flushes: VecDeque::new(),
            fetching: None,
            fetched: None,
            history: Vec::new(),
            applied: 0,
            installed_count: 0,
            boots: 0,
            last_number: 0,
        };
        self.peers.insert(member, peer);
        self.restart(member);
    }

    /// From 0 to `limit - 1`.
    pub(super) fn random(&mut self, limit: u64) -> u64 {
        self.random = mix(self.random);
        self.random % limit
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.random(100) < percent
    }

    pub(super) fn peer(&mut self, member: MemberId) -> &mut Peer {
        self.peers.get_mut(&member).expect("a known member")
    }

    pub(super) fn up(&self) -> Vec<MemberId> {
        self.peers.iter().filter(|(_, peer)| peer.engine.is_some()).map(|(member, _)| *member).collect()
    }

    pub(super) fn crash(&mut self, member: MemberId) {
        let writes = self.peer(member).disk.unflushed_count() as u64;
        let (writes, entries) = (self.random(writes + 1) as usize, self.random(3) as usize);
        let peer = self.peer(member);
        peer.engine = None;
        peer.disk.crash(writes, entries);
        peer.flushes.clear();
        peer.fetching = None;
        peer.fetched = None;
    }

    pub(super) fn restart(&mut self, member: MemberId) {
        let (make, settings) = (self.make, self.settings.clone());
        let peer = self.peer(member);
        assert!(peer.engine.is_none(), "it is down");
        peer.boots += 1;
        peer.last_number = 0;
        peer.applied = peer.disk.snapshot.meta.position.index;
        peer.history = peer.disk.snapshot.history.clone();
        let settings = Settings { member, boot_nonce: peer.boots, ..settings };
        peer.engine = Some(make(settings, peer.disk.start()));
        self.pump(member);
    }

    /// Cuts `member` off from all others, both ways, or only what it sends.
    pub(super) fn isolate(&mut self, member: MemberId, only_outgoing: bool) {
        for other in self.peers.keys().copied().filter(|other| *other != member) {
            self.cut.insert((member, other));
            if !only_outgoing {
                self.cut.insert((other, member));
            }
        }
    }

    /// Cuts everything sent to `member`.
    pub(super) fn deafen(&mut self, member: MemberId) {
        let others = self.peers.keys().filter(|other| **other != member);
        self.cut.extend(others.map(|other| (*other, member)));
    }

    /// Cuts the members in `part` off from all others.
    pub(super) fn split(&mut self, part: &[MemberId]) {
        let members = self.peers.keys().copied().collect::<Vec<_>>();
        for one in part {
            for other in members.iter().filter(|other| !part.contains(other)) {
                self.cut_link(*one, *other);
            }
        }
    }

    /// Cuts what `from` sends to `to`.
    pub(super) fn cut_one_way(&mut self, from: MemberId, to: MemberId) {
        self.cut.insert((from, to));
    }

    /// Cuts the link of two members, both ways.
    pub(super) fn cut_link(&mut self, one: MemberId, other: MemberId) {
        self.cut.extend([(one, other), (other, one)]);
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// The leader of the highest term among those up, if any.
    pub(super) fn leader(&self) -> Option<MemberId> {
        let roles = self
            .peers
            .iter()
            .filter_map(|(member, peer)| peer.engine.as_ref().map(|engine| (engine.role(), *member)));
        let leading = roles.filter(|(change, _)| change.role == Role::Leader);
        leading.max_by_key(|(change, _)| change.term).map(|(_, member)| member)
    }

    /// Proposes a new command on the leader; false if there is none, or it refuses.
    pub(super) fn propose(&mut self) -> bool {
        self.leader().is_some_and(|leader| self.propose_on(leader))
    }

    /// Proposes a new command on that member, whether it leads or not.
    pub(super) fn propose_on(&mut self, member: MemberId) -> bool {
        self.proposed += 1;
        let number = self.proposed;
        let data = Bytes::from(format!("command {number:0>8}"));
        let is_taken = match self.peer(member).engine().propose(data.clone()) {
            Ok(()) => true,
            Err(refused) => {
                assert_eq!(refused.data, data, "a refused proposal is handed back");
                self.record.refused(data);
                false
            }
        };
        self.pump(member);
        is_taken
    }

    pub(super) fn ask_read(&mut self, member: MemberId) -> u64 {
        let context = self.record.asked();
        self.peer(member).engine().read_barrier(context).expect("few reads wait");
        self.pump(member);
        context
    }

    /// One unit of time: arrivals and flushes that are due, then a tick for every member.
    pub(super) fn step(&mut self) {
        self.now += 1;
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (_, number) = *entry.key();
            let (from, to, bytes) = entry.remove();
            if self.stalled.contains(&to) {
                self.wire.insert((self.now + 1, number), (from, to, bytes));
            } else {
                self.deliver(from, to, bytes);
            }
        }
        for member in self.up() {
            if self.stalled.contains(&member) {
                continue;
            }
            self.finish_flushes(member);
            self.finish_fetch(member);
            self.peer(member).engine().tick();
            self.pump(member);
        }
    }

    pub(super) fn run(&mut self, units: u64) {
        (0..units).for_each(|_| self.step());
    }

    /// Steps until `holds`; panics with `promise` if that takes too long.
    pub(super) fn until(&mut self, promise: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2_000 {
            if holds(self) {
                return;
            }
            self.step();
        }
        panic!("{promise}");
    }

    fn deliver(&mut self, from: MemberId, to: MemberId, bytes: Bytes) {
        if self.cut.contains(&(from, to)) {
            return;
        }
        let Some(peer) = self.peers.get_mut(&to).filter(|peer| peer.engine.is_some()) else { return };
        for byte in bytes.iter() {
            self.transcript = (self.transcript ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
        match peer.engine().step(from, bytes) {
            Err(StepError::LostLog { .. }) if self.wiped == Some(to) => self.is_loss_detected = true,
            result => result.expect("members understand each other"),
        }
        self.pump(to);
    }

    /// Whether all of `members` have applied everything committed anywhere.
    pub(super) fn all_applied(&self, members: &[MemberId]) -> bool {
        let highest = self.record.highest();
        members.iter().all(|member| self.peers[member].applied == highest)
    }

    /// Checks what must hold once all faults and proposals have ended.
    pub(super) fn check_equal(&self, members: &[MemberId]) {
        let histories = members.iter().map(|member| &self.peers[member].history).collect::<Vec<_>>();
        for history in histories {
            assert!(self.record.is_all(history), "all members have applied all that was ever committed");
        }
    }
}

fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let hash = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}
