//! How much each instance gets, against its share of the weights.

use std::collections::BTreeMap;

use balance::{Choice, Instance, Pick, Picker};

use crate::common::{SIGMAS, binomial_sigma, equal, instances, keys, owners, picker};

fn total(set: &[Instance]) -> f64 {
    set.iter().map(|instance| f64::from(instance.weight().get())).sum()
}

fn counted(ids: impl IntoIterator<Item = String>) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    ids.into_iter().for_each(|id| *counts.entry(id).or_default() += 1.0);
    counts
}

/// Whether each instance has its share of `trials`, where `variance` says how the shares themselves
/// vary, from the share of an instance.
fn assert_shares(
    counts: &BTreeMap<String, f64>,
    set: &[Instance],
    trials: f64,
    variance: impl Fn(f64) -> f64,
) {
    for instance in set {
        let share = f64::from(instance.weight().get()) / total(set);
        let count = counts.get(instance.id()).copied().unwrap_or_default();
        let sigma = (variance(share) * trials * trials + binomial_sigma(trials, share).powi(2)).sqrt();
        let away = (count - trials * share).abs() / sigma;
        assert!(away < SIGMAS, "{} has {count} of {trials}, {away:.1} sigmas away", instance.id());
    }
}

fn weighted_set() -> Vec<Instance> {
    instances(&[("a", 1), ("b", 2), ("c", 3), ("d", 10), ("e", 1), ("f", 40)])
}

#[test]
fn each_scheme_gives_keys_in_proportion_to_weights() {
    let trials = 40_000;
    for set in [weighted_set(), equal(50)] {
        let points = 160.0 * total(&set);
        for choice in [Choice::Ring, Choice::Rendezvous, Choice::Maglev, Choice::Jump] {
            let counts = counted(owners(&picker(choice, &set), trials));
            assert_shares(&counts, &set, trials as f64, |share| match choice {
                // A beta distribution: the instance's points among all points.
                Choice::Ring => share * (1.0 - share) / (points + 1.0),
                // Filling ends in the middle of a round, at most one slot for each instance away.
                Choice::Maglev => (set.len() as f64 / 65_537.0).powi(2),
                _ => 0.0,
            });
        }
    }
}

#[test]
fn random_picks_are_in_proportion_to_weights() {
    let trials = 40_000;
    let set = weighted_set();
    let picker = picker(Choice::Random, &set);
    let ids = (0..trials).map(|_| picker.pick(b"").expect("a pick").instance().id().to_owned());
    assert_shares(&counted(ids), &set, f64::from(trials), |_| 0.0);
}

#[test]
fn of_two_idle_instances_that_are_drawn_the_heavier_is_picked() {
    let set = instances(&[("a", 1), ("b", 1), ("c", 2)]);
    let picker = picker(Choice::TwoChoices, &set);
    let trials = 20_000;
    let ids = (0..trials).map(|_| picker.pick(b"").expect("a pick").instance().id().to_owned());
    let counts = counted(ids);
    // c is drawn first in half of the cases, and second behind a or b in two of three of the
    // others.
    let probability = 1.0 / 2.0 + 1.0 / 2.0 * (2.0 / 3.0);
    let trials = f64::from(trials);
    let sigma = binomial_sigma(trials, probability);
    assert!((counts["c"] - trials * probability).abs() < SIGMAS * sigma, "{counts:?}");
}

fn gap(picker: &Picker, requests: usize, instances: usize) -> f64 {
    let held: Vec<Pick> = keys(requests).map(|key| picker.pick(&key).expect("a pick")).collect();
    let most = picker.instances().map(|(_, outstanding)| outstanding).max().expect("an instance");
    assert_eq!(held.len(), requests);
    most as f64 - requests as f64 / instances as f64
}

#[test]
fn two_choices_keep_the_busiest_near_the_mean_and_random_does_not() {
    let (requests, count) = (20_000, 100);
    let set = equal(count);
    // Berenbrink et al. (2000): ln ln n / ln 2 + O(1) above the mean, however many requests.
    let bound = (count as f64).ln().ln() / 2.0_f64.ln() + 3.0;
    let two = gap(&picker(Choice::TwoChoices, &set), requests, count);
    assert!(two <= bound, "{two} above the mean");
    // Raab and Steger (1998): about sqrt(2 m ln n / n) above the mean.
    let mean = requests as f64 / count as f64;
    let expected = (2.0 * mean * (count as f64).ln()).sqrt();
    let one = gap(&picker(Choice::Random, &set), requests, count);
    assert!(one > expected / 2.0, "{one} above the mean, about {expected} are expected");
    assert_eq!(gap(&picker(Choice::LeastLoaded, &set), requests, count), 0.0);
}
