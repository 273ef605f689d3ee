//! What the commands print.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use recipes::config::{Action, Difference, Revision};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Prints text. Fails when its reader has gone.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints a line on standard error.
pub(super) fn complain(text: &str) {
    // The reader of our errors may be gone.
    let _ = writeln!(io::stderr(), "ostler: {text}");
}

/// `key=value` lines. A value of several lines is printed as JSON text.
pub(super) fn values(values: &BTreeMap<String, String>) -> String {
    values.iter().map(|(key, value)| format!("{key}={}\n", shown(value))).collect()
}

/// A value in one line.
fn shown(value: &str) -> String {
    if value.contains(char::is_control) || value.starts_with('"') {
        format!("{value:?}")
    } else {
        value.to_owned()
    }
}

/// The changes as lines that begin with `-` and `+`.
pub(super) fn changes(changes: &BTreeMap<String, Difference>) -> String {
    let mut text = String::new();
    for (key, difference) in changes {
        for (sign, value) in [('-', &difference.before), ('+', &difference.after)] {
            if let Some(value) = value {
                text.push_str(&format!("{sign}{key}={}\n", shown(value)));
            }
        }
    }
    text
}

/// A revision and its changes.
pub(super) fn revision(revision: &Revision) -> String {
    let record = &revision.record;
    let message =
        record.message.as_deref().map_or_else(String::new, |message| format!(": {}", shown(message)));
    format!(
        "revision {}, {}, {} by {}{message}\n{}",
        revision.revision,
        time(revision.time_ms),
        action(&record.action),
        shown(&record.author),
        changes(&record.changes)
    )
}

fn action(action: &Action) -> String {
    match action {
        Action::Change => "change".to_owned(),
        Action::Rollback(to) => format!("rollback to {to}"),
        Action::Schema => "schema".to_owned(),
        Action::Rollout(percent) => format!("rollout to {percent} %"),
        Action::Promote => "rollout promoted".to_owned(),
        Action::Abort => "rollout aborted".to_owned(),
        Action::Keep(revisions) => format!("keep {revisions} revisions"),
    }
}

/// A time in UTC.
fn time(time_ms: i64) -> String {
    let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time_ms) * 1_000_000) else {
        return format!("{time_ms} ms");
    };
    let (date, ms) = (time.date(), time.millisecond());
    let (hour, minute, second) = time.to_hms();
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// A revision as JSON.
pub(super) fn revision_json(revision: &Revision) -> Value {
    let record = &revision.record;
    json!({
        "revision": revision.revision,
        "time": time(revision.time_ms),
        "id": record.id,
        "author": record.author,
        "message": record.message,
        "action": record.action,
        "changes": record.changes,
    })
}

/// What a change has done.
pub(super) fn done(made: Option<&Revision>, as_json: bool) -> String {
    match (made, as_json) {
        (Some(made), true) => format!("{}\n", revision_json(made)),
        (None, true) => "{\"revision\":null}\n".to_owned(),
        (Some(made), false) => revision(made),
        (None, false) => "there is nothing to change\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_796_061_909_007), "2026-11-30T18:05:09.007Z");
    }

    #[test]
    fn a_line_holds_one_value() {
        let all = [("a", "1 = 2"), ("b", "x\ny"), ("c", "\"q\"")];
        let all = all.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(values(&BTreeMap::from(all)), "a=1 = 2\nb=\"x\\ny\"\nc=\"\\\"q\\\"\"\n");
    }
}
