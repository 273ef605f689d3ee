//! What participants, the log and callers say: votes, decisions, outcomes.

use std::fmt;

use crate::branch::Branch;

/// What a whole transaction comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Every branch takes effect.
    Commit,
    /// No branch takes effect.
    Abort,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decision::Commit => "commit",
            Decision::Abort => "abort",
        })
    }
}

/// A participant's answer to prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vote {
    /// It can commit and can abort from now on, whatever happens to it. The witness goes into the
    /// record of the decision.
    Prepared(Witness),
    /// It has changed nothing, is done, and holds nothing prepared.
    ReadOnly,
    /// It has undone its part, for this reason, and holds nothing prepared.
    Refused(String),
}

/// What a participant wants to know again of a prepared branch after everybody has forgotten it,
/// such as PostgreSQL's number of the transaction, by which `txid_status` still tells later what
/// became of it. May be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness(String);

/// A text cannot be a witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a witness: up to 64 visible characters of ASCII")]
pub struct BadWitness(pub String);

impl Witness {
    /// Bytes of the longest witness.
    pub const BYTES_MAX: usize = 64;

    /// This witness.
    ///
    /// # Errors
    /// If it has more than 64 bytes, or others than visible ASCII.
    pub fn new(text: &str) -> Result<Witness, BadWitness> {
        let is_good = text.len() <= Witness::BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
        if is_good { Ok(Witness(text.to_owned())) } else { Err(BadWitness(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A participant's answer to a request to commit or abort a branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The branch is finished as it was asked for, now or by an earlier request of ours that the
    /// participant knows of.
    Done,
    /// The participant does not know the branch. This says neither that it was finished nor that it
    /// is not prepared: MariaDB says so of a prepared branch while the session that prepared it
    /// lives.
    NotFound,
    /// Somebody else finished the branch, in this way.
    Heuristic(Decision),
    /// It did not work out, or nobody knows whether it did; the reason is for people.
    Failed(String),
}

/// A participant's answer to the question whether a branch is prepared in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The resource lists it as prepared.
    Prepared,
    /// The resource does not list it, and nothing that could still prepare it is under way.
    Absent,
    /// The resource says that somebody finished it in this way.
    Ended(Decision),
    /// The resource cannot be asked, for this reason.
    Unknown(String),
}

/// A participant's answer to a request to commit without prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alone {
    /// It has committed.
    Committed,
    /// It has undone its part, for this reason.
    Refused(String),
    /// Nobody knows: the answer was lost and the participant cannot tell.
    Unknown(String),
}

/// A branch that somebody finished otherwise than the transaction was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heuristic {
    /// The branch.
    pub branch: Branch,
    /// What it came to.
    pub did: Decision,
}

/// How a transaction ended, as its caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All branches commit: those that have not yet done so will, whatever happens.
    Committed,
    /// All branches abort, for this reason: those that have not yet done so will.
    Aborted(String),
    /// It is one of both, and this coordinator could not learn which, for this reason. What the log
    /// and the databases say later is right.
    Unknown(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Committed => f.write_str("committed"),
            Outcome::Aborted(reason) => write!(f, "aborted: {reason}"),
            Outcome::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How the transaction ended.
    pub outcome: Outcome,
    /// The branches that were not finished yet when the caller was told.
    pub unfinished: Vec<Branch>,
    /// The branches that came to something else, because somebody finished them by hand.
    pub heuristics: Vec<Heuristic>,
}

/// What the log says to a write of a decision, or to a read of one. All of it is linearizable: a
/// write that answers has happened, a read shows every write that was answered before it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged {
    /// The write took place: the log had no decision before.
    Stored,
    /// The log has this decision.
    Found(Decision),
    /// To a write: it did not take place and never will, since the coordinator's fence is gone from
    /// the log.
    Fenced,
    /// To a read: the log has no decision.
    Nothing,
    /// It cannot be reached, or a write may have taken place, or may still take place.
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_short_and_visible() {
        for good in ["", "7421", &"x".repeat(64)] {
            assert_eq!(Witness::new(good).map(|w| w.as_str().to_owned()), Ok(good.to_owned()));
        }
        for bad in ["a b", "a\n", "ä", &"x".repeat(65)] {
            assert_eq!(Witness::new(bad), Err(BadWitness(bad.to_owned())));
        }
    }
}
