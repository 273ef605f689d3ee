//! Splitting a byte stream into frames.

use proptest::collection::vec;
use proptest::prelude::*;
use wire::frame::{self, Split};

use crate::golden::bytes;

const MAX: usize = 0xF_FFFF;

#[test]
fn a_length_is_validated_before_the_payload_arrives() {
    let cases = [
        ("", Split::Incomplete),
        ("000000", Split::Incomplete),
        ("00000001", Split::Incomplete),
        ("00000000", Split::Frame { start: 4, end: 4 }),
        ("00000001 AA", Split::Frame { start: 4, end: 5 }),
        ("00000001 AA 00000001", Split::Frame { start: 4, end: 5 }),
        ("000FFFFF", Split::Incomplete),
        ("00100000", Split::TooLong(0x10_0000)),
        ("FFFFFFFF", Split::TooLong(-1)),
        ("80000000", Split::TooLong(i32::MIN)),
        ("7FFFFFFF", Split::TooLong(i32::MAX)),
        // "ruok", if the four-letter words were not recognized before.
        ("'ruok'", Split::TooLong(0x7275_6F6B)),
    ];
    for (buf, expected) in cases {
        assert_eq!(frame::split(&bytes(buf), MAX), expected, "{buf}");
    }
}

proptest! {
    #[test]
    fn frames_round_trip(payloads in vec(vec(any::<u8>(), 0..50), 0..10), before in vec(any::<u8>(), 0..9)) {
        let mut out = before.clone();
        for payload in &payloads {
            let mark = frame::begin(&mut out);
            out.extend_from_slice(payload);
            frame::finish(&mut out, mark);
        }
        prop_assert_eq!(&out[..before.len()], &before[..]);
        let mut rest = &out[before.len()..];
        for payload in &payloads {
            let Split::Frame { start, end } = frame::split(rest, 50) else { panic!("a frame") };
            prop_assert_eq!(&rest[start..end], &payload[..]);
            for cut in 0..end {
                prop_assert_eq!(frame::split(&rest[..cut], 50), Split::Incomplete);
            }
            rest = &rest[end..];
        }
        prop_assert_eq!(frame::split(rest, 50), Split::Incomplete);
    }
}
