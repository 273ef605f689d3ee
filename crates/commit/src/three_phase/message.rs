//! What coordinator and agents say to each other.

use std::fmt;
use std::str::FromStr;

use crate::decision::Decision;

/// A party of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The coordinator.
    Coordinator,
    /// The agent of the branch at this place, from 0.
    Agent(usize),
}

/// What an agent keeps of a transaction, on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It has not voted.
    Initial,
    /// It has voted to be prepared.
    Prepared,
    /// It knows that all have voted so.
    PreCommitted,
    /// The transaction commits.
    Committed,
    /// The transaction aborts.
    Aborted,
}

impl State {
    /// What has been decided in this state.
    pub fn decision(self) -> Option<Decision> {
        match self {
            State::Committed => Some(Decision::Commit),
            State::Aborted => Some(Decision::Abort),
            State::Initial | State::Prepared | State::PreCommitted => None,
        }
    }

    fn of(decision: Decision) -> State {
        match decision {
            Decision::Commit => State::Committed,
            Decision::Abort => State::Aborted,
        }
    }
}

impl From<Decision> for State {
    fn from(decision: Decision) -> State {
        State::of(decision)
    }
}

/// A text is not the name of a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the state of an agent")]
pub struct BadState(pub String);

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Initial => "initial",
            State::Prepared => "prepared",
            State::PreCommitted => "pre-committed",
            State::Committed => "committed",
            State::Aborted => "aborted",
        })
    }
}

impl FromStr for State {
    type Err = BadState;

    fn from_str(text: &str) -> Result<State, BadState> {
        let states = [State::Initial, State::Prepared, State::PreCommitted, State::Committed, State::Aborted];
        states.into_iter().find(|state| state.to_string() == text).ok_or_else(|| BadState(text.to_owned()))
    }
}

/// A message between two parties of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Coordinator to agent: prepare, and vote.
    CanCommit,
    /// Agent to coordinator: it is prepared, or has aborted for this reason.
    Vote(Result<(), String>),
    /// Coordinator or backup to agent: all have voted to be prepared.
    PreCommit,
    /// The answer: the agent has that on its disk.
    PreCommitted,
    /// Anybody who knows it to anybody: what was decided.
    Decide(Decision),
    /// Agent to coordinator: its branch is finished as decided, or otherwise, by hand.
    Done(Option<Decision>),
    /// Coordinator to agent: it still works on the transaction.
    Alive,
    /// Agent to all: what do you know of the transaction?
    Ask {
        /// Whether the sender has worked since its vote without a crash.
        is_operational: bool,
    },
    /// The answer of an agent.
    StateIs {
        /// What it has on its disk.
        state: State,
        /// Whether it has worked since its vote without a crash.
        is_operational: bool,
    },
    /// The answer of a coordinator that has not decided, to all agents: it works on.
    Undecided,
    /// Coordinator to agent: all agents have finished, so none will ask.
    Forget,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_names() {
        for state in [State::Initial, State::Prepared, State::PreCommitted, State::Committed, State::Aborted]
        {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
        assert_eq!("Prepared".parse::<State>(), Err(BadState("Prepared".to_owned())));
    }
}
