//! Participants and their agents, which crash together.

use std::collections::BTreeMap;

use commit::decision::Witness;
use commit::id::TransactionId;
use commit::record::PreparedBranch;
use commit::three_phase::{Agent, AgentAction, AgentEvent, Message, Party, State};

use super::{DISK_MS, Happening, Reply, SETTINGS, TIMING, World, branch_name, request};
use crate::judge;

/// The agents of one participant.
#[derive(Default)]
pub(super) struct Agents {
    pub(super) down: u32,
    pub(super) generation: u32,
    pub(super) agents: BTreeMap<TransactionId, Agent>,
    /// Writes that are under way.
    writing: BTreeMap<TransactionId, State>,
    wake_ms: Option<u64>,
    actions: u64,
}

impl World<'_> {
    /// A message reaches the agent at this place. An agent that hears of a transaction for the
    /// first time begins then.
    pub(super) fn agent_hears(&mut self, id: TransactionId, at: usize, from: Party, message: Message) {
        let begun = &self.begun[&id];
        let (participant, count) = (begun.participants[at], begun.participants.len());
        if self.agents[participant].down > 0 {
            return;
        }
        let now_ms = self.now_ms;
        self.agents[participant].agents.entry(id).or_insert_with(|| {
            let branch = PreparedBranch { branch: branch_name(participant), witness: Witness::default() };
            Agent::new(at, count, branch, SETTINGS, TIMING, now_ms)
        });
        self.agent_event(participant, id, AgentEvent::Received { from, message });
    }

    pub(super) fn persisted(&mut self, participant: usize, generation: u32, id: TransactionId, state: State) {
        if self.agents[participant].generation == generation {
            self.agents[participant].writing.remove(&id);
            self.agent_event(participant, id, AgentEvent::Persisted(state));
        }
    }

    pub(super) fn answered(&mut self, participant: usize, generation: u32, id: TransactionId, reply: Reply) {
        if self.agents[participant].generation != generation {
            return;
        }
        let event = match reply {
            Reply::Vote(vote) => AgentEvent::Voted(vote),
            Reply::Finish(answer) => AgentEvent::Finished(answer),
            Reply::Presence(presence) => AgentEvent::Inspected(presence),
            Reply::PrepareFailed | Reply::Alone(_) | Reply::List(_) => return,
        };
        self.agent_event(participant, id, event);
    }

    fn agent_event(&mut self, participant: usize, id: TransactionId, event: AgentEvent) {
        let now_ms = self.now_ms;
        let it = &mut self.agents[participant];
        let generation = it.generation;
        let Some(agent) = it.agents.get_mut(&id) else { return };
        let actions = agent.handle(now_ms, event);
        for action in actions {
            if !matches!(action, AgentAction::Send { .. }) {
                self.say(|| format!("agent of {participant}: {action:?}"));
            }
            self.agent_wants(participant, id, action);
            if self.agent_crashes_now(participant, generation) {
                return;
            }
        }
        self.set_agents_alarm(participant);
    }

    fn agent_wants(&mut self, participant: usize, id: TransactionId, action: AgentAction) {
        let generation = self.agents[participant].generation;
        if let Some(op) = request(&action) {
            let owner = (participant, generation);
            let reply = self.participants[participant].execute(op, id, owner, &mut self.judge, self.now_ms);
            let at_ms = self.now_ms + self.random.between(1, DISK_MS);
            return self.queue.push(at_ms, Happening::Answered(participant, generation, id, reply));
        }
        match action {
            AgentAction::Send { to, message } => {
                let places = &self.begun[&id].participants;
                let me = places.iter().position(|at| *at == participant).expect("it takes part");
                self.send(id, Party::Agent(me), to, message);
            }
            AgentAction::Persist(state) => {
                self.agents[participant].writing.insert(id, state);
                let at_ms = self.now_ms + self.random.between(1, DISK_MS);
                self.queue.push(at_ms, Happening::Persisted(participant, generation, id, state));
            }
            AgentAction::Split { with, decided } => {
                let transaction = self.begun[&id].transaction;
                let detail =
                    format!("transaction {transaction}: {with:?} decides to {decided}, {participant} not");
                self.judge.broken(judge::AGREE, detail, self.now_ms);
            }
            // What agents know is kept, as for messages that may still arrive.
            AgentAction::Forget => {}
            AgentAction::Prepare | AgentAction::Finish { .. } | AgentAction::Inspect => {}
        }
    }

    fn agent_crashes_now(&mut self, participant: usize, generation: u32) -> bool {
        let it = &mut self.agents[participant];
        if it.generation != generation {
            return true;
        }
        it.actions += 1;
        let crash = self.plan.agent_crash_after(participant, it.actions, self.now_ms);
        if let Some(for_ms) = crash {
            self.participant_down(participant, for_ms);
        }
        crash.is_some()
    }

    /// What was on the disk stays, and perhaps what was being written.
    pub(super) fn participant_down(&mut self, participant: usize, for_ms: u64) {
        self.say(|| format!("participant {participant} crashes for {for_ms} ms"));
        self.last_fault_ms = self.now_ms;
        self.participants[participant].crash(&mut self.judge, self.now_ms);
        let it = &mut self.agents[participant];
        it.down += 1;
        it.generation += 1;
        it.wake_ms = None;
        let mut written = std::mem::take(&mut it.writing);
        written.retain(|_, _| self.random.percent(50));
        let agents = std::mem::take(&mut it.agents);
        it.agents = agents
            .into_iter()
            .map(|(id, agent)| {
                let state = written.get(&id).copied().unwrap_or(agent.state());
                (id, agent.restart(state, self.now_ms))
            })
            .collect();
        self.queue.push(self.now_ms + for_ms, Happening::ParticipantUp(participant));
    }

    pub(super) fn participant_up(&mut self, participant: usize) {
        self.last_fault_ms = self.now_ms;
        self.agents[participant].down -= 1;
        self.set_agents_alarm(participant);
    }

    fn set_agents_alarm(&mut self, participant: usize) {
        let it = &mut self.agents[participant];
        let Some(due_ms) = it.agents.values().filter_map(Agent::due_ms).min() else { return };
        let due_ms = due_ms.max(self.now_ms + 1);
        if it.down == 0 && it.wake_ms.is_none_or(|wake_ms| wake_ms > due_ms) {
            it.wake_ms = Some(due_ms);
            self.queue.push(due_ms, Happening::WakeAgents(participant, it.generation));
        }
    }

    pub(super) fn wake_agents(&mut self, participant: usize, generation: u32) {
        let now_ms = self.now_ms;
        let it = &mut self.agents[participant];
        if it.generation != generation || it.wake_ms != Some(now_ms) {
            return;
        }
        it.wake_ms = None;
        let due = it.agents.iter().filter(|(_, it)| it.due_ms().is_some_and(|due_ms| due_ms <= now_ms));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.agent_event(participant, id, AgentEvent::Tick);
            if self.agents[participant].generation != generation {
                return;
            }
        }
        self.set_agents_alarm(participant);
    }
}
