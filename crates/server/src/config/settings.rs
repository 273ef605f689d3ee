//! The settings as they were written, and reading them one by one as typed values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::keys::{self, Support};
use super::problem::{Problem, Warning};

/// A value and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) place: String,
}

/// All settings of known keys, and what was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<String, Setting>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    /// Names asked for: tests compare them with the keys that are said to be used.
    #[cfg(test)]
    pub(super) asked: std::cell::RefCell<std::collections::BTreeSet<&'static str>>,
}

impl Settings {
    /// Takes in one setting; a later one of the same key replaces an earlier one. What is unknown or without effect becomes a warning, what
    /// is refused a problem.
    pub(super) fn put(&mut self, written: &str, value: &str, place: &str) {
        let alias = keys::ALIASES.iter().find(|(alias, _)| *alias == written);
        let name = alias.map_or(written, |(_, name)| *name);
        match keys::find(name).map(|key| key.support) {
            Some(Support::Used) => {
                self.values
                    .insert(name.to_owned(), Setting { value: value.to_owned(), place: place.to_owned() });
            }
            Some(Support::WithoutEffect(reason)) => self.warnings.push(Warning::WithoutEffect {
                place: place.to_owned(),
                key: written.to_owned(),
                reason,
            }),
            Some(Support::Refused { harmless, reason }) => {
                if !harmless.contains(&value.to_ascii_lowercase().as_str()) {
                    self.problem(place, written, value, reason);
                }
            }
            None => self.warnings.push(Warning::UnknownKey {
                place: place.to_owned(),
                key: written.to_owned(),
                similar: keys::similar(written),
            }),
        }
    }

    pub(super) fn problem(&mut self, place: &str, key: &str, value: &str, allowed: impl Into<String>) {
        self.problems.push(Problem {
            place: place.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: allowed.into(),
        });
    }

    /// As [`Self::problem`], for a setting that was made: it knows its place and value.
    pub(super) fn refuse(&mut self, key: &str, allowed: impl Into<String>) {
        let setting = self.values.get(key).cloned();
        let (place, value) = setting.map_or_else(Default::default, |setting| (setting.place, setting.value));
        self.problem(&place, key, &value, allowed);
    }

    pub(super) fn note(&mut self, key: &'static str, text: impl Into<String>) {
        self.warnings.push(Warning::Note { key, text: text.into() });
    }

    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        self.noting(key);
        self.values.get(key).map(|setting| setting.value.clone())
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// A whole number, decimal or `0x` hexadecimal, within `range`; `None` when it is not set or wrong.
    pub(super) fn number<T>(&mut self, key: &'static str, range: RangeInclusive<T>, unit: &str) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let text = self.text(key)?;
        let number = parse_integer(&text).and_then(|number| T::try_from(number).ok());
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        self.refuse(key, format!("must be a whole number{unit} from {} to {}", range.start(), range.end()));
        None
    }

    /// `true` or `false`, as ZooKeeper's own keys want it; also `yes` and `no`, which others want.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        match self.text(key).map(|text| text.to_ascii_lowercase()).as_deref() {
            None => default,
            Some("true" | "yes") => true,
            Some("false" | "no") => false,
            Some(_) => {
                self.refuse(key, "must be true or false (or yes or no)");
                default
            }
        }
    }

    /// One of the names, compared without case.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.refuse(key, format!("must be {}", names.join(" or ")));
        }
        found.map(|(_, choice)| *choice)
    }

    /// All settings whose key begins with the prefix: (rest of the key, setting).
    pub(super) fn with_prefix(&self, prefix: &'static str) -> Vec<(String, Setting)> {
        self.noting(prefix);
        let all = self.values.range(prefix.to_owned()..);
        all.map_while(|(key, setting)| Some((key.strip_prefix(prefix)?.to_owned(), setting.clone())))
            .collect()
    }

    /// Every setting, in order of key, passwords hidden.
    pub(super) fn listed(&self) -> Vec<(String, String)> {
        let shown = |(key, setting): (&String, &Setting)| {
            (key.clone(), super::problem::shown(key, &setting.value).to_owned())
        };
        self.values.iter().map(shown).collect()
    }

    #[cfg(test)]
    fn noting(&self, key: &'static str) {
        self.asked.borrow_mut().insert(key);
    }

    #[cfg(not(test))]
    fn noting(&self, _key: &'static str) {}
}

/// What `Integer.decode` of Java takes, except that a leading zero does not mean octal (`Integer.parseInt`, which reads the other half of
/// ZooKeeper's keys, does not take it so either).
fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let hex =
        digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).or_else(|| digits.strip_prefix('#'));
    let number = match hex {
        Some(hex) if !hex.starts_with(['+', '-']) => i64::from_str_radix(hex, 16).ok()?,
        Some(_) => return None,
        None => i64::from_str(digits).ok()?,
    };
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_java_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("2000", Some(2000)),
            ("+5", Some(5)),
            ("-1", Some(-1)),
            ("0xfffff", Some(0xf_ffff)),
            ("#10", Some(16)),
            ("-0x10", Some(-16)),
            ("010", Some(10)),
            ("", None),
            ("-", None),
            ("--1", None),
            ("0x-1", None),
            ("1.5", None),
            ("1k", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(parse_integer(text), expected, "{text:?}");
        }
    }
}
