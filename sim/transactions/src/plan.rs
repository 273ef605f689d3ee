//! Everything a seed decides in advance.

use std::str::FromStr;

use crate::random::Random;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Two-phase commit whose decisions are in a replicated log.
    TwoPhase,
    /// Two-phase commit whose decisions are in a file of each coordinator.
    TwoPhaseUnreplicated,
    /// Three-phase commit where only processes fail, and messages arrive in time.
    ThreePhase,
    /// Three-phase commit where the network is partitioned as well.
    ThreePhasePartitions,
}

impl Protocol {
    /// All of them, with their names.
    pub const ALL: [(Protocol, &'static str); 4] = [
        (Protocol::TwoPhase, "two-phase"),
        (Protocol::TwoPhaseUnreplicated, "two-phase-unreplicated"),
        (Protocol::ThreePhase, "three-phase"),
        (Protocol::ThreePhasePartitions, "three-phase-partitions"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Protocol::ALL.into_iter().find(|(protocol, _)| *protocol == self).expect("it is listed").1
    }

    fn has_partitions(self) -> bool {
        self != Protocol::ThreePhase
    }

    fn is_two_phase(self) -> bool {
        matches!(self, Protocol::TwoPhase | Protocol::TwoPhaseUnreplicated)
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Protocol, String> {
        let found = Protocol::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(protocol, _)| protocol).ok_or_else(|| {
            let names: Vec<&str> = Protocol::ALL.iter().map(|(_, name)| *name).collect();
            format!("unknown protocol {text}: {}", names.join(", "))
        })
    }
}

/// How a participant behaves besides its votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any session may finish a prepared branch.
    Free,
    /// A prepared branch is not found by other sessions while the one that prepared it lives, and a
    /// branch that changed nothing is prepared like any other.
    Held,
    /// It remembers for ever how a branch ended.
    Remembers,
}

/// What a branch will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It writes and can commit.
    Writes,
    /// It changes nothing.
    Reads,
    /// It refuses to prepare.
    Refuses,
}

/// One transaction.
#[derive(Clone, Debug)]
pub struct Begin {
    /// When.
    pub at_ms: u64,
    /// By which process.
    pub process: usize,
    /// The participants, what each will do, and whether its caller believes that it only reads.
    pub branches: Vec<(usize, Work, bool)>,
    /// The caller gives up this long after it began.
    pub cancel_after_ms: Option<u64>,
}

/// One fault. All of them end by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process crashes, and starts again.
    Process {
        /// Which.
        process: usize,
        /// How long it is down.
        for_ms: u64,
    },
    /// A participant crashes, and starts again with what was prepared.
    Participant {
        /// Which.
        participant: usize,
        /// How long it is down.
        for_ms: u64,
    },
    /// A member of the log crashes, and starts again.
    Member {
        /// Which.
        member: usize,
        /// How long it is down.
        for_ms: u64,
    },
    /// Some cannot reach the others: the processes, participants and members of the log with
    /// `true`.
    Partition {
        /// Processes on the other side.
        processes: Vec<bool>,
        /// Participants on the other side.
        participants: Vec<bool>,
        /// Members of the log on the other side.
        members: Vec<bool>,
        /// How long it lasts.
        for_ms: u64,
    },
    /// A process does nothing for a while, and then goes on.
    Pause {
        /// Which.
        process: usize,
        /// How long.
        for_ms: u64,
    },
    /// Messages are lost, come late and twice.
    Rough {
        /// How long it lasts.
        for_ms: u64,
    },
}

/// Members of the log.
pub const MEMBERS: usize = 3;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed, for what is drawn during the run.
    pub seed: u64,
    /// What is run.
    pub protocol: Protocol,
    /// How many processes.
    pub processes: usize,
    /// Recovery works in all of them at once, and not only in an elected one.
    pub all_recover: bool,
    /// The participants.
    pub participants: Vec<Kind>,
    /// The transactions, by time.
    pub transactions: Vec<Begin>,
    /// Faults, with their times.
    pub faults: Vec<(u64, Fault)>,
    /// A process crashes after this action, counted over all its transactions, for this time in ms.
    pub crashes: Vec<(usize, u64, u64)>,
    /// With three-phase commit: the same of participants and the actions of their agents.
    pub agent_crashes: Vec<(usize, u64, u64)>,
    /// No fault begins or lasts longer than this.
    pub faulty_ms: u64,
    /// Most ms that a message takes in calm times.
    pub delay_ms: u64,
    /// Most ms that a participant takes to prepare, besides.
    pub prepare_ms: u64,
    /// Recovery aborts undecided transactions of living coordinators after this time.
    pub abandon_after_ms: u64,
    /// Recovery rolls back what dead coordinators have left after this time.
    pub orphan_grace_ms: u64,
}

impl Plan {
    /// How long a process is down, in ms, if it crashes after this action at this time.
    pub(crate) fn crash_after(&self, process: usize, action: u64, now_ms: u64) -> Option<u64> {
        self.due(&self.crashes, process, action, now_ms)
    }

    /// The same of a participant, and the actions of its agents.
    pub(crate) fn agent_crash_after(&self, participant: usize, action: u64, now_ms: u64) -> Option<u64> {
        self.due(&self.agent_crashes, participant, action, now_ms)
    }

    fn due(&self, crashes: &[(usize, u64, u64)], place: usize, action: u64, now_ms: u64) -> Option<u64> {
        let (_, _, for_ms) = crashes.iter().find(|(at, after, _)| *at == place && *after == action)?;
        (now_ms < self.faulty_ms).then(|| (*for_ms).min(self.faulty_ms - now_ms))
    }

    /// The plan of a seed.
    pub fn new(seed: u64, protocol: Protocol) -> Plan {
        let mut random = Random::new(seed);
        let processes = random.between(1, 3) as usize;
        let count = random.between(2, 4) as usize;
        let kinds = [Kind::Free, Kind::Held, Kind::Remembers];
        let participants: Vec<Kind> = (0..count).map(|_| *random.pick(&kinds)).collect();
        let mut plan = Plan {
            seed: random.number(),
            protocol,
            processes,
            all_recover: random.percent(30),
            participants,
            transactions: Vec::new(),
            faults: Vec::new(),
            crashes: Vec::new(),
            agent_crashes: Vec::new(),
            faulty_ms: random.between(1_000, 5_000),
            delay_ms: random.between(2, 20),
            prepare_ms: *random.pick(&[1, 1, 1, 350]),
            abandon_after_ms: *random.pick(&[40, 200, 800]),
            orphan_grace_ms: *random.pick(&[0, 80]),
        };
        plan.draw_transactions(&mut random);
        plan.draw_faults(&mut random);
        plan
    }

    fn draw_transactions(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 6) {
            let mut places: Vec<usize> = (0..self.participants.len()).collect();
            let count = random.between(1, places.len() as u64) as usize;
            // Transactions of one participant are not what this is about.
            let count = if count == 1 && random.percent(70) { 2 } else { count };
            let mut branches = Vec::new();
            for _ in 0..count {
                let participant = places.swap_remove(random.below(places.len() as u64) as usize);
                let work = match random.below(20) {
                    0 => Work::Refuses,
                    1..=3 => Work::Reads,
                    _ => Work::Writes,
                };
                let reads_only = if work == Work::Reads { random.percent(60) } else { random.percent(3) };
                branches.push((participant, work, reads_only));
            }
            let cancel_after_ms = random.percent(5).then(|| random.below(60));
            let process = random.below(self.processes as u64) as usize;
            let at_ms = random.below(self.faulty_ms);
            self.transactions.push(Begin { at_ms, process, branches, cancel_after_ms });
        }
        self.transactions.sort_by_key(|begin| begin.at_ms);
    }

    fn draw_faults(&mut self, random: &mut Random) {
        for _ in 0..random.below(6) {
            let at_ms = random.below(self.faulty_ms);
            let for_ms = self.duration_ms(at_ms, random);
            let fault = self.draw_fault(for_ms, random);
            self.faults.push((at_ms, fault));
        }
        self.faults.sort_by_key(|(at_ms, _)| *at_ms);
        // A step of a process is where it hurts most.
        for _ in 0..random.below(4) {
            let process = random.below(self.processes as u64) as usize;
            let for_ms = if random.percent(40) { self.faulty_ms } else { random.between(20, 1_500) };
            self.crashes.push((process, random.below(40), for_ms));
        }
        if !self.protocol.is_two_phase() {
            for _ in 0..random.below(4) {
                let participant = random.below(self.participants.len() as u64) as usize;
                let for_ms = if random.percent(30) { self.faulty_ms } else { random.between(20, 1_500) };
                self.agent_crashes.push((participant, random.below(30), for_ms));
            }
        }
    }

    fn duration_ms(&self, at_ms: u64, random: &mut Random) -> u64 {
        let longest_ms = self.faulty_ms - at_ms;
        if random.percent(20) { longest_ms } else { random.between(1, 1_500).min(longest_ms) }
    }

    fn draw_fault(&self, for_ms: u64, random: &mut Random) -> Fault {
        let participants = self.participants.len();
        let process = random.below(self.processes as u64) as usize;
        let participant = random.below(participants as u64) as usize;
        match random.below(12) {
            0..=2 => Fault::Process { process, for_ms },
            3..=4 => Fault::Participant { participant, for_ms },
            5 if self.protocol == Protocol::TwoPhase => {
                Fault::Member { member: random.below(MEMBERS as u64) as usize, for_ms }
            }
            6..=7 if self.protocol.is_two_phase() => Fault::Rough { for_ms },
            8..=9 if self.protocol.is_two_phase() => Fault::Pause { process, for_ms },
            _ if self.protocol.has_partitions() => {
                let mut side = |count: usize| (0..count).map(|_| random.percent(40)).collect();
                let (processes, participants) = (side(self.processes), side(participants));
                Fault::Partition { processes, participants, members: side(MEMBERS), for_ms }
            }
            _ => Fault::Process { process, for_ms },
        }
    }
}
