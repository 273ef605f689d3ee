//! Sets and keys for tests, and how far a count may be from its mean.

use balance::{Choice, Instance, Picker, Settings, Strategy, Weight};
use proptest::strategy::Strategy as _;

/// How many standard deviations a count may be away from its mean. A normal variable is farther
/// away in one case of 500 million, and the seeds are fixed, so a test that passes keeps passing.
pub(crate) const SIGMAS: f64 = 6.0;

pub(crate) fn instance(id: &str, weight: u32) -> Instance {
    Instance::new(id, Weight::new(weight).expect("a weight"), None).expect("an instance")
}

pub(crate) fn instances(weights: &[(&str, u32)]) -> Vec<Instance> {
    weights.iter().map(|(id, weight)| instance(id, *weight)).collect()
}

/// Instances s0, s1 … of equal weight.
pub(crate) fn equal(count: usize) -> Vec<Instance> {
    (0..count).map(|number| instance(&format!("s{number}"), 1)).collect()
}

pub(crate) fn picker(choice: Choice, instances: &[Instance]) -> Picker {
    picker_with(choice, Settings::default(), instances)
}

pub(crate) fn picker_with(choice: Choice, settings: Settings, instances: &[Instance]) -> Picker {
    Picker::new(Strategy::from(choice), settings, instances.to_vec(), 1).expect("a picker")
}

pub(crate) fn keys(count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| format!("key-{number}").into_bytes())
}

/// The owner of each of the first `count` keys.
pub(crate) fn owners(picker: &Picker, count: usize) -> Vec<String> {
    keys(count).map(|key| picker.owner(&key).expect("an owner").id().to_owned()).collect()
}

/// The standard deviation of the number of successes in `trials`, each with probability `p`.
pub(crate) fn binomial_sigma(trials: f64, p: f64) -> f64 {
    (trials * p * (1.0 - p)).sqrt()
}

/// Up to `most` instances with different ids of any length and small weights.
pub(crate) fn some_instances(most: usize) -> impl proptest::strategy::Strategy<Value = Vec<Instance>> {
    proptest::collection::btree_map("[a-d]{1,3}|[a-z0-9]{1,30}", 1_u32..=8, 1..=most)
        .prop_map(|weights| weights.iter().map(|(id, weight)| instance(id, *weight)).collect())
}
