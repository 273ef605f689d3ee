//! Where keys belong never changes. The expected values come from a program in another language,
//! `testdata/placements.py`, and were written down once.

use balance::{Choice, hash};

use crate::common;

const PLACEMENTS: &str = include_str!("../../testdata/placements.txt");

/// The lines that begin with `word`, without it.
fn lines(word: &str) -> Vec<(&'static str, &'static str)> {
    let fields = |line: &'static str| line.strip_prefix(word)?.strip_prefix(' ')?.split_once(' ');
    PLACEMENTS.lines().filter_map(fields).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn hashes_of_keys_are_frozen() {
    let expected = lines("hash");
    assert_eq!(expected.len(), 40);
    for (key, expected) in expected {
        assert_eq!(format!("{:016x}", hash::key(&bytes(key))), expected, "key {key}");
    }
}

#[test]
fn the_owners_of_keys_are_frozen() {
    let weights: Vec<_> =
        lines("instance").iter().map(|(id, w)| (*id, w.parse().expect("a weight"))).collect();
    let mut instances = common::instances(&weights);
    // The order in which a client learns of instances must not matter.
    instances.reverse();
    for choice in [Choice::Ring, Choice::Rendezvous, Choice::Maglev, Choice::Jump] {
        let expected = lines(&choice.to_string());
        assert_eq!(expected.len(), 40, "{choice}");
        let picker = common::picker(choice, &instances);
        for (key, expected) in expected {
            assert_eq!(picker.owner(&bytes(key)).expect("an owner").id(), expected, "{choice} {key}");
        }
    }
}

#[test]
fn the_hashes_of_instances_and_points_are_frozen() {
    assert_eq!(hash::instance("s11"), 0x3dfb_5853_2ced_3d16);
    assert_eq!(hash::key_at_instance(1, 2), 0x0dc8_b456_84f6_1ed8);
    assert_eq!(
        hash::points("s11").take(3).collect::<Vec<_>>(),
        [0xdf4e_fea7_baf4_3126, 0x0799_d83e_2baf_2337, 0x1436_5ba6_997b_665a]
    );
    assert_eq!(hash::maglev("s11"), (0xa88b_649e_7afd_26ef, 0x0e13_59dd_6396_a77d));
}
