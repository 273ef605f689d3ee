//! What a run asks of the server.

use std::fmt;
use std::str::FromStr;

/// One kind of operation, counted and timed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// `getData` of a random znode.
    Get,
    /// `exists` of a random znode.
    Exists,
    /// `getChildren` of a znode with `--children` children.
    List,
    /// `setData` of a random znode.
    Set,
    /// `create` of a new persistent znode.
    Create,
    /// `delete` of a znode that was created beforehand.
    Delete,
    /// `create` of a sequential ephemeral and then its `delete`: the two requests every lock recipe
    /// makes.
    Lock,
    /// `multi` of `--multi-ops` times `setData`.
    Multi,
}

impl Operation {
    const ALL: [Self; 8] =
        [Self::Get, Self::Exists, Self::List, Self::Set, Self::Create, Self::Delete, Self::Lock, Self::Multi];

    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Exists => "exists",
            Self::List => "list",
            Self::Set => "set",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Lock => "lock",
            Self::Multi => "multi",
        }
    }
}

/// The parts of a mix with their weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mix(Vec<(Operation, u32)>);

impl Mix {
    /// A mix of one operation only.
    pub(super) fn only(operation: Operation) -> Self {
        Self(vec![(operation, 1)])
    }

    /// No operation at all; nothing can be picked from it.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether the operation can come up.
    pub(super) fn has(&self, operation: Operation) -> bool {
        self.0.iter().any(|(part, _)| *part == operation)
    }

    /// Sum of the weights.
    #[inline]
    pub(super) fn weight(&self) -> u32 {
        self.0.iter().map(|(_, weight)| weight).sum()
    }

    /// The operation for `ticket`, which is below the sum of the weights.
    #[inline]
    pub(super) fn pick(&self, mut ticket: u32) -> Operation {
        for (operation, weight) in &self.0 {
            match ticket.checked_sub(*weight) {
                Some(rest) => ticket = rest,
                None => return *operation,
            }
        }
        self.0.last().expect("something can be picked").0
    }
}

/// A workload as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Requests over open sessions.
    Requests(Mix),
    /// One znode watched by all sessions and set by another.
    Fanout,
    /// Sessions opened and closed.
    Churn,
    /// The server process started, until it answers a request.
    Start,
}

/// Why a name is not a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WorkloadError {
    /// The word is not a workload.
    #[error(
        "no workload \"{0}\"; there are get, exists, list, set, create, delete, lock, multi, fanout, churn, start \
         and mixes such as mix:get=90,set=10"
    )]
    Unknown(String),
    /// A part of a mix is not `name=weight`.
    #[error("\"{0}\" in the mix is not an operation, \"=\" and a weight from 1 to 1000000")]
    Part(String),
    /// Deletes need as many znodes prepared as will be deleted, which a mix cannot know.
    #[error("delete cannot be part of a mix; lock deletes what it creates")]
    DeleteInMix,
}

impl FromStr for Workload {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        if let Some(parts) = text.strip_prefix("mix:") {
            let mix = parts.split(',').map(part).collect::<Result<Vec<_>, _>>()?;
            return Ok(Self::Requests(Mix(mix)));
        }
        match text {
            "fanout" => Ok(Self::Fanout),
            "churn" => Ok(Self::Churn),
            "start" => Ok(Self::Start),
            _ => Operation::ALL
                .into_iter()
                .find(|operation| operation.name() == text)
                .map(|operation| Self::Requests(Mix::only(operation)))
                .ok_or_else(|| WorkloadError::Unknown(text.into())),
        }
    }
}

fn part(text: &str) -> Result<(Operation, u32), WorkloadError> {
    let error = || WorkloadError::Part(text.into());
    let (name, weight) = text.split_once('=').ok_or_else(error)?;
    let operation =
        Operation::ALL.into_iter().find(|operation| operation.name() == name).ok_or_else(error)?;
    let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight)).ok_or_else(error)?;
    if operation == Operation::Delete { Err(WorkloadError::DeleteInMix) } else { Ok((operation, weight)) }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests(Mix(parts)) => match parts.as_slice() {
                [(operation, 1)] => f.write_str(operation.name()),
                parts => {
                    let parts: Vec<_> =
                        parts.iter().map(|(part, weight)| format!("{}={weight}", part.name())).collect();
                    write!(f, "mix:{}", parts.join(","))
                }
            },
            Self::Fanout => f.write_str("fanout"),
            Self::Churn => f.write_str("churn"),
            Self::Start => f.write_str("start"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for name in ["get", "delete", "lock", "fanout", "churn", "start", "mix:get=90,set=10", "mix:get=90"] {
            assert_eq!(name.parse::<Workload>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn what_is_no_workload_is_named_in_the_error() {
        for (text, error) in [
            ("got", WorkloadError::Unknown("got".into())),
            ("mix:", WorkloadError::Part(String::new())),
            ("mix:get=90,set", WorkloadError::Part("set".into())),
            ("mix:get=0", WorkloadError::Part("get=0".into())),
            ("mix:get=-1", WorkloadError::Part("get=-1".into())),
            ("mix:delete=5", WorkloadError::DeleteInMix),
        ] {
            assert_eq!(text.parse::<Workload>(), Err(error));
        }
    }

    #[test]
    fn tickets_fall_by_weight() {
        let Workload::Requests(mix) = "mix:get=3,set=1,lock=2".parse().unwrap() else { panic!() };
        let picked: Vec<_> = (0..mix.weight()).map(|ticket| mix.pick(ticket).name()).collect();
        assert_eq!(picked, ["get", "get", "get", "set", "lock", "lock"]);
        assert!(mix.has(Operation::Set) && !mix.has(Operation::Exists));
    }
}
