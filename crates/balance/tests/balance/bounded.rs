//! Consistent hashing with bounded loads.

use balance::{Choice, Instance, Pick, Picker, Settings, hash};
use proptest::prelude::*;

use crate::common::{instances, keys, picker_with, some_instances};

const BOUNDED: [Choice; 2] = [Choice::RingBounded, Choice::RendezvousBounded];

fn percent(percent: u32) -> Settings {
    Settings::default().with_load_factor_percent(percent).expect("allowed")
}

/// ⌈percent / 100 · requests · weight / sum of weights⌉.
fn capacity(set: &[Instance], instance: &Instance, percent: u32, requests: u64) -> u64 {
    let weights: u64 = set.iter().map(|instance| u64::from(instance.weight().get())).sum();
    (u64::from(percent) * requests * u64::from(instance.weight().get())).div_ceil(100 * weights)
}

fn outstanding(picker: &Picker) -> u64 {
    picker.instances().map(|(_, outstanding)| outstanding).sum()
}

/// The ids in the order in which a key prefers them, straight from the rules in `hash`.
fn preferences(choice: Choice, set: &[Instance], key: &[u8]) -> Vec<String> {
    let key = hash::key(key);
    let mut ranked: Vec<(f64, &str)> = Vec::new();
    for instance in set {
        let weight = instance.weight().get();
        let cost = if choice == Choice::RingBounded {
            let points = hash::points(instance.id()).take(160 * weight as usize);
            points.map(|point| point.wrapping_sub(key)).min().expect("points") as f64
        } else {
            let rank = hash::key_at_instance(key, hash::instance(instance.id()));
            -(((rank >> 11) + 1) as f64 / (1_u64 << 53) as f64).ln() / f64::from(weight)
        };
        ranked.push((cost, instance.id()));
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.into_iter().map(|(_, id)| id.to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_instance_has_more_than_its_bounded_share(
        set in some_instances(12),
        factor in 101_u32..=300,
        requests in 1_usize..120,
        same_key in any::<bool>(),
    ) {
        for choice in BOUNDED {
            let picker = picker_with(choice, percent(factor), &set);
            let mut held: Vec<Pick> = Vec::new();
            for key in keys(requests) {
                let key = if same_key { b"hot".to_vec() } else { key };
                held.push(picker.pick(&key).expect("a pick"));
                for (instance, outstanding) in picker.instances() {
                    let most = capacity(&set, instance, factor, held.len() as u64);
                    prop_assert!(outstanding <= most, "{choice}: {} has {outstanding}, {most} allowed", instance.id());
                }
            }
        }
    }

    #[test]
    fn a_request_goes_to_the_first_instance_in_its_order_that_has_room(
        set in some_instances(6),
        factor in 101_u32..=300,
        steps in proptest::collection::vec((any::<u8>(), any::<bool>()), 1..60),
    ) {
        for choice in BOUNDED {
            let picker = picker_with(choice, percent(factor), &set);
            let mut held: Vec<Pick> = Vec::new();
            for (number, is_release) in &steps {
                if *is_release && !held.is_empty() {
                    drop(held.swap_remove(usize::from(*number) % held.len()));
                    continue;
                }
                let key = [number % 16];
                let requests = outstanding(&picker) + 1;
                let with_room = |id: &&String| {
                    picker.instances().any(|(instance, outstanding)| {
                        instance.id() == *id && outstanding < capacity(&set, instance, factor, requests)
                    })
                };
                let preferred = preferences(choice, &set, &key);
                let expected = preferred.iter().find(with_room).expect("one has room");
                let pick = picker.pick(&key).expect("a pick");
                prop_assert_eq!(pick.instance().id(), expected);
                held.push(pick);
            }
        }
    }
}

#[test]
fn a_hot_key_fills_its_owner_up_to_the_bound_and_then_the_next() {
    let set = instances(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
    for choice in BOUNDED {
        let picker = picker_with(choice, percent(125), &set);
        let held: Vec<Pick> = (0..100).map(|_| picker.pick(b"hot").expect("a pick")).collect();
        let preferred = preferences(choice, &set, b"hot");
        let count = |id: &str| held.iter().filter(|pick| pick.instance().id() == id).count();
        // 125 percent of a mean of 25 are 31.25, of which a whole request may be begun.
        assert_eq!(count(&preferred[0]), 32, "{choice}");
        assert!(count(&preferred[1]) > count(&preferred[3]), "{choice}");
        drop(held);
        assert_eq!(picker.pick(b"hot").expect("a pick").instance().id(), preferred[0], "{choice}");
    }
}
