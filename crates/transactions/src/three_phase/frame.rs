//! A message on its way, as one line of JSON.

use std::net::SocketAddr;

use commit::decision::Decision;
use commit::three_phase::{Message, Party};
use serde::{Deserialize, Serialize};

use crate::{BranchId, TransactionId};

/// What every message of a transaction says of it, so that an agent that hears of it for the first
/// time knows all parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parties {
    /// Where the coordinator listens.
    pub(super) coordinator: SocketAddr,
    /// The branches, and where their agents listen, by place.
    pub(super) agents: Vec<(String, SocketAddr)>,
}

/// A message with its envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Frame {
    pub(super) transaction: String,
    pub(super) parties: Parties,
    /// `None`: the coordinator.
    from: Option<usize>,
    /// `None`: the coordinator.
    to: Option<usize>,
    message: Line,
}

/// A message as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    CanCommit,
    Prepared,
    Refused(String),
    PreCommit,
    PreCommitted,
    Decide(String),
    /// Empty: as decided.
    Done(String),
    Alive,
    Ask {
        is_operational: bool,
    },
    StateIs {
        state: String,
        is_operational: bool,
    },
    Undecided,
    Forget,
}

fn place(party: Party) -> Option<usize> {
    match party {
        Party::Coordinator => None,
        Party::Agent(at) => Some(at),
    }
}

fn party(place: Option<usize>) -> Party {
    place.map_or(Party::Coordinator, Party::Agent)
}

pub(super) fn parse_decision(text: &str) -> Option<Decision> {
    [Decision::Commit, Decision::Abort].into_iter().find(|decision| decision.to_string() == text)
}

impl Parties {
    /// Where a party listens.
    pub(super) fn address(&self, party: Party) -> Option<SocketAddr> {
        match party {
            Party::Coordinator => Some(self.coordinator),
            Party::Agent(at) => self.agents.get(at).map(|(_, address)| *address),
        }
    }

    /// The branch at a place.
    pub(super) fn branch(&self, at: usize) -> Option<BranchId> {
        self.agents.get(at)?.0.parse().ok()
    }
}

impl Frame {
    pub(super) fn new(
        id: TransactionId,
        parties: &Parties,
        from: Party,
        to: Party,
        message: &Message,
    ) -> Self {
        let (transaction, parties) = (id.to_string(), parties.clone());
        Self { transaction, parties, from: place(from), to: place(to), message: Line::from(message) }
    }

    pub(super) fn id(&self) -> Option<TransactionId> {
        self.transaction.parse().ok()
    }

    pub(super) fn from(&self) -> Party {
        party(self.from)
    }

    pub(super) fn to(&self) -> Party {
        party(self.to)
    }

    /// The message; `None` if it is of another version.
    pub(super) fn message(&self) -> Option<Message> {
        Some(match &self.message {
            Line::CanCommit => Message::CanCommit,
            Line::Prepared => Message::Vote(Ok(())),
            Line::Refused(why) => Message::Vote(Err(why.clone())),
            Line::PreCommit => Message::PreCommit,
            Line::PreCommitted => Message::PreCommitted,
            Line::Decide(decision) => Message::Decide(parse_decision(decision)?),
            Line::Done(otherwise) if otherwise.is_empty() => Message::Done(None),
            Line::Done(otherwise) => Message::Done(Some(parse_decision(otherwise)?)),
            Line::Alive => Message::Alive,
            Line::Ask { is_operational } => Message::Ask { is_operational: *is_operational },
            Line::StateIs { state, is_operational } => {
                Message::StateIs { state: state.parse().ok()?, is_operational: *is_operational }
            }
            Line::Undecided => Message::Undecided,
            Line::Forget => Message::Forget,
        })
    }
}

impl From<&Message> for Line {
    fn from(message: &Message) -> Self {
        match message {
            Message::CanCommit => Self::CanCommit,
            Message::Vote(Ok(())) => Self::Prepared,
            Message::Vote(Err(why)) => Self::Refused(why.clone()),
            Message::PreCommit => Self::PreCommit,
            Message::PreCommitted => Self::PreCommitted,
            Message::Decide(decision) => Self::Decide(decision.to_string()),
            Message::Done(otherwise) => Self::Done(otherwise.map(|did| did.to_string()).unwrap_or_default()),
            Message::Alive => Self::Alive,
            Message::Ask { is_operational } => Self::Ask { is_operational: *is_operational },
            Message::StateIs { state, is_operational } => {
                Self::StateIs { state: state.to_string(), is_operational: *is_operational }
            }
            Message::Undecided => Self::Undecided,
            Message::Forget => Self::Forget,
        }
    }
}

#[cfg(test)]
mod tests {
    use commit::three_phase::State;

    use super::*;
    use crate::Cluster;

    #[test]
    fn what_is_written_is_read() {
        let address = SocketAddr::from(([127, 0, 0, 1], 7000));
        let parties = Parties { coordinator: address, agents: Vec::new() };
        let id = TransactionId { cluster: Cluster(1), coordinator: 2, number: 3 };
        let messages = [
            Message::CanCommit,
            Message::Vote(Ok(())),
            Message::Vote(Err("full".to_owned())),
            Message::PreCommit,
            Message::PreCommitted,
            Message::Decide(Decision::Abort),
            Message::Done(None),
            Message::Done(Some(Decision::Commit)),
            Message::Alive,
            Message::Ask { is_operational: true },
            Message::StateIs { state: State::PreCommitted, is_operational: false },
            Message::Undecided,
            Message::Forget,
        ];
        for message in messages {
            let frame = Frame::new(id, &parties, Party::Agent(1), Party::Coordinator, &message);
            let line = serde_json::to_string(&frame).unwrap();
            let read: Frame = serde_json::from_str(&line).unwrap();
            assert_eq!((read.id(), read.from(), read.to()), (Some(id), Party::Agent(1), Party::Coordinator));
            assert_eq!(read.message(), Some(message));
        }
    }
}
