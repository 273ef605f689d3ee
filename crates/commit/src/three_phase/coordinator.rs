//! The coordinator of three-phase commit. It keeps nothing on a disk.

use std::collections::BTreeMap;

use super::{Message, Timing};
use crate::branch::Branch;
use crate::decision::{Answer, Decision, Heuristic, Outcome};
use crate::settings::Settings;

/// What happens to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorEvent {
    /// The caller's work is done: commit.
    Begin,
    /// The caller wants it undone, for this reason. Once agents may be pre-committed it changes
    /// nothing.
    Cancel(String),
    /// An agent says something.
    Received {
        /// Which agent.
        from: usize,
        /// What.
        message: Message,
    },
    /// Time has passed; due at [`Coordinator::due_ms`].
    Tick,
}

/// What the coordinator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorAction {
    /// Send this message to an agent; it may be lost.
    Send {
        /// Which agent.
        to: usize,
        /// What.
        message: Message,
    },
    /// Tell the caller; at most once.
    Answer(Answer),
    /// Nothing is left to do. Agents that ask later get no answer.
    End,
}

/// The coordinator of one transaction.
#[derive(Clone, Debug)]
pub struct Coordinator {
    branches: Vec<Branch>,
    settings: Settings,
    timing: Timing,
    phase: Phase,
    /// The agents that have answered in this phase.
    answered: BTreeMap<usize, Option<Decision>>,
    /// When the phase ends by itself.
    deadline_ms: Option<u64>,
    heartbeat_ms: Option<u64>,
    answer_ms: Option<u64>,
    outcome: Option<Outcome>,
    is_answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Voting,
    PreCommitting,
    Decided(Decision),
    Ended,
}

impl Coordinator {
    /// A coordinator for these branches, whose agents have the same places; it does nothing until
    /// [`CoordinatorEvent::Begin`]. There is at least one branch, and none is there twice.
    pub fn new(branches: Vec<Branch>, settings: Settings, timing: Timing) -> Coordinator {
        Coordinator {
            branches,
            settings,
            timing,
            phase: Phase::New,
            answered: BTreeMap::new(),
            deadline_ms: None,
            heartbeat_ms: None,
            answer_ms: None,
            outcome: None,
            is_answered: false,
        }
    }

    /// Whether it takes no more events.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// How it ends, once that is known.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// When [`CoordinatorEvent::Tick`] is due; `None`: never.
    pub fn due_ms(&self) -> Option<u64> {
        let answer_ms = self.answer_ms.filter(|_| !self.is_answered);
        [self.deadline_ms, self.heartbeat_ms, answer_ms].into_iter().flatten().min()
    }

    /// Takes one event, and returns the actions for the driver. `now_ms` never decreases and may
    /// begin anywhere.
    pub fn handle(&mut self, now_ms: u64, event: CoordinatorEvent) -> Vec<CoordinatorAction> {
        let mut actions = Vec::new();
        match event {
            CoordinatorEvent::Begin => {
                if self.phase == Phase::New {
                    self.enter(Phase::Voting, self.settings.prepare_timeout_ms, now_ms, &mut actions);
                }
            }
            CoordinatorEvent::Cancel(reason) => {
                if matches!(self.phase, Phase::New | Phase::Voting) {
                    self.decide(Outcome::Aborted(reason), now_ms, &mut actions);
                }
            }
            CoordinatorEvent::Received { from, message } => {
                if from < self.branches.len() {
                    self.received(from, message, now_ms, &mut actions);
                }
            }
            CoordinatorEvent::Tick => {}
        }
        self.tick(now_ms, &mut actions);
        actions
    }

    fn received(&mut self, from: usize, message: Message, now_ms: u64, actions: &mut Vec<CoordinatorAction>) {
        match (self.phase, message) {
            (Phase::Voting, Message::Vote(Ok(()))) => {
                self.answered.insert(from, None);
                if self.have_all_answered() {
                    self.answer_ms = Some(now_ms.saturating_add(self.settings.decide_patience_ms));
                    self.enter(Phase::PreCommitting, self.timing.reply_ms, now_ms, actions);
                }
            }
            (Phase::Voting, Message::Vote(Err(reason))) => {
                let reason = format!("{}: {reason}", self.branches[from]);
                self.decide(Outcome::Aborted(reason), now_ms, actions);
            }
            (Phase::PreCommitting, Message::PreCommitted) => {
                self.answered.insert(from, None);
                if self.have_all_answered() {
                    self.decide(Outcome::Committed, now_ms, actions);
                }
            }
            (Phase::Decided(_), Message::Done(did)) => {
                self.answered.insert(from, did);
                if self.have_all_answered() {
                    self.end(actions);
                }
            }
            // The agents have ended it without this coordinator.
            (Phase::Voting | Phase::PreCommitting, Message::Decide(decision)) => {
                let outcome = match decision {
                    Decision::Commit => Outcome::Committed,
                    Decision::Abort => Outcome::Aborted("the participants ended it".to_owned()),
                };
                self.decide(outcome, now_ms, actions);
            }
            (Phase::Decided(decision), Message::Ask { .. }) => {
                actions.push(CoordinatorAction::Send { to: from, message: Message::Decide(decision) });
            }
            // Some may have answered the one that asks, and follow nobody.
            (Phase::Voting | Phase::PreCommitting, Message::Ask { .. }) => {
                let undecided = |to| CoordinatorAction::Send { to, message: Message::Undecided };
                actions.extend((0..self.branches.len()).map(undecided));
            }
            _ => {}
        }
    }

    fn have_all_answered(&self) -> bool {
        self.answered.len() == self.branches.len()
    }

    fn enter(&mut self, phase: Phase, for_ms: u64, now_ms: u64, actions: &mut Vec<CoordinatorAction>) {
        self.phase = phase;
        self.answered.clear();
        self.deadline_ms = Some(now_ms.saturating_add(for_ms));
        self.say(now_ms, actions);
    }

    /// Says to every agent what this phase wants of it, or that the coordinator lives.
    fn say(&mut self, now_ms: u64, actions: &mut Vec<CoordinatorAction>) {
        self.heartbeat_ms = Some(now_ms.saturating_add(self.timing.heartbeat_ms));
        let message = match self.phase {
            Phase::Voting => Message::CanCommit,
            Phase::PreCommitting => Message::PreCommit,
            Phase::Decided(decision) => Message::Decide(decision),
            Phase::New | Phase::Ended => return,
        };
        for to in 0..self.branches.len() {
            let message = if self.answered.contains_key(&to) { Message::Alive } else { message.clone() };
            actions.push(CoordinatorAction::Send { to, message });
        }
    }

    fn decide(&mut self, outcome: Outcome, now_ms: u64, actions: &mut Vec<CoordinatorAction>) {
        let decision = match outcome {
            Outcome::Committed => Decision::Commit,
            Outcome::Aborted(_) | Outcome::Unknown(_) => Decision::Abort,
        };
        self.outcome = Some(outcome);
        self.answer_ms = Some(now_ms.saturating_add(self.settings.finish_patience_ms));
        self.enter(Phase::Decided(decision), 0, now_ms, actions);
        self.deadline_ms = None;
    }

    fn tick(&mut self, now_ms: u64, actions: &mut Vec<CoordinatorAction>) {
        if self.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            self.time_is_over(now_ms, actions);
        }
        if self.heartbeat_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.say(now_ms, actions);
        }
        if self.answer_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.answer(actions);
        }
    }

    fn time_is_over(&mut self, now_ms: u64, actions: &mut Vec<CoordinatorAction>) {
        match self.phase {
            Phase::Voting => {
                let reason = format!("no vote in time from {}", self.silent());
                self.decide(Outcome::Aborted(reason), now_ms, actions);
            }
            // Who is silent has crashed, and will ask; one that is pre-committed is enough for it
            // to learn what to do. With none, all have crashed, perhaps after they had become so:
            // they are told again until one answers.
            Phase::PreCommitting if !self.answered.is_empty() => {
                self.decide(Outcome::Committed, now_ms, actions);
            }
            Phase::PreCommitting => {
                self.deadline_ms = Some(now_ms.saturating_add(self.timing.reply_ms));
            }
            _ => self.deadline_ms = None,
        }
    }

    fn silent(&self) -> String {
        let silent = (0..self.branches.len()).filter(|at| !self.answered.contains_key(at));
        silent.map(|at| self.branches[at].to_string()).collect::<Vec<_>>().join(", ")
    }

    fn answer(&mut self, actions: &mut Vec<CoordinatorAction>) {
        if std::mem::replace(&mut self.is_answered, true) {
            return;
        }
        let unknown = || Outcome::Unknown("no participant says in time that it knows all votes".to_owned());
        let outcome = self.outcome.clone().unwrap_or_else(unknown);
        let mut answer = Answer { outcome, unfinished: Vec::new(), heuristics: Vec::new() };
        if let Phase::Decided(decision) = self.phase {
            for (at, branch) in self.branches.iter().enumerate() {
                match self.answered.get(&at) {
                    None => answer.unfinished.push(branch.clone()),
                    Some(Some(did)) if *did != decision => {
                        answer.heuristics.push(Heuristic { branch: branch.clone(), did: *did });
                    }
                    Some(_) => {}
                }
            }
        }
        actions.push(CoordinatorAction::Answer(answer));
    }

    fn end(&mut self, actions: &mut Vec<CoordinatorAction>) {
        self.answer(actions);
        for to in 0..self.branches.len() {
            actions.push(CoordinatorAction::Send { to, message: Message::Forget });
        }
        self.phase = Phase::Ended;
        self.deadline_ms = None;
        self.heartbeat_ms = None;
        actions.push(CoordinatorAction::End);
    }
}
