//! Keeps COMPATIBILITY.md and the tables of this crate consistent.

use super::keys::{KEYS, Support};
use crate::observe::four_letter::Word;

const TEXT: &str = include_str!("../../../../COMPATIBILITY.md");

/// The cells of the row that begins with this name.
fn row(name: &str) -> Vec<&'static str> {
    let begins = |line: &&str| {
        line.strip_prefix("| `")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('`'))
    };
    let line = TEXT.lines().find(begins).unwrap_or_else(|| panic!("COMPATIBILITY.md has no row for {name}"));
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn every_key_has_its_row() {
    for key in KEYS {
        let row = row(key.name);
        assert_eq!(row.len(), 4, "{row:?}");
        match key.support {
            Support::Used => assert!(["yes", "partial"].contains(&row[1]), "{row:?}"),
            Support::WithoutEffect(reason) | Support::Refused { reason, .. } => {
                assert_eq!(row[1], "no", "{row:?}");
                assert!(row[2].ends_with(reason), "{row:?} should say: {reason}");
            }
        }
    }
}

#[test]
fn every_word_has_its_row() {
    for word in Word::ALL {
        assert_eq!(row(word.name()).len(), 4, "{word:?}");
    }
}

#[test]
fn the_named_tests_exist() {
    let sources = [
        include_str!("tests.rs"),
        include_str!("tests/admin_tls.rs"),
        include_str!("tests/authentication.rs"),
        include_str!("tests/ensemble.rs"),
        include_str!("tests/key_files.rs"),
        include_str!("tests/metrics.rs"),
        include_str!("tests/quorum_sasl.rs"),
        include_str!("tests/quorum_tls.rs"),
        include_str!("tests/tls.rs"),
        include_str!("../stream/tls/tests.rs"),
        include_str!("../../../../tests/tests/audit.rs"),
        include_str!("../audit/tests.rs"),
        include_str!("../../../state/tests/rules/grants/mod.rs"),
        include_str!("../../../../tests/tests/admin_snapshot.rs"),
        include_str!("../../../../tests/tests/admin_tls.rs"),
        include_str!("../../../../tests/tests/client_tls.rs"),
        include_str!("../../../../tests/tests/quorum_sasl.rs"),
        include_str!("../../../../tests/tests/quorum_tls.rs"),
        include_str!("../counters/mod.rs"),
        include_str!("../observe/four_letter/tests.rs"),
        include_str!("../observe/four_letter/ensemble_tests.rs"),
        include_str!("../observe/admin/tests.rs"),
        include_str!("../observe/admin/snapshot_tests.rs"),
        include_str!("../observe/admin/ensemble_tests.rs"),
        include_str!("../observe/admin/guard.rs"),
        include_str!("../../../group/src/leader_tasks.rs"),
        include_str!("../host/tests/alone.rs"),
        include_str!("../host/tests/ensemble.rs"),
        include_str!("../host/tests/files.rs"),
        include_str!("../host/tests/log_places.rs"),
        include_str!("../host/tests/reconfig.rs"),
        include_str!("../../../../tests/tests/crash.rs"),
        include_str!("../../../../tests/tests/limits.rs"),
        include_str!("../../../../tests/tests/sasl.rs"),
        include_str!("../../../../tests/tests/settings.rs"),
        include_str!("../../../../tests/tests/words.rs"),
    ];
    let sections = TEXT.split("\n## ").filter(|section| {
        ["zoo.cfg keys", "Four-letter words", "AdminServer commands"]
            .iter()
            .any(|title| section.starts_with(title))
    });
    let mut count = 0;
    for line in sections.flat_map(str::lines).filter(|line| line.starts_with("| `")) {
        let tests = line.trim_matches('|').rsplit('|').next().unwrap_or_default();
        for test in tests.split(',').map(|test| test.trim().trim_matches('`')) {
            assert!(sources.iter().any(|source| source.contains(&format!("fn {test}()"))), "{line}");
        }
        count += 1;
    }
    assert!(count >= KEYS.len() + Word::ALL.len(), "{count} rows");
}
