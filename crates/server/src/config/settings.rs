//! The settings as written, and typed access to them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::java;
use super::keys::{self, Counts, Support, TLS_IS_OFF};
use super::problem::{Problem, Warning};

/// What the keys of TLS between servers begin with.
#[cfg(feature = "net")]
const QUORUM: &str = "ssl.quorum.";
/// Those of them that do not concern the AdminServer, and the switches.
#[cfg(feature = "net")]
const OF_LINKS: [&str; 5] = [
    "portUnification",
    "ssl.quorum.clientAuth",
    "ssl.quorum.clientHostnameVerification",
    "ssl.quorum.hostnameVerification",
    "sslQuorum",
];

/// A value and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) value: String,
    pub(super) place: String,
}

/// All settings of known keys, and the errors found so far.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<String, Setting>,
    /// Settings of keys that fill no field: whether they may be ignored is decided when everything
    /// has been read.
    others: BTreeMap<String, Setting>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
    /// Names asked for: tests compare them with the keys listed as used.
    #[cfg(test)]
    pub(super) asked: std::cell::RefCell<std::collections::BTreeSet<&'static str>>,
}

impl Settings {
    /// Adds one setting; a later one of the same key replaces an earlier one. A key that is unknown
    /// or has no effect becomes a warning.
    pub(super) fn put(&mut self, written: &str, value: &str, place: &str) {
        let alias = keys::ALIASES.iter().find(|(alias, _)| *alias == written);
        let name = alias.map_or(written, |(_, name)| *name);
        let setting = Setting { value: value.to_owned(), place: place.to_owned() };
        match keys::find(name).map(|key| key.support) {
            Some(Support::Used) => drop(self.values.insert(name.to_owned(), setting)),
            Some(Support::Refused { .. }) => drop(self.others.insert(name.to_owned(), setting)),
            Some(Support::WithoutEffect(reason)) => {
                self.others.insert(name.to_owned(), setting);
                self.has_no_effect(place, written, reason);
            }
            None => self.warnings.push(Warning::UnknownKey {
                place: place.to_owned(),
                key: written.to_owned(),
                similar: keys::similar(written),
            }),
        }
    }

    fn has_no_effect(&mut self, place: &str, key: &str, reason: &'static str) {
        let (place, key) = (place.to_owned(), key.to_owned());
        self.warnings.push(Warning::WithoutEffect { place, key, reason });
    }

    /// Checks the settings that ask for missing features: an error where they would have an effect,
    /// else a warning. To be called when everything has been read.
    pub(super) fn refuse_what_is_missing(&mut self) {
        for (name, Setting { value, place }) in self.others.clone() {
            let Some(Support::Refused { asks, counts, reason }) = keys::find(&name).map(|key| key.support)
            else {
                continue;
            };
            match self.missing(counts) {
                _ if !asks.by(&value) => {}
                None => self.problem(&place, &name, &value, reason),
                Some(missing) => self.has_no_effect(&place, &name, missing),
            }
        }
    }

    /// Why a setting that has an effect in ZooKeeper would have none in this configuration.
    fn missing(&self, counts: Counts) -> Option<&'static str> {
        let has = |map: &BTreeMap<String, Setting>, key: &str, text: &str| {
            map.get(key).is_some_and(|setting| setting.value.contains(text))
        };
        let (is_missing, reason) = match counts {
            Counts::Everywhere => return None,
            Counts::InEnsembles => {
                let servers = self.with_prefix("server.").len();
                let is_one = servers == 1 && !has(&self.values, "standaloneEnabled", "false");
                (servers == 0 || is_one, "there is one server")
            }
            Counts::WithTls => (!self.has_tls(), TLS_IS_OFF),
            Counts::WithQuorumTls => {
                let off = "there is no TLS between servers";
                match self.missing(Counts::InEnsembles) {
                    Some(missing) => (true, missing),
                    None => (!["sslQuorum", "portUnification"].iter().any(|key| self.is_on(key)), off),
                }
            }
        };
        is_missing.then_some(reason)
    }

    /// Warns of the settings of TLS, which has no port.
    #[cfg(feature = "net")]
    pub(super) fn warn_that_tls_is_off(&mut self) {
        let unified = self.values.get_key_value("client.portUnification");
        let unified = unified.filter(|(_, setting)| setting.value.eq_ignore_ascii_case("true"));
        let all = self.values.range("ssl.".to_owned()..).take_while(|(key, _)| key.starts_with("ssl."));
        let all = all.filter(|(key, _)| !key.starts_with(QUORUM));
        let idle: Vec<_> = all.chain(unified).map(|(key, s)| (s.place.clone(), key.clone())).collect();
        idle.iter().for_each(|(place, key)| self.has_no_effect(place, key, TLS_IS_OFF));
    }

    /// Warns of the settings of TLS between servers, which is off. `has_other_use`: the AdminServer
    /// uses the stores.
    #[cfg(feature = "net")]
    pub(super) fn warn_that_quorum_tls_is_off(&mut self, why: &'static str, has_other_use: bool) {
        let switches = ["portUnification", "sslQuorum", "sslQuorumReloadCertFiles"];
        let on = self.values.iter().filter(|(key, _)| switches.contains(&key.as_str()) && self.is_on(key));
        let all = self.values.iter().filter(|(key, _)| key.starts_with(QUORUM));
        let is_idle = |key: &str| !has_other_use || OF_LINKS.contains(&key);
        let idle = all.chain(on).filter(|(key, _)| is_idle(key));
        let idle: Vec<_> = idle.map(|(key, s)| (s.place.clone(), key.clone())).collect();
        idle.iter().for_each(|(place, key)| self.has_no_effect(place, key, why));
    }

    /// Whether a switch of zoo.cfg is on.
    pub(super) fn is_on(&self, key: &str) -> bool {
        let is_yes = |text: &str| ["true", "yes"].iter().any(|yes| yes.eq_ignore_ascii_case(text));
        self.values.get(key).is_some_and(|setting| is_yes(&setting.value))
    }

    /// Whether there is TLS for clients.
    fn has_tls(&self) -> bool {
        let unified = self.values.get("client.portUnification");
        self.is_set("secureClientPort")
            || unified.is_some_and(|setting| setting.value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn problem(&mut self, place: &str, key: &str, value: &str, allowed: impl Into<String>) {
        self.problems.push(Problem {
            place: place.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: allowed.into(),
        });
    }

    /// As [`Self::problem`], for a setting that was set: adds its place and value.
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

    /// A whole number within `range`, for one of Ostler's own keys; `None` if it is not set or
    /// wrong.
    pub(super) fn number<T>(&mut self, key: &'static str, range: RangeInclusive<T>, unit: &str) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let text = self.text(key)?;
        let number = java::decode_long(&text).and_then(|number| T::try_from(number).ok());
        self.within(key, number, range, unit)
    }

    /// As [`Self::number`], for a key that ZooKeeper reads with `Integer.parseInt`: any other text
    /// stops the start there too.
    pub(super) fn decimal(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i32>,
        unit: &str,
    ) -> Option<i32> {
        let number = java::parse_int(&self.text(key)?);
        self.within(key, number, range, unit)
    }

    fn within<T: PartialOrd + Display>(
        &mut self,
        key: &'static str,
        number: Option<T>,
        range: RangeInclusive<T>,
        unit: &str,
    ) -> Option<T> {
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
            let (least, most) = range.into_inner();
            self.refuse(key, format!("must be a whole number{unit} from {least} to {most}"));
        }
        number
    }

    /// A 32-bit system property of Java. ZooKeeper silently uses its default if the text is not a
    /// number (`Integer.getInteger`).
    pub(super) fn integer_property(&mut self, key: &'static str) -> Option<i32> {
        self.property(key, java::decode_int)
    }

    /// As [`Self::integer_property`], with 64 bits.
    pub(super) fn long_property(&mut self, key: &'static str) -> Option<i64> {
        self.property(key, java::decode_long)
    }

    /// A system property; if `read` rejects its text, the default is used, with a warning.
    pub(super) fn property<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(key)?;
        let value = read(&text);
        if value.is_none() {
            self.note(key, format!("\"{text}\" is not a number; the default is used, as by ZooKeeper"));
        }
        value
    }

    /// The value, or the nearest possible one, with a warning.
    pub(super) fn nearest<T>(&mut self, key: &'static str, value: T, range: RangeInclusive<T>) -> T
    where
        T: PartialOrd + Display + Copy,
    {
        let (least, most) = (*range.start(), *range.end());
        let nearest = if value < least {
            least
        } else if value > most {
            most
        } else {
            return value;
        };
        self.note(key, format!("{value} is not possible; {nearest} is used"));
        nearest
    }

    /// A switch of zoo.cfg or of Ostler's own: `true` or `false`, also `yes` and `no`. Anything
    /// else stops the start, in ZooKeeper too.
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

    /// A switch that is a system property of Java: on if it is `true` in any case, off with any
    /// other text.
    pub(super) fn flag_property(&mut self, key: &'static str, default: bool) -> bool {
        let Some(text) = self.text(key) else { return default };
        let on = text.eq_ignore_ascii_case("true");
        if !on && !means_no(&text) && !text.is_empty() {
            self.note(key, format!("\"{text}\" counts as false, as in ZooKeeper: only true is true"));
        }
        on
    }

    /// Whether the value is exactly this text, the only one that ZooKeeper checks for.
    pub(super) fn says(&mut self, key: &'static str, word: &str) -> bool {
        let Some(text) = self.text(key) else { return false };
        if text != word && means_no(&text) == means_no(word) {
            self.note(key, format!("\"{text}\" has no effect, as in ZooKeeper: only {word} has one"));
        }
        text == word
    }

    /// One of the names, ignoring case.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.refuse(key, format!("must be {}", names.join(" or ")));
        }
        found.map(|(_, choice)| *choice)
    }

    /// All settings whose key begins with the prefix, as (rest of the key, setting).
    pub(super) fn with_prefix(&self, prefix: &'static str) -> Vec<(String, Setting)> {
        self.noting(prefix);
        let all = self.values.range(prefix.to_owned()..);
        all.map_while(|(key, setting)| Some((key.strip_prefix(prefix)?.to_owned(), setting.clone())))
            .collect()
    }

    /// All settings, in order of key, with passwords hidden.
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

fn means_no(text: &str) -> bool {
    ["no", "false"].iter().any(|no| no.eq_ignore_ascii_case(text))
}
