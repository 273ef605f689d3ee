//! Changes that somebody wants, and those that were made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::names::{Layout, unique};

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A change of some keys, which are changed together.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub(super) id: String,
    pub(super) author: String,
    pub(super) message: Option<String>,
    pub(super) expected: Option<u64>,
    /// `None` removes the key.
    pub(super) values: BTreeMap<String, Option<String>>,
}

impl Change {
    /// A change of nothing, by a person or a program.
    pub fn by(author: &str) -> Self {
        Self {
            id: unique(Layout::Curator),
            author: author.to_owned(),
            message: None,
            expected: None,
            values: BTreeMap::new(),
        }
    }

    /// Sets a value. Any text is one.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.values.insert(key.to_owned(), Some(value.into()));
        self
    }

    /// Removes a key. It need not exist.
    #[must_use]
    pub fn remove(mut self, key: &str) -> Self {
        self.values.insert(key.to_owned(), None);
        self
    }

    /// Says why, for the history.
    #[must_use]
    pub fn because(mut self, message: &str) -> Self {
        self.message = Some(message.to_owned());
        self
    }

    /// Makes the change only if the configuration has this revision; otherwise it is refused with
    /// [`Error::Conflict`]. Without this it is made to whatever revision there is.
    #[must_use]
    pub fn only_at(mut self, revision: u64) -> Self {
        self.expected = Some(revision);
        self
    }

    /// What the revision that this change makes is marked with. After a lost answer
    /// [`Store::find`](super::Store::find) tells whether it was made.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        self.values.keys().try_for_each(|key| check_key(key))
    }
}

/// Refuses what is no key.
pub(super) fn check_key(key: &str) -> Result<(), Error> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@');
    let is_key =
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.chars().all(is_fine) && !matches!(key, "." | "..");
    if is_key {
        return Ok(());
    }
    let why = format!("a key has 1 to {KEY_BYTES_MAX} letters, digits and . _ - : @");
    Err(Error::argument(format!("key {key:?}"), why))
}

/// What a revision was made by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Values were set or removed.
    Change,
    /// The values became again what they were at a revision.
    Rollback(u64),
    /// The schema was replaced or removed.
    Schema,
    /// A candidate is shown to a share of the subscribers, in percent. The first such revision of
    /// a rollout has the candidate's changes.
    Rollout(f64),
    /// The candidate of a rollout became the values of everybody.
    Promote,
    /// The candidate of a rollout was given up.
    Abort,
    /// The number of revisions to keep was changed.
    Keep(u64),
}

/// What has become of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The value before; `None` if there was none.
    pub before: Option<String>,
    /// The value after; `None` if the key is gone.
    pub after: Option<String>,
}

/// One revision of the history: who has changed what, when and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Its number. The first is 1.
    pub revision: u64,
    /// When it was made by the clock of the leader, in milliseconds since 1970.
    pub time_ms: i64,
    /// The rest of it.
    pub record: Record,
}

/// What a znode of the history holds, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The mark of the change: [`Change::id`].
    pub id: String,
    /// Who has made it.
    pub author: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// By what.
    pub action: Action,
    /// The keys that have other values since, with both.
    pub changes: BTreeMap<String, Difference>,
}

/// What differs between two sets of values.
pub fn diff(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> BTreeMap<String, Difference> {
    let keys = before.keys().chain(after.keys());
    let pair = |key: &String| Difference { before: before.get(key).cloned(), after: after.get(key).cloned() };
    let pairs = keys.map(|key| (key.clone(), pair(key)));
    pairs.filter(|(_, pair)| pair.before != pair.after).collect()
}

/// Undoes revisions, which are given newest first.
pub(super) fn undo<'r>(
    values: &mut BTreeMap<String, String>,
    newest_first: impl Iterator<Item = &'r Record>,
) {
    for record in newest_first.filter(|record| record.action.changes_values()) {
        for (key, difference) in &record.changes {
            put(values, key, difference.before.clone());
        }
    }
}

/// Sets or removes a key.
pub(super) fn put(values: &mut BTreeMap<String, String>, key: &str, value: Option<String>) {
    match value {
        Some(value) => values.insert(key.to_owned(), value),
        None => values.remove(key),
    };
}

impl Action {
    /// Whether the changes in the record were made to the values of everybody.
    pub fn changes_values(&self) -> bool {
        !matches!(self, Self::Rollout(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_a_name_of_one_znode() {
        for key in ["a", "pool.size", "A-1_b:c@d", &"x".repeat(255)] {
            check_key(key).unwrap();
        }
        for key in ["", ".", "..", "a/b", "a b", "ä", "a\0", "a=b", &"x".repeat(256)] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
    }

    fn values() -> impl Strategy<Value = BTreeMap<String, String>> {
        proptest::collection::btree_map("[a-d]", "[x-z]?", 0..4)
    }

    proptest! {
        #[test]
        fn undoing_all_changes_leads_back(states in proptest::collection::vec(values(), 1..6)) {
            let records: Vec<Record> = states.windows(2).map(|pair| Record {
                id: String::new(),
                author: String::new(),
                message: None,
                action: Action::Change,
                changes: diff(&pair[0], &pair[1]),
            }).collect();
            for at in 0..states.len() {
                let mut now = states[states.len() - 1].clone();
                undo(&mut now, records[at..].iter().rev());
                prop_assert_eq!(&now, &states[at]);
            }
        }
    }
}
