//! Two-phase commit: processes with coordinators and recovery, databases, and a log.

mod actions;
mod faults;
mod log;
mod messages;
mod process;
mod watch;

use std::collections::BTreeMap;

use commit::branch::Branch;
use commit::id::TransactionId;
use commit::two_phase::{Coordinator, Event, Member};

use crate::Outcome;
use crate::judge::Judge;
use crate::participant::{Op, Participant, Place, Reply};
use crate::plan::{MEMBERS, Plan, Protocol};
use crate::queue::Queue;
use crate::random::Random;
use log::{Log, LogOp, LogReply};
use process::{CLUSTER, Process, settings};

/// What happens to a paused process waits for this long at a time, in ms.
const PAUSE_STEP_MS: u64 = 20;

/// What happens.
#[derive(Clone, Debug)]
enum Happening {
    /// A caller begins a transaction of the plan.
    Begin(usize),
    /// A caller gives up.
    Cancel(usize, TransactionId),
    /// A process looks at its machines.
    Wake(usize, u32),
    /// A request reaches a participant.
    AtParticipant(Request),
    /// An answer reaches a process.
    FromParticipant(Request, Reply),
    /// A request reaches the log.
    AtLog(usize, u32, LogOp),
    /// An answer reaches a process.
    FromLog(usize, u32, LogReply),
    /// A participant notices that the connections of a process have ended.
    ConnectionsEnd(usize, (usize, u32)),
    /// A process closes the session of a branch.
    Close(usize, TransactionId),
    /// A process shows that it lives, and looks for what is prepared.
    Ping(usize),
    /// A fault of the plan begins.
    Fault(usize),
    /// A process, a participant, or a member of the log is let go by a fault.
    ProcessUp(usize),
    ParticipantUp(usize),
    MemberUp(usize),
    /// This partition ends, if it is still there.
    Heal(u64),
    Smooth,
    /// Sessions expire, and the judge looks at what is prepared.
    Watch,
}

/// A request of a process to a participant.
#[derive(Clone, Copy, Debug)]
struct Request {
    participant: usize,
    process: usize,
    generation: u32,
    op: Op,
    /// The transaction; of a list, any.
    id: TransactionId,
    /// Which scan it belongs to.
    scan: u64,
    /// By the process's recovery, not by its coordinator.
    recovers: bool,
}

/// A transaction that was begun.
#[derive(Clone, Debug)]
struct Begun {
    transaction: usize,
    /// The participants and branches, by the coordinator's places.
    branches: Vec<(usize, Branch)>,
}

/// Who is on the other side of a partition.
#[derive(Clone, Debug, Default)]
struct Sides {
    number: u64,
    processes: Vec<bool>,
    participants: Vec<bool>,
    members: Vec<bool>,
}

struct World<'p> {
    plan: &'p Plan,
    now_ms: u64,
    queue: Queue<Happening>,
    random: Random,
    trace: bool,
    log: Log,
    /// Without replication: the file of each process.
    files: Vec<Log>,
    processes: Vec<Process>,
    participants: Vec<Participant>,
    participants_down: Vec<u32>,
    members_down: Vec<u32>,
    sides: Sides,
    rough: u32,
    scans: u64,
    begun: BTreeMap<TransactionId, Begun>,
    judge: Judge,
    /// When the last fault began or ended.
    last_fault_ms: u64,
    longest_ms: u64,
    /// Since when each participant could reach what decides.
    clear_since_ms: Vec<u64>,
    is_over: bool,
    events: u64,
    fingerprint: u64,
}

/// Runs the plan.
pub(crate) fn run(plan: &Plan, trace: bool) -> Outcome {
    let mut world = World::new(plan, trace);
    while !world.is_over
        && world.judge.violation().is_none()
        && let Some((at_ms, happening)) = world.queue.pop()
    {
        world.now_ms = at_ms;
        world.happens(happening);
    }
    world.judge.outcome(world.longest_ms, world.events, world.fingerprint)
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, trace: bool) -> World<'p> {
        let participants = plan.participants.len();
        let mut world = World {
            plan,
            now_ms: 0,
            queue: Queue::new(),
            random: Random::new(plan.seed),
            trace,
            log: Log::default(),
            files: (0..plan.processes).map(Log::of_process).collect(),
            processes: (0..plan.processes).map(|at| Process::new(at, plan)).collect(),
            participants: plan.participants.iter().map(|kind| Participant::new(*kind)).collect(),
            participants_down: vec![0; participants],
            members_down: vec![0; MEMBERS],
            sides: Sides::default(),
            rough: 0,
            scans: 0,
            begun: BTreeMap::new(),
            judge: Judge::default(),
            last_fault_ms: 0,
            longest_ms: 0,
            clear_since_ms: vec![0; participants],
            is_over: false,
            events: 0,
            fingerprint: 0,
        };
        for (at, begin) in plan.transactions.iter().enumerate() {
            // Processes have their sessions by then.
            world.queue.push(begin.at_ms + 100, Happening::Begin(at));
        }
        for (at, (at_ms, _)) in plan.faults.iter().enumerate() {
            world.queue.push(*at_ms, Happening::Fault(at));
        }
        for process in 0..plan.processes {
            world.starts(process);
            world.queue.push(1, Happening::Ping(process));
        }
        world.queue.push(0, Happening::Watch);
        world
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>6} {}", self.now_ms, what());
        }
    }

    fn is_replicated(&self) -> bool {
        self.plan.protocol == Protocol::TwoPhase
    }

    /// The log that a process uses.
    fn log_of(&mut self, process: usize) -> &mut Log {
        if self.is_replicated() { &mut self.log } else { &mut self.files[process] }
    }

    /// A process begins, or begins again.
    fn starts(&mut self, process: usize) {
        if !self.is_replicated() {
            let names = self.processes[process].names.clone();
            names.into_iter().for_each(|name| self.files[process].end(name));
            self.processes[process].recovers = true;
        }
        self.send_log(process, LogOp::Register);
    }

    fn happens(&mut self, happening: Happening) {
        self.events += 1;
        if self.trace && !matches!(happening, Happening::Watch | Happening::Ping(_) | Happening::Wake(..)) {
            self.say(|| format!("{happening:?}"));
        }
        self.digest(&happening);
        if let Some(until_ms) = self.paused_until_ms(&happening) {
            // A crash ends the pause.
            return self.queue.push(until_ms.min(self.now_ms + PAUSE_STEP_MS), happening);
        }
        match happening {
            Happening::Begin(at) => self.begin(at),
            Happening::Cancel(process, id) => {
                self.coordinator_event(process, id, Event::Cancel("the caller gives up".to_owned()));
            }
            Happening::Wake(process, generation) => self.wake(process, generation),
            Happening::AtParticipant(request) => self.at_participant(request),
            Happening::FromParticipant(request, reply) => self.participant_answers(request, reply),
            Happening::AtLog(process, generation, op) => self.at_log(process, generation, op),
            Happening::FromLog(process, generation, reply) => self.log_answers(process, generation, reply),
            Happening::ConnectionsEnd(participant, owner) => {
                self.participants[participant].connections_end(owner, &mut self.judge, self.now_ms);
            }
            Happening::Close(participant, id) => {
                self.participants[participant].close(id, &mut self.judge, self.now_ms);
            }
            Happening::Ping(process) => self.ping(process),
            Happening::Fault(at) => self.fault(at),
            Happening::ProcessUp(process) => self.process_up(process),
            Happening::ParticipantUp(participant) => {
                self.participants_down[participant] -= 1;
                self.last_fault_ms = self.now_ms;
            }
            Happening::MemberUp(member) => {
                self.members_down[member] -= 1;
                self.last_fault_ms = self.now_ms;
            }
            Happening::Heal(number) => {
                if self.sides.number == number {
                    self.sides = Sides { number, ..Sides::default() };
                    self.last_fault_ms = self.now_ms;
                }
            }
            Happening::Smooth => {
                self.rough -= 1;
                self.last_fault_ms = self.now_ms;
            }
            Happening::Watch => self.watch(),
        }
    }

    /// Until when the process that this happens to is paused.
    fn paused_until_ms(&self, happening: &Happening) -> Option<u64> {
        let process = match happening {
            Happening::Begin(at) => self.plan.transactions[*at].process,
            Happening::FromParticipant(request, _) => request.process,
            Happening::Cancel(process, _)
            | Happening::Wake(process, _)
            | Happening::FromLog(process, ..)
            | Happening::Ping(process) => *process,
            _ => return None,
        };
        Some(self.processes[process].paused_until_ms).filter(|until_ms| *until_ms > self.now_ms)
    }

    fn digest(&mut self, happening: &Happening) {
        let tag = match happening {
            Happening::Begin(at) | Happening::Fault(at) => *at as u64,
            Happening::AtParticipant(request) => request.participant as u64 + 10 * request.process as u64,
            Happening::FromParticipant(request, reply) => {
                let is_good = matches!(reply, Reply::Vote(commit::decision::Vote::Prepared(_)));
                request.id.number * 7 + u64::from(is_good)
            }
            Happening::AtLog(process, ..) | Happening::FromLog(process, ..) => 1_000 + *process as u64,
            _ => 2_000,
        };
        let mixed = self.fingerprint ^ tag ^ (self.now_ms << 20);
        self.fingerprint = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }

    /// A caller does its work in all participants and wants it committed.
    fn begin(&mut self, at: usize) {
        let begin = &self.plan.transactions[at];
        let process = begin.process;
        let reaches = begin.branches.iter().all(|(participant, ..)| self.reaches(process, *participant));
        let Some(incarnation) = self.processes[process].incarnation.filter(|_| reaches) else { return };
        self.processes[process].next_number += 1;
        let number = self.processes[process].next_number;
        let id = TransactionId { cluster: CLUSTER, coordinator: incarnation, number };
        let transaction = self.judge.begun(begin.branches.len());
        let owner = (process, self.processes[process].generation);
        let mut branches = Vec::new();
        let mut members = Vec::new();
        for (branch, (participant, work, reads_only)) in begin.branches.iter().enumerate() {
            self.participants[*participant].work(id, Place { transaction, branch }, owner, *work);
            let name = Branch { resource: messages::resource(*participant), session: Some(number) };
            members.push(Member { branch: name.clone(), reads_only: *reads_only });
            branches.push((*participant, name));
        }
        self.begun.insert(id, Begun { transaction, branches });
        let name = format!("process {process}");
        let coordinator = Coordinator::new(id, &name, members, settings(self.plan));
        let coordinator = coordinator.expect("the plan has good members");
        self.processes[process].coordinators.insert(id, coordinator);
        if let Some(after_ms) = begin.cancel_after_ms {
            self.queue.push(self.now_ms + after_ms, Happening::Cancel(process, id));
        }
        self.coordinator_event(process, id, Event::Begin);
    }
}
