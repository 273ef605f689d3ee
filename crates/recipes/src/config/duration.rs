//! Durations as text: `250ms`, `1h30m`.

use std::time::Duration;

/// What a duration may be.
pub(super) const ALLOWED: &str =
    "a duration: numbers with the units ms, s, m, h or d, such as 250ms or 1h30m";

const UNITS_MS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration: whole numbers, each with its unit, the largest unit first and each unit once.
/// `None` for anything else, and for more than 2^64 ms.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(recipes::config::parse_duration("1m500ms"), Some(Duration::from_millis(60_500)));
/// assert_eq!(recipes::config::parse_duration("1"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut sum_ms, mut smaller_than) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let (digits, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, behind) =
            behind.split_at(behind.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(behind.len()));
        let (_, unit_ms) = UNITS_MS.iter().find(|(name, _)| *name == unit)?;
        if *unit_ms >= smaller_than {
            return None;
        }
        let part_ms = digits.parse::<u64>().ok()?.checked_mul(*unit_ms)?;
        sum_ms = sum_ms.checked_add(part_ms)?;
        (rest, smaller_than) = (behind, *unit_ms);
    }
    (!text.is_empty()).then(|| Duration::from_millis(sum_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units() {
        for (text, expected_ms) in [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("1h30m", Some(5_400_000)),
            ("1d2h3m4s5ms", Some(93_784_005)),
            ("", None),
            ("5", None),
            ("s", None),
            ("1s1m", None),
            ("1s1s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("1S", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(parse_duration(text), expected_ms.map(Duration::from_millis), "{text:?}");
        }
    }
}
