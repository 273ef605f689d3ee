//! What a strategy knows of an instance: id, weight and zone.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use thiserror::Error;

/// The largest weight. It is HAProxy's, so that the weights of a service fit into its
/// configuration.
pub const WEIGHT_MAX: u32 = 256;

/// The longest id in bytes.
pub const ID_BYTES_MAX: usize = 1024;

/// The longest name of a zone in bytes.
pub const ZONE_BYTES_MAX: usize = 256;

/// The share of requests or keys that an instance gets, relative to the others: from 1 to
/// [`WEIGHT_MAX`].
///
/// Small weights are best: a ring has a fixed number of points for each unit of weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(NonZeroU16);

/// A weight that is not a whole number from 1 to [`WEIGHT_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{given:?} is not a weight: a weight is a whole number from 1 to {WEIGHT_MAX}")]
pub struct WeightError {
    given: String,
}

impl Weight {
    /// The weight of an instance that states none.
    pub const ONE: Weight = Weight(NonZeroU16::MIN);

    /// Refuses 0 and numbers above [`WEIGHT_MAX`].
    pub fn new(weight: u32) -> Result<Weight, WeightError> {
        let allowed = u16::try_from(weight).ok().filter(|weight| u32::from(*weight) <= WEIGHT_MAX);
        let weight = allowed.and_then(NonZeroU16::new).ok_or(WeightError { given: weight.to_string() })?;
        Ok(Weight(weight))
    }

    /// The weight as a number, at least 1.
    pub fn get(self) -> u32 {
        u32::from(self.0.get())
    }
}

impl Default for Weight {
    fn default() -> Weight {
        Weight::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads decimal digits and nothing else: no sign, no space, no fraction.
impl FromStr for Weight {
    type Err = WeightError;

    fn from_str(text: &str) -> Result<Weight, WeightError> {
        let refused = || WeightError { given: text.chars().take(40).collect() };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        Weight::new(text.parse().map_err(|_| refused())?).map_err(|_| refused())
    }
}

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    id: String,
    weight: Weight,
    zone: Option<String>,
}

/// Why an instance is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InstanceError {
    /// The id is empty or too long.
    #[error("an id of {bytes} bytes: an id has 1 to {ID_BYTES_MAX} bytes")]
    Id {
        /// The length of the refused id.
        bytes: usize,
    },
    /// The zone is given, and empty or too long.
    #[error("a zone of {bytes} bytes: the name of a zone has 1 to {ZONE_BYTES_MAX} bytes, or is left out")]
    Zone {
        /// The length of the refused name.
        bytes: usize,
    },
}

impl Instance {
    /// An instance; `id` is unique in its set and decides, with the weight, which keys it gets.
    /// Refuses ids that are empty or longer than [`ID_BYTES_MAX`], and such zones.
    pub fn new(id: impl Into<String>, weight: Weight, zone: Option<&str>) -> Result<Instance, InstanceError> {
        let id = id.into();
        if !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return Err(InstanceError::Id { bytes: id.len() });
        }
        let zone = zone.map(checked_zone).transpose()?;
        Ok(Instance { id, weight, zone })
    }

    /// What the instance is called in its set.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The instance's share relative to the others'.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// Where the instance is, if that is known.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }
}

/// The name of a zone, if it has an allowed length.
pub(crate) fn checked_zone(zone: &str) -> Result<String, InstanceError> {
    if !(1..=ZONE_BYTES_MAX).contains(&zone.len()) {
        return Err(InstanceError::Zone { bytes: zone.len() });
    }
    Ok(zone.to_owned())
}
