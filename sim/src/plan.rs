//! Everything a seed decides before a run begins.

use std::path::PathBuf;

use server::config::{self, CommandLine, Config, EngineKind, Ensemble, ServerId, Servers};

use server::simulation::GroupId;

use crate::faults::{self, Fault};
use crate::random::Random;
use crate::workload::{self, Operator, SUPER_DIGEST};

/// Interval of a leader's heartbeats, and of the keepalives of a member whose flush takes long.
pub const HEARTBEAT_MS: u32 = 40;

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of everything drawn.
    pub seed: u64,
    /// The consensus engine.
    pub engine: EngineKind,
    /// Number of servers; their ids begin with 1.
    pub members: ServerId,
    /// Number of founding servers. The others join later.
    pub founders: ServerId,
    /// Whether the last of the founders is an observer.
    observer: bool,
    /// Whether a client changes the membership.
    pub reconfigures: bool,
    /// Number of consensus groups, each with a namespace of its own.
    pub groups: u16,
    /// Number of clients.
    pub clients: usize,
    /// Duration of the faulty phase, in µs.
    pub faulty_us: u64,
    /// Range of a frame's delay.
    pub delay_us: (u64, u64),
    /// Duration of a flush as its member sees it. Not drawn, so that it changes nothing else of a
    /// run.
    pub flush_us: u64,
    /// Range of the time between two turns of a client.
    pub turn_us: (u64, u64),
    /// Time in µs of each fault; in order.
    pub faults: Vec<(u64, Fault)>,
    /// Commands between two snapshots.
    snapshot_commands: u64,
    segment_bytes: u64,
    /// Bytes per piece when a snapshot is sent.
    piece_bytes: usize,
    election_timeout_ms: u32,
    linearizable_reads: bool,
    /// Whether a member without a leader serves clients in read-only mode.
    pub read_only_mode: bool,
    /// The session timeout that all clients request; `None`: each draws its own.
    pub timeout_ms: Option<i32>,
    /// Unread reply bytes above which a client's requests have to wait; `None`: the default.
    output_pause_bytes: Option<usize>,
}

impl Plan {
    /// The plan of this seed.
    pub fn new(seed: u64, engine: EngineKind) -> Plan {
        let mut random = Random::new(seed);
        let voters = *random.pick(&[3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 1, 1]);
        // A standalone server accepts no other.
        let observer = voters > 1 && random.percent(15);
        let founders = voters + ServerId::from(observer);
        let reconfigures = random.percent(35);
        let members = founders + if reconfigures { random.below(3) as ServerId } else { 0 };
        let faulty_us = random.between(2_000_000, 10_000_000);
        let mut plan = Plan {
            seed,
            engine,
            members,
            founders,
            observer,
            reconfigures,
            groups: if reconfigures { 1 } else { draw_groups(seed) },
            clients: random.between(1, 5) as usize,
            faulty_us,
            delay_us: *random.pick(&[(50, 300), (100, 2_000), (1_000, 15_000)]),
            flush_us: [0, 200, 1_000, 5_000][(seed % 4) as usize],
            turn_us: *random.pick(&[(500, 10_000), (2_000, 40_000), (10_000, 100_000)]),
            faults: Vec::new(),
            snapshot_commands: *random.pick(&[10, 50, 300, 100_000]),
            segment_bytes: *random.pick(&[16 << 10, 64 << 10]),
            piece_bytes: *random.pick(&[100, 1_000, 64 << 10]),
            election_timeout_ms: *random.pick(&[150, 200, 300]),
            linearizable_reads: random.percent(20),
            read_only_mode: random.percent(40),
            timeout_ms: None,
            output_pause_bytes: None,
        };
        let gap_us = *random.pick(&[100_000, 400_000, 1_500_000]);
        let mut at_us = random.below(600_000);
        while at_us < faulty_us {
            plan.faults.push((at_us, faults::draw(&mut random, members)));
            at_us += random.below(2 * gap_us);
        }
        // One disk may be lost or damaged. A second one before the first is restored would be more
        // than any ensemble of three can tolerate.
        if voters > 1 && random.percent(30) {
            let target = faults::target(&mut random, members);
            let off_us = random.below(1_000_000);
            let damage = if random.percent(50) {
                Fault::Wipe { target, off_us }
            } else {
                Fault::Flip { target, off_us }
            };
            plan.faults.push((random.between(1_000_000, faulty_us), damage));
        }
        plan.add_stalls();
        plan.add_read_delays();
        plan.add_lag();
        plan.add_transfers();
        plan.add_cut_leaders();
        plan.faults.sort_by_key(|(at_us, _)| *at_us);
        plan
    }

    /// Makes disks stall in every sixth run. Drawn from a separate stream, so that it changes
    /// nothing else of any run.
    fn add_stalls(&mut self) {
        let mut random = Random::new(self.seed ^ 0x57A1_1ED0);
        if random.below(6) > 0 {
            return;
        }
        for _ in 0..random.between(1, 4) {
            let at_us = random.between(500_000, self.faulty_us);
            self.faults.push((at_us, faults::draw_stall(&mut random, self.members)));
        }
    }

    /// Keeps servers from reading their clients for a while in every fourth run; most of those have
    /// no other faults. Session timeouts are short in some.
    fn add_read_delays(&mut self) {
        let mut random = Random::new(self.seed ^ 0x0DEA_FBAD);
        if random.below(4) > 0 {
            return;
        }
        if random.percent(70) {
            self.faults.clear();
        }
        self.timeout_ms = *random.pick(&[None, Some(200), Some(300), Some(500)]);
        self.output_pause_bytes = Some(200);
        for _ in 0..random.between(2, 6) {
            let at_us = random.between(500_000, self.faulty_us);
            self.faults.push((at_us, faults::draw_read_delay(&mut random, self.members)));
        }
    }

    /// In every sixth run members fall behind while the others restart with a short log, so that
    /// they install snapshots with clients connected. Drawn from numbers of its own.
    fn add_lag(&mut self) {
        let mut random = Random::new(self.seed ^ 0x1A66_ED00);
        if random.below(6) > 0 {
            return;
        }
        (self.snapshot_commands, self.segment_bytes) = (10, 4 << 10);
        for _ in 0..random.between(1, 4) {
            let at_us = random.between(1_000_000, self.faulty_us);
            self.faults.extend(faults::draw_lag(&mut random, self.members, at_us));
        }
    }

    /// In every eighth run the leadership is transferred and comes back, in half of those with no
    /// other faults. Drawn from numbers of its own.
    fn add_transfers(&mut self) {
        let mut random = Random::new(self.seed ^ 0x7EA5_FE12);
        let voters = self.founders - ServerId::from(self.observer);
        if random.below(8) > 0 || voters < 3 {
            return;
        }
        if random.percent(50) {
            self.faults.clear();
        }
        for _ in 0..random.between(1, 4) {
            let at_us = random.between(1_000_000, self.faulty_us);
            self.faults.extend(faults::draw_transfers(&mut random, voters, at_us));
        }
    }

    /// In every eighth run members are cut off as soon as they are elected. Drawn from numbers of
    /// its own.
    fn add_cut_leaders(&mut self) {
        let mut random = Random::new(self.seed ^ 0x0A3B_0054);
        if random.below(8) > 0 {
            return;
        }
        for _ in 0..random.between(1, 3) {
            let at_us = random.between(1_000_000, self.faulty_us);
            self.faults.extend(faults::draw_cut_leader(&mut random, self.members, at_us));
        }
    }

    /// The groups.
    pub fn group_ids(&self) -> impl Iterator<Item = GroupId> + Clone + use<> {
        (0..self.groups.into()).map(GroupId)
    }

    /// Whether servers are kept from reading their clients.
    pub fn has_read_delays(&self) -> bool {
        self.output_pause_bytes.is_some()
    }

    /// The configuration of a member.
    pub fn config(&self, id: ServerId) -> Config {
        let definitions = [
            format!("snapCount={}", self.snapshot_commands),
            "extendedTypesEnabled=true".to_owned(),
            "tickTime=100".to_owned(),
            "minSessionTimeout=200".to_owned(),
            "maxSessionTimeout=60000".to_owned(),
            "znode.container.checkIntervalMs=300".to_owned(),
            "autopurge.snapRetainCount=3".to_owned(),
            format!("readonlymode.enabled={}", self.read_only_mode),
            format!("DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"),
        ];
        let command_line = CommandLine {
            data_dir: Some(PathBuf::from("/data")),
            definitions: definitions.to_vec(),
            ..CommandLine::default()
        };
        let mut config = config::load(&command_line).expect("a valid configuration").config;
        config.server_id = id;
        config.groups = self.groups;
        config.storage.segment_bytes = self.segment_bytes;
        config.storage.snapshot_piece_bytes = self.piece_bytes;
        if let Some(bytes) = self.output_pause_bytes {
            config.connection.output_pause_bytes = bytes;
        }
        config.requests.reconfig = self.reconfigures;
        config.requests.standalone = !self.reconfigures;
        config.ensemble = (!self.is_single()).then(|| Ensemble {
            members: self.servers_in_file(id),
            engine: self.engine,
            election_timeout_ms: self.election_timeout_ms,
            heartbeat_ms: HEARTBEAT_MS,
            linearizable_reads: self.linearizable_reads,
            listen_on_all_ips: false,
            secret: None,
            is_secret_required: true,
        });
        config
    }

    /// Whether there is one server whose file names none. Other single servers are an ensemble of
    /// one.
    fn is_single(&self) -> bool {
        self.members == 1 && !self.reconfigures && self.seed.is_multiple_of(2)
    }

    /// The servers in this one's configuration file: the founders and itself.
    pub fn servers_in_file(&self, id: ServerId) -> Servers {
        let mut servers: Servers =
            (1..=self.founders).chain([id]).map(|id| (id, workload::server(id, false))).collect();
        if self.observer {
            servers.insert(self.founders, workload::server(self.founders, true));
        }
        servers
    }

    /// The client that changes the membership; its number follows those of the other clients.
    pub fn operator(&self) -> Option<Operator> {
        let damage = |(_, fault): &(u64, Fault)| matches!(fault, Fault::Wipe { .. } | Fault::Flip { .. });
        // Two voters do not survive the loss of a disk: one of them may not continue alone.
        let voters_min = if self.faults.iter().any(damage) { 3 } else { 1 };
        self.reconfigures.then_some(Operator { servers: self.members, voters_min })
    }

    /// When disks are full: from and to, in µs.
    pub fn full_disks(&self) -> Vec<(u64, u64)> {
        let full = |(at_us, fault): &(u64, Fault)| match fault {
            Fault::DiskFull { for_us, .. } => Some((*at_us, at_us + for_us)),
            _ => None,
        };
        self.faults.iter().filter_map(full).collect()
    }

    /// Whether every read must see everything acknowledged before it.
    pub fn has_linearizable_reads(&self) -> bool {
        self.linearizable_reads
    }
}

/// Half of the runs have several groups. Drawn from numbers of its own.
fn draw_groups(seed: u64) -> u16 {
    *Random::new(seed ^ 0x6209_9525).pick(&[1, 1, 1, 2, 3, 4])
}
