//! Which keys move when the set changes.

use balance::{Choice, Instance};
use proptest::prelude::*;

use crate::common::{self, SIGMAS, binomial_sigma, equal, instance, owners, picker, some_instances};

/// The owners before and after, of each key that moved.
fn moved(choice: Choice, before: &[Instance], after: &[Instance], keys: usize) -> Vec<(String, String)> {
    let pairs = owners(&picker(choice, before), keys).into_iter().zip(owners(&picker(choice, after), keys));
    pairs.filter(|(from, to)| from != to).collect()
}

/// The same set where the instance at `at` has the weight.
fn reweighted(set: &[Instance], at: usize, weight: u32) -> Vec<Instance> {
    let mut set = set.to_vec();
    set[at] = instance(set[at].id(), weight);
    set
}

fn without(set: &[Instance], at: usize) -> Vec<Instance> {
    let mut set = set.to_vec();
    set.remove(at);
    set
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn keys_move_only_to_an_instance_that_comes_and_from_one_that_goes(
        set in some_instances(12).prop_filter("one can go", |set| set.len() > 1),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(set.len());
        let fewer = without(&set, at);
        for choice in [Choice::Ring, Choice::Rendezvous] {
            let came = moved(choice, &fewer, &set, 300);
            prop_assert!(came.iter().all(|(_, to)| to == set[at].id()), "{choice}: {came:?}");
            let went = moved(choice, &set, &fewer, 300);
            prop_assert!(went.iter().all(|(from, _)| from == set[at].id()), "{choice}: {went:?}");
        }
    }

    #[test]
    fn keys_move_only_to_an_instance_that_gets_heavier_and_from_one_that_gets_lighter(
        set in some_instances(12),
        at in any::<prop::sample::Index>(),
        weights in (1_u32..8, 1_u32..8),
    ) {
        let at = at.index(set.len());
        let light = reweighted(&set, at, weights.0);
        let heavy = reweighted(&set, at, weights.0 + weights.1);
        for choice in [Choice::Ring, Choice::Rendezvous] {
            let up = moved(choice, &light, &heavy, 300);
            prop_assert!(up.iter().all(|(_, to)| to == set[at].id()), "{choice}: {up:?}");
            let down = moved(choice, &heavy, &light, 300);
            prop_assert!(down.iter().all(|(from, _)| from == set[at].id()), "{choice}: {down:?}");
        }
    }

    #[test]
    fn jump_moves_keys_only_to_and_from_the_last_instance(
        set in some_instances(12).prop_filter("one can go", |set| set.len() > 1),
    ) {
        // The sets of this strategy are in the order of ids.
        let last = set.len() - 1;
        let came = moved(Choice::Jump, &without(&set, last), &set, 300);
        prop_assert!(came.iter().all(|(_, to)| to == set[last].id()), "{came:?}");
    }

    #[test]
    fn the_order_in_which_instances_are_given_does_not_matter(
        (set, shuffled) in some_instances(12).prop_flat_map(|set| (Just(set.clone()), Just(set).prop_shuffle())),
    ) {
        for choice in Choice::all().filter(|choice| choice.uses_key()) {
            prop_assert!(moved(choice, &set, &shuffled, 100).is_empty(), "{choice}");
        }
    }
}

#[test]
fn the_share_of_keys_that_move_to_a_new_instance_is_its_share_of_the_weights() {
    let (count, keys) = (20, 40_000);
    let before = equal(count);
    // Behind all others, for jump.
    let after = [before.clone(), vec![instance("t", 1)]].concat();
    let share = 1.0 / (count + 1) as f64;
    let points = 160.0 * (count + 1) as f64;
    // The share of a ring's instance has a beta distribution, because its points are independent.
    let ring_variance = share * (1.0 - share) / (points + 1.0);
    let variances = [(Choice::Ring, ring_variance), (Choice::Rendezvous, 0.0), (Choice::Jump, 0.0)];
    for (choice, variance) in variances {
        let moves = moved(choice, &before, &after, keys).len() as f64;
        let keys = keys as f64;
        let sigma = (variance * keys * keys + binomial_sigma(keys, share).powi(2)).sqrt();
        assert!((moves - keys * share).abs() < SIGMAS * sigma, "{choice}: {moves} of {keys}");
    }
}

#[test]
fn maglev_moves_few_keys_between_instances_that_stay() {
    let keys = 40_000;
    for count in [5, 20, 80] {
        let (before, after) = (equal(count), equal(count + 1));
        let new = format!("s{count}");
        let moves = moved(Choice::Maglev, &before, &after, keys);
        let needless = moves.iter().filter(|(_, to)| *to != new).count();
        // There is no proven limit. The table has hundreds of slots for each instance, and then
        // fewer keys move needlessly than have to move.
        let needed = keys / (count + 1);
        assert!(needless > 0, "with {count} instances Maglev moved as few keys as a ring does");
        assert!(needless < needed, "{needless} of {keys} keys moved needlessly, {needed} had to");
    }
}

#[test]
fn a_change_and_its_reversal_leave_every_key_where_it_was() {
    let set = common::instances(&[("a", 2), ("b", 1), ("c", 5)]);
    for choice in Choice::all().filter(|choice| choice.uses_key()) {
        let first = picker(choice, &set);
        let changed = first.updated(equal(7)).expect("a picker");
        let back = changed.updated(set.clone()).expect("a picker");
        assert_eq!(owners(&first, 500), owners(&back, 500), "{choice}");
    }
}
