//! The rules of the house that a machine can check: who imports whom, how long a file may be, what main must not contain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINES_MAX: usize = 1_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// The table in ARCHITECTURE.md between the markers: crate, and the crates of the workspace it may import.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, rest) = text.split_once("<!-- imports:begin -->").expect("the table begins");
    let (table, _) = rest.split_once("<!-- imports:end -->").expect("the table ends");
    let mut allowed = BTreeMap::new();
    for line in table.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let names =
            |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let name = names(cells[0]).pop_first().expect("a crate in the first column");
        allowed.insert(name, names(cells[1]));
    }
    allowed
}

/// What each crate of the workspace really imports of the others, outside its tests.
fn actual() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let short = |name: &str| name.strip_prefix("ostler-").map(str::to_owned);
    let mut actual = BTreeMap::new();
    for package in packages {
        let name = short(package["name"].as_str().expect("name")).expect("packages are called ostler-");
        let imports = package["dependencies"].as_array().expect("dependencies").iter();
        let imports = imports.filter(|d| d["kind"].as_str() != Some("dev"));
        let imports = imports.filter_map(|d| short(d["name"].as_str().expect("name")));
        actual.insert(name, imports.collect());
    }
    actual
}

#[test]
fn layers_import_only_downward() {
    let (allowed, actual) = (allowed(), actual());
    for (name, imports) in &actual {
        let may =
            allowed.get(name).unwrap_or_else(|| panic!("{name} is missing in the table of ARCHITECTURE.md"));
        let over: Vec<_> = imports.difference(may).collect();
        assert!(
            over.is_empty(),
            "{name} imports {over:?}, which the table of ARCHITECTURE.md does not allow"
        );
    }
    let gone: Vec<_> = allowed.keys().filter(|name| !actual.contains_key(*name)).collect();
    assert!(gone.is_empty(), "the table of ARCHITECTURE.md names crates that do not exist: {gone:?}");
}

fn tracked(endings: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git").arg("ls-files").current_dir(root()).output().expect("git runs");
    let text = String::from_utf8(output.stdout).expect("file names are UTF-8");
    text.lines().filter(|f| endings.iter().any(|e| f.ends_with(e))).map(|f| root().join(f)).collect()
}

#[test]
fn no_file_is_longer_than_can_be_kept_in_mind() {
    for file in tracked(&[".rs"]) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let lines = text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines, more than {LINES_MAX}: split it by concern",
            file.display()
        );
    }
}

#[test]
fn nothing_is_left_for_later_on_main() {
    // Put together so that this file does not find itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    for file in tracked(&[".rs", ".toml", ".py", ".go", ".java"]) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            for mark in &marks {
                let found = line.split(|c: char| !c.is_alphanumeric()).any(|word| word == mark);
                assert!(!found, "{}:{}: {mark} on main", file.display(), number + 1);
            }
        }
    }
}
