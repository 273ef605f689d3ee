//! The termination rule: how agents end a transaction whose coordinator is gone.

use std::collections::{BTreeMap, BTreeSet};

use super::agent::{Agent, AgentAction, Search};
use super::{Message, Party, State};

/// What the answers of the others come to.
enum Verdict {
    /// This agent decides, and brings these to pre-committed before.
    Commit(BTreeSet<usize>),
    /// This agent decides.
    Abort,
    /// Somebody else decides, or nobody can yet.
    Wait,
}

impl Agent {
    /// Takes the next step if its time has come.
    pub(super) fn search_on(&mut self, now_ms: u64, actions: &mut Vec<AgentAction>) {
        if self.writing.is_some() {
            return;
        }
        match &self.search {
            Search::Following { until_ms } | Search::Waiting { until_ms } if *until_ms <= now_ms => {
                self.resume(now_ms, actions);
            }
            Search::Asking { until_ms, .. } if *until_ms <= now_ms => self.conclude(now_ms, actions),
            _ => {}
        }
        // This agent is pre-committed, as far as its disk is concerned, and so is every other one
        // that lives.
        if let Search::Leading { until_ms, awaited } = &self.search
            && self.state == State::PreCommitted
            && (awaited.is_empty() || *until_ms <= now_ms)
        {
            self.become_state(State::Committed, actions);
        }
    }

    /// Asks all parties what they know.
    pub(super) fn ask_all(&mut self, now_ms: u64, actions: &mut Vec<AgentAction>) {
        self.has_told |= self.is_operational;
        self.search = Search::Asking {
            until_ms: now_ms.saturating_add(self.timing.reply_ms),
            replies: BTreeMap::new(),
        };
        let others = (0..self.count).filter(|at| *at != self.me).map(Party::Agent);
        for to in others.chain([Party::Coordinator]) {
            let message = Message::Ask { is_operational: self.is_operational };
            actions.push(AgentAction::Send { to, message });
        }
    }

    pub(super) fn heard_state(&mut self, from: Party, state: State, is_operational: bool) {
        if let (Search::Asking { replies, .. }, Party::Agent(at)) = (&mut self.search, from) {
            replies.insert(at, (state, is_operational));
        }
    }

    pub(super) fn heard_pre_committed(&mut self, from: Party) {
        if let (Search::Leading { awaited, .. }, Party::Agent(at)) = (&mut self.search, from) {
            awaited.remove(&at);
        }
    }

    /// The coordinator lives and has not decided: it is followed again.
    pub(super) fn coordinator_lives(&mut self, now_ms: u64) {
        if self.state.decision().is_none() {
            self.has_told = false;
            self.search = Search::Following { until_ms: now_ms.saturating_add(self.timing.silence_ms) };
        }
    }

    /// All that live have answered by now.
    fn conclude(&mut self, now_ms: u64, actions: &mut Vec<AgentAction>) {
        let until_ms = now_ms.saturating_add(self.timing.reply_ms);
        match self.verdict() {
            Verdict::Commit(awaited) => {
                for at in &awaited {
                    let to = Party::Agent(*at);
                    actions.push(AgentAction::Send { to, message: Message::PreCommit });
                }
                self.search = Search::Leading { until_ms, awaited };
                if self.state == State::Prepared {
                    self.become_state(State::PreCommitted, actions);
                }
            }
            Verdict::Abort => self.become_state(State::Aborted, actions),
            Verdict::Wait => self.search = Search::Waiting { until_ms },
        }
    }

    fn verdict(&self) -> Verdict {
        let Search::Asking { replies, .. } = &self.search else { return Verdict::Wait };
        let mut known = replies.clone();
        known.insert(self.me, (self.state, self.is_operational));
        let mut deciding: BTreeMap<usize, State> = BTreeMap::new();
        deciding.extend(known.iter().filter(|(_, (_, is_up))| *is_up).map(|(at, (state, _))| (*at, *state)));
        if deciding.is_empty() && known.len() == self.count {
            // All have crashed since they voted, and all are back.
            deciding.extend(known.iter().map(|(at, (state, _))| (*at, *state)));
        }
        if deciding.keys().next() != Some(&self.me) {
            return Verdict::Wait;
        }
        if deciding.values().all(|state| *state != State::PreCommitted) {
            return Verdict::Abort;
        }
        let behind = deciding.iter().filter(|(at, state)| **state == State::Prepared && **at != self.me);
        Verdict::Commit(behind.map(|(at, _)| *at).collect())
    }
}
