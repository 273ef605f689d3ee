//! What clients did to registers, when, and the answers: the evidence that a checker of
//! linearizability judges.
//!
//! A register is a znode that is created once with the value 0 and only set from then on. Its state
//! is its value and its version, which counts the sets; so a set that happens twice is seen even
//! when its value is not.

use std::fmt::Write as _;

/// The request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The value, after a `sync`.
    Read,
    /// setData of any version.
    Set {
        /// A number that no other client writes.
        value: u64,
    },
    /// setData of one version.
    SetIf {
        /// The version that must be there.
        version: i64,
        /// A number that no other client writes.
        value: u64,
    },
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: it may have been done, at any time after the call.
    Unknown,
    /// To a read.
    State(State),
    /// To a set: the version it made.
    Version(i64),
    /// BadVersion.
    Refused,
}

/// A register's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// How often it was set.
    pub version: i64,
    /// What was set last.
    pub value: u64,
}

/// One request and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The client.
    pub client: usize,
    /// The path.
    pub register: String,
    /// What.
    pub act: Act,
    /// When, in ns of the test's clock.
    pub called: u64,
    /// When the answer came; the end of time if none did.
    pub returned: u64,
    /// The answer.
    pub answer: Answer,
}

impl Call {
    /// Does it to a register; `None` if the answer would have been another.
    pub fn step(&self, state: State) -> Option<State> {
        let set = |value| State { version: state.version + 1, value };
        match (self.act, self.answer) {
            (Act::Read, Answer::State(seen)) => (seen == state).then_some(state),
            (Act::Set { value }, Answer::Version(made)) => (made == state.version + 1).then(|| set(value)),
            (Act::Set { value }, Answer::Unknown) => Some(set(value)),
            (Act::SetIf { version, value }, Answer::Version(made)) => {
                (version == state.version && made == version + 1).then(|| set(value))
            }
            (Act::SetIf { version, .. }, Answer::Refused) => (version != state.version).then_some(state),
            (Act::SetIf { version, value }, Answer::Unknown) => {
                Some(if version == state.version { set(value) } else { state })
            }
            _ => None,
        }
    }
}

/// The history as text for a checker that shares no code with this one: one call a line, with the
/// fields `register client called returned act argument version answer told value`.
pub fn lines(calls: &[Call]) -> String {
    let mut text = String::new();
    for call in calls {
        let (act, argument, version) = match call.act {
            Act::Read => ("read", 0, 0),
            Act::Set { value } => ("set", value, 0),
            Act::SetIf { version, value } => ("setif", value, version),
        };
        let (answer, told, value) = match call.answer {
            Answer::Unknown => ("unknown", 0, 0),
            Answer::State(state) => ("state", state.version, state.value),
            Answer::Version(version) => ("version", version, 0),
            Answer::Refused => ("refused", 0, 0),
        };
        let Call { register, client, called, returned, .. } = call;
        let written = writeln!(
            text,
            "{register} {client} {called} {returned} {act} {argument} {version} {answer} {told} {value}"
        );
        written.expect("writing to a string does not fail");
    }
    text
}
