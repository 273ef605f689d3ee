//! The members of one transaction and their votes.

use std::collections::BTreeSet;

use crate::branch::{Branch, ResourceName};
use crate::decision::{Vote, Witness};
use crate::record::PreparedBranch;

/// One branch of a transaction, as its caller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The branch.
    pub branch: Branch,
    /// The caller believes that it only reads. If all branches but one do, they are prepared first,
    /// and the last one commits without prepare once they have voted to be read-only. A wrong
    /// belief costs time and nothing else.
    pub reads_only: bool,
}

impl Member {
    /// Most members of one transaction.
    pub const COUNT_MAX: usize = 64;
}

/// Why these cannot be the members of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMembers {
    /// The list is empty.
    #[error("a transaction needs a participant")]
    None,
    /// There are too many.
    #[error("{0} participants are more than {max}", max = Member::COUNT_MAX)]
    TooMany(usize),
    /// Two are branches of this resource.
    #[error("{0} takes part twice")]
    Twice(ResourceName),
}

#[derive(Clone, Debug)]
pub(super) struct Members(Vec<(Member, State)>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It works, and has not been asked for a vote.
    Active,
    /// It has been asked, and nobody knows whether it is prepared.
    Asked,
    /// The same, and no answer will come.
    Lost,
    Prepared(Witness),
    ReadOnly,
    Refused,
}

impl Members {
    pub(super) fn new(members: Vec<Member>) -> Result<Members, BadMembers> {
        if members.is_empty() {
            return Err(BadMembers::None);
        }
        if members.len() > Member::COUNT_MAX {
            return Err(BadMembers::TooMany(members.len()));
        }
        let mut seen = BTreeSet::new();
        for member in &members {
            if !seen.insert(&member.branch.resource) {
                return Err(BadMembers::Twice(member.branch.resource.clone()));
            }
        }
        Ok(Members(members.into_iter().map(|member| (member, State::Active)).collect()))
    }

    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.0.len()).collect()
    }

    /// The only branch that is not believed to read only.
    pub(super) fn only_writer(&self) -> Option<usize> {
        let mut writers = (0..self.0.len()).filter(|at| !self.0[*at].0.reads_only);
        match self.0.len() {
            1 => Some(0),
            _ => writers.next().filter(|_| writers.next().is_none()),
        }
    }

    /// The branches besides the only writer.
    pub(super) fn readers(&self) -> Vec<usize> {
        let writer = self.only_writer();
        self.all().into_iter().filter(|at| Some(*at) != writer).collect()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Branch> {
        self.0.get(at).map(|(member, _)| &member.branch)
    }

    pub(super) fn branch(&self, at: usize) -> String {
        self.get(at).map_or_else(|| format!("branch {at}"), Branch::to_string)
    }

    pub(super) fn place(&self, branch: &Branch) -> usize {
        self.0.iter().position(|(member, _)| member.branch == *branch).expect("a branch of this transaction")
    }

    pub(super) fn asked(&mut self, at: usize) {
        self.0[at].1 = State::Asked;
    }

    /// Takes a vote that was asked for.
    pub(super) fn voted(&mut self, at: usize, vote: Vote) {
        if let Some((_, state @ State::Asked)) = self.0.get_mut(at) {
            *state = match vote {
                Vote::Prepared(witness) => State::Prepared(witness),
                Vote::ReadOnly => State::ReadOnly,
                Vote::Refused(_) => State::Refused,
            };
        }
    }

    /// No vote will come; `false` if none was awaited.
    pub(super) fn prepare_failed(&mut self, at: usize) -> bool {
        let asked = self.0.get_mut(at).filter(|(_, state)| *state == State::Asked);
        asked.map(|(_, state)| *state = State::Lost).is_some()
    }

    /// Whether every branch that was asked has voted, and not refused.
    pub(super) fn all_asked_have_voted(&self) -> bool {
        self.0.iter().all(|(_, state)| !matches!(state, State::Asked | State::Lost | State::Refused))
    }

    /// The names of those whose vote is awaited.
    pub(super) fn silent(&self) -> String {
        let silent = self.0.iter().filter(|(_, state)| *state == State::Asked);
        silent.map(|(member, _)| member.branch.to_string()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn prepared(&self) -> Vec<PreparedBranch> {
        let prepared = self.0.iter().filter_map(|(member, state)| match state {
            State::Prepared(witness) => {
                Some(PreparedBranch { branch: member.branch.clone(), witness: witness.clone() })
            }
            _ => None,
        });
        prepared.collect()
    }

    /// The branches that a commit has to reach, none of which has to be released first.
    pub(super) fn to_commit(&self) -> Vec<(PreparedBranch, bool)> {
        self.prepared().into_iter().map(|branch| (branch, false)).collect()
    }

    /// The branches that an abort has to reach; `true` beside those that may still be preparing.
    pub(super) fn to_abort(&self) -> Vec<(PreparedBranch, bool)> {
        let open = self.0.iter().filter_map(|(member, state)| {
            let (witness, release) = match state {
                State::Active => (Witness::default(), false),
                State::Asked | State::Lost => (Witness::default(), true),
                State::Prepared(witness) => (witness.clone(), false),
                State::ReadOnly | State::Refused => return None,
            };
            Some((PreparedBranch { branch: member.branch.clone(), witness }, release))
        });
        open.collect()
    }
}
