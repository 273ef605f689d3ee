//! The strategies that use no keys.

use std::collections::BTreeMap;

use balance::{Choice, Instance, Pick, Picker, Settings, Strategy, Weight};
use proptest::prelude::*;

use crate::common::{equal, instance, instances, picker, some_instances};

fn picked(picker: &Picker, count: usize) -> Vec<String> {
    (0..count).map(|_| picker.pick(b"").expect("a pick").instance().id().to_owned()).collect()
}

fn counts(ids: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    ids.iter().for_each(|id| *counts.entry(id.as_str()).or_default() += 1);
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn smooth_round_robin_gives_exactly_the_weights_in_every_period(set in some_instances(8)) {
        let expected: BTreeMap<&str, usize> =
            set.iter().map(|instance| (instance.id(), instance.weight().get() as usize)).collect();
        let period = expected.values().sum();
        let ids = picked(&picker(Choice::Weighted, &set), 3 * period);
        for window in ids.windows(period) {
            prop_assert_eq!(&counts(window), &expected);
        }
    }

    #[test]
    fn round_robin_goes_around_without_regard_to_weights(set in some_instances(8)) {
        let ids = picked(&picker(Choice::RoundRobin, &set), 4 * set.len());
        for window in ids.windows(set.len()) {
            prop_assert!(counts(window).values().all(|count| *count == 1), "{window:?}");
        }
    }

    #[test]
    fn least_loaded_picks_a_minimum(
        set in some_instances(8),
        steps in proptest::collection::vec(any::<(u8, bool)>(), 1..80),
    ) {
        let picker = picker(Choice::LeastLoaded, &set);
        let mut held: Vec<Pick> = Vec::new();
        for (number, is_release) in steps {
            if is_release && !held.is_empty() {
                drop(held.swap_remove(usize::from(number) % held.len()));
                continue;
            }
            // As fractions with the denominator 840, which all weights up to 8 divide.
            let load = |instance: &Instance, outstanding: u64| {
                (outstanding + 1) * (840 / u64::from(instance.weight().get()))
            };
            let least = picker.instances().map(|(instance, count)| load(instance, count)).min();
            let pick = picker.pick(b"").expect("a pick");
            let chosen = load(pick.instance(), pick.outstanding() - 1);
            prop_assert_eq!(Some(chosen), least);
            held.push(pick);
        }
    }

    #[test]
    fn two_choices_never_pick_the_one_instance_that_is_busier_than_all_others(
        count in 2_usize..8,
        busiest in any::<prop::sample::Index>(),
    ) {
        let set = equal(count);
        let picker = picker(Choice::TwoChoices, &set);
        let busiest = busiest.index(count);
        // Requests at others are over at once.
        let held = loop {
            let pick = picker.pick(b"").expect("a pick");
            if pick.instance().id() == set[busiest].id() {
                break pick;
            }
        };
        let ids = picked(&picker, 200);
        prop_assert!(!ids.iter().any(|id| id == held.instance().id()), "{ids:?}");
    }
}

#[test]
fn smooth_round_robin_has_the_order_of_nginx() {
    let set = instances(&[("a", 5), ("b", 1), ("c", 1)]);
    let ids = picked(&picker(Choice::Weighted, &set), 14).concat();
    // Where it begins is random.
    let begin = ids.find("aabacaa").expect("the published order");
    assert_eq!(ids, "aabacaa".repeat(3)[7 - begin..][..14]);
}

#[test]
fn instances_that_are_equally_loaded_take_turns() {
    let ids = picked(&picker(Choice::LeastLoaded, &equal(5)), 10);
    assert!(counts(&ids).values().all(|count| *count == 2), "{ids:?}");
}

#[test]
fn round_robin_continues_where_it_was_when_the_set_changes() {
    let set = instances(&[("a", 1), ("c", 1), ("e", 1)]);
    for (change, expected) in [
        (vec!["a", "b", "c", "d", "e"], ["c", "d", "e", "a"]),
        (vec!["a", "e"], ["e", "a", "e", "a"]),
        (vec!["a"], ["a", "a", "a", "a"]),
    ] {
        let first = picker(Choice::RoundRobin, &set);
        while picked(&first, 1) != ["a"] {}
        let changed: Vec<Instance> = change.iter().map(|id| instance(id, 1)).collect();
        let second = first.updated(changed).expect("a picker");
        assert_eq!(picked(&second, 4), expected, "{change:?}");
    }
}

#[test]
fn clients_with_different_seeds_begin_at_different_instances() {
    for choice in [Choice::RoundRobin, Choice::Weighted, Choice::LeastLoaded] {
        let first = |seed| {
            let picker = Picker::new(choice.into(), Settings::default(), equal(10), seed).expect("a picker");
            picked(&picker, 1)
        };
        let firsts: std::collections::BTreeSet<_> = (0..40).map(first).collect();
        assert!(firsts.len() > 5, "{choice}: {firsts:?}");
        assert_eq!(first(3), first(3), "{choice}");
    }
}

fn zoned(id: &str, zone: Option<&str>) -> Instance {
    Instance::new(id, Weight::ONE, zone).expect("an instance")
}

#[test]
fn zone_first_stays_in_the_zone_while_it_has_instances() {
    let all = ["a", "b", "c", "d"];
    let near =
        [zoned("a", Some("north")), zoned("b", Some("south")), zoned("c", None), zoned("d", Some("north"))];
    let far = near[1..3].to_vec();
    for choice in Choice::all() {
        let strategy = Strategy { choice, zone_first: true };
        let settings = Settings::default().with_zone("north").expect("a zone");
        let picker = Picker::new(strategy, settings, near.to_vec(), 1).expect("a picker");
        let seen = |picker: &Picker| {
            let picks = (0..200_u8).map(|key| picker.pick(&[key]).expect("a pick"));
            let ids = picks.map(|pick| pick.instance().id().to_owned());
            ids.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(seen(&picker), ["a", "d"].map(str::to_owned).into(), "{strategy}");
        let without = picker.updated(far.clone()).expect("a picker");
        assert_eq!(seen(&without), ["b", "c"].map(str::to_owned).into(), "{strategy}");
        let again = without.updated(near.to_vec()).expect("a picker");
        assert_eq!(seen(&again), ["a", "d"].map(str::to_owned).into(), "{strategy}");
        assert_eq!(again.instances().map(|(instance, _)| instance.id()).collect::<Vec<_>>(), all);
    }
}
