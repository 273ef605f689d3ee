//! The strategies and their names.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How an instance is chosen among those that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One after the other, without regard to weights.
    RoundRobin,
    /// Smooth weighted round robin: exact shares in each period.
    Weighted,
    /// At random, in proportion to weights.
    Random,
    /// The one with the fewest outstanding requests for its weight.
    LeastLoaded,
    /// The less loaded of two that are drawn in proportion to weights.
    TwoChoices,
    /// By key, on a ring with virtual nodes.
    Ring,
    /// By key on a ring; an instance with too many requests passes them to the next.
    RingBounded,
    /// By key, at the instance where it ranks highest.
    Rendezvous,
    /// The same; an instance with too many requests passes them to the next.
    RendezvousBounded,
    /// By key, by the table of Maglev.
    Maglev,
    /// By key, by jump consistent hash. Only the instance with the last id can come or go without
    /// moving other keys.
    Jump,
}

const NAMES: [(&str, Choice); 11] = [
    ("round-robin", Choice::RoundRobin),
    ("weighted", Choice::Weighted),
    ("random", Choice::Random),
    ("least-loaded", Choice::LeastLoaded),
    ("two-choices", Choice::TwoChoices),
    ("ring", Choice::Ring),
    ("ring-bounded", Choice::RingBounded),
    ("rendezvous", Choice::Rendezvous),
    ("rendezvous-bounded", Choice::RendezvousBounded),
    ("maglev", Choice::Maglev),
    ("jump", Choice::Jump),
];

const ZONE_FIRST: &str = "zone-first";

impl Choice {
    /// All, in the order in which help texts list them.
    pub fn all() -> impl Iterator<Item = Choice> {
        NAMES.iter().map(|(_, choice)| *choice)
    }

    /// Whether the key of a request decides.
    pub fn uses_key(self) -> bool {
        use Choice::*;
        match self {
            Ring | RingBounded | Rendezvous | RendezvousBounded | Maglev | Jump => true,
            RoundRobin | Weighted | Random | LeastLoaded | TwoChoices => false,
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, choice)| choice == self).map_or("", |(name, _)| name);
        f.pad(name)
    }
}

/// A choice among all instances, or among those of the caller's zone while there are any.
///
/// As text it is the name of the choice, such as `least-loaded`, or `zone-first:least-loaded`.
/// `zone-first` alone is `zone-first:round-robin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// How an instance is chosen.
    pub choice: Choice,
    /// Whether only instances of the caller's zone can be chosen while there are any.
    pub zone_first: bool,
}

impl From<Choice> for Strategy {
    fn from(choice: Choice) -> Strategy {
        Strategy { choice, zone_first: false }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.zone_first {
            return f.pad(&format!("{ZONE_FIRST}:{}", self.choice));
        }
        self.choice.fmt(f)
    }
}

/// A text that names no strategy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{given:?} is not a strategy: allowed are {}, {ZONE_FIRST}, and {ZONE_FIRST}: with one of the others",
    names()
)]
pub struct UnknownStrategy {
    given: String,
}

fn names() -> String {
    NAMES.map(|(name, _)| name).join(", ")
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Strategy, UnknownStrategy> {
        if text == ZONE_FIRST {
            return Ok(Strategy { choice: Choice::RoundRobin, zone_first: true });
        }
        let inner = text.strip_prefix(ZONE_FIRST).and_then(|rest| rest.strip_prefix(':'));
        let named = NAMES.iter().find(|(name, _)| *name == inner.unwrap_or(text));
        let (_, choice) = named.ok_or_else(|| UnknownStrategy { given: text.chars().take(80).collect() })?;
        Ok(Strategy { choice: *choice, zone_first: inner.is_some() })
    }
}
