//! The values of one revision.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::MapDeserializer;

use super::change::put;
use super::duration::{self, parse_duration};
use super::error::Error;
use super::rollout::Rollout;
use super::schema::Schema;
use super::text::Text;

/// All values as they are in one revision, never half of a change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// The number of the revision; 0 before the first.
    pub revision: u64,
    /// The values by key.
    pub values: BTreeMap<String, String>,
    /// What the values may be, if a schema is stored with them.
    pub schema: Option<Schema>,
    /// The rollout under way. [`Self::seen_by`] applies it.
    pub rollout: Option<Rollout>,
}

impl Snapshot {
    /// A value as a type: a text as it is, a number, `true` or `false`, a variant of an enum by its
    /// name, and structs, sequences and maps by their JSON.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Unreadable`].
    pub fn get<'s, T: Deserialize<'s>>(&'s self, key: &str) -> Result<T, Error> {
        let value = self.text(key)?;
        T::deserialize(Text(value)).map_err(|error| Self::unreadable(key, value, &error))
    }

    /// As [`Self::get`]; `None` if there is no such key.
    ///
    /// # Errors
    /// [`Error::Unreadable`].
    pub fn find<'s, T: Deserialize<'s>>(&'s self, key: &str) -> Result<Option<T>, Error> {
        if self.values.contains_key(key) { self.get(key).map(Some) } else { Ok(None) }
    }

    /// A value as text.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn text(&self, key: &str) -> Result<&str, Error> {
        let value = self.values.get(key).map(String::as_str);
        value.ok_or_else(|| Error::Missing { key: key.to_owned() })
    }

    /// A value as a duration, by [`parse_duration`].
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn duration(&self, key: &str) -> Result<Duration, Error> {
        let value = self.text(key)?;
        parse_duration(value).ok_or_else(|| Self::unreadable(key, value, &duration::ALLOWED))
    }

    /// All values as one struct, whose fields have the names of the keys.
    ///
    /// # Errors
    /// [`Error::Argument`] says which field does not fit.
    pub fn all<'s, T: Deserialize<'s>>(&'s self) -> Result<T, Error> {
        let entries = self.values.iter().map(|(key, value)| (key.as_str(), Text(value)));
        T::deserialize(MapDeserializer::new(entries))
            .map_err(|error| Error::argument("the values", error.to_string()))
    }

    /// The values that a subscriber is to use: with those of the candidate if a rollout is under
    /// way and includes it. Use an id that stays the same over restarts, such as the host's name.
    #[must_use]
    pub fn seen_by(mut self, subscriber: &str) -> Self {
        if let Some(rollout) = self.rollout.as_ref().filter(|rollout| rollout.includes(subscriber)) {
            for (key, difference) in &rollout.changes {
                put(&mut self.values, key, difference.after.clone());
            }
        }
        self
    }

    fn unreadable(key: &str, value: &str, why: &dyn std::fmt::Display) -> Error {
        Error::Unreadable { key: key.to_owned(), value: value.to_owned(), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Pool<'p> {
        size: u8,
        name: &'p str,
        #[serde(default)]
        hosts: Vec<String>,
    }

    #[test]
    fn values_are_read_by_key_and_all_at_once() {
        let values = [("size", "5"), ("name", "5"), ("wait", "1s")];
        let values = values.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let snapshot = Snapshot { values: BTreeMap::from(values), ..Snapshot::default() };
        assert_eq!(snapshot.all::<Pool<'_>>().unwrap(), Pool { size: 5, name: "5", hosts: Vec::new() });
        assert_eq!(snapshot.get::<u64>("size").unwrap(), 5);
        assert_eq!(snapshot.find::<u64>("none").unwrap(), None);
        assert_eq!(snapshot.duration("wait").unwrap(), Duration::from_secs(1));
        assert!(matches!(snapshot.duration("size"), Err(Error::Unreadable { .. })));
        assert!(matches!(snapshot.get::<u64>("none"), Err(Error::Missing { .. })));
        let error = snapshot.get::<u64>("wait").unwrap_err().to_string();
        assert!(error.starts_with("wait is \"1s\": "), "{error}");
    }
}
