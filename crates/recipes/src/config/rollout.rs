//! A candidate that only a share of the subscribers sees.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::change::Difference;
use super::error::Error;

/// Steps of a share: a hundredth of a percent.
const STEPS: u64 = 10_000;

/// A rollout that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its id, which also decides who is among the first.
    pub id: String,
    /// The share of the subscribers that see the candidate, in percent with two decimals.
    pub percent: f64,
    /// What the candidate changes.
    pub changes: BTreeMap<String, Difference>,
}

impl Rollout {
    /// Whether the subscriber sees the candidate. A higher share takes others in and leaves nobody
    /// out. The function never changes, so that versions of this library agree.
    pub fn includes(&self, subscriber: &str) -> bool {
        place(&self.id, subscriber) < (self.percent * 100.0).round() as u64
    }
}

/// The place of a subscriber in a rollout, evenly spread from 0 to 9999.
fn place(rollout: &str, subscriber: &str) -> u64 {
    // FNV-1a, and a finalizer because its high bits mix badly.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in rollout.bytes().chain([0]).chain(subscriber.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^= hash >> 33;
    ((u128::from(hash) * u128::from(STEPS)) >> 64) as u64
}

pub(super) fn check_percent(percent: f64) -> Result<(), Error> {
    if (0.0..=100.0).contains(&percent) {
        return Ok(());
    }
    Err(Error::argument("percent", "a number from 0 to 100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(id: &str, percent: f64) -> Rollout {
        Rollout { id: id.to_owned(), percent, changes: BTreeMap::new() }
    }

    /// Other versions, and programs in other languages, have to decide alike.
    #[test]
    fn places_are_frozen() {
        let places = [("r", "a"), ("r", "b"), ("s", "a"), ("", "")].map(|(id, who)| place(id, who));
        assert_eq!(places, [1716, 2097, 9764, 7227]);
    }

    /// The number included is binomial: with 20,000 subscribers its standard deviation is at most
    /// 71, so 5 of them are 354, which a good hash exceeds once in 1.7 million.
    #[test]
    fn the_share_is_what_was_asked_for() {
        for (id, percent) in [("one", 1.0), ("two", 12.5), ("three", 50.0), ("four", 99.0)] {
            let rollout = rollout(id, percent);
            let included = (0..20_000).filter(|n| rollout.includes(&format!("host-{n}"))).count() as f64;
            let expected = 20_000.0 * percent / 100.0;
            let deviation = (20_000.0 * percent / 100.0 * (1.0 - percent / 100.0)).sqrt();
            assert!((included - expected).abs() <= 5.0 * deviation, "{percent}: {included}");
        }
    }

    #[test]
    fn a_higher_share_leaves_nobody_out_and_rollouts_begin_with_others() {
        let hosts: Vec<String> = (0..1_000).map(|n| format!("host-{n}")).collect();
        let first = |id: &str, percent| -> Vec<&String> {
            let rollout = rollout(id, percent);
            hosts.iter().filter(|host| rollout.includes(host)).collect()
        };
        let (few, many) = (first("one", 5.0), first("one", 20.0));
        assert!(!few.is_empty() && few.iter().all(|host| many.contains(host)));
        assert_ne!(few, first("two", 5.0));
        assert!(first("one", 0.0).is_empty());
        assert_eq!(first("one", 100.0).len(), hosts.len());
    }
}
