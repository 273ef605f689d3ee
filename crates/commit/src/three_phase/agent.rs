//! The agent beside one participant: it keeps the state that databases do not have.

use std::collections::{BTreeMap, BTreeSet};

use super::{Message, Party, State, Timing};
use crate::decision::{Decision, Finish, Presence, Vote};
use crate::finishing::{Finishing, Step};
use crate::record::PreparedBranch;
use crate::settings::Settings;

/// What happens to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentEvent {
    /// A party says something.
    Received {
        /// Who.
        from: Party,
        /// What.
        message: Message,
    },
    /// The answer to [`AgentAction::Persist`]: the state is on the disk.
    Persisted(State),
    /// The answer to [`AgentAction::Prepare`].
    Voted(Vote),
    /// The other answer to it: nobody knows whether the branch is prepared.
    PrepareFailed(String),
    /// The answer to [`AgentAction::Finish`].
    Finished(Finish),
    /// The answer to [`AgentAction::Inspect`].
    Inspected(Presence),
    /// Time has passed; due at [`Agent::due_ms`].
    Tick,
}

/// What an agent wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentAction {
    /// Send this message; it may be lost.
    Send {
        /// To whom.
        to: Party,
        /// What.
        message: Message,
    },
    /// Write the state to the disk. One write at a time is under way.
    Persist(State),
    /// Ask the participant to prepare, once.
    Prepare,
    /// Tell the participant what was decided.
    Finish {
        /// What.
        decision: Decision,
        /// First end the session that prepares the branch.
        release: bool,
    },
    /// Ask the participant whether the branch is prepared, by its list.
    Inspect,
    /// This party has decided otherwise than this agent: the bounds of time were exceeded, and the
    /// transaction is committed in one place and aborted in another.
    Split {
        /// Who.
        with: Party,
        /// What it has decided.
        decided: Decision,
    },
    /// No agent will ask for this transaction again: its state can be deleted, once no message that
    /// was sent before can still arrive.
    Forget,
}

/// The agent of one branch in one transaction.
#[derive(Clone, Debug)]
pub struct Agent {
    pub(super) me: usize,
    pub(super) count: usize,
    branch: PreparedBranch,
    settings: Settings,
    pub(super) timing: Timing,
    /// What is on the disk.
    pub(super) state: State,
    /// What is being written, and what will be written after it.
    pub(super) writing: Option<State>,
    next: Option<State>,
    /// It has worked since its vote without a crash.
    pub(super) is_operational: bool,
    /// It has told a party that looks for a decision without the coordinator what it knows; the
    /// coordinator's later messages are not followed, unless they are decisions.
    pub(super) has_told: bool,
    is_preparing: bool,
    /// The participant holds nothing, since it only read or has undone its part.
    is_empty: bool,
    /// Why the participant has undone its part, until the coordinator is told.
    refusal: Option<String>,
    /// Who waits to hear that the state is on the disk, or what it is.
    pub(super) acknowledge: BTreeSet<Party>,
    pub(super) asked_by: BTreeSet<Party>,
    pub(super) search: Search,
    finishing: Option<Finishing>,
}

/// How far an agent is in looking for a decision without the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// It follows the coordinator, and begins if it has heard nothing by then.
    Following { until_ms: u64 },
    /// It has asked all; the agents that have answered, and whether they are operational.
    Asking { until_ms: u64, replies: BTreeMap<usize, (State, bool)> },
    /// It is the backup, and brings these to pre-committed.
    Leading { until_ms: u64, awaited: BTreeSet<usize> },
    /// It asks again at this time.
    Waiting { until_ms: u64 },
    /// It is decided.
    Over,
}

impl Agent {
    /// The agent at place `me` of `count`, for this branch, in a transaction that it has just heard
    /// of.
    ///
    /// # Panics
    /// If `me` is not below `count`.
    pub fn new(
        me: usize,
        count: usize,
        branch: PreparedBranch,
        settings: Settings,
        timing: Timing,
        now_ms: u64,
    ) -> Agent {
        assert!(me < count, "agent {me} of {count}");
        Agent {
            me,
            count,
            branch,
            settings,
            timing,
            state: State::Initial,
            writing: None,
            next: None,
            is_operational: true,
            has_told: false,
            is_preparing: false,
            is_empty: false,
            refusal: None,
            acknowledge: BTreeSet::new(),
            asked_by: BTreeSet::new(),
            search: Search::Following { until_ms: now_ms.saturating_add(timing.silence_ms) },
            finishing: None,
        }
    }

    /// The same agent after a crash, with what it had on its disk. [`AgentEvent::Tick`] is due at
    /// once.
    pub fn restart(self, state: State, now_ms: u64) -> Agent {
        let Agent { me, count, branch, settings, timing, .. } = self;
        let mut agent = Agent::new(me, count, branch, settings, timing, now_ms);
        agent.state = state;
        agent.is_operational = false;
        agent.search = Search::Waiting { until_ms: now_ms };
        agent
    }

    /// What is on its disk.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether the decision is on the disk and the participant has carried it out.
    pub fn is_finished(&self) -> bool {
        self.finishing.as_ref().is_some_and(Finishing::is_finished)
    }

    /// Whether it has worked since it began without a crash, and so takes part in deciding.
    pub fn is_operational(&self) -> bool {
        self.is_operational
    }

    /// Whether it looks for a decision without the coordinator, and has found none.
    pub fn is_searching(&self) -> bool {
        !matches!(self.search, Search::Following { .. } | Search::Over)
    }

    /// When [`AgentEvent::Tick`] is due; `None`: never.
    pub fn due_ms(&self) -> Option<u64> {
        let search = match &self.search {
            Search::Following { until_ms }
            | Search::Asking { until_ms, .. }
            | Search::Leading { until_ms, .. }
            | Search::Waiting { until_ms } => Some(*until_ms).filter(|_| self.writing.is_none()),
            Search::Over => None,
        };
        [search, self.finishing.as_ref().and_then(Finishing::due_ms)].into_iter().flatten().min()
    }

    /// Takes one event, and returns the actions for the driver. `now_ms` never decreases and may
    /// begin anywhere.
    pub fn handle(&mut self, now_ms: u64, event: AgentEvent) -> Vec<AgentAction> {
        let mut actions = Vec::new();
        match event {
            AgentEvent::Received { from, message } => self.received(from, message, now_ms, &mut actions),
            AgentEvent::Persisted(state) => self.persisted(state, now_ms, &mut actions),
            AgentEvent::Voted(vote) => self.voted(vote, &mut actions),
            AgentEvent::PrepareFailed(reason) => {
                if self.is_preparing {
                    self.refusal = Some(reason);
                    self.become_state(State::Aborted, &mut actions);
                }
            }
            AgentEvent::Finished(answer) => {
                let step =
                    self.finishing.as_mut().and_then(|it| it.finished(0, answer, now_ms, &self.settings));
                if let Some(Step::Inspect { .. }) = step {
                    actions.push(AgentAction::Inspect);
                }
                self.tell_done(&mut actions);
            }
            AgentEvent::Inspected(presence) => {
                if let Some(finishing) = &mut self.finishing {
                    finishing.inspected(0, presence, now_ms, &self.settings);
                }
                self.tell_done(&mut actions);
            }
            AgentEvent::Tick => {}
        }
        self.finish(now_ms, &mut actions);
        self.search_on(now_ms, &mut actions);
        actions
    }

    fn received(&mut self, from: Party, message: Message, now_ms: u64, actions: &mut Vec<AgentAction>) {
        if from == Party::Coordinator && matches!(self.search, Search::Following { .. }) {
            self.search = Search::Following { until_ms: now_ms.saturating_add(self.timing.silence_ms) };
        }
        match message {
            Message::CanCommit => self.can_commit(from, actions),
            Message::PreCommit => self.pre_commit(from, actions),
            Message::Decide(decision) => self.told(from, decision, actions),
            Message::Ask { is_operational } => {
                self.has_told |= is_operational && self.is_operational;
                self.asked_by.insert(from);
                self.tell_state(actions);
            }
            Message::StateIs { state, is_operational } => match state.decision() {
                Some(decision) => self.told(from, decision, actions),
                None => self.heard_state(from, state, is_operational),
            },
            Message::PreCommitted => self.heard_pre_committed(from),
            Message::Undecided => self.coordinator_lives(now_ms),
            Message::Forget => {
                if self.is_finished() {
                    actions.push(AgentAction::Forget);
                }
            }
            Message::Vote(_) | Message::Done(_) | Message::Alive => {}
        }
    }

    fn can_commit(&mut self, from: Party, actions: &mut Vec<AgentAction>) {
        match self.state {
            State::Initial if self.writing.is_none() && !self.is_preparing && self.is_operational => {
                self.is_preparing = true;
                actions.push(AgentAction::Prepare);
            }
            State::Prepared => actions.push(AgentAction::Send { to: from, message: Message::Vote(Ok(())) }),
            State::Committed | State::Aborted => self.tell_decision(from, actions),
            State::Initial | State::PreCommitted => {}
        }
    }

    fn voted(&mut self, vote: Vote, actions: &mut Vec<AgentAction>) {
        if !std::mem::replace(&mut self.is_preparing, false) {
            return;
        }
        match vote {
            Vote::Prepared(witness) => {
                self.branch.witness = witness;
                self.become_state(State::Prepared, actions);
            }
            Vote::ReadOnly => {
                self.is_empty = true;
                self.become_state(State::Prepared, actions);
            }
            Vote::Refused(reason) => {
                self.is_empty = true;
                self.refusal = Some(reason);
                self.become_state(State::Aborted, actions);
            }
        }
    }

    /// All have voted to be prepared, says the coordinator, or the backup.
    fn pre_commit(&mut self, from: Party, actions: &mut Vec<AgentAction>) {
        let is_late = from == Party::Coordinator && self.has_told;
        match self.state {
            State::Prepared if !is_late => {
                self.acknowledge.insert(from);
                self.become_state(State::PreCommitted, actions);
            }
            State::PreCommitted => {
                actions.push(AgentAction::Send { to: from, message: Message::PreCommitted });
            }
            State::Committed | State::Aborted => self.tell_decision(from, actions),
            State::Initial | State::Prepared => {}
        }
    }

    /// Somebody knows the decision.
    pub(super) fn told(&mut self, from: Party, decision: Decision, actions: &mut Vec<AgentAction>) {
        match self.state.decision() {
            None => self.become_state(decision.into(), actions),
            Some(known) if known != decision => {
                actions.push(AgentAction::Split { with: from, decided: decision });
                if from == Party::Coordinator {
                    let message = Message::Done(Some(known));
                    actions.push(AgentAction::Send { to: from, message });
                }
            }
            Some(_) if from == Party::Coordinator => self.tell_done(actions),
            Some(_) => {}
        }
    }

    fn tell_decision(&self, to: Party, actions: &mut Vec<AgentAction>) {
        if let Some(decision) = self.state.decision() {
            actions.push(AgentAction::Send { to, message: Message::Decide(decision) });
        }
    }

    /// Writes the state to the disk, after what is being written.
    pub(super) fn become_state(&mut self, state: State, actions: &mut Vec<AgentAction>) {
        if self.writing.is_none() {
            self.writing = Some(state);
            actions.push(AgentAction::Persist(state));
        } else if state.decision().is_some() && self.writing.is_none_or(|it| it.decision().is_none()) {
            self.next.get_or_insert(state);
        }
    }

    fn persisted(&mut self, state: State, now_ms: u64, actions: &mut Vec<AgentAction>) {
        if self.writing != Some(state) {
            return;
        }
        self.writing = None;
        self.state = state;
        if let Some(next) = self.next.take() {
            return self.become_state(next, actions);
        }
        match state {
            State::Prepared => {
                let message = Message::Vote(Ok(()));
                actions.push(AgentAction::Send { to: Party::Coordinator, message });
            }
            State::PreCommitted => {
                for to in std::mem::take(&mut self.acknowledge) {
                    actions.push(AgentAction::Send { to, message: Message::PreCommitted });
                }
            }
            State::Committed | State::Aborted => self.decided(now_ms, actions),
            State::Initial => {}
        }
        self.tell_state(actions);
    }

    /// Answers those who have asked what this agent knows, unless it is just about to change.
    fn tell_state(&mut self, actions: &mut Vec<AgentAction>) {
        if self.writing.is_some() || self.asked_by.is_empty() {
            return;
        }
        if self.state == State::Initial {
            // It has not voted, so nothing can have been committed; and now it will not be.
            return self.become_state(State::Aborted, actions);
        }
        let message = Message::StateIs { state: self.state, is_operational: self.is_operational };
        for to in std::mem::take(&mut self.asked_by) {
            actions.push(AgentAction::Send { to, message: message.clone() });
        }
    }

    /// The decision is on the disk: the participant and the others are told.
    fn decided(&mut self, now_ms: u64, actions: &mut Vec<AgentAction>) {
        let Some(decision) = self.state.decision() else { return };
        if self.search != Search::Over {
            self.search = Search::Over;
            if let Some(reason) = self.refusal.take() {
                let message = Message::Vote(Err(reason));
                actions.push(AgentAction::Send { to: Party::Coordinator, message });
            }
            let others = (0..self.count).filter(|at| *at != self.me).map(Party::Agent);
            for to in others.chain([Party::Coordinator]) {
                self.tell_decision(to, actions);
            }
        }
        // A crash may have lost that it was being prepared.
        let may_be_preparing = std::mem::replace(&mut self.is_preparing, false) || !self.is_operational;
        let release = decision == Decision::Abort && may_be_preparing;
        let branches = if self.is_empty { Vec::new() } else { vec![(self.branch.clone(), release)] };
        self.finishing = Some(Finishing::new(decision, branches, now_ms));
        self.tell_done(actions);
    }

    fn finish(&mut self, now_ms: u64, actions: &mut Vec<AgentAction>) {
        let Some(finishing) = &mut self.finishing else { return };
        let decision = finishing.decision();
        for step in finishing.due(now_ms, &self.settings) {
            actions.push(match step {
                Step::Finish { release, .. } => AgentAction::Finish { decision, release },
                Step::Inspect { .. } => AgentAction::Inspect,
            });
        }
    }

    fn tell_done(&self, actions: &mut Vec<AgentAction>) {
        let Some(finishing) = self.finishing.as_ref().filter(|finishing| finishing.is_finished()) else {
            return;
        };
        let did = finishing.heuristics().first().map(|heuristic| heuristic.did);
        actions.push(AgentAction::Send { to: Party::Coordinator, message: Message::Done(did) });
    }

    /// After a crash: what the disk has is carried out, or completed.
    pub(super) fn resume(&mut self, now_ms: u64, actions: &mut Vec<AgentAction>) {
        match self.state {
            State::Initial => self.become_state(State::Aborted, actions),
            State::Committed | State::Aborted => self.decided(now_ms, actions),
            State::Prepared | State::PreCommitted => self.ask_all(now_ms, actions),
        }
    }
}
