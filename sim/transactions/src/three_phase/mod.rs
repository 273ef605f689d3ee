//! Three-phase commit: processes with coordinators, and participants with agents.

mod agents;
mod coordinators;
mod watch;

use std::collections::BTreeMap;

use commit::Settings;
use commit::branch::{Branch, ResourceName};
use commit::id::{Cluster, TransactionId};
use commit::three_phase::{Coordinator, CoordinatorEvent, Message, Party, State, Timing};

use crate::Outcome;
use crate::judge::Judge;
use crate::participant::{Op, Participant, Place, Reply};
use crate::plan::{Fault, Plan};
use crate::queue::Queue;
use crate::random::Random;
use agents::Agents;

/// Times of a run, in ms.
const SETTINGS: Settings = Settings {
    prepare_timeout_ms: 400,
    log_timeout_ms: 100,
    finish_timeout_ms: 150,
    decide_patience_ms: 1_000,
    finish_patience_ms: 200,
    retry_first_ms: 20,
    retry_max_ms: 200,
    abandon_after_ms: 800,
    orphan_grace_ms: 80,
    watch_ms: 60,
};

/// What the parties believe of the network: a message takes no more than 20 ms in these runs, and a
/// write to a disk no more than 5 ms.
const TIMING: Timing = Timing { heartbeat_ms: 50, silence_ms: 120, reply_ms: 80 };

/// The longest write to a disk, and the longest request to a participant by its own agent, in ms.
const DISK_MS: u64 = 5;

/// What happens.
#[derive(Clone, Debug)]
enum Happening {
    /// A caller begins a transaction of the plan.
    Begin(usize),
    /// A caller gives up.
    Cancel(usize, TransactionId),
    /// A message reaches a party of a transaction.
    Arrives {
        id: TransactionId,
        from: (Party, u32),
        to: Party,
        message: Message,
    },
    /// A process, or a participant, looks at its machines.
    WakeProcess(usize, u32),
    WakeAgents(usize, u32),
    /// A state is on a participant's disk.
    Persisted(usize, u32, TransactionId, State),
    /// A participant answers its agent.
    Answered(usize, u32, TransactionId, Reply),
    /// A fault of the plan begins.
    Fault(usize),
    /// A process, or a participant, is let go by a fault.
    ProcessUp(usize),
    ParticipantUp(usize),
    /// This partition ends, if it is still there.
    Heal(u64),
    /// The judge looks at what is prepared.
    Watch,
}

/// A transaction that was begun.
#[derive(Clone, Debug)]
struct Begun {
    transaction: usize,
    process: usize,
    /// The participants, by the places of their agents.
    participants: Vec<usize>,
    /// Since when one of its agents has worked without a crash.
    clear_since_ms: u64,
}

struct Process {
    down: u32,
    generation: u32,
    /// Every start of every process has other numbers.
    incarnation: u64,
    next_number: u64,
    coordinators: BTreeMap<TransactionId, Coordinator>,
    wake_ms: Option<u64>,
    actions: u64,
}

/// Who is on the other side of a partition.
#[derive(Clone, Debug, Default)]
struct Sides {
    number: u64,
    processes: Vec<bool>,
    participants: Vec<bool>,
}

struct World<'p> {
    plan: &'p Plan,
    now_ms: u64,
    queue: Queue<Happening>,
    random: Random,
    trace: bool,
    processes: Vec<Process>,
    participants: Vec<Participant>,
    agents: Vec<Agents>,
    sides: Sides,
    incarnations: u64,
    begun: BTreeMap<TransactionId, Begun>,
    judge: Judge,
    last_fault_ms: u64,
    longest_ms: u64,
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
        let process = |at: usize| Process {
            down: 0,
            generation: 0,
            incarnation: 1 + at as u64,
            next_number: 0,
            coordinators: BTreeMap::new(),
            wake_ms: None,
            actions: 0,
        };
        let mut world = World {
            plan,
            now_ms: 0,
            queue: Queue::new(),
            random: Random::new(plan.seed),
            trace,
            processes: (0..plan.processes).map(process).collect(),
            participants: plan.participants.iter().map(|kind| Participant::new(*kind)).collect(),
            agents: plan.participants.iter().map(|_| Agents::default()).collect(),
            sides: Sides::default(),
            incarnations: plan.processes as u64,
            begun: BTreeMap::new(),
            judge: Judge::default(),
            last_fault_ms: 0,
            longest_ms: 0,
            is_over: false,
            events: 0,
            fingerprint: 0,
        };
        for (at, begin) in plan.transactions.iter().enumerate() {
            world.queue.push(begin.at_ms, Happening::Begin(at));
        }
        for (at, (at_ms, _)) in plan.faults.iter().enumerate() {
            world.queue.push(*at_ms, Happening::Fault(at));
        }
        world.queue.push(0, Happening::Watch);
        world
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>6} {}", self.now_ms, what());
        }
    }

    fn happens(&mut self, happening: Happening) {
        self.events += 1;
        let mixed = self.fingerprint ^ (self.now_ms << 8) ^ self.digest(&happening);
        self.fingerprint = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        let is_quiet = matches!(
            happening,
            Happening::Watch
                | Happening::WakeProcess(..)
                | Happening::WakeAgents(..)
                | Happening::Arrives { message: Message::Alive, .. }
        );
        if !is_quiet {
            self.say(|| format!("{happening:?}"));
        }
        match happening {
            Happening::Begin(at) => self.begin(at),
            Happening::Cancel(process, id) => {
                let reason = "the caller gives up".to_owned();
                self.coordinator_event(process, id, CoordinatorEvent::Cancel(reason));
            }
            Happening::Arrives { id, from: (from, generation), to, message } => {
                // A crash may take with it what its machine had not sent yet.
                if self.generation(id, from) == generation || self.random.percent(50) {
                    self.arrives(id, from, to, message);
                }
            }
            Happening::WakeProcess(process, generation) => self.wake_process(process, generation),
            Happening::WakeAgents(participant, generation) => self.wake_agents(participant, generation),
            Happening::Persisted(participant, generation, id, state) => {
                self.persisted(participant, generation, id, state);
            }
            Happening::Answered(participant, generation, id, reply) => {
                self.answered(participant, generation, id, reply);
            }
            Happening::Fault(at) => self.fault(at),
            Happening::ProcessUp(process) => {
                self.last_fault_ms = self.now_ms;
                self.processes[process].down -= 1;
            }
            Happening::ParticipantUp(participant) => self.participant_up(participant),
            Happening::Heal(number) => {
                if self.sides.number == number {
                    self.sides = Sides { number, ..Sides::default() };
                    self.last_fault_ms = self.now_ms;
                }
            }
            Happening::Watch => self.watch(),
        }
    }

    fn digest(&self, happening: &Happening) -> u64 {
        match happening {
            Happening::Begin(at) | Happening::Fault(at) => *at as u64,
            Happening::Arrives { id, to: Party::Agent(at), .. } => id.number * 10 + *at as u64,
            Happening::Persisted(participant, _, id, state) => {
                id.number * 100 + *participant as u64 + 10 * u64::from(state.decision().is_some())
            }
            _ => 2_000,
        }
    }

    /// A caller does its work in all participants and wants it committed.
    fn begin(&mut self, at: usize) {
        let begin = &self.plan.transactions[at];
        let process = begin.process;
        let reaches = begin.branches.iter().all(|(participant, ..)| self.is_connected(process, *participant));
        if !reaches || self.processes[process].down > 0 {
            return;
        }
        let it = &mut self.processes[process];
        it.next_number += 1;
        let id = TransactionId { cluster: Cluster(1), coordinator: it.incarnation, number: it.next_number };
        let transaction = self.judge.begun(begin.branches.len());
        let mut names = Vec::new();
        for (branch, (participant, work, _)) in begin.branches.iter().enumerate() {
            // The agent's own session.
            let owner = (*participant, self.agents[*participant].generation);
            self.participants[*participant].work(id, Place { transaction, branch }, owner, *work);
            names.push(branch_name(*participant));
        }
        let participants = begin.branches.iter().map(|(participant, ..)| *participant).collect();
        let begun = Begun { transaction, process, participants, clear_since_ms: self.now_ms };
        self.begun.insert(id, begun);
        self.processes[process].coordinators.insert(id, Coordinator::new(names, SETTINGS, TIMING));
        if let Some(after_ms) = begin.cancel_after_ms {
            self.queue.push(self.now_ms + after_ms, Happening::Cancel(process, id));
        }
        self.coordinator_event(process, id, CoordinatorEvent::Begin);
    }

    fn fault(&mut self, at: usize) {
        self.last_fault_ms = self.now_ms;
        match self.plan.faults[at].1.clone() {
            Fault::Process { process, for_ms } => self.process_down(process, for_ms),
            Fault::Participant { participant, for_ms } => self.participant_down(participant, for_ms),
            Fault::Partition { processes, participants, for_ms, .. } => {
                let number = self.sides.number + 1;
                self.sides = Sides { number, processes, participants };
                self.queue.push(self.now_ms + for_ms, Happening::Heal(number));
            }
            // There is no log, and messages come in time.
            Fault::Member { .. } | Fault::Rough { .. } | Fault::Pause { .. } => {}
        }
    }

    /// The side of a party in a partition.
    fn side(&self, id: TransactionId, party: Party) -> bool {
        let (sides, at) = match party {
            Party::Coordinator => (&self.sides.processes, self.begun[&id].process),
            Party::Agent(at) => (&self.sides.participants, self.begun[&id].participants[at]),
        };
        sides.get(at).copied().unwrap_or(false)
    }

    /// Whether a process can reach a participant that works.
    fn is_connected(&self, process: usize, participant: usize) -> bool {
        let side = |sides: &[bool], at: usize| sides.get(at).copied().unwrap_or(false);
        self.agents[participant].down == 0
            && side(&self.sides.processes, process) == side(&self.sides.participants, participant)
    }

    fn send(&mut self, id: TransactionId, from: Party, to: Party, message: Message) {
        let at_ms = self.now_ms + self.random.between(1, self.plan.delay_ms);
        let from = (from, self.generation(id, from));
        self.queue.push(at_ms, Happening::Arrives { id, from, to, message });
    }

    /// How often the machine of a party has crashed.
    fn generation(&self, id: TransactionId, party: Party) -> u32 {
        match party {
            Party::Coordinator => self.processes[self.begun[&id].process].generation,
            Party::Agent(at) => self.agents[self.begun[&id].participants[at]].generation,
        }
    }

    fn arrives(&mut self, id: TransactionId, from: Party, to: Party, message: Message) {
        if self.side(id, from) != self.side(id, to) {
            return;
        }
        match (from, to) {
            (Party::Agent(from), Party::Coordinator) => {
                let process = self.begun[&id].process;
                self.coordinator_event(process, id, CoordinatorEvent::Received { from, message });
            }
            (from, Party::Agent(at)) => self.agent_hears(id, at, from, message),
            (Party::Coordinator, Party::Coordinator) => {}
        }
    }
}

fn branch_name(participant: usize) -> Branch {
    let resource = ResourceName::new(&format!("r{participant}")).expect("a good name");
    Branch { resource, session: None }
}

/// What an agent asks of its participant takes no longer than a write.
fn request(action: &commit::three_phase::AgentAction) -> Option<Op> {
    use commit::three_phase::AgentAction;
    match action {
        AgentAction::Prepare => Some(Op::Prepare),
        AgentAction::Finish { decision, release } => {
            Some(Op::Finish { decision: *decision, release: *release })
        }
        AgentAction::Inspect => Some(Op::Inspect),
        _ => None,
    }
}
