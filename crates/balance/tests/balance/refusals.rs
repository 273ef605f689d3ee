//! What makes no sense is refused, and the message says what is allowed.

use balance::{Choice, Instance, Picker, Settings, Strategy, Weight};

use crate::common::{equal, instance};

fn refused<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.err().expect("it was allowed").to_string()
}

#[test]
fn weights_are_whole_numbers_from_1_to_256() {
    for text in ["", "0", "-1", "+1", "1.5", "257", "many", " 1", "99999999999999999999"] {
        let message = refused(text.parse::<Weight>());
        assert_eq!(message, format!("{text:?} is not a weight: a weight is a whole number from 1 to 256"));
    }
    assert!(refused(Weight::new(0)).contains("from 1 to 256"));
    assert!(refused(Weight::new(1 << 16 | 1)).contains("from 1 to 256"));
    assert_eq!("256".parse::<Weight>().expect("a weight").get(), 256);
    assert_eq!(Weight::default().get(), 1);
}

#[test]
fn ids_and_zones_have_a_length() {
    assert_eq!(refused(Instance::new("", Weight::ONE, None)), "an id of 0 bytes: an id has 1 to 1024 bytes");
    assert!(refused(Instance::new("x".repeat(1025), Weight::ONE, None)).starts_with("an id of 1025 bytes"));
    assert!(refused(Instance::new("a", Weight::ONE, Some(""))).contains("1 to 256 bytes"));
    assert!(refused(Settings::default().with_zone(&"x".repeat(257))).contains("1 to 256 bytes"));
    assert!(Instance::new("x".repeat(1024), Weight::ONE, Some(&"y".repeat(256))).is_ok());
}

#[test]
fn ids_are_unique_and_their_number_is_limited() {
    let new = |instances| Picker::new(Choice::Random.into(), Settings::default(), instances, 1);
    let twice = vec![instance("a", 1), instance("b", 1), instance("a", 2)];
    assert!(refused(new(twice)).contains("two instances have the id \"a\""));
    assert!(refused(new(equal(10_001))).contains("at most 10000"));
    assert!(new(equal(10_000)).is_ok());
}

#[test]
fn settings_have_a_range() {
    let settings = Settings::default;
    for points in [0, 10_001] {
        assert!(refused(settings().with_points_per_weight(points)).contains("1 to 10000"));
    }
    for percent in [0, 100, 1_001] {
        assert!(refused(settings().with_load_factor_percent(percent)).contains("101 to 1000"));
    }
    for slots in [0, 1, 4, 65_536, 251 * 251, 2_097_169] {
        assert!(refused(settings().with_maglev_slots(slots)).contains("prime numbers from 2 to 2097152"));
    }
    assert!(settings().with_maglev_slots(2).is_ok());
    assert!(settings().with_maglev_slots(2_097_143).is_ok());
}

#[test]
fn tables_have_limits() {
    let new = |choice: Choice, settings, set| Picker::new(choice.into(), settings, set, 1);
    let dense = Settings::default().with_points_per_weight(10_000).expect("allowed");
    let message = refused(new(Choice::Ring, dense.clone(), vec![instance("a", 256), instance("b", 256)]));
    assert!(message.contains("5120000 points: at most 4194304"), "{message}");
    assert!(new(Choice::RingBounded, dense, vec![instance("a", 256)]).is_ok());
    let small = Settings::default().with_maglev_slots(7).expect("allowed");
    assert!(
        refused(new(Choice::Maglev, small.clone(), equal(8))).contains("8 instances in a Maglev table of 7")
    );
    assert!(new(Choice::Maglev, small, equal(7)).is_ok());
}

#[test]
fn zone_first_needs_a_zone() {
    let strategy: Strategy = "zone-first:ring".parse().expect("a strategy");
    let message = refused(Picker::new(strategy, Settings::default(), equal(2), 1));
    assert!(message.contains("zone-first:ring needs the zone of the caller"), "{message}");
}

#[test]
fn names_of_strategies_are_read_as_they_are_written() {
    for choice in Choice::all() {
        for zone_first in [false, true] {
            let strategy = Strategy { choice, zone_first };
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
    }
    let short: Strategy = "zone-first".parse().expect("a strategy");
    assert_eq!(short, Strategy { choice: Choice::RoundRobin, zone_first: true });
    for text in ["", "roundrobin", "Ring", "ring ", "zone-first:", "zone-first:zone-first", "zone-firstring"]
    {
        let message = refused(text.parse::<Strategy>());
        assert!(message.starts_with(&format!("{text:?} is not a strategy: allowed are round-robin, ")));
        assert!(Choice::all().all(|choice| message.contains(&choice.to_string())), "{message}");
        assert!(message.contains("zone-first"), "{message}");
    }
}

#[test]
fn an_empty_set_gives_nothing() {
    for choice in Choice::all() {
        let empty = Picker::new(choice.into(), Settings::default(), vec![], 1).expect("a picker");
        assert!(empty.pick(b"key").is_none(), "{choice}");
        assert!(empty.owner(b"key").is_none(), "{choice}");
        let one = empty.updated(equal(1)).expect("a picker");
        assert_eq!(one.pick(b"key").expect("a pick").instance().id(), "s0", "{choice}");
        assert_eq!(one.owner(b"key").is_some(), choice.uses_key(), "{choice}");
    }
}
