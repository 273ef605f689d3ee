//! What the strategies can be told beside the instances.

use std::ops::RangeInclusive;

use thiserror::Error;

use crate::instance::{InstanceError, checked_zone};

/// The most points of a ring for one unit of weight.
pub const POINTS_PER_WEIGHT_MAX: u32 = 10_000;

/// The allowed load factors in percent. At 100 there would be no room to spill into.
pub const LOAD_FACTOR_PERCENT: RangeInclusive<u32> = 101..=1_000;

/// The largest Maglev table in slots: 8 MiB.
pub const MAGLEV_SLOTS_MAX: u32 = 2 << 20;

/// The settings of all strategies; each uses those that concern it. Clients that are to agree on
/// where a key belongs need the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    points_per_weight: u32,
    load_factor_percent: u32,
    maglev_slots: u32,
    zone: Option<String>,
}

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// No points, or too many.
    #[error("{0} points for each unit of weight: allowed are 1 to {POINTS_PER_WEIGHT_MAX}")]
    PointsPerWeight(u32),
    /// A load factor outside of [`LOAD_FACTOR_PERCENT`].
    #[error(
        "a load factor of {0} percent: allowed are {min} to {max}",
        min = LOAD_FACTOR_PERCENT.start(),
        max = LOAD_FACTOR_PERCENT.end()
    )]
    LoadFactor(u32),
    /// Not a prime, or too large.
    #[error("a Maglev table of {0} slots: allowed are prime numbers from 2 to {MAGLEV_SLOTS_MAX}")]
    MaglevSlots(u32),
    /// Not the name of a zone.
    #[error(transparent)]
    Zone(InstanceError),
}

impl Default for Settings {
    /// 160 points for each unit of weight, a load factor of 125 percent, a Maglev table of 65,537
    /// slots, and no zone.
    fn default() -> Settings {
        Settings { points_per_weight: 160, load_factor_percent: 125, maglev_slots: 65_537, zone: None }
    }
}

impl Settings {
    /// The points of a ring for each unit of weight: 1 to [`POINTS_PER_WEIGHT_MAX`].
    pub fn with_points_per_weight(self, points: u32) -> Result<Settings, SettingsError> {
        if !(1..=POINTS_PER_WEIGHT_MAX).contains(&points) {
            return Err(SettingsError::PointsPerWeight(points));
        }
        Ok(Settings { points_per_weight: points, ..self })
    }

    /// With bounded load, the most that an instance may have of its fair share of the outstanding
    /// requests, in percent.
    pub fn with_load_factor_percent(self, percent: u32) -> Result<Settings, SettingsError> {
        if !LOAD_FACTOR_PERCENT.contains(&percent) {
            return Err(SettingsError::LoadFactor(percent));
        }
        Ok(Settings { load_factor_percent: percent, ..self })
    }

    /// The slots of a Maglev table: a prime number up to [`MAGLEV_SLOTS_MAX`], and at least the
    /// number of instances. With a hundred slots for each instance the shares differ by at most one
    /// percent.
    pub fn with_maglev_slots(self, slots: u32) -> Result<Settings, SettingsError> {
        if slots > MAGLEV_SLOTS_MAX || !is_prime(slots) {
            return Err(SettingsError::MaglevSlots(slots));
        }
        Ok(Settings { maglev_slots: slots, ..self })
    }

    /// The zone of the caller, for strategies with `zone-first`.
    pub fn with_zone(self, zone: &str) -> Result<Settings, SettingsError> {
        let zone = Some(checked_zone(zone).map_err(SettingsError::Zone)?);
        Ok(Settings { zone, ..self })
    }

    pub(crate) fn points_per_weight(&self) -> u32 {
        self.points_per_weight
    }

    pub(crate) fn load_factor_percent(&self) -> u32 {
        self.load_factor_percent
    }

    pub(crate) fn maglev_slots(&self) -> u32 {
        self.maglev_slots
    }

    pub(crate) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }
}

fn is_prime(number: u32) -> bool {
    number >= 2 && (2..).take_while(|d| d * d <= number).all(|divisor| !number.is_multiple_of(divisor))
}
