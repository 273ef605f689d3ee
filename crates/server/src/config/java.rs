//! How Java parses numbers, which ZooKeeper's configuration depends on.

use std::str::FromStr;

/// `Integer.decode`, with which ZooKeeper reads 32-bit system properties.
pub(super) fn decode_int(text: &str) -> Option<i32> {
    decode_long(text).and_then(|number| i32::try_from(number).ok())
}

/// `Long.decode`: decimal, hexadecimal with `0x` or `#`, octal with a leading `0`.
pub(super) fn decode_long(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let hexadecimal = ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None => match digits.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => (octal, 8),
            _ => (digits, 10),
        },
    };
    if digits.starts_with(['-', '+']) {
        return None;
    }
    let sign = if text.starts_with('-') { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

/// `Integer.parseInt`: decimal digits, optionally signed.
pub(super) fn parse_int(text: &str) -> Option<i32> {
    i32::from_str(text).ok()
}

/// `Long.parseLong`.
pub(super) fn parse_long(text: &str) -> Option<i64> {
    i64::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each expectation was printed by Java 17.
    #[test]
    fn numbers_are_decoded_as_java_decodes_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("00", Some(0)),
            ("2000", Some(2000)),
            ("+5", Some(5)),
            ("-1", Some(-1)),
            ("0xfffff", Some(0xf_ffff)),
            ("0XA", Some(10)),
            ("#10", Some(16)),
            ("-#10", Some(-16)),
            ("-0x10", Some(-16)),
            ("010", Some(8)),
            ("-010", Some(-8)),
            ("08", None),
            ("0x", None),
            ("#", None),
            ("", None),
            ("-", None),
            ("--1", None),
            ("0x-1", None),
            ("0-1", None),
            ("1.5", None),
            ("1k", None),
            ("4MB", None),
            (" 1", None),
            ("1_000", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("0x8000000000000000", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(decode_long(text), expected, "{text:?}");
        }
        assert_eq!((decode_int("2147483647"), decode_int("2147483648")), (Some(i32::MAX), None));
    }

    #[test]
    fn numbers_are_parsed_as_java_parses_them() {
        for (text, expected) in
            [("0x5A", None), ("#5", None), ("010", Some(10)), ("+5", Some(5)), ("-5", Some(-5)), ("", None)]
        {
            assert_eq!(parse_int(text), expected, "{text:?}");
            assert_eq!(parse_long(text), expected.map(i64::from), "{text:?}");
        }
    }
}
